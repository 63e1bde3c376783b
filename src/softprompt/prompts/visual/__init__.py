"""Prompts for pictures: what a backbone gets, how it is laid out, and the table of locations."""

from softprompt.prompts.visual.locations import LOCATIONS, VisualLocation, visual_block
from softprompt.prompts.visual.placements import (
    AddedTokens,
    ExtraChannels,
    ImageTokens,
    PictureFacts,
    PixelBorder,
    PixelPatches,
    VisualPlacement,
)
from softprompt.prompts.visual.shapes import VisualShape

__all__ = [
    "LOCATIONS",
    "AddedTokens",
    "ExtraChannels",
    "ImageTokens",
    "PictureFacts",
    "PixelBorder",
    "PixelPatches",
    "VisualLocation",
    "VisualPlacement",
    "VisualShape",
    "visual_block",
]
