"""From a run's data settings to its training, development and test records."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from softprompt.config import SPLIT_NAME, DataSettings, found, places
from softprompt.data.labels import one_spelling
from softprompt.data.reading import read, read_with
from softprompt.data.reading_rules import Rules
from softprompt.data.records import (
    LABELLED,
    AnyRecord,
    Conversation,
    LabelledPicture,
    LabelledText,
    MultiLabelledText,
    PicturedText,
    Record,
    pairs,
)
from softprompt.data.registry import FORMATS
from softprompt.data.sampling import (
    draw,
    draw_per_class,
    folds,
    keep_seen,
    merge,
    set_aside,
    set_aside_of_each,
    set_aside_of_sets,
)
from softprompt.data.split_checks import check_splits
from softprompt.errors import DataError, Problem


@dataclass(frozen=True)
class Splits:
    """What a run trains, chooses and is tested on.

    Args:
        train: one record per (source, target).
        dev: records with all their references; empty where the settings give none.
        test: records with all their references; empty where the settings give none.
        fingerprint: SHA-256 (hex) of what the records above say, in order; file names and record ids
            do not enter, so the same data elsewhere has the same fingerprint.
        notes: what was found while reading, a sentence each: which columns were taken, what was left out.
        doubts: what stands against reading labels as numbers, which a regression refuses.
        columns: of the training file, by role, in formats that find them; None where a role has none.
        n_skipped: bad rows that were left out.
    """

    train: list[AnyRecord]
    dev: list[AnyRecord]
    test: list[AnyRecord]
    fingerprint: str
    notes: tuple[str, ...] = ()
    doubts: tuple[Problem, ...] = ()
    columns: Mapping[str, str | None] = field(default_factory=dict)
    n_skipped: int = 0


def load(settings: DataSettings) -> Splits:
    """Read the files, draw the sizes and set the development share aside.

    Paths are looked for beside the recipe, in the working folder and in `data_root()`. `train_size` counts
    pairs and is drawn by `subsample`; `dev_size` and `test_size` count records and do not depend on the
    subsample, so that scores of several subsamples compare. `extrapolation` filters train and dev, never
    test.
    A development share is taken from the drawn training pairs; pairs of one source in it become
    one record where records have several references (`Record`), and stay apart where each has its
    own label. A test share is taken from the training file before everything else, always the same.

    Per class, training follows the subsample, and so do development records that come from what it
    left; those of a development file do not. `folds` come after all draws: training and development
    records are joined, and the chosen fold is the development set. `join_dev` comes last.

    Raises:
        ConfigError: settings that contradict each other, all of them at once.
        DataError: a file that is missing, empty or malformed; a size larger than the set.
    """
    check_splits(settings)
    told = Rules()
    train, dev = (_read(settings, split, told) for split in ("train", "dev"))
    train, test = _set_test_aside(settings, train, told)
    train, dev, test = one_spelling(train, (dev, test))
    if settings.extrapolation == "seen":
        train, dev = (keep_seen(records) if records else [] for records in (train, dev))
    whole = train = pairs(train)
    if settings.train_size is not None:
        train = draw(train, settings.train_size, settings.subsample, "data.train_size")
    if settings.train_per_class is not None:
        train = draw_per_class(train, settings.train_per_class, settings.subsample, "data.train_per_class")
    if settings.dev_share:
        train, share = _aside(settings, train, settings.subsample, settings.dev_share, "dev", told)
        dev: list[Any] = merge(share) if FORMATS[settings.format].record is Record else share
    if settings.dev_size is not None:
        dev = draw(dev, settings.dev_size, 0, "data.dev_size")
    if settings.dev_per_class is not None:
        pool, seed = (dev, 0) if dev else (whole, settings.subsample)
        dev = draw_per_class(pool, settings.dev_per_class, seed, "data.dev_per_class", train, "dev")
    if settings.folds is not None:
        joined = [*train, *pairs(dev)]
        fold_of = folds(joined, settings.folds, settings.subsample, whole=settings.conversations == "whole")
        train = [pair for pair, fold in zip(joined, fold_of, strict=True) if fold != settings.fold]
        dev = [pair for pair, fold in zip(joined, fold_of, strict=True) if fold == settings.fold]
        dev = merge(dev) if FORMATS[settings.format].record is Record else dev
    if settings.join_dev:
        train, dev = [*train, *pairs(dev)], []
    made = fingerprint(train, dev, test)
    notes, doubts = tuple(dict.fromkeys(told.notes)), tuple(told.doubts)
    return Splits(train, dev, test, made, notes, doubts, told.columns, told.n_skipped)


def check_numbers(splits: Splits) -> None:
    """Refuse labels that are no numbers, or that may be read as several, for a regression.

    Raises:
        DataError: such labels, the first ten of them.
    """
    if splits.doubts:
        raise DataError.several(dict.fromkeys(splits.doubts))
    wrong = [
        Problem(f"record {record.id}", f"the label '{record.label}'", "a finite number")
        for record in (*splits.train, *splits.dev, *splits.test)
        if isinstance(record, LabelledText) and record.label is not None and not _is_number(record.label)
    ]
    if wrong:
        more = [Problem("", hint=f"{len(wrong):,} labels are no numbers")] if len(wrong) > 10 else []
        raise DataError.several([*wrong[:10], *more])


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def load_test(settings: DataSettings) -> list[Any]:
    """The test records of `load` alone; empty where the settings give none.

    Raises:
        DataError: as `load`.
    """
    told = Rules()
    train = _read(settings, "train", told) if settings.test_share else []
    return _set_test_aside(settings, train, told)[1]


def fingerprint(train: Sequence[AnyRecord], dev: Sequence[AnyRecord], test: Sequence[AnyRecord]) -> str:
    """SHA-256 (hex) of what the records say, in order: their kind, every field but the id, their tags."""
    digest = hashlib.sha256()
    for split, records in (("train", train), ("dev", dev), ("test", test)):
        for record in records:
            row = [split, *_content(record), sorted(record.tags.items())]
            digest.update(json.dumps(row).encode("ascii") + b"\n")
    return digest.hexdigest()


def _content(record: Any) -> list[Any]:
    if isinstance(record, Conversation) and record.earlier:
        return [type(record).__name__, record.source, record.targets, record.earlier]
    if isinstance(record, PicturedText):
        return [type(record).__name__, record.source, record.targets, record.digest]
    if isinstance(record, Record):  # without its kind, as it has been since the first stored prompts
        return [record.source, record.targets]
    if isinstance(record, LabelledPicture):
        return [type(record).__name__, {"digest": record.digest, "label": record.label}]
    content = {name: value for name, value in asdict(record).items() if name not in ("id", "tags")}
    return [type(record).__name__, content]


def _set_test_aside(settings: DataSettings, train: list[Any], told: Rules) -> tuple[list[Any], list[Any]]:
    """What is left to train on, and the test records."""
    if settings.test_share:
        # By a fixed draw: every subsample, seed and size is tested on the same records.
        train, test = _aside(settings, train, 0, settings.test_share, "test", told)
    else:
        test = [] if settings.test_size == 0 else _read(settings, "test", told)
    if settings.test_size is not None:
        test = draw(test, settings.test_size, 0, "data.test_size") if settings.test_size else []
    return train, test


def _aside(
    settings: DataSettings, train: list[Any], seed: int, share: float, stream: str, told: Rules
) -> tuple[list[Any], list[Any]]:
    """What is left, and the share that is set aside, with each label in its proportion where there are."""
    if settings.stratified and len(train) > 1 and all(isinstance(one, MultiLabelledText) for one in train):
        return set_aside_of_sets(train, seed, share, stream)
    labelled = bool(train) and all(
        isinstance(record, LABELLED) and record.label is not None for record in train
    )
    if not settings.stratified or not labelled or not _few_labels(train):
        return set_aside(train, seed, share, stream, settings.conversations == "whole")
    left, aside, single = set_aside_of_each(train, seed, share, stream)
    if single:
        some = ", ".join(f"'{label}'" for label in single[:10])
        told.notes.append(
            f"data.{stream}_share: {len(single)} of the labels have a single record, which stays in the "
            f"training set, so that none is set aside: {some}"
        )
    return left, aside


def _few_labels(records: Sequence[Any]) -> bool:
    """Whether labels are classes, each with two records on average, rather than numbers of a regression."""
    return len({record.label for record in records}) * 2 <= len(records)


def _read(settings: DataSettings, split: str, told: Rules) -> list[Any]:
    form = FORMATS[settings.format]
    if form.generated:
        # Its own development records step back for a share of the training pairs.
        return [] if split == "dev" and settings.dev_share else read(settings.format, split=split)
    path: Path | None = getattr(settings, split)
    if path is None:
        return []
    place = found(path, settings.beside)
    if place is None:
        is_split = SPLIT_NAME.fullmatch(path.as_posix()) is not None
        if not form.named or (form.universal and not is_split):
            looked = ", ".join(map(str, places(path, settings.beside)))
            do = (
                f"put it at one of the places looked at ({looked}), or set SOFTPROMPT_DATA to the data folder"
            )
            raise DataError(f"data.{split}: {path}", "no such file or folder", form.content, do)
        place = path
    rules = Rules(settings.encoding, settings.on_bad_row == "skip", split=split, first=told.columns)
    options = {name: getattr(settings, name) for name in form.takes}
    records = read_with(rules, settings.format, place, None, options)
    told.include(rules)
    return records
