"""Hidden states kept by key under a limit of bytes, in memory or in files that are mapped into it."""

import contextlib
import errno
import mmap
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from softprompt.errors import BackboneError, system_says

KEY_BYTES = 16
_MAGIC = b"softprompt-tc-1\n"
_RECORD = struct.Struct(f"<{KEY_BYTES}sQIII")
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class ActivationStore(Protocol):
    """Where states are kept; what is kept stays, so that the same rows are found in every epoch."""

    limit_bytes: int
    n_bytes: int
    """Of all that is kept."""

    @property
    def n_rows(self) -> int:
        """Rows kept."""
        ...

    def get(self, key: bytes) -> Tensor | None:
        """The states of a key on the CPU, `[seq, hidden]`, or None."""
        ...

    def put(self, key: bytes, states: Tensor) -> bool:
        """Keep states, `[seq, hidden]`; says whether there was room."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class MemoryStates:
    """States in memory.

    Args:
        limit_bytes: the most that they may take.
    """

    def __init__(self, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        self._rows: dict[bytes, Tensor] = {}

    @property
    def n_rows(self) -> int:
        """Rows kept."""
        return len(self._rows)

    def get(self, key: bytes) -> Tensor | None:
        """The states of a key, or None."""
        return self._rows.get(key)

    def put(self, key: bytes, states: Tensor) -> bool:
        """Keep states; says whether there was room."""
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


@dataclass(frozen=True)
class _Place:
    """Where a row lies: a file's number, bytes from its start, tokens, hidden width and checksum."""

    file: int
    offset: int
    n_tokens: int
    width: int
    checksum: int


class DiskStates:
    """States in files of a folder, read through memory maps; what an earlier process left is found again.

    Every process writes files of its own (`NAME.states`, `NAME.index`) and reads all, so that runs may share
    a folder. A row is in the index only once its bytes are written, and is checked by its checksum when it
    is read: what a crash or a bad disk spoiled counts as not there.

    Args:
        folder: made when the first row is kept.
        limit_bytes: the most that the folder's files may take, what is there already included.
        dtype: of the states.

    Raises:
        BackboneError: the folder holds other files, or cannot be read.
    """

    def __init__(self, folder: Path, limit_bytes: int, dtype: torch.dtype):
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.dtype = dtype
        self.n_bytes = 0
        self._item = torch.empty((), dtype=dtype).element_size()
        self._places: dict[bytes, _Place] = {}
        self._files: list[Path] = []
        self._maps: dict[int, mmap.mmap] = {}
        self._own: int | None = None
        self._writers = contextlib.ExitStack()
        self._end = 0
        self._is_full = False
        with self._reading():
            self._find()

    @property
    def n_rows(self) -> int:
        """Rows kept, those of other runs included."""
        return len(self._places)

    def get(self, key: bytes) -> Tensor | None:
        """The states of a key, or None."""
        place = self._places.get(key)
        if place is None:
            return None
        size = place.n_tokens * place.width * self._item
        mapped = self._map(place.file, place.offset + size)
        if mapped is None:
            del self._places[key]
            return None
        with memoryview(mapped) as whole, whole[place.offset : place.offset + size] as part:
            raw = bytearray(part)
        if zlib.crc32(raw) != place.checksum:
            del self._places[key]
            return None
        return torch.frombuffer(raw, dtype=self.dtype).view(place.n_tokens, place.width)

    def put(self, key: bytes, states: Tensor) -> bool:
        """Keep states; says whether there was room."""
        size = states.numel() * states.element_size()
        if self._is_full or self.n_bytes + size + _RECORD.size > self.limit_bytes:
            return False
        flat = states.detach().to("cpu").contiguous().view(torch.uint8).flatten()
        raw = flat.numpy().tobytes()
        try:
            with self._reading():
                if self._own is None:
                    self._begin()
                checksum = zlib.crc32(raw)
                # Written through, data first: an index never speaks of bytes that are still in this process.
                self._data.write(raw)
                self._data.flush()
                self._index.write(_RECORD.pack(key, self._end, states.shape[0], states.shape[1], checksum))
                self._index.flush()
        except BackboneError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
                self._is_full = True  # a full disk is a lower limit
                return False
            raise
        assert self._own is not None
        self._places[key] = _Place(self._own, self._end, states.shape[0], states.shape[1], checksum)
        self._end += size
        self.n_bytes += size + _RECORD.size
        return True

    def close(self) -> None:
        """Let go of the files, which stay."""
        for mapped in self._maps.values():
            mapped.close()
        self._maps.clear()
        self._writers.close()
        self._own = None

    def delete(self) -> None:
        """Let go of the files and remove those that are of this kind, and the folder if it is then empty."""
        self.close()
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.suffix in (".states", ".index"):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        data = self.folder / f"{name}.states"
        self._data = self._writers.enter_context(data.open("xb"))
        self._index = self._writers.enter_context(data.with_suffix(".index").open("xb"))
        self._data.write(_MAGIC)
        self._index.write(_MAGIC)
        self._own = len(self._files)
        self._files.append(data)
        self._end = len(_MAGIC)
        self.n_bytes += 2 * len(_MAGIC)

    def _find(self) -> None:
        if not self.folder.exists():
            return
        for path in sorted(self.folder.iterdir()):
            if path.suffix not in (".states", ".index"):
                raise BackboneError(
                    str(self.folder),
                    f"a file of another kind ({path.name})",
                    "a folder of its own for the trunk cache",
                    "name an empty or new folder",
                )
            self.n_bytes += path.stat().st_size
            if path.suffix == ".index" and path.with_suffix(".states").exists():
                self._read_index(path)

    def _read_index(self, path: Path) -> None:
        raw = path.read_bytes()
        if not raw.startswith(_MAGIC):
            return
        size = path.with_suffix(".states").stat().st_size
        number = len(self._files)
        self._files.append(path.with_suffix(".states"))
        whole = (len(raw) - len(_MAGIC)) // _RECORD.size * _RECORD.size
        for key, offset, n_tokens, width, checksum in _RECORD.iter_unpack(
            raw[len(_MAGIC) : len(_MAGIC) + whole]
        ):
            if offset + n_tokens * width * self._item <= size:
                self._places[key] = _Place(number, offset, n_tokens, width, checksum)

    def _map(self, number: int, end: int) -> mmap.mmap | None:
        """A file's map that reaches at least so far."""
        mapped = self._maps.get(number)
        if mapped is not None and len(mapped) >= end:
            return mapped
        if mapped is not None:
            mapped.close()
            del self._maps[number]
        try:
            with open(self._files[number], "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # taken away or emptied meanwhile
            return None
        self._maps[number] = mapped
        return mapped if len(mapped) >= end else None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackboneError(
                str(self.folder), system_says(error), "a folder that can be read and written"
            ) from error
