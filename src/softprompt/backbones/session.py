"""The time during which prompts are active in a model: what is put on it, and its exact undoing."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall, put, routed
from softprompt.backbones.describe import AttentionSite
from softprompt.backbones.front import SoftFront
from softprompt.backbones.positions import PositionHook, relative_columns
from softprompt.backbones.prefix_attention import attend_with_prefix
from softprompt.backbones.tables import Table, make_tables
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts.placements import KeyValues, SlotEmbeddings
from softprompt.prompts.prompt import Prompt

Lower = Callable[[Prompt], tuple[KeyValues, ...] | SlotEmbeddings]


@dataclass
class Lowered:
    """The prompts' tensors as the current forward pass uses them."""

    tables: dict[tuple[str, int], Table]
    widened: dict[Any, Any]


class Session:
    """Prompts at work in a model. Enter it through `Backbone.prompted`.

    Args:
        model: the frozen model.
        attentions: the attentions that can be reached.
        stacks: for `encoder` and `decoder`, the module that takes that text.
        max_positions: longest input in tokens, or None.
        name: of the backbone, for errors.
        prompts: one or several; None stands for no prompt.
        rows: for each batch row, which prompt; None when one prompt serves all rows.
        lower: makes a prompt's placement into key/values where that is exact.
        dtype: the backbone's precision.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attentions: Sequence[AttentionSite],
        stacks: dict[str, nn.Module],
        max_positions: int | None,
        name: str,
        prompts: Sequence[Prompt | None],
        rows: Sequence[int] | None,
        lower: Lower,
        dtype: torch.dtype,
    ):
        self.model = model
        self.stacks = stacks
        self.max_positions = max_positions
        self.name = name
        self.prompts = prompts
        self.rows = None if rows is None else torch.tensor(rows, dtype=torch.long)
        self.lower = lower
        self.dtype = dtype
        self.active = False
        self.paused = False
        self.generating = False
        self.current: Lowered | None = None
        self._version: Any = None
        self._depth = 0
        self._undo = ExitStack()
        in_front = "cross" in {a.site for a in attentions} and any(map(_has_slots, prompts))
        self.front = SoftFront(stacks["encoder"], stacks["decoder"], self.rows_for) if in_front else None
        self.targets = [
            a for a in attentions if any(_reaches(p, a, in_front) for p in prompts if p is not None)
        ]
        self.positions: dict[str, PositionHook] = {}

    def __enter__(self) -> "Session":
        try:
            self._enter()
        except BaseException:
            self._undo.close()
            raise
        self.active = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.active = False
        self._undo.close()

    def _enter(self) -> None:
        undo = self._undo
        undo.enter_context(routed(self.model))
        if self.front is not None:
            self._add(*self.front.install())
        for site, stack in self.stacks.items():
            shifts = torch.tensor([_shift(prompt, site, self.front is not None) for prompt in self.prompts])
            hook = PositionHook(stack, self._by_row(shifts), int(shifts.max()), self.max_positions, self.name)
            self.positions[site] = hook
            self._add(*hook.install())
        for target in self.targets:
            put(target.module, _Prefix(self, target, self._bias_owner(target)))
            undo.callback(put, target.module, None)
        # A call may begin at the model, at its base or at its encoder (as `generate` does).
        for module in {self.model, self.model.base_model, *self.stacks.values()}:
            self._add(
                module.register_forward_pre_hook(self._begin, prepend=True),
                module.register_forward_hook(self._end, always_call=True),
            )
        for stack in self.stacks.values():
            self._add(stack.register_forward_hook(self._guard))
        self._wrap_generate()

    def _add(self, *handles: Any) -> None:
        for handle in handles:
            self._undo.callback(handle.remove)

    def _wrap_generate(self) -> None:
        # Beam search and several returned sequences multiply the rows inside `generate`, and only there.
        if not hasattr(self.model, "generate"):
            return
        stock: Callable[..., Any] = self.model.generate  # type: ignore[assignment]

        def generate(*args: Any, **kwargs: Any) -> Any:
            self.generating = True
            try:
                return stock(*args, **kwargs)
            finally:
                self.generating = False

        self.model.__dict__["generate"] = generate
        self._undo.callback(self.model.__dict__.pop, "generate")

    # -- one forward pass ------------------------------------------------------------------------

    def _begin(self, module: nn.Module, args: Any) -> None:
        if self.paused:
            return
        self._depth += 1
        if self._depth == 1:
            self._refresh()

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        if not self.paused:
            self._depth = max(0, self._depth - 1)

    def _refresh(self) -> None:
        """Compute the prompts' key/values: once per pass while they learn, else once."""
        present = [prompt for prompt in self.prompts if prompt is not None]
        learning = torch.is_grad_enabled() and any(p.requires_grad for m in present for p in m.parameters())
        dropping = any(m.training and m.dropout.p > 0 for m in present)
        version = [(id(p), p._version) for m in present for p in m.parameters()]
        if self.current is not None and not learning and not dropping and version == self._version:
            self.current.widened.clear()
            return
        self._pause(True)
        try:
            lowered = [() if prompt is None else self.lower(prompt) for prompt in self.prompts]
        finally:
            self._pause(False)
        if self.front is not None:
            self.front.set(
                [entry.vectors if isinstance(entry, SlotEmbeddings) else None for entry in lowered]
            )
        placed = [() if isinstance(entry, SlotEmbeddings) else entry for entry in lowered]
        where = [(target.site, target.layer) for target in self.targets]
        self.current = Lowered(make_tables(placed, where, self.dtype), {})
        self._version = None if learning or dropping else version

    def _pause(self, paused: bool) -> None:
        """Let the hooks rest while a prompt is lowered, which runs the model itself."""
        self.paused = paused
        for hook in self.positions.values():
            hook.paused = paused

    def _guard(self, stack: nn.Module, args: Any, output: Any) -> None:
        """Make gradient checkpointing exact, or refuse it.

        Checkpointed layers run again inside `backward`; they must then find the prompts of their own
        forward pass.
        """
        layers = [m for m in stack.modules() if getattr(m, "gradient_checkpointing", False) and m.training]
        if self.paused or not layers or not torch.is_grad_enabled():
            return
        options = getattr(getattr(layers[0], "_gradient_checkpointing_func", None), "keywords", {})
        if options.get("use_reentrant"):
            raise BackboneError(
                "gradient checkpointing",
                "the reentrant kind",
                "the other kind, which can pass gradients to a prompt",
                "enable it with {'use_reentrant': False}, or use backbone.training_mode",
            )
        first = output[0] if not isinstance(output, Tensor) else output
        if not first.requires_grad:
            return
        mine = self.current

        def before_backward(grad: Tensor) -> None:
            if not self.active:
                raise BackboneError(
                    "backward",
                    "a call outside `with backbone.prompted(...)`",
                    "one inside, because checkpointed layers run again in it",
                )
            self.current = mine

        first.register_hook(before_backward)

    # -- rows ------------------------------------------------------------------------------------

    def rows_for(self, batch: int) -> Tensor | None:
        """Which prompt each row of a batch has; None when one prompt serves all."""
        if self.rows is None or len(self.rows) == batch:
            return self.rows
        if self.generating and batch % len(self.rows) == 0:
            return self.rows.repeat_interleave(batch // len(self.rows))
        raise PromptError(
            "prompted.rows", f"{len(self.rows)} rows for a batch of {batch}", "one row per batch row"
        )

    def _by_row(self, per_prompt: Tensor) -> Callable[[int], Tensor]:
        def pick(batch: int) -> Tensor:
            rows = self.rows_for(batch)
            return per_prompt if rows is None else per_prompt[rows]

        return pick

    def _bias_owner(self, target: AttentionSite) -> nn.Module | None:
        """The module that holds the relative position bias which this self-attention uses."""
        if target.site == "cross":
            return None
        if hasattr(target.module, "relative_attention_bias"):
            return target.module
        owners = (m for m in self.stacks[target.site].modules() if hasattr(m, "relative_attention_bias"))
        return next(owners, None)


class _Prefix:
    """What stands on one attention module while prompts are active."""

    def __init__(self, session: Session, target: AttentionSite, bias_owner: nn.Module | None):
        self.session = session
        self.where = (target.site, target.layer)
        self.bias_owner = bias_owner
        shifted = [prompt is not None and prompt.card.positions == "shifted" for prompt in session.prompts]
        self.shifted = torch.tensor(shifted)

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """The attention with this layer's prompts before it."""
        session = self.session
        assert session.current is not None
        rows = session.rows_for(call.query.shape[0])
        table, widened = session.current.tables[self.where], session.current.widened
        valid = table.valid
        if rows is not None:
            if valid is not None:
                # Gathered once for all layers, so that the masks widened by it are shared too.
                name = ("valid", id(table.valid), len(rows))
                valid = widened.setdefault(name, valid[rows.to(valid.device)])
            table = table.gather(rows)
        bias = None
        if self.bias_owner is not None and call.kwargs.get("position_bias") is not None:
            shifted = self.shifted if rows is None else self.shifted[rows]
            at = session.positions[self.where[0]].text_positions
            assert at is not None
            bias = relative_columns(self.bias_owner, table.lengths, shifted, table.keys.shape[2], at)
        return attend_with_prefix(call, table.keys, table.values, valid, bias, widened)


def _has_slots(prompt: Prompt | None) -> bool:
    return prompt is not None and prompt.card.placement == "slot_embeddings"


def _reaches(prompt: Prompt, attention: AttentionSite, in_front: bool) -> bool:
    if _has_slots(prompt):
        return not in_front
    return attention.layer in prompt.card.sites.get(attention.site, [])


def _shift(prompt: Prompt | None, site: str, in_front: bool) -> int:
    if prompt is None or prompt.card.positions == "unshifted":
        return 0
    if _has_slots(prompt):  # soft tokens in the input occupy positions by themselves
        return 0 if in_front else prompt.length
    return prompt.length if site in prompt.card.sites else 0
