"""What a run said of each test record, kept beside its result."""

import json
from collections.abc import Sequence
from typing import Any

from softprompt.data.records import AnyRecord


def output_lines(records: Sequence[AnyRecord], outputs: Sequence[Any]) -> str:
    """A line of JSON per record: its id and source, the references or the right answer, and the output."""
    lines = [
        {"id": record.id, "source": record.source, "references": list(record.targets), "output": output}
        for record, output in zip(records, outputs, strict=True)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)
