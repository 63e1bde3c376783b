"""Settings that an earlier version stored, and what their missing ones meant then."""

from collections.abc import Mapping
from typing import Any


def as_stored(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings as a run folder or a prompt file holds them, with what missing ones meant then.

    Generation was without chat templates and without BOS in front before the settings `chat` and `bos` were,
    and decoding had a limit of its own.

    Args:
        raw: the mapping as it was stored; a recipe is none, since its missing settings are today's defaults.
    """
    stored = dict(raw)
    parts, decoding = raw.get("parts"), raw.get("decoding")
    if isinstance(parts, Mapping):
        tasks = [part.get("task") for part in parts.values() if isinstance(part, Mapping)]
        stored["parts"] = {
            name: {**part, "task": _as_stored(part["task"])}
            if isinstance(part, Mapping) and isinstance(part.get("task"), Mapping)
            else part
            for name, part in parts.items()
        }
    else:
        tasks = [raw.get("task") or {}]
        if isinstance(tasks[0], Mapping):
            stored["task"] = _as_stored(tasks[0])
    task = tasks[0] if tasks and isinstance(tasks[0], Mapping) else {"chat": None}
    if "chat" in task or not isinstance(decoding or {}, Mapping):
        return stored
    old = {"max_new_tokens": 100, "ban_newlines": True}
    if task.get("name", "generation") == "generation":
        stored["decoding"] = {**old, **(decoding or {})}
    elif decoding:
        # The defaults of that time, which say nothing where no text is written.
        stored["decoding"] = {key: value for key, value in decoding.items() if old.get(key) != value}
    return stored


def _as_stored(task: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a task as `as_stored` completes them."""
    if task.get("name", "generation") != "generation" or "chat" in task:
        return dict(task)
    return {"chat": False, **({} if task.get("template") else {"bos": False}), **task}
