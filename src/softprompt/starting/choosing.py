"""Which task a file is for, as far as its columns and values leave no doubt."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softprompt.config import AUTO
from softprompt.data import SOURCE_AND_TARGET, Table, assigned
from softprompt.errors import ConfigError, DataError, listed
from softprompt.starting.columns import Column, odd_number
from softprompt.starting.hints import chosen

Roles = Mapping[str, str | None]
Columns = str | list[str] | None

_ASKING = ("instruction", "prompt", "source", "src", "document", "article", "dialogue")
"""Names of sources whose targets are texts, however short and few."""

_FEW_ANSWERS = 20
"""The most different targets of a pair that are taken for labels rather than for texts."""


@dataclass(frozen=True)
class Choice:
    """A task, and what it takes of a table.

    Args:
        task: its name.
        kind: of records: `pairs`, `labelled`, `tagged`, `questions`, `pictures` or `pictured`.
        roles: the column, or the text of several, by role; None where there is none.
        notes: what else it could have been, a sentence each.
        separator: what joins several labels in a cell; None where nothing does.
    """

    task: str
    kind: str
    roles: Mapping[str, Columns]
    notes: tuple[str, ...] = field(default=())
    separator: str | None = None


_KINDS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "generation": (("pictured", ("image", "source", "target")), ("pairs", ("source", "target", "messages"))),
    "classification": (("labelled", ("text", "second", "label")),),
    "multi_label_classification": (("multi_labelled", ("text", "second", "label")),),
    "regression": (("labelled", ("text", "second", "label")),),
    "tagging": (("tagged", ("words", "tags")),),
    "spans": (("questions", ("question", "context", "answers")),),
    "image_classification": (("pictures", ("image", "label")),),
}
"""By task, the kinds of records that a table can hold for it, and their roles."""


SEVERAL = "multi_label_classification"

_ASSIGNED = {"multi_labelled": "labelled"}
"""Kinds of records whose columns are found as those of another kind."""


def task_for(table: Table, columns: Sequence[Column], given: Roles, task: str | None = None) -> Choice:
    """The task of a table.

    Args:
        table: the file.
        columns: of the table, with what they hold.
        given: columns that were named, by role.
        task: the one that was asked for; None finds it.

    Raises:
        ConfigError: a task that no table is read for.
        DataError: columns that leave the task open; with what to say.
    """
    by_name = {column.name: column for column in columns}
    if task is not None:
        if task not in _KINDS:
            do = "write its recipe by hand: recipes/ has one for each task"
            raise ConfigError("--task", repr(task), f"one of {', '.join(_KINDS)}", do)
        return _of_task(table, by_name, given, task)
    for find in (_turns, _tagged, _questions, _pictures, _pairs, _labelled, _flagged):
        if (choice := find(table, by_name, given)) is not None:
            return choice
    raise _open(table, columns)


def _open(table: Table, columns: Sequence[Column]) -> DataError:
    """The error for columns that leave the task open, with what would settle it."""
    names = listed([f"'{column.name}'" for column in columns]) or "none"
    texts = [column.name for column in columns if column.kind == "text"]
    answers = [column.name for column in columns if column.kind in ("label", "number") and not column.serial]
    if "" in table.columns[1:] or (len(columns) < 2 and any(row.problem is not None for row in table.rows)):
        wider = next((row.problem for row in table.rows if row.problem is not None), None)
        got = f"the columns {names} in the first row" + (f", and {wider.got} behind it" if wider else "")
        do = "remove what stands above that row, or name all columns"
        return DataError(table.name, got, "a first row that names every column", do)
    if len(columns) < 2 and table.kind == "txt":
        got, expected = (
            "lines of texts without tabs",
            "an answer beside each text: a label, a number or a text",
        )
        do = "if cells are separated by another sign, say it, e.g. --set 'data.delimiter=\"|\"'"
        return DataError(table.name, got, expected, do)
    if len(columns) < 2:
        got, expected = f"one column, {names}", "an answer beside each text: a label, a number or a text"
        return DataError(table.name, got, expected, "put the answers into a second column")
    if len(answers) == 1 and len(texts) > 1:
        first, second = texts[:2]
        quoted = listed([f"'{text}'" for text in texts])
        got = f"several columns of texts, {quoted}, beside '{answers[0]}'"
        do = (
            f"say it: {chosen(text=second)}, or a pair, {chosen(text=first, second=second)}, "
            f"or both as one text, --set 'data.text=\"{{{first}}} {{{second}}}\"'"
        )
        return DataError(table.name, got, "one that is plainly the text", do)
    if (odd := odd_number(table, columns)) is not None:
        return odd
    got = f"the columns {names}, which leave open what is asked"
    do = (
        "say it: --task classification --set data.text=COLUMN --set data.label=COLUMN, or "
        "--task generation --set data.source=COLUMN --set data.target=COLUMN"
    )
    return DataError(table.name, got, "columns such as text and label, or question and answer", do)


def _of_task(table: Table, columns: Mapping[str, Column], given: Roles, task: str) -> Choice:
    kinds = _KINDS[task]
    if task == "generation" and not any(column.kind == "picture" for column in columns.values()):
        kinds = kinds[1:]
    for kind, roles in kinds[:-1]:
        if (found := _assigned(table, kind, roles, given)) is not None:
            return Choice(task, kind, found)
    kind, roles = kinds[-1]
    if task == SEVERAL:
        found = _flagged(table, columns, given) or _several(table, columns, given)
        if found is not None:
            return found
    wanted = {role: given.get(role, AUTO) for role in roles}
    return Choice(task, kind, assigned(table, _ASSIGNED.get(kind, kind), wanted))


def _assigned(table: Table, kind: str, roles: Sequence[str], given: Roles) -> dict[str, str | None] | None:
    """The columns of the roles; None where they cannot be told, or others were named."""
    if any(role not in roles for role in given):
        return None
    try:
        return assigned(table, kind, {role: given.get(role, AUTO) for role in roles})
    except DataError:
        return None


def _turns(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    turns = [name for name, column in columns.items() if column.kind == "turns"]
    if len(turns) != 1 or given:
        return None
    return Choice("generation", "pairs", {"source": None, "target": None, "messages": turns[0]})


def _tagged(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    found = _assigned(table, "tagged", ("words", "tags"), given)
    if found is None or not _holds(columns, found["words"], "words"):
        return None
    return Choice("tagging", "tagged", found)


def _questions(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    found = _assigned(table, "questions", ("question", "context", "answers"), given)
    if found is None or not _holds(columns, found["answers"], "answers"):
        return None
    return Choice("spans", "questions", found)


def _pictures(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    if not any(column.kind == "picture" for column in columns.values()):
        return None
    if (found := _assigned(table, "pictured", ("image", "source", "target"), given)) is not None:
        return Choice("generation", "pictured", found)
    found = _assigned(table, "pictures", ("image", "label"), given)
    return None if found is None else Choice("image_classification", "pictures", found)


def _pairs(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    found = _assigned(table, "pairs", ("source", "target", "messages"), given)
    if found is None or found.get("target") is None:
        return None
    target = columns.get(str(found["target"]))
    source = str(found["source"])
    if source not in columns or source.casefold() in _ASKING:  # several columns as one text, as Alpaca's
        return Choice("generation", "pairs", found)
    if target is None or target.kind in ("text", "words"):
        if not given and not _usual_pair(found, columns):
            return None  # two texts of no usual names: which is the answer is for a person to say
        return Choice("generation", "pairs", found)
    if "source" in given or "target" in given:
        return Choice("generation", "pairs", found)
    return None


def _usual_pair(found: Roles, columns: Mapping[str, Column]) -> bool:
    """Whether names, and not only the number of columns, say which text is the answer."""
    source, target = str(found["source"]), str(found["target"])
    pair = (source.casefold(), target.casefold())
    return source not in columns or pair in SOURCE_AND_TARGET


def _labelled(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    found = _assigned(table, "labelled", ("text", "second", "label"), given)
    if found is None:
        found = (None if given else _of_targets(table, columns)) or _by_values(table, columns, given)
    if found is None or (label := columns.get(str(found["label"]))) is None:
        return None
    if label.kind in ("labels", "words"):
        return _of_several(label, found)
    if label.kind == "number":
        return Choice("regression", "labelled", found)
    if label.kind == "label":
        return Choice("classification", "labelled", found, tuple(_instead(label)))
    return None


def _several(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    """A column of labels, several or one in each cell, where it was asked for."""
    found = _assigned(table, "labelled", ("text", "second", "label"), given) or _by_values(
        table, columns, given
    )
    label = None if found is None else columns.get(str(found["label"]))
    return None if found is None or label is None else _of_several(label, found)


def _of_several(label: Column, found: Roles) -> Choice:
    """Multi-label classification, with what joins the labels and what else they could be."""
    notes = ()
    if label.separator is not None:
        joined = next(value for value, _ in label.common if label.separator in value)
        notes = (
            f"'{label.name}' has several labels in a cell, joined by {label.separator!r} ({joined!r}); "
            "if each cell is one label, say --task classification",
        )
    return Choice(SEVERAL, "multi_labelled", found, notes, label.separator)


def _flagged(table: Table, columns: Mapping[str, Column], given: Roles) -> Choice | None:
    """One text beside several columns of 0 and 1, each of them for a label."""
    flags = [name for name, column in columns.items() if _is_flag(column)]
    texts = [name for name, column in columns.items() if column.kind == "text" and not column.serial]
    text = given.get("text") or (texts[0] if len(texts) == 1 else None)
    if len(flags) < 2 or text is None or any(role not in ("text", "second") for role in given):
        return None
    return Choice(SEVERAL, "multi_labelled", {"text": text, "second": given.get("second"), "label": flags})


def _is_flag(column: Column) -> bool:
    """Whether a column holds 0 and 1 alone, or one of them."""
    values = {value.lower() for value, _ in column.common}
    return column.kind in ("label", "number") and (
        values <= {"0", "1"} or values <= {"0.0", "1.0"} or values <= {"true", "false"}
    )


def _by_values(table: Table, columns: Mapping[str, Column], given: Roles) -> dict[str, str | None] | None:
    """The columns of texts and labels where one alone has the values of labels, and one alone texts."""
    if any(role not in ("text", "second", "label") for role in given):
        return None
    # A column without a name is an index, or its name stands below a title.
    named = {name: column for name, column in columns.items() if name}
    answers = [
        name
        for name, column in named.items()
        if column.kind in ("label", "labels", "words", "number") and not column.serial
    ]
    texts = [name for name, column in named.items() if column.kind == "text"]
    if "label" not in given and len(answers) == 1:
        given = {**given, "label": answers[0]}
    if "text" not in given and len(texts) == 1:
        given = {**given, "text": texts[0]}
    if "text" not in given or "label" not in given:
        return None
    return _assigned(table, "labelled", ("text", "second", "label"), given)


def _instead(label: Column) -> Iterator[str]:
    """What else labels could be."""
    values = [value for value, _ in label.common]
    if max(map(len, values)) > 30:
        yield f"--task generation would write the texts of '{label.name}' instead"
    if len(values) > 2 and all(value.lstrip("-").isdecimal() for value in values):
        yield f"--task regression would take the labels of '{label.name}' as numbers"


def _of_targets(table: Table, columns: Mapping[str, Column]) -> dict[str, str | None] | None:
    """The columns of a pair whose few targets are labels: question and answer of yes and no."""
    found = _assigned(table, "pairs", ("source", "target", "messages"), {})
    if found is None or (target := columns.get(str(found.get("target")))) is None:
        return None
    labels = target.kind == "number" or (target.kind == "label" and target.different <= _FEW_ANSWERS)
    if not labels or found["source"] not in columns:
        return None
    return {"text": found["source"], "second": None, "label": target.name}


def _holds(columns: Mapping[str, Column], name: Any, kind: str) -> bool:
    return name in columns and columns[name].kind == kind
