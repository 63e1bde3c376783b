"""From a picture to the pixels that a backbone reads, as its own image processor makes them.

The processor's settings are followed here with Pillow and torch alone; torchvision is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.errors import BackboneError, first_line

if TYPE_CHECKING:
    from PIL import Image

_KNOWN = (
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor",
    "do_normalize", "image_mean", "image_std",
)  # fmt: skip
# Steps of other processors that would change the pixels.
_UNKNOWN = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_split_image", "do_flip_channel_order")

_BILINEAR = 2  # Pillow's number


@dataclass(frozen=True)
class ImageTransform:
    """How pictures become pixels.

    Args:
        resize: to this height and width, or (one number) the shorter side to it; None leaves them.
        crop: height and width cut out of the middle, padded with black where the picture is smaller; None
            takes all.
        resample: Pillow's number of the filter (2 bilinear, 3 bicubic).
        scale: factor on the 8-bit values; 1 / 255 in most.
        mean: subtracted by channel afterwards.
        std: divided by.
    """

    resize: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, processor: Any) -> ImageTransform:
        """The form that an image processor's settings say.

        Args:
            processor: of transformers, or its settings as a mapping.

        Raises:
            BackboneError: settings that are missing or of an unknown form, or a processor that does something
                else than they say.
        """
        settings = dict(processor if isinstance(processor, Mapping) else processor.to_dict())
        for name in _UNKNOWN:
            if settings.get(name):
                raise BackboneError(
                    "backbone.processor", f"{name}=True", f"settings out of {', '.join(_KNOWN)}"
                )
        size = settings.get("size")
        resize = None
        if settings.get("do_resize", True):
            resize = _size(size, "size")
        crop = None
        if settings.get("do_center_crop", False):
            crop = _both(_size(settings.get("crop_size"), "crop_size"))
        normalise = settings.get("do_normalize", True)
        mean, std = settings.get("image_mean"), settings.get("image_std")
        if normalise and (mean is None or std is None):
            raise BackboneError(
                "backbone.processor", "no image_mean and image_std", "both, a number for each channel"
            )
        rescale = settings.get("do_rescale", True)
        resample = settings.get("resample")
        form = cls(
            resize,
            crop,
            _BILINEAR if resample is None else int(resample),
            float(settings.get("rescale_factor", 1 / 255)) if rescale else 1.0,
            tuple(mean) if normalise and mean is not None else (0.0,) * 3,
            tuple(std) if normalise and std is not None else (1.0,) * 3,
        )
        if form.crop is None and not isinstance(form.resize, tuple):
            raise BackboneError(
                "backbone.processor",
                "settings that leave pictures of different sizes",
                "a size with height and width, or a crop_size",
            )
        if getattr(processor, "backend", None) == "pil":
            _try(processor, form)
        return form

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        size = self.crop or self.resize
        assert isinstance(size, tuple)
        return size

    def at(self, side: int) -> ImageTransform:
        """The same form for squares of another size; what a crop leaves away stays in proportion.

        Args:
            side: height and width of what comes out, in pixels.
        """
        if self.crop is None:
            return replace(self, resize=(side, side))
        resize = self.resize
        if isinstance(resize, tuple):
            resize = (round(resize[0] * side / self.crop[0]), round(resize[1] * side / self.crop[1]))
        elif resize is not None:
            resize = round(resize * side / min(self.crop))
        return replace(self, resize=resize, crop=(side, side))

    def resized_size(self, picture: Image.Image) -> tuple[int, int]:
        """Height and width that the picture is resized to, before a crop."""
        if self.resize is None:
            return picture.height, picture.width
        if isinstance(self.resize, tuple):
            return self.resize
        short, long = sorted(picture.size)
        longer = max(1, int(self.resize * long / short))
        return (self.resize, longer) if picture.width >= picture.height else (longer, self.resize)

    def resized(self, picture: Image.Image) -> Image.Image:
        """The picture at the size that the form resizes to, before a crop."""
        if self.resize is None:
            return picture
        height, width = self.resized_size(picture)
        return picture.resize((width, height), resample=self.resample)

    def framed(self, picture: Image.Image) -> Image.Image:
        """The picture at the size that the backbone reads."""
        picture = self.resized(picture)
        return picture if self.crop is None else centre_crop(picture, *self.crop)

    def pixels(self, picture: Image.Image) -> Tensor:
        """What the backbone reads of an RGB picture, `[channel, height, width]`."""
        return self.normalised(self.framed(picture))

    def normalised(self, picture: Image.Image) -> Tensor:
        """The pixels of a picture of the right size, scaled and normalised, `[channel, height, width]`."""
        return self.scaled(raw_pixels(picture))

    def scaled(self, raw: Tensor) -> Tensor:
        """8-bit values, `[..., channel, height, width]`, as numbers that the backbone reads."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (raw.float() * self.scale - mean) / std


def raw_pixels(picture: Image.Image) -> Tensor:
    """The 8-bit values of an RGB picture, `[channel, height, width]`."""
    raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return raw.view(picture.height, picture.width, 3).permute(2, 0, 1)


def centre_crop(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of a picture; black around one that is smaller."""
    # Rounded as transformers does it; Pillow fills what lies outside with black.
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _try(processor: Any, form: ImageTransform) -> None:
    """Refuse a processor with steps of its own: those that no setting tells of show in the pixels."""
    from PIL import Image

    noise = torch.randint(0, 256, (61, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.frombytes("RGB", (40, 61), noise.numpy().tobytes())
    try:
        theirs = torch.as_tensor(processor(picture)["pixel_values"][0]).float()
    except Exception as error:  # whatever a processor of something else leads to
        found = f"{type(processor).__name__}, which takes no picture alone ({first_line(error)})"
        raise BackboneError("backbone.processor", found, "a processor of pictures") from None
    ours = form.pixels(picture)
    if ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-4):
        return
    raise BackboneError(
        "backbone.processor",
        f"{type(processor).__name__}, which does more than its settings ({', '.join(_KNOWN)}) say",
        "a processor that does these steps alone (ViT's, DeiT's, BEiT's, CLIP's, SigLIP's, Bit's)",
        "pass processor={...}, its settings as a mapping, to have them followed as they are",
    )


def _size(size: Any, name: str) -> tuple[int, int] | int:
    if isinstance(size, Mapping):
        kept = {key: value for key, value in size.items() if value is not None}
        if set(kept) == {"height", "width"}:
            return int(kept["height"]), int(kept["width"])
        if set(kept) == {"shortest_edge"}:
            return int(kept["shortest_edge"])
    elif isinstance(size, int) and not isinstance(size, bool):
        return size, size
    raise BackboneError("backbone.processor", f"{name} {size!r}", "height and width, or shortest_edge")


def _both(size: tuple[int, int] | int) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
