"""METEOR, ROUGE-L and CIDEr: figures by hand, and what happens without Java or the package."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from softprompt import metrics
from softprompt.metrics import captions, java

NAMES = ["meteor", "rouge_l", "cider"]
JAVA = java.find_java()
needs_java = pytest.mark.skipif(JAVA is None, reason="METEOR and Stanford's tokenizer need a Java runtime")
TEXTS, GOLDS = ["a b x d", "e f"], [["a b c d e", "d d"], ["e f"]]


def test_rouge_l_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)
    # best precision 3/4 and best recall 3/5 over the references, beta 1.2
    first = (1 + 1.44) * 0.75 * 0.6 / (0.6 + 1.44 * 0.75)
    value = metrics.score(["rouge_l"], TEXTS, GOLDS).values["rouge_l"]
    assert value == pytest.approx(100 * (first + 1) / 2)


@pytest.mark.parametrize(
    ("references", "why"),
    [
        ([["the mill is in the city", "a mill"]], "one record"),
        ([["the mill is in the city"]] * 3, "references are of the same words"),
        ([["the mill is in the city"], ["food"]], None),
    ],
)
def test_cider_of_records_that_do_not_differ_is_told(references, why) -> None:
    outputs = [group[0] for group in references]
    scores = metrics.score(["cider"], outputs, references)
    said = [note for note in scores.notes if note.startswith("cider: 0 for")]
    assert (scores.values["cider"] == 0) == bool(said) == (why is not None)
    assert why is None or why in said[0]


def test_cider_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)
    # every n-gram is in one of two examples: all weights log 2; cosines 3/4, 2/3, 1/2 and 0, one word apart
    hypotheses, references = ["p q r s", "v w x y z"], [["p q r t"], ["v w x y z"]]
    value = metrics.score(["cider"], hypotheses, references).values["cider"]
    assert value == pytest.approx((10 * (3 / 4 + 2 / 3 + 1 / 2) / 4 + 10) / 2)


def test_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)
    scores = metrics.score(NAMES, TEXTS, GOLDS)
    assert list(scores.values) == ["rouge_l", "cider"]
    assert scores.notes == (
        "meteor: left out, no Java runtime was found",
        "rouge_l, cider: tokens from softprompt, not from Stanford's Java program, no Java runtime was found",
    )


def test_no_pycocoevalcap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    scores = metrics.score(["bleu", *NAMES], TEXTS, GOLDS)
    assert list(scores.values) == ["bleu"]
    assert scores.notes == ("meteor, rouge_l, cider: left out, the package pycocoevalcap is not installed",)


def test_java_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java, "find_java", lambda: str(tmp_path / "java"))
    scores = metrics.score(NAMES, TEXTS, GOLDS)
    assert list(scores.values) == ["rouge_l", "cider"]
    assert "meteor: left out, the tokenizer did not run" in scores.notes[0]


def test_no_java_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert java.find_java() is None


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_java_that_only_says_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub = tmp_path / "bin" / "java"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.find_java() is None
    stub.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    assert java.find_java() == str(stub)


@needs_java
def test_meteor_stops_at_its_time_limit_and_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    jar = java.find_jar("meteor", "meteor-1.5.jar")
    assert JAVA is not None and jar is not None
    started: list[subprocess.Popen] = []

    class Watched(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(java.subprocess, "Popen", Watched)
    monkeypatch.setattr(java, "TIME_LIMIT_S", 0.0)
    with pytest.raises(java.JavaError, match="METEOR stopped"):
        java.meteor(JAVA, jar, TEXTS, GOLDS)
    assert [process.returncode is not None for process in started] == [True]


@needs_java
def test_meteor_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> float:
        raise java.JavaError("METEOR stopped (out of memory)")

    monkeypatch.setattr(java, "meteor", fail)
    scores = metrics.score(["meteor", "rouge_l"], TEXTS, GOLDS)
    assert list(scores.values) == ["rouge_l"]
    assert scores.notes == ("meteor: left out, METEOR stopped (out of memory)",)


PLAIN = [
    "It's a family-friendly pub; you can't miss it!",
    "Prices: £20-25 (cheap), rated 5 out of 5...",
    "At 5 o'clock \"Zoë's\" opens, e.g. for 1,000.50 guests -- Mr. Low said.",
    "They cannot come to The Rose/Crown.",
    "",
]


def test_own_tokens() -> None:
    assert captions.penn_line(PLAIN[0]) == "it 's a family-friendly pub ; you ca n't miss it !"
    assert captions.penn_line(PLAIN[1]) == "prices : # 20-25 -lrb- cheap -rrb- , rated 5 out of 5 ..."


@needs_java
def test_own_tokens_are_stanfords() -> None:
    jar = java.find_jar("tokenizer", "stanford-corenlp-3.4.1.jar")
    assert JAVA is not None and jar is not None
    for text, line in zip(PLAIN, java.penn_lines(JAVA, jar, PLAIN), strict=True):
        ours = [word for word in captions.penn_line(text).split() if word not in captions.PUNCTUATION]
        assert ours == [word for word in line.split() if word not in captions.PUNCTUATION]
