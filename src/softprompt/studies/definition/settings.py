"""What a study file says: a base recipe, and what is changed in it from run to run."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from softprompt.config import FolderName, Settings
from softprompt.errors import ConfigError
from softprompt.studies.definition.published import Published

PLACEHOLDER = "{value}"
"""Stands, in what a column sets, for the value of the row."""

_MOST_FILLED = 10_000
"""The most characters that values may take in one text of a column."""

FigureKind = Literal["curve", "box", "bars", "parameters", "learning"]
"""A measure along the axis; box plots over the seeds; bars of means; a measure against stored parameters;
development scores over the steps."""

SUBSAMPLE = "data.subsample"
"""The setting that `subsamples` sets."""


class Candidate(Settings):
    name: str = Field(min_length=1)
    """As tables show it."""
    set: dict[str, Any] = Field(default={})
    """Settings by dotted key, as in a row."""


class Variant(Settings):
    name: str = Field(min_length=1)
    """As tables and plots show it."""
    base: Path | None = None
    """Another recipe than the study's, relative to the study file."""
    set: dict[str, Any] = Field(default={})
    """Settings by dotted key; a mapping takes the place of the whole section (`method: {name: ...}`)."""
    candidates: list[Candidate] | None = None
    """What a row chooses from, in place of the study's candidates; `[]` is nothing to choose (rows and
    references, with `choose` only)."""
    show: list[str] | None = None
    """Test metrics shown side by side, `bleu@unseen` for one group of the records; the best and the wins go
    by the first. None is the study's metric (columns only)."""


class Vary(Settings):
    key: str | list[str] | None = None
    """Dotted key or keys that take the values; None where every column uses `{value}`."""
    values: list[Any] = Field(min_length=1)
    """In the plot's order; `{label: ..., value: ...}` shows another text. Several keys take a list each."""
    label: str | None = None
    """Name of the axis; None is the key."""


class Choose(Settings):
    """How every cell chooses among candidates before its runs: by folds, or by the development set.

    Each candidate is trained once per fold, without a test set; the best mean over the folds wins, the
    first listed of equals. The cell's runs then have the winner's changes, and all training and
    development records. Of the runs on folds nothing is kept but logs and results. Without folds
    a candidate is trained once on the training set; a cell's runs whose settings have `data.join_dev` then
    train on both sets, and the runs that choose do not. With that, rates and weight decays as candidates,
    and the smaller rates first, it is VTAB's protocol (2203.12119, section 4.1).

    Source: null prompts (2106.13353): 4-fold cross-validation per configuration, then training anew
    under every seed. Deviations: the paper's code scores each fold by its best epoch on that very fold,
    which flatters; here it is the last evaluation, and `score: best` gives the paper's. Its folds are
    contiguous slices, see `softprompt.data.sampling.folds`.
    """

    folds: int | None = Field(default=4, ge=2)
    """None trains a candidate once, and the development set as it is tells how well."""
    candidates: list[Candidate] = Field(default=[])
    """For all rows that name none themselves."""
    metric: str | None = None
    """Development metric: `loss`, or one of the run's; None is the one that the table shows. Runs on folds
    take it as `training.select`."""
    score: Literal["last", "best"] = "last"
    """Which evaluation of a fold counts."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """The seed of all runs on folds; the study's `seed_keys` take it."""


class StudySettings(Settings):
    """Everything that decides a study: rows x columns x seeds, each cell a changed base recipe.

    Later ones win: base, `set`, row (or value), column, seed, and `--set` of the command line.
    """

    name: FolderName
    """Names the study's folder below `output`."""
    output: Path = Path("runs")
    base: Path
    """Recipe that every run begins with, relative to the study file."""
    set: dict[str, Any] = Field(default={})
    """Settings of all runs, by dotted key."""
    rows: list[Variant] = Field(default=[])
    """Named rows in no order; give these or `vary`."""
    vary: Vary | None = None
    """Rows along an ordered axis, which is also plotted."""
    columns: list[Variant] = Field(default=[])
    """Tasks or curves; none is one column."""
    references: list[Variant] = Field(default=[])
    """Levels to compare with: rows of their own without a column, horizontal lines in the plot."""
    seeds: list[int] | None = None
    """Each cell is run once per seed; None is the recipe's own seed."""
    subsamples: list[int] | None = None
    """Draws of the data (`data.subsample`); every seed is run on each of them. None is the recipe's own."""
    seed_keys: list[str] = Field(default=["training.seed"], min_length=1)
    """Keys that take the seed, e.g. also `data.subsample`."""
    metric: str | None = None
    """Test metric in the table; None is the first of the run's metrics."""
    choose: Choose | None = None
    """Each cell first chooses by cross-validation; None trains what the file says."""
    wins: bool = False
    """Compare rows over the seeds: a column "# wins", and a matrix of pairs below the table."""
    paired: bool = False
    """Compare rows over the columns: paired tests of their means, below the table."""
    chance: bool | float | dict[str, float] = False
    """A row to compare with: true computes it from the test records (always their most frequent label); a
    number, or numbers by column, are shown as they are."""
    published: list[Published] = Field(default=[])
    """Figures of the paper, shown beside ours in the report; or `FILE#NAME`, a list in another file."""
    figures: list[FigureKind] | None = None
    """Which figures the report draws; None is those that the study's shape asks for."""
    keep: Literal["results", "prompts", "all"] = "all"
    """What stays of a run that has ended: `all` is its prompt and its last checkpoint, `prompts` the prompt,
    `results` neither; logs, outputs and results always stay."""


def labelled(value: Any) -> tuple[str, Any]:
    """The text and the value of one of `vary.values`."""
    if isinstance(value, dict):
        return str(value["label"]), value["value"]
    if isinstance(value, str):
        return value, value
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip(), value


def filled(value: Any, filling: Any) -> Any:
    """The same structure with `{value}` filled in; alone it keeps the value's own type.

    Raises:
        ConfigError: a text becomes too long.
    """
    if isinstance(value, dict):
        return {key: filled(inner, filling) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, filling) for inner in value]
    if value == PLACEHOLDER:
        return filling
    if not isinstance(value, str):
        return value
    n = value.count(PLACEHOLDER) * len(str(filling))
    if n > _MOST_FILLED:
        got = f"{n:,} characters with {PLACEHOLDER} filled in"
        raise ConfigError("columns.set", got, f"at most {_MOST_FILLED:,}", f"write {PLACEHOLDER} less often")
    return value.replace(PLACEHOLDER, str(filling))
