"""The one table of a study: long form, as CSV and Parquet."""

import csv

import pytest

from experiments.fakes import begin, finish, write_study
from softprompt.errors import TrainingError
from softprompt.experiments.execution import Outcome
from softprompt.experiments.folders import write_failure
from softprompt.experiments.grid import load_grid
from softprompt.experiments.results import read_results
from softprompt.experiments.runner import run_study
from softprompt.experiments.table import table_lines, write_table

ROWS = [
    {"name": "direct", "set": {"method.reparameterization": None}},
    {"name": "MLP", "set": {"training.learning_rate": 0.5}},
]


@pytest.fixture
def grid(tmp_path):
    grid = load_grid(write_study(tmp_path, rows=ROWS, seeds=[0, 1], subsamples=[3]))
    first, second, third, _ = grid.runs
    finish(first.settings, {"bleu": 12.5, "ter": 60})
    write_failure(grid, second, Outcome("loss: got nan"))
    begin(third.settings)
    return grid


def test_a_line_for_each_run_group_and_metric(grid):
    lines = table_lines(read_results(grid))
    shown = [(line["row"], line["seed"], line["state"], line["group"], line["metric"]) for line in lines]
    assert shown == [
        ("direct", 0, "done", "seen", "bleu"),
        ("direct", 0, "done", "seen", "ter"),
        ("direct", 0, "done", "all", "bleu"),
        ("direct", 0, "done", "all", "ter"),
        ("direct", 1, "failed", None, None),
        ("MLP", 0, "unfinished", None, None),
        ("MLP", 1, "not run", None, None),
    ]
    assert len({tuple(line) for line in lines}) == 1  # all with the same columns
    bleu, ter = lines[2:4]
    assert (bleu["value"], bleu["higher_is_better"], ter["higher_is_better"]) == (12.5, True, False)
    assert (bleu["subsample"], bleu["settings.data.subsample"]) == (3, 3)
    assert (bleu["training_seconds"], bleu["stored_parameters"], bleu["version.torch"]) == (61.5, 12, "2.6")
    assert lines[4]["error"] == "loss: got nan"
    rates = [line["settings.training.learning_rate"] for line in lines]
    assert rates == [0.01] * 5 + [0.5] * 2
    assert lines[0]["settings.method.reparameterization"] is None
    assert lines[5]["settings.method.reparameterization"] == "mlp"


def test_both_files_say_the_same(grid):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    result = read_results(grid)
    assert write_table(result) == ""
    with open(grid.folder / "results.csv", encoding="utf-8", newline="") as file:
        of_csv = list(csv.DictReader(file))
    table = parquet.read_table(grid.folder / "results.parquet")
    of_parquet = table.to_pylist()
    assert of_parquet[2]["value"] == 12.5 and of_parquet[5]["value"] is None
    for one, other in zip(of_csv, of_parquet, strict=True):
        assert one == {key: "" if value is None else str(value) for key, value in other.items()}


def test_without_pyarrow_the_table_is_csv_and_says_what_to_install(grid, monkeypatch):
    import softprompt.experiments.table as table

    grid.folder.mkdir(exist_ok=True)
    (grid.folder / "results.parquet").write_bytes(b"of another day")
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    assert 'pip install "softprompt[studies]"' in write_table(read_results(grid))
    assert (grid.folder / "results.csv").is_file() and not (grid.folder / "results.parquet").exists()


def test_runs_on_folds_have_their_development_score(tmp_path, fake_run):
    candidates = [{"name": str(i), "set": {"method.length": i}} for i in (1, 2)]
    path = write_study(
        tmp_path, rows=[{"name": "a"}], choose={"folds": 2, "candidates": candidates, "metric": "bleu"}
    )
    grid = load_grid(path, ["data.train=train.csv"])
    run_study(grid)
    folds = [line for line in table_lines(read_results(grid)) if line["kind"] == "fold"]
    assert [(line["candidate"], line["group"], line["metric"], line["value"]) for line in folds] == [
        (str(i), "development", "bleu", float(i)) for i in (1, 1, 2, 2)
    ]


def test_a_setting_of_several_kinds_is_text(tmp_path, fake_run):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = write_study(
        tmp_path, vary={"key": "method.layers", "values": ["all", {"label": "two", "value": [0, 1]}]}
    )
    grid = load_grid(path)
    run_study(grid)
    write_table(read_results(grid))
    layers = parquet.read_table(grid.folder / "results.parquet")["settings.method.layers"].to_pylist()
    assert set(layers) == {"all", "[0, 1]"}


def test_a_folder_that_cannot_be_written_is_an_error(grid, monkeypatch):
    import softprompt.experiments.table as table

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table, "write_atomically", full)
    with pytest.raises(TrainingError, match="a full disk"):
        write_table(read_results(grid))
