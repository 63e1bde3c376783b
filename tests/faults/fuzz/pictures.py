"""Folders of pictures, damaged and decoded."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, features

from faults.fuzz.messages import check_message
from faults.fuzz.mutations import damaged_bytes
from softprompt.data import decode, read
from softprompt.errors import SoftpromptError

KINDS = (
    "PNG",
    "JPEG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "MPO",
    *["AVIF"] * bool(features.check("avif")),
)
OTHERS = ("ICO", "TGA", "SGI", "PCX", "DDS", "PDF", "EPS", "SPIDER")
_MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB", "HSV")
_SIZE = (9, 7)


@cache
def encoded(kind: str, mode: str = "RGB", frames: int = 1) -> bytes:
    """A small picture's file; in RGB where the format has not the mode."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, _SIZE[1], _SIZE[0], 3), dtype=np.uint8)
    images = [Image.fromarray(one) for one in noise]
    content = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    try:
        images[0].convert("L").convert(mode).save(content, kind) if mode == "I;16" else images[0].convert(
            mode
        ).save(content, kind, **more)
    except (OSError, ValueError, KeyError):
        content = io.BytesIO()
        images[0].save(content, kind, **more)
    return content.getvalue()


def valid(random: Random) -> bytes:
    """The file of a picture that can be read, in any format."""
    return encoded(random.choice(KINDS), random.choice(_MODES))


def attempt(random: Random, scratch: Path, name: str) -> str:
    """Read and decode one damaged folder; `read` or `refused`.

    Raises:
        AssertionError: a picture of another kind than 8-bit RGB, or an undamaged one that is refused.
    """
    folder = scratch / "pictures"
    for label in "ab":
        (folder / label).mkdir(parents=True)
        (folder / label / "0.png").write_bytes(encoded("PNG"))
    MUTATORS[name](random, folder)
    refusal, records, images = None, [], []
    try:
        records = read("image_folder", folder)
        images = [decode(record.load(), record.source) for record in records]
    except SoftpromptError as error:
        refusal = str(error)
    if refusal is not None:
        check_message(refusal, "pictures", "0.", "1.", "2.png", "a/")
        assert name != "whole", f"a whole picture was refused: {refusal}"
        return "refused"
    assert records
    for record, image in zip(records, images, strict=True):
        assert image.mode == "RGB" and image.size[0] * image.size[1] > 0
        assert record.label in (None, *(entry.name for entry in folder.iterdir()))
    plain = [image for record, image in zip(records, images, strict=True) if record.id.endswith("b/0.png")]
    for image in plain:
        assert image.tobytes() == decode(encoded("PNG"), "x").tobytes(), (
            "the picture beside it is another one"
        )
    return "read"


def _put(random: Random, folder: Path, content: bytes) -> None:
    """Write a file in place of a picture, or beside it by any suffix."""
    suffix = random.choice((".png", ".jpg", ".gif", ".tiff", ".webp", ".txt", "", ".PNG"))
    (folder / "a" / f"{random.choice((0, 1))}{suffix}").write_bytes(content)


def _damaged(random: Random, folder: Path) -> None:
    _put(random, folder, damaged_bytes(random, valid(random)))


def _cut_off(random: Random, folder: Path) -> None:
    content = valid(random)
    _put(random, folder, content[: random.randrange(len(content))])


def _flipped(random: Random, folder: Path) -> None:
    content = bytearray(valid(random))
    for _ in range(random.choice((1, 2, 5))):
        content[random.randrange(min(len(content), random.choice((40, 200, 10_000))))] ^= (
            1 << random.randrange(8)
        )
    _put(random, folder, bytes(content))


def _whole(random: Random, folder: Path) -> None:
    (folder / "a" / "0.png").write_bytes(encoded(random.choice(KINDS)))


def _other_formats(random: Random, folder: Path) -> None:
    kind = random.choice(OTHERS)
    _put(random, folder, random.choice((
        encoded(kind), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n",
        b"\xd7\xcd\xc6\x9a" + bytes(200), b"8BPS\0\1" + bytes(200),
        b"SIMPLE  =                    T" + b" " * 5_000, b"\x1f\x8b" + bytes(50),
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        b"hello", b"", b"\0" * 100_000,
        b"\x89HDF\r\n\x1a\n" + bytes(200), b"GRIB" + bytes(200), b"BUFR" + bytes(200),
        b"\0\0\0\x20ftypheic" + bytes(200), b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    )))  # fmt: skip


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def _packed(n: int) -> bytes:
    return zlib.compress(bytes(n))


def png(
    width: int, height: int, depth: int = 8, colour: int = 2, packed: bytes = b"", before: bytes = b""
) -> bytes:
    """A PNG file whose header may promise anything."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + before + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _huge(random: Random, folder: Path) -> None:
    """Headers that promise more than the file holds, or much from little."""
    width, height = random.choice((
        (2**31 - 1, 2**31 - 1), (60_000, 60_000), (12_000, 8_000), (7_000, 7_000), (2**31 - 1, 1), (1,
        2**31 - 1), (0, 0), (0, 5), (50_000, 1),
    ))  # fmt: skip
    u32, i32, u16 = (
        struct.pack("<I", width),
        struct.pack("<i", random.choice((width, -height, -(2**31)))),
        struct.pack("<H", width & 0xFFFF),
    )
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = u32 + i32
    gif = bytearray(encoded("GIF"))
    gif[6:10] = u16 + struct.pack("<H", height & 0xFFFF)
    depth, colour = random.choice(((8, 2), (8, 6), (16, 6), (1, 0), (16, 0), (8, 3), (3, 9)))
    tiff = bytearray(encoded("TIFF"))
    for _ in range(3):
        place = random.randrange(4, len(tiff) - 4)
        tiff[place : place + 4] = random.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", u32))
    _put(random, folder, random.choice((
        png(width, height, depth, colour), png(7_000, 7_000, packed=_packed(7_000 * 21_001)), bytes(bmp),
        bytes(gif), bytes(tiff), f"P6\n{width} {height}\n255\n".encode(),
        f"P3\n{width} {height} {'9' * 5_000}\n".encode(), b"P1\n" + b"9" * 5_000, b"P7\nWIDTH 9\n",
        f"Pf\n{width} {height}\n-1.0\n".encode(),
        encoded("JPEG").replace(struct.pack(">HH", _SIZE[1], _SIZE[0]), struct.pack(">HH", 65_535, 65_535)),
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(20),
    )))  # fmt: skip


def _bombs_in_text(random: Random, folder: Path) -> None:
    """Much text or a large profile, compressed, beside a small picture."""
    packed = _packed(random.choice((1_000, 1_500_000, 60_000_000)))
    kind, head = random.choice(
        (
            (b"zTXt", b"k\0\0"),
            (b"iTXt", b"k\0\1\0\0\0"),
            (b"iCCP", b"k\0\0"),
            (b"tEXt", b"k\0"),
            (b"eXIf", b""),
        )
    )
    chunks = _chunk(kind, head + packed) * random.choice((1, 1, 100))
    _put(random, folder, png(4, 4, packed=_packed(4 * 13), before=chunks[:4_000_000]))


def _animated(random: Random, folder: Path) -> None:
    content = encoded(
        random.choice(("GIF", "PNG", "WEBP", "TIFF", "MPO", *["AVIF"] * bool(features.check("avif")))),
        frames=random.choice((2, 5, 100)),
    )
    _put(
        random,
        folder,
        random.choice(
            (content, content[: random.randrange(1, len(content))], damaged_bytes(random, content))
        ),
    )


def _exif(random: Random, folder: Path) -> None:
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = random.choice((0, 1, 3, 6, 8, 9, 65_535))
    exif[0x010E] = "x" * random.choice((1, 60_000))
    Image.new("RGB", _SIZE, "red").save(content, random.choice(("JPEG", "PNG", "WEBP", "TIFF")), exif=exif)
    _put(random, folder, random.choice((content.getvalue(), damaged_bytes(random, content.getvalue()))))


def _links(random: Random, folder: Path) -> None:
    for n in range(random.choice((1, 2, 5))):
        (folder / "a" / f"x{n}").symlink_to(random.choice((
            ".", "..", "../..", "../b", "../../pictures", f"x{n}", f"x{n + 1}", "/dev/zero", "/dev/null",
            "/proc/self/fd", "nowhere", "/nowhere/x",
        )))  # fmt: skip


def _no_files(random: Random, folder: Path) -> None:
    kind, below = random.randrange(8), folder / "a"
    if kind == 0:
        os.mkfifo(below / "1.png")
    elif kind == 1:
        (below / "1.png").mkdir()
    elif kind == 2:
        os.mkfifo(folder / "1.png")
    elif kind == 3:
        for _ in range(300):
            below = below / "deeper"
            if len(str(below)) > 3_900:
                break
            below.mkdir()
    elif kind == 4:
        (below / "0.png").unlink()
    elif kind == 5:
        (folder / "c").symlink_to(random.choice(("a", ".", "c", "nowhere", "a/0.png")))
    elif kind == 6:
        (below / "2.png").write_bytes(encoded("PNG"))
        os.truncate(below / "2.png", random.choice((100, 600_000_000, 1 << 40)))
    else:
        folder.rename(folder.with_name("elsewhere"))
        folder.write_bytes(encoded("PNG"))


def _names(random: Random, folder: Path) -> None:
    name = random.choice((
        "x\x1b[31m\n\u202e", "x" * 240, "train", "val", "test", ".hidden", "Thumbs.db", "__MACOSX", " ",
        "-rf", "é", "e\u0301", "\u2028", "a b",
        "con", "*", "%s", "[red]", os.fsdecode(b"\xff\xfe"), "中文", "=1+1", "true", "1e5", "a ", " a", "\t",
    ))  # fmt: skip
    below = folder / random.choice((name, "a"))
    below.mkdir(exist_ok=True)
    (below / (name if below.name == "a" and name not in ("train",) else "0.png")).write_bytes(
        random.choice((encoded("PNG"), encoded("PNG")[:30]))
    )


MUTATORS: dict[str, Callable[[Random, Path], None]] = {
    "damaged": _damaged,
    "flipped bits": _flipped,
    "cut off": _cut_off,
    "whole": _whole,
    "other formats": _other_formats,
    "huge headers": _huge,
    "compressed text": _bombs_in_text,
    "animated": _animated,
    "EXIF": _exif,
    "links": _links,
    "no files": _no_files,
    "names": _names,
}
