"""Damage to bytes, to texts and to trees of plain values, whatever format they belong to."""

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

TEXTS = (
    "", " ", "\t", "\n", "\r", "x" * 100_000, "é" * 3, "e\u0301", "中文", "\u202egnp", "\ufeff", "\ufffe",
    "\u2028", "\x85", "\u00a0", "\x00", "\x1b[2J\x1b]0;x\x07", "\x7f", "\ud800", "\udfff\ud800",
    "\U0001f600",
    "１２", "no", "yes", "null", "~", "NaN", "1e5", "0x10", "1_000", "12:30", "2026-02-30", "=1+1", "${HOME}",
    "%s%n", "{0.__class__}", "{{ x }}", "$(id)", "`id`", "'; --", '"', "'", "\\", "../../x", "/etc/passwd",
    "C:\\x", "a/b", "nul", "-", "--set", "..", ".", "#", "&a", "*a", "!x", "<x>", "&amp;", "]]>", "[/red]",
    "[x]", "name[]", "name[a], ", "name[" + " " * 20_000, "(a+)+$", "*his*", "-DOCSTART-", "B-", "I-x", "O",
    "NUM:date", "true", "all", "loss", "last:1", "last:-1", "examples:0", "text: ", "prompt: /x",
    "first:" + "9" * 99,
    "__class__", "model_config", "prefix_tuning", "classification", "[" * 3_000, "{" * 3_000,
)  # fmt: skip
"""Texts that readers, terminals, shells, templates and spreadsheets take for something else."""

NUMBERS = (
    0, 1, -1, 2, -0.0, 0.5, -0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
    255, 256, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 10**400, True, False, None,
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    *NUMBERS, *TEXTS, [], {}, [[]], [None], [1], ["a", "a"], [0, 0], [-1], {"a": 1}, {"": 1}, {"name": None},
    {"name": ["x"]}, {"name": {"a": 1}}, ["x", 3], [{}], [{"a": []}], list(range(2_000)), ["x"] * 2_000,
)  # fmt: skip


def damaged_bytes(random: Random, content: bytes) -> bytes:
    """The content after one to three changes of any kind."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(_BYTES)(random, content)[:4_000_000]
    return content


def damaged_text(random: Random, text: str) -> str:
    """The text after one to three changes of its characters or lines."""
    for _ in range(random.choice((1, 1, 2, 3))):
        text = random.choice(_TEXTS)(random, text)[:2_000_000]
    return text


def damaged_tree(random: Random, tree: Any, values: Sequence[Any] = VALUES) -> Any:
    """A copy of lists, dictionaries and values with one to three places changed."""
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 2, 3))):
        tree = _change(random, tree, values)
    return tree


def json_text(random: Random, tree: Any) -> str:
    """A tree as JSON, in one of the ways to write it; NaN and halves of pairs are written as Python does."""
    try:
        return json.dumps(tree, ensure_ascii=random.random() < 0.5, indent=random.choice((None, None, 1)))
    except (TypeError, ValueError):
        return repr(tree)


def hostile_json(random: Random) -> str:
    """JSON that is hard on a parser."""
    n = random.choice((50, 900, 5_000, 100_000))
    return random.choice((
        "[" * n + "]" * n, '{"a":' * n + "1" + "}" * n, "[" * n, '{"a":' * n, "9" * n, "-" + "9" * n,
        "1." + "9" * n,
        "1e" + "9" * min(n, 5_000), '"' + "\\" * n + '"', '"\\ud800"', '"\\u0000"', '{"a":1,"a":2}', "NaN",
        "-Infinity",
        "[" + "1," * n + "]", "[" + "{}," * n + "{}]", '"' + "x" * n, "01", "'x'", "//x\n1", '{"a":1,}',
        "\ufeff1", "\x0b1",
        '{"__proto__": {"a": 1}}', "[1]\n[2]", "tru", "nul", '"\t"', '"\\x41"', '"\\u12"',
    ))  # fmt: skip


def _place(random: Random, content: Sequence[Any]) -> int:
    return random.randrange(len(content) + 1)


def _stretch(random: Random, content: Sequence[Any]) -> tuple[int, int]:
    first = _place(random, content)
    return first, min(len(content), first + random.choice((1, 2, 8, 64, 1_000)))


def _flipped(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 3, 20)) if content else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overwritten(random: Random, content: bytes) -> bytes:
    first, last = _stretch(random, content)
    return content[:first] + random.randbytes(last - first) + content[last:]


def _without(random: Random, content: bytes) -> bytes:
    first, last = _stretch(random, content)
    return content[:first] + content[last:]


def _twice(random: Random, content: bytes) -> bytes:
    first, last = _stretch(random, content)
    return content[:last] + content[first:last] * random.choice((1, 2, 500)) + content[last:]


def _cut_off(random: Random, content: bytes) -> bytes:
    return content[: _place(random, content)]


def _inserted(random: Random, content: bytes) -> bytes:
    place = _place(random, content)
    token = random.choice((
        b"\0", b"\0" * 1_000, b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\xaf", b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\x1a", b"\x0c", b"\x0b", b"\r", b"\n", b"\t", b'"', b"'",
        b"\\", b",",
        b"<!--", b"<![CDATA[", b"&#0;", b"&#x1f;", b"%", b"9" * 5_000, b"\x1b[31m",
    ))  # fmt: skip
    return content[:place] + token + content[place:]


def _line_ends(random: Random, content: bytes) -> bytes:
    ends = (
        b"\r\n",
        b"\r",
        b"\n\r",
        b"\r\r\n",
        b"\x0b",
        b"\x0c",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\n\n",
        b"\n \n",
        b"",
    )
    lines = content.split(b"\n")
    if random.random() < 0.6:
        return random.choice(ends).join(lines)
    return b"".join(line + random.choice((b"\n", *ends)) for line in lines)


def _encoded(random: Random, content: bytes) -> bytes:
    names = (
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-7",
        "latin-1",
        "cp1252",
        "cp037",
        "utf-8-sig",
        "shift_jis",
    )
    return content.decode("utf-8", "replace").encode(random.choice(names), "replace")


def _replaced_whole(random: Random, content: bytes) -> bytes:
    return random.choice((
        b"", b" ", b"\n" * 1_000, b"\0", b"\0" * 100_000, b"\xef\xbb\xbf", b"\xff\xfe",
        random.randbytes(2_000),
        b"\x1f\x8b\x08" + content, b"PK\x03\x04" + content, b"%PDF-1.4\n", b"\x80\x04\x95",
        b"SQLite format 3\0", b"\x7fELF",
        content * 2, content * 50, content.replace(b"\n", b"") * 20, content[::-1], content.upper(),
        content.swapcase(),
    ))  # fmt: skip


_BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flipped, _flipped, _overwritten, _without, _twice, _cut_off, _inserted, _inserted, _line_ends,
    _encoded, _replaced_whole,
)  # fmt: skip


def _text_inserted(random: Random, text: str) -> str:
    place = _place(random, text)
    return text[:place] + random.choice(TEXTS) + text[place:]


def _text_replaced(random: Random, text: str) -> str:
    first, last = _stretch(random, text)
    return text[:first] + random.choice(TEXTS) + text[last:]


def _lines_changed(random: Random, text: str) -> str:
    lines = text.split("\n")
    place = random.randrange(len(lines))
    what = random.randrange(6)
    if what == 0:
        del lines[place]
    elif what == 1:
        lines.insert(place, lines[random.randrange(len(lines))])
    elif what == 2:
        lines[place] = lines[place] * random.choice((2, 100))
    elif what == 3:
        lines[place] = random.choice(("", " ", "\t")) + lines[place].strip()
    elif what == 4:
        random.shuffle(lines)
    else:
        lines[place] = random.choice(TEXTS)
    return "\n".join(lines)


def _signs_changed(random: Random, text: str) -> str:
    signs = ":,[]{}\"'\t |<>/-#&*!%@`=\n"
    old, new = random.choice(signs), random.choice((*signs, "", "  ", "\u00a0", "：", "，"))
    return text.replace(old, new, random.choice((1, 3, -1)))


_TEXTS: tuple[Callable[[Random, str], str], ...] = (
    _text_inserted, _text_replaced, _lines_changed, _signs_changed,
)  # fmt: skip


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a tree, the root's first."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    return [path, *(place for key in keys for place in places(tree[key], (*path, key)))]


def _change(random: Random, tree: Any, values: Sequence[Any]) -> Any:
    path = random.choice(places(tree))
    if not path:
        return (
            random.choice((*values, [tree], {"a": tree}, tree, tree, tree)) if random.random() < 0.2 else tree
        )
    inside = tree
    for key in path[:-1]:
        inside = inside[key]
    key, value = path[-1], inside[path[-1]]
    what = random.randrange(10)
    if what <= 3:
        inside[key] = copy.deepcopy(random.choice(values))
    elif what == 4:
        del inside[key]
    elif what == 5:
        inside[key] = random.choice(
            ([value], {"x": value}, {"name": value}, [value, value], [[value]], str(value))
        )
    elif what == 6 and isinstance(inside, dict):
        del inside[key]
        inside[random.choice((f"{key}s", f" {key}", f"{key} ", str(key).upper(), str(key)[:-1], *TEXTS))] = (
            value
        )
    elif what == 6:
        inside.insert(key, copy.deepcopy(value))
    elif what == 7:
        for _ in range(random.choice((3, 30, 150))):
            value = [value] if random.random() < 0.5 else {"a": value}
        inside[key] = value
    elif what == 8 and isinstance(inside, dict):
        inside[random.choice(TEXTS)] = copy.deepcopy(random.choice(values))
    elif what == 8 and len(json.dumps(value, default=str)) < 500:
        inside.extend([value] * random.choice((1, 200)))
    else:
        other = random.choice(places(tree))
        found = tree
        for step in other:
            found = found[step]
        inside[key] = copy.deepcopy(found)
    return tree
