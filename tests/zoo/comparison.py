"""What counts as equal, and prompts that differ from it where anything is wrong."""

import torch
from torch import Tensor

from softprompt.prompts.prompt import Prompt

TOLERANCE = 2e-4


class Wrong(AssertionError):
    """An answer that differs from the reference."""


def equal(what: str, came: Tensor, expected: Tensor) -> None:
    """Raise `Wrong` where numbers differ by more than the tolerance, relative to the largest."""
    if came.shape != expected.shape:
        raise Wrong(f"{what}: shape {tuple(came.shape)} instead of {tuple(expected.shape)}")
    gap = float((came - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    if not gap < TOLERANCE:
        raise Wrong(f"{what} differs by {gap:.0e}")


def noise(prompt: Prompt, seed: int) -> Prompt:
    """The prompt with random numbers that are large enough to act."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return prompt
