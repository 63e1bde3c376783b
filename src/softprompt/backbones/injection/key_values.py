"""A prompt's keys and values before an attention's own."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import (
    AttentionCall,
    Interception,
    attend_with_prefix,
    once,
    self_computed,
)
from softprompt.backbones.dispatch import Override
from softprompt.backbones.injection.injector import PassContext
from softprompt.backbones.injection.lowering import Entry
from softprompt.backbones.inspection import AttentionSite, Stack, has_relative_bias
from softprompt.errors import BackboneError, with_article


class KeyValueInjector:
    """Puts each row's key/values before the real ones, in every attention that a prompt reaches.

    Args:
        targets: the model's attentions in the order of their calls, each with whether a prompt reaches it.
        stacks: by site, the module that takes the text.
        shifted: which prompts occupy positions, `[prompt_id]`.
        windowed: whether the batch axis of attentions holds windows, picture by picture, instead of rows.
        chosen_keys: how many keys attentions choose by scores of their own; None where they read all.
    """

    def __init__(
        self,
        targets: Sequence[tuple[AttentionSite, bool]],
        stacks: Mapping[str, Stack],
        shifted: Sequence[bool],
        windowed: bool = False,
        chosen_keys: int | None = None,
    ):
        self.stacks = stacks
        self.chosen_keys = chosen_keys
        self.windowed = windowed
        self.shifted = torch.tensor(list(shifted))
        by_module: dict[nn.Module, list[tuple[AttentionSite, bool]]] = {}
        for site, reached in targets:
            by_module.setdefault(site.module, []).append((site, reached))
        self.by_module = {m: sites for m, sites in by_module.items() if any(r for _, r in sites)}
        self.shares_modules = any(len(sites) > 1 for sites in self.by_module.values())
        self._self_computed = self_computed(self.by_module)
        bias_owners = {site: stack.bias_owner for site, stack in stacks.items()}
        self._bias_owner = {
            module: module if has_relative_bias(module) else bias_owners.get(sites[0][0].site)
            for module, sites in self.by_module.items()
        }

    @property
    def modules(self) -> Sequence[nn.Module]:
        """Attentions that do not call the registered function by themselves."""
        return list(self._self_computed)

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Have those attentions call the registered function."""
        return self._self_computed

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """Attend with the prompts before the text."""
        return {module: self._attend(context, sites) for module, sites in self.by_module.items()}

    def _attend(self, context: PassContext, sites: list[tuple[AttentionSite, bool]]) -> Interception:
        if len(sites) == 1:
            return self._with_prompts(context, sites[0][0])
        answers = [self._with_prompts(context, site) if reached else None for site, reached in sites]
        return _in_turn(context, answers)

    def _rows(self, context: PassContext, batch: int) -> Tensor | None:
        if self.windowed and context.rows is not None:
            return context.rows.repeat_interleave(batch // len(context.rows))
        return None if context.rows is None else context.rows_for(batch)

    def _with_prompts(self, context: PassContext, target: AttentionSite) -> Interception:
        where = (target.site, target.layer)
        owner = self._bias_owner[target.module]

        def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
            rows = self._rows(context, call.query.shape[0])
            entry = context.lowered.tables.entry(where, rows)
            if self.chosen_keys is not None:
                self._check_choice(target.module, entry.keys.shape[2], call.key.shape[2])
            bias = None
            if owner is not None and call.kwargs.get("position_bias") is not None:
                bias = self._bias(context, owner, target.site, rows, entry)
            return attend_with_prefix(call, entry.keys, entry.values, entry.valid, bias, context.widened)

        return attend

    def _check_choice(self, module: nn.Module, n_prefix: int, n_keys: int) -> None:
        """Refuse more keys than an attention chooses: it scores them, and a prompt's have no scores."""
        if n_prefix + n_keys > (self.chosen_keys or 0):
            raise BackboneError(
                "prompted",
                f"{n_prefix} key/values before {n_keys} of a text in {with_article(type(module).__name__)}, "
                f"which chooses {self.chosen_keys or 'some'} by scores that a prompt's do not have",
                "no more keys than are chosen",
                "use prompt_tuning, whose soft tokens have such scores, or a shorter text",
            )

    def _bias(
        self, context: PassContext, owner: nn.Module, site: str, rows: Tensor | None, entry: Entry
    ) -> Tensor:
        """The relative position bias of the prompt's columns, which layers with one table share."""
        at, n_prefix = context.text_positions[site], entry.keys.shape[2]

        def make() -> Tensor:
            shifted = self.shifted if rows is None else self.shifted[rows]
            return relative_columns(owner, entry.lengths, shifted, n_prefix, at)

        if owner.relative_attention_bias.weight.requires_grad:  # type: ignore[union-attr]
            return make()  # a layer that is recomputed needs a graph of its own
        key = ("bias", owner, n_prefix, id(entry.lengths), id(at))
        return once(context.widened, key, make, (entry.lengths, at))


def _in_turn(context: PassContext, layers: Sequence[Interception | None]) -> Interception:
    """Answer for a module that serves several layers (ALBERT): its k-th call in a run is its k-th layer."""

    def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        turn = context.layer_calls.get(call.module, 0)
        if turn >= len(layers):
            raise BackboneError(
                "prompted",
                f"{with_article(type(call.module).__name__)} that ran {turn + 1} times in one pass",
                f"{len(layers)} runs, one for each layer that shares it",
                "call the model itself, not its layers",
            )
        context.layer_calls[call.module] = turn + 1
        answer = layers[turn]
        return call.as_usual() if answer is None else answer(call)

    return attend


def relative_columns(
    owner: nn.Module, lengths: Tensor, shifted: Tensor, n_prefix: int, text_positions: Tensor
) -> Tensor:
    """T5's bias of prompt columns, as if the prompt were text before the text; 0 where unshifted.

    Args:
        owner: the module with `relative_attention_bias` and T5's bucket function.
        lengths: each row's prompt length, `[batch or 1]`.
        shifted: which rows' prompts occupy positions, `[batch or 1]`.
        n_prefix: prompt columns (the longest prompt).
        text_positions: of the queries, `[batch or 1, seq]`.

    Returns:
        `[batch or 1, head, seq, prompt]`.
    """
    bias_table: Any = owner.relative_attention_bias
    device = bias_table.weight.device
    query_at = text_positions.to(device)[:, :, None] + lengths.to(device)[:, None, None]
    column_at = torch.arange(n_prefix, device=device)[None, None, :]
    bucket: Any = owner._relative_position_bucket
    options = {
        "bidirectional": not owner.is_decoder,
        "num_buckets": owner.relative_attention_num_buckets,
        "max_distance": owner.relative_attention_max_distance,
    }
    # UMT5's function takes none of these.
    known = inspect.signature(bucket).parameters
    buckets = bucket(column_at - query_at, **{name: v for name, v in options.items() if name in known})
    bias = bias_table(buckets).permute(0, 3, 1, 2)
    return bias * shifted.to(device)[:, None, None, None]
