"""Templates that cost a careless parser its memory or time."""

import time

import pytest

from softprompt.errors import ConfigError
from softprompt.text import Template

N = 50_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[soft*99999999999] [blank]", "slots, expected at most 10,000"),
        ("[soft*" + "9" * 6_000 + "] [blank]", "slots, expected at most 10,000"),
        ("[soft#a*9000] [soft#a*9000] [blank]", "18,000 slots, expected at most 10,000"),
        ("[soft*0000] [blank]", "a count of at least 1"),
        ("[soft: x" + " " * N + "y" + "] [blan]", r"\[blan\]"),
        ("[soft:" + " " * N + "] [blank]", r"expected \[soft\], \[soft\*3\]"),
        ("[[" * N, r"without \[blank\]"),
        ("[" * (N + 1), "a ']' that closes it"),
        ("[blank]" * N, r"\[blank\] 50000 times"),
    ],
)
def test_templates(text, message):
    began = time.process_time()
    with pytest.raises(ConfigError, match=message):
        Template.parse(text)
    assert time.process_time() - began < 1


def test_start_words_are_read_as_before():
    assert [
        getattr(piece, "start", None)
        for piece in Template.parse("[soft*2:  It  was ] [soft*03] [blank]").pieces[::2][:2]
    ] == ["It  was", ""]
    assert Template.parse("[soft*10000] [blank]").n_slots == 10_000
