from .activation_cache import ActivationCache, ActivationStore
from .attention_maps import ClassAttention, class_attention
from .backbone import Backbone
from .callers import PromptedModel
from .callers.save_prompt import SavePrompt
from .image_transform import ImageTransform, raw_pixels
from .inspection import fingerprint
from .load import check_device, check_found, fast_bf16, load_backbone
from .loading import (
    BUNDLED,
    BUNDLED_NAMES,
    agreed_before,
    bundled_folder,
    cached_checkpoint,
    config_here,
    hub_id,
    pull_bundled,
    tokenizer_here,
)
from .picture_texts import PictureText
from .runtime import gradients_by_hand, n_kept
from .view import PromptedView

__all__ = [
    "BUNDLED",
    "BUNDLED_NAMES",
    "ActivationCache",
    "ActivationStore",
    "Backbone",
    "ClassAttention",
    "ImageTransform",
    "PictureText",
    "PromptedModel",
    "PromptedView",
    "SavePrompt",
    "agreed_before",
    "bundled_folder",
    "cached_checkpoint",
    "check_device",
    "check_found",
    "class_attention",
    "config_here",
    "fast_bf16",
    "fingerprint",
    "gradients_by_hand",
    "hub_id",
    "load_backbone",
    "n_kept",
    "pull_bundled",
    "raw_pixels",
    "tokenizer_here",
]
