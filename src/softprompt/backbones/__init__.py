"""What is frozen: a transformers model that prompts can work in.

Names load lazily, so that `softprompt.backbones.loading.bundled` alone costs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "Backbone": "backbone",
    "ClassAttention": "attention_maps",
    "ImageTransform": "image_transform",
    "PromptedModel": "callers",
    "PromptedView": "view",
    "class_attention": "attention_maps",
    "fast_bf16": "load",
    "gradients_by_hand": "runtime",
    "load_backbone": "load",
    "raw_pixels": "image_transform",
}

__all__ = [
    "Backbone",
    "ClassAttention",
    "ImageTransform",
    "PromptedModel",
    "PromptedView",
    "class_attention",
    "fast_bf16",
    "gradients_by_hand",
    "load_backbone",
    "raw_pixels",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


if TYPE_CHECKING:
    from softprompt.backbones.attention_maps import ClassAttention, class_attention
    from softprompt.backbones.backbone import Backbone
    from softprompt.backbones.callers import PromptedModel
    from softprompt.backbones.image_transform import ImageTransform, raw_pixels
    from softprompt.backbones.load import fast_bf16, load_backbone
    from softprompt.backbones.runtime import gradients_by_hand
    from softprompt.backbones.view import PromptedView
