"""One writer of a folder at a time; a lock ends with its process."""

import os
import signal
import time

import pytest

from softprompt.errors import PromptError
from softprompt.files import commit, folder_lock
from support.prompts import random_prefix
from support.tiny import tiny_backbone

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")


@pytest.fixture(params=["of the folder", "of a file"])
def way(request, monkeypatch, tmp_path):
    """The lock of Unix, and the one of Windows, which any system can take."""
    if request.param == "of a file":
        monkeypatch.setattr(folder_lock, "fcntl", None)
        monkeypatch.setattr(folder_lock.tempfile, "gettempdir", lambda: str(tmp_path))
    return request.param


def forked(work):
    """A fork that does some work, and the end of a pipe that it closes when it ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def ended(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def held_for_ever(folder, ready):
    def work():
        with folder_lock.locked(folder):
            os.write(ready, b"x")
            time.sleep(600)

    return work


def test_a_killed_holder_keeps_nobody_out(tmp_path, monkeypatch, way):
    monkeypatch.setattr(folder_lock, "PATIENCE_S", 0.2)
    folder = tmp_path / "p"
    folder.mkdir()
    read, ready = os.pipe()
    child = forked(held_for_ever(folder, ready))
    try:
        os.read(read, 1)
        with (
            pytest.raises(PromptError, match="another process that has been saving"),
            folder_lock.locked(folder),
        ):
            pass
    finally:
        ended(child)
        os.close(read)
        os.close(ready)
    with folder_lock.locked(folder) as alone:
        assert alone
    assert not list(folder.iterdir())


def test_a_child_of_a_writer_keeps_nobody_out(tmp_path, monkeypatch, way):
    """A worker that is forked while another thread saves has a copy of the lock's descriptor."""
    monkeypatch.setattr(folder_lock, "PATIENCE_S", 0.2)
    folder = tmp_path / "p"
    folder.mkdir()
    with folder_lock.locked(folder):
        child = forked(lambda: time.sleep(600))
    try:
        with folder_lock.locked(folder) as alone:
            assert alone
    finally:
        ended(child)


def test_what_a_killed_writer_left_is_removed_and_what_others_use_is_not(tmp_path, monkeypatch):
    prompt = random_prefix(tiny_backbone("llama"), 1)
    folder = prompt.save(tmp_path / "p")
    left = [commit.staged_name("0" * 64), ".prompt.json.0123456789abcdef.writing"]
    kept = [".prompt-notes.safetensors", "prompt.json.writing"]
    for name in (*left, *kept):
        (folder / name).write_bytes(b"x")
    with monkeypatch.context() as patch:
        # Without a lock another writer may be at work, and these may be its files.
        patch.setattr(folder_lock, "_taken", lambda *arguments: False)
        prompt.save(folder)
    assert all((folder / name).exists() for name in (*left, *kept))
    prompt.save(folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"prompt.json", "prompt.safetensors", *kept}
