"""Our figures are the official E2E scorer's own, to the digits that it prints."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from softprompt import metrics
from softprompt.data import data_root
from softprompt.metrics import java

HERE = Path(__file__).resolve().parent
OFFICIAL = json.loads((HERE / "e2e_official.json").read_text(encoding="utf-8"))
PERCENT = ("bleu", "meteor", "rouge_l")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_e2e_golden", HERE / "make_e2e_golden.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _same(values: dict[str, float], figures: dict[str, float], slack: float = 0.0) -> None:
    for name, value in values.items():
        scale = 100 if name in PERCENT else 1
        assert value == pytest.approx(figures[name] * scale, abs=0.000051 * scale + slack), name


@pytest.mark.skipif(java.find_java() is None, reason="METEOR and Stanford's tokenizer need a Java runtime")
def test_own_sentences() -> None:
    hypotheses, references = _script().own_sentences()
    scores = metrics.score(["bleu", "nist", "meteor", "rouge_l", "cider"], hypotheses, references)
    assert scores.notes == () and len(scores.values) == 5
    _same(scores.values, OFFICIAL["own_sentences"])


@pytest.mark.skipif(java.find_java() is None, reason="Stanford's tokenizer needs a Java runtime")
def test_test_set_but_for_meteor() -> None:
    hypotheses, references = _test_set()
    scores = metrics.score(["bleu", "nist", "rouge_l", "cider"], hypotheses, references)
    assert scores.notes == () and len(scores.values) == 4
    _same(scores.values, OFFICIAL["spoiled_test_set_60"])


@pytest.mark.slow
@pytest.mark.skipif(java.find_java() is None, reason="METEOR needs a Java runtime")
def test_meteor_on_the_test_set() -> None:
    scores = metrics.score(["meteor"], *_test_set())
    assert list(scores.values) == ["meteor"]
    _same(scores.values, OFFICIAL["spoiled_test_set_60"])


def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)
    hypotheses, references = _script().own_sentences()
    scores = metrics.score(["bleu", "nist", "rouge_l", "cider"], hypotheses, references)
    assert len(scores.values) == 4
    _same(scores.values, OFFICIAL["own_sentences"], slack=0.01)


def test_test_set_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_java", lambda: None)
    scores = metrics.score(["bleu", "nist", "rouge_l", "cider"], *_test_set())
    assert len(scores.values) == 4
    _same(scores.values, OFFICIAL["spoiled_test_set_60"], slack=0.01)


def _test_set() -> tuple[list[str], list[list[str]]]:
    path = data_root() / "e2e" / "testset_w_refs.csv"
    if not path.is_file():
        pytest.skip(f"the E2E test set is not at {path} (set SOFTPROMPT_DATA)")
    return _script().spoiled_test_set(path, 60)
