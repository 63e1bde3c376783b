"""What a model that reads pictures takes, and how it is told."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.dispatch import replaced
from softprompt.backbones.inspection.families import FITS_ANY_SIZE
from softprompt.errors import BackboneError


def reads_pictures(model: PreTrainedModel) -> bool:
    """Whether a model's input is pixels."""
    return model.base_model.main_input_name == "pixel_values"


def patch_conv(model: PreTrainedModel) -> nn.Conv2d:
    """The convolution that turns patches into tokens.

    Raises:
        BackboneError: there is none, or its patches overlap.
    """
    conv = next((m for m in model.base_model.modules() if isinstance(m, nn.Conv2d)), None)
    if conv is None or conv.kernel_size != conv.stride or len(set(conv.kernel_size)) > 1:
        raise BackboneError(
            "backbone",
            f"{model.config.model_type}, which cuts no square patches side by side",
            "ViT, DeiT, DINOv2, BEiT, MAE, CLIP, SigLIP or Swin",
        )
    return conv


def final_norms(model: PreTrainedModel) -> set[nn.Module]:
    """The norms behind the last layer of a model that reads pictures."""
    children = model.base_model.named_children()
    # CLIP has one before its layers too.
    return {m for name, m in children if isinstance(m, nn.LayerNorm) and not name.startswith("pre")}


def unread_modules(model: PreTrainedModel) -> set[nn.Module]:
    """What a model that reads pictures has behind its last states: poolers and classifiers."""
    behind = set(model.modules()) - set(model.base_model.modules())
    for name in ("pooler", "head"):  # SigLIP's pooler is its head
        pooler = getattr(model.base_model, name, None)
        behind |= set(pooler.modules()) if isinstance(pooler, nn.Module) else set()
    return behind


def native_size(model: PreTrainedModel) -> tuple[int, int]:
    """Height and width of the pictures that a model was made for, in pixels."""
    side = model.config.image_size
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def size_options(model: PreTrainedModel, size: tuple[int, int]) -> dict[str, Any]:
    """What a model must be told to read pictures of another size than its own."""
    if size == native_size(model) or model.config.model_type in FITS_ANY_SIZE:
        return {}
    known = inspect.signature(model.base_model.forward).parameters
    return {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in known else {}


@contextmanager
def unmasked(model: nn.Module) -> Iterator[None]:
    """Within this context MAE's encoder reads all patches in their order, as everyone uses it."""
    maskers = [m for m in model.modules() if callable(getattr(type(m), "random_masking", None))]
    with ExitStack() as stack:
        for module in maskers:
            stack.enter_context(replaced(module, "random_masking", _keep_all))
        yield


def _keep_all(sequence: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, _ = sequence.shape
    order = torch.arange(length, device=sequence.device).expand(batch, -1)
    return sequence, torch.zeros(batch, length, device=sequence.device), order
