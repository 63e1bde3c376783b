"""Which of torch's attention kernels may run while prompts can be active."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.Lock()
_open = 0


@contextmanager
def without_plans(device: torch.device) -> Iterator[None]:
    """On a CUDA device, leave out kernels that build a plan for every new shape; the last to leave undoes it.

    cuDNN's attention, which torch prefers on Hopper and Blackwell where there is a mask, plans for each shape
    that it has not met, and steps of new shapes took a tenth of a second longer on an H200
    (`docs/performance.md`). Batches of texts have a new shape most of the time; with a prompt there is always
    a mask.
    """
    global _open
    with _LOCK:
        ours = device.type == "cuda" and (_open > 0 or torch.backends.cuda.cudnn_sdp_enabled())
        if ours:
            _open += 1
            torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        if ours:
            with _LOCK:
                _open -= 1
                if _open == 0:
                    torch.backends.cuda.enable_cudnn_sdp(True)
