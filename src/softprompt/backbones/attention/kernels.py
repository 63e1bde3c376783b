"""Which of torch's attention kernels may run while a backbone is at work."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_plans(device: torch.device) -> Iterator[None]:
    """On a CUDA device, leave out the kernels that build a plan for every new shape; undone on leaving.

    cuDNN's attention, which torch prefers on Hopper and Blackwell where there is a mask, plans for each shape
    that it has not met, and steps of new shapes took a tenth of a second longer on an H200
    (`docs/performance.md`). Batches of texts have a new shape most of the time; with a prompt there is always
    a mask.
    """
    if device.type != "cuda" or not torch.backends.cuda.cudnn_sdp_enabled():
        yield
        return
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)
