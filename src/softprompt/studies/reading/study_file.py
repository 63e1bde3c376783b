"""Reading a study file, and finding settings in it that contradict each other."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import apply_override, parse_as, read_mapping
from softprompt.errors import ConfigError, Problem, counted, nearest
from softprompt.studies.definition.published import misplaced
from softprompt.studies.definition.settings import (
    PLACEHOLDER,
    SUBSAMPLE,
    StudySettings,
    Variant,
    Vary,
    labelled,
)
from softprompt.studies.figures import FIGURES

_OF_THE_STUDY = ("name", "seeds", "subsamples", "metric")
"""Keys of `--set` that change the study itself; every other key is a setting of the runs."""


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
    if problems := [problem.inside(str(path)) for problem in _contradictions(settings)]:
        raise ConfigError.several(problems)
    return settings, [override for override in overrides if _key(override) not in _OF_THE_STUDY]


def _elsewhere(path: Path, address: str) -> Any:
    """The published figures that a study file takes from another, by `FILE#NAME`."""
    file, _, name = address.partition("#")
    lists = read_mapping(path.parent / file) if file else {}
    if name not in lists:
        expected = f"FILE#NAME, with one of {', '.join(lists) or 'its names'}"
        raise ConfigError(f"{path}: published", repr(address), expected, nearest(name, list(lists)))
    return lists[name]


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _contradictions(study: StudySettings) -> Iterator[Problem]:
    """Settings that are each valid but do not fit together."""
    if bool(study.rows) == (study.vary is not None):
        got = "both of them" if study.rows else "neither of them"
        yield Problem("rows", got, "exactly one of rows and vary")
    for field in ("rows", "columns", "references"):
        yield from _repeated(f"{field}.name", [variant.name for variant in getattr(study, field)])
    for field, what in (("seeds", "seed"), ("subsamples", "subsample")):
        values = getattr(study, field)
        if values == []:
            yield Problem(field, f"no {what}", "at least one", f"name some, or leave {field} out")
        yield from _repeated(field, values or [])
    if study.subsamples is not None and SUBSAMPLE in study.seed_keys:
        got = f"both subsamples and {SUBSAMPLE} in seed_keys"
        yield Problem("subsamples", got, "one of the two", "leave one out")
    if study.vary is not None:
        yield from _about_vary(study.vary, study.columns)
    elif any(PLACEHOLDER in str(variant.set) for variant in study.columns):
        yield Problem("columns", f"{PLACEHOLDER} without vary", "vary, whose value it stands for")
    for variant in (*study.rows, *study.references):
        if PLACEHOLDER in str(variant.set):
            yield Problem(
                variant.name, f"{PLACEHOLDER} outside of columns", f"{PLACEHOLDER} in columns alone"
            )
    yield from _about_choosing(study)
    yield from _about_comparing(study)
    yield from _about_reporting(study)


def _about_vary(vary: Vary, columns: Sequence[Variant]) -> Iterator[Problem]:
    wrong = [value for value in vary.values if isinstance(value, dict) and set(value) != {"label", "value"}]
    for value in wrong:
        yield Problem("vary.values", repr(value), "a value, or {label: ..., value: ...}")
    if not wrong:
        yield from _repeated("vary.values", [labelled(value)[0] for value in vary.values])
        if isinstance(vary.key, list):
            for text, value in map(labelled, vary.values):
                if not isinstance(value, list) or len(value) != len(vary.key):
                    keys = f"a list of {counted(len(vary.key), 'value')} for {', '.join(vary.key)}"
                    yield Problem("vary.values", text, keys)
    without = [column.name for column in columns if PLACEHOLDER not in str(column.set)]
    if vary.key is None and (without or not columns):
        got = f"no key, and columns without {PLACEHOLDER}: {', '.join(without)}" if without else "no key"
        yield Problem("vary.key", got, f"a dotted key, or {PLACEHOLDER} in every column")


def _about_choosing(study: StudySettings) -> Iterator[Problem]:
    for column in study.columns:
        if column.candidates is not None:
            where = f"columns.{column.name}.candidates"
            yield Problem(where, "candidates of a column", "candidates of rows", "move them to the rows")
    rows, choose = [*study.rows, *study.references], study.choose
    for row in rows:
        if row.candidates is None:
            continue
        where = f"{row.name}.candidates"
        if choose is None:
            expected = "choose, which defines how they are compared"
            yield Problem(where, "candidates without choose", expected, "add it")
        if len(row.candidates) == 1:
            yield Problem(where, "one candidate", "at least two, or [] where there is nothing to choose")
        yield from _repeated(f"{where}.name", [candidate.name for candidate in row.candidates])
    if choose is None:
        return
    names = [candidate.name for candidate in choose.candidates]
    yield from _repeated("choose.candidates.name", names)
    relying = [row.name for row in rows if row.candidates is None] or ([] if study.vary is None else ["vary"])
    if len(names) < 2 and (names or relying):
        of = f" for {', '.join(relying)}" if relying else ""
        yield Problem("choose.candidates", f"{len(names)} candidates{of}", "at least two to choose from")


def _about_comparing(study: StudySettings) -> Iterator[Problem]:
    n_rows = len(study.rows) if study.vary is None else len(study.vary.values)
    for name in ("wins", "paired"):
        if getattr(study, name) and n_rows < 2:
            yield Problem(name, f"true with {counted(n_rows, 'row')}", "at least two rows to compare")
    if study.wins and len(study.seeds or [0]) * len(study.subsamples or [0]) < 2:
        yield Problem("wins", "true with one seed", "at least two seeds to test over", "give seeds")
    if study.paired and len(study.columns) < 2:
        got = f"true with {counted(len(study.columns), 'column')}"
        yield Problem("paired", got, "at least two columns to pair", "give columns")
    columns = [column.name for column in study.columns]
    if isinstance(study.chance, dict):
        for name in study.chance:
            if name not in columns:
                expected = f"one of the columns ({', '.join(columns) or 'there are none'})"
                yield Problem("chance", repr(name), expected, nearest(name, columns))
    for field in ("rows", "references"):
        for variant in getattr(study, field):
            if variant.show is not None:
                where, got = f"{variant.name}.show", f"metrics that {field} show"
                yield Problem(where, got, "metrics that columns show", "move them to the columns")
    for column in study.columns:
        if column.show is not None:
            where = f"columns.{column.name}.show"
            yield from _repeated(where, column.show)
            if not column.show:
                yield Problem(where, "no metric", "at least one", "name one, or leave show out")


def _about_reporting(study: StudySettings) -> Iterator[Problem]:
    rows = [*study.rows, *study.references] if study.vary is None else list(study.references)
    names = [variant.name for variant in rows]
    if study.vary is not None:
        whole = (v for v in study.vary.values if not isinstance(v, dict) or set(v) == {"label", "value"})
        names += [labelled(value)[0] for value in whole]
    yield from misplaced(study.published, names, [column.name for column in study.columns])
    yield from _repeated("figures", study.figures or [])
    for i, name in enumerate(study.figures or []):
        if name not in FIGURES:
            yield Problem(
                f"figures.{i}", repr(name), f"one of {', '.join(map(repr, FIGURES))}", nearest(name, FIGURES)
            )
        elif FIGURES[name].needs_axis and study.vary is None:
            got = f"'{name}' for a study with rows"
            yield Problem("figures", got, "vary, whose values are the axis", f"leave the {name} out")


def _repeated(where: str, names: Sequence[Any]) -> Iterator[Problem]:
    twice = sorted({str(name) for name, n in Counter(names).items() if n > 1})
    if twice:
        yield Problem(where, f"{', '.join(twice)} more than once", "each of them once")
