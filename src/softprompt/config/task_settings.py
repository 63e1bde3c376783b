"""What the settings of all tasks share, and labels as YAML has them."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from softprompt.config.base import Settings
from softprompt.errors import Problem


def _as_label(raw: Any) -> Any:
    """A label as YAML reads it: a number is its digits; what was `yes` or `no` cannot be known any more."""
    if isinstance(raw, bool):
        expected = "a text, since YAML reads yes, no, on, off, true and false without quotes as truth values"
        raise ValueError(Problem("", str(raw).lower(), expected, 'quote it, e.g. "yes"'))
    return str(raw) if isinstance(raw, int | float) else raw


Label = Annotated[str, BeforeValidator(_as_label)]
"""One label."""

Labels = list[Label]
"""Labels in the order of the head's outputs."""

ClassWeights = Literal["balanced"] | dict[Label, Annotated[float, Field(gt=0)]] | None
"""Weights of the labels in the loss."""


class TaskSettings(Settings):
    """What every task's settings are, with the facts about the task that settings are checked by."""

    head_kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of head that can read the answer off states or scores; none where words are the answer."""
    takes_template: ClassVar[bool] = False
    """Whether a template may be written around a record."""
    batch_group: ClassVar[str] = "tasks with heads"
    """Tasks of one group can share a batch."""
    writes_text: ClassVar[bool] = False
    """Whether the answer is a text that is decoded token by token."""

    # A default of another package may be wrong.
    model_config = ConfigDict(validate_default=True)

    name: str

    @property
    def has_head(self) -> bool:
        """Whether a trained head gives the answer."""
        return bool(self.head_kinds)
