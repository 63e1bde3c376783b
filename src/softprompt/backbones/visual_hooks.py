"""Visual prompts at work in a model: tokens among a picture's own, additions to them, and pixels."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception
from softprompt.backbones.vision import Vision
from softprompt.backbones.visual_parts import TokenPlan, VisualTables
from softprompt.errors import PromptError

_Rows = Callable[[int], Tensor | None]


class VisualHooks:
    """Puts each row's tokens behind its class token, adds to tokens, and changes pixels.

    Tokens are taken out again behind the last layer that has them, or, where a head reads them, behind the
    model's last norm; so states have the picture's own tokens alone.

    Args:
        vision: the model.
        plan: where tokens stand; the same for all rows.
        rows_for: which prompt each row of a batch has (None: one for all).
        now: the tensors of the current pass.
    """

    def __init__(
        self, vision: Vision, plan: TokenPlan | None, rows_for: _Rows, now: Callable[[], VisualTables]
    ):
        self.vision = vision
        self.plan = plan
        self.rows_for = rows_for
        self.now = now
        self.place = 1 if vision.n_special else 0
        self.own_states: Tensor | None = None
        """What the last layer made of the prompts' tokens, normed, `[batch, prompt, hidden]`."""
        self._signature = inspect.signature(vision.base.forward)
        self._n_own = 0
        self.paused = False
        """Whether pixels pass as they are, since only layers below every prompt run."""

    def install(self, added: Sequence[int]) -> list[Any]:
        """Register the hooks; returns their handles.

        Args:
            added: layers before which something is added to the tokens.
        """
        vision, plan = self.vision, self.plan
        handles = [
            vision.base.register_forward_pre_hook(self._pixels, with_kwargs=True),
            vision.conv.register_forward_hook(self._channels),
        ]
        for number, layer in enumerate(vision.layers):
            if number in added:
                handles.append(layer.module.register_forward_pre_hook(self._add(number)))
            if plan is None or vision.windowed:
                continue
            if number in plan.layers:
                handles.append(layer.module.register_forward_pre_hook(self._insert(number, plan)))
            if number == plan.last and not plan.kept:
                handles.append(layer.module.register_forward_hook(self._take_out))
        if plan is not None and plan.kept and not vision.windowed:
            handles.append(vision.base.register_forward_hook(self._keep))
        return handles

    def interceptions(self) -> dict[nn.Module, Interception]:
        """What stands on attentions whose relative biases do not know of the tokens (BEiT's)."""
        plan = self.plan
        if plan is None or self.vision.windowed:
            return {}
        present = range(plan.layers[0], plan.last + 1)
        return {self.vision.layers[i].attention: Unplaced(self.place) for i in present}

    # -- pixels ----------------------------------------------------------------------------------

    def _pixels(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = self._signature.bind_partial(*args, **kwargs).arguments
        given = {**bound.pop("kwargs", {}), **bound}
        pixels = given.get("pixel_values")
        if pixels is None or self.paused:
            return None
        tables = self.now()
        self._n_own = 0 if self.plan is None else tables.tokens[self.plan.layers[0]].shape[-2]
        if tables.border is None:
            return None
        frame = self._by_row(tables.border, len(pixels)).to(pixels)
        border = tables.width
        inner = (pixels.shape[-2] + 2 * border, pixels.shape[-1] + 2 * border)
        if inner != tuple(frame.shape[-2:]):
            self._refuse_size(
                "pixel-pad", pixels, (frame.shape[-2] - 2 * border, frame.shape[-1] - 2 * border)
            )
        padded = nn.functional.pad(pixels, (border,) * 4)
        given["pixel_values"] = padded + frame
        given |= self.vision.options(padded)
        return (), given

    def _channels(self, conv: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        extra = None if self.paused else self.now().channels
        if extra is None:
            return None
        if extra.shape[-2:] != output.shape[-2:]:
            self._refuse_size("channel", args[0], self.vision.size)
        return output + self._by_row(extra, len(output)).to(output)

    def _refuse_size(self, location: str, pixels: Tensor, wanted: tuple[int, int]) -> None:
        raise PromptError(
            "pixel_values",
            f"{pixels.shape[-2]} x {pixels.shape[-1]} pixels for a '{location}' prompt",
            f"{wanted[0]} x {wanted[1]} pixels, for which the prompt was made",
        )

    # -- tokens ----------------------------------------------------------------------------------

    def _add(self, number: int) -> Callable[..., Any]:
        def add(module: nn.Module, args: tuple[Any, ...]) -> Any:
            tokens = args[0]
            extra = self._by_row(self.now().added[number], len(tokens))
            if extra.shape[1] not in (1, tokens.shape[1]):
                raise PromptError(
                    "pixel_values",
                    f"a picture of {tokens.shape[1]} tokens in layer {number}, for an 'add' prompt",
                    f"{extra.shape[1]} tokens, for which the prompt was made",
                )
            return (tokens + extra.to(tokens), *args[1:])

        return add

    def _insert(self, number: int, plan: TokenPlan) -> Callable[..., Any]:
        first = number == plan.layers[0]

        def insert(module: nn.Module, args: tuple[Any, ...]) -> Any:
            tokens = args[0]
            own = self._by_row(self.now().tokens[number], len(tokens)).to(tokens)
            behind = self.place + (0 if first else own.shape[1])
            tokens = torch.cat([tokens[:, : self.place], own, tokens[:, behind:]], dim=1)
            return (tokens, *args[1:])

        return insert

    def _take_out(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return self._parts(output)[0]

    def _keep(self, module: nn.Module, args: Any, output: Any) -> Any:
        states, own = self._parts(output[0])
        self.own_states = self.vision.finished(own)
        if isinstance(output, tuple):
            return (states, *output[1:])
        output.last_hidden_state = states
        return output

    def _parts(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The picture's own tokens, and the prompt's."""
        start, end = self.place, self.place + self._n_own
        return torch.cat([tokens[:, :start], tokens[:, end:]], dim=1), tokens[:, start:end]

    def _by_row(self, table: Tensor, batch: int) -> Tensor:
        """`[prompt_id, ...]` by row, `[batch, ...]`."""
        rows = self.rows_for(batch)
        return table.expand(batch, *table.shape[1:]) if rows is None else table[rows.to(table.device)]


@dataclass(frozen=True)
class Unplaced:
    """Relative biases of a picture, widened for tokens that have no place in it.

    Args:
        place: where the tokens stand.
    """

    place: int

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """The attention, in which the prompt is at no distance from anything."""
        mask, n_keys = call.mask, call.key.shape[2]
        if mask is None or mask.shape[-1] == n_keys:
            return call.as_usual()
        wide = mask.new_zeros(*mask.shape[:2], n_keys, n_keys)
        kept = [i for i in range(n_keys) if not self.place <= i < self.place + n_keys - mask.shape[-1]]
        index = torch.tensor(kept, device=mask.device)
        wide[:, :, index[:, None], index] = mask
        return call.stock(call.module, call.query, call.key, call.value, wide, **call.kwargs)


def plan_of(plans: Sequence[TokenPlan | None]) -> TokenPlan | None:
    """Where tokens stand, the same for all prompts of a batch.

    Args:
        plans: of each prompt that rows have.

    Raises:
        PromptError: prompts that put tokens into different places.
    """
    if any(plan != plans[0] for plan in plans):
        raise PromptError(
            "prompted",
            "prompts that put different tokens among a picture's own in one batch",
            "prompts of one length in the same layers, or deep prompts whose tokens no head reads",
            "give their rows batches of their own",
        )
    return plans[0] if plans else None
