"""Errors keep their fields, survive pickling, and read as sentences."""

import copy
import multiprocessing
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import softprompt
from softprompt import errors
from softprompt.errors import (
    ConfigError,
    DataError,
    Problem,
    SoftpromptError,
    TrainingError,
    counted,
    kind_of,
    nearest,
    system_says,
)
from support.failing import PLAIN, fail, fail_twice

KINDS = ("BackboneError", "ConfigError", "DataError", "PromptError", "SoftpromptError", "TrainingError")


def facts(error: SoftpromptError) -> dict[str, object]:
    return {"class": type(error), "text": str(error), **vars(error)}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (PLAIN, "training.steps: got 3, expected at least 4. Raise it."),
        (("a", None, "b", "c d"), "a: expected b. C d."),
        (("a", 0, "b"), "a: got 0, expected b."),
        (("a", False), "a: got False."),
        (("a", "", "b"), "a: expected b."),
        (("a", "b", "", "leave it out"), "a: got b. Leave it out."),
        (("a", None, "", "leave it out"), "a: Leave it out."),
        (("a",), "a"),
        (("", "b", "c"), "got b, expected c."),
        (("a", "b", "c", "did you mean 'd'?"), "a: got b, expected c. Did you mean 'd'?"),
        (("a", "b", "e.g. c."), "a: got b, expected e.g. c."),
        (("a", "b", "c", "stop!"), "a: got b, expected c. Stop!"),
        (("a", "b", "c", "name it, or go on ..."), "a: got b, expected c. Name it, or go on ..."),
        (("a", "b", "c", "however, drop it"), "a: got b, expected c. However, drop it."),
        (("a", "b", "c", "don't"), "a: got b, expected c. Don't."),
        (("a", "b", "c", "load_prompt(folder) first"), "a: got b, expected c. load_prompt(folder) first."),
        (("a", "b", "c", "'x' is taken"), "a: got b, expected c. 'x' is taken."),
        (("a", "b", "c", "task.name names it"), "a: got b, expected c. task.name names it."),
        (("a", "b", "c", "--limit raises it"), "a: got b, expected c. --limit raises it."),
        (("a", "b", "c", "pip install d"), "a: got b, expected c. pip install d."),
        (("a", "one\ntwo  \n", "c"), "a: got one\n    two, expected c."),
        (("a", "b", "one\n  two", "drop it"), "a: got b, expected one\n      two. Drop it."),
    ],
)
def test_the_sentence_is_made_of_the_parts_that_are_there(given, text):
    assert str(ConfigError(*given)) == str(Problem(*given)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_the_fields_stay_as_attributes(kind):
    error = getattr(errors, kind)(*PLAIN)
    assert (error.where, error.got, error.expected, error.hint) == PLAIN
    assert error.problems == (str(error),)
    bare = getattr(errors, kind)("a")
    assert (bare.where, bare.got, bare.expected, bare.hint) == ("a", None, "", "")


def test_the_fields_can_be_named():
    where, got, expected, hint = PLAIN
    error = ConfigError(where=where, got=got, expected=expected, hint=hint)
    assert facts(error) == facts(ConfigError(*PLAIN))


@pytest.mark.parametrize("got", ["b", 3, 2.5, True, None, (), (1, ("b", None))])
def test_a_plain_value_is_kept_as_it_is(got):
    assert ConfigError("a", got).got is got


class Named(str):
    """A text of a class of its own, which another process may not know."""


@pytest.mark.parametrize("got", [["b"], {"b": 1}, (1, ["b"]), ValueError("b"), object, Named("b"), print])
def test_any_other_value_is_kept_as_its_text(got):
    error = ConfigError("a", got)
    assert error.got == str(got) and type(error.got) is str
    assert str(error) == f"a: got {got}."


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_and_copying(kind):
    error = getattr(errors, kind)(*PLAIN)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert facts(pickle.loads(pickle.dumps(error, protocol))) == facts(error)
    assert facts(copy.deepcopy(error)) == facts(copy.copy(error)) == facts(error)


def test_notes_survive_pickling():
    error = ConfigError(*PLAIN)
    error.add_note("in the second run")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["in the second run"]


@pytest.mark.parametrize("how", [pickle.dumps, None])
def test_an_error_of_several_survives_with_its_problems(how):
    first, second = ConfigError(*PLAIN), Problem("name", "no value", "a name")
    error = DataError.several([first, second, "a line"])
    back = pickle.loads(pickle.dumps(error)) if how else copy.deepcopy(error)
    assert type(back) is DataError and str(back) == str(error)
    assert facts(back.problems[0]) == facts(first)
    assert vars(back.problems[1]) == vars(second) and back.problems[1] == second
    assert back.problems[2] == "a line" and type(back.problems) is tuple


def test_an_error_of_several_has_a_line_for_each():
    error = TrainingError.several(iter([ConfigError(*PLAIN), "a line"]))
    assert str(error) == f"{ConfigError(*PLAIN)}\na line"
    assert len(error.problems) == 2
    assert (error.where, error.got, error.expected, error.hint) == ("", None, "", "")


@pytest.mark.parametrize("one", [ConfigError(*PLAIN), Problem(*PLAIN)])
def test_an_error_of_one_problem_has_its_fields(one):
    error = ConfigError.several([one])
    assert (error.where, error.got, error.expected, error.hint) == PLAIN
    assert str(error) == str(one) and error.problems == (one,)


def test_errors_cross_processes_with_everything():
    """One process that is started anew (nothing is inherited by it)."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for kind in KINDS:
            error = pool.submit(fail, kind).exception()
            assert type(error) is getattr(errors, kind)
            assert [getattr(error, name) for name in ("where", "got", "expected", "hint")] == [*PLAIN]
            assert str(error) == "training.steps: got 3, expected at least 4. Raise it."
        several = pool.submit(fail_twice).exception()
    assert type(several) is ConfigError
    assert [getattr(one, "hint", None) for one in several.problems] == ["raise it", "", None]
    assert str(several) == (
        "training.steps: got 3, expected at least 4. Raise it.\nname: got no value, expected a name.\na line"
    )


def test_a_place_around_an_error_is_said_for_each_problem():
    error = ConfigError.several([ConfigError(*PLAIN), Problem("", "b", "c"), "a line"]).inside("x.yaml")
    assert type(error) is ConfigError
    assert str(error).splitlines() == [
        "x.yaml: training.steps: got 3, expected at least 4. Raise it.",
        "x.yaml: got b, expected c.",
        "x.yaml: a line",
    ]
    single = ConfigError(*PLAIN).inside("x.yaml")
    assert (single.where, single.got, single.expected, single.hint) == ("x.yaml: training.steps", *PLAIN[1:])
    assert str(ConfigError(*PLAIN).inside("")) == str(ConfigError(*PLAIN))


def test_what_is_near_is_a_question():
    assert nearest("layer", ["layers", "name"]) == "did you mean 'layers'?"
    assert nearest("quite other", ["layers"]) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [(3, "a number"), (0.5, "a number"), (True, "a truth value"), ("b", "a text"), (None, "nothing"),
     ([], "a list"), ({}, "an object"), (b"b", "a bytes"), (OSError(), "an OSError")],
)  # fmt: skip
def test_a_value_is_named_by_its_kind(value, words):
    assert kind_of(value) == words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory"),
        (OSError(5, "I/O error"), "I/O error"),
        (OSError("broken"), "broken"),
        (OSError(), "an unknown error"),
    ],
)
def test_what_the_system_says_stands_within_a_sentence(error, words):
    assert system_says(error) == words


@pytest.mark.parametrize("kind", KINDS)
def test_errors_can_be_imported_from_the_package(kind):
    assert getattr(softprompt, kind) is getattr(errors, kind)
    assert kind in softprompt.__all__ and kind in dir(softprompt)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("1 half \ud800", r"1 half \ud800"),
        ("1\rb\x9bc", r"1\rb\x9bc"),
        ("é, 中文, عربي, 😀 and\ttabs", "é, 中文, عربي, 😀 and\ttabs"),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text, shown):
    for error in (
        ConfigError(text),
        ConfigError("x", text),
        ConfigError("x", 1, text),
        ConfigError("x", 1, "y", text),
    ):
        assert shown in str(error)
    assert ConfigError("x", text).got == text


def test_long_values_are_shortened():
    error = ConfigError("x", "a" * 50_000 + "end", "b" * 50_000, "c" * 50_000)
    assert len(str(error)) < 4000
    assert "end (50,003 characters)" in str(error)
    several = ConfigError.several(Problem("x", i) for i in range(5000))
    assert len(several.problems) == 5000 and str(several).endswith("and 4,900 more of the kind")


def test_one_is_not_several():
    counts = [counted(0, "row"), counted(1, "row"), counted(2, "training pair"), counted(12345, "step")]
    assert counts == ["0 rows", "1 row", "2 training pairs", "12,345 steps"]


def test_the_rooms_that_speak_to_people_count_by_it():
    things = "steps|rows|records|pairs|examples|texts|pictures|labels|columns|lines|runs|tokens|words"
    without = re.compile(r"\{len\([^{}]*\)(:,)?\} (" + things + r")\b")
    rooms = [Path(softprompt.__file__).parent / room for room in ("training", "studies")]
    for file in (file for room in rooms for file in room.rglob("*.py")):
        assert not without.search(file.read_text(encoding="utf-8")), file
