"""What stands for soft tokens where a model asks for a word: in ids, and in inputs of single layers."""

from transformers import PreTrainedModel

from softprompt.backbones.inspection.probe import text_token
from softprompt.backbones.inspection.stacks import has_per_layer_inputs


def word_of_soft_tokens(model: PreTrainedModel) -> int:
    """An id that may stand where a soft token is.

    Models with inputs of single layers have them for words alone; their own vectors without a word, those of
    pictures, have those of the padding token.
    """
    if any(has_per_layer_inputs(module) for module in model.modules()):
        return getattr(model.config.get_text_config(), "pad_token_id", None) or 0
    return text_token(model)
