"""What a result says about where it was made, without naming the machine."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import softprompt
from softprompt.errors import counted

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate")


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that decide the numbers."""
    found = {"softprompt": softprompt.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if (found_commit := commit()) is not None:
        found["commit"] = found_commit
    return found


@cache
def commit(package: Path = Path(softprompt.__file__).parent) -> str | None:
    """The commit that this code is of, with `-dirty` where files differ; None where it is no checkout."""
    if not (package.parents[1] / ".git").exists():  # not of some other repository that it was installed in
        return None
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=10"]
    try:
        done = subprocess.run(
            command, cwd=package, capture_output=True, encoding="utf-8", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def hardware(device: torch.device, n_processes: int) -> str:
    """The kind of machine, e.g. `x86_64, 8 cores, 4 threads` with the GPU's name; never a host name."""
    shown = [
        platform.machine(),
        counted(os.cpu_count() or 1, "core"),
        counted(torch.get_num_threads(), "thread"),
    ]
    if device.type == "cuda":
        shown.append(torch.cuda.get_device_name(device))
    elif device.type != "cpu":
        shown.append(device.type)
    if n_processes > 1:
        shown.append(f"{n_processes} processes")
    return ", ".join(shown)
