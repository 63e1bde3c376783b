"""The parts of a frozen model, found by running it once."""

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.images import (
    n_channels,
    native_size,
    noise_pictures,
    patch_side,
    picture_inputs,
    picture_module,
    reads_pictures,
    size_options,
    unmasked,
)
from softprompt.backbones.inspection.layers import is_linear, layers_around
from softprompt.backbones.inspection.model_map import ModelMap, inspect_model
from softprompt.backbones.inspection.output_head import Finish
from softprompt.backbones.inspection.parameters import absent_biases, tuned_tensors
from softprompt.backbones.inspection.probe import eval_mode, intercepted
from softprompt.backbones.inspection.spec import (
    BackboneSpec,
    described_again,
    fingerprint,
    word_embeddings,
)
from softprompt.backbones.inspection.stacks import Stack, has_relative_bias, table_offset
from softprompt.backbones.inspection.vision import Vision

__all__ = [
    "AttentionSite",
    "BackboneSpec",
    "Finish",
    "ModelMap",
    "Stack",
    "Vision",
    "absent_biases",
    "described_again",
    "eval_mode",
    "fingerprint",
    "has_relative_bias",
    "inspect_model",
    "intercepted",
    "is_linear",
    "layers_around",
    "n_channels",
    "native_size",
    "noise_pictures",
    "patch_side",
    "picture_inputs",
    "picture_module",
    "reads_pictures",
    "size_options",
    "table_offset",
    "tuned_tensors",
    "unmasked",
    "word_embeddings",
]
