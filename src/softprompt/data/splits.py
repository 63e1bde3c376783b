"""From a run's data settings to its training, development and test records."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softprompt.config import DataSettings
from softprompt.data.hub import saved
from softprompt.data.readers import FORMATS, misfits, read
from softprompt.data.records import AnyRecord, Record, pairs
from softprompt.data.root import data_root
from softprompt.data.sampling import draw, keep_seen, merge, set_aside
from softprompt.errors import ConfigError, problem


@dataclass(frozen=True)
class Splits:
    """What a run trains, chooses and is tested on.

    Args:
        train: one record per (source, target).
        dev: records with all their references; empty where the settings give none.
        test: records with all their references; empty where the settings give none.
        fingerprint: SHA-256 (hex) of what the records above say, in order; file names and record ids
            do not enter, so the same data elsewhere has the same fingerprint.
    """

    train: list[AnyRecord]
    dev: list[AnyRecord]
    test: list[AnyRecord]
    fingerprint: str


def load(settings: DataSettings) -> Splits:
    """Read the files, draw the sizes and set the development share aside.

    Paths are relative to `data_root()` unless absolute. `train_size` counts pairs and is drawn by
    `subsample`; `dev_size` and `test_size` count records and do not depend on the subsample, so
    that scores of several subsamples compare. `extrapolation` filters train and dev, never test.
    A development share is taken from the drawn training pairs; pairs of one source in it become
    one record where records have several references (`Record`), and stay apart where each has its
    own label. A test share is taken from the training file before everything else, always the same.

    Raises:
        ConfigError: settings that contradict each other, all of them at once.
        DataError: a file that is missing, empty or malformed; a size larger than the set.
    """
    _check(settings)
    train, dev, test = (_read(settings, split) for split in ("train", "dev", "test"))
    if settings.test_share:
        # By a fixed draw: every subsample, seed and size is tested on the same records.
        train, test = set_aside(train, 0, settings.test_share, "test")
    if settings.extrapolation == "seen":
        train, dev = (keep_seen(records) if records else [] for records in (train, dev))
    train = pairs(train)
    if settings.train_size is not None:
        train = draw(train, settings.train_size, settings.subsample, "data.train_size")
    if settings.dev_share:
        train, share = set_aside(train, settings.subsample, settings.dev_share)
        dev: list[Any] = merge(share) if FORMATS[settings.format].record is Record else share
    if settings.dev_size is not None:
        dev = draw(dev, settings.dev_size, 0, "data.dev_size")
    if settings.test_size is not None:
        test = draw(test, settings.test_size, 0, "data.test_size")
    return Splits(train, dev, test, fingerprint(train, dev, test))


def fingerprint(train: Sequence[AnyRecord], dev: Sequence[AnyRecord], test: Sequence[AnyRecord]) -> str:
    """SHA-256 (hex) of what the records say, in order: their kind, every field but the id, their tags."""
    digest = hashlib.sha256()
    for split, records in (("train", train), ("dev", dev), ("test", test)):
        for record in records:
            row = [split, *_content(record), sorted(record.tags.items())]
            digest.update(json.dumps(row).encode("ascii") + b"\n")
    return digest.hexdigest()


def _content(record: Any) -> list[Any]:
    if isinstance(record, Record):  # without its kind, as it has been since the first stored prompts
        return [record.source, record.targets]
    said = {name: value for name, value in asdict(record).items() if name not in ("id", "tags")}
    return [type(record).__name__, said]


def _read(settings: DataSettings, split: str) -> list[Any]:
    form = FORMATS[settings.format]
    if form.generated:
        # Its own development records step back for a share of the training pairs.
        return [] if split == "dev" and settings.dev_share else read(settings.format, split=split)
    path: Path | None = getattr(settings, split)
    if path is None:
        return []
    below = data_root() / path
    place = path if form.named and not saved(below) else below
    return read(settings.format, place, **{name: getattr(settings, name) for name in form.takes})


def _check(settings: DataSettings) -> None:
    form, name = FORMATS[settings.format], settings.format
    given = [split for split in ("train", "dev", "test") if getattr(settings, split) is not None]
    has = ["train", "dev", "test"] if form.generated else [*given, *["test"] * bool(settings.test_share)]
    found: list[str] = []

    def wrong(where: str, got: str, expected: str, do: str) -> None:
        found.append(problem(f"data.{where}", got, expected, do))

    if form.generated and given:
        wrong(given[0], f"a path for {name}", "none: it is generated", "leave it out")
    if not has:
        wrong("train", f"no path for {name}", form.content, "give at least one of train, dev and test")
    found.extend(misfits(name, settings.model_dump()))
    for setting in ("dev_size", "test_size", "dev_share", "test_share") if form.grouped else ():
        if value := getattr(settings, setting):
            got = f"{value} for {name}, whose records are scored in groups"
            wrong(setting, got, "every record", "leave it out, or give a smaller file")
    for split in ("train", "dev", "test"):
        size = getattr(settings, f"{split}_size")
        if size is not None and split not in has and not (split == "dev" and settings.dev_share):
            wrong(
                f"{split}_size",
                str(size),
                f"a path in data.{split} to draw from",
                "give it, or drop the size",
            )
    if settings.dev_share:
        if "train" not in has:
            wrong("dev_share", str(settings.dev_share), "a path in data.train to share", "give it")
        if settings.dev is not None:
            wrong("dev_share", f"{settings.dev_share} beside data.dev", "one of the two", "drop one")
        if settings.dev_size is not None:
            wrong("dev_size", f"{settings.dev_size} beside data.dev_share", "one of the two", "drop one")
    if settings.test_share:
        if settings.train is None:
            wrong("test_share", str(settings.test_share), "a path in data.train to share", "give it")
        if settings.test is not None:
            wrong("test_share", f"{settings.test_share} beside data.test", "one of the two", "drop one")
    if settings.subsample and settings.train_size is None and not settings.dev_share:
        got = f"{settings.subsample}, but nothing is drawn by it"
        wrong("subsample", got, "data.train_size or data.dev_share", "give one, or drop it")
    if settings.extrapolation and name != "webnlg":
        wrong("extrapolation", f"'{settings.extrapolation}' for {name}", "webnlg", "leave it out")
    if found:
        raise ConfigError.several(found)
