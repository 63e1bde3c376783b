"""From a study file to its runs: what each is given, and which mistakes are found beforehand."""

from typing import Any

import pytest
import yaml

from softprompt.config import parse_run, put
from softprompt.errors import ConfigError
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.reading.runs import slug
from studies.fakes import BASE, write_study

ROWS = [{"name": "short", "set": {"method.length": 1}}, {"name": "Long one", "set": {"method.length": 9}}]


def method_of(run) -> Any:
    """Some method; which one is the test's to know."""
    return run.settings.method


def mistakes(path, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load_grid(path, overrides)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_rows_times_columns_times_seeds(tmp_path):
    columns = [{"name": "a", "set": {"training.steps": 3}}, {"name": "b", "set": {"metrics": ["ter"]}}]
    path = write_study(
        tmp_path, rows=ROWS, columns=columns, seeds=[0, 7], set={"training.learning_rate": 0.5}
    )
    grid = load_grid(path)
    assert grid.folder == tmp_path / "runs" / "try"
    assert [(cell.row, cell.column, cell.metric) for cell in grid.cells] == [
        ("short", "a", "bleu"), ("short", "b", "ter"), ("Long one", "a", "bleu"), ("Long one", "b", "ter"),
    ]  # fmt: skip
    runs = list(grid.runs)
    assert len(runs) == 8
    assert [run.settings.name for run in runs[:5]] == [
        "short--a--seed-0", "short--a--seed-7", "short--b--seed-0", "short--b--seed-7", "long-one--a--seed-0",
    ]  # fmt: skip
    assert {run.settings.folder.parent for run in runs} == {grid.folder}
    last = runs[-1]
    assert last.label == "Long one, b, seed 7"
    assert method_of(last).length == 9 and last.settings.training.seed == 7
    assert last.settings.training.steps == 10 and last.settings.training.learning_rate == 0.5
    assert runs[0].settings.training.steps == 3
    assert grid.cells[0].changes == {
        "training.learning_rate": 0.5, "method.length": 1, "training.steps": 3,
    }  # fmt: skip


def test_an_axis_of_values_with_labels_and_several_keys(tmp_path):
    values = [[1, 64], {"label": "big", "value": [2, 128]}]
    path = write_study(tmp_path, vary={"key": ["method.length", "method.width"], "values": values})
    grid = load_grid(path)
    assert grid.rows == ("[1, 64]", "big") and grid.axis == "method.length, method.width"
    methods = map(method_of, grid.runs)
    assert [(method.length, method.width) for method in methods] == [(1, 64), (2, 128)]


def test_a_column_uses_the_value_of_its_row(tmp_path):
    columns = [
        {"name": "ascending", "set": {"method.layers": "first:{value}"}},
        {"name": "descending", "set": {"method.layers": "last:{value}", "method.length": "{value}"}},
    ]
    path = write_study(tmp_path, vary={"values": [1, 2], "label": "layers"}, columns=columns)
    grid = load_grid(path)
    assert grid.axis == "layers"
    methods = [method_of(run) for run in grid.runs]
    assert [method.layers for method in methods] == ["first:1", "last:1", "first:2", "last:2"]
    assert [method.length for method in methods] == [5, 1, 5, 2]


def test_without_seeds_the_recipe_keeps_its_own(tmp_path):
    base = {**BASE, "training": {"steps": 10, "seed": 101}}
    grid = load_grid(write_study(tmp_path, base, rows=ROWS))
    assert [(run.seed, run.settings.training.seed) for run in grid.runs] == [(101, 101)] * 2
    assert next(grid.runs).settings.name == "short--seed-101"


def test_a_seed_may_set_several_keys(tmp_path):
    keys = ["training.seed", "data.subsample"]
    drawn = {"data.train": "train.csv", "data.train_size": 9}
    grid = load_grid(write_study(tmp_path, rows=ROWS[:1], seeds=[3], seed_keys=keys, set=drawn))
    settings = next(grid.runs).settings
    assert settings.training.seed == settings.data.subsample == 3


def test_another_base_and_a_whole_section(tmp_path):
    other = {**BASE, "training": {"epochs": 2}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    rows = [
        {"name": "other", "base": "other.yaml"},
        {"name": "soft tokens", "set": {"method": {"name": "prompt_tuning"}}},
    ]
    references = [{"name": "level", "set": {"method.length": 50}}]
    grid = load_grid(write_study(tmp_path, rows=rows, references=references))
    first, second, third = grid.runs
    assert first.settings.training.epochs == 2
    assert second.settings.method.name == "prompt_tuning" and method_of(second).length is None
    assert method_of(third).length == 50 and third.settings.name == "reference--level--seed-0"
    assert [cell.row for cell in grid.references] == ["level"]
    assert grid.cells[0].base == (tmp_path / "other.yaml").as_posix()


def test_overrides_and_output_reach_every_run(tmp_path):
    grid = load_grid(write_study(tmp_path, rows=ROWS), ["training.steps=2", "name=x"], tmp_path / "else")
    assert [run.settings.training.steps for run in grid.runs] == [2, 2]
    assert grid.folder == tmp_path / "else" / "x"


def test_paths_of_recipes_are_shown_as_a_user_would_write_them(tmp_path, monkeypatch):
    write_study(tmp_path, rows=ROWS)
    (tmp_path / "studies").mkdir()
    text = (tmp_path / "study.yaml").read_text(encoding="utf-8").replace("base.yaml", "../base.yaml")
    (tmp_path / "studies" / "study.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_grid("studies/study.yaml").cells[0].base == "base.yaml"


def test_every_mistake_of_every_cell_comes_at_once(tmp_path):
    rows = [
        {"name": "a", "set": {"method.lenght": 3, "training.steps": -1}},
        {"name": "b", "set": {"method.length": -1}},
        {"name": "c", "set": {"training.learning_rate.x": 1}},
        {"name": "d", "base": "none.yaml"},
    ]
    found = mistakes(write_study(tmp_path, rows=rows, seeds=[0, 1], columns=[{"name": "x"}, {"name": "y"}]))
    assert found[:4] == [
        "a, x (and 1 more): method.lenght: got an unknown setting. Did you mean 'length'?",
        "a, x (and 1 more): training.steps: got -1, expected at least 0.",
        "b, x (and 1 more): method.length: got -1, expected at least 1.",
        "c, x (and 1 more): set: got 'training.learning_rate.x', expected a setting "
        "inside 'learning_rate', which holds a single value.",
    ]
    assert found[4].startswith("d, x (and 1 more): ") and "none.yaml: got no such file" in found[4]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("study", "overrides", "line"),
    [
        (
            {"rows": ROWS, "columns": [{"name": "x", "set": {"method.length": 2}}]},
            [],
            "short, x (and 1 more): method.length: got a value from the column and another "
            "from the row, expected one place that sets it.",
        ),
        (
            {"rows": ROWS, "columns": [{"name": "x", "set": {"method": {"name": "prompt_tuning"}}}]},
            [],
            "short, x (and 1 more): method: got a value from the column and another from the "
            "row, expected one place that sets it.",
        ),
        (
            {"rows": ROWS},
            ["method.length=3"],
            "short (and 1 more): method.length: got a value from --set and another from the "
            "row, expected one place that sets it.",
        ),
        (
            {"rows": ROWS, "seeds": [0, 1]},
            ["training.seed=3"],
            "short (and 1 more): training.seed: got a value from --set and another from the "
            "seed, expected one place that sets it.",
        ),
        (
            {"rows": ROWS, "set": {"output": "else"}},
            [],
            "short (and 1 more): output: got a value for a run, expected no value, since the "
            "study names its runs' folders.",
        ),
        (
            {"rows": ROWS, "metric": "rouge_l"},
            [],
            "short (and 1 more): metric: got 'rouge_l', expected one of the metrics of the "
            "run (bleu, ter).",
        ),
        (
            {"rows": [*ROWS[:1], {"name": "b", "set": {"metrics": ["ter"]}}]},
            [],
            "b: metric: got ter here and bleu in short, expected one metric in a column. "
            "Name one in metric.",
        ),
        (
            {"rows": [{"name": "a b"}, {"name": "A-B"}]},
            [],
            "A-B, seed 0: name: got the same folder as a b, seed 0, expected names that "
            "differ in letters or digits.",
        ),
        (
            {"rows": [{"name": "a", "base": "base.yaml"}], "columns": [{"name": "x", "base": "base.yaml"}]},
            [],
            "a, x: base: got base.yaml and base.yaml, expected one recipe for each cell.",
        ),
    ],
)  # fmt: skip
def test_cells_that_contradict_each_other(tmp_path, study, overrides, line):
    assert mistakes(write_study(tmp_path, **study), overrides) == [line]


def test_an_override_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"--set: got 'training.steps', expected key=value"):
        load_grid(write_study(tmp_path, rows=ROWS), ["training.steps"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [("P-Tuning v2", "p-tuning-v2"), ("0.01", "0.01"), ("Café/x", "cafe-x"), ("表", "unnamed")],
)
def test_folder_names(name, folder):
    assert slug(name) == folder


def test_names_without_latin_letters_have_folders_of_their_own(tmp_path):
    names = ["方法一", "方法二", "Привет", "सॉफ्ट", "!?"]
    grid = load_grid(write_study(tmp_path, rows=[{"name": name} for name in names], seeds=[0]))
    folders = [run.settings.name for run in grid.runs]
    assert folders[:3] == ["方法一--seed-0", "方法二--seed-0", "привет--seed-0"]
    assert len(set(folders)) == 5 and folders[-1] == "unnamed--seed-0"
    again = parse_run(next(grid.runs).settings.model_dump(mode="json"))
    assert again.folder == next(grid.runs).settings.folder


def test_put_makes_sections_and_refuses_empty_parts():
    raw = {"a": None}
    put(raw, "a.b.c", 1)
    assert raw == {"a": {"b": {"c": 1}}}
    with pytest.raises(ConfigError, match="a dotted key"):
        put(raw, "a..b", 1)
