"""Readers of published data sets, and the sampling of the papers."""

from softprompt.data.readers import FORMATS, read
from softprompt.data.records import Record, pairs
from softprompt.data.root import data_root
from softprompt.data.sampling import draw, keep_seen, low_data
from softprompt.data.splits import Splits, load

__all__ = [
    "FORMATS",
    "Record",
    "Splits",
    "data_root",
    "draw",
    "keep_seen",
    "load",
    "low_data",
    "pairs",
    "read",
]
