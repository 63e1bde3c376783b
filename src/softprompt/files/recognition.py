"""Whether a backbone is the one that a prompt was made on, by comparing numbers of both.

Numbers of one checkpoint in two precisions differ by the rounding of each precision, and no digest of rounded
numbers is the same for both, since some number always lies near the border between two roundings. The numbers
themselves are therefore compared, with room for exactly that rounding.
"""

from collections.abc import Collection, Sequence
from enum import IntEnum

import torch
from torch import Tensor

from softprompt.files.prompt_card import BackboneCard, BackboneRecord
from softprompt.files.tensor_kinds import bare, count, names, shape


class Held(IntEnum):
    """How a tensor's numbers are held."""

    FLOAT32 = 0
    BFLOAT16 = 1
    FLOAT16 = 2
    COMPUTED = 3
    """In float32, as a sum with LoRA's product: exact but for the rounding of the sum."""
    EIGHT_BITS = 4
    """Integers times a scale."""
    FLOAT8 = 5
    FOUR_BITS = 6


# The largest rounding error of a precision: a share of the number, a share of the tensor's largest number,
# and a constant.
_ROUNDING = {
    Held.FLOAT32: (2.0**-24, 0.0, 0.0),
    Held.BFLOAT16: (2.0**-8, 0.0, 0.0),
    Held.FLOAT16: (2.0**-11, 0.0, 2.0**-25),  # half of its smallest step
    Held.COMPUTED: (2.0**-18, 2.0**-18, 0.0),
    Held.EIGHT_BITS: (2.0**-8, 1 / 127, 0.0),  # the scale itself may be bfloat16
    Held.FLOAT8: (2.0**-3, 2.0**-9, 0.0),
    Held.FOUR_BITS: (2.0**-8, 0.18, 0.0),  # NF4's widest step is 0.3 of the largest
}
_PACKED = (Held.EIGHT_BITS, Held.FLOAT8, Held.FOUR_BITS)
_PEFT = (".base_layer.", ".lora_", ".modules_to_save.", ".original_module.", "ia3_")
_OFF = {Held.EIGHT_BITS: 0.1, Held.FLOAT8: 0.15, Held.FOUR_BITS: 0.4}
"""How far half of all packed tensors may be off, as a share of their norm: the room that follows from a
tensor's largest number alone would be too wide."""


def difference(
    stored: BackboneCard, present: BackboneCard, own_head: bool, replaced: Collection[str] = ()
) -> str | None:
    """Why a backbone is not the one that a prompt was made on, as a clause; None where it is.

    Args:
        stored: the card of the prompt's backbone.
        present: the card of the backbone at hand.
        own_head: whether the prompt is read by the backbone's own head and has none itself.
        replaced: names of tensors for which the prompt has its own.
    """
    if stored.family != present.family:
        return f"another architecture ({present.family}, and there {stored.family})"
    before, now = stored.record, present.record
    if before is None or now is None:
        return None if stored.fingerprint == present.fingerprint else _by_digest_alone(stored, present)
    unlike = _unlike_base(before, now)
    if unlike is not None or not own_head or not before.head or not now.head:
        return unlike  # without a head in one of the two, no answer can differ
    return _unlike_head(before, now, replaced)


def _by_digest_alone(stored: BackboneCard, present: BackboneCard) -> str:
    if stored.n_parameters != present.n_parameters:
        return f"{present.n_parameters:,} parameters, and there {stored.n_parameters:,}"
    return (
        "other weights, or the same in another precision: a file of format 1 to 3 knows them by a digest "
        f"alone ({stored.fingerprint}, here {present.fingerprint})"
    )


def _unlike_base(before: BackboneRecord, now: BackboneRecord) -> str | None:
    if before.base != now.base or before.per_tensor != now.per_tensor:
        return _unlike_names(before, now)
    n = count(now.base)
    return _unlike_numbers(before.samples[:n], now.samples[:n], names(now.base))


def _unlike_head(before: BackboneRecord, now: BackboneRecord, replaced: Collection[str]) -> str | None:
    if before.head != now.head:
        here, there = (", ".join(map(bare, record.head)) for record in (now, before))
        contrast = f", and there {there}" if there != here else ", of other sizes"
        return f"the head differs ({here}{contrast})"
    n = count(now.base)
    for name, old, new in zip(names(now.head), before.samples[n:], now.samples[n:], strict=True):
        if name not in replaced and _unlike_numbers([old], [new], [name]) is not None:
            return f"the head differs ({name})"
    return None


def _unlike_names(before: BackboneRecord, now: BackboneRecord) -> str:
    """The difference between names and shapes, as a clause."""
    new = [kind for kind in now.base if kind not in before.base]
    gone = [kind for kind in before.base if kind not in now.base]
    of_name = {bare(kind): kind for kind in reversed(gone)}
    for kind in new:
        other = of_name.get(bare(kind))
        if other is not None and bare(kind) == now.embeddings == before.embeddings:
            (n, *width), (m, *their_width) = shape(kind), shape(other) or [0]
            if width == their_width:
                change = "added" if n > m else "taken away"
                return (
                    f"the input embeddings have {n} rows, the prompt's backbone had {m}: tokens were {change}"
                )
        if other is not None:
            return f"another size ({kind}, and there {other})"
    for kinds, owner in ((new, "this backbone has"), (gone, "the prompt's backbone had")):
        tuned = [kind for kind in kinds if any(mark in kind for mark in _PEFT)]
        if tuned:
            return f"{owner} modules of PEFT's ({bare(tuned[0])}) that the other has not"
    if 2 * len(gone) > len(before.base):
        return f"another architecture (without {bare(gone[0])})"
    for kind in now.base:
        if kind in before.base and now.base[kind] != before.base[kind]:
            return (
                f"another number of layers ({bare(kind)} at {now.base[kind]}, there at {before.base[kind]})"
            )
    changes = [
        f"{bare(kinds[0])} is {change}" for kinds, change in ((new, "new"), (gone, "missing")) if kinds
    ]
    return f"other tensors ({', '.join(changes) or 'sampled otherwise'}): were modules renamed or merged?"


def _unlike_numbers(
    stored: Sequence[Sequence[float]], present: Sequence[Sequence[float]], names: Sequence[str]
) -> str | None:
    if stored == present:
        return None
    a, b = torch.tensor(stored, dtype=torch.float64), torch.tensor(present, dtype=torch.float64)
    if a.shape != b.shape:
        return "tensors of other names or shapes"
    a_held, b_held = _held(a), _held(b)
    largest = torch.maximum(a[:, 1], b[:, 1])[:, None]
    a, b = a[:, 2:], b[:, 2:]
    room = _room(a_held, b_held, torch.maximum(a.abs(), b.abs()), largest)
    off = (a - b).abs()
    wrong = (~(off <= room)).any(1)
    if not wrong.any():
        return _unlike_packed(a, off, a_held, b_held)
    share = (off - room).amax(1) / largest[:, 0].clamp(min=1e-30)
    worst = names[int(torch.where(wrong, share, -1.0).argmax())]
    return (
        f"the weights differ in {int(wrong.sum())} of {len(wrong)} tensors, most in {worst}: "
        "another fine-tuning?"
    )


def _unlike_packed(numbers: Tensor, off: Tensor, stored: Tensor, present: Tensor) -> str | None:
    """Quantised tensors that are each within their own room, but half of which are too far off."""
    for kind in _PACKED:
        rows = ((stored == kind) | (present == kind)) & (stored != present)
        if rows.any():
            size = numbers[rows].norm(dim=1).clamp(min=1e-30)
            typical = float((off[rows].norm(dim=1) / size).median())
            if typical > _OFF[kind]:
                return f"the quantised weights are {typical:.0%} off: another fine-tuning, or another model"
    return None


def _held(rows: Tensor) -> Tensor:
    """How each row is held; float32 that was read out of half precision counts as half precision."""
    held = rows[:, 0].long()
    plain = held == Held.FLOAT32
    numbers = rows[plain, 2:]
    for dtype, kind in ((torch.bfloat16, Held.BFLOAT16), (torch.float16, Held.FLOAT16)):
        if plain.any() and bool((numbers.to(dtype).double() == numbers).all()):
            return torch.where(plain, int(kind), held)
    return held


def _room(stored: Tensor, present: Tensor, numbers: Tensor, largest: Tensor) -> Tensor:
    """By how much numbers may differ, `[tensor, number]`; 0 where both are held alike."""
    room = torch.zeros_like(numbers)
    for held in (stored, present):
        for kind, (share, of_largest, constant) in _ROUNDING.items():
            here = ((held == kind) & ((stored != present) | (held == Held.COMPUTED)))[:, None]
            room = room + torch.where(here, share * numbers + of_largest * largest + constant, 0.0)
    return room
