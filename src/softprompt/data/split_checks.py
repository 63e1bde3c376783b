"""Settings of splits that contradict each other."""

from collections.abc import Iterator, Sequence

from softprompt.config import AUTO, DataSettings
from softprompt.data.reading import misfits
from softprompt.data.records import LABELLED, MultiLabelledText
from softprompt.data.registry import FORMATS
from softprompt.errors import ConfigError, Problem


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
            several = FORMATS[settings.format].record is MultiLabelledText
            have = "several labels each" if several else "no label"
            got = f"{k} for {settings.format}, whose records have {have}"
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
