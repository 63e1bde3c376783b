"""Exceptions and wrong results of other packages' functions name the function, in one line."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import softprompt
from softprompt.config import parse_run
from softprompt.data import LabelledText, read
from softprompt.errors import ConfigError, DataError, PromptError, SoftpromptError
from softprompt.metrics import Scores, score
from softprompt.prompts import Start
from softprompt.prompts.initializations import INITIALIZATIONS
from support.tiny import tiny_backbone

HERE = r"in test_own_exceptions\.py, line \d+ \("


def names(caught: pytest.ExceptionInfo[SoftpromptError], cause: type[Exception]) -> None:
    assert isinstance(caught.value.__cause__, cause)
    assert "\n" not in str(caught.value) and str(Path(__file__).parent) not in str(caught.value)


def test_a_metric():
    @softprompt.metric("own", "classification")
    def own(outputs: list[str], references: list[str]) -> float:
        return 1 / 0

    with pytest.raises(
        ConfigError, match=rf"metric 'own': got ZeroDivisionError {HERE}division by"
    ) as caught:
        score(["own"], ["a"], ["a"], task="classification", labels=("a", "b"))
    names(caught, ZeroDivisionError)
    assert "test_own_exceptions:test_a_metric.<locals>.own." in str(caught.value)


def test_a_reader_that_is_a_generator(tmp_path: Path):
    @softprompt.data_format("own", LabelledText, "a file")
    def own(path: Path) -> Iterator[Any]:
        yield LabelledText("1", "a", "b")
        raise KeyError("column")

    (tmp_path / "x").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=rf"data_format 'own': got KeyError {HERE}'column'\)") as caught:
        read("own", tmp_path / "x")
    names(caught, KeyError)


def test_a_method():
    @softprompt.method("own")
    def own(backbone: Any, k: int = 1) -> softprompt.Prompt:
        return backbone.no_such_thing

    with pytest.raises(PromptError, match=rf"method 'own': got AttributeError {HERE}") as caught:
        own(tiny_backbone("llama"))
    names(caught, AttributeError)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda request: 1 / 0, rf"initialization 'own': got ZeroDivisionError {HERE}"),
        (lambda request: None, "initialization 'own': got nothing, expected a softprompt.prompts.Start"),
        (lambda request: request.from_tokens([10**6] * 2), "initialization 'own': got IndexError "),
        (lambda request: request.from_tokens(["a", "b"]), "initialization 'own': got "),
        (
            lambda request: request.from_vectors(
                {shape.name: torch.full((2, shape.width), torch.nan) for shape in request.shapes}
            ),
            r"initialization 'own': vectors of \S+: got NaN or infinity, expected finite numbers",
        ),
        (lambda request: Start(2, {}), r"initialization 'own': vectors of \S+: got nothing, expected shape"),
    ],
)
def test_an_initialization(wrong: Any, said: str):
    @softprompt.initialization("own")
    def own(request: Any, text: str) -> Start:
        return wrong(request)

    with pytest.raises(PromptError, match=said):
        softprompt.prefix_tuning(tiny_backbone("llama"), length=2, initialization="own")


def test_softprompts_own_exceptions_stay_as_they_are(monkeypatch: pytest.MonkeyPatch):
    def broken(request: Any, text: str) -> None:
        raise KeyError("a mistake of ours")

    row: Any = replace(INITIALIZATIONS["zero"], function=broken)
    monkeypatch.setitem(INITIALIZATIONS._rows, "zero", row)
    with pytest.raises(KeyError):
        softprompt.prefix_tuning(tiny_backbone("llama"), length=2, initialization="zero")


DECORATORS = {
    "metric": lambda name: softprompt.metric(name, "classification"),
    "method": lambda name: softprompt.method(name),
    "initialization": lambda name: softprompt.initialization(name),
    "data_format": lambda name: softprompt.data_format(name, LabelledText, "a file"),
}


@pytest.mark.parametrize("kind", DECORATORS)
def test_decorators_without_a_name_or_a_function(kind: str):
    def own(): ...

    decorator: Any = DECORATORS[kind]
    with pytest.raises(
        ConfigError, match=rf"softprompt\.{kind}: got a function, expected a name first\. Write @"
    ):
        decorator(own)
    with pytest.raises(ConfigError, match=rf"{kind}: got 3, expected a name in letters"):
        decorator(3)
    with pytest.raises(ConfigError, match=rf"{kind} 'own_of_a_test': got a number, expected a function"):
        decorator("own_of_a_test")(3)


def test_a_metric_without_call():
    metric: Any = softprompt.metric
    with pytest.raises(ConfigError, match=r"Write @softprompt\.metric\('own', \.\.\.\)"):

        @metric
        def own(outputs: list[str], references: list[str]) -> float: ...


def test_a_note_is_a_sequence_of_texts():
    with pytest.raises(ConfigError, match=r"Scores: notes: got a text, expected .* Write \('a note',\)"):
        Scores({}, "a note")
    with pytest.raises(ConfigError, match="Scores: values: got a number"):
        Scores(1.0)  # type: ignore[arg-type]
    assert Scores({}, ["a note"]).notes == ["a note"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"data": {"format": "qqqqqq"}}, "Install the package that offers this data format."),
        ({"metrics": ["qqqqqq"]}, "Install the package that offers this metric."),
    ],
)
def test_an_unknown_name_may_be_that_of_a_package(section: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as caught:
        parse_run({"data": {"format": "e2e"}, "training": {"steps": 1}, **section})
    assert str(caught.value).endswith(said)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_front_door_shows_the_true_cause():
    # a room whose import fails, as with a broken installation of a library
    said = python(
        "import sys, types; sys.modules['softprompt.prompts.prompt'] = types.ModuleType('broken')\n"
        "from softprompt import Prompt"
    )
    assert "AttributeError: module 'broken' has no attribute 'Prompt'" in said
    assert "ImportError: softprompt" in said.splitlines()[-1] and "cannot be imported" in said


def test_the_command_line_offers_main_alone():
    assert (
        python("from softprompt.cli import *; print('sys' in dir(), 'main' in dir())").strip() == "False True"
    )
