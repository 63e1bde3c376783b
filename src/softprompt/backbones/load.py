"""Getting a backbone: bundled, from a folder, from the hub, or a live model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
)

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.image_transform import ImageTransform
from softprompt.backbones.inspection import native_size, patch_conv, reads_pictures
from softprompt.backbones.loading import (
    BUNDLED,
    bundled_folder,
    check_held,
    is_packed,
    pull_bundled,
    without_bars,
)
from softprompt.errors import BackboneError, first_line, nearest, with_article


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
            checkpoint, a hub id, or a live transformers model, which is frozen in place.
        tokenizer: for a live model; otherwise the one beside the weights.
        dtype: precision of the frozen weights, e.g. `bfloat16`; None keeps what the files (or the live
            model) hold, except that half precision becomes float32 on a processor that has no fast
            arithmetic for it (there it is 5 to 20 times slower).
        device: a torch device; None takes CUDA or MPS where there is one (a live model stays).
        attention: `sdpa` or `eager`; None keeps the model's default.
        processor: for a model that reads pictures: transformers' image processor, or its settings as a
            mapping; None takes what lies beside the weights. Of a model with two towers (CLIP, SigLIP) the
            one that reads pictures is taken.
        image_size: height and width in pixels at which it reads pictures, a multiple of its patches; None is
            what the processor says. Fewer pixels are fewer tokens; the model fits its positions to them.
        shard: share the layers out over the processes of `torch.distributed`, which then must run the same
            passes in the same order. Each loads everything into the processor's memory first.

    Raises:
        BackboneError: it cannot be found, read or used.
    """
    if isinstance(name_or_path_or_model, PreTrainedModel):
        model = name_or_path_or_model
        name = model.config.name_or_path or type(model).__name__
        model = getattr(model, "vision_model", model) if _two_towers(model.config) else model
        check_held(model, dtype, device)
        if attention is not None:
            model.set_attn_implementation(attention)
        if dtype is not None:
            model.to(_dtype(dtype))  # type: ignore[arg-type]
        where = model.device if device is None else device
        model = model if device is None or shard else model.to(device)  # type: ignore[arg-type]
        return _ready(_frozen(model, tokenizer, name, _form(processor), image_size), where, shard)
    if not isinstance(name_or_path_or_model, str | Path):
        raise BackboneError(
            "load_backbone",
            with_article(type(name_or_path_or_model).__name__),
            "a bundled name, a checkpoint folder, a hub id or a live transformers model",
            "pass the model that it holds (DataParallel's `.module`, PEFT's `.base_model.model`)",
        )
    name = str(name_or_path_or_model)
    source = _source(name)
    device = device or _best_device()
    options: dict[str, Any] = {"dtype": "auto" if dtype is None else _dtype(dtype)}
    if attention is not None:
        options["attn_implementation"] = attention
    try:
        config = AutoConfig.from_pretrained(source)
        with without_bars():
            if _two_towers(config):
                config = config.vision_config
                tower: Any = MODEL_MAPPING[type(config)]
            else:
                tower = _kind(config)
            model, told = tower.from_pretrained(source, config=config, output_loading_info=True, **options)
    except torch.OutOfMemoryError:
        raise  # the name is known; torch says how much was missing
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(name, error) from error
    _check_whole(name, told["missing_keys"])
    if reads_pictures(model):
        processor = processor or _processor(source)
    else:
        tokenizer = tokenizer or _tokenizer(name, source)
    check_held(model, None, None)
    if not any(map(is_packed, model.parameters())):  # a checkpoint that was saved quantised stays as it is
        on_cpu = torch.device(device).type == "cpu"
        if dtype is None and on_cpu and model.dtype != torch.float32 and not fast_bf16():
            model = model.float()
        model = model if shard else model.to(device)
    return _ready(_frozen(model, tokenizer, name, _form(processor), image_size), device, shard)


def _ready(backbone: Backbone, device: str | torch.device, shard: bool) -> Backbone:
    """The backbone, its layers shared out where that is asked for; it was described whole."""
    if shard:
        backbone.shard(device)
    return backbone


def _frozen(
    model: Any, tokenizer: Any, name: str, form: ImageTransform | None, image_size: int | None
) -> Backbone:
    """The backbone, which reads pictures of this size where one is asked for."""
    if image_size is None:
        return Backbone(model, tokenizer, name, form)
    if not reads_pictures(model):
        raise BackboneError(
            "backbone.image_size", f"{image_size} for {name}, which reads texts", "no image_size"
        )
    if form is None:
        do = "pass processor=... to load_backbone"
        raise BackboneError("backbone.image_size", f"{image_size} without a processor", "a processor", do)
    patch, own = patch_conv(model).kernel_size[0], native_size(model)
    if image_size % patch:
        near = f"a multiple of {patch}, the side of its patches"
        raise BackboneError("backbone.image_size", f"{image_size} for {name}", near)
    try:
        return Backbone(model, tokenizer, name, form.at(image_size))
    except (ValueError, RuntimeError, BackboneError) as error:  # where positions or windows are not fitted
        cause = error.__cause__ if isinstance(error, BackboneError) else error
        if not isinstance(cause, ValueError | RuntimeError):
            raise
        said = " ".join(str(cause).split())
        expected = f"{own[0]}, which it was made for, or another size that it takes"
        raise BackboneError("backbone.image_size", f"{image_size} for {name} ({said})", expected) from None


def fast_bf16() -> bool:
    """Whether this processor computes bfloat16 matrices about as fast as float32 ones, or faster."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # builds without oneDNN
        return False


def _unreadable(name: str, error: Exception) -> BackboneError:
    """The error of a backbone that is not there, or that cannot be read."""
    if name in BUNDLED or (Path(name).expanduser() / "config.json").exists():
        return BackboneError(
            "backbone.name",
            f"'{name}', which is there and cannot be read ({first_line(error)})",
            "weights that are whole and fit the config.json beside them",
            "fetch the checkpoint again, or correct its config.json",
        )
    return BackboneError(
        "backbone.name",
        f"'{name}' ({first_line(error)})",
        f"a bundled name ({', '.join(BUNDLED)}), a checkpoint folder, or a hub id",
        nearest(name, BUNDLED),
    )


def _check_whole(name: str, missing: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks weights: in their place transformers puts random ones.

    A pooler and a masked patch's embedding are often left out of files; no pass that is asked for here
    reads them.
    """
    lacks = sorted(key for key in missing if not {"pooler", "mask_token"} & set(key.split(".")))
    if lacks:
        raise BackboneError(
            "backbone.name",
            f"'{name}', whose files lack {len(lacks)} of its tensors (the first is {lacks[0]})",
            "weights that are whole and fit the config.json beside them",
            "fetch the checkpoint again, or correct the architectures in its config.json",
        )


def _tokenizer(name: str, source: str) -> Any:
    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackboneError(
            "backbone.name",
            f"'{name}' without a tokenizer that can be read ({first_line(error).rstrip(' :')})",
            "a tokenizer beside the weights",
            "put its files there, or pass tokenizer=... to load_backbone",
        ) from error


def _source(name: str) -> str:
    if name in BUNDLED:
        return str(bundled_folder(name) or pull_bundled(name))
    return name


def _two_towers(config: PreTrainedConfig) -> bool:
    """Whether a model reads pictures and texts side by side, each with a tower of its own."""
    return (
        all(hasattr(config, f"{kind}_config") for kind in ("vision", "text"))
        and type(config) in MODEL_MAPPING
    )


def _processor(source: str) -> Any:
    """The image processor beside the weights; None where there is none, since pixels can do without."""
    try:
        return AutoImageProcessor.from_pretrained(source, backend="pil")
    except OSError:
        return None


def _form(processor: Any) -> ImageTransform | None:
    if processor is None or isinstance(processor, ImageTransform):
        return processor
    return ImageTransform.of(getattr(processor, "image_processor", processor))


def _kind(config: Any) -> Any:
    if config.is_encoder_decoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return AutoModelForSeq2SeqLM
    # Encoders such as BERT are in the causal table too; only a decoder by design is one here.
    declared = getattr(config, "architectures", None) or []
    causal = any(a.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) for a in declared)
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and causal:
        return AutoModelForCausalLM
    # An encoder that was saved without its vocabulary head would get a random one.
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and any(a.endswith("ForMaskedLM") for a in declared):
        return AutoModelForMaskedLM
    return AutoModel


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype):
        raise BackboneError("backbone.dtype", repr(dtype), "'float32', 'bfloat16' or 'float16'")
    return found


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
