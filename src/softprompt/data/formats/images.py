"""Pictures in folders, one for each class or all in one, and pictures out of the bytes of their files."""

import hashlib
import io
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.data.records import LabelledPicture, PicturedText
from softprompt.errors import DataError, system_says
from softprompt.extras import require
from softprompt.untrusted import DEEPEST, Unreadable, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# What file managers leave behind; hidden files are passed over too.
_JUNK = ("thumbs.db", "desktop.ini", "__macosx")

_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")

_KINDS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""The formats that are read. Pillow knows more, some of which start other programs (Ghostscript)."""

MOST_PICTURE = 500_000_000

_MOST_PIXELS = 50_000_000
"""The most pixels of a picture; as many take a second or two, and up to a gigabyte."""


def read_image_folder(path: Path) -> list[LabelledPicture]:
    """One record per file, by class and then by name.

    The names of the folders are the labels; pictures may lie in further folders below. Where there is no
    folder but pictures alone, they are records without a label. Whether a file is a picture shows when it
    is decoded, before anything is trained.

    Args:
        path: the folder.

    Raises:
        DataError: no folder, files beside the folders of the classes, a class without any, or folders named
            as splits are, whose names would become the labels.
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
    records = [picture_record(file, f"{path.name}/{file.name}") for file in files]
    for folder in classes:
        pictures = sorted(_below(folder), key=lambda file: file.relative_to(folder).as_posix())
        if not pictures:
            raise DataError(
                str(folder), "a class without pictures", "at least one picture", "remove the folder"
            )
        records += [
            picture_record(file, file.relative_to(path.parent).as_posix(), folder.name) for file in pictures
        ]
    return records


def pictures_below(folder: Path) -> list[Path]:
    """The files of a folder and of the folders in it, in order of their names; hidden files are left out.

    Raises:
        DataError: the folder cannot be read, or leads into itself.
    """
    return sorted(_below(folder), key=lambda file: file.relative_to(folder).as_posix())


def may_be_picture(file: Path) -> bool:
    """Whether a file is named as a picture, or begins as one whatever its name; it may be damaged still."""
    require("train", "pictures", "PIL")
    from PIL import Image

    Image.init()
    if Image.EXTENSION.get(file.suffix.lower()) in _KINDS:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=[kind for kind in _KINDS if kind in Image.OPEN]):
                return True
    except Exception:  # what Pillow's readers raise for files of others has no bounds
        return False


def picture_record(file: Path, name: str, label: str | None = None) -> LabelledPicture:
    """The record of a picture in a file.

    Args:
        file: its path.
        name: what to call it.
        label: its class.

    Raises:
        DataError: it cannot be read.
    """
    content = _bytes_of(file)
    return LabelledPicture(name, name, hashlib.sha256(content).hexdigest(), partial(_bytes_of, file), label)


def pictured_text(id: str, source: str, targets: tuple[str, ...], file: Path, name: str) -> PicturedText:
    """The record of a text with a picture in a file.

    Args:
        id: of the record.
        source: the text.
        targets: its references.
        file: the picture's path.
        name: what to call the picture.

    Raises:
        DataError: the picture cannot be read.
    """
    content = _bytes_of(file)
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


def decode(content: bytes, where: str) -> "Picture":
    """The picture as a person sees it: turned as its EXIF tag says, its colours in 8-bit RGB.

    Pictures with 16 bits keep their upper 8 (Pillow itself would cut off whatever is above 255);
    transparent ones are put on white, since the colours of hidden pixels are arbitrary; of several
    frames the first is taken.

    Args:
        content: of the file.
        where: names the picture in errors.

    Raises:
        DataError: it is no picture, is cut off or damaged, has too many pixels, or colours without a range.
    """
    require("train", "pictures", "PIL")
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of EXIF tags that nobody needs here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.init()
            known = [kind for kind in _KINDS if kind in Image.OPEN]
            with Image.open(io.BytesIO(content), formats=known) as opened:
                if opened.width * opened.height > _MOST_PIXELS:
                    raise Image.DecompressionBombError(f"{opened.width:,} by {opened.height:,} pixels")
                opened.load()
                picture = ImageOps.exif_transpose(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"at most {_MOST_PIXELS:,} pixels"
        raise DataError(where, f"too large a picture ({error})", expected, "make it smaller") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        reason = (
            f"none of {', '.join(_KINDS)}"
            if isinstance(error, Image.UnidentifiedImageError)
            else (" ".join(str(error).split()) or type(error).__name__)
        )
        got = f"a file that cannot be read as a picture ({reason})"
        raise DataError(where, got, "a whole picture", "replace it or remove it") from None
    return _as_rgb(picture, where)


def _as_rgb(picture: "Picture", where: str) -> "Picture":
    import numpy as np
    from PIL import Image

    if picture.mode == "F":
        do = "save it with 8 or 16 bits"
        raise DataError(where, "a picture of floating-point numbers", "colours with a known range", do)
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise DataError(where, "a picture with 32 bits", "8 or 16 bits a colour", "save it with 8 or 16")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        seen = picture.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return picture.convert("RGB")
