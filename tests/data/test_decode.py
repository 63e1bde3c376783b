"""Odd pictures become what a person sees, or are refused by name."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from softprompt.data import decode
from softprompt.data.formats.pixels import check_picture
from softprompt.errors import DataError
from support.pictures import encoded, picture

RED = picture((200, 60, 40), 0, (6, 4))


def values(image):
    return np.asarray(image).astype(int)


def read(content):
    image = decode(content, "picture x")
    assert image.mode == "RGB"
    return values(image)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_kinds_are_read_exactly(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (read(encoded(RED, kind, **options)) == values(RED)).all()


def test_jpeg_in_cmyk_has_the_colours_of_rgb():
    plain = Image.new("RGB", (16, 16), (200, 60, 40))
    found = read(encoded(plain.convert("CMYK"), "JPEG", quality=95))
    assert abs(found - values(plain)).max() < 12


def test_palettes_and_greys():
    assert (read(encoded(RED.quantize(16), "PNG")) == values(RED.quantize(16).convert("RGB"))).all()
    grey = RED.convert("L")
    found = read(encoded(grey))
    assert all((found[..., channel] == values(grey)).all() for channel in range(3))
    assert read(encoded(Image.new("L", (8, 8), 100), "JPEG")).tolist() == [[[100] * 3] * 8] * 8
    black_and_white = read(encoded(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1"), "PNG"))
    assert black_and_white[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_upper_eight(kind):
    deep = np.array([[0, 0x0100, 0x8000, 0xFFFF]], dtype=np.uint16)
    found = read(encoded(Image.fromarray(deep), kind))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("most", [255, 1023, 4095])
def test_sixteen_bits_whose_upper_four_are_never_used_are_refused(kind, most):
    content = encoded(Image.fromarray(np.linspace(0, most, 64, dtype=np.uint16).reshape(8, 8)), kind)
    for look in (decode, check_picture):
        with pytest.raises(DataError, match=f"picture x: got .* no value above {most:,} of 65,535"):
            look(content, "picture x")
    black = encoded(Image.fromarray(np.zeros((4, 4), dtype=np.uint16)), kind)
    assert read(black).max() == 0


def test_a_file_that_says_how_many_bits_count_is_scaled_by_them():
    values = np.array([[0, 16, 2048, 4095]], dtype=np.uint16)
    content = encoded(Image.fromarray(values), "TIFF", tiffinfo={281: 4095})
    assert read(content)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_colours_of_twelve_bits_in_sixteen_are_refused():
    def png(most):  # Pillow writes no colours of 16 bits
        rows = b"".join(b"\0" + np.full(12, most, dtype=">u2").tobytes() for _ in range(4))
        parts = ((b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
        chunks = [
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in (*parts, (b"IEND", b""))
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    assert read(png(0x8000)).tolist() == [[[128] * 3] * 4] * 4
    with pytest.raises(DataError, match=r"no value in the upper 4 bits.*Save it with 8 bits"):
        read(png(4095))


def test_transparent_pixels_lie_on_white():
    seen = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    seen.putpixel((1, 0), (10, 20, 30, 0))
    assert read(encoded(seen)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    grey = Image.new("LA", (2, 1), (100, 255))
    grey.putpixel((1, 0), (100, 0))
    assert read(encoded(grey)).tolist() == [[[100] * 3, [255] * 3]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 90, 90, 90])
    palette.putpixel((1, 0), 1)
    assert read(encoded(palette, "PNG", transparency=1)).tolist() == [[[10, 20, 30], [255] * 3]]


def test_pictures_are_turned_as_their_tag_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    content = encoded(RED, "PNG", exif=exif)
    assert (read(content) == np.rot90(values(RED), k=-1)).all()
    assert read(content).shape == (6, 4, 3)


def test_of_several_frames_the_first_is_taken():
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("black", "white")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(content).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_slivers_are_pictures(size):
    assert read(encoded(picture((9, 9, 9), 0, size))).shape == (size[1], size[0], 3)


JPEG = encoded(picture((200, 60, 40), 1, (64, 64)), "JPEG")
PNG = encoded(picture((200, 60, 40), 1, (64, 64)), "PNG")


def damaged(content):
    return content[:200] + bytes(400) + content[600:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (JPEG[: len(JPEG) // 2], "truncated"),
        (PNG[: len(PNG) // 2], "cannot be read as a picture"),
        (PNG[:20], "cannot be read as a picture"),
        (damaged(PNG), "cannot be read as a picture"),
        (b"", "an empty file"),
        (b"not a picture\n" * 20, "none of PNG, JPEG"),
        (encoded(Image.new("F", (2, 2), 0.5), "TIFF"), "floating-point"),
        (encoded(Image.fromarray(np.array([[1 << 20]], dtype=np.int32)), "TIFF"), "32 bits"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(content, message):
    with pytest.raises(DataError, match=rf"^picture x: got .*{message}"):
        decode(content, "picture x")


def test_bombs_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for side in (12, 20):  # what Pillow warns of, and what it refuses
        with pytest.raises(DataError, match="too large a picture"):
            decode(encoded(Image.new("RGB", (side, side))), "picture x")


def test_every_cut_of_a_file_is_read_or_refused():
    for content in (JPEG, PNG, encoded(RED, "GIF"), encoded(RED, "TIFF"), encoded(RED, "WEBP")):
        for end in range(0, len(content), max(1, len(content) // 40)):
            try:
                decode(content[:end], "picture x")
            except DataError:
                continue
