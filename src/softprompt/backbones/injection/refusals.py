"""Errors of calls that no session can answer."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from softprompt.errors import BackboneError


def unchecked(output: Any) -> None:
    """The check of outputs of which nothing is asked."""


def check_gradient(output: Any, name: str) -> None:
    """Refuse an output of the model that passes no gradient to a prompt that learns.

    Args:
        output: of a forward pass: a tensor, or a mapping or sequence with tensors.
        name: of the backbone.

    Raises:
        BackboneError: none of the tensors has a gradient.
    """
    values = output.values() if isinstance(output, Mapping) else output
    values = [values] if isinstance(values, Tensor) else values
    tensors = [value for value in values if isinstance(value, Tensor)]
    if tensors and not any(tensor.requires_grad for tensor in tensors):
        raise BackboneError(
            "prompted",
            f"a pass of {name} whose output has no gradient to the prompt",
            "layers that pass gradients on",
            "load the weights in a way that has a backward pass; for a pass without training use "
            "torch.no_grad()",
        )


def naked_call(name: str) -> BackboneError:
    """A call of a context without a session, while another context has one."""
    return BackboneError(
        "prompted",
        f"a call of {name} from a thread (or task) without a session while another has one",
        "a call that says under which prompts it runs",
        "call the view that `with backbone.prompted(...) as prompted` gives, prompted.generate(...) or "
        "prompted(...), which works in every thread; or enter backbone.prompted(None) in this thread to "
        "run without a prompt",
    )


def own_threads(name: str) -> BackboneError:
    """A method that starts a thread of its own."""
    return BackboneError(
        "prompted",
        f"continuous batching of {name}, which packs texts together in a thread of its own",
        "calls that run under this session's prompts",
        "call prompted.generate(...) with a batch (rows=... gives each row its prompt), or leave the session",
    )


def nothing_would_train(name: str) -> BackboneError:
    """A training loop over the frozen model instead of the prompt."""
    return BackboneError(
        "prompted",
        f"zero_grad() of {name}'s frozen model inside a session whose prompt learns",
        "a training loop over the prompt's parameters",
        "give the loop (Trainer, accelerate) softprompt.PromptedModel(backbone, prompt) as its model; in a "
        "loop of your own call optimizer.zero_grad()",
    )


def not_in_a_graph(name: str) -> BackboneError:
    """A prompt in layers that were compiled without graph breaks."""
    return BackboneError(
        "prompted",
        f"layers of {name} that were compiled as one graph without any break (fullgraph=True)",
        "graphs that may break where a prompt enters",
        "compile without fullgraph=True, or use a model that is not compiled",
    )


def cannot_continue(name: str) -> BackboneError:
    """Soft tokens before an encoder's text that continues from a cache."""
    return BackboneError(
        "prompted",
        f"soft tokens before the text of {name}, which attends both ways, and a cache to continue from",
        "each pass to read the whole text, or a prompt of key/values",
        "use prefix_tuning, or generate with use_cache=False",
    )


def exported(name: str) -> BackboneError:
    """An export of the model inside a session."""
    return BackboneError(
        "prompted",
        f"torch.export of {name} inside a session, which no exported graph can hold",
        "a model without a session",
        "export outside of sessions, or trace with torch.jit.trace under torch.no_grad()",
    )


def numbered_with_padding(name: str) -> BackboneError:
    """A model around the backbone that numbers the columns of its input, those of padding too."""
    return BackboneError(
        "position_ids",
        f"numbers of columns for a text with padding before it, from a model around {name}",
        "positions of each row's own text, which a prompt can stand right before",
        "load the whole model as the backbone, pad on the right, or pass position_ids that are counted along "
        "the attention mask",
    )
