"""The settings by which a stored or live prompt answers: its run's, or those of its card."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from softprompt.config import (
    AUTO,
    RunSettings,
    TaskSettings,
    apply_override,
    as_stored,
    parse_run,
    read_mapping,
)
from softprompt.errors import ConfigError, PromptError
from softprompt.files import PromptCard
from softprompt.tasks import TASKS

if TYPE_CHECKING:
    from softprompt.prompts import Prompt

SETTINGS, PROMPT = "settings.yaml", "prompt"
"""The files of a run: its settings, and the folder of its prompt."""

_ANSWERS = ("decoding.", "backbone.", "task.")
_READING = (
    "source", "text", "second", "words", "question", "context", "choices", "image",
    "encoding", "delimiter", "header", "sheet",
)  # fmt: skip
"""Settings of `data` that say how a file of questions is read."""


def run_of(folder: Path) -> Path | None:
    """The run in whose folder a prompt lies; None for a prompt that was copied or made elsewhere."""
    run = folder.absolute().parent
    return run if folder.absolute().name == PROMPT and (run / SETTINGS).is_file() else None


def stored_run(folder: Path | None, card: PromptCard) -> dict[str, Any]:
    """The mapping of settings that a prompt was trained by; of one made by hand, little or nothing.

    Columns of the data that were left to be found are those that were found.

    Args:
        folder: of the prompt; None where it was not read from one.
        card: of the prompt.
    """
    run = None if folder is None else run_of(folder)
    stored = read_mapping(run / SETTINGS) if run is not None else {**card.training, "task": card.task}
    data, columns = stored.get("data"), card.data.get("columns")
    if not isinstance(data, Mapping) or not isinstance(columns, Mapping):
        return stored
    found = {role: column for role, column in columns.items() if data.get(role, AUTO) == AUTO}
    return {**stored, "data": {**data, **found}}


def stored_run_of(prompt: "Prompt") -> dict[str, Any]:
    """`stored_run` of a prompt in Python."""
    return stored_run(prompt.origin.folder, prompt.card)


def task_name(card: PromptCard) -> str | None:
    """The task that a prompt was trained for, or the first that its head can answer; None if unknown."""
    name = card.task.get("name")
    if name is None and card.head is not None:
        # A prompt that was made by hand may know its task only by its head.
        kind = card.head.kind
        return next((row.name for row in TASKS.rows.values() if kind in row.settings.head_kinds), None)
    if name is None and card.task:
        return "generation"  # cards from the time of a single task do not name it
    return name


def check_vocabulary(folder: Path, task: object) -> None:
    """Refuse a card, which may come from anywhere, that names a file outside of the data folder.

    Args:
        folder: of the prompt.
        task: the settings of the card.

    Raises:
        ConfigError: it names one.
    """
    place = task.get("vocabulary") if isinstance(task, dict) else None
    if not isinstance(place, str):
        return
    path = PureWindowsPath(place)
    if place.startswith("~") or path.drive or path.root or ".." in path.parts:
        raise ConfigError(
            f"{folder}: task.vocabulary",
            f"'{place}', outside of the data folder",
            "a file that you name",
            "add --set task.vocabulary=FILE",
        )


def answer_settings(
    stored: Mapping[str, Any],
    card: PromptCard,
    where: str,
    *,
    backbone: Mapping[str, Any] | None = None,
    task: TaskSettings | Mapping[str, Any] | None = None,
    decoding: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> RunSettings:
    """The settings for the use of a prompt: task, decoding and backbone as they were trained, and changed.

    Args:
        stored: what `stored_run` gives.
        card: of the prompt.
        where: of the settings, for errors.
        backbone: settings in place of the stored ones.
        task: settings in place of the stored ones, for a prompt that stores none.
        decoding: settings that change.
        overrides: `key=value` for decoding, backbone and task; those of `data`, which say how files of
            questions are read, are left to `reading_settings`.
        seed: of what is drawn; None is the run's.

    Raises:
        ConfigError: settings that this version refuses, an override of others, or another task than the one
            that the head of the prompt was trained for.
    """
    # The data and training of a prompt that was made by hand are unknown, and nothing here reads them.
    raw: dict[str, Any] = {"data": {"format": "restaurants"}, "training": {"steps": 1}}
    if task is None and card.head is None and not stored.get("task"):
        stored = {**stored, "task": {"name": "generation"}}
    if task is None and stored.get("task"):
        stored = as_stored(stored)
    raw |= {key: stored[key] for key in ("task", "decoding") if stored.get(key)}
    if task is not None:
        raw["task"] = task.model_dump(mode="json") if isinstance(task, TaskSettings) else dict(task)
    elif not raw.get("task") and card.head is not None:
        raw["task"] = {"name": task_name(card)}
    training = stored.get("training")
    if seed is not None:
        raw["training"]["seed"] = seed
    elif isinstance(training, Mapping) and "seed" in training:
        raw["training"]["seed"] = training["seed"]
    if backbone:
        raw["backbone"] = dict(backbone)
    for override in (*overrides, *(f"decoding.{key}={value}" for key, value in (decoding or {}).items())):
        key = override.partition("=")[0].strip()
        if key.startswith("data."):
            continue
        if not key.startswith(_ANSWERS):
            raise ConfigError("--set", key, "a setting of decoding, task or backbone")
        apply_override(raw, override)
    check_same_task(raw.get("task"), card, where)
    return parse_run(raw, where=where)


def check_same_task(task: object, card: PromptCard, where: str) -> None:
    """Refuse another task with the same kind of head than the one that a prompt was trained for.

    Its outputs would be read as what they are not: those of several labels as shares of one.

    Args:
        task: the settings that are asked for.
        card: of the prompt.
        where: of the settings, for errors.

    Raises:
        ConfigError: the card tells another task.
    """
    name = task.get("name") if isinstance(task, Mapping) else None
    trained = card.task.get("name")
    if card.head is None or trained is None or not isinstance(name, str):
        return
    if name != trained and name in TASKS and card.head.kind in TASKS[name].settings.head_kinds:
        got = f"'{name}' for a prompt trained for '{trained}'"
        do = "leave the name as it is, and change only settings of that task"
        raise ConfigError(f"{where}: task.name", got, f"'{trained}'", do)


def reading_settings(stored: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The settings of `data` that say how files of questions are read, as stored and changed.

    Raises:
        ConfigError: an override of another setting of `data`.
    """
    of_data = stored.get("data")
    raw = {"data": dict(of_data) if isinstance(of_data, Mapping) else {}}
    for override in overrides:
        key = override.partition("=")[0].strip()
        if not key.startswith("data."):
            continue
        if key.removeprefix("data.") not in _READING:
            raise ConfigError("--set", key, f"data.{', data.'.join(_READING)}")
        apply_override(raw, override)
    return raw["data"]


def live_settings(
    prompt: "Prompt",
    task: TaskSettings | Mapping[str, Any] | None,
    decoding: Mapping[str, Any] | None,
    seed: int | None,
) -> RunSettings:
    """`answer_settings` of a prompt in Python.

    Raises:
        PromptError: a prompt that does not say what it was trained for.
        ConfigError: settings that do not hold together.
    """
    card, folder = prompt.card, prompt.origin.folder
    if task is None and task_name(card) is None:
        raise PromptError(
            "prompt",
            "a prompt that does not say which task it is for",
            "the task, as a prompt of `softprompt train` stores it",
            "give task={'name': 'generation'}, with the settings by which the prompt was trained",
        )
    where = "prompt" if folder is None else str(folder)
    if task is None and folder is not None and run_of(folder) is None:
        check_vocabulary(folder, card.task)
    return answer_settings(stored_run(folder, card), card, where, task=task, decoding=decoding, seed=seed)
