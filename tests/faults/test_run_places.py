"""A run whose place is no folder, or whose clock stands still."""

import os
import time

import pytest

from softprompt.config import parse_run
from softprompt.errors import TrainingError
from softprompt.training import RunFolder
from training.test_loop import Setup

SETTINGS = parse_run({"name": "r", "data": {"format": "restaurants"}, "training": {"steps": 1}})


def test_a_file_in_place_of_the_run_folder_is_refused(tmp_path):
    (tmp_path / "r").write_text("x", encoding="utf-8")
    with pytest.raises(TrainingError, match="got not a directory, expected a new or empty folder"):
        RunFolder(tmp_path / "r").check(SETTINGS, resume=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "r").mkdir(mode=0)
    with pytest.raises(TrainingError, match="expected a new or empty folder"):
        RunFolder(tmp_path / "r").check(SETTINGS, resume=False)


def test_a_clock_that_stands_still_gives_no_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 5.0)
    setup = Setup(tmp_path, steps=2)
    setup.loop.run()
    assert [line["tokens_per_s"] for line in setup.log if line["kind"] == "step"] == [0.0, 0.0]
