"""Study files: every mistake at once, in plain words."""

import pytest

from softprompt.errors import ConfigError
from softprompt.studies.definition.settings import labelled
from softprompt.studies.reading.study_file import load_study
from studies.fakes import write_study

ROWS = [{"name": "short", "set": {"method.length": 1}}, {"name": "long", "set": {"method.length": 9}}]
VARY = {"key": "method.length", "values": [1, 2]}


def lines_of(path, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load_study(path, overrides)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("study", "line"),
    [
        ({"rows": ROWS, "seed": [1]}, "seed: got an unknown setting. Did you mean 'seeds'?"),
        (
            {"rows": [{"nmae": "a", "name": "b"}]},
            "rows.0.nmae: got an unknown setting. Did you mean 'name'?",
        ),
        ({"rows": [{"set": {}}]}, "rows.0.name: got no value, expected a value."),
        ({"rows": [{"name": "a", "set": 3}]}, "rows.0.set: got 3, expected a mapping of settings."),
        ({"vary": {"kye": "a", "values": [1]}}, "vary.kye: got an unknown setting. Did you mean 'key'?"),
        ({"rows": ROWS, "seeds": ["a"]}, "seeds.0: got 'a', expected a whole number."),
        ({}, "rows: got neither of them, expected exactly one of rows and vary."),
        ({"rows": ROWS, "vary": VARY}, "rows: got both of them, expected exactly one of rows and vary."),
        ({"rows": [ROWS[0], ROWS[0]]}, "rows.name: got short more than once, expected each of them once."),
        ({"rows": ROWS, "seeds": [1, 1]}, "seeds: got 1 more than once, expected each of them once."),
        ({"rows": ROWS, "seeds": []}, "seeds: got no seed, expected at least one. Name some, or "
        "leave seeds out."),
        (
            {"vary": {"key": "method.length", "values": [1, {"text": "a"}]}},
            "vary.values: got {'text': 'a'}, expected a value, or {label: ..., value: ...}.",
        ),
        (
            {"vary": {"key": "a.b", "values": [1, "1"]}},
            "vary.values: got 1 more than once, expected each of them once."),
        (
            {"vary": {"key": ["a.b", "a.c"], "values": [[1]]}},
            "vary.values: got [1], expected a list of 2 values for a.b, a.c.",
        ),
        (
            {"vary": {"values": [1]}, "columns": [{"name": "up", "set": {"method.layers": "first:2"}}]},
            "vary.key: got no key, and columns without {value}: up, expected a dotted key, "
            "or {value} in every column.",
        ),
        ({"vary": {"values": [1]}}, "vary.key: got no key, expected a dotted key, or {value} in "
        "every column."),
        (
            {"rows": ROWS, "columns": [{"name": "up", "set": {"method.layers": "first:{value}"}}]},
            "columns: got {value} without vary, expected vary, whose value it stands for.",
        ),
        (
            {"vary": VARY, "references": [{"name": "full", "set": {"method.layers": "first:{value}"}}]},
            "full: got {value} outside of columns, expected {value} in columns alone.",
        ),
    ],
)  # fmt: skip
def test_a_mistake_and_its_words(tmp_path, study, line):
    path = write_study(tmp_path, **study)
    assert lines_of(path) == [f"{path}: {line}"]


def test_all_mistakes_come_at_once(tmp_path):
    path = write_study(tmp_path, rows=[{"nmae": "a"}], seeds=3, metrik="bleu")
    assert len(lines_of(path)) == 4
    path = write_study(tmp_path, rows=ROWS, vary=VARY, seeds=[])
    assert len(lines_of(path)) == 2


def test_files_that_hold_no_study(tmp_path):
    path = tmp_path / "study.yaml"
    assert "no such file" in lines_of(path)[0]
    path.write_text("", encoding="utf-8")
    assert lines_of(path) == [f"{path}: got an empty file, expected a mapping of settings."]
    path.write_text("a: [", encoding="utf-8")
    assert "invalid YAML" in lines_of(path)[0]


def test_overrides_of_the_study_and_of_its_runs(tmp_path):
    overrides = ["name=other", "seeds=[4]", "metric=ter", "training.steps=3"]
    study, rest = load_study(write_study(tmp_path, rows=ROWS), overrides)
    assert (study.name, study.seeds, study.metric) == ("other", [4], "ter")
    assert rest == ["training.steps=3"]


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, "1"), (None, "null"), ("first:1", "first:1"), (0.01, "0.01"), (True, "true"), ([1, 2], "[1, 2]")],
)
def test_the_text_of_a_value(value, label):
    assert labelled(value) == (label, value)
    assert labelled({"label": "other", "value": value}) == ("other", value)
