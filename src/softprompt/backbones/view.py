"""A view of a model: calls of it run under the prompts of one session, in any thread."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from softprompt.backbones.injection import Session
from softprompt.backbones.outputs import Outputs
from softprompt.errors import BackboneError

T = TypeVar("T")


class PromptedView:
    """The model under the prompts of a session, as `with backbone.prompted(...) as prompted` gives it.

    Any thread may call the view. A call that has begun keeps its prompts to its end, even if the block is
    left before.

    Args:
        backbone: the frozen model.
        session: the open session.
    """

    def __init__(self, backbone: Outputs, session: Session):
        self.model = backbone.map.model
        self._backbone = backbone
        self._session = session

    @property
    def closed(self) -> bool:
        """Whether the block has been left; further calls are then refused."""
        return self._session.closed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own call, under the prompts.

        Raises:
            BackboneError: the block has been left.
        """
        return self.run(self.model, *args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own `generate`, under the prompts; errors as `__call__`."""
        # `generate` is looked up inside the session, where it is dispatched.
        return self.run(lambda: self.model.generate(*args, **kwargs))  # type: ignore[operator]

    def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Any function that calls the model (a pipeline, an evaluation), under the prompts.

        Args:
            function: called in this thread.
            args: its arguments.
            kwargs: its keywords.

        Raises:
            BackboneError: the block has been left.
        """
        with self._entered():
            return function(*args, **kwargs)

    def read(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch seq hidden"]:
        """See `Backbone.read`."""
        return self.run(self._backbone.read, inputs)

    def look(
        self, pixel_values: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch seq hidden"], Int[Tensor, "batch seq"]]:
        """See `Backbone.look`."""
        return self.run(self._backbone.look, pixel_values)

    def labelled_logits(
        self, inputs: Mapping[str, Tensor], labelled: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "labelled vocab"]:
        """See `Backbone.labelled_logits`."""
        return self.run(self._backbone.labelled_logits, inputs, labelled)

    def labelled_losses(
        self,
        inputs: Mapping[str, Tensor],
        labelled: Bool[Tensor, "batch seq"],
        targets: Int[Tensor, " labelled"],
    ) -> Float[Tensor, " labelled"]:
        """See `Backbone.labelled_losses`."""
        return self.run(self._backbone.labelled_losses, inputs, labelled, targets)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if self.closed:
            raise BackboneError(
                "prompted",
                "a call of a view whose `with backbone.prompted(...)` block has been left",
                "calls that begin inside the block",
                "enter backbone.prompted again, or keep the block open until all calls have begun",
            )
        with self._session.entered():
            yield
