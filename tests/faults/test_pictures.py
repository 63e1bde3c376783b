"""Pictures from outside: formats by a list, no program started, no endless file, no circle of links."""

import io
import os
import time

import numpy as np
import pytest
from PIL import Image

from softprompt.data import decode, read
from softprompt.errors import DataError

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(/pwned) (w) file \n"


def picture(kind):
    content = io.BytesIO()
    Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8)).save(content, kind)
    return content.getvalue()


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "0.png").write_bytes(picture("PNG"))
    return tmp_path / "pictures"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_the_listed_formats_are_read(kind):
    assert decode(picture(kind), "x").size == (6, 4)


@pytest.mark.parametrize("kind", ["ICO", "TGA", "SGI", "PCX", "DDS"])
def test_others_are_refused(kind):
    with pytest.raises(DataError, match="none of PNG, JPEG"):
        decode(picture(kind), "x")


def test_too_many_pixels_are_refused_before_any_is_read():
    content = io.BytesIO()
    Image.new("1", (7_100, 7_100)).save(content, "PNG")
    began = time.process_time()
    with pytest.raises(DataError, match=r"7,100 by 7,100 pixels.*at most 50,000,000 pixels"):
        decode(content.getvalue(), "x")
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pictures_with_16_bits_keep_their_upper_8(kind):
    content = io.BytesIO()
    values = np.array([[0, 255, 256, 4_660, 32_768, 65_535]], dtype=np.uint16)
    Image.fromarray(values).save(content, kind)
    assert list(np.asarray(decode(content.getvalue(), "x"))[0, :, 0]) == [0, 0, 1, 18, 128, 255]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Ghostscript is a shell script")
def test_postscript_reaches_no_interpreter(tmp_path, monkeypatch):
    interpreter = tmp_path / "gs"
    interpreter.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DataError, match="none of PNG, JPEG"):
        decode(POSTSCRIPT, "x")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights on Windows")
@pytest.mark.parametrize("target", [".", "..", "../../pictures"])
def test_links_that_lead_around(folder, target):
    (folder / "a" / "x").symlink_to(target)
    (folder / "a" / "y").symlink_to(target)
    began = time.monotonic()
    with pytest.raises(DataError, match="a link to a folder in which it lies itself"):
        read("image_folder", folder)
    assert time.monotonic() - began < 2


@pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights on Windows")
def test_pipes_and_devices(folder):
    os.mkfifo(folder / "a" / "1.png")
    with pytest.raises(DataError, match="a pipe or a device"):
        read("image_folder", folder)
    (folder / "a" / "1.png").unlink()
    (folder / "a" / "1.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a pipe or a device"):
        read("image_folder", folder)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_elsewhere_are_followed(folder, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "1.png").write_bytes(picture("PNG"))
    (folder / "a" / "more").symlink_to(tmp_path / "more")
    assert len(read("image_folder", folder)) == 3
