"""Tables of methods, metrics, data formats and initialisations by name, also those of other packages.

Another package adds a row by an entry point in the table's group, `name = "module:attribute"`. Its module is
imported when the name is first looked up; reading a prompt file imports none.
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from softprompt.errors import ConfigError, SoftpromptError, first_line, kind_of, listed, nearest

Row = TypeVar("Row")


class Registry(Generic[Row]):
    """Rows by name.

    Args:
        kind: of the rows, for errors: `method`.
        where: the setting that names a row, for errors.
        group: of the entry points by which other packages add rows.
        error: what an exception inside a function of another package becomes.
        of: what a row is made from, for errors.
    """

    def __init__(
        self,
        kind: str,
        where: str,
        group: str,
        error: type[SoftpromptError] = ConfigError,
        of: str = "function",
    ):
        self._kind, self._where, self._group, self._of, self._error = kind, where, group, of, error
        self._rows: dict[str, Row] = {}
        self._origins: dict[str, str] = {}
        self._imported: set[EntryPoint] = set()

    def add(self, name: str, row: Row, function: object) -> None:
        """Add a row. The same function may be added again, as happens when a notebook cell runs twice.

        Raises:
            ConfigError: a name that is not an identifier, or that another function has.
        """
        self.check_name(name)
        origin = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', '?')}"
        taken = self._origins.get(name, origin)
        if taken != origin:
            got, expected = f"a second {self._kind} of this name, {origin}", f"one, which is {taken}"
            raise ConfigError(f"{self._kind} '{name}'", got, expected, "choose another name")
        self._rows[name], self._origins[name] = row, origin

    def check_name(self, name: object) -> None:
        """Raises ConfigError for a name that is not an identifier, or a function in its place."""
        if callable(name):
            do = f"write @softprompt.{self._kind}('{getattr(name, '__name__', 'name')}', ...)"
            raise ConfigError(f"softprompt.{self._kind}", "a function", "a name first", do)
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(self._kind, repr(name), "a name in letters, digits and '_'")

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Enter it around a call of a row's function: an exception there then names the function.

        softprompt's own errors, and exceptions in softprompt's own functions, stay as they are.

        Raises:
            SoftpromptError: of the table's class, with the exception as its cause.
        """
        try:
            yield
        except SoftpromptError:
            raise
        except Exception as error:
            origin = self._origins.get(name, "softprompt")
            if origin.partition(":")[0].partition(".")[0] == "softprompt":
                raise
            package = self.package(name)
            owner = f" of {package.name} {package.version}" if package else ""
            got = f"{type(error).__name__} in {_place(error, origin)} ({first_line(error)})"
            raise self._error(
                f"{self._kind} '{name}'{owner}", got, f"a {self._of} that works", f"mend {origin}"
            ) from error

    def __getitem__(self, name: str) -> Row:
        """The row of a name.

        Raises:
            ConfigError: an unknown name, one that two packages offer, or a package that cannot be imported.
        """
        offers = [offer for offer in self._offers() if offer.name == name]
        if len(offers) > 1:
            packages = " and ".join(sorted(_package(offer) for offer in offers))
            got, hint = f"'{name}', which {packages} offer", "uninstall one of them"
            raise ConfigError(self._where, got, f"one package with a {self._kind} of this name", hint)
        for offer in offers:
            self._import(offer)
        if name not in self._rows:
            raise ConfigError(
                self._where, repr(name), f"one of {', '.join(map(repr, self))}", self.hint(name)
            )
        return self._rows[name]

    def hint(self, name: object, known: Sequence[str] | None = None) -> str:
        """What to do about an unknown name: the nearest of the known ones, which are all by default."""
        kind = self._kind.replace("_", " ")
        close = nearest(str(name), self if known is None else known)
        return close or f"install the package that offers this {kind}"

    @property
    def rows(self) -> Mapping[str, Row]:
        """The rows that are here, by name; no package is imported."""
        return self._rows

    def get(self, name: str) -> Row | None:
        """The row of a name, or None; no package is imported."""
        return self._rows.get(name)

    def __contains__(self, name: object) -> bool:
        # What a recipe holds may be a list or a mapping.
        offered = (offer.name for offer in self._offers())
        return isinstance(name, str) and (name in self._rows or name in offered)

    def __iter__(self) -> Iterator[str]:
        """Every name, those of packages that are not yet imported included."""
        return iter(dict.fromkeys([*self._rows, *(offer.name for offer in self._offers())]))

    def package(self, name: str) -> Distribution | None:
        """The installed package of a row; None for softprompt's own rows and those that a program added."""
        top = self._origins[name].partition(":")[0].partition(".")[0]
        offers = (offer for offer in self._offers() if offer.name == name)
        return next((offer.dist for offer in offers if offer.module.partition(".")[0] == top), None)

    def _offers(self) -> tuple[EntryPoint, ...]:
        return _entry_points(self._group, tuple(sys.path))

    def _import(self, offer: EntryPoint) -> None:
        if offer in self._imported:
            return
        place = f"{self._where}: '{offer.name}' of {_package(offer)}"
        try:
            loaded = offer.load()
        except ConfigError as error:  # another function has this name
            raise error.inside(place) from None
        except (Exception, SystemExit) as error:
            got = f"{offer.value}, which cannot be imported ({type(error).__name__}: {error})"
            hint = f"mend or uninstall {_package(offer)}"
            raise ConfigError(place, got, "an installed package that works", hint) from error
        row = self._rows.get(offer.name)
        if row is None or getattr(row, "function", None) is not getattr(loaded, "__wrapped__", loaded):
            got = f"{offer.value}, which is not the {self._kind} of this name"
            expected = f"a {self._of} under @softprompt.{self._kind}('{offer.name}')"
            raise ConfigError(place, got, expected, f"mend or uninstall {_package(offer)}")
        self._imported.add(offer)


def check_parameters(
    where: str, function: Callable[..., Any], first: Sequence[str], more: Sequence[str]
) -> None:
    """Refuse a function without the parameters that its table passes.

    Args:
        where: the row, for errors.
        function: the registered function.
        first: the positional arguments, in words.
        more: the arguments that are passed by name if the function has such parameters.

    Raises:
        ConfigError: a function with other parameters.
    """
    check_function(where, function)
    parameters = list(inspect.signature(function).parameters.values())
    n = len(first)
    unknown = [one for one in parameters[n:] if one.default is one.empty and one.name not in more]
    if len(parameters) < n or unknown or any(one.kind is one.KEYWORD_ONLY for one in parameters[:n]):
        what = "class" if inspect.isclass(function) else "function"
        got = f"a {what} of ({', '.join(one.name for one in parameters)})"
        expected = f"one of {', '.join(first)}" + (
            f" and, where it needs them, {listed(more)}" if more else ""
        )
        raise ConfigError(where, got, expected)


def check_function(where: str, function: object) -> None:
    """Raises ConfigError for what is no function, or one whose parameters Python cannot tell."""
    if not callable(function):
        raise ConfigError(where, kind_of(function), "a function")
    try:
        inspect.signature(function)
    except ValueError:
        got = f"{getattr(function, '__name__', 'a function')}, whose parameters Python cannot tell"
        raise ConfigError(where, got, "a function written in Python", "call it from one") from None


def _place(error: Exception, origin: str) -> str:
    """The file and line of the function that raised, or of what it called in its own file."""
    own = str(Path(__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if own not in frame.filename]
    if not frames:
        return origin
    last = [frame for frame in frames if frame.filename == frames[0].filename][-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of one group in the packages on this path."""
    return tuple(_all_entry_points(path).select(group=group))


@cache
def _all_entry_points(path: tuple[str, ...]) -> Any:
    """The entry points of all packages on this path, read once for all tables, since it takes about 20 ms."""
    return entry_points()


def _package(offer: EntryPoint) -> str:
    return "a package without a name" if offer.dist is None else f"{offer.dist.name} {offer.dist.version}"
