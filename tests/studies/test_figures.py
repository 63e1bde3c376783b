"""What a report draws, and that the same numbers are the same bytes."""

import hashlib
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from softprompt.errors import ConfigError
from softprompt.plotting import box_plot, style
from softprompt.plotting.style import DARK, LIGHT
from softprompt.studies.figures.along import draw_curve, numbers_of
from softprompt.studies.figures.by_row import draw_bars, draw_boxes
from softprompt.studies.figures.learning import draw_learning, over_runs
from softprompt.studies.figures.parameters import draw_parameters
from softprompt.studies.figures.registry import FIGURES, FigureRow, draw_figures, suitable
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.results.curves import Curve
from softprompt.studies.results.study_result import read_results
from studies.fakes import finish, write_study

SIZES = {"key": "method.length", "values": [1, 4, 16, 64], "label": "prompt length"}


def study(tmp_path, bleu, evaluations=(), **raw):
    """A study in which run i has the i-th BLEU (None is a run that is not there) and these evaluations."""
    tmp_path.mkdir(exist_ok=True)
    grid = load_grid(write_study(tmp_path, **raw))
    for run, value in zip(grid.runs, bleu, strict=True):
        if value is not None:
            folder = finish(run.settings, {"bleu": value, "ter": 60.0 - value})
            for step, loss in evaluations:
                folder.append({"kind": "evaluation", "step": step, "loss": loss + run.seed})
    return read_results(grid)


def sheet_of(figure):
    """The drawn matplotlib figure; None without one."""
    if figure is None:
        return None
    with figure.drawing.sheet() as sheet:
        sheet.canvas.draw()
        return sheet


def names_of(legend):
    return [text.get_text() for text in legend.get_texts()]


# -- along an axis -----------------------------------------------------------------------------------


def test_a_curve_shows_means_bands_dots_and_levels(tmp_path):
    columns = [{"name": "up"}, {"name": "down", "set": {"method.layers": "last:1"}}]
    references = [{"name": "level", "set": {"method.length": 50}}]
    result = study(
        tmp_path, [10.0, 11.0, None, None, *(14.0 + i for i in range(12)), 40.0, 41.0],
        vary=SIZES, columns=columns, references=references, seeds=[0, 1], chance=5.0,
    )  # fmt: skip
    figure = draw_curve(result)
    assert figure is not None and figure.title == "BLEU against prompt length"
    sheet = sheet_of(figure)
    (panel,) = sheet.axes
    up, up_dots, down, down_dots, level, chance = panel.lines
    assert list(up.get_xdata()) == [1, 4, 16, 64] and list(up.get_ydata()) == [10.5, 14.5, 18.5, 22.5]
    assert list(up_dots.get_ydata()) == [10.0, 11.0, 14.0, 15.0, 18.0, 19.0, 22.0, 23.0]
    assert list(down.get_xdata()) == [4, 16, 64] and len(down_dots.get_ydata()) == 6
    assert level.get_ydata()[0] == 40.5 and chance.get_ydata()[0] == 5.0
    assert panel.get_xscale() == "log" and "logarithmic" in figure.caption
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "4", "16", "64"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("prompt length", "BLEU")
    assert names_of(sheet.legends[0]) == ["up", "down", "level", "chance"]


def test_an_axis_within_a_decade_is_linear_and_a_panel_per_measure(tmp_path):
    vary = {"key": "data.train_size", "values": [50, 100, 200, 400]}
    columns = [{"name": "x", "show": ["bleu", "ter"]}]
    result = study(tmp_path, [1.0, 2.0, 3.0, 4.0], vary=vary, columns=columns, set={"data.train": "a"})
    left, right = sheet_of(draw_curve(result)).axes
    assert left.get_xscale() == "linear"
    assert (left.get_ylabel(), right.get_ylabel()) == ("BLEU", "TER (lower is better)")
    assert list(right.lines[0].get_ydata()) == [59.0, 58.0, 57.0, 56.0]


@pytest.mark.parametrize(
    "values", [list(range(1, 40)), [10**i for i in range(8)], [1, 2, 3, 1000, 1001, 1002]]
)
def test_names_under_an_axis_never_touch(tmp_path, values):
    vary = {"key": "training.steps", "values": values}
    sheet = sheet_of(draw_curve(study(tmp_path, [1.0] * len(values), vary=vary)))
    boxes = [text.get_window_extent() for text in sheet.axes[0].get_xticklabels() if text.get_text()]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:]))  # noqa: B905


def test_values_that_are_no_numbers_are_bars_in_the_order_given(tmp_path):
    values = [{"label": word, "value": f"text:{word}"} for word in ("banana", "active")]
    vary = {"key": "method.initialization", "values": values}
    result = study(tmp_path, [3.0, 5.0, 4.0, 4.0], vary=vary, seeds=[0, 1])
    assert numbers_of(result) is None and suitable(result) == ["bars"]
    (panel,) = sheet_of(draw_bars(result)).axes
    assert [patch.get_width() for patch in panel.patches] == [4.0, 4.0]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["banana", "active"]
    assert panel.get_xlim()[0] == 0.0  # a bar that does not begin at zero lies


def test_labels_that_are_numbers_are_places_on_the_axis(tmp_path):
    vary = {"values": [{"label": "3", "value": "first:1"}, {"label": "7", "value": "first:2"}]}
    columns = [{"name": "x", "set": {"method.layers": "{value}"}}]
    assert numbers_of(study(tmp_path, [1.0, 2.0], vary=vary, columns=columns)) == [3.0, 7.0]


# -- boxes -------------------------------------------------------------------------------------------


def ends_of(patch, axis):
    """Where a drawn box begins and ends."""
    places = patch.get_path().vertices[:, axis]
    return places.min(), places.max()


@pytest.mark.parametrize(
    ("values", "five"),
    [([4.0, 1.0, 3.0, 2.0, 10.0], [1.0, 2.0, 3.0, 4.0, 10.0]), ([1.0, 2.0], [1.0, 1.25, 1.5, 1.75, 2.0])],
)
def test_a_box_has_the_five_numbers_with_quartiles_between_values(values, five):
    from matplotlib.figure import Figure

    panel = Figure().subplots()
    box = box_plot(panel, {0.0: values}, width=0.5, color="C0", upright=True)
    low, high, _, _, middle, _ = [list(line.get_ydata()) for line in panel.lines]
    found = sorted([low[1], *ends_of(box, 1), middle[0], high[1]])
    assert found == pytest.approx(five, rel=1e-12)
    assert found == pytest.approx(np.percentile(values, [0, 25, 50, 75, 100]), rel=1e-12)


def test_whiskers_end_at_the_extremes(tmp_path):
    values = [1.0, 50.0, 51.0, 52.0, 99.0]
    rows = [{"name": "a", "set": {"method.length": 1}}, {"name": "b", "set": {"method.length": 2}}]
    result = study(tmp_path, [*values, *(v / 2 for v in values)], rows=rows, seeds=list(range(5)))
    figure = draw_boxes(result)
    assert figure is not None and "whiskers end at minimum and maximum" in figure.caption
    (panel,) = sheet_of(figure).axes
    drawn = [sorted({float(x) for x in line.get_xdata()}) for line in panel.lines if line.get_ydata()[0] == 0]
    assert [1.0, 50.0] in drawn and [52.0, 99.0] in drawn  # an outlier stays within the whisker
    assert [line for line in panel.lines if len(set(line.get_xdata())) == 5]  # the dots
    assert ends_of(panel.patches[0], 0) == (50.0, 52.0)
    assert [text.get_text() for text in panel.get_yticklabels()] == ["a", "b"]


def test_boxes_along_an_axis_stand_in_groups(tmp_path):
    columns = [{"name": "full"}, {"name": "prefix", "set": {"method.layers": "last:1"}}]
    vary = {"key": "method.length", "values": [50, 100]}
    result = study(tmp_path, [float(i) for i in range(16)], vary=vary, columns=columns, seeds=[0, 1, 2, 3])
    assert suitable(result) == ["curve", "box"]
    sheet = sheet_of(draw_boxes(result))
    (panel,) = sheet.axes
    middles = [sum(ends_of(patch, 0)) / 2 for patch in panel.patches]
    assert middles == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert names_of(sheet.legends[0]) == ["full", "prefix"]


def test_one_run_each_is_no_box(tmp_path):
    result = study(tmp_path, [1.0, 2.0], rows=[{"name": "a"}, {"name": "b", "set": {"method.length": 2}}])
    assert draw_boxes(result) is None and draw_bars(result) is not None


# -- parameters and learning ---------------------------------------------------------------------------


def test_parameters_on_a_logarithmic_axis(tmp_path):
    rows = [{"name": "a", "set": {"method.length": 1}}, {"name": "b", "set": {"method.length": 2}}]
    result = study(tmp_path, [1.0, 3.0, 2.0, 4.0], rows=rows, seeds=[0, 1])
    assert draw_parameters(result) is None  # the fakes store the same number
    for cell, n in zip(result.cells, (1000, 5_000_000), strict=True):
        for run in cell.runs:
            run.facts["counts"]["stored_parameters"] = n
    assert suitable(result)[-1] == "parameters"
    sheet = sheet_of(draw_parameters(result))
    (panel,) = sheet.axes
    points = [
        (line.get_xdata()[0], line.get_ydata()[0]) for line in panel.lines if len(line.get_xdata()) == 1
    ]
    assert points == [(1000, 2.0), (5_000_000, 3.0)] and panel.get_xscale() == "log"
    assert names_of(sheet.legends[0]) == ["a", "b"]


def test_learning_curves_have_the_mean_in_a_band_of_the_extremes(tmp_path):
    rows = [{"name": "a"}, {"name": "b", "set": {"method.length": 2}}]
    result = study(tmp_path, [1.0] * 4, [(10, 5.0), (20, 3.0)], rows=rows, seeds=[0, 2])
    assert suitable(result) == ["bars", "learning"]
    figure = draw_learning(result)
    assert figure is not None and figure.title == "Development loss over the steps"
    sheet = sheet_of(figure)
    (panel,) = sheet.axes
    assert list(panel.lines[0].get_ydata()) == [6.0, 4.0] and list(panel.lines[0].get_xdata()) == [10, 20]
    band = panel.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (3.0, 7.0)
    assert names_of(sheet.legends[0]) == ["a", "b"]


def test_a_band_goes_as_far_as_every_run():
    curves = [Curve("loss", ((1, 5.0), (2, 4.0), (3, 3.0))), Curve("loss", ((1, 3.0), (3, 1.0), (4, 0.5)))]
    assert over_runs(curves) == ([1, 3], [4.0, 2.0], [3.0, 1.0], [5.0, 3.0])


# -- which, and how ------------------------------------------------------------------------------------


def test_the_study_file_chooses_and_what_cannot_be_drawn_is_said(tmp_path):
    rows = [{"name": "a"}, {"name": "b", "set": {"method.length": 2}}]
    result = study(tmp_path / "1", [1.0, None], rows=rows, figures=["bars", "box", "learning"])
    drawn, lacking = draw_figures(result)
    assert list(drawn) == ["bars"]
    assert lacking == [
        "No figure 'box': no cell has two runs that are done",
        "No figure 'learning': no run has two evaluations on development records that its log or the results "
        "table kept",
    ]
    assert draw_figures(study(tmp_path / "2", [1.0, 2.0], rows=rows, figures=[])) == ({}, [])


def test_a_row_is_all_that_a_new_figure_needs(tmp_path, monkeypatch):
    new = FigureRow("totals", draw_bars, lambda result: True, "", "", "", needs_axis=True)
    monkeypatch.setitem(FIGURES, "totals", new)
    drawn, _ = draw_figures(study(tmp_path, [1.0] * 4, vary=SIZES, figures=["totals"]))
    assert list(drawn) == ["totals"]
    rows = [{"name": "a"}, {"name": "b", "set": {"method.length": 2}}]
    with pytest.raises(ConfigError, match="got 'totals' for a study with rows, expected vary"):
        load_grid(write_study(tmp_path, rows=rows, figures=["totals"]))
    with pytest.raises(ConfigError, match=r"figures\.1: got 'total', expected one of 'curve', .*'totals'"):
        load_grid(write_study(tmp_path, vary=SIZES, figures=["box", "total"]))


def test_the_page_has_a_row_for_every_figure():
    page = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    rows = [f"| `{row.name}` | {row.shows} | {row.by_itself} |" for row in FIGURES.values()]
    assert "\n".join(rows) in page


def test_a_study_of_nothing_draws_nothing(tmp_path):
    drawn, lacking = draw_figures(study(tmp_path, [None] * 4, vary=SIZES))
    assert drawn == {} and lacking == ["No figure 'curve': no run is done"]


def test_many_rows_and_columns_do_not_overlap(tmp_path):
    rows = [{"name": f"a rather long name of row {i}", "set": {"method.length": i + 1}} for i in range(13)]
    columns = [{"name": f"column {i}", "set": {"training.learning_rate": i + 1}} for i in range(3)]
    result = study(tmp_path, [float(i) for i in range(78)], rows=rows, columns=columns, seeds=[0, 1])
    sheet = sheet_of(draw_boxes(result))
    for panel in sheet.axes:
        if panel.get_visible() and (names := [t for t in panel.get_yticklabels() if t.get_visible()]):
            boxes = [text.get_window_extent() for text in names]
            assert all(above.y0 >= below.y1 - 0.5 for above, below in zip(boxes, boxes[1:]))  # noqa: B905


@pytest.mark.parametrize("length", [4, 13, 20, 26, 40])
def test_a_legend_stays_within_its_figure(tmp_path, length):
    columns = [
        {"name": f"{i} {'nmo' * length}"[:length], "set": {"training.learning_rate": i + 1}} for i in range(6)
    ]
    sheet = sheet_of(draw_curve(study(tmp_path, [1.0] * 24, vary=SIZES, columns=columns)))
    (under,), width = sheet.legends, sheet.bbox.width
    box = under.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= width and box.y1 <= sheet.axes[0].get_window_extent().y0


def test_colours_can_be_exchanged_and_told_apart():
    for palette in (LIGHT, DARK):
        colors = list(palette.named().values())
        assert len(set(colors)) == len(colors) == 11
        assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)
        # WCAG: 3:1 for what is drawn, 4.5:1 for letters.
        assert all(contrast(color, palette.ground) >= 3 for color in palette.series)
        assert min(contrast(c, palette.ground) for c in (palette.ink, palette.muted)) >= 4.5
    assert set(LIGHT.named().values()).isdisjoint(DARK.named().values())
    looks = [tuple(style.series(i).values()) for i in range(20)]
    assert len(set(looks)) == 20 and len({look[:2] for look in looks}) == 20


def contrast(a, b):
    """WCAG 2, relative luminance."""

    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_forms_of_a_figure(tmp_path):
    figure = draw_curve(study(tmp_path, [1.0, 2.0, 3.0, 4.0], vary=SIZES))
    assert figure is not None and figure.png.startswith(b"\x89PNG")
    for text, mine, other in ((figure.light, LIGHT, DARK), (figure.dark, DARK, LIGHT)):
        ElementTree.fromstring(text)
        used = set(re.findall(r"#[0-9a-f]{6}\b", text))
        assert {mine.series[0], mine.ground, mine.ink, mine.rule} <= used
        assert used.isdisjoint(other.named().values()) and "<dc:date>" not in text


def hashes_of(path):
    """A hash of every form of each figure of a study."""
    drawn, _ = draw_figures(read_results(load_grid(path)))
    return [hashlib.sha256(f.light.encode() + f.dark.encode() + f.png).hexdigest() for f in drawn.values()]


SCRIPT = "import sys; from studies.test_figures import hashes_of; print(*hashes_of(sys.argv[1]))"


def test_the_same_bytes_whatever_the_hashes_the_day_and_the_user_s_own_style(tmp_path):
    study(tmp_path, [float(i) for i in range(16)], [(1, 3.0), (2, 2.0)], vary=SIZES, seeds=[0, 1, 2, 3])
    user_style = tmp_path / "matplotlibrc"
    user_style.write_text("font.size: 30\nlines.linewidth: 9\n", encoding="utf-8")
    here = hashes_of(tmp_path / "study.yaml")
    changes = {
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "SOURCE_DATE_EPOCH": "1",
        "MATPLOTLIBRC": str(user_style),
    }
    elsewhere = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "study.yaml")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changes},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert elsewhere.stdout.split() == here and len(here) == 3
