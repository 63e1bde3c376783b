"""A picture out of the bytes of its file."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.errors import DataError
from softprompt.extras import require

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_KINDS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""The formats that are read. Pillow knows more, some of which start other programs (Ghostscript)."""

_DARKEST = 1 << 12
"""A picture of 16 bits without any value from here on has 12 bits or fewer, and would be nearly black."""

_MOST_PIXELS = 50_000_000
"""The most pixels of a picture; as many take a second or two, and up to a gigabyte."""


def decode(content: bytes, where: str) -> "Picture":
    """The picture as a person sees it: turned as its EXIF tag says, its colours in 8-bit RGB.

    Pictures with 16 bits keep their upper 8 (Pillow itself would cut off whatever is above 255), or the
    upper 8 of those that count where the file says that fewer do, such as 12; transparent
    ones are put on white, since the colours of hidden pixels are arbitrary; of several frames the first is
    taken.

    Args:
        content: of the file.
        where: names the picture in errors.

    Raises:
        DataError: it is no picture, is cut off or damaged, has too many pixels, or colours without a range,
            or 16 bits whose upper 4 are never used.
    """
    picture, bits = _opened(content, where)
    return _as_rgb(picture, where, bits)


def check_picture(content: bytes, where: str) -> None:
    """Refuse what `decode` would refuse, in less time: JPEGs are read to their end, but small.

    Args:
        content: of the file.
        where: names the picture in errors.

    Raises:
        DataError: as `decode`.
    """
    picture, bits = _opened(content, where, quick=True)
    if bits > 8 or picture.mode[:1] in ("F", "I"):
        _as_rgb(picture, where, bits)


def _opened(content: bytes, where: str, quick: bool = False) -> "tuple[Picture, int]":
    """The picture as Pillow has it, and how many bits of a colour count."""
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
                if quick:
                    opened.draft(None, (1, 1))
                opened.load()
                bits = _bits(opened, content)
                return (opened.copy() if quick else ImageOps.exif_transpose(opened)), bits
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"at most {_MOST_PIXELS:,} pixels"
        raise DataError(where, f"too large a picture ({error})", expected, "make it smaller") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        if not content:
            reason = "an empty file"
        elif isinstance(error, Image.UnidentifiedImageError):
            reason = f"none of {', '.join(_KINDS)}"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
        got = f"a file that cannot be read as a picture ({reason})"
        raise DataError(where, got, "a whole picture", "replace it or remove it") from None


def _bits(picture: "Picture", content: bytes) -> int:
    """How many bits of each colour count: those that the file has, or fewer where it says so."""
    if picture.format == "PNG":
        return content[24]
    tags = getattr(picture, "tag_v2", {})
    stored = max(tags.get(258, (8,)))
    largest = tags.get(281)  # MaxSampleValue
    most = max(largest) if isinstance(largest, tuple) else largest
    return stored if not most else min(stored, int(most).bit_length())


def _as_rgb(picture: "Picture", where: str, bits: int) -> "Picture":
    import numpy as np
    from PIL import Image

    if picture.mode == "F":
        do = "save it with 8 or 16 bits"
        raise DataError(where, "a picture of floating-point numbers", "colours with a known range", do)
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise DataError(where, "a picture with 32 bits", "8 or 16 bits a colour", "save it with 8 or 16")
        bits = bits if 8 <= bits < 16 and values.max() < 1 << bits else 16
        if bits == 16 and 0 < values.max() < _DARKEST:
            raise _too_dark(where, f"above {values.max():,} of 65,535")
        return Image.fromarray((values >> (bits - 8)).astype(np.uint8)).convert("RGB")
    if bits == 16 and picture.mode in ("RGB", "RGBA", "LA") and _brightest(picture) < _DARKEST >> 8:
        raise _too_dark(where, "in the upper 4 bits")  # Pillow has kept the upper 8 alone
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        seen = picture.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return picture.convert("RGB")


def _brightest(picture: "Picture") -> int:
    """The largest value of a colour, transparency aside."""
    ranges = picture.getextrema()[: 1 if picture.mode == "LA" else 3]
    return max(int(most) for _, most in ranges)  # type: ignore[misc]


def _too_dark(where: str, what: str) -> DataError:
    got = f"a picture with 16 bits that has no value {what}, as of 12 or fewer, and would be nearly black"
    do = "save it with 8 bits, or scale its values to the whole range (of 12 bits times 16)"
    return DataError(where, got, "values over the range of 16 bits", do)


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
