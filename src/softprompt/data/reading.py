"""The one way to read a file of any format, and what is wrong with the settings for it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import AUTO, SPLIT_NAME, DataSettings
from softprompt.data.reading_rules import Rules, following
from softprompt.data.records import MultiLabelledText, misfit
from softprompt.data.registry import FIXED, FORMATS, NUMBERED, OF_TABLES, OPTIONS
from softprompt.errors import ConfigError, DataError, Problem, counted, kind_of
from softprompt.untrusted import at_home

_DEFAULTS = {name: DataSettings.model_fields[name].default for name in (*OPTIONS, *OF_TABLES)}

_NUMBERED = ("labelled", "multi_labelled", "pairs", "csv", "labelled_csv", "labelled_tsv")
"""Formats whose columns may be given by number."""


def read(
    format: str,
    path: Path | str | None = None,
    *,
    source: str | int = AUTO,
    target: str | int = AUTO,
    text: str | int = AUTO,
    second: str | int | None = AUTO,
    label: str | int | list[str | int] | None = AUTO,
    label_separator: str | None = None,
    image: str = AUTO,
    words: str = AUTO,
    tags: str | None = AUTO,
    question: str = AUTO,
    context: str = AUTO,
    answers: str | None = AUTO,
    messages: str = AUTO,
    word_column: int = 0,
    tag_column: int | None = -1,
    tagging: str = AUTO,
    language: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    quoted: bool | None = None,
    sheet: str | None = None,
    encoding: str | None = None,
    on_bad_row: str = "refuse",
    split: str | None = None,
) -> list[Any]:
    """The records of one file or folder, in file order; `FORMATS[format].record` is their class.

    Args:
        format: a key of `FORMATS`.
        path: the file or folder, from the working directory; none for `restaurants`; for `datasets` and
            `datasets_images` `name:split` or `name:configuration:split`.
        source: column of the source, or a text of several, `"{instruction}\\n{input}"`. `auto`, here and
            below, finds the column by its usual names in formats for any table, and is the name of the
            argument in older ones. This and the following for formats that take them, see
            `FORMATS[format].takes`.
        target: column of the target.
        text: column of the text, by name, or by number from 0 where the file has no header.
        second: column of the second text of a pair; None where there is one text.
        label: column of the label or number; None where there are none. Of several labels for each text
            also a list of columns of 0 and 1.
        label_separator: between the labels in a cell with several.
        image: column of the pictures.
        words: column of a sentence's words.
        tags: column of its tags; None where there are none.
        question: column of the question.
        context: column of the context.
        answers: column of the answers; None where they are unknown.
        messages: column of a conversation.
        word_column: place of the words in a line.
        tag_column: place of the tags in a line; None where there are none.
        tagging: `bio`, `iob1`, `bioes` or `bilou`; `auto` finds which.
        language: of WebNLG 2020's texts.
        decimal: the sign before the fraction of labels that are numbers; None is the point.
        thousands: the sign between their thousands; None is none.
        delimiter: what separates cells; None finds it.
        header: whether the first row names the columns; None is true unless columns are numbers.
        quoted: whether quotes stand around cells; None is true for CSV and found for TSV.
        sheet: of an Excel workbook.
        encoding: of text files; None is UTF-8, or what a byte-order mark says.
        on_bad_row: `refuse`, or `skip` to leave such rows out.
        split: `train`, `dev` or `test`, of a format that reads no file.

    Raises:
        ConfigError: an unknown format, or an argument that the format does not take.
        DataError: a file that is missing, empty or malformed, with the line where it is.
    """
    if on_bad_row not in ("refuse", "skip"):
        raise ConfigError("data.on_bad_row", repr(on_bad_row), "'refuse' or 'skip'")
    options = {
        "source": source, "target": target, "text": text, "second": second, "label": label,
        "label_separator": label_separator,
        "image": image, "words": words, "tags": tags, "question": question, "context": context,
        "answers": answers, "messages": messages,
        "word_column": word_column, "tag_column": tag_column, "tagging": tagging, "language": language,
        "decimal": decimal, "thousands": thousands,
        "delimiter": delimiter, "header": header, "quoted": quoted, "sheet": sheet,
    }  # fmt: skip
    return read_with(Rules(encoding, on_bad_row == "skip"), format, path, split, options)


def read_with(
    rules: Rules, format: str, path: Path | str | None, split: str | None, options: Mapping[str, Any]
) -> list[Any]:
    """The records of one file, as `read`, by rules that afterwards hold what there is to say about it."""
    if format not in FORMATS:
        expected = f"one of {', '.join(FORMATS)}"
        raise ConfigError("data.format", repr(format), expected, FORMATS.hint(format))
    form = FORMATS[format]
    options = {**_DEFAULTS, **options}
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
    path = at_home(str(path))
    is_split = SPLIT_NAME.fullmatch(path.as_posix()) is not None
    if not path.exists() and not (form.named and (is_split or not form.universal)):
        do = "put it there, or set SOFTPROMPT_DATA to the folder of data sets"
        raise DataError(str(path), "no such file or folder", form.content, do)
    with FORMATS.naming(format), following(rules):
        made = form.function(path, **form.arguments(options))
        if not isinstance(made, Iterable):
            expected = f"records of {form.record.__name__}"
            raise DataError(str(path), f"{kind_of(made)} from the reader of {format}", expected)
        records = list(made)
    if rules.n_skipped:
        some = "the first ten: " if rules.n_skipped > len(rules.skipped) else ""
        said = " ".join(rules.skipped)
        were = "was" if rules.n_skipped == 1 else "were"
        bad = counted(rules.n_skipped, "bad row")
        rules.notes.append(f"{path}: {bad} {were} left out ({some}{said})")
    if not records:
        got = f"no records beside {counted(rules.n_skipped, 'bad row')}" if rules.n_skipped else "no records"
        raise DataError(str(path), got, form.content)
    for record in records:
        if not isinstance(record, form.record):
            expected = f"{form.record.__name__} alone, as its reader declares"
            raise DataError(str(path), f"a record that is {kind_of(record)}", expected)
        if problem := misfit(record):
            where = f"{path}: {problem.where}"
            raise DataError(where, problem.got, problem.expected, problem.hint)
    return records


_COLUMNS = tuple(name for name in OPTIONS if name not in ("tagging", "language", "decimal", "thousands"))

_TAGGINGS = ("auto", "bio", "iob1", "bioes", "bilou")


def misfits(format: str, options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the reading options for a format, a line each.

    Args:
        format: a key of `FORMATS`.
        options: by name, those of `OPTIONS` and `OF_TABLES`.
    """
    form, problems = FORMATS[format], []
    for name in (*OPTIONS, *OF_TABLES):
        # The names that were the defaults once stand in the settings of older runs.
        usual = (_DEFAULTS[name], FIXED.get(name, _DEFAULTS[name]), *(["bio"] if name == "tagging" else []))
        if name not in form.takes and options[name] not in usual:
            takers = [other for other, row in FORMATS.rows.items() if name in row.takes and not row.universal]
            expected = f"format {_or(takers)}" if takers else "data without a format, or with another"
            if name == "label_separator":
                expected = "task.name=multi_label_classification, whose texts have several labels"
            problems.append(
                Problem(f"data.{name}", f"{options[name]!r} for {format}", expected, "leave it out")
            )
    if not form.universal:
        options = {
            name: FIXED.get(name, value) if value == AUTO else value for name, value in options.items()
        }
    taken = [name for name in form.takes if name in _COLUMNS and options[name] not in (None, AUTO)]
    for place, name in enumerate(taken):
        for other in taken[:place]:
            if options[name] == options[other]:
                got = f"{options[name]!r}, which is the {other} too"
                problems.append(
                    Problem(f"data.{name}", got, "another column", f"name the {name}'s own column")
                )
    if options["tagging"] not in _TAGGINGS:
        expected = f"one of {', '.join(_TAGGINGS)}"
        problems.append(Problem("data.tagging", repr(options["tagging"]), expected))
    if "decimal" in form.takes and options["thousands"] == (options["decimal"] or "."):
        got = f"{options['thousands']!r}, which is the sign before the fraction too"
        do = "set data.decimal to another, e.g. ','" if options["decimal"] is None else "set one of them"
        problems.append(Problem("data.thousands", got, "another sign", do))
    columns = options.get("label")
    if isinstance(columns, list):
        if form.record is not MultiLabelledText:
            got, do = f"{columns!r} for {format}", "set task.name=multi_label_classification"
            problems.append(Problem("data.label", got, "one column", f"if each is a label of its own, {do}"))
        options = {**options, "label": columns[0] if columns else None}
    problems += [problem for name in form.takes if (problem := _wrong_kind(name, options[name]))]
    numbers = [name for name in taken if name in NUMBERED and isinstance(options[name], int)]
    if numbers and format not in _NUMBERED:
        got = f"the number {options[numbers[0]]} for {format}"
        do = "keep numbers for tables whose columns have no names"
        problems.append(Problem(f"data.{numbers[0]}", got, "a column's name", do))
    elif numbers and len(numbers) < len(taken):
        got = f"numbers for some columns ({', '.join(numbers)}) and names for others"
        do = "number them for a file without a header, name them for one with a header"
        problems.append(Problem("data", got, "columns that are all numbered or all named", do))
    return problems


def _wrong_kind(name: str, value: Any) -> Problem | None:
    """What is wrong with one option by itself: settings are of these kinds, arguments may be of any."""
    if value is None and name in (
        *OF_TABLES, "second", "label", "tag_column", "tags", "answers", "language", "decimal", "thousands",
        "label_separator",
    ):  # fmt: skip
        return None
    if name in ("decimal", "thousands"):
        return (
            None
            if isinstance(value, str) and len(value) == 1
            else Problem(f"data.{name}", repr(value), "a sign")
        )
    if name in ("header", "quoted"):
        return None if isinstance(value, bool) else Problem(f"data.{name}", repr(value), "true or false")
    if name in ("word_column", "tag_column"):
        fits, expected = type(value) is int, "a number of columns, from 0 or, from the end, -1"
    elif name in NUMBERED:
        fits = isinstance(value, str) or (type(value) is int and value >= 0)
        expected = "a column's name, or its number from 0"
    else:
        fits, expected = isinstance(value, str), "a text"
    return None if fits else Problem(f"data.{name}", repr(value), expected)


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
