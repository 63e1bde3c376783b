"""The inputs of a model that reads pictures, and its modules before and after the layers."""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.dispatch import replaced
from softprompt.backbones.inspection.families import (
    CHANNELS,
    FITS_ANY_SIZE,
    NORM_BEFORE_LAYERS,
    PATCH_MASKING,
    PICTURE_PARTS,
    VISION_POOLERS,
)


def reads_pictures(model: PreTrainedModel) -> bool:
    """Whether a model's input is pixels alone; one that writes reads a text too."""
    return picture_module(model).main_input_name == "pixel_values" and not model.can_generate()


def has_pictures(model: PreTrainedModel) -> bool:
    """Whether a model that reads texts has a part that reads pictures."""
    return any(getattr(model.config, name, None) is not None for name in PICTURE_PARTS)


def picture_module(model: PreTrainedModel) -> PreTrainedModel:
    """The module that takes pixels and returns the last states, below any classifier.

    That is the base model, except where a family's prefix names a part behind the embeddings (DINOv3's).
    """
    base: Any = model.base_model
    if getattr(base, "main_input_name", model.main_input_name) != "pixel_values" or _takes_pixels(base):
        return base
    inner = (m for m in model.modules() if isinstance(m, PreTrainedModel) and _takes_pixels(m))
    return next((module for module in inner if module is not model), model)


def _takes_pixels(module: nn.Module) -> bool:
    return "pixel_values" in inspect.signature(module.forward).parameters


def n_channels(model: PreTrainedModel) -> int:
    """Channels of the pictures that a model reads."""
    for name in CHANNELS:
        count = getattr(model.config, name, None)
        if isinstance(count, int) and count > 0:
            return count
    conv = next((m for m in picture_module(model).modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if conv is None else conv.in_channels


def first_weight(model: PreTrainedModel) -> Tensor:
    """A weight whose device and precision are those of the pixels that the model computes with."""
    modules = list(picture_module(model).modules())
    convs = (m.weight for m in modules if isinstance(m, nn.Conv2d) and m.weight.is_floating_point())
    return next(convs, next(p for m in modules for p in m.parameters(False) if p.is_floating_point()))


def noise_pictures(model: PreTrainedModel, size: tuple[int, int], n: int = 1, seed: int = 0) -> Tensor:
    """Pictures of noise, `[picture, channel, height, width]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_channels(model), *size, generator=generator).to(first_weight(model))


def reads_patches(model: PreTrainedModel) -> bool:
    """Whether a model takes flattened patches with a mask and the numbers of rows and columns (SigLIP 2)."""
    return "spatial_shapes" in inspect.signature(picture_module(model).forward).parameters


def picture_inputs(model: PreTrainedModel, pixels: Tensor) -> dict[str, Tensor]:
    """The tensors with which a model reads pictures.

    Args:
        model: the model.
        pixels: `[picture, channel, height, width]`, or flattened patches, `[picture, patch, number]`, which
            are given on as they are.
    """
    if not reads_patches(model) or pixels.ndim != 4:
        return {"pixel_values": pixels}
    side = model.config.patch_size
    cut = pixels.unflatten(2, (-1, side)).unflatten(4, (-1, side))  # [picture, channel, row, y, column, x]
    rows, columns = cut.shape[2], cut.shape[4]
    patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    n = len(pixels)
    return {
        "pixel_values": patches,
        "pixel_attention_mask": pixels.new_ones(n, rows * columns, dtype=torch.long),
        "spatial_shapes": torch.tensor([[rows, columns]], device=pixels.device).expand(n, -1),
    }


def final_norms(model: PreTrainedModel) -> set[nn.Module]:
    """The norms after the last layer of a model that reads pictures."""
    children = picture_module(model).named_children()
    return {
        module
        for name, module in children
        if isinstance(module, nn.LayerNorm) and not name.startswith(NORM_BEFORE_LAYERS)
    }


def unread_modules(model: PreTrainedModel) -> set[nn.Module]:
    """The modules of a model that reads pictures after its last states: poolers and classifiers."""
    base = picture_module(model)
    after = set(model.modules()) - set(base.modules())
    for name in VISION_POOLERS:
        pooler = getattr(base, name, None)
        after |= set(pooler.modules()) if isinstance(pooler, nn.Module) else set()
    return after


def native_size(model: PreTrainedModel) -> tuple[int, int]:
    """Height and width of the pictures that a model was made for, in pixels; 224 where it does not say."""
    side = getattr(model.config, "image_size", None)
    if reads_patches(model):
        side = math.isqrt(model.config.num_patches) * model.config.patch_size
    if isinstance(side, int):
        return (side, side)
    return (224, 224) if not side else (side[0], side[1])


def size_options(model: PreTrainedModel, size: tuple[int, int]) -> dict[str, Any]:
    """The keywords with which a model reads pictures of another size than its own."""
    if size == native_size(model) or model.config.model_type in FITS_ANY_SIZE:
        return {}
    known = inspect.signature(picture_module(model).forward).parameters
    return {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in known else {}


def patch_conv(entered: Mapping[nn.Module, Tensor], channels: int, size: tuple[int, int]) -> nn.Conv2d | None:
    """The convolution that cuts square patches side by side out of the pixels, or None.

    Args:
        entered: by module, the first tensor that entered it in a pass over one picture.
        channels: of the picture.
        size: its height and width in pixels.
    """
    for module, tensor in entered.items():
        if isinstance(module, nn.Conv2d) and tensor.shape[1:] == (channels, *size):
            side, _ = module.kernel_size
            plain = module.kernel_size == module.stride == (side, side) and module.groups == 1
            return module if plain and module.padding in ((0, 0), "valid") and side > 1 else None
    return None


def patch_side(model: PreTrainedModel) -> int:
    """Side of the patches in pixels, of which a picture's sides must be multiples; 1 where there are none."""
    conv = next((m for m in picture_module(model).modules() if isinstance(m, nn.Conv2d)), None)
    if conv is not None and conv.kernel_size == conv.stride:
        return conv.kernel_size[0]
    return model.config.patch_size if reads_patches(model) else 1


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
