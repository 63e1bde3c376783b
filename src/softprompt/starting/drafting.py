"""From somebody's data to the settings of a first run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.backbones import BUNDLED, config_here, tokenizer_here
from softprompt.config import RunSettings, apply_override, parse_as, parse_run
from softprompt.data import PLAIN, Table, check_numbers, check_spellings, load, notations_of, read_table
from softprompt.errors import ConfigError, DataError, counted
from softprompt.starting.choosing import SEVERAL, Choice, task_for
from softprompt.starting.columns import Column, columns_of
from softprompt.starting.facts import Facts, facts_of, scripts_of, text_of
from softprompt.starting.fitting import (
    DEV_SHARE,
    ENOUGH,
    FEW,
    TEST_SHARE,
    backbone_for,
    measure_of,
    method_for,
    metrics_for,
    odd,
    separates,
    task_settings,
    training_settings,
)
from softprompt.starting.places import Place, place_of

_BY_PLACE = {
    "words": ("tagging", "tagged"),
    "questions": ("spans", "questions"),
    "pictures": ("image_classification", "pictures"),
}
"""The task of a place that is no table, and the kind of its records."""


@dataclass(frozen=True)
class Draft:
    """A first run.

    Args:
        settings: checked, with the data's place as it is found from here.
        raw: what the recipe says of them.
        comments: on its settings, by dotted name.
        place: of the data.
        table: the file, where it is one.
        columns: of the table.
        choice: the task, and what it takes of the table.
        facts: of all records of the training file.
        measured: what lengths are counted in: `tokens` or `words`.
        counts: records to train on, to choose by and to test on.
        notes: what a person should know, a sentence each.
    """

    settings: RunSettings
    raw: Mapping[str, Any]
    comments: Mapping[str, str]
    place: Place
    table: Table | None
    columns: Sequence[Column]
    choice: Choice
    facts: Facts
    measured: str
    counts: tuple[int, int, int]
    notes: Sequence[str]


def draft(
    path: Path,
    recipe: Path,
    *,
    task: str | None = None,
    backbone: str | None = None,
    method: str | None = None,
    dev: Path | None = None,
    test: Path | None = None,
    overrides: Sequence[str] = (),
) -> Draft:
    """The settings of a first run on some data.

    Args:
        path: a table, a folder of pictures or of files called train, dev and test, or a data set's
            `name:split`.
        recipe: where the recipe will stand; the paths in it are seen from its folder.
        task: what is asked; None finds it.
        backbone: its name; None takes a bundled one that fits the task and the language.
        method: its name; None takes the first to try for the task.
        dev: the development set; None takes one that lies beside the data, or a share.
        test: the test set; None takes one that lies beside the data, or a share.
        overrides: `key=value`, which come before everything found.

    Raises:
        ConfigError: a task, a backbone or a setting that cannot be.
        DataError: data that cannot be read, or that leave the task open; with what to say.
    """
    given: dict[str, Any] = {}
    for override in overrides:
        apply_override(given, override)
    data_given = given.get("data") if isinstance(given.get("data"), dict) else {}
    place = place_of(path)
    table, columns, choice = _look(place, data_given or {}, task)
    notes = list(choice.notes)
    data = _data(place, choice, dev, test, data_given or {})
    comments: dict[str, str] = {}
    if choice.task == "regression" and table is not None:
        data |= _notation(table, choice, data, comments)
    records, skipped = _records(data, choice.task)
    if skipped:
        data["on_bad_row"] = "skip"
    found = scripts_of(text_of(record) for record in records) if choice.kind != "pictures" else {}
    name = backbone or backbone_for(choice.task, found)
    tokenizer = tokenizer_here(name) if choice.kind != "pictures" else None
    measure, measured = measure_of(tokenizer)
    facts = facts_of(records, measure)
    raw = _raw(recipe, name, method, choice, data, facts, comments, (tokenizer, measured))
    if choice.task in ("classification", SEVERAL) and len(facts.labels) < 2:
        got = f"one label alone, '{next(iter(facts.labels), '')}'"
        raise DataError(str(place.train), got, "records of at least two labels", "add those of another")
    if table is not None:
        notes += _of_header(table, columns)
    notes += odd(facts, raw["task"], measured)
    if "test" not in data and facts.n < FEW:
        few = counted(facts.n, "record is", "records are")
        notes.append(f"{few} too few to set some aside, so that nothing is measured")
    for override in overrides:
        apply_override(raw, override)
    settings = parse_as(raw, RunSettings, str(recipe))
    if (
        choice.task in ("classification", "image_classification")
        and getattr(settings.task, "labels", None) is None
    ):
        check_spellings(facts.labels)
    settings = settings.model_copy(update={"data": settings.data.placed(recipe.parent)})
    splits = load(settings.data)
    notes += splits.notes
    raw["training"] = {**training_settings(settings, len(splits.train), comments), **raw["training"]}
    counts = (len(splits.train), len(splits.dev), len(splits.test))
    return Draft(settings, raw, comments, place, table, columns, choice, facts, measured, counts, notes)


def _look(
    place: Place, given: Mapping[str, Any], task: str | None
) -> tuple[Table | None, list[Column], Choice]:
    """The table that stands there, if one does, and the task."""
    if place.kind == "table":
        options: dict[str, Any] = {
            name: given.get(name) for name in ("delimiter", "encoding", "header", "quoted", "sheet")
        }
        table = read_table(place.train, **options)
        if not table.rows and table.broken is None:
            got = "no rows" + (" below the header" if table.columns and table.header else "")
            raise DataError(table.name, got, "at least one record", "give a file that holds some")
        columns = columns_of(table)
        roles = {role: value for role, value in given.items() if role in _ROLES}
        return table, columns, task_for(table, columns, roles, task)
    if place.kind in _BY_PLACE:
        known, kind = _BY_PLACE[place.kind]
        if task not in (None, known):
            got = f"'{task}' for {place.train}, which holds {_HOLDS[place.kind]}"
            raise ConfigError("--task", got, f"'{known}'", "leave it out")
        return None, [], Choice(known, kind, {})
    if task is None:
        raise ConfigError("--task", "none for a data set by name", "the task", "e.g. --task classification")
    return None, [], Choice(task, "pictures" if task == "image_classification" else "", {})


_HOLDS = {"words": "words with tags", "questions": "questions on contexts", "pictures": "pictures"}
_ROLES = (
    "text", "second", "label", "source", "target", "words", "tags", "question", "context", "answers", "image",
    "messages",
)  # fmt: skip
"""The settings of `data` that name a column."""


def _data(
    place: Place, choice: Choice, dev: Path | None, test: Path | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of the data, with paths from here."""
    data: dict[str, Any] = {"train": place.train}
    for split, path in (("dev", dev or place.dev), ("test", test or place.test)):
        if path is not None:
            data[split] = path
    data |= {role: column for role, column in choice.roles.items() if column is not None}
    if choice.separator is not None:
        data["label_separator"] = choice.separator
    return {**data, **given}


def _of_header(table: Table, columns: Sequence[Column]) -> Iterator[str]:
    """A note where the first row looks like one of the others."""
    values = [column.name for column in columns if column.name in {value for value, _ in column.common}]
    if table.header and values:
        yield (
            f"'{values[0]}' of the first row is a value of its column too; "
            "if the file has no header, say --set data.header=false"
        )


def _notation(
    table: Table, choice: Choice, given: Mapping[str, Any], comments: dict[str, str]
) -> dict[str, str]:
    """The settings for numbers that are written with a comma, or with signs between the thousands."""
    if "decimal" in given or "thousands" in given:
        return {}
    label = choice.roles.get("label")
    values = [row.values.get(str(label)) for row in table.rows]
    found = notations_of(value for value in values if isinstance(value, str) and value.strip())
    if len(found) != 1 or found[0] == PLAIN:
        return {}
    comments["data.decimal"] = f"so that numbers are read as in '{label}'"
    thousands = found[0].thousands
    return {"decimal": found[0].decimal, **({} if thousands is None else {"thousands": thousands})}


def _records(data: Mapping[str, Any], task: str) -> tuple[list[Any], bool]:
    """All records of the training file, and whether rows had to be left out."""
    whole = {key: value for key, value in data.items() if key not in ("dev", "test")}

    def read(**more: Any) -> list[Any]:
        settings = parse_run({"data": {**whole, **more}, "task": {"name": task}, "training": {"steps": 0}})
        splits = load(settings.data)
        if task == "regression":
            check_numbers(splits)
        return splits.train

    try:
        return read(), False
    except DataError as error:
        if "on_bad_row" in data:
            raise
        try:
            records = read(on_bad_row="skip")
        except DataError:
            raise error from None
        return records, True


def _raw(
    recipe: Path,
    backbone: str,
    method: str | None,
    choice: Choice,
    data: Mapping[str, Any],
    facts: Facts,
    comments: dict[str, str],
    read_by: tuple[Any, str],
) -> dict[str, Any]:
    """What the recipe says; `read_by` is the tokenizer, and what lengths are counted in."""
    tokenizer, measured = read_by
    config = config_here(backbone)
    of_task = task_settings(choice.task, facts, measured, separates(tokenizer, config), config, comments)
    folder = recipe.parent
    shown = {key: _from(folder, value) if isinstance(value, Path) else value for key, value in data.items()}
    if "dev" not in data and facts.n >= ENOUGH:
        shown["dev_share"] = DEV_SHARE
        comments["data.dev_share"] = "chooses the best checkpoint"
    if "test" not in data and facts.n >= FEW:
        shown["test_share"] = TEST_SHARE
        comments["data.test_share"] = "set aside first; the scores are of these"
    if "label_separator" in data:
        comments["data.label_separator"] = "between the labels of a cell"
    if isinstance(data.get("label"), list):
        comments["data.label"] = "1 where the text has the label of the column's name"
    if data.get("on_bad_row") == "skip":
        comments["data.on_bad_row"] = "left out and counted"
    bundled = BUNDLED.get(backbone)
    if bundled is not None:
        comments["backbone.name"] = f"{bundled.kind}, {bundled.n_parameters / 1e6:.0f} million parameters"
    metrics = metrics_for(choice.task)
    # Texts take long to write, so that the loss chooses among them.
    by_score = choice.task != "generation" and ("dev" in data or "dev_share" in shown)
    return {
        "name": recipe.stem,
        "backbone": {"name": backbone},
        "method": {"name": method} if method else method_for(choice.task, facts.n, comments),
        "data": shown,
        "task": {"name": choice.task, **of_task},
        "metrics": metrics,
        "training": {"select": metrics[0]} if by_score else {},
    }


def _from(folder: Path, path: Path) -> str:
    """A path as a recipe in a folder has it: from there where it lies below, else whole."""
    if not path.exists():  # a data set's name
        return str(path)
    whole, above = path.absolute(), folder.absolute()
    return (whole.relative_to(above) if whole.is_relative_to(above) else whole).as_posix()
