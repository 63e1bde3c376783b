"""The tables of a report, with the paper's figures beside ours, as Markdown and LaTeX."""

import shlex
import shutil
import subprocess

import pytest
import yaml

from softprompt.config import load_recipe
from softprompt.errors import ConfigError
from softprompt.markdown import table_lines
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import (
    Source,
    compose_report,
    markdown,
    results_table,
    write_report,
)
from softprompt.studies.report.render import in_latex, latex
from softprompt.studies.report.runs import in_yaml, repeating
from softprompt.studies.results.folders import failure_of
from softprompt.studies.results.study_result import read_results
from studies.fakes import as_markdown, begin, finish, write_study

ROWS = [
    {"name": "full & whole", "set": {"method": {"name": "fine_tuning"}}},
    {"name": "prefix_0.1%", "set": {"method.length": 2}},
]
COLUMNS = [{"name": "E2E", "show": ["bleu", "ter", "bleu@seen"]}, {"name": "DART"}]
PAPER = {"source": "arXiv 2101.00190v1, Table 1", "sure": "P"}
PUBLISHED = [
    {"row": "full & whole", "column": "E2E", "value": 68.2, "note": "GPT-2 medium", **PAPER},
    {"row": "prefix_0.1%", "column": "E2E", "value": "69.70", "note": "GPT-2 medium", **PAPER},
    {"row": "prefix_0.1%", "column": "E2E", "metric": "ter", "value": 0.4, "std": 0.05,
     "source": "README", "sure": "R"},
]  # fmt: skip


def study_of(tmp_path, **changes):
    raw = {"rows": ROWS, "columns": COLUMNS, "seeds": [0, 1], "published": PUBLISHED, **changes}
    return load_grid(write_study(tmp_path, **raw))


@pytest.fixture
def result(tmp_path):
    """Two rows, two columns, two seeds; of the last cell one run failed and one was never run."""
    grid = study_of(tmp_path)
    runs = list(grid.runs)
    for i, run in enumerate(runs[:6]):
        finish(run.settings, {"bleu": 69.699 + i, "ter": 50.001})
    failure_of(grid, runs[6]).parent.mkdir()
    failure_of(grid, runs[6]).write_text('{"error": "loss: got nan\\nstop", "trace": ""}', encoding="utf-8")
    return read_results(grid)


def test_the_published_figure_stands_beside_ours(result):
    table = results_table(result)
    assert table_lines(table.texts("**{}**")) == [
        "|  | E2E BLEU | E2E paper | E2E TER (lower is better) | E2E paper | E2E BLEU, seen | DART BLEU "
        "| trained parameters | stored parameters |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| full & whole | 70.19 ± 0.71 | 68.2 [P1] | **50.01 ± 0.00** |  | **0.00 ± 0.00** | 72.19 ± 0.71 "
        "| 1,000 | 12 |",
        "| prefix_0.1% | **74.19 ± 0.71** | 69.70 [P1] | **50.01 ± 0.00** | 0.4 ± 0.05 [R2] "
        "| **0.00 ± 0.00** | failed | 2,000 | 12 |",
    ]
    assert table.notes[1:] == (
        "Published, [P1]: arXiv 2101.00190v1, Table 1, checked against the paper's text",
        "Published, [R2]: README, read in the official repository",
        "Published, full & whole, E2E, BLEU; prefix_0.1%, E2E, BLEU: GPT-2 medium",
    )
    assert "cut towards the worse side, never rounded up" in table.notes[0]


def test_latex_is_escaped_and_whole(result):
    table = results_table(result)
    text = latex(table)
    assert r"\multicolumn{5}{c}{E2E} & \multicolumn{1}{c}{DART} &  &  \\" in text
    assert r"\cmidrule(lr){2-6} \cmidrule(lr){7-7}" in text
    assert r"prefix\_0.1\% & \textbf{74.19 $\mathbf{\pm}$ 0.71} & 69.70 [P1] &" in text
    assert r"full \& whole & 70.19 $\pm$ 0.71 &" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in lines[1:]} == {8}
    for part in ("table", "tabular"):
        assert text.count(rf"\begin{{{part}}}") == text.count(rf"\end{{{part}}}") == 1
    assert in_latex(r"a\b~c^d$e#f<g>") == (
        r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\$e\#f\textless{}g\textgreater{}"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: only the structure is tested")
def test_latex_compiles(result, tmp_path):
    write_report(compose_report(Source(result, "x"), "y"), tmp_path / "out")
    made = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"],
        cwd=tmp_path / "out", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout[-2000:]
    assert "undefined" not in made.stdout


def test_what_is_missing_is_named(result):
    report = compose_report(Source(result, "softprompt study s.yaml", ("a", "b")), "softprompt report s.yaml")
    assert report.missing == (
        "prefix_0.1%, DART: seed 0 failed: loss: got nan stop; seed 1 not run",
        "The results table has runs that the study does not ask for, and they are left out: a, b",
    )
    text = markdown(report)
    assert "## What is missing\n\n- prefix_0.1%, DART: seed 0 failed" in text
    assert "- Study: `softprompt study s.yaml`\n- Report: `softprompt report s.yaml`\n" in text
    assert "- The backbone is not frozen in: full & whole (all)" in text


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("result.json", "result.json: got invalid JSON (Expecting"),
        (
            "settings.yaml",
            "settings.yaml: got broken YAML, expected the settings that the run wrote at its start",
        ),
    ],
)
def test_a_broken_file_is_named_and_the_rest_is_shown(tmp_path, broken, named):
    grid = study_of(tmp_path, rows=ROWS[1:], columns=[], published=[])
    first, second = grid.runs
    for run in (first, second):
        finish(run.settings, {"bleu": 1.0, "ter": 1.0})
    (first.settings.folder / broken).write_text("{ [", encoding="utf-8")
    result = read_results(grid, strict=False)
    (gap,) = compose_report(Source(result, ""), "").missing
    assert gap.startswith("prefix_0.1%: seed 0 failed: ") and named in gap
    assert "1.00 (1 of 2, failed)" in markdown(compose_report(Source(result, ""), ""))
    assert (first.settings.folder / broken).read_text(encoding="utf-8") == "{ ["


def test_a_folder_of_other_settings_is_named_not_counted(tmp_path):
    grid = study_of(tmp_path, rows=ROWS[1:], columns=[], published=[], seeds=None)
    (run,) = grid.runs
    finish(run.settings.model_copy(update={"metrics": ["bleu"]}), {"bleu": 1.0})
    gap, no_figure = compose_report(Source(read_results(grid, strict=False), ""), "").missing
    assert "other settings: metrics" in gap and no_figure == "No figure 'bars': no run is done"


def test_the_command_of_a_run_gives_its_settings(tmp_path):
    rows = [
        {"name": "a b", "set": {"method": {"name": "fine_tuning"}, "training.learning_rate": 1e-5}},
        {"name": "text: it's", "set": {"method.length": None, "method.initialization": "examples:2"}},
    ]
    path = write_study(tmp_path, rows=rows, seeds=[3, 4], seed_keys=["training.seed", "data.subsample"],
                       set={"data.train": "a b.csv", "data.train_size": 50})  # fmt: skip
    grid = load_grid(path, ["training.batch_size=3", "metrics=[bleu]"])
    for cell in grid.cells:
        for run in cell.runs:
            program, command, recipe, *words = shlex.split(repeating(grid, cell, run))
            assert (program, command, words[::2]) == ("softprompt", "train", ["--set"] * (len(words) // 2))
            again = load_recipe(recipe, words[1::2])
            there = run.settings.model_copy(update={"output": again.output})
            assert again == there


@pytest.mark.parametrize(
    "value", [None, 1, 1e-05, True, "null", "1", "a: b", "x'y", [1, "b"], {"a": {"b": None}}]
)
def test_values_on_one_line_are_read_back(value):
    assert yaml.safe_load(in_yaml(value)) == value and "\n" not in in_yaml(value)


@pytest.mark.parametrize(
    ("published", "line"),
    [
        ({"row": "prefix", "column": "E2E", "value": 1, **PAPER},
         "published.0.row: got 'prefix', expected one of the rows (full & whole, prefix_0.1%). "
         "Did you mean 'prefix_0.1%'?"),
        ({"row": "full & whole", "column": "E3E", "value": 1, **PAPER},
         "published.0.column: got 'E3E', expected one of the columns (E2E, DART). Did you mean 'E2E'?"),
        ({"row": "full & whole", "value": 1, **PAPER},
         "try: published.0: got full & whole without a column, expected a row with one of "
         "its columns, or a reference without a column."),
        ({"row": "full & whole", "column": "DART", "metric": "ter", "value": 1, **PAPER},
         "try: published.0.metric: got 'ter', expected a metric that the column shows (bleu)."),
        ({"row": "full & whole", "column": "DART", "value": "many", **PAPER},
         "published.0.value: got 'many', expected a number as printed."),
        ({"row": "full & whole", "column": "DART", "value": 1, "source": "x", "sure": "Q"},
         "published.0.sure: got 'Q', expected one of 'R', 'P', 'S' or 'M'."),
        ({"row": "full & whole", "column": "DART", "value": 1, "source": "x"},
         "published.0.sure: got no value, expected a value."),
    ],
)  # fmt: skip
def test_published_figures_that_cannot_be_placed(tmp_path, published, line):
    path = write_study(tmp_path, rows=ROWS, columns=COLUMNS, published=[published])
    with pytest.raises(ConfigError) as caught:
        load_grid(path)
    assert str(caught.value) == f"{path}: {line}"


def test_a_second_figure_of_one_place_and_figures_without_an_axis(tmp_path):
    twice = [{"row": "full & whole", "column": "DART", "value": 1, **PAPER}] * 2
    path = write_study(tmp_path, rows=ROWS, columns=COLUMNS, published=twice, figures=["curve", "box", "box"])
    with pytest.raises(ConfigError) as caught:
        load_grid(path)
    assert [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()] == [
        "published.1: got a second figure of full & whole, DART, expected one figure for each place.",
        "figures: got box more than once, expected each of them once.",
        "figures: got 'curve' for a study with rows, expected vary, whose values are the "
        "axis. Leave the curve out.",
    ]


def test_groups_of_records_that_nobody_has(tmp_path):
    columns = [{"name": "x", "show": ["bleu@new", "cider@seen"]}]
    path = write_study(tmp_path, rows=ROWS[1:], columns=columns)
    with pytest.raises(ConfigError) as caught:
        load_grid(path)
    assert [line.partition("show: ")[2] for line in str(caught.value).splitlines()] == [
        "got 'bleu@new', expected bleu@seen or bleu@unseen.",
        "got 'cider@seen', expected one of the metrics of the run (bleu, ter).",
    ]


def test_spaces_in_a_setting_stay_in_the_notes(tmp_path):
    grid = study_of(tmp_path, rows=ROWS[1:], published=[], set={"method.initialization": "text:a  b"})
    result = read_results(grid)
    for text in (markdown(compose_report(Source(result, ""), "")), as_markdown(result)):
        assert "- For all: `method.initialization=text:a  b`" in text


def test_an_unfinished_run_is_named(tmp_path):
    grid = study_of(tmp_path, rows=ROWS[1:], columns=[], published=[], seeds=[5])
    (run,) = grid.runs
    begin(run.settings)
    assert compose_report(Source(read_results(grid), ""), "").missing == (
        "prefix_0.1%: seed 5 unfinished", "No figure 'bars': no run is done",
    )  # fmt: skip
