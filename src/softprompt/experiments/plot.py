"""The plot of a study whose rows lie along an axis."""

from pathlib import Path

from softprompt.experiments.measures import label
from softprompt.experiments.results import CellResult, StudyResult


def draw_study(result: StudyResult, path: Path) -> bool:
    """Draw mean, standard deviation and single runs along the axis, one line per column.

    Args:
        path: the picture; its ending says which kind.

    Returns:
        Whether there was something to draw: an axis, and a value on it.
    """
    # The object interface needs no display and leaves the caller's pyplot alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grid = result.grid
    if grid.settings.vary is None or not any(cell.values for cell in result.cells):
        return False
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for i, column in enumerate(grid.columns):
        _draw_column(panel, f"C{i}", column, result.column(column))
    for i, cell in enumerate(result.references):
        if cell.mean is not None:
            panel.axhline(cell.mean, color="0.4", ls=("--", ":", "-.")[i % 3], lw=1, label=cell.cell.row)
    panel.set_xticks(range(len(grid.rows)), grid.rows)
    panel.set_xlabel(grid.axis)
    panel.set_ylabel(_metrics(result))
    panel.grid(alpha=0.3)
    if panel.get_legend_handles_labels()[0]:
        panel.legend()
    figure.savefig(path, dpi=150)
    return True


def _draw_column(panel, color: str, name: str, cells: list[CellResult]) -> None:
    nan = float("nan")
    at = range(len(cells))
    means = [nan if cell.mean is None else cell.mean for cell in cells]
    stds = [0.0 if cell.std is None else cell.std for cell in cells]
    panel.plot(at, means, "-", color=color, label=name or None)
    if any(stds):
        low, high = zip(*((m - s, m + s) for m, s in zip(means, stds, strict=True)), strict=True)
        panel.fill_between(at, low, high, color=color, alpha=0.15, lw=0)
    dots = [(x, value) for x, cell in zip(at, cells, strict=True) for value in cell.values]
    panel.plot([x for x, _ in dots], [value for _, value in dots], "o", color=color, ms=3.5, alpha=0.7)


def _metrics(result: StudyResult) -> str:
    names = dict.fromkeys(cell.cell.metric for cell in result.cells)
    return f"test {' or '.join(map(label, names))}"
