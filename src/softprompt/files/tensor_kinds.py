"""The names and shapes of a model's tensors in a few lines: layers that are alike share one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Kinds = Mapping[str, str]
"""By kind, such as `layers.*.mlp.up_proj.weight [48, 32]`, the numbers that stand at the stars.

Runs of one number are shortened (`0-29`), several numbers of one name are joined by dots (`0.1,0.2`), and a
kind without a star has none.
"""

KIND = re.compile(r".+ \[([0-9]{1,18}(, [0-9]{1,18})*)?\]", re.DOTALL)
"""How a kind is written: a name and a shape."""

_MOST = 1_000_000


def kinds_of_tensors(tensors: Iterable[tuple[str, Sequence[int]]]) -> dict[str, str]:
    """The kinds of tensors, given with their shapes; each name once."""
    places: dict[str, list[tuple[int, ...]]] = {}
    for name, shape in sorted(tensors):
        numbers: list[int] = []
        parts = name.split(".")
        for i, part in enumerate(parts):
            if _is_number(part):
                numbers.append(int(part))
                parts[i] = "*"
        places.setdefault(f"{'.'.join(parts)} {list(shape)}", []).append(tuple(numbers))
    return {kind: _written(sorted(numbers)) for kind, numbers in places.items()}


def count(kinds: Kinds) -> int:
    """How many tensors there are.

    Raises:
        ValueError: numbers that are not written as `Kinds` has them.
    """
    total = sum(b - a + 1 for text in kinds.values() for a, b in _spans(text))
    if not 0 <= total <= _MOST:
        raise ValueError(f"{total} tensors")
    return total


def names(kinds: Kinds) -> list[str]:
    """Every name, in order.

    Raises:
        ValueError: as `count`.
    """
    count(kinds)
    result: list[str] = []
    for kind, text in kinds.items():
        name = bare(kind)
        if name.count("*") < 2:
            result += [name.replace("*", str(n)) for a, b in _spans(text) for n in range(a, b + 1)]
            continue
        for numbers in text.split(","):
            rest = iter(numbers.split("."))
            result.append(".".join(next(rest, "") if part == "*" else part for part in name.split(".")))
    return sorted(result)


def bare(kind: str) -> str:
    """The name of a kind without its shape."""
    return kind.rpartition(" [")[0]


def shape(kind: str) -> list[int]:
    """Its shape."""
    return [int(part) for part in kind.rpartition(" [")[2].rstrip("]").split(",") if part.strip()]


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and str(int(part)) == part


def _written(numbers: list[tuple[int, ...]]) -> str:
    if len(numbers[0]) != 1:
        return ",".join(".".join(map(str, several)) for several in numbers)
    plain = [number for (number,) in numbers]
    starts = [plain[0], *(b for a, b in pairwise(plain) if b != a + 1)]
    ends = [*(a for a, b in pairwise(plain) if b != a + 1), plain[-1]]
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in zip(starts, ends, strict=True))


def _spans(text: str) -> list[tuple[int, int]]:
    """First and last number of each run; several numbers of one name count as one."""
    spans = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not dash:
            spans.append((int(part), int(part)) if part.isdigit() else (0, 0))
        elif int(first) > int(last):
            raise ValueError(part)
        else:
            spans.append((int(first), int(last)))
    return spans
