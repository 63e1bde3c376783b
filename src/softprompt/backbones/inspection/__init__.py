"""The parts of a frozen model, found by running it once."""

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.families import (
    BARE_CACHES,
    CACHES,
    COMPRESSED_KEYS,
    PER_LAYER_INPUTS,
    PICTURES_NUMBERED_APART,
    WRITTEN_TYPES,
)
from softprompt.backbones.inspection.images import (
    has_pictures,
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
from softprompt.backbones.inspection.kept_state import KeptState
from softprompt.backbones.inspection.layers import is_linear, layers_around
from softprompt.backbones.inspection.model_map import ModelMap, inspect_model
from softprompt.backbones.inspection.output_head import Finish
from softprompt.backbones.inspection.parameters import absent_biases, tuned_tensors
from softprompt.backbones.inspection.probe import eval_mode, has_decoder, intercepted, reads_forward
from softprompt.backbones.inspection.soft_words import word_of_soft_tokens
from softprompt.backbones.inspection.sounds import SOUNDS
from softprompt.backbones.inspection.spec import (
    BackboneSpec,
    described_again,
    fingerprint,
    of_each_token,
    word_embeddings,
    word_vectors,
)
from softprompt.backbones.inspection.stacks import (
    ChangingRotary,
    Stack,
    asked_columns,
    has_relative_bias,
    table_offset,
)
from softprompt.backbones.inspection.vision import Vision

__all__ = [
    "BARE_CACHES",
    "CACHES",
    "COMPRESSED_KEYS",
    "PER_LAYER_INPUTS",
    "PICTURES_NUMBERED_APART",
    "SOUNDS",
    "WRITTEN_TYPES",
    "AttentionSite",
    "BackboneSpec",
    "ChangingRotary",
    "Finish",
    "KeptState",
    "ModelMap",
    "Stack",
    "Vision",
    "absent_biases",
    "asked_columns",
    "base_module",
    "described_again",
    "eval_mode",
    "fingerprint",
    "has_decoder",
    "has_pictures",
    "has_relative_bias",
    "inspect_model",
    "intercepted",
    "is_linear",
    "layers_around",
    "n_channels",
    "native_size",
    "noise_pictures",
    "of_each_token",
    "patch_side",
    "picture_inputs",
    "picture_module",
    "reads_forward",
    "reads_pictures",
    "size_options",
    "table_offset",
    "tuned_tensors",
    "unmasked",
    "word_embeddings",
    "word_of_soft_tokens",
    "word_vectors",
]
