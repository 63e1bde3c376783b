"""What an initialisation is asked for, and where training then begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.errors import PromptError, with_article
from softprompt.prompts.heads import Head
from softprompt.prompts.observable import Observable
from softprompt.prompts.placements import Shape, SlotShape, StateShape
from softprompt.prompts.prompt import Prompt


@dataclass(frozen=True)
class Start:
    """Where training begins; made by a `StartRequest`.

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
        """How many vectors to make, for an initialisation whose argument does not determine their number."""
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
                where = f"method.initialization: vectors of {shape.name}"
                raise PromptError(where, got, f"shape [n, {shape.width}], the same n for every block")
        _check_length(length, self.length, "the vectors of the initialization")
        return Start(length, {shape.name: vectors[shape.name] for shape in self.shapes})

    def from_tokens(self, ids: Sequence[int], what: str = "the initialization") -> Start:
        """A start at what the backbone makes of tokens: their activations, their embeddings, or the recurrent
        states behind them.

        Args:
            ids: one for each vector; for states any number.
            what: the source of the tokens, for errors.

        Raises:
            PromptError: no tokens, or another number than was asked for.
        """
        if not ids:
            raise PromptError("method.initialization", "a text without tokens", "at least one token")
        flats: dict[str, Tensor] = {}
        if isinstance(self.shapes[0], StateShape):
            for shape in self.shapes:
                for block in self.backbone.observe_states(ids):
                    if isinstance(shape, StateShape) and set(shape.layers) <= set(block.layers):
                        flats[shape.name] = shape.flatten(block).float()
            return Start(1, flats)
        _check_length(len(ids), self.length, f"the tokens of {what}")
        if isinstance(self.shapes[0], SlotShape):
            return Start(len(ids), {self.shapes[0].name: self.backbone.embed(ids)})
        observed = self.backbone.observe(ids)
        for shape in self.shapes:
            assert not isinstance(shape, SlotShape | StateShape)
            for block in observed:
                if block.site == shape.site and set(shape.layers) <= set(block.layers):
                    flats[shape.name] = shape.flatten(block).float()
        return Start(len(ids), flats)

    def from_prompt(self, prompt: Prompt) -> Start:
        """A start at another prompt's vectors.

        Raises:
            PromptError: it lacks a block, or has another length.
        """
        blocks = {s.name: block for s, block in zip(prompt.shapes, prompt.blocks, strict=True)}
        missing = [shape.name for shape in self.shapes if shape.name not in blocks]
        if missing:
            raise PromptError(
                "method.initialization",
                f"{with_article(prompt.card.method)} prompt without {missing[0]}",
                "a prompt with the same sites and layers",
            )
        if self.length is not None and self.length != prompt.length:
            expected = f"{prompt.length}, the length of the prompt that training begins from"
            raise PromptError("prompt.length", self.length, expected)
        with torch.no_grad():
            flats = {shape.name: blocks[shape.name]().clone() for shape in self.shapes}
        return Start(prompt.length, flats, prompt.head)


def _check_length(length: int, asked: int | None, what: str) -> None:
    if asked is not None and asked != length:
        do = "leave length out, since it follows from the initialization"
        raise PromptError("prompt.length", asked, f"{length}, {what}", do)
