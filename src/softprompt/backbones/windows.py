"""Visual prompts that read the picture in a model that looks through windows (Swin).

The prompt's tokens run beside the picture's: every window of a picture meets that picture's own copy, and
what its windows make of the tokens is averaged over them, never over other pictures (in the official code
they are spread over the batch in another order than the windows, and mix).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception
from softprompt.backbones.prefix_attention import attend_with_prefix
from softprompt.backbones.vision import Vision
from softprompt.backbones.visual_parts import TokenPlan, VisualTables
from softprompt.errors import BackboneError

_Rows = Callable[[int], Tensor | None]


class WindowTokens:
    """Tokens of a prompt beside a windowed picture.

    Source: VPT (arXiv 2203.12119), its Swin: relative biases and the shift's mask are zero at the prompt,
    outputs are averaged over windows, and patch merging takes four copies of a token for its four patches.
    Deviation: the windows averaged over are one picture's.

    Args:
        vision: the model.
        plan: where tokens stand.
        rows_for: which prompt each row of a batch has (None: one for all).
        now: the tensors of the current pass.
    """

    def __init__(self, vision: Vision, plan: TokenPlan, rows_for: _Rows, now: Callable[[], VisualTables]):
        self.vision = vision
        self.plan = plan
        self.rows_for = rows_for
        self.now = now
        self.own_states: Tensor | None = None
        """What the last layer made of the tokens, behind the last norm, `[batch, prompt, hidden]`."""
        self._tokens: Tensor | None = None
        self._attended: Tensor | None = None
        self._present = range(plan.layers[0], plan.last + 1)

    def install(self) -> list[Any]:
        """Register the hooks; returns their handles."""
        handles: list[Any] = []
        for number in self._present:
            layer = self.vision.layers[number].module
            handles.append(layer.register_forward_pre_hook(self._before(number)))
            if number < self.plan.last or self.plan.kept:
                handles.append(layer.register_forward_hook(self._after))
        for module in self.vision.base.modules():
            merging = getattr(module, "downsample", None)
            if isinstance(merging, nn.Module):
                handles.append(merging.register_forward_hook(self._merged))
        if self.plan.kept:
            handles.append(self.vision.base.register_forward_hook(self._finish))
        return handles

    def interceptions(self) -> dict[nn.Module, Interception]:
        """What stands on the attentions."""
        return {self.vision.layers[i].attention: self._attend(i) for i in self._present}

    def _before(self, number: int) -> Callable[..., Any]:
        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            if number in self.plan.layers:
                if torch.is_grad_enabled() and any(
                    getattr(m, "gradient_checkpointing", False) and m.training
                    for m in self.vision.base.modules()
                ):
                    raise BackboneError(
                        "gradient checkpointing",
                        "checkpointing with a prompt whose tokens run beside the windows",
                        "a deep prompt whose outputs no head reads",
                        "switch checkpointing off",
                    )
                batch = len(args[0])
                table, rows = self.now().tokens[number], self.rows_for(batch)
                own = table.expand(batch, -1, -1) if rows is None else table[rows.to(table.device)]
                self._tokens = own.to(args[0])

        return before

    def _attend(self, number: int) -> Interception:
        def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
            tokens = self._tokens
            assert tokens is not None
            own = self.vision.read_attention(number, tokens)
            n_windows = call.query.shape[0] // tokens.shape[0]
            # Windows follow picture by picture, so a picture's tokens are repeated for each of its own.
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
                self._attended = by_picture.mean(1).flatten(2)
            return out

        return attend

    def _after(self, layer: nn.Module, args: Any, output: Any) -> None:
        """The rest of the layer, for the tokens: as the layer does it for the picture."""
        assert self._tokens is not None and self._attended is not None
        parts: Any = layer
        tokens = self._tokens + parts.drop_path(parts.dropout(parts.attention.o_proj(self._attended)))
        self._tokens = tokens + parts.dropout(parts.mlp(parts.layernorm_after(tokens)))
        self._attended = None

    def _merged(self, merging: nn.Module, args: Any, output: Any) -> None:
        if self._tokens is None:
            return
        parts: Any = merging
        if self._tokens.shape[-1] * 4 != parts.norm.normalized_shape[0]:
            return  # a deep prompt brings tokens of the next stage's width
        self._tokens = parts.reduction(parts.norm(torch.cat([self._tokens] * 4, dim=-1)))

    def _finish(self, module: nn.Module, args: Any, output: Any) -> None:
        assert self._tokens is not None
        parts: Any = module
        self.own_states = parts.layernorm(self._tokens)
        self._tokens = None
