"""Readers of published data sets and of your own files, and the sampling of the papers.

The table `registry.FORMATS` has a row for each format.
"""

from softprompt.data.formats.images import decode, picture_record, pictured_text
from softprompt.data.formats.trex import pattern, read_objects
from softprompt.data.reading import data_root, read
from softprompt.data.records import (
    Answer,
    AnyRecord,
    Choices,
    Conversation,
    LabelledPicture,
    LabelledText,
    PicturedText,
    Question,
    Record,
    TaggedWords,
    pairs,
)
from softprompt.data.registry import FORMATS, Format, data_format
from softprompt.data.sampling import draw, keep_seen
from softprompt.data.splits import Splits, check_splits, load, load_test

__all__ = [
    "FORMATS",
    "Answer",
    "AnyRecord",
    "Choices",
    "Conversation",
    "Format",
    "LabelledPicture",
    "LabelledText",
    "PicturedText",
    "Question",
    "Record",
    "Splits",
    "TaggedWords",
    "check_splits",
    "data_format",
    "data_root",
    "decode",
    "draw",
    "keep_seen",
    "load",
    "load_test",
    "pairs",
    "pattern",
    "picture_record",
    "pictured_text",
    "read",
    "read_objects",
]
