"""The one table of a study: a line per run, as CSV and Parquet."""

import csv

import pytest
from pyarrow import parquet

from softprompt.errors import TrainingError
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.results.folders import write_failure
from softprompt.studies.results.study_result import read_results
from softprompt.studies.running.runner import run_study
from softprompt.studies.storage.table import table_lines, write_table
from studies.fakes import begin, finish, write_study

ROWS = [
    {"name": "direct", "set": {"method.reparameterization": None}},
    {"name": "MLP", "set": {"training.learning_rate": 0.5}},
]


@pytest.fixture
def grid(tmp_path):
    grid = load_grid(
        write_study(
            tmp_path,
            rows=ROWS,
            seeds=[0, 1],
            subsamples=[3],
            set={"data.train": "train.csv", "data.train_size": 9},
        )
    )
    first, second, third, _ = grid.runs
    finish(first.settings, {"bleu": 12.5, "ter": 60})
    write_failure(grid, second, "loss: got nan\nsecond line", "")
    begin(third.settings)
    return grid


def test_a_line_for_each_run(grid):
    lines = table_lines(read_results(grid))
    shown = [(line["row"], line["seed"], line["state"], line["value"]) for line in lines]
    assert shown == [
        ("direct", 0, "done", 12.5),
        ("direct", 1, "failed", None),
        ("MLP", 0, "unfinished", None),
        ("MLP", 1, "not run", None),
    ]
    assert len({tuple(line) for line in lines}) == 1  # all with the same columns
    first, failed = lines[:2]
    assert (first["kind"], first["metric"], first["folder"]) == (
        "cell",
        "bleu",
        grid.cells[0].runs[0].settings.name,
    )
    scores = {key: value for key, value in first.items() if key.startswith("test_") and key != "test_records"}
    assert scores == {"test_bleu": 12.5, "test_ter": 60, "test_bleu@seen": 0.0, "test_ter@seen": 0.0}
    assert (first["subsample"], first["settings.data.subsample"]) == (3, 3)
    assert (first["seconds"], first["stored_parameters"], first["version.torch"]) == (61.5, 12, "2.6")
    assert failed["error"] == "loss: got nan\nsecond line" and failed["test_bleu"] is None
    rates = [line["settings.training.learning_rate"] for line in lines]
    assert rates == [0.01] * 2 + [0.5] * 2
    assert lines[0]["settings.method.reparameterization"] is None
    assert lines[2]["settings.method.reparameterization"] == "mlp"


def test_both_files_say_the_same(grid):
    write_table(read_results(grid))
    text = (grid.folder / "study.csv").read_bytes()
    assert b"\r" not in text
    with open(grid.folder / "study.csv", encoding="utf-8", newline="") as file:
        of_csv = list(csv.DictReader(file))
    of_parquet = parquet.read_table(grid.folder / "study.parquet").to_pylist()
    assert of_parquet[0]["value"] == 12.5 and of_parquet[1]["value"] is None
    for one, other in zip(of_csv, of_parquet, strict=True):
        assert one == {key: "" if value is None else str(value) for key, value in other.items()}


def test_a_choosing_study_before_its_choice_has_no_runs_and_then_its_own(tmp_path, fake_run):
    candidates = [{"name": str(i), "set": {"method.length": i}} for i in (1, 2)]
    path = write_study(
        tmp_path, rows=[{"name": "a"}], choose={"folds": 2, "candidates": candidates, "metric": "bleu"}
    )
    grid = load_grid(path, ["data.train=train.csv"])
    write_table(read_results(grid))
    assert parquet.read_table(grid.folder / "study.parquet").num_rows == 0
    run_study(grid)
    (line,) = table_lines(read_results(grid))
    assert (line["chosen"], line["value"], line["settings.method.length"]) == ("2", 20.0, 2)


def test_a_setting_of_several_kinds_is_text(tmp_path, fake_run):
    path = write_study(
        tmp_path, vary={"key": "method.layers", "values": ["all", {"label": "two", "value": [0, 1]}]}
    )
    grid = load_grid(path)
    run_study(grid)
    write_table(read_results(grid))
    layers = parquet.read_table(grid.folder / "study.parquet")["settings.method.layers"].to_pylist()
    assert set(layers) == {"all", "[0, 1]"}


def test_a_folder_that_cannot_be_written_is_an_error(grid, monkeypatch):
    import softprompt.studies.storage.table as table

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table, "write_atomically", full)
    with pytest.raises(TrainingError, match="a full disk"):
        write_table(read_results(grid))
