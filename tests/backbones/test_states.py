"""Where hidden states are kept: limits, files, and what spoils them."""

import errno
import os

import pytest
import torch

from softprompt.backbones.activation_cache import DiskStates, MemoryStates
from softprompt.errors import BackboneError


def key(n: int) -> bytes:
    return n.to_bytes(16, "little")


def rows(n_tokens: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n_tokens, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)


def bytes_of(folder) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.fixture
def disk(tmp_path):
    """Makes stores on one folder, and closes them."""
    made: list[DiskStates] = []

    def make(limit: int = 10**6, dtype: torch.dtype = torch.float32) -> DiskStates:
        made.append(DiskStates(tmp_path / "states", limit, dtype))
        return made[-1]

    yield make
    for states in made:
        states.close()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_put_in_comes_out(disk, dtype):
    for states in (MemoryStates(10**6), disk(dtype=dtype)):
        for i in range(5):
            assert states.get(key(i)) is None
            assert states.put(key(i), rows(i + 1, i, dtype))
        for i in (3, 0, 4, 1, 2):
            found = states.get(key(i))
            assert found is not None
            assert found.dtype == dtype
            assert torch.equal(found, rows(i + 1, i, dtype))
        assert states.n_rows == 5


def test_what_is_kept_in_memory_is_a_copy():
    states, batch = MemoryStates(10**6), torch.ones(3, 5, 4)
    states.put(key(0), batch[1, :2])
    batch.zero_()
    found = states.get(key(0))
    assert found is not None
    assert torch.equal(found, torch.ones(2, 4))
    assert found.untyped_storage().nbytes() == 2 * 4 * 4


def test_the_limit_in_memory():
    states = MemoryStates(100)
    assert states.put(key(0), rows(4))  # 64 bytes
    assert not states.put(key(1), rows(3))  # 48 more would be too many
    assert states.put(key(2), rows(2))
    assert states.n_bytes == 96
    assert states.get(key(1)) is None
    assert states.get(key(0)) is not None


def test_the_limit_on_a_disk_is_what_the_folder_takes(disk, tmp_path):
    states = disk(400)
    kept = [states.put(key(i), rows(4, i)) for i in range(10)]
    assert 0 < sum(kept) < 10
    assert kept == sorted(kept, reverse=True)
    assert states.n_bytes == bytes_of(tmp_path / "states") <= 400
    again = disk(400)
    assert again.n_bytes == states.n_bytes
    assert not again.put(key(99), rows(4))
    assert disk(10**6).put(key(99), rows(4))


def test_several_writers_share_a_folder(disk):
    one, two = disk(), disk()
    one.put(key(1), rows(2, 1))
    two.put(key(2), rows(3, 2))
    both = disk()
    for i, n in ((1, 2), (2, 3)):
        found = both.get(key(i))
        assert found is not None
        assert torch.equal(found, rows(n, i))


def test_what_was_spoiled_or_cut_off_is_not_there(disk, tmp_path):
    states = disk()
    for i in range(4):
        states.put(key(i), rows(2, i))
    states.close()
    data, index = (next((tmp_path / "states").glob(f"*.{kind}")) for kind in ("states", "index"))
    raw = bytearray(data.read_bytes())
    raw[16 + 32 + 5] ^= 1  # in the second row
    data.write_bytes(raw[:-3])  # and the last one is cut
    index.write_bytes(index.read_bytes() + b"half a rec")
    again = disk()
    assert again.get(key(1)) is None
    assert again.get(key(3)) is None
    for i in (0, 2):
        found = again.get(key(i))
        assert found is not None
        assert torch.equal(found, rows(2, i))
    assert again.put(key(1), rows(2, 1))
    assert again.get(key(1)) is not None


def test_an_index_of_another_version_is_passed_over(disk, tmp_path):
    states = disk()
    states.put(key(0), rows(2))
    states.close()
    index = next((tmp_path / "states").glob("*.index"))
    index.write_bytes(b"softprompt-tc-0\n" + index.read_bytes()[16:])
    assert disk().get(key(0)) is None


def test_a_folder_with_other_files_is_refused(disk, tmp_path):
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(BackboneError, match=r"notes\.txt.*folder of its own"):
        disk()


def test_a_full_disk_is_a_lower_limit(disk, monkeypatch):
    states = disk()
    assert states.put(key(0), rows(2))

    def full(raw: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(states, "_data", type("Full", (), {"write": staticmethod(full)})())
    assert not states.put(key(1), rows(2))
    monkeypatch.undo()
    assert not states.put(key(2), rows(2))  # what was half written is never built upon
    assert states.get(key(0)) is not None


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    states = DiskStates(tmp_path / "file" / "states", 10**6, torch.float32)
    with pytest.raises(
        BackboneError, match="states: got not a directory, expected a folder that can be read and written"
    ):
        states.put(key(0), rows(2))


def test_deleting_leaves_nothing(disk, tmp_path):
    states = disk()
    states.put(key(0), rows(2))
    assert states.get(key(0)) is not None  # mapped now
    states.delete()
    assert not (tmp_path / "states").exists()
    disk().delete()  # nothing there is nothing to do
