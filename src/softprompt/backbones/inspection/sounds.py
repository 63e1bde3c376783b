"""Models whose encoder reads sounds and whose decoder writes a text: Whisper, Moonshine, Speech2Text."""

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

SOUNDS = ("input_features", "input_values", "inputs")
"""Names by which encoders of sounds take them: spectra, waves, and either (SpeechEncoderDecoderModel's)."""


def reads_sounds(model: PreTrainedModel) -> bool:
    """Whether an encoder of sounds stands before the decoder's text."""
    return bool(model.config.is_encoder_decoder) and model.main_input_name in SOUNDS


def states_of_noise(model: PreTrainedModel, length: int) -> BaseModelOutput:
    """States as the encoder of sounds gives them, `[1, length, hidden]`, without running it.

    What a sound looks like differs from family to family; the decoder needs only its states.
    """
    encoder: Any = model.get_encoder()
    weight = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, length, encoder.config.hidden_size, generator=generator)
    states = BaseModelOutput(last_hidden_state=noise.to(weight))  # type: ignore[arg-type]
    states.attention_mask = None  # type: ignore[attr-defined] # asked for by Moonshine
    return states
