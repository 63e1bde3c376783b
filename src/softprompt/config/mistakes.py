"""pydantic's errors as `Problem`s, each with its path as the user writes it."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from softprompt.config.base import Settings
from softprompt.errors import Problem, nearest

# The expectation for each kind of pydantic error; {names} are filled from the error's context.
_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "path_type": "a path",
    "list_type": "a list",
    "dict_type": "a mapping of settings",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "too_short": "at least {min_length} of them",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}


_LITERAL = " literal_error "
"""Behind a path: the key of an error about a word that is none of those expected."""

_QUOTE = 'YAML reads yes, no, on, off, true and false without quotes as truth values; quote it, e.g. "yes"'


def explain_all(items: Sequence[Any], root: type[Settings]) -> list[Problem]:
    """pydantic's errors in settings of a class, a problem each, in their order."""
    found: dict[str, Problem] = {}
    unions: dict[str, list[str]] = {}
    for item in items:
        path, known = _place(item["loc"], root)
        expected = _expected(item)
        if expected is None:
            # A validator may report several mistakes.
            for one in _explain(item, path, known):
                found[f"{path} {item['type']} {one if item['type'] == 'value_error' else ''}"] = one
        else:
            # pydantic reports every member of a union; here they share one line.
            unions.setdefault(path, []).append(expected)
            kinds = " or ".join(dict.fromkeys(unions[path]))
            is_word = isinstance(item["input"], bool) and "a text" in unions[path]
            found[path] = Problem(path, repr(item["input"]), kinds, _QUOTE if is_word else "")
    # A value with a mistake inside is of the right kind, so errors on its kind are left out.
    inside = {path for path in unions if any(one.where.startswith(f"{path}.") for one in found.values())}
    # So are those on a word that may stand in place of a mapping, where the mapping has mistakes.
    for key, one in found.items():
        if key.endswith(_LITERAL) and isinstance(one.got, str) and one.got.startswith(("{", "[")):
            path = key.removesuffix(_LITERAL)
            others = (other.where for name, other in found.items() if name != key)
            if any(where == path or where.startswith(f"{path}.") for where in others):
                inside.add(key)
    return [one for path, one in found.items() if path not in inside]


def _expected(item: Any) -> str | None:
    wanted = _EXPECTED.get(item["type"])
    return None if wanted is None else wanted.format(**item.get("ctx", {}))


def _explain(item: Any, path: str, known: Sequence[str]) -> list[Problem]:
    """The problems of an error without an entry in `_EXPECTED`; a validator may report several."""
    if item["type"] == "value_error":
        return [_placed(one, path) for one in item["ctx"]["error"].args]
    return [_single(item, path, known)]


def _placed(one: object, path: str) -> Problem:
    """A validator's problem, with the whole path of its section."""
    found = one if isinstance(one, Problem) else Problem("", hint=str(one))
    parts = path.split(".") if path else []
    for tail in (".".join(parts[i:]) for i in range(len(parts))):
        # The problem already names its section, or its whole path.
        if found.where.startswith(f"{tail}.") or ("." in tail and found.where == tail):
            return found.at(path + found.where.removeprefix(tail))
    return found.inside(path)


def _single(item: Any, path: str, known: Sequence[str]) -> Problem:
    kind = item["type"]
    if kind == "extra_forbidden":
        hint = nearest(str(item["loc"][-1]), known) or f"choose one of {', '.join(sorted(known))}"
        return Problem(path, "an unknown setting", hint=hint)
    if kind == "missing":
        return Problem(path, "no value", "a value")
    if kind == "literal_error":
        wanted = item["ctx"]["expected"]
        names = [part.strip("' ") for part in wanted.replace(" or ", ", ").split(",")]
        expected = f"one of {wanted}" if len(names) > 1 else wanted
        return Problem(path, repr(item["input"]), expected, nearest(str(item["input"]), names))
    return Problem(path, repr(item["input"]), item["msg"][0].lower() + item["msg"][1:])


def _place(loc: Sequence[str | int], root: type[Settings]) -> tuple[str, list[str]]:
    """The path as the user writes it, and the settings that exist at its end."""
    path: list[str] = []
    model: Any = root
    of_mapping = False
    for i, part in enumerate(loc):
        if of_mapping:
            path.append(str(part))
            of_mapping = False
        elif part == "[key]":  # the error is in the name itself
            continue
        elif isinstance(part, int) and i + 1 < len(loc) and loc[i + 1] == "[key]":
            continue  # pydantic's form of a name that is a truth value
        elif isinstance(part, int):
            path.append(str(part))
        elif model is not None and part in model.model_fields:
            path.append(str(part))
            annotation = model.model_fields[part].annotation
            of_mapping = get_origin(annotation) is dict
            if i + 1 < len(loc):
                model = _inner(annotation)
        elif model is not None and i + 1 == len(loc):
            path.append(str(part))
    return ".".join(path), list(model.model_fields) if model is not None else []


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The one class of settings in an annotation, also in a list or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [inner for argument in get_args(annotation) if (inner := _inner(argument)) is not None]
    return found[0] if len(found) == 1 else None
