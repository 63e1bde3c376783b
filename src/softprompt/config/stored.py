"""Settings that an earlier version stored, and what their missing ones meant then."""

from collections.abc import Mapping
from typing import Any


def as_stored(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings as a run folder or a prompt file holds them, with what missing ones meant then.

    Generation was without chat templates and without BOS in front before the settings `chat` and `bos` were,
    and decoding had a limit of its own. Shares were not stratified, and held single turns of conversations:
    the test share of such a run stays what it was. Numbers of a regression were trained on as they stand.

    Args:
        raw: the mapping as it was stored; a recipe is none, since its missing settings are today's defaults.
    """
    stored = _with_data(raw)
    parts, decoding = raw.get("parts"), raw.get("decoding")
    if isinstance(parts, Mapping):
        tasks = [part.get("task") for part in parts.values() if isinstance(part, Mapping)]
        stored["parts"] = {
            name: _part(part) if isinstance(part, Mapping) else part for name, part in parts.items()
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
    if task.get("name") == "regression":
        return {"scale": None, **task}
    if task.get("name", "generation") != "generation" or "chat" in task:
        return dict(task)
    return {"chat": False, **({} if task.get("template") else {"bos": False}), **task}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """One task of several as `as_stored` completes it."""
    made, task = _with_data(part), part.get("task")
    return {**made, "task": _as_stored(task)} if isinstance(task, Mapping) else made


def _with_data(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run or a part, whose data have the shares that they had then."""
    data = holder.get("data")
    if not isinstance(data, Mapping):
        return dict(holder)
    shares, task = data.get("dev_share") or data.get("test_share"), holder.get("task") or {}
    then: dict[str, Any] = {"stratified": False} if shares else {}
    # Where the files may be chats alone, so that other runs are continued as they are.
    chats = isinstance(task, Mapping) and task.get("name", "generation") == "generation"
    if (shares or data.get("folds")) and chats and data.get("format") in (None, "auto", "pairs"):
        then["conversations"] = "turns"
    return {**holder, "data": {**then, **data}} if then else dict(holder)
