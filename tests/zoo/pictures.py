"""A picture for every family that reads one beside a text: pixels in its own form, and the words that stand
for it."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from zoo.configurations import IMAGE, SIDE, VOCAB

_ENDS = ("vision_start_token_id", "image_start_token_id", "boi_token_id", "boi_token_index")


@dataclass(frozen=True)
class Row:
    """A text, with a picture or without one.

    Args:
        ids: `[seq]`.
        pixels: the keywords of its picture, each with an axis of pictures in front; empty without one.
        n_written: how many words at its end the model itself has written.
    """

    ids: Tensor
    pixels: dict[str, Tensor]
    n_written: int = 0


def rows_with_pictures(model: PreTrainedModel) -> list[Row]:
    """Three texts of different lengths, each with another picture among its words.

    Raises:
        ValueError: no known form of pixels fits the model.
    """
    generator = torch.Generator().manual_seed(5)
    reasons = []
    for form in _forms(model):
        rows = []
        try:
            for before, after in ((2, 5), (1, 3), (3, 4)):
                pixels = {name: _filled(tensor, generator) for name, tensor in form.items()}
                n_words = _n_words(model, pixels)
                words = torch.randint(6, IMAGE, (before + after,), generator=generator)
                first, last = _around(model)
                place = [*words[:before], *first, *[IMAGE] * n_words, *last, *words[before:]]
                rows.append(Row(torch.tensor([int(word) for word in place]), pixels))
            with torch.no_grad():
                one = model(**given(model, rows[:1])).logits
                other = model(**given(model, [Row(rows[0].ids, rows[1].pixels)])).logits
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {' '.join(str(error).split())[:60]}")
            continue
        if torch.allclose(one, other, atol=1e-4):
            reasons.append("its logits do not depend on the picture")
            continue
        return rows
    raise ValueError(reasons[0] if reasons else "no features of pictures")


def rows_of_text() -> list[Row]:
    """Three texts of different lengths without a picture."""
    generator = torch.Generator().manual_seed(3)
    return [Row(torch.randint(6, IMAGE, (length,), generator=generator), {}) for length in (9, 4, 7)]


def given(model: PreTrainedModel, rows: list[Row], side: str = "right", in_front: int = 0) -> dict[str, Any]:
    """The keywords of a call with these rows, padded on a side, behind so many words for soft tokens."""
    width = max(len(row.ids) for row in rows) + in_front
    ids, mask = torch.zeros(2, len(rows), width, dtype=torch.long)
    for row, span in enumerate(spans(rows, side, in_front)):
        ids[row, span], mask[row, span] = rows[row].ids, 1
        mask[row, span.start - in_front : span.start] = 1
    call: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    for name in rows[0].pixels:
        call[name] = torch.cat([row.pixels[name] for row in rows])
    if takes(model, "mm_token_type_ids"):
        call["mm_token_type_ids"] = (ids == IMAGE).long()
    if takes(model, "token_type_ids") and model.config.model_type not in _PREFIX_TYPES:
        call["token_type_ids"] = (ids == IMAGE).long()
    elif takes(model, "token_type_ids"):
        call["token_type_ids"] = torch.zeros_like(ids)
        for row, span in enumerate(spans(rows, side, in_front)):
            call["token_type_ids"][row, span.stop - rows[row].n_written : span.stop] = 1
    return call


def spans(rows: list[Row], side: str = "right", in_front: int = 0) -> list[slice]:
    """Where each row's own words stand."""
    width = max(len(row.ids) for row in rows) + in_front
    return [
        slice(in_front, in_front + len(row.ids)) if side == "right" else slice(width - len(row.ids), width)
        for row in rows
    ]


def takes(model: PreTrainedModel, name: str) -> bool:
    """Whether a call of the model may have this keyword."""
    return any(name in inspect.signature(m.forward).parameters for m in (model, model.base_model))


_PREFIX_TYPES = ("paligemma",)
"""Model types whose token types tell a prompt, which is read both ways, from what is generated."""


def _filled(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator) if like.is_floating_point() else like


def _n_words(model: PreTrainedModel, pixels: dict[str, Tensor]) -> int:
    owner: Any = model if hasattr(model, "get_image_features") else model.base_model
    with torch.no_grad():
        features = owner.get_image_features(**pixels)
    return _n_vectors(getattr(features, "pooler_output", features))


def _n_vectors(features: Any) -> int:
    if isinstance(features, Tensor):
        return features.numel() // features.shape[-1]
    return sum(map(_n_vectors, features))


def _around(model: PreTrainedModel) -> tuple[list[int], list[int]]:
    named = [name for name in _ENDS if isinstance(getattr(model.config, name, None), int)]
    if not named:
        return [], []
    last = named[0].replace("start", "end").replace("boi", "eoi")
    return [getattr(model.config, named[0])], [getattr(model.config, last)]


def _forms(model: PreTrainedModel) -> Iterator[dict[str, Tensor]]:
    """Pixels of one picture in the forms that families have."""
    owner = model if hasattr(model, "get_image_features") else model.base_model
    if not hasattr(owner, "get_image_features"):
        return
    known = set(inspect.signature(owner.get_image_features).parameters)
    vision: Any = getattr(model.config, "vision_config", None) or model.config
    patch = _number(vision, "patch_size", 14)
    if "args" in known or "target_sizes" in known:
        side = SIDE // patch
        yield {
            "pixel_values": torch.zeros(1, 3, patch, side * side * patch),
            "target_sizes": torch.tensor([[side, side]]),
        }
    if "image_grid_thw" in known:
        side = 2 * _number(vision, "spatial_merge_size", _number(vision, "merge_size", 1))
        grid = {"image_grid_thw": torch.tensor([[1, side, side]])}
        frames = _number(vision, "temporal_patch_size", 1)
        yield {"pixel_values": torch.zeros(side * side, 3 * frames * patch * patch), **grid}
        yield {"pixel_values": torch.zeros(side * side, 3 * patch * patch), **grid}
        yield {"pixel_values": torch.zeros(side * side, 3, patch, patch), **grid}
        yield {"pixel_values": torch.zeros(1, side * side, 3, patch, patch), **grid}
        merged = {"image_merge_sizes": torch.tensor([_number(vision, "spatial_merge_size", 1)])}
        yield {"pixel_values": torch.zeros(side * side, 3 * patch * patch), **grid, **merged}
    if "spatial_shapes" in known:
        side = 2 * _number(model.config, "downsample_factor", 1)
        shape = {"spatial_shapes": torch.tensor([[side, side]])}
        seen = {"pixel_attention_mask": torch.ones(1, side * side, dtype=torch.long)}
        yield {"pixel_values": torch.zeros(1, side * side, 3 * patch * patch), **shape, **seen}
    if "image_position_ids" in known:
        side = 2 * _number(vision, "pooling_kernel_size", 1)
        at = torch.cartesian_prod(torch.arange(side), torch.arange(side))[None]
        yield {"pixel_values": torch.rand(1, side * side, 3 * patch * patch), "image_position_ids": at}
    if "pixel_attention_mask" in known:
        seen = {"pixel_attention_mask": torch.ones(1, 1, dtype=torch.bool)}
        yield {"pixel_values": torch.zeros(1, 1, 3, SIDE, SIDE), **seen}
    size = {"image_sizes": torch.tensor([[SIDE, SIDE]])} if "image_sizes" in known else {}
    yield {"pixel_values": torch.zeros(1, 3, SIDE, SIDE), **size}
    yield {"pixel_values": torch.zeros(1, 1, 3, SIDE, SIDE), **size}
    yield {"pixel_values": torch.zeros(1, 2, 3, SIDE, SIDE), **size}


def _number(config: Any, name: str, otherwise: int) -> int:
    value = getattr(config, name, None)
    value = value[0] if isinstance(value, list | tuple) else value
    return value if isinstance(value, int) else otherwise


assert IMAGE < VOCAB
