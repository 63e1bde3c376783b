"""Reading what comes from outside: files, JSON and YAML, within bounds.

Every reader of a file from elsewhere goes through these functions. They raise `Unreadable`, whose message
says in a few words what came; each caller makes softprompt's own error of it, with the file and what was
expected.
"""

from softprompt.untrusted.content import (
    MOST_BYTES,
    Unreadable,
    at_home,
    decode,
    forbidden_character,
    open_regular,
    read_bytes,
)
from softprompt.untrusted.json_values import parse_json, read_json
from softprompt.untrusted.yaml_values import DEEPEST, MOST_VALUES, MOST_YAML, parse_yaml

__all__ = [
    "DEEPEST",
    "MOST_BYTES",
    "MOST_VALUES",
    "MOST_YAML",
    "Unreadable",
    "at_home",
    "decode",
    "forbidden_character",
    "open_regular",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_json",
]
