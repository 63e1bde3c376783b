"""What every error's text must be."""

import re

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST = 60_000


def check_message(message: str, *names: str) -> None:
    """The text names one of the files, is of a length that can be read, and cannot steer a terminal.

    Raises:
        AssertionError: otherwise.
    """
    assert message.strip(), "an empty message"
    assert len(message) < _MOST, f"a message of {len(message):,} characters"
    assert not _STEERING.search(message), f"a character that steers a terminal: {message[:300]!a}"
    assert not names or any(name in message for name in names), f"the file is not named: {message[:300]}"
