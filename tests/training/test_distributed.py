"""Two processes (gloo, on the CPU) give the numbers of one."""

import json

import pytest
import torch

from softprompt.errors import ConfigError
from softprompt.training.distributed import Processes
from support.launch import launch
from training.test_loop import Setup

# 18 pairs in batches of 4: the last batch of 2 and an accumulation of 2 leave empty parts too.
WORKER = """
import json, os, pathlib, sys, warnings
import torch
torch.set_num_threads(1)
from training.test_loop import Setup
folder = pathlib.Path(sys.argv[1])
setup = Setup(folder / "checkpoints", dropout=0, accumulation=2, batch_size=17)
processes = setup.processes
assert processes.count == 2, processes.count
if processes.rank == 1:
    with torch.no_grad():
        setup.prompt.vectors.zero_()  # must be overwritten with the main process's
setup.loop.run()
full = list(range(5))
assert processes.gather(full[processes.rank::2], 5) == full
tensors = {name: tensor.tolist() for name, tensor in setup.prompt.state_dict().items()}
lines = [[line["step"], line["loss"]] for line in setup.log]
(folder / f"{processes.rank}.json").write_text(json.dumps([tensors, lines]))
torch.distributed.destroy_process_group()
"""


def test_two_processes_equal_one(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    launch(WORKER, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    alone = Setup(tmp_path / "alone", dropout=0, batch_size=17)
    alone.loop.run()
    for name, tensor in alone.tensors().items():
        torch.testing.assert_close(torch.tensor(first[0][name]), tensor, rtol=1e-5, atol=1e-6)
    expected = [line["loss"] for line in alone.log]
    assert [loss for _, loss in first[1]] == pytest.approx(expected, rel=1e-5)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()]


def test_one_process_is_the_identity_and_starts_no_group():
    processes = Processes("cpu")
    assert (processes.count, processes.rank, processes.is_main, processes.device) == (1, 0, True, "cpu")
    tensor = torch.ones(2)
    assert processes.sum([tensor])[0] is tensor
    assert processes.gather([1, 2], 2) == [1, 2]
    assert not (torch.distributed.is_available() and torch.distributed.is_initialized())


@pytest.mark.parametrize("joined", [1, 2])
def test_launched_processes_are_joined_without_a_gpu_too_or_refused(monkeypatch, joined):
    import accelerate

    given = {}

    class Joined:
        num_processes, process_index, device = joined, 0, torch.device("cpu")

        def __init__(self, **options):
            given.update(options)

    monkeypatch.setattr(accelerate, "Accelerator", Joined)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    if joined == 2:
        assert Processes().count == 2
    else:
        with pytest.raises(ConfigError) as caught:
            Processes()
        assert str(caught.value) == (
            "the launcher: got 2 processes, of which accelerate joins 1, expected devices on "
            "which they can work together. Start one process, or set ACCELERATE_USE_CPU=true."
        )
    assert given == {"mixed_precision": "no", "cpu": True}
    monkeypatch.delenv("RANK")
    given.clear()
    Processes()
    assert given == {"mixed_precision": "no"}


def test_a_device_that_contradicts_the_launcher_is_refused(monkeypatch):
    import accelerate

    class Several:
        num_processes, process_index, device = 2, 0, torch.device("cpu")

        def __init__(self, **options):
            pass

    monkeypatch.setattr(accelerate, "Accelerator", Several)
    with pytest.raises(ConfigError) as caught:
        Processes("cuda")
    assert str(caught.value) == (
        "backbone.device: got 'cuda', expected no device, or the launcher's cpu, with 2 "
        "processes. Let `accelerate launch` choose the devices."
    )
