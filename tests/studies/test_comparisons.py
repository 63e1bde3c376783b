"""Wins, pairs, chance and several metrics in a study's table, from made-up runs."""

import json

import pytest

from softprompt.errors import ConfigError
from softprompt.studies.comparisons.rows import n_wins, paired_table, pairs, wins_by_column, wins_table
from softprompt.studies.comparisons.statistics import paired_t, welch, wilcoxon
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import results_table
from softprompt.studies.results.study_result import read_results
from softprompt.studies.storage.exports import as_json
from studies.fakes import BASE, as_markdown, finish, write_study

ROWS = [{"name": name, "set": {"training.learning_rate": 1 + i}} for i, name in enumerate("abc")]
COLUMNS = [{"name": "x"}, {"name": "y", "set": {"metrics": ["ter"]}}]
LEARNED = {
    "name": "base",
    "method": {"name": "p_tuning_v2", "length": 5},
    "task": {"name": "classification"},
    "metrics": ["accuracy", "macro_f1"],
    "training": {"steps": 10},
}


def table(result):
    """The short table of results, the best of a column in bold."""
    return results_table(result, short=True).texts("**{}**")


def results(tmp_path, values, base=BASE, **study):
    """A study whose runs have ended with these values in every metric, row by row, column by column."""
    grid = load_grid(write_study(tmp_path, base, **{"rows": ROWS, "seeds": [0, 1], **study}))
    for run, value in zip(grid.runs, values, strict=True):
        if value is not None:
            some = value if isinstance(value, dict) else dict.fromkeys(run.settings.metrics, value)
            finish(run.settings, some)
    return read_results(grid)


def mistakes(tmp_path, base=BASE, **study):
    path = write_study(tmp_path, base, **{"rows": ROWS, "seeds": [0, 1], **study})
    with pytest.raises(ConfigError) as caught:
        load_grid(path)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


# -- wins --------------------------------------------------------------------------------------------

# x (more is better): c beats both; y (less is better): a and b beat c
VALUES = [10.0, 11.0, 30.0, 31.0, 10.0, 11.0, 30.0, 31.0, 90.0, 91.0, 80.0, 81.0]


def test_wins_by_column_and_which_way_is_up(tmp_path):
    result = results(tmp_path, VALUES, columns=COLUMNS, wins=True)
    wins = wins_by_column(result)
    assert wins["x"].winners == ("c",) and wins["x"].score == {"a": 0, "b": 0, "c": 2}
    assert wins["y"].winners == ("a", "b") and wins["y"].score == {"a": 1, "b": 1, "c": 0}
    assert wins["x"].p["c"]["a"] == welch([90.0, 91.0], [10.0, 11.0])
    assert wins["y"].p["a"]["c"] == welch([-30.0, -31.0], [-80.0, -81.0])
    assert n_wins(result) == {"a": 1, "b": 1, "c": 1}
    assert wins_table(result) == [
        ["row - rival", "a", "b", "c"],
        ["a", "", "+0.00 (0)", "-15.00 (1)"],
        ["b", "+0.00 (0)", "", "-15.00 (1)"],
        ["c", "+15.00 (1)", "+15.00 (1)", ""],
    ]


def test_wins_in_the_report(tmp_path):
    references = [{"name": "level", "set": {"metrics": ["bleu"]}}]
    result = results(
        tmp_path, [*VALUES, 5.0, 5.0], columns=COLUMNS, references=references, wins=True
    )  # fmt: skip
    text = as_markdown(result, "")
    lines = text.splitlines()
    assert lines[2:8] == [
        "|  | x BLEU | y TER (lower is better) | # wins | trained parameters | stored parameters |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| a | 10.50 ± 0.71 | **30.50 ± 0.71** | 1 | 5,000 | 12 |",
        "| b | 10.50 ± 0.71 | **30.50 ± 0.71** | 1 | 5,000 | 12 |",
        "| c | **90.50 ± 0.71** | 80.50 ± 0.71 | 1 | 5,000 | 12 |",
        "| level (reference) | 5.00 ± 0.00 |  |  | 5,000 | 12 |",
    ]
    assert "| c | +15.00 (1) | +15.00 (1) |  |" in lines
    assert "- # wins: columns in which a row significantly beats as many rivals as any row does" in text
    facts = as_json(result, "")["wins"]
    assert facts["rows"] == {"a": 1, "b": 1, "c": 1} and facts["alpha"] == 0.025
    assert facts["columns"]["x"]["p"]["c"]["a"] == welch([90.0, 91.0], [10.0, 11.0])
    assert facts["columns"]["y"]["winners"] == ["a", "b"]
    assert facts["pairs"][1] == {"row": "a", "rival": "c", "difference": -15.0, "columns": 2, "beaten": 1}
    json.dumps(facts)
    plain = results(tmp_path, [None] * 14, columns=COLUMNS, references=references)
    assert "# wins" not in as_markdown(plain, "") and "wins" not in as_json(plain, "")


def test_incomplete_cells_take_no_part(tmp_path):
    values = [10.0, 11.0, 30.0, 31.0, 10.0, 11.0, 30.0, 31.0, 90.0, None, 80.0, None]
    result = results(tmp_path, values, columns=COLUMNS, wins=True)
    assert wins_by_column(result)["x"].score == {"a": 0, "b": 0}
    assert n_wins(result) == {"a": 2, "b": 2, "c": 0}
    assert wins_table(result)[3] == ["c", "-", "-", ""]
    assert wins_table(result)[1] == ["a", "", "+0.00 (0)", "-"]


# -- pairs over the columns --------------------------------------------------------------------------


def test_paired_tests_over_columns_with_one_seed(tmp_path):
    columns = [{"name": str(i)} for i in range(5)]
    a, b = [10.0, 20.0, 30.0, 40.0, 50.0], [11.0, 22.0, 33.0, 44.0, 51.5]
    rows = [{"name": "a"}, {"name": "b", "set": {"training.learning_rate": 2}}]
    result = results(tmp_path, [*a, *b], rows=rows, columns=columns, seeds=[0], paired=True)
    first, second = pairs(result)
    assert (first.n_better, first.n_worse, second.n_better) == (0, 5, 5)
    assert (first.row, first.rival, first.n) == ("a", "b", 5)
    assert second.difference == pytest.approx(2.3) and second.t == paired_t(b, a)
    assert second.wilcoxon == wilcoxon(b, a) == pytest.approx(1 / 32)
    assert paired_table(result) == [
        ["row", "rival", "mean difference", "columns", "paired t-test p", "Wilcoxon p"],
        ["b", "a", "+2.30", "5", f"{paired_t(b, a):.4f}", "0.0312"],
    ]
    lines = as_markdown(result, "").splitlines()
    assert "Paired over the columns' means, one-sided, the better row first:" in lines
    assert as_json(result, "")["paired"][1]["wilcoxon"] == pytest.approx(1 / 32)


def test_pairs_stand_in_the_order_of_the_better_rows(tmp_path):
    columns = [{"name": "x"}, {"name": "y"}]
    values = [1.0, 1.0, 5.0, 6.0, 3.0, 3.0]
    result = results(tmp_path, values, columns=columns, seeds=[0], paired=True)
    assert [line[:3] for line in paired_table(result)[1:]] == [
        ["b", "a", "+4.50"], ["b", "c", "+2.50"], ["c", "a", "+2.00"],
    ]  # fmt: skip


def test_a_pair_that_is_equal_is_told_once(tmp_path):
    columns = [{"name": "x"}, {"name": "y"}]
    result = results(tmp_path, [1.0] * 4, rows=ROWS[:2], columns=columns, seeds=[0], paired=True)
    assert paired_table(result)[1:] == [["a", "b", "+0.00", "2", "0.5000", "0.5000"]]


# -- chance, and several metrics ---------------------------------------------------------------------


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A recipe of classification, and x.csv (3 of 5 are no) and y.csv (4 are p, 3 q, 3 r)."""
    for name, labels in (("x", "no yes no yes no"), ("y", "q q q p p p p r r r")):
        rows = [f"text {i},{label}\n" for i, label in enumerate(labels.split())]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    return {**LEARNED, "data": {"format": "labelled_csv", "train": "x.csv", "test": "x.csv"}}


def shows(*metrics):
    return [{"name": "x"}, {"name": "y", "set": {"data.test": "y.csv"}, "show": list(metrics)}]


def test_chance_is_the_most_frequent_label_of_the_test_records(tmp_path, base):
    columns = shows("accuracy", "macro_f1")
    result = results(tmp_path, [50.0] * 12, base, columns=columns, chance=True, wins=True)
    assert result.chance["x"] == {"accuracy": 60.0}
    # always p: F1 of p is 2 * 4 / (10 + 4), of the other two labels 0
    assert result.chance["y"] == pytest.approx({"accuracy": 40.0, "macro_f1": 100 * 8 / 14 / 3})
    assert table(result)[-1] == ["chance (majority class)", "60.00", "40.00 / 19.05", "", "0", "0"]
    assert "- Chance: always the most frequent label of the test records" in as_markdown(result, "")
    assert as_json(result, "")["chance"]["x"] == {"accuracy": 60.0}


def test_chance_counts_the_records_that_are_drawn(tmp_path, base):
    result = results(tmp_path, [1.0] * 6, base, set={"data.test_size": 1}, chance=True)
    assert result.chance == {"": {"accuracy": 100.0}}


def test_chance_without_the_file_is_a_note(tmp_path, base):
    (tmp_path / "x.csv").unlink()
    result = results(tmp_path, [50.0] * 6, base, chance=True)
    assert table(result)[-1] == ["chance (majority class)", "-", "0", "0"]
    assert "- No chance level for the rows: " in as_markdown(result, "")


def test_chance_by_number(tmp_path, base):
    columns = shows("accuracy", "macro_f1")
    result = results(tmp_path, [50.0] * 12, base, columns=columns, chance={"y": 33.3})
    assert table(result)[-1] == ["chance", "", "33.30", "0", "0"]
    result = results(tmp_path, [None] * 12, base, columns=columns, chance=50)
    assert table(result)[-1] == ["chance", "50.00", "50.00", "0", "0"]


def test_several_metrics_in_a_cell_and_the_first_decides(tmp_path, base):
    pairs_of = [(60.0, 10.0), (62.0, 12.0), (50.0, 90.0), (50.0, 90.0), (40.0, 20.0), (40.0, 20.0)]
    values = [{"accuracy": accuracy, "macro_f1": f1} for accuracy, f1 in pairs_of]
    result = results(
        tmp_path, values, base, columns=[{"name": "x", "show": ["accuracy", "macro_f1"]}], wins=True
    )  # fmt: skip
    head, first, second, _ = table(result)
    assert head[1] == "x accuracy / macro F1"
    assert first[1] == "**61.00 ± 1.41 / 11.00 ± 1.41**" and second[1] == "50.00 ± 0.00 / 90.00 ± 0.00"
    shown = as_json(result, "")["cells"][0]["shown"]
    assert shown["macro_f1"] == {"mean": 11.0, "std": pytest.approx(2**0.5), "n": 2}
    values[0] = {"accuracy": 60.0}
    (tmp_path / "again").mkdir()
    result = results(tmp_path / "again", values, base, columns=[{"name": "x", "show": ["accuracy", "mcc"]}],
                     set={"metrics": ["accuracy", "mcc"]})  # fmt: skip
    assert table(result)[1][1] == "**61.00 ± 1.41 / -**"


@pytest.mark.parametrize(
    ("study", "line"),
    [
        ({"wins": True, "seeds": [0]},
         "wins: got true with one seed, expected at least two seeds to test over. Give seeds."),
        ({"wins": True, "rows": ROWS[:1]}, "wins: got true with 1 row, expected at least two rows "
        "to compare."),
        ({"paired": True, "columns": [{"name": "x"}]},
         "paired: got true with 1 column, expected at least two columns to pair. Give columns."),
        ({"chance": {"z": 5.0}, "columns": [{"name": "x"}]},
         "chance: got 'z', expected one of the columns (x)."),
        ({"columns": [{"name": "x", "show": ["accuracy", "bleu"]}]},
         "a, x (and 2 more): show: got 'bleu', expected one of the metrics of the run "
         "(accuracy, macro_f1)."),
        ({"columns": [{"name": "x", "show": []}]},
         "columns.x.show: got no metric, expected at least one. Name one, or leave show out."),
        ({"rows": [{"name": "a", "show": ["accuracy"]}]},
         "a.show: got metrics that rows show, expected metrics that columns show. Move "
         "them to the columns."),
        ({"chance": True, "set": {"data": {"format": "copa", "train": "x", "test": "x"},
                                  "task": {"name": "choice"}, "metrics": ["accuracy"]}},
         "try: chance: got true for copa, whose records have no label, expected texts "
         "with labels. Give the number yourself, as chance: {column: number}."),
        ({"chance": True, "set": {"data.test": None}},
         "try: chance: got true without data.test, expected test records whose labels can "
         "be counted. Give data.test."),
        ({"chance": True, "rows": [{"name": "a"}, {"name": "b", "set": {"data.test": "y.csv"}}]},
         "try: chance: got true, though b has another data.test than a, expected one test "
         "set in a column. Give its number yourself."),
        ({"chance": True, "set": {"task": {"name": "regression"}, "metrics": ["rmse"]}},
         "try: chance: got true for rmse, expected a column of accuracy or f1 or macro_f1 "
         "or mcc or question_em. Give its number yourself."),
        ({"keep": "some"}, "keep: got 'some', expected one of 'results', 'prompts' or 'all'."),
    ],
)  # fmt: skip
def test_a_mistake_and_its_words(tmp_path, base, study, line):
    assert mistakes(tmp_path, base, **study) == [line]
