"""What stands for soft tokens where a model asks for a word: in ids, and in inputs of single layers."""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.families import PER_LAYER_INPUTS
from softprompt.backbones.inspection.probe import text_token


def word_of_soft_tokens(model: PreTrainedModel) -> int:
    """An id that may stand where a soft token is.

    Models with inputs of single layers have them for words alone; their own vectors without a word, those of
    pictures, have those of the padding token.
    """
    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    if isinstance(padding, int) and any(_has_per_layer_inputs(module) for module in model.modules()):
        return padding
    return text_token(model)


def per_layer_inputs(model: PreTrainedModel, stack: nn.Module, ids: Tensor) -> dict[str, Tensor]:
    """The keyword with the inputs of single layers for vectors that stand for these words; empty where a
    model has none.

    Args:
        model: the model.
        stack: the module that takes the text.
        ids: `[batch, seq]`, with `word_of_soft_tokens` at soft tokens.
    """
    if not _has_per_layer_inputs(stack):
        return {}
    owner: Any = stack
    return {PER_LAYER_INPUTS: owner.get_per_layer_inputs(ids, None)}


def _has_per_layer_inputs(module: nn.Module) -> bool:
    return bool(getattr(module, f"hidden_size_{PER_LAYER_INPUTS.removesuffix('s')}", 0)) and hasattr(
        module, f"get_{PER_LAYER_INPUTS}"
    )
