"""Pictures in folders, one for each class or all in one."""

import hashlib
from functools import partial
from pathlib import Path

from softprompt.data.formats.pixels import check_picture
from softprompt.data.parsing import each
from softprompt.data.records import LabelledPicture, PicturedText
from softprompt.errors import DataError, system_says
from softprompt.untrusted import DEEPEST, Unreadable, read_bytes

# What file managers leave behind; hidden files are passed over too.
_JUNK = ("thumbs.db", "desktop.ini", "__macosx")

_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")

MOST_PICTURE = 500_000_000


def read_image_folder(path: Path) -> list[LabelledPicture]:
    """One record per file, by class and then by name.

    The names of the folders are the labels; pictures may lie in further folders below. Where there is no
    folder but pictures alone, they are records without a label. A file that is no whole picture is a bad row.

    Args:
        path: the folder.

    Raises:
        DataError: no folder, files that are no pictures, files beside the folders of the classes, a class
            without any, or folders named as splits are, whose names would become the labels.
    """
    if not path.is_dir():
        raise DataError(str(path), "a file", "a folder of pictures, in a folder for each class")
    entries = sorted(_visible(path), key=lambda entry: entry.name)
    classes = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    if not entries:
        raise DataError(str(path), "an empty folder", "pictures, in a folder for each class")
    if classes and files:
        got = f"a file beside the folders of the classes ({files[0].name})"
        raise DataError(
            str(path), got, "folders and nothing beside them", "put it into its class's folder, or remove it"
        )
    if classes and all(entry.name.casefold() in _SPLITS for entry in classes):
        got = f"folders of splits ({', '.join(entry.name for entry in classes)})"
        do = f"give {path.name}/{classes[0].name} itself, as the path of that split"
        raise DataError(str(path), got, "a folder for each class", do)
    found: list[tuple[Path, str, str | None]] = [(file, f"{path.name}/{file.name}", None) for file in files]
    for folder in classes:
        pictures = sorted(_below(folder), key=lambda file: file.relative_to(folder).as_posix())
        if not pictures:
            raise DataError(
                str(folder), "a class without pictures", "at least one picture", "remove the folder"
            )
        found += [(file, file.relative_to(path.parent).as_posix(), folder.name) for file in pictures]
    return each(found, lambda one: picture_record(*one, check=True))


def pictures_below(folder: Path) -> list[Path]:
    """The files of a folder and of the folders in it, in order of their names; hidden files are left out.

    Raises:
        DataError: the folder cannot be read, or leads into itself.
    """
    return sorted(_below(folder), key=lambda file: file.relative_to(folder).as_posix())


def picture_record(file: Path, name: str, label: str | None = None, check: bool = False) -> LabelledPicture:
    """The record of a picture in a file.

    Args:
        file: its path.
        name: what to call it.
        label: its class.
        check: whether to look if it is a picture, which otherwise shows when it is decoded.

    Raises:
        DataError: it cannot be read, or is checked and no whole picture.
    """
    content = _bytes_of(file)
    if check:
        check_picture(content, f"picture {name}")
    return LabelledPicture(name, name, hashlib.sha256(content).hexdigest(), partial(_bytes_of, file), label)


def pictured_text(
    id: str, source: str, targets: tuple[str, ...], file: Path, name: str, check: bool = False
) -> PicturedText:
    """The record of a text with a picture in a file.

    Args:
        id: of the record.
        source: the text.
        targets: its references.
        file: the picture's path.
        name: what to call the picture.
        check: as in `picture_record`.

    Raises:
        DataError: the picture cannot be read, or is checked and no whole picture.
    """
    content = _bytes_of(file)
    if check:
        check_picture(content, f"picture {name}")
    digest = hashlib.sha256(content).hexdigest()
    return PicturedText(id, source, targets, picture=name, digest=digest, load=partial(_bytes_of, file))


def _bytes_of(file: Path) -> bytes:
    try:
        return read_bytes(file, MOST_PICTURE)
    except Unreadable as error:
        raise DataError(str(file), str(error), "a picture that can be read") from None


def _visible(folder: Path) -> list[Path]:
    return [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name.casefold() not in _JUNK
    ]


def _below(folder: Path, around: frozenset[tuple[int, int]] = frozenset()) -> list[Path]:
    """All files below a folder, links followed.

    Args:
        folder: the folder.
        around: device and number of every folder around it.

    Raises:
        DataError: a link leads to a folder around it, or to itself; folders are nested too deeply.
    """
    if len(around) > DEEPEST:
        raise DataError(
            str(folder), f"folders nested more than {DEEPEST} deep", "fewer folders in each other"
        )
    try:
        around |= {_identity(folder)}
        files = []
        for entry in _visible(folder):
            if not entry.is_dir():
                files.append(entry)
            elif entry.is_symlink() and _identity(entry) in around:
                got = "a link to a folder in which it lies itself"
                raise DataError(str(entry), got, "pictures and folders", "remove the link")
            else:
                files += _below(entry, around)
        return files
    except OSError as error:
        raise DataError(str(folder), system_says(error), "folders that can be read") from None


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino
