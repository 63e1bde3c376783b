"""Which column of a table is what a task needs: named by the settings, or found by the usual names."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from softprompt.config import AUTO
from softprompt.data.parsing import missing
from softprompt.data.reading_rules import rules
from softprompt.data.tables import Row, Table
from softprompt.data.usual_names import ROLES, SOURCE_AND_TARGET, TWO_TEXTS
from softprompt.errors import DataError, in_yaml, listed

_IDS = ("", "id", "idx", "index", "uuid", "guid", "uid", "unnamed: 0", "no")
"""Names of columns that count rows, and that no role takes unless it is told to."""

_FIELD = re.compile(r"\{([^{}]+)\}")

Given = Mapping[str, "str | int | None"]


def assigned(table: Table, kind: str, given: Given) -> dict[str, str | None]:
    """The column, or the text of several, of every role.

    Args:
        table: the file.
        kind: of records: `pairs`, `labelled`, `tagged`, `questions`, `pictures` or `pictured`.
        given: by role, as in `data`; `auto` is found, None is left out.

    Raises:
        DataError: a column that the file does not have, or that cannot be told; with those that it has.
    """
    roles: dict[str, Any] = {
        role: str(value) if type(value) is int else value for role, value in given.items()
    }
    for role, value in roles.items():
        if isinstance(value, str) and value != AUTO:
            check_column(table, value, role)
    now = rules()
    # What the training file's columns are, those of the same names in other files are too.
    same = {
        role: column
        for role, column in now.first.items()
        if roles.get(role) == AUTO and (column is None or _has(table, column))
    }
    told = roles | same
    found = {**_FINDERS[kind](table, told, _free(table, told)), **same}
    missing_roles = [role for role in told if told[role] == AUTO and not _is_found(role, found, now.first)]
    if missing_roles and missing_roles[0] in now.first:
        raise _absent(table, missing_roles[0], str(now.first[missing_roles[0]]))
    if missing_roles:
        raise _untold(table, missing_roles)
    taken = {role: found[role] for role in roles if found.get(role) is not None}
    if taken:
        said = listed([f"{role} from {column!r}" for role, column in taken.items()])
        rules().notes.append(f"{table.name}: {said}")
    made = {role: found.get(role) if value == AUTO else value for role, value in roles.items()}
    now.columns.update(made)
    return made


def _has(table: Table, column: str) -> bool:
    return all(name in table.columns for name in _FIELD.findall(column) or (column,))


def _is_found(role: str, found: Mapping[str, str | None], first: Given) -> bool:
    """Whether a role has a column: of another name than in the training file only a usual one."""
    column = found.get(role)
    usual = {*ROLES.get(role, ()), *(name for pair in (*TWO_TEXTS, *SOURCE_AND_TARGET) for name in pair)}
    return role in found and (role not in first or column is None or column.casefold() in usual)


def _absent(table: Table, role: str, column: str) -> DataError:
    """The error for a file without the column that the training file's role has."""
    got = f"no column '{column}', which is the {role} in the training file"
    named = listed([f"'{name}'" for name in table.columns])
    do = f"name the columns alike in all files ({named} here)" + _unanswered(table, role)
    return DataError(_header(table), got, "the same column", do)


def _unanswered(table: Table, role: str) -> str:
    """What to do about a file whose rows have no answers, where a role is the answer."""
    command = {"label": "predict", "tags": "predict", "answers": "predict", "target": "generate"}.get(role)
    if command is None or rules().split not in ("dev", "test"):
        return ""
    return f"; rows without a {role} are for softprompt {command} RUN --input {table.name}"


def check_column(table: Table, value: str, role: str) -> None:
    """Refuse a column, or a column in a template, that the table does not have, or has several times."""
    if value not in table.columns and not table.header and value.isdigit():
        expected = f"columns 0 to {len(table.columns) - 1}, which the line has"
        where = table.rows[0].where if table.rows else table.name
        raise DataError(where, f"column {value}", expected, "count columns from 0")
    for name in _FIELD.findall(value) if is_template(table, value) else (value,):
        if name not in table.columns:
            what = "field" if table.kind in ("json", "jsonl") else "column"
            row = next((row for row in table.rows if row.values), None)
            known = list(row.values) if row is not None and what == "field" else table.columns
            error = missing(what, name, known, _header(table))
            if several := [part for part in name.split(",") if part.strip() in known]:
                joined = "\\n".join(f"{{{part.strip()}}}" for part in several)
                do = f'write a text of several columns in braces, e.g. data.{role}: "{joined}"'
                raise DataError(error.where, error.got, error.expected, do)
            if name.isdigit():
                do = f"leave the quotes out to count columns from 0 (data.{role}: {name})"
                raise DataError(error.where, error.got, error.expected, do)
            hint = f"{error.hint}{_unanswered(table, role)}"
            raise DataError(error.where, error.got, error.expected, hint)
        if name in table.repeated:
            times = 1 + sum(column.startswith(f"{name} (") for column in table.columns)
            got = f"the column '{name}' {times} times"
            raise DataError(
                _header(table), got, "each column once", f"rename one, or set data.{role} to another"
            )


def is_template(table: Table, value: str) -> bool:
    """Whether a setting is a text with columns in it, and no column itself."""
    return value not in table.columns and _FIELD.search(value) is not None


def cell(table: Table, column: str, where: str = "") -> Callable[[Row], Any]:
    """What a row has in a column, or in a text of several, whose outer white space is taken off."""
    if not is_template(table, column):
        return lambda row: row.values[column] if column in row.values else _lacking(row, column)

    def filled(row: Row) -> str:
        return _FIELD.sub(lambda match: _as_text(row, match[1]), column).strip()

    return filled


def _lacking(row: Row, column: str) -> NoReturn:
    raise missing("field", column, list(row.values), row.where)


def _as_text(row: Row, column: str) -> str:
    value = row.values.get(column)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise DataError(row.where, f"{type(value).__name__} in '{column}'", "a text or a number in a template")


def _header(table: Table) -> str:
    if table.kind in ("json", "jsonl"):
        return next((row.where for row in table.rows if row.values), table.name)
    return table.name if table.header_line is None else f"{table.name}, line {table.header_line}"


def _free(table: Table, roles: Mapping[str, Any]) -> list[str]:
    """The columns that no setting names."""
    named = {
        name
        for value in roles.values()
        if isinstance(value, str) and value != AUTO
        for name in ([value] if value in table.columns else _FIELD.findall(value))
    }
    return [column for column in table.columns if column not in named]


def _usual(columns: Sequence[str], role: str, names: Sequence[str] = ()) -> str | None:
    """The one column with a usual name of a role; the role's own name comes before others."""
    known = {column.casefold(): column for column in columns}
    if role in known:
        return known[role]
    seen = [known[name] for name in names or ROLES[role] if name in known]
    return seen[0] if len(seen) == 1 else None


def _content(columns: Sequence[str]) -> list[str]:
    return [column for column in columns if column.casefold() not in _IDS]


def _find_labelled(table: Table, roles: Mapping[str, Any], free: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    known = {column.casefold(): column for column in free}
    if roles["text"] == AUTO and roles["second"] == AUTO:
        pairs = [pair for pair in TWO_TEXTS if all(name in known for name in pair)]
        if len(pairs) == 1:
            found["text"], found["second"] = (known[name] for name in pairs[0])
    free = [column for column in free if column not in found.values()]
    if roles["label"] == AUTO and (label := _usual(free, "label")) is not None:
        found["label"] = label
    free = [column for column in free if column not in found.values()]
    if roles["text"] == AUTO and "text" not in found and (text := _usual(free, "text")) is not None:
        found["text"] = text
    rest = [column for column in _content(free) if column not in found.values()]
    wanted = [role for role in ("text", "label") if roles[role] == AUTO and role not in found]
    if len(wanted) == 1 and len(rest) == 1:
        found[wanted[0]] = rest[0]
    elif len(wanted) == len(rest) == 2 and (label := _repeating(table, rest)) is not None:
        found["label"] = label
        found["text"] = next(column for column in rest if column != label)
    if roles["second"] == AUTO:
        found.setdefault("second", None)
    return found


def _repeating(table: Table, columns: Sequence[str]) -> str | None:
    """Of two columns the one whose few values come again and again, as labels do."""
    rows = [row.values for row in table.rows if row.problem is None]
    kinds = {column: len({str(row.get(column)) for row in rows}) for column in columns}
    few, many = sorted(columns, key=lambda column: kinds[column])
    return few if kinds[few] * 2 <= len(rows) and kinds[few] * 2 <= kinds[many] else None


def _find_pairs(table: Table, roles: Mapping[str, Any], free: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    known = {column.casefold(): column for column in free}
    if "image" in roles and roles["image"] == AUTO and (image := _usual(free, "image")) is not None:
        found["image"] = image
    if roles.get("messages") == AUTO:
        messages = _usual(free, "messages") if roles["source"] == roles["target"] == AUTO else None
        found["messages"] = messages
        if messages is not None:
            return found | {"source": None, "target": None}
    if roles["source"] == roles["target"] == AUTO:
        if all(name in known for name in ("instruction", "input", "output")):  # Alpaca's records
            template = f"{{{known['instruction']}}}\n{{{known['input']}}}"
            return found | {"source": template, "target": known["output"]}
        shapes = [pair for pair in SOURCE_AND_TARGET if all(name in known for name in pair)]
        rest = [column for column in _content(free) if column not in found.values()]
        if ("source", "target") in shapes or len(shapes) == 1:
            source, target = ("source", "target") if ("source", "target") in shapes else shapes[0]
            found |= {"source": known[source], "target": known[target]}
        elif not shapes and len(rest) == 2 and "mr" not in known:
            found |= {"source": rest[0], "target": rest[1]}
        return found
    for role, other in (("source", 0), ("target", 1)):
        if roles[role] == AUTO:
            one = _usual(free, role, tuple(dict.fromkeys(pair[other] for pair in SOURCE_AND_TARGET)))
            rest = [column for column in _content(free) if column not in found.values()]
            found |= {role: one} if one else {role: rest[0]} if len(rest) == 1 else {}
    return found


def _find_by_name(table: Table, roles: Mapping[str, Any], free: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for role, value in roles.items():
        left = [column for column in free if column not in found.values()]
        if value == AUTO and (column := _usual(left, role)) is not None:
            found[role] = column
    return found


_FINDERS: Mapping[str, Callable[[Table, Mapping[str, Any], list[str]], dict[str, str | None]]] = {
    "labelled": _find_labelled,
    "pairs": _find_pairs,
    "pictured": _find_pairs,
    "tagged": _find_by_name,
    "questions": _find_by_name,
    "pictures": _find_by_name,
}


def _untold(table: Table, roles: Sequence[str]) -> DataError:
    names = ", ".join(repr(column) for column in table.columns) or "none"
    got = f"the columns {names}, none of which is plainly the {listed(list(roles))}"
    first = next((column for column in _content(table.columns)), "COLUMN")
    do = f"say which it is, e.g. data.{roles[0]}: {in_yaml(first)}"
    if table.header and table.kind in ("csv", "tsv", "xlsx"):
        do += "; if the first row is no header, give columns by number, e.g. data.text: 0"
    elif table.kind in ("csv", "tsv", "txt"):
        do = f"say which it is by its number from 0, e.g. data.{roles[0]}: 0"
    return DataError(_header(table), got, f"a column for {listed(list(roles))}", do)
