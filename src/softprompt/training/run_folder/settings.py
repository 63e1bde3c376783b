"""The stored settings of a run, and their differences from others."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from softprompt.config import AUTO, Settings, as_stored
from softprompt.errors import TrainingError
from softprompt.untrusted import MOST_YAML, Unreadable, parse_yaml, read_bytes

_IGNORED_ON_RESUME = (
    "name.", "output.", "backbone.device.", "backbone.shard.", "training.trackers.", "training.trunk_cache.",
)  # fmt: skip
"""Settings that do not change what a run computes, each with a dot; those inside them begin so."""


_MENDS_AN_EXPLOSION = (
    "training.learning_rate.", "training.head_learning_rate.", "training.backbone_learning_rate.",
    "training.schedule.", "training.decay.", "training.warmup_steps.", "training.clip_norm.",
    "backbone.dtype.",
)  # fmt: skip
"""Settings that may change when a run goes on whose loss exploded."""


def differing(
    stored: Path, kind: type[Settings], ours: Mapping[str, Any], exploded: bool = False
) -> list[str]:
    """The settings that differ from stored ones, a text each.

    Args:
        stored: the file.
        kind: of settings.
        ours: by dotted key.
        exploded: whether those that mend an explosion may differ.
    """
    read = _read(stored)
    left_open: set[str] = set()
    # Settings that are newer than the run had their defaults; None is a choice that was not yet stored.
    with suppress(ValidationError):
        made, there = kind.model_validate(as_stored(read)).model_dump(mode="json"), flat_mapping(read)
        unsaid = {key for key, value in flat_mapping(made).items() if value is None and key not in there}
        left_open = {key for key in unsaid if any(f".{name}." in f".{key}" for name in _CHOSEN_AT_THE_START)}
        read = made
    theirs = flat_mapping(read)
    ignored = (*_IGNORED_ON_RESUME, *(_MENDS_AN_EXPLOSION if exploded else ()))
    return [
        f"{key} ({theirs.get(key)} there, {value} now)"
        for key, value in sorted(ours.items())
        if not f"{key}.".startswith(ignored)
        and key not in left_open
        and theirs.get(key) != value
        and not _same_file(key, theirs.get(key), value)
        and not (value == AUTO and key in theirs and theirs[key] == _ONCE.get(_name(key), AUTO))
    ]


def stored_training(stored: Path) -> dict[str, Any]:
    """The section `training` of stored settings; empty where there is none.

    Raises:
        TrainingError: the file cannot be read.
    """
    training = _read(stored).get("training")
    return training if isinstance(training, dict) else {}


def _read(stored: Path) -> dict[str, Any]:
    try:
        content = read_bytes(stored, MOST_YAML * 4)
    except Unreadable as error:
        expected = "a file with the settings, as the run wrote it at its start"
        raise TrainingError(stored.as_posix(), str(error), expected) from None
    try:
        read = parse_yaml(content.decode("utf-8")) or {}
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise TrainingError(stored.as_posix(), "broken YAML", "the settings that the run wrote at its start")
    return read


_CHOSEN_AT_THE_START = ("task", "decoding", "training")
"""The sections in which None is a choice that the run makes and stores."""

_ONCE = {
    "source": "source", "target": "target", "text": "text", "second": None, "label": "label",
    "image": "image", "tagging": "bio", "method.tune": "bitfit",
}  # fmt: skip
"""What `auto` was in the settings of data before the word, and still means in formats of fixed names; and
what null prompts tuned."""


def _name(key: str) -> str:
    """The setting of data that a dotted key names."""
    return key.rpartition("data.")[2]


def _same_file(key: str, theirs: Any, ours: Any) -> bool:
    """Whether two paths of data may be one: runs once kept them as the recipe had them, and now keep all."""
    if not key.endswith(("data.train", "data.dev", "data.test")) or not theirs or not ours:
        return False
    short, whole = sorted((Path(theirs).parts, Path(ours).parts), key=len)
    return whole[-len(short) :] == short


def as_yaml(settings: Settings) -> str:
    """Settings as `settings.yaml` holds them."""
    return yaml.dump(settings.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """PyYAML's, which writes Unicode's own line ends so that they are read as spaces."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    folded = any(sign in text for sign in "\x85\u2028\u2029")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if folded else None)


_Dumper.add_representer(str, _text)


def flat(settings: Settings) -> dict[str, Any]:
    """Settings by dotted key, as JSON values."""
    return flat_mapping(settings.model_dump(mode="json"))


def flat_mapping(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping by dotted key."""
    found: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat_mapping(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
