"""The map of a model, made once, when the model is loaded, from one recorded pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.attention_sites import (
    AttentionSite,
    attends_plainly,
    attention_sites,
    chosen_keys,
)
from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.images import native_size, reads_pictures
from softprompt.backbones.inspection.kept_state import KeptState
from softprompt.backbones.inspection.layers import find_layers
from softprompt.backbones.inspection.output_head import Finish, finish_of
from softprompt.backbones.inspection.probe import record
from softprompt.backbones.inspection.recurrences import find_recurrences
from softprompt.backbones.inspection.spec import BackboneSpec, describe
from softprompt.backbones.inspection.stacks import Stack, find_stacks
from softprompt.backbones.inspection.vision import Vision
from softprompt.backbones.loading import quantisation, quantised_layers
from softprompt.backbones.recurrence import Recurrence
from softprompt.errors import BackboneError, SoftpromptError, in_its_words
from softprompt.prompts import LayerLinears


@dataclass(frozen=True)
class ModelMap:
    """Where the parts of a model are.

    Args:
        model: the model.
        spec: its sizes, precision and fingerprint.
        attentions: those whose calls can be intercepted, in the order of the calls.
        stacks: by site, encoder first, the modules that take texts; empty for a model that reads pictures.
        vision: the layers of a model that reads pictures; else None.
        finish: the steps after the vocabulary matrix; None if there is no matrix, or the steps are unknown.
        events: modules as they begin (False) and end (True) in a pass, see `Recording`.
        attends_plainly: whether queries, keys, values and a causal mask were all that attentions were given.
        chosen_keys: how many keys attentions choose by scores of their own; None where they read all.
    """

    model: PreTrainedModel
    spec: BackboneSpec
    attentions: tuple[AttentionSite, ...]
    stacks: Mapping[str, Stack]
    vision: Vision | None
    finish: Finish | None
    events: tuple[tuple[nn.Module, bool], ...]
    attends_plainly: bool
    chosen_keys: int | None

    @cached_property
    def base(self) -> nn.Module:
        """The model below its own heads."""
        return base_module(self.model) if self.vision is None else self.vision.base

    @cached_property
    def decodes(self) -> bool:
        """Whether the model has a stack that reads from left to right."""
        return "decoder" in self.stacks

    @cached_property
    def encodes(self) -> bool:
        """Whether the model has a stack that reads in both directions."""
        return "encoder" in self.stacks

    @cached_property
    def layers(self) -> tuple[LayerLinears, ...]:
        """Every layer with a self-attention, and the linear layers in it.

        Raises:
            BackboneError: layers outside of a ModuleList.
        """
        ended = [module for module, ends in self.events if ends]
        return find_layers(self.model, self.attentions, ended, self.spec.name)

    @cached_property
    def recurrences(self) -> tuple[Recurrence, ...]:
        """The layers whose recurrent states a prompt can train; found and tried when first asked for.

        Raises:
            BackboneError: no such layer, or one that cannot begin from a state of ours.
        """
        return find_recurrences(self.model, self.spec.name)

    @property
    def knows_recurrences(self) -> bool:
        """Whether `recurrences` need not run the model any more."""
        return "recurrences" in self.__dict__

    def behind(self, layer: nn.Module) -> set[nn.Module]:
        """The modules that run only after a layer has ended."""
        end = self.events.index((layer, True))
        early = {module for module, ends in self.events[:end] if not ends}
        return {module for module, ends in self.events[end:] if not ends} - early

    @cached_property
    def entries(self) -> tuple[nn.Module, ...]:
        """The modules that users may call: the whole model, its base model, its stacks."""
        base = self.base
        entries = [self.model, base, *(stack.module for stack in self.stacks.values())]
        if self.spec.is_encoder_decoder:
            entries.append(self.model.get_encoder())
        return tuple(dict.fromkeys(entries))

    @cached_property
    def kept(self) -> KeptState:
        """What the model keeps from one call to the next."""
        return KeptState(self.model)

    @cached_property
    def quantised(self) -> tuple[tuple[str, nn.Module], ...]:
        """The layers with quantised numbers, and their paths."""
        return tuple(quantised_layers(self.model))

    @cached_property
    def checkpointable(self) -> tuple[nn.Module, ...]:
        """The modules that can recompute their activations in the backward pass."""
        return tuple(m for m in self.model.modules() if hasattr(m, "gradient_checkpointing"))


def inspect_model(model: PreTrainedModel, name: str, size: tuple[int, int] | None = None) -> ModelMap:
    """Run a model once and find its parts.

    Args:
        model: the model.
        name: for cards and messages.
        size: height and width of pictures in pixels; None is the model's own size.

    Raises:
        BackboneError: a model that prompts cannot work in.
    """
    if not (reads_pictures(model) or _has_table(model)):
        raise BackboneError(
            "backbone",
            f"{name} ({model.config.model_type}), whose tokens have no table of input embeddings",
            "a model that looks each token's vector up in one table",
            "choose another family",
        )
    try:
        recording = record(model, size)
    except (SoftpromptError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        method = quantisation(model.config)
        if method is not None and isinstance(error, AssertionError | AttributeError):
            raise BackboneError(
                "backbone",
                f"{name} ({model.config.model_type}), whose weights are said to be quantised ({method}) and "
                f"cannot be computed with ({in_its_words(error)})",
                "weights in the form that config.json names",
                "quantise the plain checkpoint anew, or remove quantization_config from its config.json",
            ) from error
        raise BackboneError(
            "backbone",
            f"{name} ({model.config.model_type}), which does not read two tokens, or a picture, alone "
            f"({in_its_words(error)})",
            "a model that reads texts or pictures without anything else",
            "load the part of it that does",
        ) from error
    attentions = attention_sites(model, recording)
    pictures = reads_pictures(model)
    stacks = {} if pictures else find_stacks(model, attentions, recording)
    vision = Vision(model, attentions, size or native_size(model), recording) if pictures else None
    return ModelMap(
        model,
        describe(model, name, recording, stacks, vision),
        attentions,
        stacks,
        vision,
        finish_of(model, recording),
        tuple(recording.events),
        attends_plainly(recording),
        chosen_keys(model),
    )


def _has_table(model: PreTrainedModel) -> bool:
    """Whether a model has a table of input embeddings; CANINE hashes, Perceiver's is a parameter."""
    try:
        return isinstance(model.get_input_embeddings().weight, Tensor)
    except (AttributeError, NotImplementedError):
        return False
