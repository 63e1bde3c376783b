"""Pictures in folders as records: labels, names, draws, and what is refused."""

import shutil
from typing import Any

import pytest

from softprompt.config import DataSettings
from softprompt.data import LabelledPicture, load, read
from softprompt.data.splits import fingerprint
from softprompt.errors import ConfigError, DataError
from support.pictures import COLOURS, encoded, picture, picture_folder


@pytest.fixture
def folder(tmp_path):
    return picture_folder(tmp_path / "train", 4)


def settings(**data):
    return DataSettings.model_validate({"format": "image_folder", **data})


def test_a_folder_for_each_class(folder):
    records = read("image_folder", folder)
    assert all(isinstance(record, LabelledPicture) for record in records)
    assert [record.source for record in records][:2] == ["train/blue/000.png", "train/blue/001.png"]
    assert [record.label for record in records] == [colour for colour in sorted(COLOURS) for _ in range(4)]
    assert records[5].load() == (folder / "green" / "001.png").read_bytes()
    assert records[0].targets == ("blue",)
    assert len({record.digest for record in records}) == 12


def test_folders_below_a_class_are_of_it(folder):
    shutil.move(folder / "red" / "003.png", folder / "red" / "more")
    (folder / "red" / "deeper").mkdir()
    shutil.move(folder / "red" / "002.png", folder / "red" / "deeper" / "002.png")
    sources = [record.source for record in read("image_folder", folder) if record.label == "red"]
    assert sources == [
        "train/red/000.png", "train/red/001.png", "train/red/deeper/002.png", "train/red/more",
    ]  # fmt: skip


def test_what_file_managers_leave_is_passed_over(folder):
    for name in (".DS_Store", "Thumbs.db", "red/desktop.ini", "red/.hidden"):
        (folder / name).write_bytes(b"x")
    assert len(read("image_folder", folder)) == 12


def test_pictures_alone_have_no_labels(tmp_path):
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(encoded(picture((1, 2, 3), 0)))
    (record,) = read("image_folder", tmp_path / "flat")
    assert (record.source, record.label, record.targets) == ("flat/a.png", None, ())


def test_what_is_no_folder_of_classes_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="got a file, expected a folder of pictures"):
        read("image_folder", folder / "red" / "000.png")
    (folder / "labels.txt").write_text("red")
    with pytest.raises(DataError, match=r"a file beside the folders of the classes \(labels\.txt\)"):
        read("image_folder", folder)
    (folder / "labels.txt").unlink()
    (folder / "yellow").mkdir()
    with pytest.raises(DataError, match="yellow: got a class without pictures"):
        read("image_folder", folder)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="an empty folder"):
        read("image_folder", tmp_path / "none")


def broken(folder):
    """Three files that are no whole pictures, in a folder of twelve others."""
    photograph = encoded(picture((200, 60, 40), 0, (64, 64)), "JPEG")
    (folder / "red" / "cut.jpg").write_bytes(photograph[: len(photograph) // 2])
    (folder / "red" / "empty.png").write_bytes(b"")
    (folder / "blue" / "text.png").write_bytes(b"no picture")
    (folder / "blue" / "whole.jpg").write_bytes(photograph)
    return ("red/cut.jpg", "red/empty.png", "blue/text.png")


def test_files_that_are_no_whole_pictures_are_bad_rows(folder):
    names = broken(folder)
    with pytest.raises(DataError) as refused:
        read("image_folder", folder)
    for name in names:
        assert f"picture train/{name}: got a file that cannot be read as a picture" in str(refused.value)
    splits = load(settings(train=folder, on_bad_row="skip"))
    assert len(splits.train) == 13 and "3 bad rows were left out" in splits.notes[0]
    table = folder.parent / "labels.csv"
    rows = [f"train/{name},{name.partition('/')[0]}\n" for name in (*names, "blue/whole.jpg", "red/000.png")]
    table.write_text("image,label\n" + "".join(rows))
    with pytest.raises(DataError, match=r"line 2: picture train/red/cut\.jpg"):
        read("pictures", table)
    assert [record.label for record in read("pictures", table, on_bad_row="skip")] == ["blue", "red"]


def test_draws_per_class_and_folds(folder):
    splits: Any = load(settings(train=folder, train_per_class=2, dev_per_class=1))
    assert [record.label for record in splits.train] == ["blue"] * 2 + ["green"] * 2 + ["red"] * 2
    assert [record.label for record in splits.dev] == ["blue", "green", "red"]
    assert not {record.digest for record in splits.train} & {record.digest for record in splits.dev}
    cut: Any = [load(settings(train=folder, folds=4, fold=i)).dev for i in range(4)]
    assert all([record.label for record in fold] == ["blue", "green", "red"] for fold in cut)
    assert len({record.digest for fold in cut for record in fold}) == 12
    shared = load(settings(train=folder, dev_share=0.25, test_share=0.25))
    assert [len(some) for some in (shared.train, shared.dev, shared.test)] == [7, 2, 3]


def test_one_picture_under_two_names_stays_on_one_side(folder):
    shutil.copy(folder / "red" / "000.png", folder / "red" / "copy.png")
    for i in range(3):
        splits: Any = load(settings(train=folder, folds=3, fold=i))
        assert not {record.digest for record in splits.train} & {record.digest for record in splits.dev}


def test_the_fingerprint_is_of_what_pictures_hold(folder, tmp_path):
    records = read("image_folder", folder)
    there = shutil.copytree(folder, tmp_path / "elsewhere" / "other")
    shutil.move(there / "red" / "000.png", there / "red" / "000a.png")
    assert fingerprint(read("image_folder", there), [], []) == fingerprint(records, [], [])
    (there / "red" / "000a.png").write_bytes(encoded(picture((1, 2, 3), 0)))
    assert fingerprint(read("image_folder", there), [], []) != fingerprint(records, [], [])


def test_columns_are_no_settings_of_folders(folder):
    with pytest.raises(
        ConfigError, match=r"data\.image: got 'pixels' for image_folder, expected .*datasets_images"
    ):
        read("image_folder", folder, image="pixels")
