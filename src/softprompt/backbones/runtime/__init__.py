"""The frozen model while prompts are trained: its modes, recomputed layers, layers sharded over processes."""

from softprompt.backbones.runtime.checkpointing import active, keep_context, resumed_by
from softprompt.backbones.runtime.fsdp import n_kept, shard, whole_in_backward
from softprompt.backbones.runtime.gradients import (
    check_averaged,
    gradients_by_hand,
    refusing_stale_gradients,
)
from softprompt.backbones.runtime.modes import (
    enable_checkpointing,
    layers_in_training,
    switch_checkpointing,
    training_mode,
    without_checkpointing,
)
from softprompt.backbones.runtime.quantised import check_backward, rounds_inputs

__all__ = [
    "active",
    "check_averaged",
    "check_backward",
    "enable_checkpointing",
    "gradients_by_hand",
    "keep_context",
    "layers_in_training",
    "n_kept",
    "refusing_stale_gradients",
    "resumed_by",
    "rounds_inputs",
    "shard",
    "switch_checkpointing",
    "training_mode",
    "whole_in_backward",
    "without_checkpointing",
]
