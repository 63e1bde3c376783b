"""A small tokenizer, trained here and now: no network, no files."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEXTS = [
    "name : Blue Spice | food : Chinese | area : riverside",
    "Blue Spice is a Chinese restaurant by the riverside.",
    "name : The Mill | food : English | area : city centre",
    "The Mill serves English food in the city centre.\nIt is cheap.",
]


def byte_level(ends: bool = False, size: int = 400) -> PreTrainedTokenizerFast:
    """A byte-level BPE with <pad> 0, <s> 1 and </s> 2.

    Args:
        ends: whether it puts </s> behind every text itself, as T5's does.
        size: of the vocabulary, at most.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
