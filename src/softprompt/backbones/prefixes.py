"""What stands on an attention module while prompts are active."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception
from softprompt.backbones.positions import relative_columns
from softprompt.backbones.prefix_attention import attend_with_prefix
from softprompt.backbones.sites import AttentionSite
from softprompt.backbones.tables import Tables
from softprompt.backbones.visual_parts import VisualTables
from softprompt.errors import BackboneError


@dataclass
class Lowered:
    """The prompts' tensors as one forward pass uses them."""

    tables: Tables
    weights: dict[str, Tensor]
    visual: VisualTables = field(default_factory=VisualTables)
    widened: dict[Any, Any] = field(default_factory=dict)
    """Masks that were widened for this batch, since all layers share them."""


class Prefix:
    """The attention of one site with the active prompts' key/values before its own.

    Args:
        target: where it stands.
        bias_owner: the module with T5's relative position bias which this attention uses, if any.
        shifted: which prompts occupy positions, `[prompt_id]`.
        now: the current pass.
        rows_for: which prompt each row of a batch has (None: one for all).
        text_positions: unshifted positions of the current text, `[batch or 1, seq]`.
    """

    def __init__(
        self,
        target: AttentionSite,
        bias_owner: nn.Module | None,
        shifted: Tensor,
        now: Callable[[], Lowered],
        rows_for: Callable[[int], Tensor | None],
        text_positions: Callable[[], Tensor | None],
    ):
        self.where = (target.site, target.layer)
        self.bias_owner = bias_owner
        self.shifted = shifted
        self.now = now
        self.rows_for = rows_for
        self.text_positions = text_positions

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """The attention with this layer's prompts before it."""
        laid = self.laid(call.query.shape[0], call.kwargs.get("position_bias") is not None)
        return attend_with_prefix(call, laid.keys, laid.values, laid.valid, laid.bias, self.now().widened)

    def laid(self, batch: int, biased: bool = True) -> "Laid":
        """This layer's prompts as a batch needs them.

        Args:
            batch: rows of the batch.
            biased: whether the attention adds relative position biases, where the family has them.
        """
        rows = self.rows_for(batch)
        entry = self.now().tables.entry(self.where, rows)
        bias = None
        if biased and self.bias_owner is not None:
            shifted = self.shifted if rows is None else self.shifted[rows]
            at = self.text_positions()
            assert at is not None
            bias = relative_columns(self.bias_owner, entry.lengths, shifted, entry.keys.shape[2], at)
        return Laid(entry.keys, entry.values, entry.valid, bias)


@dataclass(frozen=True)
class Laid:
    """One attention's prompts in one pass: tensors and nothing to look up, so a layer can be compiled.

    Args:
        keys: `[batch or 1, kv_head, prompt, key_dim]`.
        values: `[batch or 1, kv_head, prompt, value_dim]`.
        valid: which columns are real, `[batch, prompt]`; None means all.
        bias: relative position bias of the prompt columns, where the family has one.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    bias: Tensor | None

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """The attention with the prompts before it."""
        return attend_with_prefix(call, self.keys, self.values, self.valid, self.bias, None)


class Depths:
    """One module that serves several layers (ALBERT's): its k-th call in a pass is its k-th layer.

    Args:
        layers: what stands on each of its layers; None leaves the layer as it is.
    """

    def __init__(self, layers: Sequence[Interception | None]):
        self.layers = layers
        self.calls = 0

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """The attention of the layer whose turn it is."""
        if self.calls >= len(self.layers):
            raise BackboneError(
                "prompted",
                f"a {type(call.module).__name__} that ran {self.calls + 1} times in one pass",
                f"{len(self.layers)} runs, one for each layer that shares it",
                "call the model itself, not its layers",
            )
        interception = self.layers[self.calls]
        self.calls += 1
        return call.as_usual() if interception is None else interception(call)


def standing(
    targets: Sequence[tuple[AttentionSite, Interception | None]],
) -> list[tuple[nn.Module, Interception]]:
    """What to put on each module, given what shall happen at each site (None: nothing).

    Args:
        targets: every site of the model in the order of its calls.
    """
    by_module: dict[nn.Module, list[Interception | None]] = {}
    for site, interception in targets:
        by_module.setdefault(site.module, []).append(interception)
    return [
        (module, layers[0] if len(layers) == 1 else Depths(layers))  # type: ignore[misc]
        for module, layers in by_module.items()
        if any(layer is not None for layer in layers)
    ]
