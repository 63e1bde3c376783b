"""No cell of an exported CSV file is a formula; numbers stay numbers, and reading gives the text again."""

import csv
import io

import pytest

from softprompt.files import as_cell, from_cell
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report.render import write_summary
from softprompt.studies.results.folders import write_failure
from softprompt.studies.results.study_result import read_results
from softprompt.studies.storage.stored import read_stored
from studies.fakes import finish, write_study

FORMULAS = ["=1+1", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "=", "+a"]


@pytest.mark.parametrize("text", [*FORMULAS, "'=1", "''=1", "'-", "--1", "-1.5 ", "-1,5", "- 1"])
def test_texts_are_marked_and_read_back(text):
    cell = as_cell(text)
    assert cell == f"'{text}" and from_cell(cell) == text


@pytest.mark.parametrize(
    "value", ["-1", "+1.5", "-1e-3", "-inf", "a=b", "1-2", "", "'a", "'", " =1", 1.5, -3, None, True]
)
def test_other_values_stay(value):
    assert as_cell(value) is value
    assert not isinstance(value, str) or from_cell(value) == value


def test_a_studys_table_has_no_formula(tmp_path):
    names = [f"{text}x{i}" for i, text in enumerate(FORMULAS[:5])]
    rows = [{"name": name, "set": {"method.length": i + 1}} for i, name in enumerate(names)]
    grid = load_grid(write_study(tmp_path, rows=rows, seeds=[0]))
    first, second, *_ = grid.runs
    finish(first.settings, {"bleu": -12.5})
    write_failure(grid, second, "=HYPERLINK(1)", "")
    result = read_results(grid)
    folder = write_summary(result, "softprompt study")
    lines = list(csv.reader(io.StringIO((folder / "study.csv").read_text(encoding="utf-8"), newline="")))
    cells = [cell for line in lines for cell in line]
    assert "'=HYPERLINK(1)" in cells and {f"'{name}" for name in names} <= set(cells)
    begun = {cell for cell in cells if cell and cell[0] in "=+-@\t\r"}
    assert begun == {"-1", "-12.5"}  # numbers
    read = read_stored(folder / "study.csv").runs
    assert read[first.settings.name]["value"] == -12.5
    assert read[second.settings.name]["error"] == "=HYPERLINK(1)"
