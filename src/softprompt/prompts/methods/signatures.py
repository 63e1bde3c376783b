"""Settings made from a function's signature and docstring."""

import builtins
import collections.abc
import functools
import inspect
import operator
import re
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from softprompt.config import MethodSettings
from softprompt.errors import ConfigError

_PLAIN = (str, int, float, types.NoneType, Path, list, tuple, dict, Enum, BaseModel)
"""What a recipe can hold, or pydantic can make of it."""


_TAKEN = frozenset({"name", "self", *(key for key in dir(BaseModel) if not key.startswith("_"))})
"""Names that settings have already."""


class _Unreadable:
    """Stands for a type that no recipe can hold."""


@dataclass(frozen=True)
class Option:
    """An argument that is also a setting.

    Args:
        kind: its type, without what only Python can give.
        whole: whether that is all of its type.
        default: Python's; `inspect.Parameter.empty` where there is none.
        text: of the docstring; None where it says nothing.
    """

    kind: Any
    whole: bool
    default: Any
    text: str | None

    @property
    def may_be_none(self) -> bool:
        """Whether None is one of its values."""
        return types.NoneType in get_args(self.kind)


def is_plain(value: object) -> bool:
    """Whether a recipe could hold a value."""
    return isinstance(value, _PLAIN)


def signature_of(function: Callable[..., Any], name: str) -> inspect.Signature:
    """A method's signature, with types that are no longer texts.

    Raises:
        ConfigError: the first argument is no backbone, or others have no names.
    """
    signature = inspect.signature(function, locals=_Names(function), eval_str=True)
    if next(iter(signature.parameters), "") != "backbone":
        got = f"a function of ({', '.join(signature.parameters)})"
        raise ConfigError(f"method '{name}'", got, "'backbone' as the first argument")
    for key, parameter in signature.parameters.items():
        if key in _TAKEN or key.startswith("_") or parameter.kind is parameter.POSITIONAL_ONLY:
            got = f"the argument '{key}'" + (
                " by position alone" if key not in _TAKEN and key[0] != "_" else ""
            )
            raise ConfigError(f"method '{name}'", got, "names that settings can have", f"rename {key}")
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            got, expected = f"'{parameter}' among the arguments", "every argument by its name"
            raise ConfigError(f"method '{name}'", got, expected, f"write out what {key} may hold")
    return signature


def options_of(
    function: Callable[..., Any], name: str, signature: inspect.Signature, given: Collection[str]
) -> dict[str, Option]:
    """The arguments that are settings.

    Args:
        function: of the method.
        name: of the method, for errors.
        signature: as `signature_of` has it.
        given: names of arguments that are no settings.

    Raises:
        ConfigError: an argument whose type no recipe can hold.
    """
    texts = _argument_texts(function)
    options: dict[str, Option] = {}
    for key, parameter in signature.parameters.items():
        if key in given:
            continue
        kind, whole = _readable(parameter.annotation)
        if kind is _Unreadable:
            written = inspect.get_annotations(function).get(key)
            kind = written if isinstance(written, str) else inspect.formatannotation(written)
            got = "an argument without a type" if written is None else f"the type {kind}"
            expected = "a type that a recipe can hold: text, numbers, true or false, None, lists of them"
            raise ConfigError(
                f"method '{name}': {key}", got, expected, f"give it one, or name {key} in given"
            )
        options[key] = Option(kind, whole, parameter.default, texts.get(key))
    return options


def settings_of(
    name: str, options: Mapping[str, Option], recipe: Mapping[str, Any], module: str
) -> type[MethodSettings]:
    """The settings that a recipe may say of a method.

    Args:
        name: of the method.
        options: that Python has.
        recipe: what differs in recipes, see `method`.
        module: in which the method stands.
    """
    fields: dict[str, Any] = {"name": (Literal[name], name)}
    for key in dict.fromkeys([*options, *recipe]):
        option = options.get(key)
        text = None if option is None else option.text
        differs = recipe.get(key, inspect.Parameter.empty)
        if isinstance(differs, tuple):
            kind, default = differs
        elif option is None:
            expected = "a pair of its type and its default, since the function has no such argument"
            raise ConfigError(f"method '{name}': recipe", f"'{key}'", expected)
        elif differs is not inspect.Parameter.empty:
            kind, default = (option.kind | None if differs is None else option.kind), differs
        else:
            kind, default = option.kind, option.default
        if not isinstance(default, FieldInfo):
            default = Field(... if default is inspect.Parameter.empty else default, description=text)
        fields[key] = (kind, default)
    title = "".join(f"{word[:1].upper()}{word[1:]}" for word in name.split("_"))
    return create_model(f"{title}Settings", __base__=MethodSettings, __module__=module, **fields)


def _readable(kind: Any) -> tuple[Any, bool]:
    """A type without what no recipe can hold, or `_Unreadable`; and whether that is all of the type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if hasattr(kind, "__value__"):  # written as `type Layers = ...`
        return _readable(kind.__value__)
    if origin is Literal or kind is ...:
        return kind, True
    parts = [_readable(argument) for argument in arguments[: 1 if origin is Annotated else None]]
    whole = all(all_of_it for _, all_of_it in parts)
    if origin is Annotated:
        inner = parts[0][0]
        return (inner if inner is _Unreadable else Annotated[(inner, *arguments[1:])]), whole
    if origin in (Union, types.UnionType):
        kept = tuple(part for part, _ in parts if part is not _Unreadable)
        nothing = kept in ((), (types.NoneType,))
        return (_Unreadable if nothing else functools.reduce(operator.or_, kept)), whole
    if origin is not None:
        made = {collections.abc.Sequence: list, collections.abc.Mapping: dict}.get(origin, origin)
        if not (whole and made in (list, tuple, dict)):
            return _Unreadable, False
        return types.GenericAlias(made, tuple(part for part, _ in parts)), True
    plain = isinstance(kind, type) and issubclass(kind, _PLAIN)
    return (kind if plain else _Unreadable), plain


class _Names(dict[str, Any]):
    """What the names in a function's annotations mean: `_Unreadable` where type checkers alone know them."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self._globals = inspect.unwrap(function).__globals__

    def __missing__(self, name: str) -> Any:
        return self._globals.get(name, getattr(builtins, name, _Unreadable))


def _argument_texts(function: Callable[..., Any]) -> dict[str, str]:
    """What a docstring in Google's style says of each argument."""
    block = re.search(r"^Args:\n((?:[ \t]+\S.*\n?|\s*\n)+)", inspect.getdoc(function) or "", re.MULTILINE)
    if block is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", block[1], re.MULTILINE)
    return {key: " ".join(text.split()) for key, text in entries}
