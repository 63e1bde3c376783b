"""Parameters that can be trained, wherever they are made."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Tensors made in here are plain ones, also inside `torch.inference_mode()`; a decorator as well.

    What inference mode makes can be neither trained nor watched for changes.
    """
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield
