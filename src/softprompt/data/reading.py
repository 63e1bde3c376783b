"""The one way to read a file of any format, and what is wrong with the settings for it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import DataSettings
from softprompt.data.records import misfit
from softprompt.data.registry import COLUMNS, FORMATS, OPTIONS
from softprompt.errors import ConfigError, DataError, Problem, kind_of

_DEFAULTS = {name: DataSettings.model_fields[name].default for name in OPTIONS}


def data_root() -> Path:
    """The folder of data sets: `SOFTPROMPT_DATA`, or `../shared/data` beside the working directory."""
    return Path(os.environ.get("SOFTPROMPT_DATA", Path("..") / "shared" / "data"))


def read(
    format: str,
    path: Path | str | None = None,
    *,
    source: str = "source",
    target: str = "target",
    text: str | int = "text",
    second: str | int | None = None,
    label: str | int | None = "label",
    word_column: int = 0,
    tag_column: int | None = -1,
    tagging: str = "bio",
    image: str = "image",
    split: str | None = None,
) -> list[Any]:
    """The records of one file or folder, in file order; `FORMATS[format].record` is their class.

    Args:
        format: a key of `FORMATS`.
        path: the file or folder, from the working directory; none for `restaurants`; for `datasets` and
            `datasets_images` `name:split` or `name:configuration:split`.
        source: name of the source column. This and the following for formats that take them, see
            `FORMATS[format].takes`.
        target: name of the target column.
        text: column of the text.
        second: column of the second text of a pair; None where there is one text.
        label: column of the label; None where there are none.
        word_column: place of the words in a line.
        tag_column: place of the tags in a line; None where there are none.
        tagging: `bio` or `iob1`.
        image: column of the pictures.
        split: `train`, `dev` or `test`, of a format that reads no file.

    Raises:
        ConfigError: an unknown format, or an argument that the format does not take.
        DataError: a file that is missing, empty or malformed, with the line where it is.
    """
    if format not in FORMATS:
        expected = f"one of {', '.join(FORMATS)}"
        raise ConfigError("data.format", repr(format), expected, FORMATS.hint(format))
    form = FORMATS[format]
    given = (source, target, text, second, label, word_column, tag_column, tagging, image)
    options: dict[str, Any] = dict(zip(OPTIONS, given, strict=True))
    if problems := misfits(format, options):
        raise ConfigError.several(problems)
    if form.generated:
        if path is not None:
            raise ConfigError(
                "data",
                f"the path {path} for {format}",
                "no path, since this format reads no file",
                "leave it out",
            )
        return list(form.function(split))
    if split is not None:
        raise ConfigError(
            "split",
            f"'{split}' for {format}",
            "the format 'restaurants', which alone takes a split",
            "give the path of the split's file instead",
        )
    if path is None:
        raise ConfigError("data", f"no path for {format}", form.content)
    path = Path(path)
    if not form.named and not path.exists():
        do = "put it there, or set SOFTPROMPT_DATA to the folder of data sets"
        raise DataError(str(path), "no such file or folder", form.content, do)
    with FORMATS.naming(format):
        made = form.function(path, **{name: options[name] for name in form.takes})
        if not isinstance(made, Iterable):
            expected = f"records of {form.record.__name__}"
            raise DataError(str(path), f"{kind_of(made)} from the reader of {format}", expected)
        records = list(made)
    if not records:
        raise DataError(str(path), "no records", form.content)
    for record in records:
        if not isinstance(record, form.record):
            expected = f"{form.record.__name__} alone, as its reader declares"
            raise DataError(str(path), f"a record that is {kind_of(record)}", expected)
        if problem := misfit(record):
            where = f"{path}: {problem.where}"
            raise DataError(where, problem.got, problem.expected, problem.hint)
    return records


def misfits(format: str, options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the reading options for a format, a line each.

    Args:
        format: a key of `FORMATS`.
        options: `source`, `target`, `text`, `second`, `label`, `word_column`, `tag_column`, `tagging` and
            `image`.
    """
    form, problems = FORMATS[format], []
    for name in OPTIONS:
        if name not in form.takes and options[name] != _DEFAULTS[name]:
            takers = [other for other, row in FORMATS.rows.items() if name in row.takes]
            expected = f"format {_or(takers)}"
            problems.append(
                Problem(f"data.{name}", f"{options[name]!r} for {format}", expected, "leave it out")
            )
    taken = [name for name in form.takes if options[name] is not None]
    for place, name in enumerate(taken):
        for other in taken[:place]:
            if options[name] == options[other] and name != "tagging":
                got = f"{options[name]!r}, which is the {other} too"
                problems.append(
                    Problem(f"data.{name}", got, "another column", f"name the {name}'s own column")
                )
    if options["tagging"] not in ("bio", "iob1"):
        problems.append(Problem("data.tagging", repr(options["tagging"]), "'bio' or 'iob1'"))
    problems += [problem for name in form.takes if (problem := _wrong_kind(name, options[name]))]
    numbers = [name for name in taken if name in COLUMNS and isinstance(options[name], int)]
    if numbers and format != "labelled_tsv":
        got = f"the number {options[numbers[0]]} for {format}"
        problems.append(
            Problem(f"data.{numbers[0]}", got, "a column's name", "keep numbers for labelled_tsv")
        )
    elif numbers and len(numbers) < len(taken):
        got = f"numbers for some columns ({', '.join(numbers)}) and names for others"
        do = "number them for a file without a header, name them for one with a header"
        problems.append(Problem("data", got, "columns that are all numbered or all named", do))
    return problems


def _wrong_kind(name: str, value: Any) -> Problem | None:
    """What is wrong with one option by itself: settings are of these kinds, arguments may be of any."""
    if value is None and name in ("second", "label", "tag_column"):
        return None
    if name in ("word_column", "tag_column"):
        fits, expected = type(value) is int, "a number of columns, from 0 or, from the end, -1"
    elif name in COLUMNS:
        fits = isinstance(value, str) or (type(value) is int and value >= 0)
        expected = "a column's name, or its number from 0"
    else:
        fits, expected = isinstance(value, str), "a text"
    return None if fits else Problem(f"data.{name}", repr(value), expected)


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
