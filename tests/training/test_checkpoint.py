import errno
import json
import re

import pytest
import torch

from softprompt.errors import TrainingError
from softprompt.training.run_folder import Checkpoint, Checkpoints
from softprompt.training.run_folder import checkpoint as module


def make(step):
    shared = torch.arange(6.0).reshape(2, 3) + step
    tensors = {
        "prompt": {"a": shared, "b": shared.T, "c": torch.tensor(step, dtype=torch.bfloat16)},
        "optimizer": {"a/step": torch.tensor(float(step))},
        "best": {},
    }
    return Checkpoint(step, tensors, {"step": step, "best_value": None, "name": "é"})


def same(one, other):
    assert one.step == other.step and dict(one.state) == dict(other.state)
    assert one.tensors.keys() == other.tensors.keys()
    for group in one.tensors:
        assert one.tensors[group].keys() == other.tensors[group].keys()
        for name, tensor in one.tensors[group].items():
            assert tensor.dtype == other.tensors[group][name].dtype
            assert torch.equal(tensor, other.tensors[group][name])


def test_saved_equals_loaded_and_only_two_are_kept(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    assert store.newest() is None
    for step in (5, 10, 100):
        store.save(make(step))
    same(store.newest(), make(100))
    assert sorted(p.name for p in store.folder.iterdir()) == ["step-00000010", "step-00000100"]
    names = {p.name for p in (store.folder / "step-00000100").iterdir()}
    assert names == {"checkpoint.json", "prompt.safetensors", "optimizer.safetensors", "best.safetensors"}


def test_saving_a_step_again_replaces_it(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(make(5))
    store.save(Checkpoint(5, make(5).tensors, {"again": True}))
    newest = store.newest()
    assert newest is not None
    assert newest.state == {"again": True}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda f: (f / "prompt.safetensors").write_bytes(b"short"),
            "prompt.safetensors does not match its checksum",
        ),
        (lambda f: (f / "optimizer.safetensors").unlink(), "cannot be read"),
        (
            lambda f: (f / "checkpoint.json").write_text("{", encoding="utf-8"),
            "cannot be read (invalid JSON",
        ),
        (
            lambda f: (f / "checkpoint.json").write_text("[]", encoding="utf-8"),
            "checkpoint.json is not a checkpoint's",
        ),
        (lambda f: tamper(f), "checkpoint.json does not match its checksum"),
    ],
)
def test_a_damaged_newest_falls_back_and_all_damaged_is_refused(tmp_path, damage, reason):
    store = Checkpoints(tmp_path)
    store.save(make(5))
    store.save(make(10))
    damage(tmp_path / "step-00000010")
    same(store.newest(), make(5))
    assert len(store.damaged) == 1 and reason in store.damaged[0] and "step-00000010" in store.damaged[0]
    damage(tmp_path / "step-00000005")
    with pytest.raises(TrainingError, match=re.escape(reason)) as caught:
        store.newest()
    assert str(tmp_path) in str(caught.value) and "Delete the run folder" in str(caught.value)


def tamper(folder):
    path = folder / "checkpoint.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card["state"]["step"] += 1
    path.write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize("fails_at", ["prompt.safetensors", "best.safetensors", "checkpoint.json"])
def test_a_full_disk_names_the_folder_and_keeps_the_last_good_one(tmp_path, monkeypatch, fails_at):
    store = Checkpoints(tmp_path)
    store.save(make(5))
    write = module.write_synced

    def full(path, content):
        if path.name == fails_at:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(module, "write_synced", full)
    with pytest.raises(TrainingError) as caught:
        store.save(make(10))
    assert str(caught.value) == (
        f"{tmp_path}: got a full disk, expected room for the run's files. Free some space and resume "
        f"(the last good checkpoint is {tmp_path / 'step-00000005'})."
    )
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]
    same(store.newest(), make(5))


def test_other_write_errors_are_reported_too(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(
        TrainingError,
        match=r"expected a folder that can be written\. Check its permissions \(there is no checkpoint yet",
    ):
        Checkpoints(tmp_path / "file").save(make(1))


def test_a_half_written_checkpoint_is_never_read_and_goes_with_the_next_save(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(make(5))
    (tmp_path / ".writing-00000010").mkdir()
    same(store.newest(), make(5))
    store.save(make(15))
    assert not list(tmp_path.glob(".writing-*"))


def test_a_kill_while_writing_leaves_the_previous_one(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path)
    store.save(make(5))
    monkeypatch.setattr(module.os, "replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.save(make(10))
    same(store.newest(), make(5))
