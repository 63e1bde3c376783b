"""Ways to damage or to forge a prompt folder; each changes the folder in place."""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load, save

from softprompt.files import card_text

CARD, TENSORS = "prompt.json", "prompt.safetensors"

Mutation = Callable[[Random, Path, Path], object]
"""Takes the random numbers, the folder, and the whole folder of another prompt."""

VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 10**30, 10**4000, 0.5, 1e308, 1e-320, float("nan"),
    float("inf"), "", "x", "3", "all", "x" * 100_000, "\ud800", "a\0b", "\x1b[31m", "\u202egnp.exe",
    "../../x", "/etc/passwd", "(a+)+$", "１２", [], {}, [1], [[1]], {"a": 1}, [0] * 50_000, [-1], [0, 0],
    [2**64], [True], ["x"], ["__class__"], {"x": [0]}, {"decoder": [10**9]}, "none", "image", "key_values",
    "slot_embeddings", "pixel-pad", "channel", "lora", "adapter", "soft", "calibration", "picture", "a.* [9]",
    "0-999999999", "9" * 5000,
)  # fmt: skip


def are_plain(folder: Path) -> bool:
    """Whether both files are regular ones of a size that can be read, and no links."""
    paths = (folder / CARD, folder / TENSORS)
    return all(p.is_file() and not p.is_symlink() and p.stat().st_size < 1 << 24 for p in paths)


def sign(folder: Path) -> bool:
    """Write checksums that fit, where both files can still be read; returns whether that was done."""
    try:
        if not are_plain(folder):
            return False
        card = json.loads((folder / CARD).read_bytes())
        if not isinstance(card, dict):
            return False
        card["sha256"] = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
        card.pop("card_sha256", None)
        text = json.dumps(card | {"card_sha256": card_text.checksum(card)})
    except (OSError, ValueError, RecursionError):
        return False
    (folder / CARD).write_text(text, encoding="utf-8")
    return True


# -- bytes ---------------------------------------------------------------------------------------


def _bytes(random: Random, folder: Path, other: Path) -> None:
    """Flipped bits, inserted, removed, repeated or emptied stretches, a truncation, something appended."""
    path = folder / random.choice((CARD, TENSORS))
    content = bytearray(path.read_bytes())
    at = random.randrange(len(content) + 1)
    to = min(len(content), at + random.choice((1, 2, 8, 100, 5000)))
    kind = random.randrange(7)
    if kind == 0:
        for _ in range(random.choice((1, 1, 1, 2, 8))):
            if content:
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    elif kind == 1:
        content[at:at] = random.randbytes(random.choice((1, 4, 100)))
    elif kind == 2:
        del content[at:to]
    elif kind == 3:
        content[at:at] = content[at:to]
    elif kind == 4:
        content[at:to] = bytes(to - at)
    elif kind == 5:
        del content[random.choice((0, 1, 7, 8, 9, at, max(len(content) - 1, 0))) :]
    else:
        content += random.choice((b"\0", b"\n", b" ", b"{}", bytes(content[:100])))
    path.write_bytes(content)


# -- the header of the tensors -------------------------------------------------------------------


def _header(random: Random, folder: Path, other: Path) -> None:
    content = (folder / TENSORS).read_bytes()
    try:
        length = struct.unpack("<Q", content[:8])[0]
        header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
        name = random.choice(list(header))
        entry = header[name]
        shape, (first, last) = list(entry["shape"]), entry["data_offsets"]
    except (ValueError, struct.error, LookupError, TypeError, RecursionError):
        return
    kind = random.randrange(9)
    if kind == 0:
        entry["dtype"] = random.choice(
            ("F16", "BF16", "F64", "I32", "I64", "F8_E4M3", "BOOL", "F99", 3, None)
        )
    elif kind == 1:
        others: tuple[Any, ...] = (
            shape[::-1], [*shape, 1], [1, *shape], shape[1:], [], [-1], [0], [2**33, 2**33], [1] * 5000,
            [2**64], [True], [1.5], "x", None,
        )  # fmt: skip
        entry["shape"] = random.choice(others)
    elif kind == 2:
        ends = ([0, 4], [last, first], [first, last + 4], [-4, last], [first, 2**64], [first], "x", None)
        entry["data_offsets"] = random.choice(ends)
    elif kind == 3:
        header[random.choice(("", "x", name + " ", name.upper(), "x" * 10**6, "\0", "head.weight"))] = entry
    elif kind == 4:
        del header[name]
    elif kind == 5:
        second = random.choice(list(header))
        header[name], header[second] = header[second], entry
    elif kind == 6:
        values: tuple[Any, ...] = ({"format": "pt"}, {"a": 1}, [], "x", {"x" * 10**5: ""})
        header["__metadata__"] = random.choice(values)
    elif kind == 7:
        entry[random.choice(("dtype", "x"))] = random.choice(VALUES)
    else:
        entry["shape"], entry["data_offsets"] = [last // 4], [0, last]
    text = json.dumps(header).encode("utf-8")
    if random.random() < 0.2:
        text = random.choice((
            b"[" * 50_000, b'{"a":' * 20_000, b"{}", b"[]", b"", text[:-1], text + b"x",
            b'{"a": 1' + b"0" * 5000 + b"}", text[:-1] + b"," + text[1:],
        ))  # fmt: skip
    length = random.choice((*[len(text)] * 8, 0, len(text) - 1, 2**62, 2**64 - 1)) % 2**64
    (folder / TENSORS).write_bytes(struct.pack("<Q", length) + text + body)


# -- the tensors ---------------------------------------------------------------------------------


def _tensors(random: Random, folder: Path, other: Path) -> None:
    try:
        tensors = load((folder / TENSORS).read_bytes())
    except Exception:  # what an earlier change left may be no file of tensors
        return
    if not tensors:
        return
    name = random.choice(list(tensors))
    tensor = tensors[name].float()
    kind = random.randrange(8)
    if kind == 0:
        tensor.flatten()[:1] = random.choice(
            (float("nan"), float("inf"), -float("inf"), 3e38, 1e-40, -0.0, 7.0)
        )
    elif kind == 1:
        dtypes = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.float8_e4m3fn)
        tensor = tensor.to(random.choice(dtypes))
    elif kind == 2:
        forms = (tensor.flatten(), tensor[None], tensor.flip(0) if tensor.ndim else tensor, tensor.sum())
        tensor = random.choice(forms)
    elif kind == 3:
        tensor = random.choice(
            (torch.zeros(0), torch.zeros(0, *tensor.shape[1:]), torch.cat([tensor.flatten()] * 2))
        )
    elif kind == 4:
        tensors[random.choice((name + "0", "x", "slots", "head.weight", "weights.x", "decoder.0.keys"))] = (
            tensor.clone()
        )
    elif kind == 5:
        tensors.pop(name)
    elif kind == 6:
        second = random.choice(list(tensors))
        tensors[second], tensor = tensor, tensors[second]
    else:
        tensor = torch.full_like(tensor, random.choice((0.0, 1.0, 1e30)))
    if kind != 5:
        tensors[name] = tensor
    plain = {name: value.contiguous().clone() for name, value in tensors.items()}
    (folder / TENSORS).write_bytes(save(plain))


# -- the card ------------------------------------------------------------------------------------


def _card(random: Random, folder: Path, other: Path) -> None:
    """Another value, name or place somewhere in the card's tree."""
    try:
        card = json.loads((folder / CARD).read_bytes())
        donor = json.loads((other / CARD).read_bytes())
    except (ValueError, RecursionError):
        return
    if not isinstance(card, dict) or not card:
        return
    for _ in range(random.choice((1, 1, 2))):
        place: Any = card
        while True:
            key = random.choice(list(place)) if isinstance(place, dict) else random.randrange(len(place))
            if not (isinstance(place[key], (dict, list)) and place[key] and random.random() < 0.7):
                break
            place = place[key]
        kind = random.randrange(7)
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            new = random.choice((str(key) + " ", str(key).upper(), "x", "", "record", "head", "kind"))
            place[new] = place.pop(key)
        elif kind == 2 and isinstance(place, dict):
            place[random.choice(("x", "record", "words", "rank", "", "\x1b", "__class__"))] = random.choice(
                VALUES
            )
        elif kind == 3:
            name = random.choice(list(donor))
            card[name] = donor[name]
        elif kind == 4:
            number = place[key]
            small = isinstance(number, (int, float)) and abs(number) < 2**64
            place[key] = number + random.choice((-1, 1, 0.5, 10**6)) if small else [number]
        else:
            place[key] = random.choice(VALUES)
        if not card:
            break
    _write(random, folder, card)


def _older(random: Random, folder: Path, other: Path) -> None:
    """A card that claims to be of an older format, with more or less of what such a card lacks."""
    try:
        card = json.loads((folder / CARD).read_bytes())
        card["format_version"] = random.choice((1, 2, 3, 0, 5, -1, 4.0, "4", True))
        if random.random() < 0.7:
            card.pop("card_sha256", None)
        if random.random() < 0.7:
            card["backbone"].pop("record", None)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return
    _write(random, folder, card)


def _json(random: Random, folder: Path, other: Path) -> None:
    """What JSON allows, or nearly, and no card has."""
    text = (folder / CARD).read_bytes().decode("utf-8", "replace").strip()
    n = random.choice((90, 900, 100_000))
    texts = (
        "\ufeff" + text, "", "null", "3", f"[{text}]", json.dumps(text), text.replace("{", "{ // x\n", 1),
        text.replace(":", ": 0", 1), text[:-1] + ",}", text + text, text[:-1] + ', "seed": 1}',
        text[:-1] + ', "metrics": {"a": 1e999999}}', text[:-1] + ', "x": "\\ud800"}',
        text[:-1] + ', "task": {"a": ' + "[" * n + "]" * n + "}}",
        text[:-1] + ', "task": ' + '{"a":' * n + "1" + "}" * n + "}",
        text[:-1] + ', "x": ' + "9" * 6000 + "}", text[:-1] + ', "x": "' + "x" * 10**7 + '"}',
        text[:-1] + ', "x": {' + ",".join(f'"k{i}": {i}' for i in range(n)) + "}}",
        text.replace('": ', '":\t'), text.replace("\n", "\r\n"),
    )  # fmt: skip
    encoding = random.choice((*["utf-8"] * 8, "utf-16", "utf-8-sig"))
    (folder / CARD).write_bytes(random.choice(texts).encode(encoding))


def _write(random: Random, folder: Path, card: Any) -> None:
    text = json.dumps(card, ensure_ascii=random.random() < 0.5)
    (folder / CARD).write_bytes(text.encode("utf-8", "surrogatepass"))


# -- the folder ----------------------------------------------------------------------------------


def _swap(random: Random, folder: Path, other: Path) -> None:
    name = random.choice((CARD, TENSORS))
    shutil.copy(other / name, folder / name)


def _folder(random: Random, folder: Path, other: Path) -> None:
    """Links, folders, pipes, devices, holes and missing files in the place of one of the two."""
    path = folder / random.choice((CARD, TENSORS))
    content = path.read_bytes()
    kind = random.randrange(12)
    if kind == 11:
        moved = folder.with_name("moved")
        if moved.exists():
            return
        folder.rename(moved)
        folder.symlink_to(moved, target_is_directory=True)
        return
    if kind == 10:
        (folder / "evil.py").write_text("raise SystemExit")
        (folder / f".prompt-{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(b"x")
        return
    path.unlink()
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.write_bytes(b"")
    elif kind == 3:
        path.symlink_to(
            random.choice(("/dev/zero", "/dev/urandom", "/dev/null", "/etc/passwd", "/proc/self/mem"))
        )
    elif kind == 4:
        path.symlink_to(path)
    elif kind == 5:
        path.symlink_to(folder / "nowhere")
    elif kind == 6:
        path.symlink_to(other / path.name)
    elif kind == 7:
        path.write_bytes(content)
        os.truncate(path, random.choice((len(content) + 1, 1 << 30, 1 << 40)))
    elif kind == 8:
        (folder / "real").write_bytes(content)
        path.symlink_to("real")


MUTATIONS: dict[str, Mutation] = {
    "bytes": _bytes,
    "header": _header,
    "tensors": _tensors,
    "card": _card,
    "older format": _older,
    "JSON": _json,
    "swapped files": _swap,
    "folder": _folder,
}
"""Every kind of change by its name."""
