"""Visual prompts as tokens in a model with windowed attention (Swin).

The prompt's tokens run beside the picture's. Every window of a picture attends to that picture's own copy of
them, and the windows' outputs at the tokens are averaged over the picture, never over other pictures (in the
official code copies and windows are in different orders over the batch, so pictures mix).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception, attend_with_prefix
from softprompt.backbones.dispatch import Forward, Override
from softprompt.backbones.injection.injector import PassContext
from softprompt.backbones.injection.pictures.lowering import TokenPlan
from softprompt.backbones.inspection import Vision
from softprompt.errors import BackboneError


@dataclass
class _Beside:
    """The prompt's tokens in one call.

    Args:
        tokens: `[batch, prompt, width]`.
        attended: the outputs of the layer's attention at them, until the layer ends.
    """

    tokens: Tensor | None = None
    attended: Tensor | None = None


_PARTS = ("attention.o_proj", "layernorm_before", "layernorm_after", "mlp", "drop_path", "dropout")


def has_swin_layers(vision: Vision) -> bool:
    """Whether a windowed model's layers are made of the parts that run on tokens beside the windows."""
    names = [{name for name, _ in layer.module.named_modules()} for layer in vision.layers]
    before = all(layer.norm is getattr(layer.module, "layernorm_before", None) for layer in vision.layers)
    return hasattr(vision.base, "layernorm") and before and all(have.issuperset(_PARTS) for have in names)


class SwinInjector:
    """Tokens of a prompt beside a windowed picture.

    Source: VPT (arXiv 2203.12119), its Swin: relative biases and the shift's mask are zero at the prompt,
    outputs are averaged over windows, and patch merging takes four copies of a token for its four patches.
    Deviation: the windows averaged over are one picture's.

    Args:
        vision: the model.
        plan: the layers that have tokens.
    """

    def __init__(self, vision: Vision, plan: TokenPlan):
        self.vision = vision
        self.plan = plan
        self.present = range(plan.layers[0], plan.last + 1)
        downsamples = (getattr(module, "downsample", None) for module in vision.base.modules())
        self.merging = [module for module in downsamples if isinstance(module, nn.Module)]

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The layers that have tokens, the modules that merge patches, and the model."""
        layers = [self.vision.layers[i].module for i in self.present]
        return [self.vision.base, *layers, *self.merging]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """The picture and the tokens attend to each other."""
        return {self.vision.layers[i].attention: self._attend(context, i) for i in self.present}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Pass the tokens on from layer to layer."""
        context.notes[self] = _Beside()
        overrides = {self.vision.layers[i].module: self._layer(context, i) for i in self.present}
        overrides |= {module: self._merged(context, module) for module in self.merging}
        if self.plan.kept:
            overrides[self.vision.base] = self._finished(context)
        return overrides

    def _layer(self, context: PassContext, number: int) -> Override:
        def layer(below: Forward, *args: Any, **kwargs: Any) -> Any:
            beside: _Beside = context.notes[self]
            if number in self.plan.layers:
                self._refuse_checkpointing()
                own = context.by_row(context.lowered.visual.tokens[number], len(args[0]))
                beside.tokens = own.expand(len(args[0]), -1, -1).to(args[0])
            output = below(*args, **kwargs)
            if number < self.plan.last or self.plan.kept:
                self._rest(beside, self.vision.layers[number].module)
            return output

        return layer

    def _refuse_checkpointing(self) -> None:
        modules = self.vision.base.modules()
        if torch.is_grad_enabled() and any(
            getattr(m, "gradient_checkpointing", False) and m.training for m in modules
        ):
            raise BackboneError(
                "gradient checkpointing",
                "a prompt whose tokens run beside the windows",
                "a deep prompt whose outputs no head reads",
                "switch checkpointing off",
            )

    def _attend(self, context: PassContext, number: int) -> Interception:
        def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
            beside: _Beside = context.notes[self]
            tokens = beside.tokens
            assert tokens is not None
            own = self.vision.read_attention(number, tokens)
            n_windows = call.query.shape[0] // tokens.shape[0]
            # Windows come picture by picture, so a picture's tokens are repeated for each of its windows.
            query, keys, values = (
                part.repeat_interleave(n_windows, dim=0) for part in (own.query, own.key, own.value)
            )
            out = attend_with_prefix(call, keys, values, None, None, {})
            if number < self.plan.last or self.plan.kept:
                # No bias and no mask: the prompt is at no distance from anything.
                mine = AttentionCall(
                    call.stock, call.kernel, call.module, query, call.key, call.value, None, call.kwargs
                )
                attended, _ = attend_with_prefix(mine, keys, values, None, None, {})
                by_picture = attended.unflatten(0, (tokens.shape[0], n_windows))
                beside.attended = by_picture.mean(1).flatten(2)
            return out

        return attend

    def _rest(self, beside: _Beside, layer: Any) -> None:
        """Run the rest of the layer on the tokens, as the layer runs it on the picture."""
        assert beside.tokens is not None and beside.attended is not None
        tokens = beside.tokens + layer.drop_path(layer.dropout(layer.attention.o_proj(beside.attended)))
        beside.tokens = tokens + layer.dropout(layer.mlp(layer.layernorm_after(tokens)))
        beside.attended = None

    def _merged(self, context: PassContext, merging: Any) -> Override:
        def merged(below: Forward, *args: Any, **kwargs: Any) -> Any:
            output = below(*args, **kwargs)
            beside: _Beside = context.notes[self]
            # A deep prompt has tokens of the next stage's width already.
            if beside.tokens is not None and beside.tokens.shape[-1] * 4 == merging.norm.normalized_shape[0]:
                four = torch.cat([beside.tokens] * 4, dim=-1)
                beside.tokens = merging.reduction(merging.norm(four))
            return output

        return merged

    def _finished(self, context: PassContext) -> Override:
        def finished(below: Forward, *args: Any, **kwargs: Any) -> Any:
            output = below(*args, **kwargs)
            beside: _Beside = context.notes[self]
            assert beside.tokens is not None
            base: Any = self.vision.base
            context.own_states = base.layernorm(beside.tokens)
            beside.tokens = None
            return output

        return finished
