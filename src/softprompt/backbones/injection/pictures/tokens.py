"""A visual prompt's tokens among a picture's own, and vectors added to the picture's tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception, self_computed
from softprompt.backbones.dispatch import Forward, Override
from softprompt.backbones.injection.injector import PassContext
from softprompt.backbones.injection.pictures.lowering import TokenPlan
from softprompt.backbones.inspection import Vision
from softprompt.errors import PromptError


class VisionTokenInjector:
    """Puts each row's tokens behind the class token.

    The tokens are removed behind the last layer that has them, or, where a head reads them, behind the
    model's last norm. So states have the picture's own tokens alone.

    Args:
        vision: the model.
        plan: the layers that have tokens, the same for all rows, and the largest number of tokens.
    """

    def __init__(self, vision: Vision, plan: TokenPlan):
        self.vision = vision
        self.plan = plan
        self.place = 1 if vision.n_special else 0

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The layers that have tokens, and the model."""
        layers = {*self.plan.layers, self.plan.last}
        attentions = self_computed(self._attending())
        return [self.vision.base, *(self.vision.layers[i].module for i in sorted(layers)), *attentions]

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Put tokens in before layers, and remove them behind the last."""
        plan = self.plan
        overrides: dict[nn.Module, Override] = self_computed(self._attending())
        for number in sorted({*plan.layers, plan.last}):
            inserts, takes_out = number in plan.layers, number == plan.last and not plan.kept
            overrides[self.vision.layers[number].module] = self._layer(context, number, inserts, takes_out)
        if plan.kept:
            overrides[self.vision.base] = self._keeping(context)
        return overrides

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """Widen masks and relative biases (BEiT's) by the tokens; rows see only their own prompt's."""

        def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
            mask = call.read_mask().with_tokens(self.place, call.key.shape[2])
            n_tokens = context.lowered.visual.n_tokens
            if n_tokens is not None:
                mask = mask.showing(self._shown(context, n_tokens, call.key))
            return call.stock(call.module, call.query, call.key, call.value, mask.values, **call.kwargs)

        return dict.fromkeys(self._attending(), attend)

    def _shown(self, context: PassContext, n_tokens: Tensor, key: Tensor) -> Tensor:
        """Which keys are a picture's own or of its row's prompt, `[batch, key]`."""
        places = torch.arange(key.shape[2], device=key.device) - self.place
        own = context.by_row(n_tokens.to(key.device), len(key))[:, None]
        return (places < own) | (places >= self.plan.length)

    def _attending(self) -> list[nn.Module]:
        present = range(self.plan.layers[0], self.plan.last + 1)
        return [self.vision.layers[i].attention for i in present]

    def _layer(self, context: PassContext, number: int, inserts: bool, takes_out: bool) -> Override:
        replaces = number != self.plan.layers[0]

        def layer(below: Forward, *args: Any, **kwargs: Any) -> Any:
            if inserts:
                args, kwargs = change_tokens(args, kwargs, put_in)
            output = below(*args, **kwargs)
            return change_tokens((output,), {}, take_out)[0][0] if takes_out else output

        def put_in(tokens: Tensor) -> Tensor:
            own = context.by_row(context.lowered.visual.tokens[number], len(tokens)).to(tokens)
            own = own.expand(len(tokens), -1, -1)
            behind = self.place + (own.shape[1] if replaces else 0)
            return torch.cat([tokens[:, : self.place], own, tokens[:, behind:]], dim=1)

        def take_out(tokens: Tensor) -> Tensor:
            return self._apart(context, tokens)[0]

        return layer

    def _keeping(self, context: PassContext) -> Override:
        def keep(below: Forward, *args: Any, **kwargs: Any) -> Any:
            output = below(*args, **kwargs)
            states, own = self._apart(context, output[0])
            context.own_states = self.vision.finished(own)
            if isinstance(output, tuple):
                return (states, *output[1:])
            output.last_hidden_state = states
            return output

        return keep

    def _apart(self, context: PassContext, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The picture's own tokens, and the prompt's."""
        n_own = context.lowered.visual.tokens[self.plan.layers[0]].shape[-2]
        start, end = self.place, self.place + n_own
        return torch.cat([tokens[:, :start], tokens[:, end:]], dim=1), tokens[:, start:end]


@dataclass(frozen=True)
class AddedTokenInjector:
    """Adds vectors to a picture's tokens before layers.

    Args:
        vision: the model.
        layers: before which vectors are added.
    """

    vision: Vision
    layers: Sequence[int]

    @property
    def modules(self) -> Sequence[nn.Module]:
        """Those layers."""
        return [self.vision.layers[i].module for i in self.layers]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Add each row's own vectors."""
        return {self.vision.layers[i].module: self._adding(context, i) for i in self.layers}

    def _adding(self, context: PassContext, number: int) -> Override:
        def layer(below: Forward, *args: Any, **kwargs: Any) -> Any:
            args, kwargs = change_tokens(args, kwargs, add)
            return below(*args, **kwargs)

        def add(tokens: Tensor) -> Tensor:
            extra = context.by_row(context.lowered.visual.added[number], len(tokens))
            if extra.shape[1] not in (1, tokens.shape[1]):
                raise PromptError(
                    "pixel_values",
                    f"a picture of {tokens.shape[1]} tokens in layer {number}, for an 'add' prompt",
                    f"{extra.shape[1]} tokens, for which the prompt was made",
                )
            return tokens + extra.to(tokens)

        return layer


def first_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The first tensor among a call's arguments: what a layer calls its hidden states."""
    return next(given for given in (*args, *kwargs.values()) if isinstance(given, Tensor))


def change_tokens(
    args: tuple[Any, ...], kwargs: dict[str, Any], change: Callable[[Tensor], Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call's arguments with its tokens changed; a tuple in the first place stands for its first item.

    Args:
        args: positional ones.
        kwargs: those by keyword.
        change: gives other tokens, `[picture, token, width]`.
    """
    if args and isinstance(args[0], tuple):
        (tokens, *rest), *more = args
        return ((change(tokens), *rest), *more), kwargs
    tokens = first_of(args, kwargs)
    changed = change(tokens)
    args = tuple(changed if given is tokens else given for given in args)
    return args, {name: changed if given is tokens else given for name, given in kwargs.items()}


def plan_of(plans: Sequence[TokenPlan | None], mixes: bool) -> TokenPlan | None:
    """The layers that have tokens, the same for all prompts of a batch.

    Args:
        plans: of each prompt that rows have.
        mixes: whether rows may have different numbers of tokens, or none.

    Raises:
        PromptError: prompts that put tokens into different places.
    """
    found = {plan for plan in plans if plan is not None}
    if not found or len(set(plans)) == 1:
        return plans[0] if plans else None
    longest = max(found, key=lambda plan: plan.length)
    alike = all(replace(plan, length=longest.length) == longest for plan in found)
    if not (mixes and alike) or longest.kept:
        raise PromptError(
            "prompted",
            "prompts that put different tokens among a picture's own in one batch",
            "prompts of one length in the same layers, or deep prompts whose tokens no head reads",
            "give their rows batches of their own",
        )
    return longest
