"""Readers of published data sets, and the sampling of the papers."""

from softprompt.data.readers import FORMATS, Format, read
from softprompt.data.records import (
    Answer,
    AnyRecord,
    Choices,
    LabelledPicture,
    LabelledText,
    Question,
    Record,
    TaggedWords,
    pairs,
)
from softprompt.data.root import data_root
from softprompt.data.sampling import draw, keep_seen, low_data
from softprompt.data.splits import Splits, load

__all__ = [
    "FORMATS",
    "Answer",
    "AnyRecord",
    "Choices",
    "Format",
    "LabelledPicture",
    "LabelledText",
    "Question",
    "Record",
    "Splits",
    "TaggedWords",
    "data_root",
    "draw",
    "keep_seen",
    "load",
    "low_data",
    "pairs",
    "read",
]
