"""What records hold: labels and their counts, lengths, scripts, rows that are odd."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.data import (
    Choices,
    Conversation,
    LabelledPicture,
    MultiLabelledText,
    Question,
    Record,
    TaggedWords,
)
from softprompt.scripts import script

_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
"""Scripts by the first word of their letters' names in Unicode, where a person would say it otherwise."""

_MOST_LETTERS = 200_000

Measure = Callable[[str], int]
"""The length of a text, in tokens or, without a tokenizer, in words."""


@dataclass(frozen=True)
class Lengths:
    """The lengths of some texts.

    Args:
        middle: of the one in the middle.
        most: that 99 of 100 do not pass.
        longest: of the longest.
    """

    middle: int
    most: int
    longest: int


@dataclass(frozen=True)
class Facts:
    """What some records hold.

    Args:
        n: how many there are.
        labels: every label, or tag, and how often it stands; empty where there are none.
        sources: lengths of what is read.
        targets: lengths of what is written; None where nothing is.
        scripts: the share of the letters of each script, the largest first.
        repeated: records whose input and answer stand before them already.
        contradicted: different inputs that stand with several labels.
    """

    n: int
    labels: Mapping[str, int]
    sources: Lengths | None
    targets: Lengths | None
    scripts: Mapping[str, float]
    repeated: int
    contradicted: int


def facts_of(records: Sequence[Any], measure: Measure) -> Facts:
    """What records hold, the lengths of their texts by `measure`."""
    labels = Counter(label for record in records for label in _labels(record))
    pictures = all(isinstance(record, LabelledPicture) for record in records)
    sources = None if pictures else lengths(map(text_of, records), measure)
    writes = any(isinstance(record, Record) for record in records)
    targets = [text for record in records for text in record.targets] if writes else []
    seen: dict[str, set[tuple[str, ...]]] = {}
    repeated = 0
    for record in records:
        source = record.digest if isinstance(record, LabelledPicture) else text_of(record)
        answers = seen.setdefault(source, set())
        repeated += record.targets in answers
        answers.add(record.targets)
    contradicted = 0 if writes else sum(len(answers) > 1 for answers in seen.values())
    texts = [] if pictures else [text_of(record) for record in records]
    return Facts(
        len(records),
        dict(labels.most_common()),
        sources,
        lengths(targets, measure) if targets else None,
        scripts_of([*texts, *targets]),
        repeated,
        contradicted,
    )


def text_of(record: Any) -> str:
    """All that is read of a record, for its length."""
    if isinstance(record, Question):
        return f"{record.question} {record.context}"
    if isinstance(record, Conversation):
        return "\n".join([*(text for _, text in record.earlier), record.source])
    if isinstance(record, Choices):
        return record.text
    return " ".join(record.words) if isinstance(record, TaggedWords) else record.source


def _labels(record: Any) -> Iterable[str]:
    if isinstance(record, (TaggedWords, MultiLabelledText)):
        return record.labels or ()
    label = getattr(record, "label", None)
    return () if label is None or isinstance(record, Choices) else (label,)


def lengths(texts: Iterable[str], measure: Measure) -> Lengths | None:
    """The lengths of texts; None where there are none."""
    counts = sorted(measure(text) for text in texts)
    if not counts:
        return None
    return Lengths(
        counts[len(counts) // 2], counts[min(int(len(counts) * 0.99), len(counts) - 1)], counts[-1]
    )


def scripts_of(texts: Iterable[str]) -> dict[str, float]:
    """The share of letters of each script; Japanese where its syllables stand among Chinese characters."""
    counts: Counter[str] = Counter()
    left = _MOST_LETTERS
    for text in texts:
        for sign, times in Counter(text[: max(left, 0)]).items():
            if name := script(sign):
                counts[_NAMES.get(name, name.capitalize())] += times
        left -= len(text)
    if counts["Japanese"] * 10 > counts["Chinese"]:
        counts["Japanese"] += counts.pop("Chinese", 0)
    total = sum(counts.values())
    return {script: times / total for script, times in counts.most_common() if times}
