"""The options that several methods have: their types, with the bounds that are checked."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from softprompt.errors import Problem

TUNE_FORMS = "'all', 'bitfit', 'biases', 'layernorm', 'head', 'last:k' or 'none'"
"""What `tune` can say."""


def is_tune(text: str) -> bool:
    """Whether a text is one of `TUNE_FORMS`."""
    return re.fullmatch(r"all|bitfit|biases|layernorm|head|last:[1-9]\d*|none", text) is not None


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(Problem("", str(value), "a whole number"))  # True is 1 to Python
    return value


def _known(text: str) -> str:
    if not is_tune(text):
        raise ValueError(Problem("", repr(text), TUNE_FORMS))
    return text


def _known_or_auto(text: str) -> str:
    if text != "auto" and not is_tune(text):
        raise ValueError(Problem("", repr(text), f"'auto', {TUNE_FORMS}"))
    return text


def _drawn(draws: int, others: ValidationInfo) -> int:
    start = others.data.get("initialization", "")
    if draws > 1 and not start.startswith("examples:"):
        got = f"{draws} with initialization '{start}'"
        expected = "an initialization 'examples:k', the one that is drawn"
        raise ValueError(Problem("", got, expected, "leave draws out"))
    return draws


Count = Annotated[int, BeforeValidator(_number), Field(ge=1, le=100_000)]
"""A whole number from 1; longer and wider prompts than 100,000 fit into no memory."""

Probability = Annotated[float, Field(ge=0, lt=1)]
"""Of dropout."""

Layers = str | Sequence[Annotated[int, BeforeValidator(_number)]]
"""`all`, `first:k`, `last:k` or layer numbers."""

Sites = Sequence[Literal["encoder", "decoder", "cross"]]
"""Kinds of attention."""

_AnySite = Literal["encoder", "decoder", "cross", "recurrent"]

if TYPE_CHECKING:
    AllSites = Sequence[_AnySite] | _AnySite
else:
    AllSites = Annotated[
        Sequence[_AnySite], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ]
"""Kinds of attention, and recurrent layers; one may stand without a list."""

Positions = Literal["shifted", "unshifted"]
"""Whether the text's positions start behind the prompt, or at 0."""

Reparameterization = Literal["mlp"]
"""What vectors are computed through while they are trained."""

Tune = Annotated[str, AfterValidator(_known)]
"""Which of the backbone's own tensors are trained."""

FittingTune = Annotated[str, AfterValidator(_known_or_auto)]
"""The same, or `auto`, a choice that the backbone has."""

DRAWS = (
    Annotated[Count, AfterValidator(_drawn)],
    Field(
        default=1,
        description="How often to draw `examples:k`; training begins from those with the lowest loss on 32 "
        "other records.",
    ),
)
"""An option of recipes alone, since a run draws the examples."""
