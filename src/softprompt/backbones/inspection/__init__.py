"""The parts of a frozen model, found by running it once."""

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.families import PICTURES_NUMBERED_APART, WRITTEN_TYPES
from softprompt.backbones.inspection.images import (
    has_pictures,
    native_size,
    patch_conv,
    reads_pictures,
    size_options,
    unmasked,
)
from softprompt.backbones.inspection.kept_state import KeptState
from softprompt.backbones.inspection.layers import is_linear, layers_around
from softprompt.backbones.inspection.model_map import ModelMap, inspect_model
from softprompt.backbones.inspection.output_head import Finish
from softprompt.backbones.inspection.parameters import absent_biases, tuned_tensors
from softprompt.backbones.inspection.probe import eval_mode, intercepted, reads_forward
from softprompt.backbones.inspection.soft_words import per_layer_inputs, word_of_soft_tokens
from softprompt.backbones.inspection.spec import (
    BackboneSpec,
    described_again,
    fingerprint,
    word_embeddings,
)
from softprompt.backbones.inspection.stacks import Stack, has_relative_bias, table_offset
from softprompt.backbones.inspection.vision import Vision

__all__ = [
    "PICTURES_NUMBERED_APART",
    "WRITTEN_TYPES",
    "AttentionSite",
    "BackboneSpec",
    "Finish",
    "KeptState",
    "ModelMap",
    "Stack",
    "Vision",
    "absent_biases",
    "described_again",
    "eval_mode",
    "fingerprint",
    "has_pictures",
    "has_relative_bias",
    "inspect_model",
    "intercepted",
    "is_linear",
    "layers_around",
    "native_size",
    "patch_conv",
    "per_layer_inputs",
    "reads_forward",
    "reads_pictures",
    "size_options",
    "table_offset",
    "tuned_tensors",
    "unmasked",
    "word_embeddings",
    "word_of_soft_tokens",
]
