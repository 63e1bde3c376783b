"""Loading a backbone: a bundled one, a checkpoint from a folder or the hub, or a live model."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.image_transform import ImageTransform
from softprompt.backbones.inspection import (
    has_pictures,
    n_channels,
    native_size,
    patch_side,
    reads_pictures,
)
from softprompt.backbones.loading import (
    BUNDLED,
    check_weights,
    has_two_towers,
    is_quantised,
    pull_bundled,
    read_config,
    read_model,
    read_processor,
    read_text_processor,
    read_tokenizer,
)
from softprompt.errors import BackboneError, first_line, with_article


def load_backbone(
    name_or_path_or_model: str | Path | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    *,
    attention: str | None = None,
    processor: Any = None,
    image_size: int | None = None,
    shard: bool = False,
) -> Backbone:
    """A frozen backbone.

    Args:
        name_or_path_or_model: a bundled name (`softprompt backbones list`), a folder with a transformers
            checkpoint, a hub id, or a live transformers model, which is frozen in place. Of a model with two
            towers (CLIP, SigLIP) the one that reads pictures is taken.
        tokenizer: for a live model; otherwise the default is the one beside the weights.
        dtype: precision of the frozen weights, e.g. `bfloat16`; None keeps that of the files (or of the live
            model), except that half precision becomes float32 on a processor without fast arithmetic for it
            (where it would be 5 to 20 times slower).
        device: a torch device; None takes CUDA or MPS where available (a live model stays where it is).
        attention: `sdpa` or `eager`; None keeps the model's default.
        processor: for a model that reads pictures: transformers' image processor, or its settings as a
            mapping; for one that reads texts with pictures in them: transformers' processor of both; None
            takes the one beside the weights.
        image_size: height and width in pixels at which the model reads pictures, a multiple of its patch
            size; None takes the processor's. A smaller size means fewer tokens; the model interpolates its
            position embeddings.
        shard: share the layers out over the processes of `torch.distributed`, which must then run the same
            passes in the same order. Each process first loads the whole model into main memory.

    Raises:
        BackboneError: a model that cannot be found, read or used.
    """
    if device is not None:
        check_device(device)
    source = name_or_path_or_model
    if isinstance(source, PreTrainedModel):
        name = source.config.name_or_path or type(source).__name__
        model = _prepared(source, dtype, device, attention, shard)
        target = model.device if device is None else device
    elif isinstance(source, str | Path):
        name = str(source)
        folder = str(pull_bundled(name)) if name in BUNDLED else name
        target = device or _best_device()
        model = read_model(name, folder, "auto" if dtype is None else _dtype(dtype), attention)
        if reads_pictures(model):
            processor = processor or read_processor(folder)
        elif has_pictures(model):
            processor = processor or read_text_processor(folder)
            tokenizer = tokenizer or getattr(processor, "tokenizer", None) or read_tokenizer(name, folder)
        else:
            tokenizer = tokenizer or read_tokenizer(name, folder)
        model = _placed(model, dtype, target, shard)
    else:
        raise BackboneError(
            "load_backbone",
            with_article(type(source).__name__),
            "a bundled name, a checkpoint folder, a hub id or a live transformers model",
            "pass the model inside the wrapper (DataParallel's `.module`, PEFT's `.base_model.model`)",
        )
    beside_texts = not reads_pictures(model) and has_pictures(model)
    if beside_texts and tokenizer is None:
        tokenizer = getattr(processor, "tokenizer", None)
    pixels = None if beside_texts else _image_transform(processor)
    if pixels is not None and reads_pictures(model):
        pixels = pixels.for_channels(n_channels(model))
    if image_size is None:
        backbone = Backbone(model, tokenizer, name, pixels, processor if beside_texts else None)
    else:
        backbone = _at_size(model, tokenizer, name, pixels, image_size)
    if shard:
        backbone.shard(target)
    return backbone


def check_found(name: str) -> None:
    """Find a backbone without reading its weights; a bundled one is fetched where it is not here yet.

    Raises:
        BackboneError: no such checkpoint, or one whose config cannot be read.
    """
    read_config(name, str(pull_bundled(name)) if name in BUNDLED else name)


def _prepared(
    model: PreTrainedModel,
    dtype: str | torch.dtype | None,
    device: str | torch.device | None,
    attention: str | None,
    shard: bool,
) -> Any:
    """A live model, cast and, unless it is sharded, moved as asked."""
    if has_two_towers(model.config) and not model.can_generate():
        model = getattr(model, "vision_model", model)
    check_weights(model, dtype, device)
    if attention is not None:
        model.set_attn_implementation(attention)
    if dtype is not None:
        model.to(_dtype(dtype))  # type: ignore[arg-type]
    return model if device is None or shard else model.to(device)  # type: ignore[arg-type]


def _placed(model: Any, dtype: str | torch.dtype | None, device: str | torch.device, shard: bool) -> Any:
    """A model from files, in a precision that its device computes fast; moved there unless it is sharded."""
    check_weights(model, None, None)
    if is_quantised(model):  # quantised in the files: transformers has placed it
        return model
    on_cpu = torch.device(device).type == "cpu"
    if dtype is None and on_cpu and model.dtype != torch.float32 and not fast_bf16():
        model = model.float()
    return model if shard else model.to(device)


def _at_size(
    model: Any, tokenizer: Any, name: str, pixels: ImageTransform | None, image_size: int
) -> Backbone:
    """A backbone that reads pictures of another size than its processor makes."""
    if not reads_pictures(model):
        raise BackboneError(
            "backbone.image_size", f"{image_size} for {name}, which reads texts", "no image_size"
        )
    if pixels is None:
        hint = "pass processor=... to load_backbone"
        raise BackboneError("backbone.image_size", f"{image_size} without a processor", "a processor", hint)
    patch, native = patch_side(model), native_size(model)
    if image_size % patch:
        expected = f"a multiple of {patch}, the side of its patches"
        raise BackboneError("backbone.image_size", f"{image_size} for {name}", expected)
    try:
        return Backbone(model, tokenizer, name, pixels.at(image_size))
    except (ValueError, RuntimeError, BackboneError) as error:  # positions or windows that fit one size only
        cause = error.__cause__ if isinstance(error, BackboneError) else error
        if not isinstance(cause, ValueError | RuntimeError):
            raise
        reason = " ".join(str(cause).split())
        expected = f"{native[0]}, which it was made for, or another size that it takes"
        raise BackboneError("backbone.image_size", f"{image_size} for {name} ({reason})", expected) from None


def fast_bf16() -> bool:
    """Whether this processor multiplies bfloat16 matrices at least about as fast as float32 ones."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # builds without oneDNN
        return False


def _image_transform(processor: Any) -> ImageTransform | None:
    if processor is None or isinstance(processor, ImageTransform):
        return processor
    return ImageTransform.of(getattr(processor, "image_processor", processor))


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    resolved = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(resolved, torch.dtype):
        raise BackboneError("backbone.dtype", repr(dtype), "'float32', 'bfloat16' or 'float16'")
    return resolved


def check_device(device: str | torch.device) -> None:
    """Raises BackboneError for a device that torch does not know, or that is not there."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # which of them depends on the device
        got = f"{str(device)!r}, which cannot be used here ({first_line(error)})"
        expected = f"a torch device of this machine, e.g. '{_best_device()}'"
        raise BackboneError("backbone.device", got, expected, "leave it out for the best one") from error


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
