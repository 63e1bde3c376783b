"""Rotary tables that change for a whole call with its largest position: LongRoPE and dynamic NTK.

A prompt moves positions, and each row has its own. Where rows of one call, or a cache and the tokens after
it, would need different tables, the model has only one: such calls are refused.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from softprompt.backbones.inspection import ChangingRotary
from softprompt.errors import BackboneError


@dataclass(frozen=True)
class RotaryCheck:
    """Refuses calls of a stack in which some position would get another table than it has alone.

    Args:
        rotary: how the table changes.
        stack: the module that takes the text.
        longest: the most positions that a prompt takes.
        with_first: whether prompts hold key/values of soft tokens, which were computed with the first table.
        name: of the backbone.
    """

    rotary: ChangingRotary
    stack: nn.Module
    longest: int
    with_first: bool
    name: str

    def check_length(self, text_len: int) -> None:
        """Refuse a text behind soft tokens that were computed with another table.

        Args:
            text_len: tokens of the text so far.

        Raises:
            BackboneError: the table has changed.
        """
        if self.with_first and self.longest + text_len > self.rotary.at:
            raise BackboneError(
                "prompted",
                f"{text_len} tokens of text behind {self.longest} soft ones",
                f"at most {self.rotary.at} together: beyond that {self.name} has another rotary table for "
                "all positions, and the soft tokens were computed with the first",
                "shorten the text, or use prefix_tuning",
            )

    def check_rows(self, positions: Tensor, cached: bool) -> None:
        """Refuse a pass whose rows, or whose cache, need different tables.

        Args:
            positions: of the pass' tokens behind the prompts, `[..., batch or 1, seq]`.
            cached: whether a cache of earlier tokens comes before them.

        Raises:
            BackboneError: they do.
        """
        if not self.longest:
            return
        at = self.rotary.at
        ends = positions.amax(dim=-1).reshape(-1, positions.shape[-2]).amax(dim=0) + 1
        longest, shortest = int(ends.max()), int(ends.min())
        if longest <= at:
            return
        table = "another for every length" if self.rotary.grows else "another"
        rule = f"beyond {at} positions {self.name} has {table}, for all positions of a call"
        if shortest <= at or (self.rotary.grows and shortest < longest):
            raise BackboneError(
                "prompted",
                f"rows that end at positions {shortest} to {longest}, which need different rotary tables",
                f"rows that need the same table: {rule}",
                "run these rows in calls of their own",
            )
        if cached and (self.rotary.grows or int(positions.min()) <= at):
            raise BackboneError(
                "prompted",
                f"position {longest} behind a cache whose keys have another rotary table",
                f"a cache that ends where the table changes: {rule}",
                "pass use_cache=False, or shorten the text or the prompt",
            )
        if self.rotary.grows and self._largest_before() > longest:
            raise BackboneError(
                "prompted",
                f"{longest} positions after a longer call, whose rotary table {self.name} keeps",
                f"a call as long as the longest before, or of at most {at} positions",
                f"first run a text of fewer than {at} tokens, which puts the first table back",
            )

    def check_generation(self, text_len: int, n_new: int, cached: bool) -> None:
        """Refuse to generate over a change of the table.

        Args:
            text_len: tokens of the text.
            n_new: how many new ones are asked for.
            cached: whether a cache is used.

        Raises:
            BackboneError: the table would change.
        """
        at = self.rotary.at
        start = self.longest + text_len
        whole = start + n_new - 1  # the last new token is not an input of any pass
        if whole <= at or not (self.with_first or (self.longest and cached)):
            return
        told = f"{text_len} tokens of text, {n_new} new ones and {self.longest}"
        rule = f"at most {at} together: beyond that {self.name} has another rotary table for all positions"
        if self.with_first:
            raise BackboneError(
                "generate",
                f"{told} soft ones before them",
                f"{rule}, and the soft tokens were computed with the first",
                "lower max_new_tokens, shorten the text, or use prefix_tuning",
            )
        if start <= at or self.rotary.grows:
            raise BackboneError(
                "generate",
                f"{told} of a prompt",
                f"{rule}, and the cached keys would have the first",
                "pass use_cache=False, lower max_new_tokens, or shorten the text or the prompt",
            )

    def _largest_before(self) -> int:
        """The largest number of positions whose table is still there."""
        kept = (getattr(module, "max_seq_len_cached", 0) for module in self.stack.modules())
        return max(map(int, kept), default=0)
