"""The trained thing: a torch module that gives a placement."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.prompts.heads import Head, empty_head
from softprompt.prompts.inserts import Insert, LayerLinears, make_inserts
from softprompt.prompts.placements import (
    AttentionShape,
    KeyValues,
    KeyValueShape,
    Placement,
    Shape,
    SlotShape,
    key_value_shapes,
)
from softprompt.prompts.reparameterize import Direct
from softprompt.prompts.visual_placements import (
    PictureFacts,
    VisualPlacement,
    VisualShape,
    visual_shapes,
)
from softprompt.store import files
from softprompt.store.card import BackboneCard, PromptCard


class Observable(Protocol):
    """What a prompt needs of a backbone; `softprompt.Backbone` gives it."""

    @property
    def card(self) -> BackboneCard:
        """Name and fingerprint, as stored with a prompt."""
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

    def bake(self) -> "Prompt":
        """A prompt of the same tensors without its reparameterisation; all else stays the same."""
        with torch.no_grad():
            blocks = {
                shape.name: Direct(block()) for shape, block in zip(self.shapes, self.blocks, strict=True)
            }
        baked = Prompt(self.card, self.shapes, blocks, self.dropout.p, self.head, self.weights, self._inserts)
        return baked.train(self.training)

    def with_head(self, head: Head | None) -> "Prompt":
        """The same prompt (the same parameters, not a copy) with another head."""
        blocks = {shape.name: block for shape, block in zip(self.shapes, self.blocks, strict=True)}
        card = self.card.model_copy(update={"head": None if head is None else head.card})
        other = Prompt(card, self.shapes, blocks, self.dropout.p, head, self.weights, self._inserts)
        return other.train(self.training)

    def describe(self, **facts: Any) -> "Prompt":
        """Put facts (task, training, data, metrics) into the card; returns the prompt itself."""
        self.card = self.card.model_copy(update=facts)
        return self

    def save(self, folder: Path | str) -> Path:
        """Write the baked tensors and the card into a folder, atomically.

        Raises:
            PromptError: the disk is full, or the folder holds something else.
        """
        card = self.card.model_copy(update={"versions": _versions()})
        return files.write(folder, self.tensors(), card)


def load_prompt(folder: Path | str, backbone: Observable, *, any_backbone: bool = False) -> Prompt:
    """Read a prompt for a backbone.

    Args:
        folder: as written by `Prompt.save`.
        backbone: the frozen model it will be used with.
        any_backbone: accept another model whose sizes happen to fit (the fingerprint is not checked).

    Raises:
        PromptError: broken file, another backbone, or tensors that do not fit the card.
    """
    tensors, card = files.read(folder)
    theirs, ours = card.backbone, backbone.card
    if theirs.fingerprint != ours.fingerprint and not any_backbone:
        raise PromptError(
            f"{folder}: backbone",
            f"{ours.name} ({ours.fingerprint})",
            f"{theirs.name} ({theirs.fingerprint}), which the prompt was trained on",
            "load that backbone, or pass any_backbone=True to try this one",
        )
    shapes = _shapes(card, backbone, str(folder))
    blocks: dict[str, nn.Module] = {}
    for shape in shapes:
        blocks[shape.name] = Direct(_flat(shape, tensors, card.length, str(folder)))
    head = _head(card, tensors, backbone, str(folder)) if card.head is not None else None
    weights = _weights(card, tensors, backbone.frozen_tensors() if card.weights else {}, str(folder))
    inserts = _inserts(card, tensors, backbone, str(folder))
    if tensors:
        raise PromptError(
            f"{folder}: tensors",
            f"'{next(iter(tensors))}', which the card does not name",
            "the tensors of the card alone",
        )
    # For use, like a loaded model: a head keeps its dropout for further training.
    return Prompt(card, shapes, blocks, head=head, weights=weights, inserts=inserts).eval()


def _rows(shape: Shape | VisualShape, length: int) -> int:
    """Flat vectors of a block."""
    own = getattr(shape, "rows", None)
    return length if own is None else own


def _shapes(card: PromptCard, backbone: Observable, where: str) -> Sequence[Shape | VisualShape]:
    if card.placement == "image":
        facts = backbone.pictures
        if facts is None:
            raise PromptError(
                f"{where}: placement",
                "a prompt for pictures",
                "a prompt for texts, or a backbone that reads pictures",
            )
        missing = [layer for layer in card.layers if layer >= len(facts.tokens)]
        if missing:
            raise PromptError(f"{where}: layers", f"layer {missing[0]}", f"layers of {backbone.card.name}")
        location = card.location or "prepend"
        return visual_shapes(facts, location, card.layers, card.length, card.depth == "shallow")
    if card.placement == "slot_embeddings":
        return [SlotShape(backbone.hidden)]
    shapes: list[Shape] = []
    for site, layers in card.sites.items():
        if not any(site == there for there, _ in backbone.attentions):
            raise PromptError(f"{where}: sites", site, f"a site of {backbone.card.name}")
        shapes += key_value_shapes(backbone.attentions, [site], layers)
    return shapes


def _flat(shape: Shape | VisualShape, tensors: dict[str, Tensor], length: int, where: str) -> Tensor:
    if not isinstance(shape, KeyValueShape | SlotShape):
        sizes = shape.sizes(length)
        return shape.flatten({name: _take(tensors, name, size, where) for name, size in sizes.items()})
    if isinstance(shape, SlotShape):
        return _take(tensors, shape.name, (length, shape.hidden), where)
    a, n = shape.attention, len(shape.layers)
    keys = _take(tensors, f"{shape.name}.keys", (n, a.kv_heads, length, a.key_dim), where)
    values = _take(tensors, f"{shape.name}.values", (n, a.kv_heads, length, a.value_dim), where)
    return shape.flatten(KeyValues(shape.site, shape.layers, keys, values))


def _head(card: PromptCard, tensors: dict[str, Tensor], backbone: Observable, where: str) -> Head:
    assert card.head is not None
    head = empty_head(card.head, backbone)
    state = {
        name: _take(tensors, f"head.{name}", tuple(empty.shape), where)
        for name, empty in head.named_parameters()
    }
    head.load_state_dict(state)
    return head


def _weights(
    card: PromptCard, tensors: dict[str, Tensor], frozen: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    for name in card.weights:
        if name not in frozen:
            raise PromptError(f"{where}: weights", f"'{name}'", f"tensors that {card.backbone.name} has")
    return {
        name: _take(tensors, f"weights.{name}", tuple(frozen[name].shape), where) for name in card.weights
    }


def _inserts(
    card: PromptCard, tensors: dict[str, Tensor], backbone: Observable, where: str
) -> Sequence[nn.Module]:
    if card.inserts is None:
        return ()
    sizes = {name: size for layer in backbone.layers for name, size in layer.sizes.items()}
    for name in card.inserts.modules:
        if name not in sizes:
            raise PromptError(f"{where}: inserts", f"'{name}'", f"linear layers of {card.backbone.name}")
    inserts = make_inserts(card.inserts, sizes, None)
    with torch.no_grad():
        for place, insert in zip(card.inserts.modules, inserts, strict=True):
            for name, empty in insert.stored().items():
                empty.copy_(_take(tensors, f"inserts.{place}.{name}", tuple(empty.shape), where))
    return inserts


def _take(tensors: dict[str, Tensor], name: str, expected: tuple[int, ...], where: str) -> Tensor:
    if name not in tensors:
        raise PromptError(f"{where}: {name}", "no such tensor", f"a tensor of shape {list(expected)}")
    tensor = tensors.pop(name)
    if tuple(tensor.shape) != expected:
        raise PromptError(f"{where}: {name}", f"shape {list(tensor.shape)}", f"shape {list(expected)}")
    if not torch.isfinite(tensor).all():
        raise PromptError(f"{where}: {name}", "numbers that are not finite", "a trained prompt")
    return tensor.float()


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("softprompt", "torch", "transformers", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            continue
    return found
