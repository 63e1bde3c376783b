"""Tiny sounds, in the form that each family's encoder reads."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

FRAMES = 64
WAVE = 4000


def sounds(model: PreTrainedModel, seeds: Sequence[int]) -> dict[str, Tensor] | None:
    """The inputs of a model that reads sounds; None for one that reads texts.

    Args:
        model: the model.
        seeds: of each sound's numbers.
    """
    config: Any = model.config
    kind, name = config.model_type, model.main_input_name
    if name == "input_ids":
        return None
    name = model.get_encoder().main_input_name if name == "inputs" else name
    if name == "input_values":
        shape: tuple[int, ...] = (WAVE,)
    elif kind == "whisper":
        shape = (config.num_mel_bins, 2 * config.max_source_positions)
    else:
        shape = (FRAMES, _bins(config))
    return {
        name: torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
    }


def _bins(config: Any) -> int:
    for part in (config, getattr(config, "encoder_config", None), getattr(config, "encoder", None)):
        for name in ("input_feat_per_channel", "feature_projection_input_dim", "num_mel_bins"):
            found = getattr(part, name, None)
            if isinstance(found, int):
                return found
    raise ValueError("the number of bins of a spectrum is not known")
