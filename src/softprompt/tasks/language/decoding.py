"""The arguments of transformers' `generate` from the settings of decoding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from softprompt.config import DecodingSettings
from softprompt.errors import ConfigError, Problem

_BELONGS_TO = {
    "beams": "beam",
    "length_penalty": "beam",
    "temperature": "sample",
    "top_p": "sample",
}

# Published models set these in their generation files; no setting of softprompt corresponds to them.
_SWITCHED_OFF = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "guidance_scale",
    "max_time",
    "min_p",
    "penalty_alpha",
    "sequence_bias",
    "stop_strings",
    "typical_p",
)


def check_decoding(settings: DecodingSettings) -> None:
    """Refuse settings that the chosen strategy would ignore.

    Raises:
        ConfigError: all such settings, a line each.
    """
    problems = []
    for name, strategy in _BELONGS_TO.items():
        value, default = getattr(settings, name), DecodingSettings.model_fields[name].default
        # Greedy decoding and sampling have one beam.
        harmless = name == "beams" and value == 1
        if settings.strategy != strategy and value != default and not harmless:
            problems.append(
                Problem(
                    f"decoding.{name}",
                    f"{value} with strategy '{settings.strategy}'",
                    f"strategy '{strategy}'",
                    f"leave {name} out, or set decoding.strategy={strategy}",
                )
            )
    if settings.strategy == "beam" and settings.beams == 1:
        problems.append(
            Problem(
                "decoding.beams", "1 with strategy 'beam'", "2 beams or more", "set decoding.strategy=greedy"
            )
        )
    most = settings.max_new_tokens
    if most is not None and settings.min_new_tokens > most:
        problems.append(
            Problem(
                "decoding.min_new_tokens",
                settings.min_new_tokens,
                f"at most max_new_tokens ({most})",
                "lower it, or raise decoding.max_new_tokens",
            )
        )
    if problems:
        raise ConfigError.several(problems)


def generate_arguments(
    settings: DecodingSettings, limit: int, ends: Sequence[int], pad: int, banned: Sequence[int]
) -> dict[str, Any]:
    """Keyword arguments of `generate` that override the model's own generation file in everything.

    Args:
        settings: of decoding.
        limit: longest output in tokens, its end included.
        ends: the tokens that end an output.
        pad: the token that fills finished rows.
        banned: tokens that are never generated.
    """
    return {
        "do_sample": settings.strategy == "sample",
        "num_beams": settings.beams if settings.strategy == "beam" else 1,
        "max_new_tokens": limit,
        "min_new_tokens": settings.min_new_tokens,
        "length_penalty": settings.length_penalty,
        "no_repeat_ngram_size": settings.no_repeat_ngram,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": 0 if settings.strategy == "sample" else 50,
        "early_stopping": False,
        "repetition_penalty": 1.0,
        **dict.fromkeys(_SWITCHED_OFF),
        "num_return_sequences": 1,
        "use_cache": True,
        "eos_token_id": ends[0] if len(ends) == 1 else list(ends),
        "pad_token_id": pad,
        "suppress_tokens": list(banned) or None,
    }


def newline_tokens(tokenizer: Any, vocab: int, keep: Sequence[int]) -> list[int]:
    """Every token below `vocab` whose text holds a line break, except `keep` (those that end an answer)."""
    ids = range(min(len(tokenizer), vocab))
    texts = tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
    return [i for i, text in zip(ids, texts, strict=True) if i not in keep and "\n" in text]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from `seed` inside the block, and restore torch's generators afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
