"""What one test registers, no other test finds."""

from typing import Any

import pytest

import softprompt
from softprompt.data import FORMATS, LabelledText
from softprompt.metrics import METRICS
from softprompt.prompts import METHODS
from softprompt.tasks import TASKS
from support.registrations import TABLES


# The second of the two would find the rows of the first, made by another function: a name that is taken.
@pytest.mark.parametrize("which", ["first", "second"])
def test_registrations_end_with_their_test(which):
    assert not [name for table in TABLES for name in table if "of_a_test" in name]

    def own(backbone: Any, *, seed: int = 0) -> Any: ...

    def read(path: Any) -> list[LabelledText]:
        return []

    own.__qualname__, read.__qualname__ = f"own_{which}", f"read_{which}"
    softprompt.method("ending_of_a_test")(own)
    softprompt.data_format("ending_of_a_test", LabelledText, "a file")(read)
    softprompt.metric("ending_of_a_test", "classification")(lambda outputs, references: 1.0)
    softprompt.initialization("ending_of_a_test")(lambda length, backbone: None)
    for table in (METHODS, FORMATS, METRICS):
        assert "ending_of_a_test" in table


def test_no_file_of_tests_registers_when_it_is_imported():
    # What is there outside of every test is there for all of them: it belongs into a fixture.
    others = {name for table in TABLES for name in table.rows if not _of_the_package(table._origins[name])}
    assert not others and len(TASKS.rows) > 5


def _of_the_package(origin: str) -> bool:
    return origin.partition(":")[0].partition(".")[0] == "softprompt"
