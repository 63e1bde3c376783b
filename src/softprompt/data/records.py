"""The one form that every reader gives: a source text, its targets, and tags."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Record:
    """One input with every reference it has.

    Args:
        id: names the record in its file, for error messages and for pairing outputs.
        source: the text given to the model, linearised as the paper does.
        targets: the references, at least one.
        tags: facts to group scores by, e.g. `{"category": "Airport", "seen": "seen"}`.
    """

    id: str
    source: str
    targets: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


def pairs(records: Iterable[Record]) -> list[Record]:
    """One record per (source, target), in order, the form that training consumes."""
    return [
        Record(f"{record.id}/{i}", record.source, (target,), record.tags)
        for record in records
        for i, target in enumerate(record.targets)
    ]
