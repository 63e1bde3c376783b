"""Layers that are called on their own inside a session, which no prompt reaches."""

from collections.abc import Callable, Set

from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception
from softprompt.errors import BackboneError


class Stray:
    """Answers attentions outside of any call at one of a model's entries; a session's own are refused.

    Args:
        own: the attentions of the session's model.
        refuses: whether the session has prompts, which a layer alone would miss.
        name: of the backbone.
        closed: whether the session has been left.
        around: what answered attention calls before.
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
        """Refuse it, or answer it as it was answered before."""
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
    """An interception without those of sessions that have been left, in whatever order."""
    while isinstance(interception, Stray) and interception.closed():
        interception = interception.around
    return interception
