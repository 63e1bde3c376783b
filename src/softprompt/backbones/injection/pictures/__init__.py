"""Visual prompts: their tensors for one call, and the injectors that bring them into models of pictures."""

from softprompt.backbones.injection.pictures.lowering import (
    VisualParts,
    VisualTables,
    lower_visual,
    prefix_layers,
    tabulate,
    token_layers,
)
from softprompt.backbones.injection.pictures.pixels import PixelInjector
from softprompt.backbones.injection.pictures.reach import PictureReach
from softprompt.backbones.injection.pictures.swin import SwinInjector
from softprompt.backbones.injection.pictures.tokens import AddedTokenInjector, VisionTokenInjector, plan_of

__all__ = [
    "AddedTokenInjector",
    "PictureReach",
    "PixelInjector",
    "SwinInjector",
    "VisionTokenInjector",
    "VisualParts",
    "VisualTables",
    "lower_visual",
    "plan_of",
    "prefix_layers",
    "tabulate",
    "token_layers",
]
