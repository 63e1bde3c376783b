"""Checkpoints through kills and odd folders: one that was whole stays until a newer one is."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
import torch

from softprompt.training.run_folder import Checkpoint, Checkpoints
from softprompt.training.run_folder import checkpoint as module


def make(step: int, mark: str = "") -> Checkpoint:
    return Checkpoint(step, {"prompt": {"a": torch.full((2,), float(step))}}, {"mark": mark})


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("n_calls", range(8))
def test_a_step_that_is_saved_again_is_never_without_a_checkpoint(tmp_path, monkeypatch, n_calls):
    store = Checkpoints(tmp_path)
    store.save(make(5, "former"))
    calls = 0

    def until_killed(function):
        def call(*given, **more):
            nonlocal calls
            calls += 1
            if calls > n_calls:
                raise Killed
            return function(*given, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", until_killed(os.replace))
        patch.setattr(module.shutil, "rmtree", until_killed(shutil.rmtree))
        patch.setattr(module, "sync_folder", until_killed(module.sync_folder))
        with contextlib.suppress(Killed):
            store.save(make(5, "new"))
    newest = store.newest()
    assert newest is not None and newest.step == 5 and newest.state["mark"] in ("former", "new")
    store.save(make(6))
    store.save(make(7))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000007"]


def test_the_new_one_is_read_before_the_one_it_replaces(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(make(5, "former"))
    (tmp_path / "step-00000005").rename(tmp_path / "step-00000005-replaced")
    former = store.newest()
    assert former is not None and former.state["mark"] == "former"
    shutil.copytree(tmp_path / "step-00000005-replaced", tmp_path / "kept")
    store.save(make(5, "new"))
    (tmp_path / "kept").rename(tmp_path / "step-00000005-replaced")
    newest = store.newest()
    assert newest is not None and newest.state["mark"] == "new"


def test_the_one_just_saved_outlives_damaged_later_ones(tmp_path):
    store = Checkpoints(tmp_path)
    for step in (4, 8, 9):
        shutil.copytree(store.save(make(step)), tmp_path / f"kept-{step}")
    (tmp_path / "kept-4").rename(tmp_path / "step-00000004")
    for step in (8, 9):
        Path(tmp_path / f"step-0000000{step}" / "checkpoint.json").write_text("{}", encoding="utf-8")
    assert store.newest() is not None
    store.save(make(5))
    newest = store.newest()
    assert newest is not None and newest.step == 5 and not store.damaged


def test_steps_of_many_digits_and_folders_of_the_user(tmp_path):
    store = Checkpoints(tmp_path)
    (tmp_path / "step-notes").mkdir()
    for step in (99_999_998, 99_999_999, 100_000_000):
        store.save(make(step))
    newest = store.newest()
    assert newest is not None and newest.step == 100_000_000
    assert (tmp_path / "step-notes").is_dir()
