"""What a recurrent layer is given in place of its cache, so that it begins from a state of ours.

transformers' own caches are filled in place, which no gradient survives, and are read only once a text has
begun, when the stacks no longer look at padding. This one answers the same calls for one layer, in new
tensors.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class StandIn:
    """The cache of one recurrent layer for one pass.

    At the begin of a text a convolution has read nothing, as in a pass without a cache: only the recurrent
    state is given.

    Args:
        state: the layer begins from it, `[batch, *state]`; afterwards the state behind the last token.
        convolved: the last inputs of each convolution, `[batch, channel, kernel]`, where the layer goes on.
    """

    def __init__(self, state: Tensor, convolved: Mapping[int, Tensor] | None = None):
        self.state = state
        self.was_read = False
        self.convolved = dict(convolved or {})

    # -- transformers' calls ---------------------------------------------------------------------

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor:
        """The state; a kernel may write the next one into it."""
        self._check(state_idx)
        self.was_read = True
        # A copy, since the kernel may otherwise write into a prompt.
        self.state = self.state.clone()
        return self.state

    def update_recurrent_state(
        self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Keep the state behind the last token."""
        self._check(state_idx)
        self.state = recurrent_states
        return recurrent_states

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """The last inputs of a convolution; None before the text."""
        if state_idx not in self.convolved:
            return None
        self.convolved[state_idx] = self.convolved[state_idx].clone()
        return self.convolved[state_idx]

    def update_conv_state(
        self,
        conv_states: Tensor,
        layer_idx: int,
        state_idx: int = 0,
        conv_kernel_size: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Keep the last inputs of a convolution; gives them behind those of earlier tokens."""
        before = self.convolved.get(state_idx)
        if before is None:
            kernel = conv_states.shape[-1] if conv_kernel_size is None else conv_kernel_size
            missing = max(0, kernel - conv_states.shape[-1])
            whole = torch.nn.functional.pad(conv_states, (missing, 0))
        else:
            kernel = before.shape[-1]
            whole = torch.cat([before, conv_states], dim=-1)
        self.convolved[state_idx] = whole[..., whole.shape[-1] - kernel :]
        return whole

    def is_recording_past(self, layer_idx: int) -> bool:
        """Whether more inputs of a convolution are kept than it reads: no."""
        return False

    # -- MiniMax's calls -------------------------------------------------------------------------

    def get_linear_cache(self, layer_idx: int) -> Tensor:
        """As `get_recurrent_state`."""
        return self.get_recurrent_state(layer_idx)

    def set_linear_cache(self, layer_idx: int, linear_cache: Tensor) -> None:
        """As `update_recurrent_state`."""
        self.update_recurrent_state(linear_cache, layer_idx)

    # --------------------------------------------------------------------------------------------

    def fill(self, cache: Any, layer: int) -> None:
        """Hand what the layer left to the cache of its family, of which the next pass goes on."""
        if hasattr(cache, "set_linear_cache"):
            cache.set_linear_cache(layer, self.state)
            return
        for number, inputs in self.convolved.items():
            cache.update_conv_state(inputs, layer, number, conv_kernel_size=inputs.shape[-1])
        cache.update_recurrent_state(self.state, layer)

    def _check(self, state_idx: int) -> None:
        if state_idx != 0:
            raise NotImplementedError("a layer with several recurrent states")
