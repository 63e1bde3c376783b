"""What a report says, before it is written in any form."""

from collections.abc import Sequence
from dataclasses import dataclass

from softprompt.experiments.report import notes
from softprompt.experiments.reporting.canvas import Figure
from softprompt.experiments.reporting.examples import Examples, examples
from softprompt.experiments.reporting.figures import figures
from softprompt.experiments.reporting.gaps import gaps
from softprompt.experiments.reporting.source import Source
from softprompt.experiments.reporting.tables import Table, tables
from softprompt.experiments.results import StudyResult


@dataclass(frozen=True)
class Report:
    """A report.

    Args:
        command: the command line that makes this report.
        study_command: the one that makes the study.
        gaps: what is missing, a line per cell.
        examples: what the rows said, where run folders keep it.
        figures: as far as there is something to draw.
        notes: what is needed to make it again.
    """

    result: StudyResult
    command: str
    study_command: str
    tables: tuple[Table, ...]
    gaps: tuple[str, ...]
    figures: tuple[Figure, ...]
    examples: tuple[Examples, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The study's name."""
        return self.result.grid.settings.name


def compose(source: Source, command: str) -> Report:
    """Make a report of what is there.

    Args:
        command: the command line that makes it.
    """
    result = source.result
    lacking = list(gaps(result))
    if source.unasked:
        names = _some(source.unasked)
        lacking.append(
            f"The results table has runs that the study does not ask for, and they are left out: {names}"
        )
    drawn, undrawn = figures(result)
    return Report(
        result=result,
        command=command,
        study_command=source.command,
        tables=tables(result),
        gaps=(*lacking, *undrawn),
        figures=drawn,
        examples=examples(result),
        notes=tuple(notes(result)),
    )


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
