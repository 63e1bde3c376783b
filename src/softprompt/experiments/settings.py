"""What a study file says: a base recipe, and what is changed in it from run to run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from softprompt.config import apply_override, parse_as, read_mapping
from softprompt.config.base import Settings
from softprompt.errors import ConfigError, Problem, nearest
from softprompt.experiments.published import Published, misplaced

PLACEHOLDER = "{value}"
"""Stands, in what a column sets, for the value of the row."""

FigureKind = Literal["curve", "box", "bars", "parameters", "learning"]
"""A measure along the axis; box plots over the seeds; bars of means; a measure against stored parameters;
development scores over the steps."""

SUBSAMPLE = "data.subsample"
"""The setting that `subsamples` sets."""

# Of the study itself; every other key of --set is a setting of the runs.
_OF_THE_STUDY = ("name", "seeds", "subsamples", "metric")


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
    seed: int = Field(default=0, ge=0)
    """The seed of all runs on folds; the study's `seed_keys` take it."""


class StudySettings(Settings):
    """Everything that decides a study: rows x columns x seeds, each cell a changed base recipe.

    Later ones win: base, `set`, row (or value), column, seed, and `--set` of the command line.
    """

    name: str = Field(pattern=r"^[^/\\]+$")
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


def load_study(path: Path, overrides: Sequence[str] = ()) -> tuple[StudySettings, list[str]]:
    """Read a study file.

    Args:
        overrides: `key=value`; `name`, `seeds`, `subsamples` and `metric` change the study.

    Returns:
        The study, and the overrides that are for its runs.

    Raises:
        ConfigError: every mistake at once, a line each.
    """
    raw = read_mapping(path)
    for override in overrides:
        if _key(override) in _OF_THE_STUDY:
            apply_override(raw, override)
    if isinstance(raw.get("published"), str):
        raw["published"] = _elsewhere(path, raw["published"])
    settings = parse_as(raw, StudySettings, str(path))
    found = _contradictions(settings)
    if found:
        raise ConfigError.several(one.inside(str(path)) for one in found)
    return settings, [override for override in overrides if _key(override) not in _OF_THE_STUDY]


def _elsewhere(path: Path, address: str) -> Any:
    """The published figures that a study file takes from another, by `FILE#NAME`."""
    file, _, name = address.partition("#")
    found = read_mapping(path.parent / file) if file else {}
    if name not in found:
        expected = f"FILE#NAME, with one of {', '.join(found) or 'its names'}"
        raise ConfigError(f"{path}: published", repr(address), expected, nearest(name, list(found)))
    return found[name]


def labelled(value: Any) -> tuple[str, Any]:
    """The text and the value of one of `vary.values`."""
    if isinstance(value, dict):
        return str(value["label"]), value["value"]
    if isinstance(value, str):
        return value, value
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip(), value


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _contradictions(study: StudySettings) -> list[Problem]:
    """What single fields cannot know."""
    lines = []
    if bool(study.rows) == (study.vary is not None):
        got = "both of them" if study.rows else "neither of them"
        lines.append(Problem("rows", got, "exactly one of rows and vary"))
    for field in ("rows", "columns", "references"):
        lines += _repeated(f"{field}.name", [variant.name for variant in getattr(study, field)])
    if study.seeds is not None:
        if not study.seeds:
            lines.append(Problem("seeds", "no seed", "at least one", "name some, or leave seeds out"))
        lines += _repeated("seeds", study.seeds)
    if study.subsamples is not None:
        if not study.subsamples:
            lines.append(
                Problem("subsamples", "no subsample", "at least one", "name some, or leave subsamples out")
            )
        lines += _repeated("subsamples", study.subsamples)
        if SUBSAMPLE in study.seed_keys:
            got = f"both subsamples and {SUBSAMPLE} in seed_keys"
            lines.append(Problem("subsamples", got, "one of the two", "leave one out"))
    if study.vary is not None:
        lines += _about_vary(study.vary, study.columns)
    elif any(PLACEHOLDER in str(variant.set) for variant in study.columns):
        lines.append(Problem("columns", f"{PLACEHOLDER} without vary", "vary, whose value it stands for"))
    for variant in (*study.rows, *study.references):
        if PLACEHOLDER in str(variant.set):
            lines.append(
                Problem(variant.name, f"{PLACEHOLDER} outside of columns", f"{PLACEHOLDER} in columns alone")
            )
    return [*lines, *_about_choosing(study), *_about_comparing(study), *_about_reporting(study)]


def _about_choosing(study: StudySettings) -> list[Problem]:
    lines = [
        Problem(
            f"columns.{column.name}.candidates",
            "candidates of a column",
            "candidates of rows",
            "move them to the rows",
        )
        for column in study.columns
        if column.candidates is not None
    ]
    rows = [*study.rows, *study.references]
    for row in rows:
        if row.candidates is None:
            continue
        where = f"{row.name}.candidates"
        if study.choose is None:
            lines.append(
                Problem(
                    where, "candidates without choose", "choose, which says by what they are chosen", "add it"
                )
            )
        if len(row.candidates) == 1:
            lines.append(
                Problem(where, "one candidate", "at least two, or [] where there is nothing to choose")
            )
        lines += _repeated(f"{where}.name", [candidate.name for candidate in row.candidates])
    if study.choose is None:
        return lines
    names = [candidate.name for candidate in study.choose.candidates]
    lines += _repeated("choose.candidates.name", names)
    relying = [row.name for row in rows if row.candidates is None] or ([] if study.vary is None else ["vary"])
    if len(names) < 2 and (names or relying):
        of = f" for {', '.join(relying)}" if relying else ""
        lines.append(
            Problem("choose.candidates", f"{len(names)} candidates{of}", "at least two to choose from")
        )
    return lines


def _about_comparing(study: StudySettings) -> list[Problem]:
    lines = []
    n_rows = len(study.rows) if study.vary is None else len(study.vary.values)
    for name in ("wins", "paired"):
        if getattr(study, name) and n_rows < 2:
            lines.append(Problem(name, f"true with {n_rows} rows", "at least two rows to compare"))
    if study.wins and len(study.seeds or [0]) * len(study.subsamples or [0]) < 2:
        lines.append(Problem("wins", "true with one seed", "at least two seeds to test over", "give seeds"))
    if study.paired and len(study.columns) < 2:
        got = f"true with {len(study.columns)} columns"
        lines.append(Problem("paired", got, "at least two columns to pair", "give columns"))
    columns = [column.name for column in study.columns]
    if isinstance(study.chance, dict):
        for name in study.chance:
            if name not in columns:
                expected = f"one of the columns ({', '.join(columns) or 'there are none'})"
                lines.append(Problem("chance", repr(name), expected, nearest(name, columns)))
    for field in ("rows", "references"):
        for variant in getattr(study, field):
            if variant.show is not None:
                got = f"metrics that {field} show"
                lines.append(
                    Problem(
                        f"{variant.name}.show", got, "metrics that columns show", "move them to the columns"
                    )
                )
    for column in study.columns:
        if column.show is not None:
            where = f"columns.{column.name}.show"
            lines += _repeated(where, column.show)
            if not column.show:
                lines.append(Problem(where, "no metric", "at least one", "name one, or leave show out"))
    return lines


def _about_reporting(study: StudySettings) -> list[Problem]:
    rows = [*study.rows, *study.references] if study.vary is None else list(study.references)
    names = [variant.name for variant in rows]
    if study.vary is not None:
        whole = (v for v in study.vary.values if not isinstance(v, dict) or set(v) == {"label", "value"})
        names += [labelled(value)[0] for value in whole]
    lines = misplaced(study.published, names, [column.name for column in study.columns])
    figures = study.figures or []
    lines += _repeated("figures", figures)
    if "curve" in figures and study.vary is None:
        lines.append(
            Problem(
                "figures",
                "'curve' for a study with rows",
                "vary, whose values are the axis",
                "leave the curve out",
            )
        )
    return lines


def _about_vary(vary: Vary, columns: Sequence[Variant]) -> list[Problem]:
    lines = []
    wrong = [value for value in vary.values if isinstance(value, dict) and set(value) != {"label", "value"}]
    lines += [Problem("vary.values", repr(value), "a value, or {label: ..., value: ...}") for value in wrong]
    if not wrong:
        lines += _repeated("vary.values", [labelled(value)[0] for value in vary.values])
        if isinstance(vary.key, list):
            for text, value in map(labelled, vary.values):
                if not isinstance(value, list) or len(value) != len(vary.key):
                    keys = f"a list of {len(vary.key)} values for {', '.join(vary.key)}"
                    lines.append(Problem("vary.values", text, keys))
    without = [column.name for column in columns if PLACEHOLDER not in str(column.set)]
    if vary.key is None and (without or not columns):
        got = f"no key, and columns without {PLACEHOLDER}: {', '.join(without)}" if without else "no key"
        lines.append(Problem("vary.key", got, f"a dotted key, or {PLACEHOLDER} in every column"))
    return lines


def _repeated(where: str, names: Sequence[Any]) -> list[Problem]:
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    return [Problem(where, f"{', '.join(twice)} more than once", "each of them once")] if twice else []
