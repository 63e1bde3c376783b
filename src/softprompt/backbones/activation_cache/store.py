"""Hidden states in memory by key, up to a limit of bytes."""

from torch import Tensor


class ActivationStore:
    """States on the CPU. No row is ever dropped for another, so every epoch finds the same rows.

    Args:
        limit_bytes: the most that all rows may take together.
    """

    def __init__(self, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        """Size of all rows."""
        self._rows: dict[bytes, Tensor] = {}

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def get(self, key: bytes) -> Tensor | None:
        """The states of a key on the CPU, `[seq, hidden]`, or None."""
        return self._rows.get(key)

    def put(self, key: bytes, states: Tensor) -> bool:
        """Keep the states of a key, `[seq, hidden]`, unless they are there already.

        Returns:
            Whether they are kept now; False where there is no room.
        """
        if key in self._rows:
            return True
        size = states.numel() * states.element_size()
        if self.n_bytes + size > self.limit_bytes:
            return False
        # A copy, since a row of a batch would keep the whole batch alive.
        self._rows[key] = states.detach().to("cpu", copy=True).contiguous()
        self.n_bytes += size
        return True

    def close(self) -> None:
        """Drop all rows."""
        self._rows.clear()
        self.n_bytes = 0
