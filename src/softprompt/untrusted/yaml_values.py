"""YAML within bounds: texts, numbers, booleans, null, lists and mappings alone."""

import math
import re
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from softprompt.untrusted.content import Unreadable, check_characters

MOST_YAML = 500_000
"""The largest YAML text, in characters: PyYAML reads about a megabyte a second."""

MOST_VALUES = 40_000
"""The most values that a YAML text may unfold to, aliases written out; PyYAML takes a second for so many."""

_MOST_BITS = 10_000
"""The largest whole number, in bits: about 3,000 digits."""

DEEPEST = 100
"""The deepest nesting of lists and mappings."""


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
        with suppress(yaml.YAMLError, OverflowError, RecursionError, UnicodeEncodeError):
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
            raise Unreadable(f"more than {MOST_VALUES:,} values in YAML", self._line())
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable(f"YAML that is nested more than {DEEPEST} deep", self._line())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _line(self) -> int:
        """The line of the value that comes next, from 1."""
        return self.peek_event().start_mark.line + 1  # type: ignore[attr-defined]

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
            check_characters(value, node.start_mark.line + 1)
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
