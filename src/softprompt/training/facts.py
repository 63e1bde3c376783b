"""What a result says about where it was made, without naming the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

import softprompt

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate")


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that decide the numbers."""
    found = {"softprompt": softprompt.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: torch.device, n_processes: int) -> str:
    """The kind of machine, e.g. `x86_64, 8 cores, 4 threads` with the GPU's name; never a host name."""
    shown = [platform.machine(), f"{os.cpu_count()} cores", f"{torch.get_num_threads()} threads"]
    if device.type == "cuda":
        shown.append(torch.cuda.get_device_name(device))
    elif device.type != "cpu":
        shown.append(device.type)
    if n_processes > 1:
        shown.append(f"{n_processes} processes")
    return ", ".join(shown)
