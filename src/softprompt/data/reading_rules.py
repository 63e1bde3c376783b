"""What holds while one file is read: its encoding, what to do about bad rows, and what was taken for what."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from softprompt.errors import Problem


@dataclass
class Rules:
    """How one file is read, and what there is to say about it.

    Args:
        encoding: of text; None is UTF-8, or what a byte-order mark says.
        skip: whether bad rows are left out rather than refused.
        skipped: the rows that were left out, a sentence each (the first ten).
        n_skipped: how many were left out.
        notes: what was found about the file, a sentence each.
        doubts: what stands against reading labels as numbers.
        split: `train`, `dev` or `test`, where the file is one of a run's.
        first: the columns of the training file, by role, where this is another one.
        columns: by role, the column that was taken for it, or a text of several; None where there is none.
    """

    encoding: str | None = None
    skip: bool = False
    skipped: list[str] = field(default_factory=list)
    n_skipped: int = 0
    notes: list[str] = field(default_factory=list)
    doubts: list[Problem] = field(default_factory=list)
    split: str | None = None
    first: Mapping[str, str | None] = field(default_factory=dict)
    columns: dict[str, str | None] = field(default_factory=dict)

    def include(self, other: "Rules") -> None:
        """Say what there is to say about another file too; columns are those of the first that has some."""
        self.skipped += other.skipped
        self.n_skipped += other.n_skipped
        self.notes += other.notes
        self.doubts += other.doubts
        self.columns = self.columns or other.columns


_RULES: ContextVar[Rules | None] = ContextVar("rules", default=None)


def rules() -> Rules:
    """The rules of the file that is being read; the usual ones where a reader is called by itself."""
    return _RULES.get() or Rules()


@contextmanager
def following(given: Rules) -> Iterator[Rules]:
    """While entered, files are read by these rules."""
    token = _RULES.set(given)
    try:
        yield given
    finally:
        _RULES.reset(token)
