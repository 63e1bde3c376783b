"""From the bytes of a picture's file to a picture in RGB, whatever kind of file it is."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from softprompt.errors import DataError


def decode(content: bytes, where: str) -> Image.Image:
    """The picture as a person sees it: turned as its EXIF tag says, its colours in 8-bit RGB.

    Pictures with 16 bits keep their upper 8 (Pillow itself would cut off whatever is above 255);
    transparent ones lie on white, since what their hidden pixels hold is not meant to be seen; of several
    frames the first is taken.

    Args:
        content: of the file.
        where: names the picture in errors.

    Raises:
        DataError: it is no picture, is cut off or damaged, has too many pixels, or colours without a range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of EXIF tags that nobody needs here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as opened:
                opened.load()
                picture = ImageOps.exif_transpose(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(where, f"too large a picture ({error})", "fewer pixels", "make it smaller") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        said = (
            "no kind of picture that Pillow knows"
            if isinstance(error, Image.UnidentifiedImageError)
            else (" ".join(str(error).split()) or type(error).__name__)
        )
        got = f"a file that cannot be read as a picture ({said})"
        raise DataError(where, got, "a whole picture", "replace it or remove it") from None
    return _as_rgb(picture, where)


def _as_rgb(picture: Image.Image, where: str) -> Image.Image:
    if picture.mode == "F":
        do = "save it with 8 or 16 bits"
        raise DataError(where, "a picture of floating-point numbers", "colours with a known range", do)
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise DataError(where, "a picture with 32 bits", "8 or 16 bits a colour", "save it with 8 or 16")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        seen = picture.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return picture.convert("RGB")
