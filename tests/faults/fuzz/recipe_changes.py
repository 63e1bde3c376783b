"""Changes to the text of a recipe or a study, and overrides beside it."""

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from faults.fuzz.mutations import TEXTS, VALUES, damaged_bytes, damaged_text, damaged_tree, json_text, places
from softprompt.untrusted import parse_yaml

RECIPES = Path(__file__).parents[3] / "recipes"


def _absolute(study: Path) -> str:
    text = study.read_text(encoding="utf-8").replace("../", f"{RECIPES.as_posix()}/")
    return text.replace("published: published.yaml", f"published: {RECIPES.as_posix()}/papers/published.yaml")


_NO_STUDY = ("papers.yaml", "published.yaml")
RUNS = {path.name: path.read_text(encoding="utf-8") for path in sorted(RECIPES.glob("*.yaml"))}
STUDIES = {
    f"{folder}/{path.name}": _absolute(path)
    for folder in ("studies", "papers")
    for path in sorted((RECIPES / folder).glob("*.yaml"))
    if path.name not in _NO_STUDY
}

MAPPINGS = {text: parse_yaml(text) for text in (*RUNS.values(), *STUDIES.values())}

KEYS = tuple(
    """name output backbone backbone.name backbone.dtype backbone.device backbone.image_size method
    method.name method.length method.initialization method.layers data data.format data.train data.dev
    data.label data.text data.word_column data.train_size data.dev_share data.subsample data.folds task
    task.name task.template task.max_tokens task.verbalizer decoding decoding.beams decoding.temperature
    metrics training training.steps training.epochs training.learning_rate training.seed
    training.batch_size training.select training.patience training.precision training.trackers parts
    parts.rte parts.rte.data each each.names prompts rows columns vary vary.key vary.values choose
    choose.folds choose.candidates published references seeds subsamples metric figures keep chance wins
    paired seed_keys base set show""".split()
)

RAW = (
    "!!python/object/apply:os.system ['touch was-run']", "!!python/name:os.system", "!!int abc",
    "!!int 1__0",
    "!!float x", "!!timestamp 2020-99-99", "2020-99-99", "0o9", "0x", "0b", "08", "1:99:99", "9" * 5_000,
    "-" + "9" * 5_000,
    "1" + "0" * 400 + ".0", "1e999999", "1.0e+999999", ".nan", "-.inf", ".inf", "!!binary xx",
    "!!set {a, b}", "!!omap [a: 1]",
    "!!pairs [a: 1]", "? [1, 2]", "{[1]: 2}", "{{a: 1}: 2}", "{? a : b}", "&a [*a]", "&a {b: *a}",
    "&a {<<: *a}", "*nope",
    "[" * 3_000 + "]" * 3_000, "{a: " * 2_000 + "1" + "}" * 2_000, "[" * 99 + "]" * 99, "'unclosed",
    '"\\ud800"', '"\\x00"',
    '"\\UFFFFFFFF"', "|\n  text\n", ">-\n  a\n  b\n", "<<: {a: 1}", "{<<: {steps: 3}, steps: 4}",
    "{<<: [1]}", "{<<: 3}",
    "{<<: [{name: x}, {name: y}]}", "@x", "`x`", "%x", "=", "!!null x", "!!bool maybe", "! x", "!foo x",
    "!!str", "!!str 3",
    "!!map [a]", "!!seq {a: 1}", "!!merge x", "!<tag:yaml.org,2002:python/object:os.system> x", "12:30:45",
    "0b2", "_",
    "+", "-", "--- 3", "...", "\t x", "{a: 1, a: 2}", '{a: 1, "a": 2}', "{1: a, '1': b}",
    "{1: a, 1.0: b, true: c}", "{null: 1}",
    "[a, [b, [c]]", "a: b: c", "# x", "[,]", "{,}", "[a b]", "- a", "\u2028", "\x85", "\ufeff", "\u202ex",
    "x" * 100_000,
)  # fmt: skip
"""YAML of one value that parsers differ about, or that costs a careless one its memory."""

_ROOTS = (
    "", "3", "abc", "null", "~", "[1, 2]", "{}", "- a\n- b", "!!set {a}", "2020-01-01", "? a", "--- \n...",
    "a: 1\n---\nb: 2",
    "%YAML 9.9\n--- {}", "%TAG ! x\n--- {}", "\ufeff", "# only a comment", "a", "a:\n\tb: 1", ": ", "? ",
    "- ", "? a\n: b",
)  # fmt: skip

Mutator = Callable[[Random, str, Path], tuple[bytes | str | None, list[str]]]
"""From a recipe's text to what the file holds (None where the mutator made it itself), and overrides."""


def _mapping(text: str) -> Any:
    return copy.deepcopy(MAPPINGS[text])


def _dump(random: Random, tree: Any) -> str:
    return yaml.dump(
        tree, Dumper=yaml.SafeDumper, sort_keys=random.random() < 0.3, allow_unicode=random.random() < 0.5,
        default_flow_style=random.choice((None, False, True)), width=random.choice((20, 80, 10_000)),
    )  # fmt: skip


def _bytes(random: Random, text: str, file: Path) -> tuple[bytes, list[str]]:
    return damaged_bytes(random, text.encode("utf-8")), []


def _text(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    return damaged_text(random, text), []


def _structure(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    return _dump(random, damaged_tree(random, _mapping(text))), []


def _as_json(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    return json_text(random, damaged_tree(random, _mapping(text))), []


def _raw(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    tree = _mapping(text)
    *parents, last = random.choice(places(tree)[1:])
    inside = tree
    for key in parents:
        inside = inside[key]
    inside[last] = "@@HERE@@"
    written = random.choice(RAW)
    return re.sub(r"['\"]?@@HERE@@['\"]?", lambda _: written, _dump(random, tree)), []


def _foreign_keys(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    tree = _mapping(text)
    for _ in range(random.choice((1, 1, 3))):
        inside = tree
        *parents, last = random.choice(KEYS).split(".")
        for key in parents:
            inside = inside.setdefault(key, {}) if isinstance(inside, dict) else {}
        if isinstance(inside, dict):
            inside[last] = copy.deepcopy(
                random.choice((*VALUES, *({key: 1} for key in KEYS[:20]), random.choice(places(tree))))
            )
            if isinstance(inside[last], tuple):
                inside[last] = list(inside[last])
    return _dump(random, tree), []


def _twice(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    key = random.choice(list(MAPPINGS[text]))
    again = random.choice(
        (f"{key}: 3", f'"{key}": {{}}', f"'{key}': null", f"? {key}\n: x", f"!!str {key}: x")
    )
    return random.choice(
        (f"{text}\n{again}\n", f"{again}\n{text}", f"{text}\n<<: {{{key}: 1}}\n{again}\n")
    ), []


def _aliases(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    """Aliases and merge keys that multiply, and those that stand for what is around them."""
    levels, wide = (
        random.choice(((3, 3), (9, 9), (30, 2), (13, 4), (95, 2))),
        random.choice(list(MAPPINGS[text])),
    )
    depth, n = levels
    kind = random.randrange(5)
    if kind == 0:
        bomb = "l0: &l0 [x]\n" + "".join(
            f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * n)}]\n" for i in range(1, depth)
        )
        return f"{bomb}{text}\nextra: *l{depth - 1}\n", []
    if kind == 1:
        bomb = "m0: &m0 {a: 1}\n" + "".join(
            f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * n)}]}}\n" for i in range(1, depth)
        )
        return bomb + text, []
    if kind == 2:
        nested = "&l0 [x]" + "".join(f", &l{i} [{', '.join([f'*l{i - 1}'] * n)}]" for i in range(1, depth))
        return text + "\n", [f"{random.choice(KEYS)}=[{nested}]"]
    if kind == 3:
        large = "y" * random.choice((10, 90_000, 200_000))
        return f"big: &big {large}\n{text}\nother: [{'*big, ' * 500}*big]\n", []
    around = re.sub(rf"(?m)^{wide}:", f"{wide}: &a", text)
    return f"{around}\n{random.choice(KEYS)}: *a\nz: {{<<: *a}}\n", []


def _overrides(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    made = []
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        key = random.choice(
            (*KEYS, *KEYS, *TEXTS, "a.b.c.d", "training..steps", ".training", "training.steps.x", "parts.0")
        )
        value = random.choice((*VALUES, *RAW, *range(1, 30), 0.001))
        written = value if isinstance(value, str) else json_text(random, value)
        made.append(
            random.choice(
                (f"{key}={written}",) * 9 + (key, f"{key} = {written}", f"={written}", f"{key}==", written)
            )
        )
    return text, made


def _overrides_that_fit(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    """Overrides of keys that the recipe has, by values near its own."""
    tree = MAPPINGS[text]
    made = []
    for _ in range(random.choice((1, 2, 5))):
        path = random.choice(
            [path for path in places(tree) if path and all(isinstance(key, str) for key in path)]
        )
        value: Any = tree
        for key in path:
            value = value[key]
        if isinstance(value, int | float):
            value = random.choice((value, value + 1, value * 2, -value, value / 3, str(value), 10**9))
        made.append(f"{'.'.join(path)}={json_text(random, value)}")
    return text, made


def _deep(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    depth = random.choice((50, 98, 99, 100, 101, 500, 20_000))
    nested = random.choice((
        "[" * depth + "]" * depth, "{a: " * depth + "1" + "}" * depth,
        "".join(f"\n{' ' * i}a:" for i in range(1, min(depth, 500))),
        "\n" + "- " * depth + "x", "[" * depth, "{" * depth, "!!str " * depth, "&a " * depth, "? " * depth,
        "a: " * depth,
    ))  # fmt: skip
    key = random.choice(KEYS)
    if random.random() < 0.3:
        return text, [f"{key}={nested}", "a." * depth + "b=1"]
    return f"{text}\n{key}: {nested}\n", []


def _long(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    n = random.choice((1_000, 40_000, 99_999, 400_000))
    return random.choice((
        "x" * n + ": 1\n" + text, f"{text}\nname2: {'y' * n}\n", "# " + "z" * n + "\n" + text,
        text + "\n" * n,
        text + "\n" + "".join(f"k{i}: {i}\n" for i in range(n // 20)),
        f"{text}\nmetrics: [{'a, ' * (n // 10)}]\n",
        f"{text}\nseeds: {list(range(n // 50))}\n", text + '\nname: "' + "\\u00e9" * (n // 10) + '"\n',
        text + "\n" + " " * n + "#",
    )), []  # fmt: skip


def _other_files(random: Random, text: str, file: Path) -> tuple[bytes | str | None, list[str]]:
    """Not a regular file of YAML at all."""
    kind = random.randrange(9)
    if kind == 0:
        file.mkdir()
    elif kind == 1:
        os.mkfifo(file)
    elif kind <= 4:
        file.symlink_to(("/dev/zero", file, "/dev/null")[kind - 2])
    elif kind == 6:
        return random.randbytes(random.choice((1, 10, 5_000))), []
    elif kind == 7:
        return random.choice(_ROOTS), []
    elif kind == 8:
        return random.choice(_ROOTS) + text, []
    return None, []


def _same_comments(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    lines = text.split("\n")
    for _ in range(random.choice((1, 3))):
        lines.insert(random.randrange(len(lines) + 1), random.choice(("# x", "", "#", "# a: [é\u202f")))
    return "\n".join(lines), []


def _same_line_ends(random: Random, text: str, file: Path) -> tuple[bytes, list[str]]:
    mark = random.choice((b"", b"\xef\xbb\xbf"))
    return mark + random.choice((b"\r\n", b"\n")).join(text.encode("utf-8").split(b"\n")), []


def _same_structure(random: Random, text: str, file: Path) -> tuple[str, list[str]]:
    """The same values in another notation: flow or block style, sorted or not, some of them as aliases."""
    tree = _mapping(text)
    if random.random() < 0.3:
        return "---\n" + yaml.safe_dump(
            tree, default_style='"' if _texts_alone(tree) else None, sort_keys=False
        ), []
    flow = yaml.safe_dump(tree, default_flow_style=True, sort_keys=False, width=10_000)
    return f"--- {flow}...\n", []


def _texts_alone(tree: Any) -> bool:
    if isinstance(tree, dict | list):
        return all(map(_texts_alone, tree.values() if isinstance(tree, dict) else tree))
    return isinstance(tree, str)


MUTATORS: dict[str, Mutator] = {
    "bytes": _bytes,
    "text": _text,
    "structure": _structure,
    "structure as JSON": _as_json,
    "raw YAML": _raw,
    "other keys": _foreign_keys,
    "a key twice": _twice,
    "aliases and merges": _aliases,
    "deep": _deep,
    "long": _long,
    "no recipe": _other_files,
    "overrides": _overrides,
    "overrides that fit": _overrides_that_fit,
    "same: comments": _same_comments,
    "same: line ends": _same_line_ends,
    "same: notation": _same_structure,
}
