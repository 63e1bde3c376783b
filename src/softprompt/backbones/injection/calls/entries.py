"""A model's entries while sessions are open on it: what is dispatched there, and whose a call is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn

from softprompt.backbones.attention import may_act, without_plans
from softprompt.backbones.dispatch import DispatchedForward, Gate, dispatching
from softprompt.backbones.injection import refusals
from softprompt.backbones.injection.injectors import Injectors
from softprompt.backbones.injection.lowering import input_weight
from softprompt.backbones.injection.weights import Weights
from softprompt.backbones.inspection import ModelMap, unmasked


@contextmanager
def dispatched_entries(
    model_map: ModelMap, gate: Gate, injectors: Injectors, weights: Weights
) -> Iterator[None]:
    """Within this context the model's entries ask whose a call is, and the injectors' overrides can act.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        injectors: of a session's prompts.
        weights: the places of the tensors that the prompts train.
    """
    model, guard = model_map.model, answer_for(gate)
    beside = (*model_map.entries, *injectors.modules)

    def on_model(name: str, within: Gate | None) -> AbstractContextManager[None]:
        return dispatching([model] if hasattr(type(model), name) else [], name, guard, within)

    with (
        without_plans(input_weight(model_map).device),
        nullcontext() if model_map.vision is None else unmasked(model),
        may_act(),
        dispatching(_entries(model_map, weights), "forward", guard, gate, beside),
        # A call of the library's own may generate, and still not reset gradients or begin a thread.
        on_model("generate", gate),
        on_model("zero_grad", None),
        on_model("init_continuous_batching", None),
        dispatching(injectors.modules),
    ):
        yield


def _entries(model_map: ModelMap, weights: Weights) -> list[nn.Module]:
    """Modules whose calls from the outside are calls of the session.

    Where tensors of the model are trained, the entries include the embeddings and the output layer that hold
    them: a caller who runs those by hand would otherwise get the frozen tensors.
    """
    entries = list(model_map.entries)
    if weights.own:
        model = model_map.model
        held = {module for places in weights.places.values() for module, _ in places}
        # A model of pictures has neither; its patch projection is called within its forward alone.
        ends = () if model_map.vision else (model.get_input_embeddings(), model.get_output_embeddings())
        entries += [end for end in ends if end in held and end not in entries]
    return entries


def answer_for(gate: Gate) -> Callable[..., Any]:
    """The guard of a model's entries: runs a call under its session, or refuses the call.

    A call from the outside gets the session of the context (thread, task) in which it runs. A call without a
    session is refused while another context has one: half of the callers would expect a prompt, the other
    half none.

    Args:
        gate: of the backbone.
    """

    @contextmanager
    def answer(
        entry: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Callable[[Any], None]]:
        session = gate.session
        if entry.name == "zero_grad":
            if session is not None and session.learns:
                raise refusals.nothing_would_train(gate.name)
            yield refusals.unchecked
        elif entry.name == "init_continuous_batching":
            raise refusals.own_threads(gate.name)
        elif session is not None:
            with session.answer(entry, args, kwargs) as check:
                yield check
        elif gate.n_open:
            # A reader of the text that a refused `generate` would have streamed must not wait for ever.
            if hasattr(kwargs.get("streamer"), "end"):
                kwargs["streamer"].end()
            raise refusals.naked_call(gate.name)
        else:
            with gate.turn(alone=False), gate.calling(None):
                yield refusals.unchecked

    return answer
