"""Tokenizers from the facts in a GGUF file."""

from collections.abc import Mapping
from typing import Any

# Types of tokens in GGUF.
_CONTROL, _USER_DEFINED = 3, 4
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for a space in the vocabulary of SentencePiece."""


def byte_level(facts: Mapping[str, Any]) -> Any:
    """SmolLM2's tokenizer: merges of bytes, each digit a token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = facts["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in facts["tokenizer.ggml.merges"]]
    # Without an unknown token, since every byte has a token.
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [
        t for t, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True) if kind == _CONTROL
    ]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[facts["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[facts["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[facts["tokenizer.ggml.padding_token_id"]],
        chat_template=facts["tokenizer.chat_template"],
        model_max_length=facts["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )


def sentence_pieces(facts: Mapping[str, Any]) -> Any:
    """Gemma's tokenizer: pieces of SentencePiece, a token that begins a text."""
    from tokenizers import AddedToken
    from transformers import GemmaTokenizer

    types = facts["tokenizer.ggml.token_type"]
    # GGUF writes spaces out in the tokens that users defined (runs of spaces).
    tokens = [
        token.replace(" ", _SPACE) if kind == _USER_DEFINED else token
        for token, kind in zip(facts["tokenizer.ggml.tokens"], types, strict=True)
    ]
    vocab = {token: id for id, token in enumerate(tokens)}
    # GGUF has no merges: any two tokens that are a third together merge into it, earlier tokens first.
    merges: Any = [
        (token[:i], token[i:])
        for token in tokens
        for i in range(len(token) - 1, 0, -1)
        if token[:i] in vocab and token[i:] in vocab
    ]
    tokenizer = GemmaTokenizer(
        vocab=vocab,
        merges=merges,
        bos_token=tokens[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[facts["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[facts["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[facts["tokenizer.ggml.padding_token_id"]],
        add_bos_token=facts["tokenizer.ggml.add_bos_token"],
        model_max_length=facts["gemma3.context_length"],
    )
    whole: Any = [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (_CONTROL, _USER_DEFINED) and _SPACE not in token
    ]
    tokenizer.add_tokens(whole)
    return tokenizer
