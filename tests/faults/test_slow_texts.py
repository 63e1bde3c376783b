"""No text of a data file takes more than linear time."""

import time

import pytest

from softprompt.data.formats.table_to_text import linearize
from softprompt.errors import DataError

N = 100_000


@pytest.mark.parametrize(
    "text",
    [
        " " * N + "x", "x" + " " * N, "name[" + " " * N, "name[a]" + " " * N + "x",
        "a," * N, "x" * N, "name[" * N,
        "[" * N, " [" * N, "name" + " " * N + "[", "name[a], " * 10 + " " * N,
    ],
)  # fmt: skip
def test_meaning_representations(text):
    began = time.process_time()
    with pytest.raises(DataError, match=r"got .*characters"):
        linearize(text)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "linear"),
    [
        ("name[Blue Spice], area[riverside]", "name : Blue Spice | area : riverside"),
        (" name [ Blue  Spice ] ,area[x]", "name : Blue  Spice | area : x"),
        ("a b[c]", "a b : c"),
        ("name[a]  ", "name : a"),
    ],
)
def test_they_are_read_as_before(text, linear):
    assert linearize(text) == linear


@pytest.mark.parametrize("text", ["name[a],", "name[]", "[a]", "  [a]", "name[a] b[c]", "name[a[b]]"])
def test_what_is_none(text):
    with pytest.raises(DataError):
        linearize(text)
