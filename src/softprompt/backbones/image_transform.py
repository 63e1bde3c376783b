"""The transform from a picture to the pixels that a backbone reads, by the settings of its image processor.

Only Pillow and torch are used; torchvision is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from softprompt.errors import BackboneError, first_line

if TYPE_CHECKING:
    from PIL import Image

_KNOWN = (
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor",
    "do_normalize", "image_mean", "image_std", "crop_pct",
)  # fmt: skip
# Further steps of other processors.
_UNKNOWN = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_split_image", "do_flip_channel_order")

_BILINEAR = 2  # Pillow's number


@dataclass(frozen=True)
class ImageTransform:
    """The steps from a picture to pixels.

    Args:
        resize: height and width, or one number for the shorter side; None keeps the size of the picture.
        crop: height and width of a centre crop, padded with black if the picture is smaller; None does not
            crop.
        resample: Pillow's number of the filter (2 bilinear, 3 bicubic).
        scale: factor on the 8-bit values, usually 1 / 255.
        mean: by channel, subtracted after scaling; one channel reads shades of grey, three read colours.
        std: by channel, the divisor after that.
    """

    resize: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, processor: Any) -> ImageTransform:
        """The transform of an image processor.

        Args:
            processor: one of transformers, or its settings as a mapping.

        Raises:
            BackboneError: settings that are missing or unknown, or a processor that does more than its
                settings.
        """
        settings = dict(processor if isinstance(processor, Mapping) else processor.to_dict())
        for name in _UNKNOWN:
            if settings.get(name):
                raise BackboneError(
                    "backbone.processor", f"{name}=True", f"settings out of {', '.join(_KNOWN)}"
                )
        resize, crop = _resizing(settings) if settings.get("do_resize", True) else (None, None)
        if settings.get("do_center_crop", False):
            crop = _cropped(crop, _both(_size(settings.get("crop_size"), "crop_size")))
        normalise = settings.get("do_normalize", True)
        mean, std = settings.get("image_mean"), settings.get("image_std")
        if normalise and (mean is None or std is None):
            raise BackboneError(
                "backbone.processor", "no image_mean and image_std", "both, a number for each channel"
            )
        rescale = settings.get("do_rescale", True)
        resample = settings.get("resample")
        transform = cls(
            resize,
            crop,
            _BILINEAR if resample is None else int(resample),
            float(settings.get("rescale_factor", 1 / 255)) if rescale else 1.0,
            tuple(mean) if normalise and mean is not None else (0.0,) * 3,
            tuple(std) if normalise and std is not None else (1.0,) * 3,
        )
        if transform.crop is None and not isinstance(transform.resize, tuple):
            raise BackboneError(
                "backbone.processor",
                "settings that leave pictures of different sizes",
                "a size with height and width, or a crop_size",
            )
        if getattr(processor, "backend", None) == "pil":
            _check_same_pixels(processor, transform)
        return transform

    def for_channels(self, n: int) -> ImageTransform:
        """The transform of a model that reads pictures of so many channels.

        Raises:
            BackboneError: neither shades of grey nor colours, or other numbers of means.
        """
        if n == len(self.mean) == len(self.std) and n in (1, 3):
            return self
        plain = not any(self.mean) and all(one == 1 for one in self.std)
        if plain and n in (1, 3):
            return replace(self, mean=(0.0,) * n, std=(1.0,) * n)
        raise BackboneError(
            "backbone.processor",
            f"image_mean and image_std of {len(self.mean)} and {len(self.std)} channels for a model that "
            f"reads {n}",
            "a number for each channel of a model that reads 1 (grey) or 3 (red, green, blue)",
            "pass processor={...} with such settings, or pixels in place of pictures",
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        size = self.crop or self.resize
        assert isinstance(size, tuple)
        return size

    def at(self, side: int) -> ImageTransform:
        """The same transform with a square result of another size; a crop keeps its proportion.

        Args:
            side: height and width of the result in pixels.
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
        """Height and width of the picture after resizing, before a crop."""
        if self.resize is None:
            return picture.height, picture.width
        if isinstance(self.resize, tuple):
            return self.resize
        short, long = sorted(picture.size)
        longer = max(1, int(self.resize * long / short))
        return (self.resize, longer) if picture.width >= picture.height else (longer, self.resize)

    def resized(self, picture: Image.Image) -> Image.Image:
        """The resized picture in the model's colours, before a crop."""
        if len(self.mean) == 1 and picture.mode != "L":
            picture = picture.convert("L")
        if self.resize is None:
            return picture
        height, width = self.resized_size(picture)
        return picture.resize((width, height), resample=self.resample)

    def framed(self, picture: Image.Image) -> Image.Image:
        """The resized and cropped picture."""
        picture = self.resized(picture)
        return picture if self.crop is None else centre_crop(picture, *self.crop)

    def pixels(self, picture: Image.Image) -> Float[Tensor, "channel height width"]:
        """The pixels of a picture in RGB or grey, `[channel, height, width]`."""
        return self.normalised(self.framed(picture))

    def normalised(self, picture: Image.Image) -> Float[Tensor, "channel height width"]:
        """The pixels of a picture of the right size, scaled and normalised, `[channel, height, width]`."""
        return self.scaled(raw_pixels(picture))

    def scaled(
        self, raw: UInt8[Tensor, "*axis channel height width"]
    ) -> Float[Tensor, "*axis channel height width"]:
        """Scale and normalise 8-bit values, `[..., channel, height, width]`."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (raw.float() * self.scale - mean) / std


def raw_pixels(picture: Image.Image) -> UInt8[Tensor, "channel height width"]:
    """The 8-bit values of a picture in RGB or grey, `[channel, height, width]`."""
    raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return raw.view(picture.height, picture.width, len(picture.getbands())).permute(2, 0, 1)


def centre_crop(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The centre of a picture, padded with black if the picture is smaller."""
    # Rounded as in transformers; Pillow pads with black.
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _check_same_pixels(processor: Any, transform: ImageTransform) -> None:
    """Refuse a processor whose pixels differ, and which therefore has steps beyond its settings."""
    from PIL import Image

    noise = torch.randint(0, 256, (61, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.frombytes("RGB", (40, 61), noise.numpy().tobytes())
    if len(transform.mean) == 1:
        picture = picture.convert("L")
    try:
        theirs = torch.as_tensor(processor(picture)["pixel_values"][0]).float()
    except Exception as error:  # processors of other inputs fail in many ways
        got = f"{type(processor).__name__}, which takes no picture alone ({first_line(error)})"
        raise BackboneError("backbone.processor", got, "a processor of pictures") from None
    ours = transform.pixels(picture)
    if ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-4):
        return
    raise BackboneError(
        "backbone.processor",
        f"{type(processor).__name__}, which does more than its settings ({', '.join(_KNOWN)})",
        "a processor with these steps only (ViT's, DeiT's, BEiT's, CLIP's, SigLIP's, Bit's)",
        "pass its settings as a mapping, processor={...}, to apply just these steps",
    )


def _resizing(settings: Mapping[str, Any]) -> tuple[tuple[int, int] | int, tuple[int, int] | None]:
    """What a picture is resized to, and the crop that belongs to it.

    Three families resize to more than `size` says.

    Source: `resize` of transformers' ConvNextImageProcessor, PoolFormerImageProcessor, LevitImageProcessor.
    """
    size, share = _size(settings.get("size"), "size"), settings.get("crop_pct")
    family = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    if not family and share is not None:  # settings of an older file, or written by hand
        family = "PoolFormer" if settings.get("do_center_crop") else "ConvNext"
    if family.startswith("ConvNext") and isinstance(size, int):
        if size >= 384:
            return (size, size), None
        return int(size / (224 / 256 if share is None else share)), (size, size)
    if family.startswith("PoolFormer") and share is not None:
        if isinstance(size, int):
            return int(size / share), None
        height, width = size
        return int(height / share) if height == width else (int(height / share), int(width / share)), None
    if family.startswith("Levit") and isinstance(size, int):
        return int((256 / 224) * size), None
    return size, None


def _cropped(first: tuple[int, int] | None, then: tuple[int, int]) -> tuple[int, int]:
    """One crop in place of two in a row.

    Raises:
        BackboneError: two whose middles differ by rounding.
    """
    if first is not None and any(
        one < other or (one - other) % 2 for one, other in zip(first, then, strict=True)
    ):
        got = f"a crop to {then[0]} by {then[1]} behind one to {first[0]} by {first[1]}"
        raise BackboneError("backbone.processor", got, "one crop", "set do_center_crop to false")
    return then


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
