"""Hidden states kept in memory by key, under a limit of bytes."""

from torch import Tensor


class ActivationStore:
    """States on the CPU; what is kept stays, so that the same rows are found in every epoch.

    Args:
        limit_bytes: the most that they may take.
    """

    def __init__(self, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        """Of all that is kept."""
        self._rows: dict[bytes, Tensor] = {}

    @property
    def n_rows(self) -> int:
        """Rows kept."""
        return len(self._rows)

    def get(self, key: bytes) -> Tensor | None:
        """The states of a key on the CPU, `[seq, hidden]`, or None."""
        return self._rows.get(key)

    def put(self, key: bytes, states: Tensor) -> bool:
        """Keep states, `[seq, hidden]`; says whether there was room."""
        size = states.numel() * states.element_size()
        if self.n_bytes + size > self.limit_bytes:
            return False
        # A copy, since a row of a batch would keep the whole batch alive.
        self._rows[key] = states.detach().to("cpu", copy=True).contiguous()
        self.n_bytes += size
        return True

    def close(self) -> None:
        """Let go of everything."""
        self._rows.clear()
        self.n_bytes = 0
