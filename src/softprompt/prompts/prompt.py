"""The trained thing: a torch module that gives a placement."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from softprompt.files import BackboneCard, PromptCard, difference, write_prompt
from softprompt.prompts.heads import Head
from softprompt.prompts.inserts import Insert, LayerLinears
from softprompt.prompts.placements import (
    AttentionShape,
    KeyValues,
    KeyValueShape,
    Placement,
    Shape,
    SlotShape,
)
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.reparameterize import Direct
from softprompt.prompts.visual_placements import (
    PictureFacts,
    VisualPlacement,
    VisualShape,
)

LIBRARIES = ("softprompt", "torch", "transformers", "safetensors")
"""Whose versions every prompt file names."""


class Observable(Protocol):
    """What a prompt needs of a backbone; `softprompt.Backbone` gives it."""

    @property
    def card(self) -> BackboneCard:
        """Name, fingerprint and record, as stored with a prompt."""
        ...

    def known_as(self) -> frozenset[str]:
        """Fingerprints under which files without a record may know it."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its inputs lie; prompts are made and loaded there."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The backbone's tokenizer; an error if there is none."""
        ...

    @property
    def hidden(self) -> int:
        """Width of the input embeddings."""
        ...

    @property
    def state_size(self) -> int:
        """Width of the states that a head reads."""
        ...

    @property
    def attentions(self) -> dict[tuple[str, int], AttentionShape]:
        """Key/value sizes of every (site, layer) that can be reached."""
        ...

    def output_vectors(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The vocabulary matrix's rows of tokens, `[token, output]`, and their biases, `[token]`."""
        ...

    @property
    def layers(self) -> Sequence[LayerLinears]:
        """Every layer, and the linear layers in it."""
        ...

    @property
    def pictures(self) -> PictureFacts | None:
        """What it reads, if that is pictures."""
        ...

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        """The model's own tensors by every name that they have."""
        ...

    def tuned_tensors(self, tune: str, *, lm_head: bool = True) -> tuple[str, ...]:
        """Names of the tensors that a choice such as `bitfit` means, each tensor once."""
        ...

    def token_ids(self, text: str) -> list[int]:
        """The text's tokens, without special ones."""
        ...

    def sample_tokens(self, n: int, generator: torch.Generator) -> list[int]:
        """Random ordinary tokens."""
        ...

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Input vectors of tokens, `[slot, hidden]`."""
        ...

    def observe(self, ids: Sequence[int]) -> tuple[KeyValues, ...]:
        """The frozen model's own key/values on tokens, for every site and layer."""
        ...


class Prompt(nn.Module):
    """A soft prompt: its parameters alone need gradients.

    Calling it gives the placement, computed from the parameters (differentiable). Build one with a
    method (`softprompt.prefix_tuning`, ...) or `softprompt.load_prompt`.

    Args:
        card: what the file will say.
        shapes: the layout of each block of the placement; none for a prompt without vectors.
        blocks: for each shape, the module that computes its flat vectors.
        dropout: probability of dropout on the flat vectors while the prompt is in training mode.
        head: reads the backbone's states, where the task has one.
        weights: trained tensors that stand in place of the backbone's own, by name.
        inserts: trained modules beside the backbone's linear layers, in the order of the card.
    """

    def __init__(
        self,
        card: PromptCard,
        shapes: Sequence[Shape | VisualShape],
        blocks: Mapping[str, nn.Module],
        dropout: float = 0.0,
        head: Head | None = None,
        weights: Mapping[str, Tensor] | None = None,
        inserts: Iterable[nn.Module] = (),
    ):
        super().__init__()
        self.card = card
        self.accepted = frozenset({card.backbone.key})
        """Keys of the backbones that it was found to belong to, or was accepted for whatever they are."""
        self.shapes = tuple(shapes)
        # Module names may not hold dots, so blocks are numbered in the order of the shapes.
        self.blocks = nn.ModuleList(blocks[shape.name] for shape in shapes)
        self.dropout = nn.Dropout(dropout)
        self.head = head
        named = {name: (weights or {})[name] for name in card.weights}
        # Kept in float32 whatever the backbone's precision is, so that small steps are not lost.
        self._weights = nn.ParameterList(
            w if isinstance(w, nn.Parameter) else nn.Parameter(w.detach().clone().float())
            for w in named.values()
        )
        self._inserts = nn.ModuleList(inserts)

    def forward(self) -> Placement | tuple[VisualPlacement, ...]:
        """The placement: key/values for each block, or the slot embeddings; empty where there is none.

        Of a prompt for pictures, its blocks (`visual_placements`).
        """
        placed = [
            shape.unflatten(self.dropout(block()))
            for shape, block in zip(self.shapes, self.blocks, strict=True)
        ]
        if self.card.placement == "slot_embeddings":
            return placed[0]  # type: ignore[return-value]
        return tuple(placed)  # type: ignore[return-value]

    @property
    def length(self) -> int:
        """Vectors of the prompt, in tokens."""
        return self.card.length

    @property
    def weights(self) -> dict[str, Tensor]:
        """Trained tensors in place of the backbone's own, by name; differentiable."""
        return dict(zip(self.card.weights, self._weights, strict=True))

    @property
    def inserts(self) -> dict[str, Insert]:
        """Trained modules beside the backbone's linear layers, by those layers' names."""
        names = () if self.card.inserts is None else self.card.inserts.modules
        return dict(zip(names, self._inserts, strict=True))  # type: ignore[arg-type]

    @property
    def n_trained_parameters(self) -> int:
        """Numbers that training changes, the reparameterisation and the head included."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def n_stored_parameters(self) -> int:
        """Numbers in the prompt file."""
        beside = [*self._weights, *self._inserts.parameters()]
        beside += self.head.parameters() if self.head is not None else ()
        vectors = sum(_rows(shape, self.length) * shape.width for shape in self.shapes)
        return vectors + sum(p.numel() for p in beside)

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """The baked tensors by name, as the file holds them."""
        named: dict[str, Tensor] = {}
        for shape, block in zip(self.shapes, self.blocks, strict=True):
            if not isinstance(shape, KeyValueShape | SlotShape):
                named |= shape.tensors(block())
                continue
            placed = shape.unflatten(block())
            if isinstance(placed, KeyValues):
                named[f"{shape.name}.keys"] = placed.keys
                named[f"{shape.name}.values"] = placed.values
            else:
                named[shape.name] = placed.vectors
        if self.head is not None:
            named |= {f"head.{name}": tensor for name, tensor in self.head.named_parameters()}
        for place, insert in self.inserts.items():
            named |= {f"inserts.{place}.{name}": tensor for name, tensor in insert.stored().items()}
        return named | {f"weights.{name}": tensor for name, tensor in self.weights.items()}

    @plain_tensors()
    def bake(self) -> "Prompt":
        """A prompt of copies of the same tensors, without its reparameterisation; all else is the same."""
        with torch.no_grad():
            blocks = {
                shape.name: Direct(block()) for shape, block in zip(self.shapes, self.blocks, strict=True)
            }
            # Copies, so that what goes on training does not move a snapshot.
            head, weights, inserts = copy.deepcopy((self.head, self.weights, self._inserts))
        baked = Prompt(self.card, self.shapes, blocks, self.dropout.p, head, weights, inserts)
        return baked._like(self)

    def with_head(self, head: Head | None) -> "Prompt":
        """The same prompt (the same parameters, not a copy) with another head."""
        blocks = {shape.name: block for shape, block in zip(self.shapes, self.blocks, strict=True)}
        card = self.card.model_copy(update={"head": None if head is None else head.card})
        other = Prompt(card, self.shapes, blocks, self.dropout.p, head, self.weights, self._inserts)
        return other._like(self)

    def _like(self, other: "Prompt") -> "Prompt":
        """Itself, in another prompt's mode and accepted where that is."""
        self.accepted |= other.accepted
        return self.train(other.training)

    def unlike(self, backbone: BackboneCard) -> str | None:
        """Why a backbone is not the one that the prompt was made on, as a clause; None where it is.

        What the backbone's own head says counts where the prompt has no head that reads states.
        """
        return unlike_backbone(self.card, backbone)

    def describe(self, **facts: Any) -> "Prompt":
        """Put facts (task, training, data, metrics) into the card; returns the prompt itself."""
        self.card = self.card.model_copy(update=facts)
        return self

    def save(self, folder: Path | str) -> Path:
        """Write the baked tensors and the card into a folder, beside whatever else is in it.

        Readers see the older prompt or this one, whole, at every moment. Links are followed.

        Args:
            folder: made where there is none; `~` is the home folder.

        Raises:
            PromptError: the disk is full, or the place cannot be written.
        """
        # Behind those of the package that the method came from, if that is another.
        card = self.card.model_copy(update={"versions": {**self.card.versions, **_versions()}})
        return write_prompt(folder, self.tensors(), card)


def unlike_backbone(card: PromptCard, backbone: BackboneCard) -> str | None:
    """As `Prompt.unlike`, of a card."""
    own_head = card.head is None or card.head.kind in ("calibration", "soft")
    return difference(card.backbone, backbone, own_head, card.weights)


def _rows(shape: Shape | VisualShape, length: int) -> int:
    """Flat vectors of a block."""
    own = getattr(shape, "rows", None)
    return length if own is None else own


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in LIBRARIES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            continue
    return found
