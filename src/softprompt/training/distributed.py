"""The processes of one run: one by default, several under `accelerate launch`."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softprompt.errors import ConfigError

_WRAPPING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
"""Launch modes of accelerate that wrap the model; none is supported."""


class Processes:
    """The device, and the few operations in which several processes take part.

    A prompt is small, so one message per step sums its gradients, and the backbone is never wrapped. In a
    single process every operation is the identity, and torch.distributed is not used.

    Args:
        device: a torch device; None takes this process's own.

    Raises:
        BackboneError: a device that is not there.
        ConfigError: a device that contradicts the launcher's.
    """

    def __init__(self, device: str | None = None) -> None:
        from accelerate import Accelerator

        from softprompt.backbones import check_device

        launched = int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
        # Without a GPU, accelerate joins processes only with `cpu=True`.
        options: dict[str, Any] = {}
        if launched > 1 and not torch.accelerator.is_available():
            options["cpu"] = True
        # The precision is the backbone's dtype, which no accelerate config file may change.
        self._accelerator = Accelerator(mixed_precision="no", **options)
        self.count: int = self._accelerator.num_processes
        if launched > 1 and launched != self.count:
            raise ConfigError(
                "the launcher",
                f"{launched} processes, of which accelerate joins {self.count}",
                "devices on which they can work together",
                "start one process, or set ACCELERATE_USE_CPU=true",
            )
        self.rank: int = self._accelerator.process_index
        own = str(self._accelerator.device)
        kind = str(getattr(self._accelerator, "distributed_type", "")).rpartition(".")[2]
        if kind in _WRAPPING:
            raise ConfigError(
                "accelerate launch",
                f"{kind}, which wraps what is trained",
                "plain processes, since only the frozen layers are shared out and the prompt stays whole",
                "leave that out of the launch, and set backbone.shard=true",
            )
        if self.count > 1 and device is not None and device.partition(":")[0] != torch.device(own).type:
            raise ConfigError(
                "backbone.device",
                repr(device),
                f"no device, or the launcher's {own}, with {self.count} processes",
                "let `accelerate launch` choose the devices",
            )
        if device is not None:
            check_device(device)
        self.device = own if device is None or self.count > 1 else device

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over all processes, in one message; call it in every process."""
        if self.count == 1:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1).to(torch.float32) for tensor in tensors])
        total: Tensor = self._accelerator.reduce(flat, reduction="sum")  # type: ignore[assignment]
        pieces = total.split([tensor.numel() for tensor in tensors])
        return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]

    def gather(self, items: list[Any], n_items: int) -> list[Any]:
        """The full list again, where each process holds `full[rank::count]`."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        full: list[Any] = [None] * n_items
        for rank, share in gather_object([(self.rank, items)]):
            full[rank :: self.count] = share
        return full

    def same(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite each tensor in place with that of the main process."""
        if self.count > 1:
            from accelerate.utils import broadcast

            for tensor in tensors:
                tensor.copy_(broadcast(tensor.detach().clone()))

    def wait(self) -> None:
        """Block until every process has called this method."""
        self._accelerator.wait_for_everyone()
