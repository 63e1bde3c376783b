"""A study read back from its folder and from results tables alone."""

import json
import shutil

import pytest

from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.definition.measures import scores_of
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import (
    compose_report,
    read_source,
    write_numbers,
    write_report,
    write_summary,
)
from softprompt.studies.results.curves import curve_of
from softprompt.studies.results.study_result import read_results
from softprompt.studies.storage.table import write_table
from softprompt.training.run_folder import RunFolder
from studies.fakes import finish, write_study

COMMAND = "softprompt study study.yaml --set training.batch_size=3"


@pytest.fixture
def study(tmp_path):
    """A study with an override, of which one run is missing; returns its file and its folder."""
    path = write_study(
        tmp_path,
        vary={"key": "method.length", "values": [1, 4, {"label": "many", "value": 16}]},
        columns=[{"name": "up"}, {"name": "down", "set": {"method.layers": "last:1"}}],
        references=[{"name": "up", "set": {"method.length": 50}}],
        seeds=[0, 1],
        chance=2.5,
        figures=["learning"],
    )
    grid = load_grid(path, ["training.batch_size=3"])
    for i, run in enumerate(grid.runs):
        if i == 3:
            continue
        folder = finish(run.settings, {"bleu": 10.0 + i / 3, "ter": 1.0})
        for step in (1, 2):
            folder.append({"kind": "evaluation", "step": step, "loss": 5.0 - step - i / 7})
    result = read_results(grid)
    write_numbers(result, COMMAND)
    write_table(result)
    return path, grid.folder


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def report_of(tmp_path, name, *arguments, **options):
    folder = tmp_path / name
    write_report(compose_report(read_source(*arguments, **options), "softprompt report"), folder)
    return files_of(folder)


def test_file_folder_and_table_give_the_same_bytes(study, tmp_path):
    path, folder = study
    overrides = ["training.batch_size=3"]
    first = report_of(tmp_path, "a", path, overrides)
    assert (
        len(first) >= 3
        and b"10.33" not in first["report.md"]
        and b"10.16 \xc2\xb1 0.24" in first["report.md"]
    )
    assert report_of(tmp_path, "c", folder) == first
    (tmp_path / "kept").mkdir()
    kept = shutil.copy(folder / "study.json", tmp_path / "kept" / "numbers.json")
    moved = shutil.move(folder, tmp_path / "moved")
    path.unlink()
    (tmp_path / "base.yaml").unlink()  # neither study file nor recipe is needed any more
    assert report_of(tmp_path, "d", moved) == first
    shutil.rmtree(moved)
    assert report_of(tmp_path, "e", kept) == first


def test_a_csv_alone_has_the_numbers(study, tmp_path):
    path, folder = study
    table = shutil.copy(folder / "study.csv", tmp_path / "numbers.csv")
    shutil.rmtree(folder)
    source = read_source(path, ["training.batch_size=3"], table)
    assert source.result.at("1", "up").values == [10.0, pytest.approx(10 + 1 / 3)]
    assert source.result.at("1", "down").state == "not run" and source.unasked == ()
    assert source.result.references[0].count("stored_parameters") == [12]
    # the column of how many test records there are is no score
    assert set(scores_of(source.result.references[0].runs[0].facts)) == {
        "bleu",
        "ter",
        "bleu@seen",
        "ter@seen",
    }
    assert source.command == COMMAND.replace("study.yaml", path.as_posix())


def test_a_parquet_alone_has_the_numbers(study, tmp_path):
    path, folder = study
    shutil.move(folder / "study.parquet", tmp_path / "numbers.parquet")
    shutil.rmtree(folder)
    source = read_source(path, ["training.batch_size=3"], tmp_path / "numbers.parquet")
    assert source.result.at("many", "up").values == [pytest.approx(10 + 8 / 3), 13.0]


def test_curves_are_in_the_log_and_in_the_table(study):
    path, folder = study
    of_log = read_results(load_grid(path, ["training.batch_size=3"])).at("1", "up").runs[1]
    of_table = read_source(folder / "study.json").result.at("1", "up").runs[1]
    assert of_table.stored and not of_log.stored
    assert curve_of(of_log) == curve_of(of_table)
    assert curve_of(of_log).points == ((1, pytest.approx(4 - 1 / 7)), (2, pytest.approx(3 - 1 / 7)))
    assert curve_of(of_log).metric == "loss"


def test_a_killed_study_is_reported_from_its_folder(tmp_path):
    """Before the first run the folder says what the study is; runs that ended since then are read."""
    path = write_study(tmp_path, vary={"key": "method.length", "values": [1, 4]})
    grid = load_grid(path)
    write_numbers(read_results(grid), "softprompt study x")
    first, _ = grid.runs
    finish(first.settings, {"bleu": 3.0, "ter": 1.0})
    source = read_source(grid.folder)
    assert source.result.at("1", "").values == [3.0] and source.command == "softprompt study x"
    assert compose_report(source, "").missing == ("4: seed 0 not run",)


def test_choices_are_read_from_the_table(tmp_path):
    rows = [{"name": "a", "set": {"method.length": 1}}, {"name": "b", "set": {"method.length": 2}}]
    names = ["slow", "fast"]
    candidates = [{"name": n, "set": {"training.learning_rate": 1 + i}} for i, n in enumerate(names)]
    data = {"format": "jsonl", "train": "x.jsonl", "test": "x.jsonl"}
    path = write_study(
        tmp_path, rows=rows, set={"data": data}, seeds=[0, 1],
        choose={"folds": 2, "candidates": candidates, "metric": "bleu"},
    )  # fmt: skip
    grid = load_grid(path)
    for cell in grid.cells:
        for i, option in enumerate(cell.options):
            for run in option.folds:
                folder = finish(run.settings, {})
                folder.append({"kind": "evaluation", "step": 1, "bleu": 5.0 + i})
                facts = folder.finished() or {}
                folder.result.write_text(json.dumps({**facts, "scores": []}), encoding="utf-8")
    for run in grid.cells[0].options[1].runs:
        finish(run.settings, {"bleu": 7.0, "ter": 1.0})
    write_summary(read_results(grid), COMMAND)
    there = read_results(grid)
    stored = read_source(grid.folder / "study.json").result
    assert [cell.cell.chosen for cell in stored.cells] == ["fast", "fast"]
    assert [[[run.value for run in option] for option in cell.folds] for cell in stored.cells] == [
        [[run.value for run in option] for option in cell.folds] for cell in there.cells
    ]
    assert stored.cells[0].values == [7.0, 7.0] and stored.cells[1].state == "not run"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "got invalid JSON (Expecting"),
        ("[]", "got JSON without cells, expected a results table as a study writes it. Make the "
               "table again"),
        ('{"cells": [{"runs": [{"seed": 0}]}]}', "got a cell or run without what it should have"),
        ('{"cells": [{"runs": [{"folder": "a", "state": "odd"}]}]}', "got 'odd' as the state of a"),
        ('{"cells": [{"runs": [{"folder": "a", "state": "not run"}, {"folder": "a", "state": "not run"}]}]}',
         "got a more than once"),
        ('{"cells": []}', "got a results table without its study"),
        ('{"cells": [], "plan": {"study": {}}}', "plan: name: got no value, expected a value."),
        ('{"cells": [], "plan": {}}', "got a broken plan (KeyError('study'))"),
    ],
)  # fmt: skip
def test_a_broken_table_and_its_words(tmp_path, text, named):
    path = tmp_path / "study.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((TrainingError, ConfigError)) as caught:
        read_source(path)
    assert named in str(caught.value) and str(path) in str(caught.value)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: text.replace(",10.0,", ",ten,"), "got 'ten' as value in line 1"),
        (
            lambda text: text.replace(",10.0,10.0,", ",10.0,nan,"),
            "a score of 1--up--seed-0 that is no finite",
        ),
        (lambda text: text + "a,b\n", "got broken .csv (CSV parse error: Expected "),
        (lambda text: text.replace("folder", "place"), "got no column folder"),
    ],
)
def test_a_broken_csv_and_its_words(study, tmp_path, change, named):
    path, folder = study
    table = tmp_path / "numbers.csv"
    table.write_text(change((folder / "study.csv").read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(TrainingError, match="expected a results table") as caught:
        read_source(path, ["training.batch_size=3"], table)
    assert named in str(caught.value)


def test_runs_that_the_study_does_not_ask_for_are_named(study, tmp_path):
    _, folder = study
    other = tmp_path / "other"
    other.mkdir()
    smaller = write_study(other, vary={"key": "method.length", "values": [1, 4]}, columns=[{"name": "up"}],
                          seeds=[0, 1])  # fmt: skip
    source = read_source(smaller, (), folder / "study.json")
    assert source.result.at("4", "up").complete and len(source.unasked) == 9
    gap = compose_report(source, "").missing[-1]
    assert "1--down--seed-0, " in gap and gap.endswith(" and 4 more")


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        (
            "nowhere",
            {},
            "nowhere: got no such file or folder, expected a study file, or the folder of a study that was "
            "run.",
        ),
        (
            "empty",
            {},
            "empty: got no study.json, expected the folder of a study. Name the study file instead: "
            "softprompt report FILE.",
        ),
        (
            "a.csv",
            {},
            "a.csv: got a table without its study, expected the study file or its folder. Name the study "
            "first: softprompt report FILE --from a.csv.",
        ),
        (
            "study.yaml",
            {},
            "runs/try: got no such folder, expected the folder of a study that was run. Run the study "
            "first, or name a results table with --from.",
        ),
        (
            "empty",
            {"overrides": ["a=1"]},
            "--set: got a=1 beside empty, expected a study file, since a study that was run has its "
            "settings.",
        ),
        (
            "a.json",
            {"table": "b.json"},
            "--from: got both b.json and a.json, expected one results table. Leave one out.",
        ),
        (
            "study.yaml",
            {"table": "a.csv"},
            "a.csv: got no such file, expected a results table of a study.",
        ),
        (
            "study.yaml",
            {"table": "a.txt"},
            "a.txt: got a file of kind '.txt', expected one of .json, .csv, .parquet.",
        ),
    ],
)
def test_nothing_to_read(tmp_path, name, options, line):
    from pathlib import Path

    write_study(tmp_path, rows=[{"name": "a"}])
    (tmp_path / "empty").mkdir()
    options = {key: Path(value) if key == "table" else value for key, value in options.items()}
    with pytest.raises((TrainingError, ConfigError)) as caught:
        read_source(tmp_path / name, **options)
    assert str(caught.value).replace(f"{tmp_path}/", "") == line


def test_a_log_with_a_loss_that_is_no_number_is_left_out(tmp_path):
    grid = load_grid(write_study(tmp_path, rows=[{"name": "a"}]))
    (run,) = grid.runs
    folder = finish(run.settings, {"bleu": 1.0, "ter": 1.0})
    for step, loss in enumerate([1.0, float("nan"), None]):
        folder.append({"kind": "evaluation", "step": step, "loss": loss})
    assert curve_of(read_results(grid).cells[0].runs[0]).points == ((0, 1.0),)
    assert isinstance(RunFolder(run.settings.folder).finished(), dict)
