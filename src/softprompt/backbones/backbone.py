"""The frozen model and the one way in: `prompted`."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from softprompt.backbones.activation_cache import ActivationCache
from softprompt.backbones.image_transform import ImageTransform
from softprompt.backbones.initialization_sources import InitializationSources
from softprompt.backbones.injection import (
    PassContext,
    PictureReach,
    Session,
    TextReach,
    as_several,
    check_prompt,
    prompt_of_row,
)
from softprompt.backbones.inspection import (
    AttentionSite,
    BackboneSpec,
    described_again,
    fingerprint,
    has_pictures,
    inspect_model,
)
from softprompt.backbones.picture_texts import PictureTexts, picture_texts
from softprompt.backbones.runtime import shard, training_mode
from softprompt.backbones.view import PromptedView
from softprompt.errors import BackboneError
from softprompt.files import BackboneCard
from softprompt.prompts import (
    RECURRENT,
    AttentionShape,
    LayerLinears,
    PictureFacts,
    Prompt,
)


class Backbone(InitializationSources):
    """A frozen transformers model that prompts can work in. Make one with `load_backbone`.

    Args:
        model: a live transformers model; its parameters are frozen here.
        tokenizer: its tokenizer; without one, texts cannot be used, token ids can.
        name: for cards and messages.
        pixels: how pictures become pixels; without it, pictures cannot be used, pixels can.
        processor: transformers' processor of texts with pictures in them, of a model that reads such.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        name: str,
        pixels: ImageTransform | None = None,
        processor: Any = None,
    ):
        self._processor = processor
        self.model = model.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        self._pixels = pixels
        super().__init__(inspect_model(model, name, None if pixels is None else pixels.size))
        self.sharded = False
        """Whether the layers are shared out over several processes, which then run the same passes."""
        self.deep_as_tokens = False
        """Run deep visual prompts as tokens, the paper's own formulation, for comparisons."""
        self.spec: BackboneSpec = self.map.spec
        """Its sizes and names."""

    def shard(self, device: str | torch.device) -> None:
        """Keep this process's share of every layer only; see `runtime/fsdp.py` for what that asks of them.

        Args:
            device: of this process; the whole model is moved there.

        Raises:
            BackboneError: one process, or a model that cannot be shared out.
        """
        shard(self.model, self.map.attentions, self.spec.name, device)
        self.sharded = True

    # -- facts -----------------------------------------------------------------------------------

    @property
    def pixels(self) -> ImageTransform:
        """How pictures become pixels; BackboneError if that is not known."""
        if self._pixels is None:
            raise BackboneError(
                "backbone.processor",
                "a backbone without an image processor",
                "an image processor",
                "pass processor=... to load_backbone, or put preprocessor_config.json beside the weights",
            )
        return self._pixels

    @cached_property
    def picture_texts(self) -> PictureTexts:
        """How a text with a picture in it becomes tokens and pixels.

        Raises:
            BackboneError: a model that reads texts alone or pictures alone, or one without its processor.
        """
        return picture_texts(self._processor, self.model, self.spec)

    @property
    def reads_picture_texts(self) -> bool:
        """Whether texts with pictures can be read, by a model that takes them and its processor."""
        return hasattr(self._processor, "tokenizer") and has_pictures(self.model)

    @property
    def pictures(self) -> PictureFacts | None:
        """Sizes of a model that reads pictures, as prompts need them; None for one that reads texts."""
        vision, form = self.vision, self._pixels
        if vision is None:
            return None
        channels = vision.channels
        return PictureFacts(
            vision.size[0],
            vision.size[1],
            channels,
            vision.patch[0],
            tuple(layer.n_tokens for layer in vision.layers),
            tuple(layer.width for layer in vision.layers),
            vision.n_special,
            (0.0,) * channels if form is None else form.mean,
            (1.0,) * channels if form is None else form.std,
            vision.conv_tensors,
            None if vision.conv is None else vision.conv.out_channels,
            self._picture_reach.why_not,
        )

    @property
    def reads(self) -> Literal["texts", "pictures", "sounds"]:
        """What its encoder reads, or its only stack."""
        return self.spec.reads

    @property
    def card(self) -> BackboneCard:
        """The description that a prompt stores; made anew, since a live model can be changed."""
        self.spec = described_again(self.model, self.spec)
        return self.spec.card

    def known_as(self) -> frozenset[str]:
        """The fingerprint, and the one of the same model in float16."""
        known = {self.spec.fingerprint}
        if self.dtype == torch.float32 and not self.sharded:
            known.add(fingerprint(self.model, torch.float16))
        return frozenset(known)

    @property
    def hidden(self) -> int:
        """Width of the input embeddings, or of the first layer's tokens."""
        return self.spec.hidden

    @property
    def state_size(self) -> int:
        """Width of the hidden states that `read` gives."""
        return self.spec.state_size

    @property
    def stacks(self) -> frozenset[str]:
        """Which stacks take texts: `encoder`, `decoder` or both; none for a model that reads pictures."""
        return frozenset(self.map.stacks)

    @property
    def attentions(self) -> dict[tuple[str, int], AttentionShape]:
        """Key/value sizes of every (site, layer) that a prefix can reach.

        Raises:
            BackboneError: the architecture does not call a registered attention function.
        """
        vision = self.vision
        if vision is not None and vision.why_no_layers is not None:
            raise BackboneError(
                "backbone",
                f"{self.spec.name} ({self.spec.family}), {vision.why_no_layers}",
                "a model whose layers take a picture's tokens",
                "use visual_prompt_tuning with location='pixel-pad', which changes the picture alone",
            )
        if not self.map.attentions:
            raise BackboneError(
                "backbone",
                f"{self.spec.name} ({self.spec.family}), whose attention never calls the registered function",
                "a family whose attention goes through transformers' AttentionInterface",
            )
        return {(a.site, a.layer): a.shape for a in self.map.attentions}

    @property
    def sites(self) -> Sequence[AttentionSite]:
        """Every attention that can be reached, with its module."""
        return self.map.attentions

    @property
    def layers(self) -> tuple[LayerLinears, ...]:
        """Every layer with a self-attention, and the linear layers in it.

        Raises:
            BackboneError: attentions that a prefix cannot reach, or layers in no list.
        """
        assert self.attentions  # refuses by name
        return self.map.layers

    # -- the way in ------------------------------------------------------------------------------

    def prompted(
        self, prompts: Prompt | None | Sequence[Prompt | None], rows: Sequence[int] | Tensor | None = None
    ) -> AbstractContextManager[PromptedView]:
        """Within this context, plain transformers calls run under the prompts; undone exactly.

        The context belongs to the thread or task that enters it. Any number of them may be inside at once,
        each with prompts of its own, or with None. `as prompted` gives a view of the model, whose calls run
        under the prompts in any thread.

        Args:
            prompts: one prompt for all rows, or several (None stands for no prompt).
            rows: for each batch row the index of its prompt; without it, several prompts are one per row.

        Raises:
            PromptError: a prompt for another backbone, or rows that name no prompt.
            BackboneError: a layer that cannot be reached, or a session of this thread inside another.
        """
        several = as_several(prompts)
        single = isinstance(prompts, Prompt) or prompts is None
        index = None if single and rows is None else prompt_of_row(several, rows)
        for prompt in several:
            if prompt is not None:
                check_prompt(prompt, self.spec, self._places_for(prompt), self.dtype)
        if self._cache is not None:
            self._cache.check(several)
        return self._prompted(several, index)

    @contextmanager
    def _prompted(self, prompts: list[Prompt | None], rows: list[int] | None) -> Iterator[PromptedView]:
        if self._gate.session is not None:
            raise BackboneError(
                "prompted",
                "a second session of this thread inside the first",
                "one session at a time",
                "pass a list of prompts with rows=..., or leave the first before",
            )
        # Rows without any prompt are all alike.
        rows = rows if any(prompt is not None for prompt in prompts) else None
        as_columns = self._text_reach.check(prompts)
        as_tokens = self.deep_as_tokens or (
            self.vision is not None and self._picture_reach.as_tokens(prompts)
        )
        session = Session(self.map, self._gate, prompts, rows, as_tokens, as_columns)
        with session.opened():
            yield PromptedView(self, session)

    @contextmanager
    def cached(self, cache: ActivationCache) -> Iterator[None]:
        """Within this context, `read`, `look` and labelled logits and states under prompts use a cache.

        Raises:
            BackboneError: another cache is in use.
        """
        if self._cache is not None:
            raise BackboneError(
                "cached",
                "a second activation cache inside the first",
                "one activation cache at a time",
                "leave the first before the next",
            )
        self._cache = cache
        try:
            yield
        finally:
            self._cache = None

    @property
    def in_session(self) -> bool:
        """Whether this thread or task is inside `prompted`."""
        return self._gate.session is not None

    def active_rows(self, batch: int) -> list[tuple[Prompt | None, Tensor | None]]:
        """The prompts that are active now, in the order given, each with its rows of a batch.

        Args:
            batch: rows of the batch.

        Returns:
            A pair for each prompt that has rows (None is no prompt): the prompt and the indices of its
            rows, `[row]`, ascending; None in place of indices means all rows.

        Raises:
            BackboneError: outside `prompted`.
        """
        call: PassContext | None = self._gate.call
        if call is not None:
            return call.active_rows(batch)
        session = self._gate.session
        if session is None:
            raise BackboneError(
                "active_rows",
                "a call outside `with backbone.prompted(...)`",
                "a call inside it",
                "enter the session first",
            )
        return session.active_rows(batch)

    @property
    def is_causal(self) -> bool:
        """Whether the model reads from left to right (a decoder without an encoder)."""
        return self.map.decodes and not self.spec.is_encoder_decoder

    def training_mode(
        self, dropout: bool = False, gradient_checkpointing: bool = False
    ) -> AbstractContextManager[None]:
        """Set the frozen model's dropout and gradient checkpointing; undone on leaving."""
        return training_mode(self.model, dropout, gradient_checkpointing)

    # -- inside ----------------------------------------------------------------------------------

    def _places_for(self, prompt: Prompt) -> Collection[tuple[str, int]]:
        """The sites and layers that a prompt may enter; none for a prompt without vectors."""
        if prompt.card.placement == "states":
            return {(RECURRENT, layer) for layer in self.recurrences}
        if prompt.card.placement == "slot_embeddings" and self.map.stacks:
            return {(a.site, a.layer) for a in self.map.attentions}
        return self.attentions if prompt.card.sites else {}

    @cached_property
    def _text_reach(self) -> TextReach:
        """Which prompts can enter before or in a text, and how."""
        return TextReach(self, self.map, self._gate)

    @cached_property
    def _picture_reach(self) -> PictureReach:
        """Which locations visual prompts can have."""
        return PictureReach(self.map, self._gate)
