"""The trained thing: a torch module that gives a placement."""

import copy
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.files import (
    BackboneCard,
    PromptCard,
    check_no_other,
    difference,
    push_prompt,
    readme_of,
    without_folders,
    write_model_card,
    write_prompt,
)
from softprompt.prompts.heads import Head, uses_output_layer
from softprompt.prompts.inserts import Insert
from softprompt.prompts.origin import Answering, Origin
from softprompt.prompts.placements import Placement, Shape
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.reparameterize import Direct
from softprompt.prompts.visual import VisualPlacement, VisualShape
from softprompt.untrusted import at_home

LIBRARIES = ("softprompt", "torch", "transformers", "safetensors")
"""Whose versions every prompt file names."""


class Prompt(Answering, nn.Module):
    """A soft prompt: its parameters alone need gradients.

    Calling it gives the placement, computed from the parameters (differentiable). Build one with a
    method (`softprompt.prefix_tuning`, ...) or `softprompt.load_prompt`.

    Args:
        card: what the file says of the prompt.
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
        self.origin = Origin()
        self.accepted = frozenset({card.backbone.key})
        """Keys of the backbones that the prompt belongs to, or that `any_backbone` accepted."""
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
        """The placement: key/values or states for each block, or the slot embeddings; empty where none is.

        Of a prompt for pictures, its blocks (`visual`).
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
        vectors = sum(
            (self.length if shape.rows is None else shape.rows) * shape.width for shape in self.shapes
        )
        return vectors + sum(p.numel() for p in beside)

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """The baked tensors by name, as the file holds them."""
        named: dict[str, Tensor] = {}
        for shape, block in zip(self.shapes, self.blocks, strict=True):
            named |= shape.tensors(block())
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
            # Copies, so that further training does not change the baked prompt.
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
        """Take another prompt's mode (training or not) and backbones; returns the prompt itself."""
        self.accepted |= other.accepted
        self.origin = other.origin
        return self.train(other.training)

    def unlike(self, backbone: BackboneCard) -> str | None:
        """Why a backbone is not the one that the prompt was made on, as a clause; None where it is.

        The backbone's own head is compared too where the prompt has no head that reads states.
        """
        return unlike_backbone(self.card, backbone)

    @torch.no_grad()
    def check_range(self, dtype: torch.dtype, where: str) -> None:
        """Refuse numbers that are not finite, or not in a backbone's precision.

        Heads and inserts compute in float32 on every backbone.

        Args:
            dtype: the backbone's precision.
            where: of the prompt, for errors.

        Raises:
            PromptError: a tensor with such numbers, by its name.
        """
        for name, tensor in self.tensors().items():
            if not torch.isfinite(tensor).all():
                raise PromptError(f"{where}: {name}", "numbers that are not finite", "a trained prompt")
            if name.startswith(("head.", "inserts.")) or torch.isfinite(tensor.to(dtype)).all():
                continue
            raise PromptError(
                f"{where}: {name}",
                f"numbers that are not finite in {str(dtype).removeprefix('torch.')}",
                "a prompt for a backbone of this precision",
                "load the backbone with dtype='float32'",
            )

    def describe(self, **facts: Any) -> "Prompt":
        """Put facts (task, training, data, metrics) into the card; returns the prompt itself."""
        self.card = self.card.model_copy(update=facts)
        return self

    def save(self, folder: Path | str, card: bool = False) -> Path:
        """Write the baked tensors and the card into a folder, beside whatever else is in it.

        At every moment a reader gets the older prompt or this one, whole. Links are followed. Of absolute
        paths in the card (backbone, data, an initialisation) the last part is written.

        Args:
            folder: made where there is none; `~` is the home folder.
            card: also write a model card for people and for the hub, README.md, from what the prompt says of
                itself: how to use it, scores, data, settings, versions.

        Raises:
            PromptError: the disk is full, the place cannot be written, or a model card is asked for where a
                README.md is that somebody wrote or changed.
        """
        if card:
            check_no_other(at_home(str(folder)))
        told = self._shipped_card()
        written = write_prompt(folder, self.tensors(), told)
        if card:
            place = written.resolve()
            # A home folder has the name of its user.
            name = "prompt" if place == Path.home() else place.name or "prompt"
            write_model_card(written, readme_of(told, name, hub_id_of(told)))
        return written

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        message: str | None = None,
        token: str | None = None,
    ) -> str:
        """Put the prompt into a repository of the hub, with a model card, in one commit.

        The address is `HF_ENDPOINT`'s, or that of huggingface.co. A README.md there that somebody wrote or
        changed stays. `softprompt.load_prompt(repository, backbone)` reads the prompt again.

        Args:
            repository: `user/name`; made where there is none.
            private: of the repository; None is the owner's default, and leaves one that is there as it is.
            revision: the branch, made where there is none; None is the main one.
            message: of the commit.
            token: an access token; None is the one that is logged in (`hf auth login`, or `HF_TOKEN`).

        Returns:
            The address of the files.

        Raises:
            PromptError: a name that the hub does not take, no right to write, a repository of the other
                privacy, or the hub cannot be asked.
        """
        card = self._shipped_card()
        with tempfile.TemporaryDirectory() as place:
            folder = write_prompt(place, self.tensors(), card)
            return push_prompt(
                folder, card, repository, hub_id_of(card),
                private=private, revision=revision, message=message, token=token,
            )  # fmt: skip

    def _shipped_card(self) -> PromptCard:
        """The card as it is passed on: without folders of this machine, with the versions of libraries."""
        # Behind the version of the package that the method came from, where that is another one.
        card = self.card.model_copy(update={"versions": {**self.card.versions, **_versions()}})
        return card.model_copy(
            update={
                "initialization": without_folders(card.initialization),
                "backbone": card.backbone.model_copy(update={"name": without_folders(card.backbone.name)}),
                **{name: without_folders(getattr(card, name)) for name in ("task", "training", "data")},
            }
        )


def hub_id_of(card: PromptCard) -> str | None:
    """The hub id of a prompt's backbone; None where it has none."""
    # By its name, since backbones stand above prompts.
    return import_module("softprompt.backbones").hub_id(card.backbone.name)


def unlike_backbone(card: PromptCard, backbone: BackboneCard) -> str | None:
    """As `Prompt.unlike`, of a card."""
    return difference(card.backbone, backbone, uses_output_layer(card.head), card.weights)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in LIBRARIES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            continue
    return versions
