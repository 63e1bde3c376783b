"""From a run's data settings to its training, development and test records."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softprompt.config import AUTO, SPLIT_NAME, DataSettings, found, places
from softprompt.data.labels import one_spelling
from softprompt.data.reading import misfits, read, read_with
from softprompt.data.reading_rules import Rules
from softprompt.data.records import (
    LABELLED,
    AnyRecord,
    Conversation,
    LabelledPicture,
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
)
from softprompt.errors import ConfigError, DataError, Problem


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
    """

    train: list[AnyRecord]
    dev: list[AnyRecord]
    test: list[AnyRecord]
    fingerprint: str
    notes: tuple[str, ...] = ()


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
    notes: list[str] = []
    train, dev = (_read(settings, split, notes) for split in ("train", "dev"))
    train, test = _set_test_aside(settings, train, notes)
    train, dev, test = one_spelling(train, (dev, test))
    if settings.extrapolation == "seen":
        train, dev = (keep_seen(records) if records else [] for records in (train, dev))
    whole = train = pairs(train)
    if settings.train_size is not None:
        train = draw(train, settings.train_size, settings.subsample, "data.train_size")
    if settings.train_per_class is not None:
        train = draw_per_class(train, settings.train_per_class, settings.subsample, "data.train_per_class")
    if settings.dev_share:
        train, share = _aside(settings, train, settings.subsample, settings.dev_share, "dev", notes)
        dev: list[Any] = merge(share) if FORMATS[settings.format].record is Record else share
    if settings.dev_size is not None:
        dev = draw(dev, settings.dev_size, 0, "data.dev_size")
    if settings.dev_per_class is not None:
        pool, seed = (dev, 0) if dev else (whole, settings.subsample)
        dev = draw_per_class(pool, settings.dev_per_class, seed, "data.dev_per_class", train, "dev")
    if settings.folds is not None:
        joined = [*train, *pairs(dev)]
        fold_of = folds(joined, settings.folds, settings.subsample)
        train = [pair for pair, fold in zip(joined, fold_of, strict=True) if fold != settings.fold]
        dev = [pair for pair, fold in zip(joined, fold_of, strict=True) if fold == settings.fold]
        dev = merge(dev) if FORMATS[settings.format].record is Record else dev
    if settings.join_dev:
        train, dev = [*train, *pairs(dev)], []
    return Splits(train, dev, test, fingerprint(train, dev, test), tuple(dict.fromkeys(notes)))


def load_test(settings: DataSettings) -> list[Any]:
    """The test records of `load` alone; empty where the settings give none.

    Raises:
        DataError: as `load`.
    """
    notes: list[str] = []
    train = _read(settings, "train", notes) if settings.test_share else []
    return _set_test_aside(settings, train, notes)[1]


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


def _set_test_aside(
    settings: DataSettings, train: list[Any], notes: list[str]
) -> tuple[list[Any], list[Any]]:
    """What is left to train on, and the test records."""
    if settings.test_share:
        # By a fixed draw: every subsample, seed and size is tested on the same records.
        train, test = _aside(settings, train, 0, settings.test_share, "test", notes)
    else:
        test = [] if settings.test_size == 0 else _read(settings, "test", notes)
    if settings.test_size is not None:
        test = draw(test, settings.test_size, 0, "data.test_size") if settings.test_size else []
    return train, test


def _aside(
    settings: DataSettings, train: list[Any], seed: int, share: float, stream: str, notes: list[str]
) -> tuple[list[Any], list[Any]]:
    """What is left, and the share that is set aside, with each label in its proportion where there are."""
    labelled = bool(train) and all(
        isinstance(record, LABELLED) and record.label is not None for record in train
    )
    if not settings.stratified or not labelled or not _few_labels(train):
        return set_aside(train, seed, share, stream)
    left, aside, single = set_aside_of_each(train, seed, share, stream)
    if single:
        some = ", ".join(f"'{label}'" for label in single[:10])
        notes.append(
            f"data.{stream}_share: {len(single)} of the labels have a single record, which stays in the "
            f"training set, so that none is set aside: {some}"
        )
    return left, aside


def _few_labels(records: Sequence[Any]) -> bool:
    """Whether labels are classes, each with two records on average, rather than numbers of a regression."""
    return len({record.label for record in records}) * 2 <= len(records)


def _read(settings: DataSettings, split: str, notes: list[str]) -> list[Any]:
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
    rules = Rules(settings.encoding, settings.on_bad_row == "skip")
    options = {name: getattr(settings, name) for name in form.takes}
    records = read_with(rules, settings.format, place, None, options)
    notes += rules.notes
    return records


def check_splits(settings: DataSettings) -> None:
    """Raises ConfigError, a line each, for settings that contradict each other; reads no file."""
    if settings.format == AUTO:
        expected = "the name of a format, where no task says what the columns are"
        raise ConfigError("data.format", "nothing", expected, "set it, e.g. to labelled or pairs")
    form, name = FORMATS[settings.format], settings.format
    given = [split for split in ("train", "dev", "test") if getattr(settings, split) is not None]
    has = ["train", "dev", "test"] if form.generated else [*given, *["test"] * bool(settings.test_share)]
    problems: list[Problem] = []

    def wrong(where: str, got: str, expected: str, do: str) -> None:
        problems.append(Problem(f"data.{where}", got, expected, do))

    if form.generated and given:
        wrong(given[0], f"a path for {name}", "no path, since its records are generated", "leave it out")
    if not has:
        wrong("train", f"no path for {name}", form.content, "give at least one of train, dev and test")
    problems.extend(misfits(name, settings.model_dump()))
    whole = ("dev_size", "test_size", "dev_share", "test_share", "dev_per_class", "folds")
    for setting in whole if form.grouped else ():
        if value := getattr(settings, setting):
            got = f"{value} for {name}, whose records are scored in groups"
            wrong(setting, got, "all records of the file", "leave it out, or give a smaller file")
    for split in ("train", "dev", "test"):
        size = getattr(settings, f"{split}_size")
        if size is not None and split not in has and not (split == "dev" and settings.dev_share):
            expected = f"a path in data.{split} to draw from"
            wrong(f"{split}_size", str(size), expected, "give the path, or drop the size")
    shared = "a path in data.train to take the share from"
    if settings.dev_share:
        if "train" not in has:
            wrong("dev_share", str(settings.dev_share), shared, "give the path")
        if settings.dev is not None:
            problems.append(_both("dev_share", settings.dev_share, "dev"))
        if settings.dev_size is not None:
            problems.append(_both("dev_size", settings.dev_size, "dev_share"))
    if settings.test_share:
        if settings.train is None:
            wrong("test_share", str(settings.test_share), shared, "give the path")
        if settings.test is not None:
            problems.append(_both("test_share", settings.test_share, "test"))
    problems.extend(_per_class(settings, has))
    problems.extend(_folds(settings, has))
    drawn = (settings.train_size, settings.train_per_class, settings.dev_share or None, settings.folds)
    if settings.subsample and drawn == (None,) * 4:
        got = f"{settings.subsample}, though nothing is drawn by it"
        expected = "data.train_size, data.train_per_class, data.dev_share or data.folds"
        wrong("subsample", got, expected, "give one of them, or drop the subsample")
    if settings.extrapolation and name != "webnlg":
        wrong("extrapolation", f"'{settings.extrapolation}' for {name}", "format webnlg", "leave it out")
    if problems:
        raise ConfigError.several(problems)


def _both(setting: str, value: object, other: str) -> Problem:
    got = f"both data.{setting} ({value}) and data.{other}"
    return Problem(f"data.{setting}", got, "one of the two", "drop one")


def _per_class(settings: DataSettings, has: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the sizes per class, a line each."""
    k_train, k_dev = settings.train_per_class, settings.dev_per_class
    for name, k in (("train_per_class", k_train), ("dev_per_class", k_dev)):
        if k is not None and FORMATS[settings.format].record not in LABELLED:
            got = f"{k} for {settings.format}, whose records have no label"
            size = f"data.{name.removesuffix('_per_class')}_size"
            yield Problem(
                f"data.{name}", got, "a format of texts or pictures with labels", f"give {size} instead"
            )
    if k_train is not None:
        if settings.train_size is not None:
            yield _both("train_per_class", k_train, "train_size")
        if "train" not in has:
            do = "give the path, or drop the size"
            yield Problem("data.train_per_class", k_train, "a path in data.train to draw from", do)
    if k_dev is None:
        return
    for other in ("dev_size", "dev_share"):
        if getattr(settings, other):
            yield _both("dev_per_class", k_dev, other)
    if settings.dev is None and k_train is None and settings.train_size is None:
        expected = "data.dev to draw from, or data.train_per_class or data.train_size that leave records over"
        yield Problem("data.dev_per_class", k_dev, expected, "give one of them")


def _folds(settings: DataSettings, has: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the folds, a line each."""
    if (settings.folds is None) != (settings.fold is None):
        given, other = ("folds", "fold") if settings.fold is None else ("fold", "folds")
        got = f"{getattr(settings, given)} without data.{other}"
        yield Problem(f"data.{given}", got, "both or neither", f"give data.{other}, or drop data.{given}")
    elif settings.folds is not None and settings.fold is not None:
        if settings.fold >= settings.folds:
            yield Problem("data.fold", settings.fold, f"0 to {settings.folds - 1}, the folds counted from 0")
        if "train" not in has:
            yield Problem(
                "data.folds",
                settings.folds,
                "a path in data.train whose records are cut into folds",
                "give it",
            )
    if settings.join_dev:
        if settings.folds is not None:
            yield Problem("data.join_dev", "both data.join_dev and data.folds", "one of the two", "drop one")
        elif not (settings.dev_share or settings.dev_per_class or "dev" in has):
            yield Problem(
                "data.join_dev",
                "true without development records",
                "development records to join",
                "leave it out",
            )
