"""Checks that refuse a `generate` before it begins rather than in its middle."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from softprompt.backbones.injection.injectors import Injectors
from softprompt.backbones.injection.refusals import cannot_continue
from softprompt.errors import BackboneError, PromptError


def check(injectors: Injectors, rows: Tensor | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse a `generate` that could not run under the prompts to its end.

    Args:
        injectors: of the prompts.
        rows: for each batch row the index of its prompt, `[batch]`; None when one prompt serves all.
        args: of the call.
        kwargs: of the call.

    Raises:
        PromptError: another number of rows than the batch has; only `generate` itself may multiply rows.
        BackboneError: more positions than the model has, or a cache where none can be continued.
    """
    inputs = _inputs(args, kwargs)
    batch = 1 if inputs is None else inputs.shape[0]
    if rows is not None and len(rows) != batch:
        raise PromptError(
            "prompted.rows",
            f"{len(rows)} rows for a batch of {batch}",
            "one row per batch row; beams and returned sequences take the row of their input",
        )
    model_map = injectors.model_map
    own = model_map.model.generation_config
    if injectors.grows_input and _option("use_cache", own, kwargs) is not False:
        raise cannot_continue(model_map.spec.name)
    decoder = injectors.positions.get("decoder")
    limit = model_map.spec.position_limit
    if decoder is None:
        return
    text_len = 1 if model_map.spec.is_encoder_decoder or inputs is None else inputs.shape[1]
    new = _n_new_tokens(own, text_len, kwargs)
    if new is None:
        return
    # The last new token is not an input of any pass.
    whole = decoder.longest + text_len + new - 1
    if decoder.rotary is not None:
        decoder.rotary.check_generation(text_len, new, _option("use_cache", own, kwargs) is not False)
    if limit is not None and whole > limit:
        raise BackboneError(
            "generate",
            f"{text_len} tokens of text, {new} new ones and a prompt of {decoder.longest}",
            f"at most {limit} tokens together, as many as {model_map.spec.name} has positions",
            "lower max_new_tokens, or shorten the text or the prompt",
        )


def _option(name: str, own: Any, kwargs: Mapping[str, Any]) -> Any:
    """A setting of a `generate`."""
    config = kwargs.get("generation_config") or own
    given = kwargs.get(name)
    return getattr(config, name, None) if given is None else given


def _inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The input that generation continues, `[batch, seq, ...]`."""
    names = ("inputs", "input_ids", "inputs_embeds", "input_features", "input_values", "pixel_values")
    for given in (*args[:1], *(kwargs.get(name) for name in names)):
        if isinstance(given, Tensor):
            return given
    outputs: Any = kwargs.get("encoder_outputs")
    return None if outputs is None else outputs[0]


def _n_new_tokens(own: Any, text_len: int, kwargs: Mapping[str, Any]) -> int | None:
    """How many new tokens the call asks for; None where neither arguments nor configuration set a limit."""
    config = kwargs.get("generation_config") or own
    for source in (kwargs, vars(config)):
        if source.get("max_new_tokens") is not None:
            return int(source["max_new_tokens"])
        if source.get("max_length") is not None:
            return max(0, int(source["max_length"]) - text_len)
    return None
