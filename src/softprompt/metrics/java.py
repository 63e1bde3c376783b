"""The two Java programs that pycocoevalcap carries: METEOR 1.5 and the Penn Treebank tokenizer."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

from softprompt.errors import counted

TIME_LIMIT_S = 1200
"""Seconds that one program may take for a whole set."""

# the programs would otherwise read and write in the machine's own encoding
_UTF8 = ("-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")


class JavaError(Exception):
    """A Java program failed; the scorers turn the message into a note."""


def find_java() -> str | None:
    """The `java` that runs, from JAVA_HOME or the PATH; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    candidates = [shutil.which("java", path=str(Path(home) / "bin"))] if home else []
    for candidate in [*candidates, shutil.which("java")]:
        # macOS ships a `java` that only reports that Java is missing
        if candidate and _runs(candidate):
            return candidate
    return None


def find_jar(*parts: str) -> Path | None:
    """A file inside the installed pycocoevalcap, or None where it is missing."""
    spec = find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, *parts)
        if path.is_file():
            return path
    return None


def penn_lines(java: str, jar: Path, texts: list[str]) -> list[str]:
    """Texts tokenised by the Stanford Penn Treebank tokenizer and lowered, one line each."""
    command = [java, *_UTF8, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    command += ["-encoding", "UTF-8", "-preserveLines", "-lowerCase"]
    sent = ("\n".join(texts) + "\n").encode()
    try:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=TIME_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JavaError(f"the tokenizer did not run ({error})") from error
    # Java ends its lines as the platform does
    lines = done.stdout.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")[:-1]
    if done.returncode or len(lines) != len(texts):
        reason = (
            _last_line(done.stderr) if done.returncode else f"{counted(len(lines), 'line')} for {len(texts)}"
        )
        raise JavaError(f"the tokenizer stopped ({reason})")
    return lines


def meteor(
    java: str, jar: Path, hypotheses: list[str], references: list[list[str]], english: bool = True
) -> float:
    """METEOR (0-1) of tokenised texts over the whole set.

    Source: METEOR 1.5 (Denkowski and Lavie 2014), English, normalised, in the question-and-answer mode
    that the MS-COCO caption evaluation uses: statistics example by example, then one evaluation. Of other
    languages METEOR knows no synonyms here: its parameters for any language, on the tokens as they are.
    """
    command = [java, *_UTF8, "-Xmx2G", "-jar", jar.name, "-", "-", "-stdio", "-l"]
    command += ["en", "-norm"] if english else ["other"]
    with tempfile.TemporaryFile() as errors:
        try:
            # the jar finds its paraphrase table beside itself
            process = subprocess.Popen(
                command,
                cwd=jar.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )
        except OSError as error:
            raise JavaError(f"METEOR did not start ({error})") from error
        watch = threading.Timer(TIME_LIMIT_S, process.kill)
        watch.start()
        try:
            return _converse(process, hypotheses, references)
        except (OSError, ValueError) as error:
            process.kill()
            errors.seek(0)
            raise JavaError(f"METEOR stopped ({_last_line(errors.read()) or error})") from error
        finally:
            watch.cancel()
            _close(process)


def _converse(process: subprocess.Popen, hypotheses: list[str], references: list[list[str]]) -> float:
    questions, answers = process.stdin, process.stdout
    assert questions is not None and answers is not None

    def ask(parts: list[str]) -> None:
        questions.write(" ||| ".join(parts) + "\n")
        questions.flush()

    statistics = []
    for text, group in zip(hypotheses, references, strict=True):
        ask(["SCORE", *(part.replace("|||", " ") for part in (*group, text))])
        statistics.append(_answer(answers.readline()))
    ask(["EVAL", *statistics])
    for _ in hypotheses:  # one figure per example comes before the one for the set
        _answer(answers.readline())
    return float(_answer(answers.readline()))


def _answer(line: str) -> str:
    if not line or line.startswith("Error"):
        raise ValueError(line.strip() or "no answer")
    return line.strip()


def _close(process: subprocess.Popen) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        # a dead program's pipe may still hold unsent text
        with contextlib.suppress(OSError):
            stream.close()  # type: ignore[union-attr]
    process.wait()


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _runs(java: str) -> bool:
    try:
        return subprocess.run([java, "-version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
