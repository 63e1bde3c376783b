"""Tokenizers of the kinds that templates meet, trained here and now: no network, no files."""

from functools import cache

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

_TEXTS = [
    "The film was great, and nobody said 'it is terrible'. great great terrible terrible",
    "Paris is the capital of France? Yes, no or maybe: Yes No Maybe yes no maybe.",
    "A man in a café reads (quietly); it was a good film! good good bad bad",
    "Blue Spice is a Chinese restaurant by the riverside. He was born in Paris. France Paris",
]


def wordpiece() -> PreTrainedTokenizerFast:
    """As BERT's: lower case, [CLS] and [SEP] around, two segments."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        _TEXTS, trainers.WordPieceTrainer(vocab_size=140, special_tokens=names, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_level() -> PreTrainedTokenizerFast:
    """As RoBERTa's: a mask token that takes the space before it, offsets without spaces."""
    tokenizer = _bytes(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=AddedToken("<mask>", lstrip=True),
    )


def decoder(begins: bool = False, ends: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2's: no mask, nothing around a text unless asked for, offsets with spaces."""
    tokenizer = _bytes(["<end>", "<begin>"])
    single = ["<begin>:0"] * begins + ["$A:0"] + ["<end>:0"] * ends
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<end>", 0), ("<begin>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<begin>", eos_token="<end>")


def unigram(scheme: str = "always") -> PreTrainedTokenizerFast:
    """As ALBERT's: sentencepiece, a space before every text, [CLS] and [SEP] around."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    names = ["<pad>", "<unk>", "[CLS]", "[SEP]"]
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=names, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token=AddedToken("[MASK]", lstrip=True),
    )


def _bytes(names: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    return tokenizer


_MAKERS = {
    "wordpiece": wordpiece,
    "byte_level": byte_level,
    "unigram": unigram,
    "unigram_first": lambda: unigram("first"),
    "decoder": decoder,
    "decoder_begins": lambda: decoder(begins=True),
    "decoder_ends": lambda: decoder(begins=True, ends=True),
}


@cache
def made(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer by its name, the same one every time."""
    return _MAKERS[name]()
