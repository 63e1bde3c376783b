"""Pictures in folders: one for each class, or all in one where their classes are unknown."""

import hashlib
from functools import partial
from pathlib import Path

from softprompt.data.records import LabelledPicture
from softprompt.errors import DataError, system_says

# What file managers leave behind; hidden files are passed over too.
_JUNK = ("thumbs.db", "desktop.ini", "__macosx")


def read_image_folder(path: Path) -> list[LabelledPicture]:
    """One record per file, by class and then by name.

    The names of the folders are the labels; pictures may lie in further folders below. Where there is no
    folder but pictures alone, they are records without a label. Whether a file is a picture shows when it
    is decoded, before anything is trained.

    Args:
        path: the folder.

    Raises:
        DataError: no folder, files beside the folders of the classes, or a class without any.
    """
    if not path.is_dir():
        raise DataError(str(path), "a file", "a folder of pictures, in a folder for each class")
    there = sorted(_visible(path), key=lambda entry: entry.name)
    classes = [entry for entry in there if entry.is_dir()]
    files = [entry for entry in there if not entry.is_dir()]
    if not there:
        raise DataError(str(path), "an empty folder", "pictures, in a folder for each class")
    if classes and files:
        got = f"a file beside the folders of the classes ({files[0].name})"
        raise DataError(
            str(path), got, "folders and nothing beside them", "put it into its class's folder, or remove it"
        )
    records = [picture_record(file, f"{path.name}/{file.name}") for file in files]
    for folder in classes:
        found = sorted(_below(folder), key=lambda file: file.relative_to(folder).as_posix())
        if not found:
            raise DataError(
                str(folder), "a class without pictures", "at least one picture", "remove the folder"
            )
        records += [
            picture_record(file, file.relative_to(path.parent).as_posix(), folder.name) for file in found
        ]
    return records


def picture_record(file: Path, name: str, label: str | None = None) -> LabelledPicture:
    """A picture that lies in a file.

    Args:
        file: where it lies.
        name: what to call it.
        label: its class.

    Raises:
        DataError: it cannot be read.
    """
    content = _read(file)
    return LabelledPicture(name, name, hashlib.sha256(content).hexdigest(), partial(_read, file), label)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(str(file), system_says(error), "a picture that can be read") from None


def _visible(folder: Path) -> list[Path]:
    return [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name.casefold() not in _JUNK
    ]


def _below(folder: Path) -> list[Path]:
    found = []
    for entry in _visible(folder):
        found += _below(entry) if entry.is_dir() else [entry]
    return found
