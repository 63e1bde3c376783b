"""Where a prompt's vectors begin.

Sources: Prefix-Tuning §7.4 (real activations beat random ones in low-data settings); what the usual
defaults cost is in PEFT's own benchmark (random 18.6 against 41.6 from text, same method).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from softprompt.errors import PromptError, with_article
from softprompt.prompts.heads import Head
from softprompt.prompts.loading import load_prompt
from softprompt.prompts.placements import KeyValueShape, Shape, SlotShape
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.registry import Registry


@dataclass(frozen=True)
class Start:
    """Where training begins; a `StartRequest` makes it.

    Args:
        length: vectors of the prompt.
        flats: flat vectors by block; None leaves them to the reparameterisation's own randomness.
        head: of the prompt that training begins from, if it has one.
    """

    length: int
    flats: dict[str, Tensor] | None
    head: Head | None = None


@dataclass(frozen=True)
class StartRequest:
    """What an initialisation is asked for, and the ways to answer.

    Args:
        backbone: gives real activations and embeddings.
        shapes: the blocks, each with its `name` and the `width` of its flat vectors.
        length: vectors as asked; None leaves their number to the initialisation.
        default_length: vectors where neither the user nor the initialisation says.
        examples: token ids of examples in the task's own format, if the run has drawn some.
        generator: source of every random number.
        random_scale: standard deviation of the method's `random`.
    """

    backbone: Observable
    shapes: Sequence[Shape]
    length: int | None
    default_length: int
    examples: Sequence[Sequence[int]] | None
    generator: torch.Generator
    random_scale: float

    @property
    def n_vectors(self) -> int:
        """How many vectors an initialisation makes that does not count them itself."""
        return self.default_length if self.length is None else self.length

    def from_vectors(self, vectors: Mapping[str, Tensor]) -> Start:
        """A start at these vectors, `[prompt, width]`, by the name of the block.

        Raises:
            PromptError: a block without vectors, or vectors of another size.
        """
        length = min((len(flat) for flat in vectors.values()), default=0)
        for shape in self.shapes:
            got = "none" if shape.name not in vectors else f"shape {list(vectors[shape.name].shape)}"
            if length < 1 or got != f"shape {[length, shape.width]}":
                where = f"prompt.initialization: vectors of {shape.name}"
                raise PromptError(where, got, f"shape [n, {shape.width}], the same n for every block")
        _agree(length, self.length, "the vectors of the initialization")
        return Start(length, {shape.name: vectors[shape.name] for shape in self.shapes})

    def from_tokens(self, ids: Sequence[int], what: str = "the initialization") -> Start:
        """A start at what the backbone makes of tokens: their activations, or their embeddings.

        Args:
            ids: as many as there will be vectors.
            what: gave the tokens, for errors.

        Raises:
            PromptError: no tokens, or another number than was asked for.
        """
        if not ids:
            raise PromptError("prompt.initialization", "a text without tokens", "at least one token")
        _agree(len(ids), self.length, f"the tokens of {what}")
        if isinstance(self.shapes[0], SlotShape):
            return Start(len(ids), {self.shapes[0].name: self.backbone.embed(ids)})
        flats: dict[str, Tensor] = {}
        observed = self.backbone.observe(ids)
        for shape in self.shapes:
            assert isinstance(shape, KeyValueShape)
            for block in observed:
                if block.site == shape.site and set(shape.layers) <= set(block.layers):
                    flats[shape.name] = shape.flatten(block).float()
        return Start(len(ids), flats)

    def from_prompt(self, prompt: Prompt) -> Start:
        """A start at another prompt's vectors.

        Raises:
            PromptError: it lacks a block, or has another length.
        """
        there = {s.name: block for s, block in zip(prompt.shapes, prompt.blocks, strict=True)}
        missing = [shape.name for shape in self.shapes if shape.name not in there]
        if missing:
            raise PromptError(
                "prompt.initialization",
                f"{with_article(prompt.card.method)} prompt without {missing[0]}",
                "a prompt with the same sites and layers",
            )
        if self.length is not None and self.length != prompt.length:
            expected = f"{prompt.length}, that of the prompt it begins from"
            raise PromptError("prompt.length", self.length, expected)
        with torch.no_grad():
            flats = {shape.name: there[shape.name]().clone() for shape in self.shapes}
        return Start(prompt.length, flats, prompt.head)


@dataclass(frozen=True)
class Initialization:
    """A row: what a form of `initialization` means."""

    function: Callable[[StartRequest, str], Start]
    argument: str
    form: str


INITIALIZATIONS: Registry[Initialization] = Registry(
    "initialization", "prompt.initialization", "softprompt.initializations"
)
"""Every initialisation by the word that it begins with."""


def initialization(
    name: str, argument: str = "", form: str = ""
) -> Callable[[Callable[[StartRequest, str], Start]], Callable[[StartRequest, str], Start]]:
    """Make a function an initialisation, which `initialization` then names: `name`, or `name: argument`.

    Args:
        name: letters, digits and `_`.
        argument: a regular expression for what follows the colon; nothing where no colon may follow.
        form: how it is written, for errors; by default the name, with `: ...` where something follows.

    Raises:
        ConfigError: a name that is taken.
    """

    def decorate(function: Callable[[StartRequest, str], Start]) -> Callable[[StartRequest, str], Start]:
        written = form or (f"{name}: ..." if argument else name)
        INITIALIZATIONS.add(name, Initialization(function, argument, written), function)
        return function

    return decorate


def start(initialization: str | Prompt, request: StartRequest) -> Start:
    """Flat start vectors for each block.

    Args:
        initialization: one of the forms of `INITIALIZATIONS`, or a prompt to begin from.
        request: what for.

    Raises:
        PromptError: an unknown form, missing examples, or a length that contradicts the text.
        ConfigError: an initialisation of another package that cannot be imported.
    """
    if isinstance(initialization, Prompt):
        return request.from_prompt(initialization)
    name, colon, argument = initialization.partition(":")
    if name in INITIALIZATIONS:
        row = INITIALIZATIONS[name]
        if bool(colon) == bool(row.argument) and re.fullmatch(row.argument, argument.strip()):
            return row.function(request, argument.strip())
    rows = {name: INITIALIZATIONS.get(name) for name in INITIALIZATIONS}
    forms = [f"'{name if row is None else row.form}'" for name, row in rows.items()]
    expected = f"{', '.join(forms[:-1])} or {forms[-1]}"
    raise PromptError("prompt.initialization", repr(initialization), expected)


@initialization("examples", r"[1-9]\d*", "examples:k")
def _examples(request: StartRequest, count: str) -> Start:
    examples, k = request.examples or [], int(count)
    if len(examples) < k:
        raise PromptError(
            "prompt.initialization",
            f"'examples:{count}' with {len(examples)} examples",
            f"{k} examples as token ids",
            "pass examples=[...], or choose 'vocabulary' or 'text: ...'",
        )
    return request.from_tokens([token for ids in examples[:k] for token in ids], f"{k} examples")


@initialization("text", "(?s).+")
def _text(request: StartRequest, text: str) -> Start:
    return request.from_tokens(request.backbone.token_ids(text), "the text")


@initialization("vocabulary")
def _vocabulary(request: StartRequest, _: str) -> Start:
    return request.from_tokens(request.backbone.sample_tokens(request.n_vectors, request.generator))


@initialization("random")
def _random(request: StartRequest, _: str) -> Start:
    n, scale, generator = request.n_vectors, request.random_scale, request.generator
    return request.from_vectors(
        {shape.name: scale * torch.randn(n, shape.width, generator=generator) for shape in request.shapes}
    )


@initialization("zero")
def _zero(request: StartRequest, _: str) -> Start:
    return request.from_vectors(
        {shape.name: torch.zeros(request.n_vectors, shape.width) for shape in request.shapes}
    )


@initialization("prompt", ".+", "prompt: FOLDER")
def _prompt(request: StartRequest, folder: str) -> Start:
    return request.from_prompt(load_prompt(Path(folder), request.backbone))


def _agree(length: int, asked: int | None, what: str) -> None:
    if asked is not None and asked != length:
        do = "leave length out, since it follows from the text"
        raise PromptError("prompt.length", asked, f"{length}, {what}", do)
