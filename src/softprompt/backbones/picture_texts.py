"""Texts with a picture in them: what a model's own processor makes of one, and batches of several."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.backbones.inspection import WRITTEN_TYPES, BackboneSpec, base_module, has_pictures
from softprompt.errors import BackboneError, DataError, counted

if TYPE_CHECKING:
    from PIL.Image import Image

_PLACES = ("image_token", "boi_token")
"""Attributes of processors with the word that stands for a picture in a text."""

_TYPES = ("token_type_ids", "mm_token_type_ids")
"""Keywords that say of each token what it is."""


@dataclass(frozen=True)
class PictureText:
    """A text with a picture, as a model reads it.

    Args:
        ids: tokens, with those that stand for the picture.
        types: by keyword, what each token is.
        pixels: by keyword, what the family's processor makes of the picture, with an axis of pictures or of
            their patches in front.
    """

    ids: tuple[int, ...]
    types: Mapping[str, tuple[int, ...]]
    pixels: Mapping[str, Tensor]


class PictureTexts:
    """Reads texts with a picture by the processor of a family.

    Args:
        processor: transformers' processor, of texts and pictures together.
        model: the model.
    """

    def __init__(self, processor: Any, model: Any):
        self._processor = processor
        self._model = model
        words = dict.fromkeys(getattr(processor, name, None) for name in _PLACES)
        self.places = tuple(str(word) for word in words if word is not None)
        """Words that stand for a picture in a text; the first one that the processor takes counts."""

    def count(self, text: str) -> int:
        """How many pictures a text has places for."""
        return max((text.count(word) for word in self.places), default=0)

    def read(self, text: str, picture: "Image", where: str) -> PictureText:
        """A text and its picture, which stands in front of the text where the text has no place for it.

        Args:
            text: with at most one word that stands for a picture.
            picture: in RGB.
            where: names the record in errors.

        Raises:
            DataError: a text with places for several pictures, or one that the processor does not take.
        """
        n_places = self.count(text)
        if n_places > 1:
            raise DataError(
                where,
                f"a text with places for {counted(n_places, 'picture')} ({self.places[0]})",
                "one place for the record's one picture, or none, which puts it in front",
                "remove the others",
            )
        reasons = []
        for word in self.places:
            whole = text if n_places else self._around(word) + text
            try:
                return self._read(whole, picture)
            except (ValueError, TypeError, IndexError) as error:
                reasons.append(" ".join(str(error).split()) or type(error).__name__)
        raise DataError(
            where,
            f"a text and a picture that the model's own processor does not take ({'; '.join(reasons)})",
            "a text with a place for its picture, or without one",
            f"write {self.places[0]} where the picture stands" if self.places else "",
        )

    def _read(self, text: str, picture: "Image") -> PictureText:
        made = dict(self._processor(text=[text], images=[picture], return_tensors="pt"))
        ids = made.pop("input_ids")
        for name in ("attention_mask", "labels"):  # some make labels of what stands before a target
            made.pop(name, None)
        types = {name: tuple(made.pop(name)[0].tolist()) for name in _TYPES if name in made}
        known = inspect.signature(base_module(self._model).forward).parameters
        image = getattr(self._model.config, "image_token_id", None)
        if _TYPES[1] in known and _TYPES[1] not in types:
            types[_TYPES[1]] = tuple(int(i == image) for i in ids[0].tolist())
        pixels = {name: torch.as_tensor(value) for name, value in made.items()}
        return PictureText(tuple(ids[0].tolist()), types, pixels)

    def _around(self, word: str) -> str:
        """The word that stands for a picture, within those that a family writes around it."""
        config, tokenizer = self._model.config, self._processor.tokenizer
        ends = [getattr(config, f"vision_{end}_token_id", None) for end in ("start", "end")]
        if not all(isinstance(end, int) for end in ends):
            return word
        first, last = tokenizer.convert_ids_to_tokens(ends)
        return f"{first}{word}{last}"

    def beside(self, rows: Sequence[PictureText], n_written: Sequence[int], ids: Tensor, mask: Tensor) -> Any:
        """What a batch needs beside its token ids.

        Args:
            rows: of the batch.
            n_written: of each row, how many tokens at its end the model is to write.
            ids: of the whole batch, padded on either side, `[batch, seq]`.
            mask: 1 at real tokens, `[batch, seq]`.

        Returns:
            Keywords of the model, on the device of `ids` and in the model's precision.
        """
        made: dict[str, Tensor] = {}
        for name in rows[0].types:
            written = WRITTEN_TYPES.get(self._model.config.model_type, 0) if name == _TYPES[0] else 0
            made[name] = torch.zeros_like(ids)
            for i, row in enumerate(rows):
                own = int(mask[i].sum())
                kinds = [*row.types[name], *[row.types[name][-1]] * (own - len(row.ids))]
                kinds[own - n_written[i] :] = [written] * n_written[i]
                made[name][i, mask[i].bool()] = torch.tensor(kinds, device=ids.device)
        for name in rows[0].pixels:
            joined = torch.cat([row.pixels[name] for row in rows]).to(ids.device)
            made[name] = joined.to(self._model.dtype) if joined.is_floating_point() else joined
        return made


def picture_texts(processor: Any, model: Any, spec: BackboneSpec) -> PictureTexts:
    """How a text with a picture in it becomes tokens and pixels.

    Args:
        processor: of the model; a text is the reason why there is none.
        model: the model.
        spec: of the backbone.

    Raises:
        BackboneError: a model that reads texts alone or pictures alone, or one without its processor.
    """
    if spec.reads == "pictures" or not has_pictures(model):
        raise BackboneError(
            "backbone",
            f"{spec.name} ({spec.family}), which reads {spec.reads} alone",
            "a model that reads texts with pictures in them, for records with pictures",
            "load one (LLaVA, Qwen-VL, Gemma 3, …), or leave the pictures out of the data",
        )
    if not hasattr(processor, "tokenizer"):
        reason = f" ({processor})" if isinstance(processor, str) else ""
        raise BackboneError(
            "backbone.processor",
            f"{spec.name} without a processor of texts and pictures{reason}",
            "the processor of its family",
            "put processor_config.json and preprocessor_config.json beside the weights, or pass "
            "processor=... to load_backbone",
        )
    return PictureTexts(processor, model)
