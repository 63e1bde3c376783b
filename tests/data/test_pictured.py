"""Files whose rows name a picture beside a text."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from softprompt.data import PicturedText, decode, pairs, read
from softprompt.data.records import content_of
from softprompt.data.sampling import merge
from softprompt.data.splits import fingerprint
from softprompt.errors import DataError


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "pictures").mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (4, 3), colour).save(tmp_path / "pictures" / f"{colour}.png")
    return tmp_path


def lines(folder: Path, *rows: dict) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(image: str, target: object = "red", source: str = "what?") -> dict:
    return {"source": source, "target": target, "image": image}


def test_pictures_are_found_from_the_file_and_read_when_asked(folder):
    path = lines(folder, row("pictures/red.png", ["red", "a red one"]), row("pictures/blue.png", "blue"))
    red, blue = read("pictured_jsonl", path)
    assert isinstance(red, PicturedText)
    assert (red.source, red.targets, red.picture) == ("what?", ("red", "a red one"), "pictures/red.png")
    assert decode(red.load(), "").getpixel((0, 0)) == (255, 0, 0)
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["q", "a", "i"], ["what?", "blue", "pictures/blue.png"]])
    (other,) = read("pictured_csv", folder / "data.csv", source="q", target="a", image="i")
    assert (other.source, other.targets, other.digest) == (blue.source, blue.targets, blue.digest)


def test_one_question_about_two_pictures_is_two_questions(folder):
    path = lines(folder, row("pictures/red.png", ["red", "a red one"]), row("pictures/blue.png", "blue"))
    records = read("pictured_jsonl", path)
    assert len({content_of(record) for record in records}) == 2
    assert fingerprint(records[:1], [], []) != fingerprint([], records[:1], [])
    singles = pairs(records)
    assert [single.picture for single in singles] == ["pictures/red.png"] * 2 + ["pictures/blue.png"]
    assert [one.targets for one in merge(singles)] == [record.targets for record in records]
    swapped = read("pictured_jsonl", lines(folder, row("pictures/blue.png", ["red", "a red one"])))
    assert fingerprint(records[:1], [], []) != fingerprint(swapped, [], [])


@pytest.mark.parametrize(
    "image",
    ["none.png", "pictures", "", "a\0b.png", "x" * 5000, "/dev/zero", "../" * 50 + "nowhere", 3, None],
)
def test_a_picture_that_cannot_be_read_is_refused_with_the_line(folder, image):
    with pytest.raises(DataError):
        read("pictured_jsonl", lines(folder, row("pictures/red.png"), row(image)))
