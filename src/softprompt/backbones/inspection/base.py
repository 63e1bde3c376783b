"""The part of a model below its own heads."""

from transformers import PreTrainedModel


def base_module(model: PreTrainedModel) -> PreTrainedModel:
    """The model below its vocabulary head or classifier.

    transformers names it by a prefix; the text models of Llama-4 and Mllama inherit one that names no part of
    theirs.
    """
    base = model.base_model
    if base is not model or model.config.is_encoder_decoder or model.get_output_embeddings() is None:
        return base  # type: ignore[return-value]
    inner = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    return inner[0] if len(inner) == 1 else model
