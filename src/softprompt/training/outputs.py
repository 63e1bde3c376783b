"""What a run said of each test record, kept beside its result."""

import json
from collections.abc import Sequence
from typing import Any

from softprompt.data.records import AnyRecord, Choices
from softprompt.tasks.task import Task
from softprompt.training.disk import write_atomically
from softprompt.training.folder import RunFolder


def write_outputs(
    folder: RunFolder, task: Task, records: Sequence[AnyRecord], outputs: Sequence[Any]
) -> None:
    """The outputs, and beside them what the task has to say of them."""
    write_atomically(folder.outputs, output_lines(records, outputs))
    for name, content in task.artefacts(records, outputs).items():
        write_atomically(folder.path / name, content)


def output_lines(records: Sequence[AnyRecord], outputs: Sequence[Any]) -> str:
    """A line of JSON per record, see `output_line`."""
    lines = [output_line(record, output) for record, output in zip(records, outputs, strict=True)]
    return "".join(json.dumps(line) + "\n" for line in lines)


def output_line(record: AnyRecord, output: Any) -> dict[str, Any]:
    """What is kept of a record: its id and source, the references or the right answer, and the output.

    Where the record brings the choices, they are kept too: the output is the index of one.
    """
    line = {"id": record.id, "source": record.source, "references": list(record.targets), "output": output}
    if isinstance(record, Choices):
        line["choices"] = list(record.choices)
    return line
