"""Layers that are called by hand inside a session: no prompt would reach them, so the calls are refused."""

from collections.abc import Callable, Set

from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception
from softprompt.errors import BackboneError


class Stray:
    """Answers attention calls outside of any call of the model, and refuses those of the session's own model.

    Args:
        own: the attentions of the session's model.
        refuses: whether the session has prompts; without prompts a layer may be called by hand.
        name: of the backbone.
        closed: whether the session has been left.
        around: the interception of attention calls before this one.
    """

    def __init__(
        self,
        own: Set[nn.Module],
        refuses: bool,
        name: str,
        closed: Callable[[], bool],
        around: Interception | None,
    ):
        self.own = own
        self.refuses = refuses
        self.name = name
        self.closed = closed
        self.around = still_acting(around)

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """Refuse a call, or answer it as it was answered before."""
        if call.module in self.own and not self.closed():
            if not self.refuses:
                return call.as_usual()
            raise BackboneError(
                "prompted",
                f"a call of a layer of {self.name} on its own, which no prompt reaches",
                "a call of the model itself",
                "call the model, or leave the session to run layers by hand",
            )
        return call.as_usual() if self.around is None else self.around(call)


def still_acting(interception: Interception | None) -> Interception | None:
    """An interception without those of sessions that have been left, in any order."""
    while isinstance(interception, Stray) and interception.closed():
        interception = interception.around
    return interception
