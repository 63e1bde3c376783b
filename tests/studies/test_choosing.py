"""Choosing by cross-validation inside a study: which runs there are, what is chosen, and what is kept."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from softprompt.data import load
from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.definition.choosing import pick
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import shown_cell
from softprompt.studies.results.folders import failure_of
from softprompt.studies.results.study_result import read_results
from softprompt.studies.running.runner import run_study
from softprompt.studies.storage.exports import as_json
from softprompt.training.run_folder import RunFolder
from studies.fakes import BASE, as_markdown, begin, finish, write_study

DATA = {"format": "e2e", "train": "train.csv", "dev": "dev.csv", "test": "test.csv", "test_size": 9}
SMALL = {**BASE, "data": DATA}
LENGTHS = [{"name": "short", "set": {"method.length": 1}}, {"name": "long", "set": {"method.length": 3}}]
CHOOSE = {"folds": 2, "candidates": LENGTHS}
ROWS = [{"name": "a"}, {"name": "b", "set": {"training.learning_rate": 0.5}}]


def grid_of(tmp_path, **study):
    study = {"rows": ROWS, "seeds": [0, 1], "choose": CHOOSE, **study}
    return load_grid(write_study(tmp_path, SMALL, **study))


def length_of(run) -> Any:
    return run.settings.method.length


def mistakes(tmp_path, base=SMALL, overrides=(), **study):
    path = write_study(tmp_path, base, **{"rows": ROWS, "seeds": [0, 1], "choose": CHOOSE, **study})
    with pytest.raises(ConfigError) as caught:
        load_grid(path, overrides)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


# -- the runs ----------------------------------------------------------------------------------------


def test_every_candidate_has_a_run_per_fold_without_a_test_set(tmp_path):
    keys, drawn = ["training.seed", "data.subsample"], {"data.train_size": 20}
    grid = grid_of(tmp_path, choose={**CHOOSE, "seed": 7}, seed_keys=keys, set=drawn)
    folds = list(grid.folds)
    assert [run.settings.name for run in folds[:4]] == [
        "a--short--fold-0", "a--short--fold-1", "a--long--fold-0", "a--long--fold-1",
    ]  # fmt: skip
    assert len(folds) == 8 and list(grid.runs) == []
    assert folds[3].label == "a, long, fold 2 of 2"
    for run in folds:
        settings = run.settings
        assert settings.folder.parent == grid.folder / "folds"
        assert settings.data.test is None and settings.data.test_size is None
        assert (settings.data.folds, settings.training.select) == (2, "bleu")
        assert settings.training.seed == settings.data.subsample == 7
    assert [run.settings.data.fold for run in folds[:4]] == [0, 1, 0, 1]
    assert [length_of(run) for run in folds[:4]] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    "data", [{"format": "restaurants"}, {"format": "csv", "train": "x.csv", "test_share": 0.25}]
)
def test_a_test_set_that_is_no_file_is_left_out_too(tmp_path, monkeypatch, data):
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    rows = "".join(f"s{i},t{i}\n" for i in range(12))
    (tmp_path / "x.csv").write_text(f"source,target\n{rows}", encoding="utf-8")
    path = write_study(tmp_path, {**SMALL, "data": data}, rows=ROWS, choose=CHOOSE)
    (cell, *_) = load_grid(path).cells
    whole = load(cell.options[0].runs[0].settings.data)
    folds = [load(run.settings.data) for run in cell.options[0].folds]
    tested = {record.source for record in whole.test}
    for fold in folds:
        assert fold.test == [] and fold.dev and tested
        assert not tested & {record.source for record in (*fold.train, *fold.dev)} or data["format"] != "csv"


def test_the_runs_of_a_candidate_have_everything_else_as_it_was(tmp_path):
    option = grid_of(tmp_path).cells[1].options[1]
    assert [run.settings.name for run in option.runs] == ["b--long--seed-0", "b--long--seed-1"]
    for seed, run in enumerate(option.runs):
        settings = run.settings
        assert settings.data.model_dump(include=set(DATA), mode="json") == DATA
        assert (settings.data.folds, settings.training.select) == (None, "loss")
        assert (settings.training.seed, settings.training.learning_rate) == (seed, 0.5)
        assert length_of(run) == 3


def test_a_row_may_choose_among_its_own_candidates_or_not_at_all(tmp_path):
    own = [{"name": str(i), "set": {"method.length": i}} for i in (4, 5, 6)]
    rows = [{"name": "a"}, {"name": "b", "candidates": own}, {"name": "c", "candidates": []}]
    references = [{"name": "level", "candidates": []}]
    grid = grid_of(tmp_path, rows=rows, references=references)
    assert [[option.name for option in cell.options] for cell in grid.cells] == [
        ["short", "long"], ["4", "5", "6"], [],
    ]  # fmt: skip
    assert [run.settings.name for run in grid.runs] == [
        "c--seed-0", "c--seed-1", "reference--level--seed-0", "reference--level--seed-1",
    ]  # fmt: skip


def test_without_folds_the_development_set_chooses_and_is_then_trained_on(tmp_path, fake_run):
    """VTAB's protocol: the last evaluation on the development set, then both sets and the last prompt."""
    changes = {"data.join_dev": True, "training.select": "loss"}
    grid = grid_of(tmp_path, choose={"folds": None, "candidates": LENGTHS}, set=changes)
    choosing = list(grid.folds)
    assert [run.settings.name for run in choosing] == [
        "a--short--dev", "a--long--dev", "b--short--dev", "b--long--dev",
    ]  # fmt: skip
    assert choosing[0].label == "a, short, to choose"
    for run in choosing:
        data = run.settings.data
        assert run.of_choice and run.settings.training.select == "bleu"
        assert (data.test, data.folds, data.join_dev, str(data.dev)) == (None, None, False, "dev.csv")
    # the last evaluation counts, and of equals the first listed
    fake_run.evaluations = lambda settings: (
        [50.0 - settings.method.length, float(settings.method.length)]
        if settings.training.learning_rate < 0.1
        else [7.0]
    )
    run_study(grid)
    result = read_results(grid)
    assert [cell.cell.chosen for cell in result.cells] == ["long", "short"]
    for run in result.cells[0].cell.runs:
        assert not run.of_choice and run.settings.data.join_dev and run.settings.training.select == "loss"
    note = (
        "- In brackets what each cell chose by its development records: the best BLEU of the last evaluation"
    )
    assert f"{note}, seed 0" in as_markdown(result, "").splitlines()
    assert as_json(result, "")["cells"][0]["choice"]["folds"] is None


# -- the choice --------------------------------------------------------------------------------------


def test_the_best_mean_is_picked_and_the_first_of_equals():
    assert pick("bleu", [[10.0, 30.0], [25.0, 16.0], [0.0, 1.0]]) == 1
    assert pick("ter", [[10.0, 30.0], [25.0, 16.0], [30.0, 30.0]]) == 0
    assert pick("loss", [[2.0, 3.0], [1.0, 2.0]]) == 1
    assert pick("bleu", [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]) == 0  # whatever the order of summing
    assert pick("bleu", [[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]]) == 0
    assert pick("bleu", [[10.0, 30.0], [25.0, None]]) is None


def test_a_study_chooses_and_trains_what_it_chose(tmp_path, fake_run):
    grid = grid_of(tmp_path)
    # "b" learns twice as fast and wants the short one
    fake_run.evaluations = lambda settings: (
        [float(settings.method.length)]
        if settings.training.learning_rate < 0.1
        else [50.0, 9.0 - settings.method.length]
    )
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    names = [name for name, _ in fake_run.calls]
    assert names[:8] == [run.settings.name for run in grid.folds]
    assert names[8:] == ["a--long--seed-0", "a--long--seed-1", "b--short--seed-0", "b--short--seed-1"]
    assert "run 1/12: a, short, fold 1 of 2\n" in out.getvalue()
    assert "run 12/12: b, short, seed 1\n" in out.getvalue()
    result = read_results(grid)
    a, b = result.cells
    assert (a.cell.chosen, b.cell.chosen) == ("long", "short")
    assert a.cell.changes == {"method.length": 3}
    assert b.cell.changes == {"training.learning_rate": 0.5, "method.length": 1}
    assert a.values == [30.0, 31.0] and [[run.value for run in option] for option in b.folds] == [
        [8.0, 8.0], [6.0, 6.0],
    ]  # fmt: skip
    assert shown_cell(a) == "30.50 ± 0.71 [long]"
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    assert len(fake_run.calls) == 12 and out.getvalue() == "12 of 12 runs are there already\n"


@pytest.mark.parametrize(("score", "chosen"), [("last", "short"), ("best", "long")])
def test_the_last_or_the_best_evaluation_counts(tmp_path, fake_run, score, chosen):
    fake_run.evaluations = lambda settings: [10.0 * settings.method.length, 5.0 / settings.method.length]
    grid = grid_of(tmp_path, choose={**CHOOSE, "score": score})
    run_study(grid)
    assert [cell.cell.chosen for cell in read_results(grid).cells] == [chosen] * 2


@pytest.mark.parametrize(("metric", "chosen"), [("ter", "short"), ("loss", "short"), ("bleu", "long")])
def test_the_metric_says_which_way_is_up(tmp_path, fake_run, metric, chosen):
    grid = grid_of(tmp_path, choose={**CHOOSE, "metric": metric})
    run_study(grid)
    assert {run.settings.training.select for run in grid.folds} == {metric}
    assert [cell.cell.chosen for cell in read_results(grid).cells] == [chosen] * 2


def test_a_fold_that_fails_costs_its_cell_only_and_is_tried_again_on_request(tmp_path, fake_run):
    grid = grid_of(tmp_path)
    fake_run.fails = {"a--long--fold-1": TrainingError("loss", "nan", "a number")}
    run_study(grid)
    assert [name for name, _ in fake_run.calls[8:]] == ["b--long--seed-0", "b--long--seed-1"]
    result = read_results(grid)
    assert [run.run.label for run in result.failed] == ["a, long, fold 2 of 2"]
    assert shown_cell(result.cells[0]) == "failed (choosing)" and not result.cells[0].complete
    assert "- Runs: 9 of 12 are done" in as_markdown(result, "")
    fake_run.fails = {}
    run_study(grid)
    assert len(fake_run.calls) == 10  # only when it is asked for
    run_study(grid, retry_failed=True)
    assert fake_run.calls[10:] == [
        ("a--long--fold-1", True), ("a--long--seed-0", False), ("a--long--seed-1", False),
    ]  # fmt: skip
    assert not failure_of(grid, list(grid.folds)[3]).exists()
    assert all(cell.complete for cell in read_results(grid).cells)


def test_an_interrupted_choice_goes_on_where_it_was(tmp_path, fake_run):
    grid = grid_of(tmp_path)
    fake_run.fails = {"a--long--fold-0": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run_study(grid)
    result = read_results(grid)
    assert [shown_cell(cell) for cell in result.cells] == ["unfinished (choosing)", "not run"]
    fake_run.fails = {}
    run_study(grid)
    assert fake_run.calls[3] == ("a--long--fold-0", True) and len(fake_run.calls) == 13


def test_the_folds_are_run_by_several_processes(tmp_path, fake_run, monkeypatch):
    from softprompt.studies.running import executors
    from softprompt.studies.running.worker import Outcome

    pools = []

    def here(workers, runs, begun):
        pools.append(len(workers))
        for run in runs:
            begun(run)
            fake_run(run.settings)
            yield run, Outcome()

    monkeypatch.setattr(executors, "pooled", here)
    grid = grid_of(tmp_path)
    run_study(grid, jobs=2)
    assert pools == [2, 2] and [cell.complete for cell in read_results(grid).cells] == [True, True]
    run_study(grid, jobs=2)
    assert pools == [2, 2]


def test_folds_with_other_settings_are_refused_before_anything_runs(tmp_path, fake_run):
    run_study(grid_of(tmp_path))
    n = len(fake_run.calls)
    with pytest.raises(TrainingError) as caught:
        run_study(grid_of(tmp_path, choose={**CHOOSE, "folds": 3}))
    assert "a, short, fold 1 of 3: " in str(caught.value) and "data.folds (2 there, 3 now)" in str(
        caught.value
    )
    assert len(fake_run.calls) == n


def test_another_candidate_chosen_later_leaves_the_first_ones_runs(tmp_path, fake_run):
    run_study(grid_of(tmp_path))
    more = [*LENGTHS, {"name": "longer", "set": {"method.length": 5}}]
    grid = grid_of(tmp_path, choose={**CHOOSE, "candidates": more})
    run_study(grid)
    assert [name for name, _ in fake_run.calls[12:16]] == [
        "a--longer--fold-0", "a--longer--fold-1", "b--longer--fold-0", "b--longer--fold-1",
    ]  # fmt: skip
    assert [cell.cell.chosen for cell in read_results(grid).cells] == ["longer"] * 2
    assert (grid.folder / "a--long--seed-0" / "result.json").is_file()


# -- the report --------------------------------------------------------------------------------------


def test_the_report_has_the_choice_and_every_score(tmp_path, fake_run):
    grid = grid_of(tmp_path, rows=[*ROWS[:1], {"name": "c", "candidates": []}])
    run_study(grid)
    result = read_results(grid)
    lines = as_markdown(result, "").splitlines()
    assert lines[4].startswith("| a | 30.50 ± 0.71 [long] | ")
    assert (
        "- In brackets what each cell chose by 2-fold cross-validation on its training and development "
        "records: the best mean BLEU of the last evaluation, seed 0"
    ) in lines
    assert "- Seeds: 0, 1 (training.seed)" in lines
    cells = as_json(result, "")["cells"]
    assert "choice" not in cells[1]
    choice = cells[0]["choice"]
    assert (choice["chosen"], choice["metric"], choice["folds"], choice["score"], choice["seed"]) == (
        "long", "bleu", 2, "last", 0,
    )  # fmt: skip
    assert [(one["name"], one["mean"], one["scores"]) for one in choice["candidates"]] == [
        ("short", 1.0, [1.0, 1.0]), ("long", 3.0, [3.0, 3.0]),
    ]  # fmt: skip
    assert [run["folder"] for run in choice["candidates"][0]["runs"]] == [
        "a--short--fold-0", "a--short--fold-1",
    ]  # fmt: skip
    json.dumps(cells)


# -- what is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "left"), [("all", {"prompt", "checkpoints"}), ("prompts", {"prompt"}), ("results", set())]
)
def test_what_a_run_leaves(tmp_path, fake_run, keep, left):
    grid = grid_of(tmp_path, keep=keep, rows=ROWS[:1])
    run_study(grid)
    n = len(fake_run.calls)
    result = read_results(grid)
    for run in result.runs:
        folder = RunFolder(run.run.settings.folder)
        there = {path.name for path in folder.path.iterdir()} & {"prompt", "checkpoints"}
        of_fold = run.run.settings.data.folds is not None
        assert there == (set() if of_fold else left)
        assert folder.finished() is not None and folder.settings.is_file()
    run_study(grid)
    assert len(fake_run.calls) == n  # it still knows that they ended


def test_a_stopped_studys_leavings_are_deleted_and_nothing_of_unfinished_runs(tmp_path, fake_run):
    grid = load_grid(write_study(tmp_path, rows=LENGTHS, keep="results"))
    ended, unfinished = grid.runs
    for folder in (finish(ended.settings, {"bleu": 1.0}), begin(unfinished.settings)):
        folder.prompt.mkdir()
        folder.checkpoints.folder.mkdir()
    fake_run.fails = {unfinished.settings.name: TrainingError("disk", "full")}
    read_results(grid)
    assert (ended.settings.folder / "prompt").is_dir()  # a report deletes nothing
    run_study(grid)
    assert not (ended.settings.folder / "prompt").exists()
    assert not (ended.settings.folder / "checkpoints").exists()
    assert (unfinished.settings.folder / "checkpoints").is_dir()


# -- mistakes ----------------------------------------------------------------------------------------


def candidates(*sets):
    return {"folds": 2, "candidates": [{"name": f"c{i}", "set": one} for i, one in enumerate(sets)]}


@pytest.mark.parametrize(
    ("study", "line"),
    [
        (
            {"choose": candidates({"method.length": 1}, {"method.lenght": 2})},
            "a, c1 (and 1 more): method.lenght: got an unknown setting. Did you mean 'length'?",
        ),
        (
            {"choose": candidates({"method.length": 1}, {"method.length": 0})},
            "a, c1 (and 1 more): method.length: got 0, expected at least 1.",
        ),
        (
            {"choose": candidates({}, {"training.learning_rate": 0.1})},
            "b: training.learning_rate: got a value from a candidate and another from the "
            "row, expected one place that sets it.",
        ),
        (
            {"choose": candidates({}, {"training.seed": 1}), "seeds": None},
            "a (and 1 more): training.seed: got a value from the seed and another from a "
            "candidate, expected one place that sets it.",
        ),
        (
            {"choose": candidates({}, {"output": "x"})},
            "a (and 1 more): output: got a value for a run, expected no value, since the "
            "study names its runs' folders.",
        ),
        (
            {"choose": {**CHOOSE, "metric": "accuracy"}},
            "a, short (and 3 more): choose.metric: got 'accuracy', expected loss or a metric "
            "of the run (bleu, ter).",
        ),
        (
            {"set": {"data.folds": 3, "data.fold": 0}},
            "a, short (and 3 more): data.folds: got both data.folds (3) and choose, expected "
            "choose alone, which says how many folds there are. Leave it out.",
        ),
        (
            {"choose": {**CHOOSE, "folds": None}, "set": {"data.dev": None}},
            "a, short (and 3 more): data.dev: got no development records, expected records "
            "by which candidates can be chosen. Give data.dev or choose.folds.",
        ),
        (
            {"choose": {**CHOOSE, "folds": 1}},
            "choose.folds: got 1, expected at least 2.",
        ),
        (
            {"choose": candidates({})},
            "choose.candidates: got 1 candidates for a, b, expected at least two to choose from.",
        ),
        (
            {"choose": {"folds": 2}, "rows": [{"name": "a"}, {"name": "b", "candidates": []}]},
            "choose.candidates: got 0 candidates for a, expected at least two to choose from.",
        ),
        (
            {"choose": {"candidates": [LENGTHS[0], LENGTHS[0]]}},
            "choose.candidates.name: got short more than once, expected each of them once.",
        ),
        (
            {"rows": [{"name": "a", "candidates": LENGTHS[:1]}]},
            "a.candidates: got one candidate, expected at least two, or [] where there is "
            "nothing to choose.",
        ),
        (
            {"rows": [{"name": "a", "candidates": LENGTHS}], "choose": None},
            "a.candidates: got candidates without choose, expected choose, which defines "
            "how they are compared. Add it.",
        ),
        (
            {"columns": [{"name": "x", "candidates": LENGTHS}]},
            "columns.x.candidates: got candidates of a column, expected candidates of rows. "
            "Move them to the rows.",
        ),
        (
            {"choose": {**CHOOSE, "score": "first"}},
            "choose.score: got 'first', expected one of 'last' or 'best'.",
        ),
        (
            {"choose": {"folds": 2, "candidates": [LENGTHS[0], {"name": "SHORT", "set": {}}]}, "seeds": [0]},
            "a, SHORT, fold 1 of 2: name: got the same folder as a, short, fold 1 of 2, expected names ",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_anything_is_run(tmp_path, study, line):
    found = mistakes(tmp_path, **study)
    if line.endswith(" "):
        assert found[0].startswith(line)
    else:
        assert found == [line]


def test_a_mistake_in_the_data_is_found_before_anything_is_run(tmp_path):
    base = {**SMALL, "data": {"format": "e2e", "dev": "dev.csv", "test": "test.csv"}}
    assert mistakes(tmp_path, base) == [
        "a, short (and 3 more): data.folds: got 2, expected a path in data.train whose "
        "records are cut into folds. Give it."
    ]


def test_an_override_of_what_candidates_change(tmp_path):
    found = mistakes(tmp_path, overrides=["method.length=2"])
    assert found == [
        "a (and 1 more): method.length: got a value from --set and another from a "
        "candidate, expected one place that sets it."
    ]
