"""Reading what comes from outside: files, JSON and YAML, within bounds.

Every reader of a file from elsewhere goes through these functions. They raise `Unreadable`, which says in a
few words what came; each caller makes the library's own error of it, with the file and what was expected.
"""

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from softprompt.errors import system_says

MOST_BYTES = 2 << 30
"""The largest data file, in bytes. Larger ones are read through `format: datasets`, which maps them."""

MOST_YAML = 500_000
"""The largest YAML text, in characters: PyYAML reads about a megabyte a second."""

MOST_VALUES = 40_000
"""The most values that a YAML text may unfold to, aliases written out; PyYAML takes a second for so many."""

_MOST_BITS = 10_000
"""The largest whole number, in bits: about 3,000 digits."""

DEEPEST = 100
"""The deepest nesting of lists and mappings."""


class Unreadable(ValueError):
    """What came is not what the format allows; the message says what came, in a few words.

    Args:
        message: what came.
        line: where, from 1; None where no line can be named.
        column: where in the line, from 1.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None):
        super().__init__(message)
        self.line = line
        self.column = column

    def inside(self, path: object) -> str:
        """The file with the line, where one is known."""
        return str(path) if self.line is None else f"{path}, line {self.line}"


def at_home(path: str) -> Path:
    """The path with `~` as the home folder, or as it is written where there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def decode(content: bytes, encoding: str = "utf-8-sig") -> str:
    """The text of a file's bytes, without a byte-order mark.

    Raises:
        Unreadable: a byte that is not UTF-8, with its line.
    """
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"byte 0x{content[error.start]:02x}, which is not UTF-8", line) from None


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file's bytes.

    Args:
        path: the file, or a link to it.
        most: the largest size, in bytes.

    Raises:
        Unreadable: as `open_regular`, or the file is larger.
    """
    with open_regular(path) as (file, size):
        if size > most:
            raise Unreadable(f"{size:,} bytes, more than {most:,}")
        # A file may grow, or have no size of its own, as those of /proc.
        content = file.read(size + 1)
        if len(content) > size:
            content += file.read(most + 1 - len(content))
    if len(content) > most:
        raise Unreadable(f"more than {most:,} bytes")
    return content


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """The one JSON value of a UTF-8 file.

    Args:
        path: the file, or a link to it.
        most: the largest size, in bytes.

    Raises:
        Unreadable: as `read_bytes`, `decode` and `parse_json`.
    """
    return parse_json(decode(read_bytes(path, most)))


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, open for reading, and its size in bytes.

    Raises:
        Unreadable: there is none, it is a folder, a pipe or a device (which may never end), the system
            refuses to read it, or memory ends while it is read.
    """
    try:
        facts = Path(path).stat()
        if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
            raise Unreadable("a pipe or a device")
        with open(path, "rb", opener=_open_at_once) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise Unreadable("a pipe or a device")
            yield file, facts.st_size
    except OSError as error:
        raise Unreadable(system_says(error)) from None
    except MemoryError:
        raise Unreadable("a file that cannot be read (for which there is no memory)") from None
    except ValueError as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"a file that cannot be read ({error})") from None


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a pipe's writer: a pipe may have taken the file's place just now."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parse_json(text: str, deepest: int | None = None) -> Any:
    """The one JSON value of a text.

    Args:
        text: of one value.
        deepest: the deepest nesting of lists and objects; None is what the interpreter can hold.

    Raises:
        Unreadable: invalid, nested too deeply, a number of thousands of digits, a name twice in one object,
            or half a surrogate pair in a string.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise Unreadable(f"invalid JSON ({error.msg})", error.lineno, error.colno) from None
    except RecursionError:
        raise Unreadable("JSON that is nested too deeply") from None
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("a number of thousands of digits") from None
    if deepest is not None and _is_deeper(value, deepest):
        raise Unreadable(f"JSON that is nested more than {deepest} deep")
    # Only an escape can bring half a pair into text that was UTF-8.
    if "\\ud" in text or "\\uD" in text:
        for string in _strings(value):
            _check_characters(string)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise Unreadable(f"the name {twice[:80]!r} twice in one object")
    return value


def _is_deeper(value: Any, deepest: int) -> bool:
    level = [value]
    for _ in range(deepest + 1):
        level = [
            part
            for outer in level
            if isinstance(outer, (dict, list))
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part


def _check_characters(string: str, line: int | None = None) -> None:
    if "\0" in string:
        raise Unreadable("the character NUL in a text", line)
    try:
        string.encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable("half a surrogate pair in a text", line) from None


def parse_yaml(text: str) -> Any:
    """The one YAML document of a text, of texts, numbers, booleans, null, lists and mappings alone.

    Dates and times, and numbers of base 60, stay the texts that they are written as: no setting is a date.

    Raises:
        Unreadable: invalid, too large or too deep (aliases written out), an alias inside of itself, a key
            twice in one mapping, a tag of another kind, or a character that no text may hold.
    """
    if len(text) > MOST_YAML:
        raise Unreadable(f"{len(text):,} characters, more than the {MOST_YAML:,} that settings may have")
    if _QuickLoader is not None and not any(sign in text for sign in "\t?\ufeff"):
        # libyaml takes these three signs where PyYAML's own parser refuses them; and what libyaml refuses is
        # read again, for PyYAML's own words on what is wrong.
        with suppress(yaml.YAMLError, ValueError, RecursionError):
            return _QuickLoader(text).get_single_data()
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(f"{error.context or ''} {error.problem or ''}".split())[:200]
        place = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        raise Unreadable(f"invalid YAML ({said})", *place) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"invalid YAML ({' '.join(str(error).split())[:200]})") from None
    except RecursionError:
        raise Unreadable("YAML that is nested too deeply") from None
    except Unreadable:
        raise
    except (OverflowError, ValueError):
        raise Unreadable("invalid YAML (an escape beyond the last character of Unicode)") from None
    finally:
        loader.dispose()


class _Bounded(Composer, SafeConstructor, Resolver):
    """What PyYAML makes of the events of a text, within bounds."""

    _depth = _values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node, not too deep and not one of too many."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise Unreadable(f"more than {MOST_VALUES:,} values in YAML", getattr(self, "line", 0) + 1)
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable(f"YAML that is nested more than {DEEPEST} deep", getattr(self, "line", 0) + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The document's node, once its size is known with all aliases written out."""
        node = super().get_single_node()
        if node is not None:
            _check_size(node, {}, set())
        return node

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different; PyYAML lets the last of two equal ones win."""
        seen: set[str] = set()
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    problem = f"the key {key.value[:80]!r} stands twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(str(key.value))
        return super().construct_mapping(node, deep)  # type: ignore[arg-type]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A node's value; what PyYAML's own conversions raise names the place too."""
        try:
            value = super().construct_object(node, deep)
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
            if isinstance(error, Unreadable):
                raise
            written = node.value[:80] if isinstance(node, yaml.ScalarNode) else "a value"
            kind = node.tag.rpartition(":")[2]
            raise Unreadable(f"{written!r}, which is no {kind} in YAML", node.start_mark.line + 1) from None
        if isinstance(value, str):
            _check_characters(value, node.start_mark.line + 1)
        elif isinstance(value, float) and not math.isfinite(value):
            raise Unreadable(f"{node.value[:80]!r}, which is no finite number", node.start_mark.line + 1)
        elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
            # In base 2, 8 or 16: Python reads no decimals of that length, and cannot write the number.
            raise Unreadable("a number of thousands of digits", node.start_mark.line + 1)
        return value


class _Loader(_Bounded, yaml.SafeLoader):
    """The events are of PyYAML's own parser."""

    def __init__(self, text: str):
        try:
            yaml.SafeLoader.__init__(self, text)
        except yaml.reader.ReaderError as error:
            raise Unreadable(f"the character {chr(error.character)!a} in YAML") from None  # type: ignore[arg-type]


def _check_size(node: yaml.Node, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """How many values a node unfolds to; aliases make a node part of several others."""
    if id(node) in sizes:
        return sizes[id(node)]
    line = node.start_mark.line + 1
    if id(node) in open_nodes:
        raise Unreadable("an alias inside of what it stands for", line)
    open_nodes.add(id(node))
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_check_size(part, sizes, open_nodes) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_size(part, sizes, open_nodes) for part in node.value)
    elif len(node.value) > MOST_YAML // 5:
        raise Unreadable(f"a text of {len(node.value):,} characters in YAML", line)
    if size > MOST_VALUES:
        raise Unreadable(f"more than {MOST_VALUES:,} values, with all aliases written out", line)
    open_nodes.discard(id(node))
    sizes[id(node)] = size
    return size


def _quick_loader() -> type[_Bounded] | None:
    """A loader on libyaml's parser, three times as fast; None where PyYAML was built without it."""
    try:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]
    except ImportError:
        return None

    class QuickLoader(_Bounded, CParser):
        def __init__(self, text: str):
            CParser.__init__(self, text)
            for part in (Composer, SafeConstructor, Resolver):
                part.__init__(self)

    return QuickLoader


def _only_plain_values(loader: type[_Bounded]) -> None:
    """Leave YAML's texts, numbers, booleans, null, lists and mappings, and no other kind of value."""
    others = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("binary", "timestamp", "omap", "pairs", "set"))
    loader.yaml_constructors = {
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag not in others
    }
    plain = ("bool", "null", "merge")
    loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in plain]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


_INTEGER = re.compile(r"[-+]?(0b[01]+|0x[0-9a-fA-F]+|0[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|\.(inf|Inf|INF))$"
    r"|\.(nan|NaN|NAN)$"
)
"""YAML 1.1's numbers without those of base 60, so that 12:30 is the text that it looks like."""

_only_plain_values(_Bounded)
_QuickLoader: Any = _quick_loader()
