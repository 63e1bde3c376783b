"""Visual prompts in the picture itself: a border around the picture, and further channels."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Forward, Override, bound_arguments
from softprompt.backbones.injection.injector import PassContext
from softprompt.backbones.inspection import Vision
from softprompt.errors import PromptError


class PixelInjector:
    """Puts a border around each row's picture, and adds the outputs of further channels to its patches.

    Args:
        vision: the model.
    """

    def __init__(self, vision: Vision):
        self.vision = vision
        self._signature = inspect.signature(vision.base.forward)

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The model, and its patch convolution."""
        return [self.vision.base, *([] if self.vision.conv is None else [self.vision.conv])]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Check that the batch fits the rows, and change its pixels."""
        overrides: dict[nn.Module, Override] = {self.vision.base: self._framed(context)}
        if context.lowered.visual.channels is not None and self.vision.conv is not None:
            overrides[self.vision.conv] = self._channels(context, context.lowered.visual.channels)
        return overrides

    def _framed(self, context: PassContext) -> Override:
        def framed(below: Forward, *args: Any, **kwargs: Any) -> Any:
            given = bound_arguments(self._signature, args, kwargs)
            pixels, tables = given.get("pixel_values"), context.lowered.visual
            if pixels is None:
                return below(*args, **kwargs)
            context.rows_for(len(pixels))  # the batch must fit the rows
            context.widened.clear()  # holds masks of one run over the layers, and a new run begins
            if tables.border is None:
                return below(*args, **kwargs)
            frame = context.by_row(tables.border, len(pixels)).to(pixels)
            border = tables.width
            inner = (pixels.shape[-2] + 2 * border, pixels.shape[-1] + 2 * border)
            if inner != tuple(frame.shape[-2:]):
                _refuse_size(
                    "pixel-pad", pixels, (frame.shape[-2] - 2 * border, frame.shape[-1] - 2 * border)
                )
            padded = nn.functional.pad(pixels, (border,) * 4)
            given["pixel_values"] = padded + frame
            return below(**(given | self.vision.options(padded)))

        return framed

    def _channels(self, context: PassContext, extra: Tensor) -> Override:
        def channels(below: Forward, *args: Any, **kwargs: Any) -> Tensor:
            output = below(*args, **kwargs)
            if extra.shape[-2:] != output.shape[-2:]:
                _refuse_size("channel", args[0], self.vision.size)
            return output + context.by_row(extra, len(output)).to(output)

        return channels


def _refuse_size(location: str, pixels: Tensor, expected: tuple[int, int]) -> None:
    raise PromptError(
        "pixel_values",
        f"{pixels.shape[-2]} x {pixels.shape[-1]} pixels for a '{location}' prompt",
        f"{expected[0]} x {expected[1]} pixels, for which the prompt was made",
    )
