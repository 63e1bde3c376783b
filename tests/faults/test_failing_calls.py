"""Every call of the file system fails in turn, or is the last: the old or the new content is there, whole."""

import errno
import itertools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import softprompt
from faults.failing_calls import failing, killed
from softprompt.files import prompt_folder
from softprompt.training.run_folder import Checkpoint, Checkpoints, RunFolder
from support.prompts import random_prefix, same
from support.tiny import tiny_backbone

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="forks, and reads /proc")

FULL, BROKEN, CLOSED = errno.ENOSPC, errno.EIO, errno.EACCES
OURS = ["prompt.json", "prompt.safetensors"]
Stop = Callable[[Path, int, Callable[[], object]], bool]


def fails(number: int) -> Stop:
    return lambda below, at, work: failing(below, at, number, work)


STOPS = [
    pytest.param(fails(FULL), id="ENOSPC"),
    pytest.param(fails(BROKEN), id="EIO"),
    pytest.param(fails(CLOSED), id="EACCES"),
    pytest.param(killed, id="SIGKILL"),
]


@pytest.fixture(scope="module")
def prompts():
    backbone = tiny_backbone("llama")
    return [random_prefix(backbone, length) for length in (1, 2, 3)]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("linked", [False, True], ids=["files", "links"])
def test_a_prompt_is_saved_over_another_or_the_other_stays(prompts, tmp_path, stop, linked):
    backbone = tiny_backbone("llama")
    old, new, next_one = prompts
    seen = set()
    for at in itertools.count(1):
        folder = tmp_path / str(at) / "prompt"
        old.save(folder)
        if linked:
            for name in OURS:
                shutil.move(folder / name, folder.parent / name)
                (folder / name).symlink_to(Path("..") / name)
        reached = stop(folder.parent, at, lambda folder=folder: new.save(folder))
        loaded = softprompt.load_prompt(folder, backbone)
        assert same(loaded, old) or same(loaded, new)
        seen.add(loaded.length)
        next_one.save(folder)
        assert same(softprompt.load_prompt(folder, backbone), next_one)
        assert sorted(path.name for path in folder.iterdir()) == OURS
        if not reached:
            break
    assert seen == {1, 2} and at > 8


@pytest.mark.parametrize("stop", STOPS)
def test_a_first_prompt_is_saved_or_there_is_none(prompts, tmp_path, stop):
    backbone = tiny_backbone("llama")
    for at in itertools.count(1):
        folder = tmp_path / str(at) / "new" / "prompt"
        folder.parent.parent.mkdir()
        reached = stop(folder.parent.parent, at, lambda folder=folder: prompts[1].save(folder))
        if (folder / prompt_folder.CARD).exists():
            assert same(softprompt.load_prompt(folder, backbone), prompts[1])
        prompts[2].save(folder)
        assert same(softprompt.load_prompt(folder, backbone), prompts[2])
        assert sorted(path.name for path in folder.iterdir()) == OURS
        if not reached:
            break
    assert at > 9


@pytest.mark.parametrize("stop", STOPS)
def test_a_checkpoint_is_written_or_the_one_before_stays(tmp_path, stop):
    first, second, third = (
        Checkpoint(step, {"prompt": {"a": torch.full((2,), float(step))}}, {"step": step})
        for step in (1, 2, 3)
    )
    for at in itertools.count(1):
        checkpoints = Checkpoints(tmp_path / str(at) / "checkpoints")
        checkpoints.save(first)
        reached = stop(checkpoints.folder, at, lambda checkpoints=checkpoints: checkpoints.save(second))
        newest = checkpoints.newest()
        assert newest is not None and newest.step in (1, 2) and not checkpoints.damaged
        assert torch.equal(newest.tensors["prompt"]["a"], torch.full((2,), float(newest.step)))
        checkpoints.save(third)
        newest = checkpoints.newest()
        assert newest is not None and newest.step == 3
        assert not list(checkpoints.folder.glob(".writing-*"))
        if not reached:
            break
    assert at > 6


@pytest.mark.parametrize("stop", STOPS)
def test_a_line_of_the_log_is_written_or_costs_itself_alone(tmp_path, stop):
    read: list[dict[str, object]] = []
    lines: list[dict[str, object]] = []
    for at in itertools.count(1):
        folder = RunFolder(tmp_path / str(at))
        folder.path.mkdir()
        lines = [{"kind": "step", "step": step, "loss": 0.5} for step in (1, 2, 3)]
        folder.append(lines[0])
        reached = stop(folder.path, at, lambda folder=folder, lines=lines: folder.append(lines[1]))
        folder.append(lines[2])
        read = _quietly(folder)
        assert read in (lines, [lines[0], lines[2]])
        if not reached:
            break
    assert read == lines and at > 2


def _quietly(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(folder.lines())
