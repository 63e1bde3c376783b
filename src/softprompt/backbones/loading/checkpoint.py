"""Reading a checkpoint with transformers: its class, its weights, its tokenizer or image processor."""

import re
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
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
)

from softprompt.backbones.loading.bundled import BUNDLED
from softprompt.backbones.loading.quantization import quantisation
from softprompt.backbones.loading.quiet import without_bars
from softprompt.errors import BackboneError, first_line, nearest, shortened
from softprompt.untrusted import at_home

_NO_CODE = {"trust_remote_code": False}
"""For transformers' automatic classes, which otherwise ask on a terminal whether to run a model's code."""

_WRITING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How the names of classes end that have a vocabulary head."""

_FOREIGN = (
    OSError, ValueError, KeyError, RuntimeError, SafetensorError, ImportError, AttributeError, TypeError,
    AssertionError,
)  # fmt: skip
"""What transformers and the libraries of quantised formats raise over files, and over absent libraries."""

_PATH = re.compile(r"[/\\.~]|[A-Za-z]:|[^/]+/[^/]+/")
"""How a text begins that can be a path alone, and no name on the hub."""

_EXPECTED = f"a bundled name ({', '.join(BUNDLED)}), a checkpoint folder, or a hub id"

_OPTIONAL = {"pooler", "mask_token"}
"""Modules and tensors that checkpoints often lack, and that softprompt never uses."""


def read_config(name: str, source: str) -> Any:
    """transformers' config of a checkpoint; no weights are read.

    Args:
        name: as the user wrote it, for errors.
        source: a checkpoint folder or a hub id.

    Raises:
        BackboneError: a checkpoint that does not exist, or whose config cannot be read.
    """
    if _PATH.match(source) and not Path(source).exists():
        got = f"'{shortened(name, 200)}', where there is no folder"
        raise BackboneError("backbone.name", got, _EXPECTED, nearest(name, BUNDLED))
    try:
        return AutoConfig.from_pretrained(source, **_NO_CODE)
    except _FOREIGN as error:
        raise _unreadable(name, error, None) from error


def read_model(name: str, source: str, dtype: str | torch.dtype, attention: str | None) -> Any:
    """The model of a checkpoint, with its vocabulary head where the checkpoint has one.

    Of a model with two towers (CLIP, SigLIP) only the one that reads pictures is loaded.

    Args:
        name: as the user wrote it, for errors.
        source: a checkpoint folder or a hub id.
        dtype: a torch dtype, or `auto` for the one in the files.
        attention: transformers' name of an attention implementation; None is the model's default.

    Raises:
        BackboneError: a checkpoint that does not exist, cannot be read, or lacks weights.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if attention is not None:
        options["attn_implementation"] = attention
    config: Any = read_config(name, source)
    try:
        with without_bars():
            if has_two_towers(config):
                config = config.vision_config
                model_class: Any = MODEL_MAPPING[type(config)]
            else:
                model_class = _auto_class(config)
                options |= _NO_CODE
            model, report = model_class.from_pretrained(
                source, config=config, output_loading_info=True, **options
            )
    except torch.OutOfMemoryError:
        raise  # torch's own message gives the sizes
    except _FOREIGN as error:
        raise _unreadable(name, error, config) from error
    missing = set(report["missing_keys"])
    if model_class is AutoModelForMaskedLM and _all_of_the_head(model, missing):
        # Sentence encoders are often published so: without the vocabulary head that config.json names.
        model, missing = model.base_model, set[str]()
    _check_complete(name, missing)
    return model


def read_tokenizer(name: str, source: str) -> Any:
    """The tokenizer beside the weights.

    Raises:
        BackboneError: no tokenizer that can be read.
    """
    try:
        return AutoTokenizer.from_pretrained(source, **_NO_CODE)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackboneError(
            "backbone.name",
            f"'{name}' without a tokenizer that can be read ({first_line(error).rstrip(' :')})",
            "a tokenizer beside the weights",
            "put its files there, or pass tokenizer=... to load_backbone",
        ) from error


def read_processor(source: str) -> Any:
    """The image processor beside the weights, or None, since callers may pass pixels themselves.

    None also where the processor is broken or brings code of its own.
    """
    try:
        return AutoImageProcessor.from_pretrained(source, backend="pil", **_NO_CODE)
    except (OSError, ValueError):
        return None


def read_text_processor(source: str) -> Any:
    """The processor of texts with pictures in them beside the weights, or a text that says why it cannot be
    read, since a model can be used with texts alone.
    """
    try:
        return AutoProcessor.from_pretrained(source, backend="pil", **_NO_CODE)
    except Exception as error:  # a processor's parts raise whatever they like
        return first_line(error)


def has_two_towers(config: PreTrainedConfig) -> bool:
    """Whether a model reads pictures with one tower and texts with another, and writes nothing itself."""
    return (
        all(hasattr(config, f"{kind}_config") for kind in ("vision", "text"))
        and type(config) in MODEL_MAPPING
        and not _writes(config)
    )


def _writes(config: Any) -> bool:
    """Whether a checkpoint is of a model that goes on with a text that has pictures in it."""
    declared = getattr(config, "architectures", None)
    written = declared is None or any(a.endswith(_WRITING) for a in declared)
    return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and written


def _auto_class(config: Any) -> Any:
    if config.is_encoder_decoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return AutoModelForSeq2SeqLM
    # transformers lists encoders such as BERT as causal models too; the checkpoint's architecture decides.
    declared = getattr(config, "architectures", None) or []
    if _writes(config) and declared:
        return AutoModelForImageTextToText
    causal = any(a.endswith(_WRITING) for a in declared)
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and causal:
        return AutoModelForCausalLM
    # An encoder that was saved without its vocabulary head would get a random head.
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and any(a.endswith("ForMaskedLM") for a in declared):
        return AutoModelForMaskedLM
    return AutoModel


def _all_of_the_head(model: Any, missing: Iterable[str]) -> bool:
    """Whether the tensors that a checkpoint lacks are all of those around the base model that are its own."""
    base = f"{model.base_model_prefix}."
    inside = set(map(id, model.base_model.parameters()))
    head = {key for key, weight in model.named_parameters() if id(weight) not in inside}
    needed = {key for key in missing if not _OPTIONAL & set(key.split("."))}
    return bool(needed) and head <= needed and not any(key.startswith(base) for key in needed)


def _unreadable(name: str, error: Exception, config: Any) -> BackboneError:
    """The error for a checkpoint that does not exist, or that exists and cannot be read."""
    method = quantisation(config)
    if method is not None:
        return BackboneError(
            "backbone.name",
            f"'{name}', whose weights are quantised ({method}) and cannot be read here ({first_line(error)})",
            "weights in a form that this environment reads",
            "install the library that reads them, or take the checkpoint without quantisation",
        )
    if isinstance(error, ImportError):
        return BackboneError(
            "backbone.name",
            f"'{name}', which needs a library that is not installed here ({first_line(error)})",
            "a checkpoint that this environment reads",
            "install that library, or take another checkpoint",
        )
    if name in BUNDLED or (at_home(name) / "config.json").exists():
        return BackboneError(
            "backbone.name",
            f"'{name}', which exists but cannot be read ({first_line(error)})",
            "complete weights that fit the config.json beside them",
            "fetch the checkpoint again, or correct its config.json",
        )
    return BackboneError(
        "backbone.name",
        f"'{name}' ({first_line(error)})",
        _EXPECTED,
        nearest(name, BUNDLED),
    )


def _check_complete(name: str, missing: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks weights, which transformers would fill with random numbers."""
    needed = sorted(key for key in missing if not _OPTIONAL & set(key.split(".")))
    if needed:
        raise BackboneError(
            "backbone.name",
            f"'{name}', whose files lack {len(needed)} of its tensors (the first is {needed[0]})",
            "complete weights that fit the config.json beside them",
            "fetch the checkpoint again, or correct the architectures in its config.json",
        )
