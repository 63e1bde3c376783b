"""Names with backticks: what Markdown does not read as code is text, and never HTML or a link."""

import re

import pytest

from softprompt.markdown import escaped, plain

SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize("write", [plain, escaped])
@pytest.mark.parametrize(
    "name",
    [
        f"`{SCRIPT}```",
        f"`` a `{SCRIPT}``` b",
        f"``{SCRIPT}`",
        "`[x](javascript:alert(1))``",
        f"``` {SCRIPT} `` `",
    ],
)
def test_backticks_that_are_not_closed_by_as_many_make_no_code(write, name):
    written = write(name)
    assert "<script" not in written and "](" not in written
    assert not re.search(r"(?<!\\)`", written)  # nothing that could close another text's backticks


def test_an_escaped_backtick_opens_no_code():
    assert "<script" not in plain(rf"\`{SCRIPT}`")
    assert plain(r"\\`<b>`") == r"\\`<b>`"  # the backslash is escaped, and the backtick is not


@pytest.mark.parametrize("text", ["use `--set a=<b>`", "``a ` <b>``", "a `b` c `d <e>`"])
def test_code_stays_code(text):
    assert plain(text) == text
