"""The inputs of a model that reads pictures, and its modules before and after the layers."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.dispatch import replaced
from softprompt.backbones.inspection.families import (
    FITS_ANY_SIZE,
    NORM_BEFORE_LAYERS,
    PATCH_MASKING,
    PICTURE_PARTS,
    VISION_FAMILIES,
    VISION_POOLERS,
)
from softprompt.errors import BackboneError


def reads_pictures(model: PreTrainedModel) -> bool:
    """Whether a model's input is pixels alone; one that writes reads a text too."""
    return model.base_model.main_input_name == "pixel_values" and not model.can_generate()


def has_pictures(model: PreTrainedModel) -> bool:
    """Whether a model that reads texts has a part that reads pictures."""
    return any(getattr(model.config, name, None) is not None for name in PICTURE_PARTS)


def patch_conv(model: PreTrainedModel) -> nn.Conv2d:
    """The convolution that turns patches into tokens.

    Raises:
        BackboneError: no such convolution, or one whose patches overlap.
    """
    conv = next((m for m in model.base_model.modules() if isinstance(m, nn.Conv2d)), None)
    if conv is None or conv.kernel_size != conv.stride or len(set(conv.kernel_size)) > 1:
        raise BackboneError(
            "backbone",
            f"{model.config.model_type}, which cuts no square patches side by side",
            VISION_FAMILIES,
        )
    return conv


def final_norms(model: PreTrainedModel) -> set[nn.Module]:
    """The norms after the last layer of a model that reads pictures."""
    children = model.base_model.named_children()
    return {
        module
        for name, module in children
        if isinstance(module, nn.LayerNorm) and not name.startswith(NORM_BEFORE_LAYERS)
    }


def unread_modules(model: PreTrainedModel) -> set[nn.Module]:
    """The modules of a model that reads pictures after its last states: poolers and classifiers."""
    after = set(model.modules()) - set(model.base_model.modules())
    for name in VISION_POOLERS:
        pooler = getattr(model.base_model, name, None)
        after |= set(pooler.modules()) if isinstance(pooler, nn.Module) else set()
    return after


def native_size(model: PreTrainedModel) -> tuple[int, int]:
    """Height and width of the pictures that a model was made for, in pixels."""
    side = model.config.image_size
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def size_options(model: PreTrainedModel, size: tuple[int, int]) -> dict[str, Any]:
    """The keywords with which a model reads pictures of another size than its own."""
    if size == native_size(model) or model.config.model_type in FITS_ANY_SIZE:
        return {}
    known = inspect.signature(model.base_model.forward).parameters
    return {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in known else {}


@contextmanager
def unmasked(model: nn.Module) -> Iterator[None]:
    """Within this context MAE's encoder reads all patches, in order, as for every use but its pretraining."""
    maskers = [m for m in model.modules() if callable(getattr(type(m), PATCH_MASKING, None))]
    with ExitStack() as stack:
        for module in maskers:
            stack.enter_context(replaced(module, PATCH_MASKING, _keep_all))
        yield


def _keep_all(sequence: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, _ = sequence.shape
    order = torch.arange(length, device=sequence.device).expand(batch, -1)
    return sequence, torch.zeros(batch, length, device=sequence.device), order
