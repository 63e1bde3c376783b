"""Attention calls of every family, and attention with keys and values in front."""

from softprompt.backbones.attention.families import self_computed
from softprompt.backbones.attention.interface import (
    KERNELS,
    AttentionCall,
    Interception,
    Recorder,
    answered_by,
    answering,
    check_kernel,
    intercept,
    intercepting,
    interception,
    may_act,
    quick,
    watching,
)
from softprompt.backbones.attention.kernels import without_plans
from softprompt.backbones.attention.prefix import attend_with_prefix, once

__all__ = [
    "KERNELS",
    "AttentionCall",
    "Interception",
    "Recorder",
    "answered_by",
    "answering",
    "attend_with_prefix",
    "check_kernel",
    "intercept",
    "intercepting",
    "interception",
    "may_act",
    "once",
    "quick",
    "self_computed",
    "watching",
    "without_plans",
]
