"""LAMA's T-REx subset: facts of one relation in a file, and the patterns that ask for them."""

from pathlib import Path
from typing import Any

from softprompt.data.parsing import field, json_objects, words
from softprompt.data.records import LabelledText
from softprompt.errors import ConfigError, DataError, nearest

# Relation: LAMA's own pattern behind the subject, and what a causal model reads, whose blank is last; the
# second stands only where text follows the object in the first (other than the full stop).
_PATTERNS: dict[str, tuple[str, str]] = {
    "P17": ("{subject} is located in [blank] .", ""),
    "P19": ("{subject} was born in [blank] .", ""),
    "P20": ("{subject} died in [blank] .", ""),
    "P27": ("{subject} is [blank] citizen .", "{subject} is a citizen of [blank]"),
    "P30": ("{subject} is located in [blank] .", ""),
    "P31": ("{subject} is a [blank] .", ""),
    "P36": ("The capital of {subject} is [blank] .", ""),
    "P37": ("The official language of {subject} is [blank] .", ""),
    "P39": ("{subject} has the position of [blank] .", ""),
    "P47": ("{subject} shares border with [blank] .", ""),
    "P101": ("{subject} works in the field of [blank] .", ""),
    "P103": ("The native language of {subject} is [blank] .", ""),
    "P106": ("{subject} is a [blank] by profession .", "By profession, {subject} is a [blank]"),
    "P108": ("{subject} works for [blank] .", ""),
    "P127": ("{subject} is owned by [blank] .", ""),
    "P131": ("{subject} is located in [blank] .", ""),
    "P136": ("{subject} plays [blank] music .", "The music that {subject} plays is [blank]"),
    "P138": ("{subject} is named after [blank] .", ""),
    "P140": (
        "{subject} is affiliated with the [blank] religion .",
        "The religion that {subject} is affiliated with is [blank]",
    ),
    "P159": ("The headquarter of {subject} is in [blank] .", ""),
    "P176": ("{subject} is produced by [blank] .", ""),
    "P178": ("{subject} is developed by [blank] .", ""),
    "P190": ("{subject} and [blank] are twin cities .", "{subject} is a twin city of [blank]"),
    "P264": ("{subject} is represented by music label [blank] .", ""),
    "P276": ("{subject} is located in [blank] .", ""),
    "P279": ("{subject} is a subclass of [blank] .", ""),
    "P361": ("{subject} is part of [blank] .", ""),
    "P364": ("The original language of {subject} is [blank] .", ""),
    "P407": ("{subject} was written in [blank] .", ""),
    "P413": ("{subject} plays in [blank] position .", "{subject} plays in the position of [blank]"),
    "P449": ("{subject} was originally aired on [blank] .", ""),
    "P463": ("{subject} is a member of [blank] .", ""),
    "P495": ("{subject} was created in [blank] .", ""),
    "P527": ("{subject} consists of [blank] .", ""),
    "P530": ("{subject} maintains diplomatic relations with [blank] .", ""),
    "P740": ("{subject} was founded in [blank] .", ""),
    "P937": ("{subject} used to work in [blank] .", ""),
    "P1001": ("{subject} is a legal term in [blank] .", ""),
    "P1303": ("{subject} plays [blank] .", ""),
    "P1376": ("{subject} is the capital of [blank] .", ""),
    "P1412": ("{subject} used to communicate in [blank] .", ""),
}

RELATIONS = tuple(_PATTERNS)
"""The 41 relations of LAMA's T-REx subset."""


def read_trex(path: Path) -> list[LabelledText]:
    """One record per fact: the subject, labelled with the object; the tag `relation` is the file's name.

    Source: the JSON lines of LAMA (1909.01066) as pararel publishes them.
    """

    def record(line: int, where: str, item: dict[str, Any]) -> LabelledText:
        subject, target = (
            words(field(item, name, where), name, where).strip() for name in ("sub_label", "obj_label")
        )
        return LabelledText(f"{path.name}:{line}", subject, target, None, {"relation": path.stem})

    return json_objects(path, record)


def read_objects(folder: Path) -> list[str]:
    """Every object of a folder of such files, each once, in the order of files and lines.

    Raises:
        DataError: there is no such file.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise DataError(str(folder), "no .jsonl file", "T-REx's relations, each in a file of its own")
    return list(dict.fromkeys(str(record.label) for path in files for record in read_trex(path)))


def pattern(relation: str, *, causal: bool) -> str:
    """The manual pattern of a relation, as a template.

    Source: LAMA's own patterns (1909.01066). Deviation: a causal model reads none of what stands behind the
    blank; six patterns whose object is followed by words are put in another order for it.

    Raises:
        ConfigError: a relation that has none.
    """
    if relation not in _PATTERNS:
        expected = f"one of the {len(RELATIONS)} relations of T-REx, {RELATIONS[0]} to {RELATIONS[-1]}"
        do = nearest(relation, RELATIONS) or "give the template in words"
        raise ConfigError("task.template", f"'manual' for '{relation}'", expected, do)
    both, behind_last = _PATTERNS[relation]
    return (behind_last or both.removesuffix(" .")) if causal else both
