"""Readers of published data sets and of your own files, and the sampling of the papers.

The table `registry.FORMATS` has a row for each format.
"""

from softprompt.config import data_root
from softprompt.data.formats.chats import conversations, last_question
from softprompt.data.formats.images import (
    picture_record,
    pictured_text,
    pictures_below,
)
from softprompt.data.formats.pixels import decode, may_be_picture
from softprompt.data.formats.trex import pattern, read_objects
from softprompt.data.label_sets import flagged, is_list, joined_by, label_set, list_items
from softprompt.data.labels import check_known, check_spellings, in_order, label_text
from softprompt.data.numbers import PLAIN, notation_of, notations_of, number_text, number_within
from softprompt.data.reading import read
from softprompt.data.records import (
    Answer,
    AnyRecord,
    Choices,
    Conversation,
    LabelledPicture,
    LabelledText,
    MultiLabelledText,
    PicturedText,
    Question,
    Record,
    TaggedWords,
    pairs,
)
from softprompt.data.registry import FORMATS, Format, data_format, usual_format
from softprompt.data.roles import assigned, cell
from softprompt.data.sampling import draw, keep_seen
from softprompt.data.split_checks import check_splits
from softprompt.data.splits import Splits, check_numbers, load, load_test
from softprompt.data.tables import SUFFIXES, Row, Table, kind_of_file, read_table
from softprompt.data.usual_names import ROLES as USUAL_NAMES
from softprompt.data.usual_names import SOURCE_AND_TARGET, TWO_TEXTS

__all__ = [
    "FORMATS",
    "PLAIN",
    "SOURCE_AND_TARGET",
    "SUFFIXES",
    "TWO_TEXTS",
    "USUAL_NAMES",
    "Answer",
    "AnyRecord",
    "Choices",
    "Conversation",
    "Format",
    "LabelledPicture",
    "LabelledText",
    "MultiLabelledText",
    "PicturedText",
    "Question",
    "Record",
    "Row",
    "Splits",
    "Table",
    "TaggedWords",
    "assigned",
    "cell",
    "check_known",
    "check_numbers",
    "check_spellings",
    "check_splits",
    "conversations",
    "data_format",
    "data_root",
    "decode",
    "draw",
    "flagged",
    "in_order",
    "is_list",
    "joined_by",
    "keep_seen",
    "kind_of_file",
    "label_set",
    "label_text",
    "last_question",
    "list_items",
    "load",
    "load_test",
    "may_be_picture",
    "notation_of",
    "notations_of",
    "number_text",
    "number_within",
    "pairs",
    "pattern",
    "picture_record",
    "pictured_text",
    "pictures_below",
    "read",
    "read_objects",
    "read_table",
    "usual_format",
]
