"""Arguments of the command line that no file or text can be: a sentence each."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import Result, softprompt, tiny_encoder, tiny_folder, trained  # noqa: F401
from softprompt.cli.options import check_characters
from softprompt.errors import ConfigError

LONG = "x" * 5000


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", LONG], ["inspect", LONG], ["generate", LONG, "x"], ["predict", LONG, "x"],
        ["report", LONG], ["study", LONG], ["train", LONG], ["compare", LONG, LONG], ["look", LONG],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_path_that_is_too_long(softprompt, arguments):  # noqa: F811
    result = softprompt(*arguments)
    assert result.code in (1, 2) and "error: x" in result.err and "ame too long" in result.err
    assert len(result.err) < 3000


def test_a_folder_that_may_not_be_read(softprompt, tmp_path, monkeypatch):  # noqa: F811
    def refused(self, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.stat", refused)
    result = softprompt("inspect", "/closed/prompt")
    assert result.code == 1 and "/closed/prompt" in result.err and "permission denied" in result.err


def test_texts_of_bytes_that_are_no_utf_8(softprompt, trained):  # noqa: F811
    result = softprompt("generate", trained / "runs" / "small", os.fsdecode(b"a\xffb"))
    assert result.code == 2 and r"TEXT: got 'a\udcffb', with bytes that are no UTF-8" in result.err
    with pytest.raises(ConfigError, match="--second"):
        check_characters("--second", ["fine", "\ud800"])


def test_a_home_folder_of_nobody(softprompt, trained, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SOFTPROMPT_HOME", "~nobodyx/cache")
    run = shutil.copytree(trained / "runs" / "small", tmp_path / "run")
    result = softprompt("inspect", run, "--backbone", "~nobodyx/model")
    assert result.code == 1 and "backbone.name: got '~nobodyx/model'" in result.err
    settings = (run / "settings.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"(backbone:\n  name: ).*", r"\1~nobodyx/model", settings)
    (run / "settings.yaml").write_text(changed, encoding="utf-8")
    result = softprompt("generate", run, "x")
    assert result.code == 1 and "backbone" in result.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_onto_a_full_disk(trained):  # noqa: F811
    command = [sys.executable, "-m", "softprompt.cli.app", "inspect", str(trained / "runs" / "small")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert "error: standard output: no space left on device" in done.stderr and "Traceback" not in done.stderr
