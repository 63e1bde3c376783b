"""A file of safetensors: its header is checked before anything of the tensors' size is allocated."""

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from softprompt.errors import PromptError, counted
from softprompt.untrusted import Unreadable, decode, open_regular, parse_json

Shapes = Mapping[str, tuple[int, ...]]
"""Sizes of tensors by their names."""

_MOST_HEADER = 8 << 20
_MOST_AXES = 16
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Of a number, by the names that safetensors has for precisions."""


def serialised(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a file that holds tensors, in float32."""
    from safetensors.torch import save

    # Clones, because safetensors refuses tensors that share storage.
    return save({name: t.detach().cpu().float().contiguous().clone() for name, t in tensors.items()})


def read_tensors(path: Path, digest: str, fits: Callable[[Shapes], object]) -> dict[str, Tensor]:
    """The tensors of a file, float32 on the CPU.

    Args:
        path: the file, or a link to it.
        digest: SHA-256 of its content.
        fits: raises where names or sizes are not the expected ones; called before the tensors are read.

    Raises:
        PromptError: no file of float32 tensors, or not the one of that digest.
    """
    try:
        with open_regular(path) as (file, size):
            length = int.from_bytes(file.read(8), "little")
            fits(_shapes(file.read(_header_length(length, size)), size - 8 - length))
            file.seek(0)
            content = file.read(size)
    except Unreadable as error:
        raise _no_tensors(path, error) from None
    if hashlib.sha256(content).hexdigest() != digest:
        got = f"{counted(len(content), 'byte')} that do not match the card"
        raise PromptError(str(path), got, "the tensors as they were saved", "copy the file again")
    return _decoded(path, content)


def read_foreign_tensors(path: Path, fits: Callable[[Shapes], object]) -> dict[str, Tensor]:
    """The tensors of another library's file of safetensors, whatever float they are held in; on the CPU.

    Args:
        path: the file, or a link to it.
        fits: raises where names or sizes are not the expected ones; called before the tensors are read.

    Raises:
        PromptError: no file of safetensors, or numbers that are no floats.
    """
    try:
        with open_regular(path) as (file, size):
            start = file.read(8)
            _refuse_pickle(start)
            length = int.from_bytes(start, "little")
            fits(_shapes(file.read(_header_length(length, size)), size - 8 - length, tuple(_BYTES)))
            file.seek(0)
            content = file.read(size)
    except Unreadable as error:
        raise _no_tensors(path, error) from None
    return _decoded(path, content)


def _refuse_pickle(start: bytes) -> None:
    """Name what a file of another form most often is."""
    if start.startswith(b"PK\x03\x04"):
        raise Unreadable("what torch.save writes, a pickle in a zip, which could run anything")
    if start[:1] == b"\x80" and int.from_bytes(start, "little") > _MOST_HEADER:
        raise Unreadable("a pickle, which could run anything")


def _header_length(length: int, size: int) -> int:
    if size < 8 or not 0 < length <= min(size - 8, _MOST_HEADER):
        raise Unreadable(f"no tensors ({counted(size, 'byte')} with a header of {length:,})")
    return length


def _shapes(
    header: bytes, n_bytes: int, precisions: Collection[str] = ("F32",)
) -> dict[str, tuple[int, ...]]:
    """Sizes by names of a header, which must describe exactly the bytes that follow.

    Raises:
        Unreadable: no header of float32 tensors, or bytes that belong to none or to several.
    """
    try:
        entries = parse_json(decode(header, "utf-8"))
    except Unreadable as error:
        raise Unreadable(f"no tensors ({error} in the header)") from None
    if not isinstance(entries, dict):
        raise Unreadable("no tensors (a header that is no object)")
    entries.pop("__metadata__", None)
    shapes, spans = {}, []
    for name, entry in entries.items():
        where = f"no tensors ({name[:80]!r} in the header)"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise Unreadable(where)
        shape, span = entry["shape"], entry["data_offsets"]
        if not _are_counts(shape) or not _are_counts(span) or len(span) != 2 or len(shape) > _MOST_AXES:
            raise Unreadable(where)
        if entry["dtype"] not in precisions:
            floats = "float32" if len(precisions) == 1 else "floats"
            raise Unreadable(
                f"numbers of {str(entry['dtype'])[:80]} in {name[:80]!r}, which are not {floats}"
            )
        if math.prod(shape) * _BYTES[entry["dtype"]] != span[1] - span[0]:
            raise Unreadable(where)
        shapes[name] = tuple(shape)
        spans.append(span)
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise Unreadable("no tensors (bytes that belong to none or to several)")
        end = last
    if end != n_bytes:
        raise Unreadable(f"no tensors ({counted(n_bytes, 'byte')} of numbers, and {end:,} in the header)")
    return shapes


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(part) is int and 0 <= part < 2**63 for part in value)


def _decoded(path: Path, content: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise _no_tensors(path, f"no tensors ({reason})") from None
    except MemoryError:
        raise _no_tensors(path, f"{counted(len(content), 'byte')}, for which there is no memory") from None


def _no_tensors(path: Path, got: object) -> PromptError:
    return PromptError(str(path), str(got), "tensors in a file of safetensors", "copy the file again")
