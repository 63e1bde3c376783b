"""A small tokenizer, trained here and now: no network, no files."""

import string

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEXTS = [
    "name : Blue Spice | food : Chinese | area : riverside",
    "Blue Spice is a Chinese restaurant by the riverside.",
    "name : The Mill | food : English | area : city centre",
    "The Mill serves English food in the city centre.\nIt is cheap.",
]


def byte_level(ends: bool = False, size: int = 400, begins: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE with <pad> 0, <s> 1 and </s> 2.

    Args:
        ends: whether it puts </s> behind every text itself, as T5's does.
        size: of the vocabulary, at most.
        begins: whether it puts <s> before every text, as Llama's does.
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
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
        )
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def word_piece(more: str = "") -> PreTrainedTokenizerFast:
    """A WordPiece as BERT's: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3; lower case, pairs and their token types.

    Args:
        more: further characters that it knows.
    """
    plain = [*string.ascii_lowercase, *string.digits, *".,?!-:|"]
    words = "the is it in by blue spice mill food city cheap chinese english restaurant river ##side".split()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *plain, *(f"##{sign}" for sign in plain), *words, *more]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
