"""Damage to a file of JSON lines costs the lines that it is in."""

import json
import os

import pytest

from softprompt.errors import TrainingError
from softprompt.files import damaged, objects, read_lines


def test_a_flipped_bit_costs_no_other_line(tmp_path):
    lines = [{"step": step, "text": "an é and a \u2028"} for step in range(4)]
    whole = [json.dumps(line, ensure_ascii=False).encode() for line in lines]
    content, path = b"\n".join(whole) + b"\n", tmp_path / "log.jsonl"
    lost = 0
    for bit in range(0, len(content) * 8, 3):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        read = read_lines(path)
        # The line that the bit is in; the end of a line is part of two.
        touched = {content.count(b"\n", 0, bit // 8), content.count(b"\n", 0, bit // 8 + 1)}
        assert all(line in objects(read) for number, line in enumerate(lines) if number not in touched)
        lost += bool(damaged(read))
    assert lost > len(content) / 3


@pytest.mark.parametrize("raw", [
    b"\xff", b"\0" * 512, b"3", b"[1]", b"{" * 100_000, b"[" * 100_000,
    b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1',
])  # fmt: skip
def test_a_line_that_is_no_object_costs_itself(tmp_path, raw):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n' + raw + b'\n{"a": 2}\n')
    lines = read_lines(path)
    assert objects(lines) == [{"a": 1}, {"a": 2}] and damaged(lines) == "line 2"


def test_what_is_no_file_is_refused(tmp_path):
    assert read_lines(tmp_path / "none") == []
    with pytest.raises(TrainingError, match="got is a directory"):
        read_lines(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(TrainingError, match="pipe: got a pipe or a device"):
            read_lines(tmp_path / "pipe")
