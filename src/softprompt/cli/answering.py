"""Shared by `softprompt predict` and `generate`: rows of files, standard input, and what is shown."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.standard_input import STANDARD_INPUT, Reading, standard_input
from softprompt.errors import counted

if TYPE_CHECKING:
    from softprompt.answers import Answer, Answerer, Bulk, Questions
    from softprompt.config import TaskSettings
    from softprompt.data import Table

Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="A file to answer row for row: csv, tsv, json, jsonl, parquet, xlsx or txt; `-` is standard "
        "input.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="The same rows with their answers: csv, tsv, jsonl or parquet. What a stopped command left "
        "of it is continued. `-`, the default, is standard output.",
        show_default=False,
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        help="The column to answer, or a text of several: '{title}: {body}'. Repeat it for the second "
        "text or the context. By default as in the data that the prompt was trained on.",
        show_default=False,
    ),
]
As = Annotated[Reading, typer.Option("--as", help="How standard input is read.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output, and begin anew.")]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Rows answered together; the run's if not given.", show_default=False),
]


def with_batch(overrides: list[str] | None, batch_size: int | None) -> list[str]:
    """The overrides of settings, with the size of batches among them."""
    return [*(overrides or []), *([] if batch_size is None else [f"decoding.batch_size={batch_size}"])]


def check_bulk(input: str | None, texts: Sequence[str], options: dict[str, bool]) -> None:
    """Refuse texts beside a file, and options of files without one.

    Args:
        input: the file.
        texts: given as arguments.
        options: of files, by their names, each with whether it is given.

    Raises:
        ConfigError: they contradict each other.
    """
    from softprompt.errors import ConfigError

    if input is not None and texts:
        raise ConfigError("--input", "both a file and texts", "one of the two", "leave one out")
    given = [name for name, there in options.items() if there]
    if input is None and given:
        raise ConfigError(given[0], "the option without --input", "a file of rows", "add --input FILE")


def a_file_instead(texts: Sequence[str], reads_pictures: bool) -> str | None:
    """The file that a single argument names, if the user says that its rows are meant.

    Raises:
        ConfigError: an argument is the name of a file, and nobody can be asked.
    """
    from softprompt.errors import ConfigError
    from softprompt.terminal import echo
    from softprompt.untrusted import at_home

    for text in texts:
        if reads_pictures or not _may_be_file(text):
            continue
        if not at_home(text).is_file():
            if _has_table_suffix(text):
                echo(f"note: '{text}' is taken as a text; there is no such file", err=True)
            continue
        if len(texts) == 1 and sys.stdin.isatty() and sys.stderr.isatty():
            if typer.confirm(f"{text} is a file: answer its rows?", default=True, err=True):
                return text
            continue
        do = f"{text} is a file: did you mean --input {text}? As a text it can be piped in"
        raise ConfigError("TEXT", f"the name of a file, {text}", "a text", do)
    return None


def _may_be_file(text: str) -> bool:
    return 0 < len(text) < 1024 and "\n" not in text and "\0" not in text and ("." in text or "/" in text)


def _has_table_suffix(text: str) -> bool:
    from softprompt.data import kind_of_file

    return " " not in text and kind_of_file(Path(text)) is not None


def read_input(
    input: str, reading: Reading, stored: dict[str, Any], task: "TaskSettings"
) -> "tuple[Table, bool]":
    """The rows of a file, a folder of pictures or standard input; true where they are plain lines.

    Args:
        input: the file; `-` is standard input.
        reading: how standard input is read.
        stored: settings of `data`, with those that say how files are read.
        task: its settings.

    Raises:
        DataError: what cannot be read.
        ConfigError: standard input that looks like a table, or an option that a file does not take.
    """
    from softprompt.answers import own_table
    from softprompt.data import read_table
    from softprompt.errors import ConfigError
    from softprompt.tasks import TASKS
    from softprompt.untrusted import at_home

    options = {name: stored[name] for name in ("encoding", "delimiter", "sheet") if stored.get(name)}
    header = stored.get("header")
    numbered = any(isinstance(stored.get(name), int) for name in ("text", "second"))
    options["header"] = False if numbered else header
    if input == "-":
        return standard_input(reading, stored, options)
    if reading != "auto":
        raise ConfigError("--as", f"'{reading}' for a file", "a suffix that says it", "leave it out")
    path = at_home(input)
    if path.is_dir() and TASKS[task.name].reads_pictures:
        return _folder(path), False
    own = own_table(path, stored, TASKS[task.name].records)
    return own or read_table(path, keep_blank=True, **options), False


def pictures_in(folder: Path) -> list[Path]:
    """The pictures below a folder, damaged ones among them; other files are told and left.

    Raises:
        DataError: the folder cannot be read, or holds no picture.
    """
    from softprompt.data import may_be_picture, pictures_below
    from softprompt.errors import DataError
    from softprompt.terminal import echo

    files = pictures_below(folder)
    pictures = [file for file in files if may_be_picture(file)]
    left = [file.relative_to(folder).as_posix() for file in files if file not in set(pictures)]
    if not pictures:
        n_files = "1 file" if len(files) == 1 else f"{len(files)} files"
        raise DataError(str(folder), f"{n_files}, none of them a picture", "a folder of pictures")
    if left:
        some = ", ".join(left[:10]) + (", ..." if len(left) > 10 else "")
        what = "1 file that is no picture is"
        what = what if len(left) == 1 else f"{len(left)} files that are no pictures are"
        echo(f"note: {folder}: {what} left out: {some}", err=True)
    return pictures


def _folder(path: Path) -> "Table":
    from softprompt.data import Row, Table

    files = [file.relative_to(path).as_posix() for file in pictures_in(path)]
    rows = [Row(i, f"{path / file}", {"image": file}) for i, file in enumerate(files, start=1)]
    # Named as a file of the folder, from which the pictures are seen.
    return Table(str(path / "files"), "txt", ("image",), rows)


def answer_rows(bulk: "Bulk", output: str | None, overwrite: bool, lines: bool) -> None:
    """Answer the rows of a file into a file, or on standard output.

    Args:
        bulk: the rows and the prompt.
        output: the file; None or `-` is standard output.
        overwrite: replace a file that is there.
        lines: print a line for each row, and no tables.
    """
    from softprompt.answers import first_problems
    from softprompt.terminal import Terminal, echo
    from softprompt.training import RunProgress

    questions = bulk.questions
    for note in questions.notes:
        echo(f"note: {note}", err=True)
    printed = output in (None, "-")
    # A bar among answers on one terminal would tear their lines.
    console = None if printed and sys.stdout.isatty() else Terminal(stderr=True)
    n_rows = len(questions.rows)
    with RunProgress(console) as shown, shown.counter("answering", n_rows) as counter:
        if printed:
            n_broken = _print_rows(bulk, lines, counter.add)
        else:
            n_broken = _write_rows(bulk, Path(str(output)), overwrite, counter.add)
    say_breaks(n_broken)
    for line in first_problems(bulk.problems):
        echo(f"no answer: {line}", err=True)
    say_cuts(bulk.answerer)


def _write_rows(bulk: "Bulk", output: Path, overwrite: bool, progress: Any) -> int:
    from softprompt.terminal import echo
    from softprompt.untrusted import at_home

    output, n_rows = at_home(str(output)), len(bulk.questions.rows)
    try:
        n_before = bulk.write(output, overwrite, progress)
    except KeyboardInterrupt:
        echo("stopped; the same command goes on from the answers so far", err=True)
        raise
    before = f", {n_before} of them by an earlier command" if n_before else ""
    n_none = f", {len(bulk.problems)} without an answer (column problem)" if bulk.problems else ""
    echo(f"{counted(n_rows, 'row')} in {output}{before}{n_none}", err=True)
    return 0


def _print_rows(bulk: "Bulk", lines: bool, progress: Any) -> int:
    """Print the answers; returns how many had line breaks that a line cannot show."""
    from softprompt.answers import json_line
    from softprompt.terminal import echo_answer

    n_broken = 0
    for some in bulk.answered():
        for row, answer, reason in some:
            if not lines:
                echo_answer(json_line(bulk.columns, bulk.row_of(row, bulk.cells(answer, reason))))
                continue
            n_broken += answer is not None and "\n" in str(answer.prediction)
            echo_answer("" if answer is None else line_of(answer, bulk.probabilities))
        progress(len(some))
    return n_broken


def line_of(answer: "Answer", probabilities: bool = False) -> str:
    """An answer on one line, with the probabilities of every label if they are asked for."""
    shares = getattr(answer, "probabilities", None)
    if not probabilities or not shares:
        return answer.line
    named = shares.items() if hasattr(shares, "items") else zip(answer.words, shares, strict=True)  # type: ignore[attr-defined]
    return "\t".join([answer.line, *(f"{name} {share:.4f}" for name, share in named)])


def say_breaks(n: int) -> None:
    """Tell of answers whose line breaks a line cannot show."""
    from softprompt.terminal import echo

    if n:
        what = "1 answer has" if n == 1 else f"{n} answers have"
        do = "--input with --output answers.jsonl keeps them"
        echo(f"note: {what} line breaks, shown as spaces; {do}", err=True)


def say_cuts(answerer: "Answerer") -> None:
    """Tell how many texts and answers were cut."""
    from softprompt.terminal import echo

    for note in answerer.notes:
        echo(f"note: {note}", err=True)


def questions_from(
    task: "TaskSettings", table: "Table", stored: dict[str, Any], columns: list[str] | None, lines: bool
) -> "Questions":
    """The questions of a table; of plain lines, each line is the first part."""
    from softprompt.answers import questions_of, takes
    from softprompt.errors import ConfigError

    if not lines:
        return questions_of(task, table, stored, columns or ())
    if columns:
        raise ConfigError("--column", "the option for lines of text", "a table", "leave it out")
    if takes(task)[:2] in (("question", "context"),):
        got, do = f"lines for task '{task.name}', which reads two texts", "give a table, or lines of JSON"
        raise ConfigError(STANDARD_INPUT, got, "a question and its context", do)
    return questions_of(task, table, stored, ("text",))
