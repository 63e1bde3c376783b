"""Whether soft tokens may go through a decoder's layers alone, before any text.

The soft tokens become key/values, which is exact where attention alone connects tokens. State-space layers,
linear attention, convolutions and token shifts would carry more from the soft tokens to the text than
key/values hold. No list of such families is kept: each backbone is tried once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from softprompt.backbones.dispatch import Gate
from softprompt.backbones.injection.calls.session import Session
from softprompt.backbones.injection.lowering import input_weight
from softprompt.backbones.inspection import ModelMap, eval_mode
from softprompt.errors import BackboneError, SoftpromptError
from softprompt.prompts import Prompt

N_SOFT, N_TEXT = 2, 2


def why_not(model_map: ModelMap, gate: Gate, make: Callable[[int], Prompt]) -> str | None:
    """Why soft tokens cannot go through the layers of a decoder alone; None where they can.

    Two soft tokens and two tokens of text are run in both ways: as one input, and the soft tokens first. That
    takes three passes over at most four tokens.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        make: gives a prompt of so many soft tokens.
    """
    model = model_map.model
    if any(hasattr(module, "rope_deltas") for module in model.modules()):
        return "which keeps a text's position from one call to the next (rope_deltas)"
    if model_map.spec.is_encoder_decoder:
        return "whose encoder's attention never calls the registered function"
    if model_map.stacks["decoder"].numbering == "unknown":
        return None  # positions behind the soft tokens are not known
    try:
        with torch.no_grad(), eval_mode(model):
            return _compared(model_map, gate, make(N_SOFT))
    except (SoftpromptError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        return f"which does not take input embeddings as it takes tokens ({type(error).__name__}: {reason})"


def refuse(model_map: ModelMap, why: str) -> BackboneError:
    """The error of soft tokens on such a backbone."""
    return BackboneError(
        "prompted",
        f"soft tokens before the text of {model_map.spec.name} ({model_map.spec.family}), {why}",
        "a model in which attention alone connects tokens",
        "use prefix_tuning or p_tuning_v2, which put key/values into its attentions",
    )


def _compared(model_map: ModelMap, gate: Gate, soft: Prompt) -> str | None:
    model = model_map.model
    weight = input_weight(model_map)
    vocab = min(len(weight), model_map.spec.vocab)
    text = torch.tensor([[vocab // 3, vocab // 2]], device=weight.device)
    with Session(model_map, gate, [soft], None).opened() as session, session.call():
        apart: Tensor = model.base_model(input_ids=text, use_cache=False).last_hidden_state
    with gate.turn(alone=False), gate.calling(None):
        placed = soft()
        assert not isinstance(placed, tuple)
        embeds = torch.cat([placed.vectors.to(weight)[None], model.get_input_embeddings()(text)], dim=1)
        kept = embeds.clone()
        mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        output = model.base_model(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
    if not torch.equal(embeds, kept):
        return "which changes its input embeddings in place"
    whole: Tensor = output.last_hidden_state[:, -N_TEXT:]
    apart_by = (apart - whole).float().norm(dim=-1) / whole.float().norm(dim=-1)
    # In low precision rounding alone may send one of the tokens to another expert.
    differs = (apart_by.max() if whole.dtype == torch.float32 else apart_by.median()).item()
    if differs > _rounding(whole):
        return (
            "whose tokens also meet outside attention (state-space, linear attention, convolution or token "
            f"shift; its states differ by {differs:.0%} of their size)"
        )
    return None


def _rounding(states: Tensor) -> float:
    """By how much states may differ by rounding alone, relative to their size."""
    if states.is_cuda and torch.get_float32_matmul_precision() != "highest":
        return max(0.02, torch.finfo(states.dtype).eps ** 0.5)
    return torch.finfo(states.dtype).eps ** 0.5
