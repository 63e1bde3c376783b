"""Reading a run's YAML and its overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from softprompt.config.base import Settings
from softprompt.config.mistakes import explain_all
from softprompt.config.mixture import MixtureSettings
from softprompt.config.settings import RunSettings
from softprompt.config.stored import as_stored
from softprompt.errors import ConfigError, Problem, kind_of
from softprompt.untrusted import DEEPEST, MOST_YAML, Unreadable, decode, parse_yaml, read_bytes

_Kind = TypeVar("_Kind", bound=Settings)

_MOST_MISTAKES = 90
"""The most mistakes of one file that are explained; each takes about a millisecond."""


def load_run(path: Path | str, overrides: Sequence[str] = ()) -> RunSettings:
    """Read one run's YAML and apply `key=value` overrides (`training.learning_rate=1e-3`).

    Raises:
        ConfigError: every mistake at once, a line each.
    """
    return _placed(parse_as(read_mapping(Path(path), overrides), RunSettings, str(path)), Path(path).parent)


def load_stored(path: Path | str, overrides: Sequence[str] = ()) -> RunSettings:
    """As `load_run`, of the settings that a run keeps: those that were not yet there have the old meaning."""
    raw = as_stored(read_mapping(Path(path)))
    for override in overrides:
        apply_override(raw, override)
    return _placed(parse_as(raw, RunSettings, str(path)), Path(path).parent)


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> RunSettings | MixtureSettings:
    """As `load_run`, also for a run over several tasks, which a file with `parts` or `each` is."""
    raw = read_mapping(Path(path), overrides)
    several = "parts" in raw or "each" in raw
    return _placed(parse_as(raw, MixtureSettings if several else RunSettings, str(path)), Path(path).parent)


def parse_run(raw: dict[str, Any], where: str = "settings") -> RunSettings:
    """Check a mapping of settings; raises ConfigError with every mistake, a line each."""
    return _placed(parse_as(raw, RunSettings, where), None)


def _placed(settings: Any, folder: Path | None) -> Any:
    """The settings with their data files as a run keeps them: found from any folder."""
    if isinstance(settings, MixtureSettings):
        parts = {
            name: part.model_copy(update={"data": part.data.placed(folder)})
            for name, part in settings.parts.items()
        }
        return settings.model_copy(update={"parts": parts})
    return settings.model_copy(update={"data": settings.data.placed(folder)})


def parse_as(raw: Any, kind: type[_Kind], where: str) -> _Kind:
    """Check what a file holds against one class of settings.

    Args:
        raw: a mapping; anything else is one of the mistakes.
        kind: the class.
        where: the file, or the place in it, for errors.

    Raises:
        ConfigError: every mistake at once, a line each.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        items = error.errors()
        found = [one.inside(where) for one in explain_all(items[:_MOST_MISTAKES], kind)]
        if len(items) > _MOST_MISTAKES:
            found.append(Problem(where, f"{len(items) - _MOST_MISTAKES:,} more mistakes"))
        raise ConfigError.several(found) from None


def read_mapping(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A YAML file's mapping with overrides applied; raises ConfigError for any other content."""
    try:
        content = read_bytes(path, MOST_YAML * 4)
    except Unreadable as error:
        raise ConfigError(str(path), str(error), "a YAML file with settings") from None
    try:
        text = decode(content)
    except Unreadable as error:
        raise ConfigError(error.inside(path), str(error), "UTF-8 text", "save the file as UTF-8") from None
    try:
        raw = parse_yaml(text)
    except Unreadable as error:
        raise ConfigError(error.inside(path), str(error), "a mapping of settings") from None
    if not isinstance(raw, dict):
        got = "an empty file" if raw is None else kind_of(raw)
        raise ConfigError(str(path), got, "a mapping of settings")
    for override in overrides:
        apply_override(raw, override)
    return raw


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Apply one `key=value` to a nested mapping; the value is read as YAML.

    Raises:
        ConfigError: the override has another form, or its key goes through a setting that is no section.
    """
    key, sep, value = override.partition("=")
    key = key.strip()
    if not sep or not all(key.split(".")):
        raise ConfigError("--set", repr(override), "key=value, e.g. training.learning_rate=1e-3")
    try:
        parsed = parse_yaml(value)
    except Unreadable as error:
        got = f"{override!r} ({error})"
        raise ConfigError("--set", got, "a value as in YAML, e.g. 3, true, text or [1, 2]") from None
    try:
        put(raw, key, parsed)
    except ConfigError as error:
        raise ConfigError("--set", repr(override), error.expected) from None


def put(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key in a nested mapping; missing sections are made.

    Raises:
        ConfigError: a part of the key is empty, or names a value where a section is needed; too many parts.
    """
    *parents, last = key.split(".")
    if len(parents) > DEEPEST:
        raise ConfigError("set", repr(key), f"a dotted key of at most {DEEPEST} parts")
    if not all((*parents, last)):
        raise ConfigError("set", repr(key), "a dotted key, e.g. training.learning_rate")
    node = raw
    for parent in parents:
        # YAML reads an empty section as None.
        node[parent] = {} if node.get(parent) is None else node[parent]
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError("set", repr(key), f"a setting inside '{parent}', which holds a single value")
    node[last] = value
