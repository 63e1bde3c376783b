"""The settings of a study file: a base recipe, and what changes in it from run to run."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from softprompt.config import FolderName, Settings
from softprompt.errors import ConfigError
from softprompt.studies.definition.published import Published

PLACEHOLDER = "{value}"
"""In the settings of a column, the place of the row's value."""

_MOST_FILLED = 10_000
"""The most characters that values may take in one text of a column."""

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
    """Candidates of this row in place of the study's; `[]` is nothing to choose (rows and references, with
    `choose` only)."""
    show: list[str] | None = None
    """Test metrics shown side by side, `bleu@unseen` for one group of the records; the first decides which
    row is best or wins. None is the study's metric (columns only)."""


class Vary(Settings):
    key: str | list[str] | None = None
    """Dotted key or keys that take the values; None if every column uses `{value}`."""
    values: list[Any] = Field(min_length=1)
    """In the order of the axis; `{label: ..., value: ...}` shows another text. With several keys, each value
    is a list."""
    label: str | None = None
    """Name of the axis; None is the key."""


class Choose(Settings):
    """How every cell chooses among candidates before its runs: by folds, or by the development set.

    Each candidate is trained once per fold, without a test set. The candidate with the best mean over the
    folds wins, the first listed of equals. The cell's runs then have the winner's changes, and all training
    and development records. Runs on folds keep only their logs and results.

    Without folds a candidate is trained once on the training set, and the development set decides. Runs with
    `data.join_dev` then train on both sets. VTAB's protocol (2203.12119, section 4.1) does so, with learning
    rates and weight decays as candidates, the smaller rates first.

    Source: null prompts (2106.13353): 4-fold cross-validation per configuration, then training anew
    under every seed. Deviations: the paper's code scores each fold by its best epoch on that very fold,
    which flatters; here it is the last evaluation, and `score: best` gives the paper's. Its folds are
    contiguous slices, see `softprompt.data.sampling.folds`.
    """

    folds: int | None = Field(default=4, ge=2)
    """None trains a candidate once and scores it on the development set."""
    candidates: list[Candidate] = Field(default=[])
    """For all rows without candidates of their own."""
    metric: str | None = None
    """Development metric: `loss`, or one of the run's; None is the one that the table shows. Runs on folds
    take it as `training.select`."""
    score: Literal["last", "best"] = "last"
    """Which evaluation of a fold counts."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """The seed of all runs on folds, set at the study's `seed_keys`."""


class StudySettings(Settings):
    """A study: rows x columns x seeds, each cell a changed base recipe.

    Where several set the same key, the later wins: base, `set`, row (or value), column, seed, and `--set` of
    the command line.
    """

    name: FolderName
    """Names the study's folder below `output`."""
    output: Path = Path("runs")
    base: Path
    """Recipe that every run begins with, relative to the study file."""
    set: dict[str, Any] = Field(default={})
    """Settings of all runs, by dotted key."""
    rows: list[Variant] = Field(default=[])
    """Named rows without an order; give these or `vary`."""
    vary: Vary | None = None
    """Rows along an ordered axis."""
    columns: list[Variant] = Field(default=[])
    """Tasks, or lines of a plot; an empty list is one column."""
    references: list[Variant] = Field(default=[])
    """Levels to compare with: rows without a column, horizontal lines in plots."""
    seeds: list[int] | None = None
    """Each cell is run once per seed; None is the recipe's own seed."""
    subsamples: list[int] | None = None
    """Draws of the data (`data.subsample`); every seed is run on each of them. None is the recipe's own."""
    seed_keys: list[str] = Field(default=["training.seed"], min_length=1)
    """Keys that take the seed, e.g. also `data.subsample`."""
    metric: str | None = None
    """Test metric in the table; None is the first of the run's metrics."""
    choose: Choose | None = None
    """Each cell first chooses among candidates; None trains the settings as they are."""
    wins: bool = False
    """Compare rows over the seeds: a column "# wins", and a matrix of pairs below the table."""
    paired: bool = False
    """Compare rows over the columns: paired tests of their means, below the table."""
    chance: bool | float | dict[str, float] = False
    """A row with chance levels: true computes them from the test records (always their most frequent label);
    a number, or numbers by column, are shown as they are."""
    published: list[Published] = Field(default=[])
    """Figures of a paper, shown beside ours in the report; or `FILE#NAME`, a list in another file."""
    figures: list[str] | None = None
    """Names of the figures that the report draws (`docs/reports.md`); None is those that suit the study."""
    keep: Literal["results", "prompts", "all"] = "all"
    """What is kept of a run that has ended: with `all` the prompt and the last checkpoint, with `prompts` the
    prompt, with `results` neither; logs, outputs and results are always kept."""


def labelled(value: Any) -> tuple[str, Any]:
    """The shown text and the value of an entry of `vary.values`."""
    if isinstance(value, dict):
        return str(value["label"]), value["value"]
    if isinstance(value, str):
        return value, value
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("...\n").strip(), value


def filled(value: Any, filling: Any) -> Any:
    """The same structure with a value in place of `{value}`; a text of `{value}` alone becomes the value.

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
