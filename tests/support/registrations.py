"""What tests put into the package's tables, taken out again."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from softprompt.data import FORMATS
from softprompt.metrics import METRICS
from softprompt.prompts import METHODS
from softprompt.prompts.initializations import INITIALIZATIONS
from softprompt.registry import Registry
from softprompt.tasks import TASKS

TABLES: tuple[Registry[Any], ...] = (METHODS, INITIALIZATIONS, TASKS, METRICS, FORMATS)


@contextmanager
def undone() -> Iterator[None]:
    """What is registered inside is forgotten at the end.

    A package that offers a row and is imported inside is imported once: a test that needs it again needs a
    module of another name.
    """
    before = [{name: copy.copy(value) for name, value in vars(table).items()} for table in TABLES]
    try:
        yield
    finally:
        for table, values in zip(TABLES, before, strict=True):
            vars(table).update(values)
