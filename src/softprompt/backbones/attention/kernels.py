"""Which of torch's attention kernels may run while prompts can be active."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from softprompt.backbones.dispatch import undone

_LOCK = threading.Lock()
_USERS: set[object] = set()


@contextmanager
def without_plans(device: torch.device) -> Iterator[None]:
    """On a CUDA device, leave out kernels that build a plan for every new shape; the last to leave undoes it.

    cuDNN's attention, which torch prefers on Hopper and Blackwell where there is a mask, plans for each shape
    that it has not met, and steps of new shapes took a tenth of a second longer on an H200
    (`docs/performance.md`). Batches of texts have a new shape most of the time; with a prompt there is always
    a mask.
    """
    user = object()
    with undone(lambda: _end(user)):
        with _LOCK:
            if device.type == "cuda" and (_USERS or torch.backends.cuda.cudnn_sdp_enabled()):
                _USERS.add(user)
                torch.backends.cuda.enable_cudnn_sdp(False)
        yield


def _end(user: object) -> None:
    with _LOCK:
        if {user} == _USERS:
            torch.backends.cuda.enable_cudnn_sdp(True)
        _USERS.discard(user)
