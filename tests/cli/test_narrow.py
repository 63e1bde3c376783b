"""Tables in narrow terminals, and texts of every script in what is printed and kept."""

import io
import json
import random

import pytest
from rich.cells import cell_len

from softprompt.cli.tables import print_scores
from softprompt.files import json_line, json_text
from softprompt.terminal import Terminal

METRICS = ["bleu", "rouge1", "rougeL", "nist", "ter", "cider", "meteor"]


def printed(width, metrics, groups):
    draw = random.Random(0)
    rows = [{"group": g, "values": {m: draw.uniform(0, 100) for m in metrics}, "notes": []} for g in groups]
    console = Terminal()
    console.file, console.width = io.StringIO(), width
    print_scores(console, "scores", rows, metrics)
    return console.file.getvalue(), rows


@pytest.mark.parametrize("width", [24, 46, 80, 200])
def test_no_number_is_cut_at_any_width(width):
    text, rows = printed(
        width, METRICS, ["all", "class a-very-long-name-of-a-class-that-is-wider", "class 财经"]
    )
    assert "…" not in text
    for row in rows:
        for value in row["values"].values():
            assert f"{value:.2f}" in text
    assert max(map(cell_len, text.splitlines())) <= width


def test_columns_line_up_beside_wide_characters():
    text, _ = printed(60, ["bleu"], ["all", "class 财经", "class 体育新闻"])
    assert len({cell_len(line) for line in text.splitlines()[1:]}) == 1


def test_json_keeps_characters_and_one_line():
    value = {"输入": "电影\u2028好\x85看", "half": "\ud83d", "emoji": "🙂", "key": "a\nb"}
    line = json_line(value)
    assert "电影" in line and "🙂" in line and "输入" in line
    assert len(line.splitlines()) == 1 and line.endswith("\n")
    assert json.loads(line) == value == json.loads(json_text(value))
    line.encode("utf-8")
