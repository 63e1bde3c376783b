"""The command that repeats a run of a study on its own."""

import shlex
from typing import Any

import yaml

from softprompt.experiments.cells import Cell, Grid, Run
from softprompt.experiments.settings import SUBSAMPLE


def repeating(grid: Grid, cell: Cell, run: Run) -> str:
    """`softprompt train` with everything that the study changes in the recipe; the run keeps its name."""
    words = ["softprompt", "train", cell.base]
    changes = {**cell.changes, "name": run.settings.name}
    if grid.settings.seeds is not None:
        changes |= dict.fromkeys(grid.settings.seed_keys, run.seed)
    if grid.settings.subsamples is not None:
        changes[SUBSAMPLE] = run.settings.data.subsample
    for key, value in changes.items():
        words += ["--set", f"{key}={in_yaml(value)}"]
    for override in grid.plan.overrides:
        words += ["--set", override]
    return shlex.join(words)


def in_yaml(value: Any) -> str:
    """A value on one line, as `--set` reads it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")
