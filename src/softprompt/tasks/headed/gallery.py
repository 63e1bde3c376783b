"""Pictures, decoded and resized once, and kept in memory up to a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from softprompt.backbones import raw_pixels
from softprompt.data import LabelledPicture, decode
from softprompt.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

# Resizing a sliver by its shorter side would give a picture of any length.
_MOST_PIXELS = 64_000_000


class Gallery:
    """Decoded pictures by the digest of their files.

    Args:
        prepare: gives the picture that is kept, e.g. a resized one.
        size_of: the largest height and width that a picture has while `prepare` changes it.
        limit: bytes to keep; other pictures are decoded at every call.
    """

    def __init__(
        self,
        prepare: Callable[[Image.Image], Image.Image],
        size_of: Callable[[Image.Image], tuple[int, int]],
        limit: float,
    ):
        self._prepare, self._size_of, self._limit = prepare, size_of, limit
        self._kept: dict[str, Tensor] = {}
        self._n_bytes = 0

    def __call__(self, record: LabelledPicture) -> Tensor:
        """The 8-bit values of a picture, `[channel, height, width]`.

        Raises:
            DataError: a picture that cannot be decoded, or that is far too long and thin to be resized.
        """
        kept = self._kept.get(record.digest)
        if kept is not None:
            return kept
        picture = decode(record.load(), f"picture {record.source}")
        height, width = self._size_of(picture)
        if height * width > _MOST_PIXELS:
            got = f"{picture.width} x {picture.height} pixels, which resized become {width} x {height}"
            raise DataError(f"picture {record.source}", got, "a picture less long and thin", "crop it")
        values = raw_pixels(self._prepare(picture))
        if self._n_bytes + values.numel() <= self._limit:
            self._kept[record.digest] = values
            self._n_bytes += values.numel()
        return values
