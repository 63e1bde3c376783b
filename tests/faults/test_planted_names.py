"""Links, pipes and devices where this library writes, in a folder from elsewhere: nothing else is changed."""

import itertools
import os
from pathlib import Path

import pytest

from softprompt import load_prompt, prompt_tuning
from softprompt.errors import PromptError
from softprompt.files import prompt_folder, write_atomically
from softprompt.plotting import figure
from softprompt.training.run_folder import curves, locks
from support.tiny import tiny_backbone

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")


def planted(path: Path, what: str, outside: Path) -> None:
    """Put a pipe, or a link to a file outside of the folder, at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    else:
        outside.write_text("precious", encoding="utf-8")
        path.symlink_to(outside)


@pytest.mark.parametrize("what", ["pipe", "link"])
@pytest.mark.parametrize("name", ["result.json", ".result.json.writing"])
def test_a_file_is_written_beside_what_was_planted(tmp_path, name, what):
    outside = tmp_path / "outside"
    folder = tmp_path / "run"
    planted(folder / name, what, outside)
    write_atomically(folder / "result.json", "new")
    assert (folder / "result.json").read_text(encoding="utf-8") == "new"
    assert [path.name for path in folder.iterdir()] == ["result.json"]
    assert what == "pipe" or outside.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("what", ["pipe", "link"])
@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_curves(tmp_path, monkeypatch, name, what):
    monkeypatch.setattr(figure.Drawing, "png", lambda self, dpi: b"png")
    monkeypatch.setattr(figure.Drawing, "svg", lambda self: "svg")
    planted(tmp_path / "run" / name, what, tmp_path / "outside")
    curves.draw_curves([], tmp_path / "run", "loss")
    assert (tmp_path / "run" / name).read_text(encoding="utf-8") == name[-3:]
    assert what == "pipe" or (tmp_path / "outside").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("what", ["pipe", "link"])
def test_the_record_of_who_holds_a_lock(tmp_path, what):
    planted(tmp_path / locks.FOLDER / "run.owner", what, tmp_path / "outside")
    with locks.owned(tmp_path / "run"):
        pass
    assert what == "pipe" or (tmp_path / "outside").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("name", ["prompt.json", "prompt.safetensors"])
def test_what_a_prompts_link_leads_to_is_replaced_only_where_it_is_a_file(tmp_path, name):
    backbone = tiny_backbone("llama")
    prompt = prompt_tuning(backbone, 2, initialization="random")
    folder = prompt.save(tmp_path / "prompt")
    # A pipe stands for a device, which only the system's owner can make.
    os.mkfifo(tmp_path / "device")
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "device")
    with pytest.raises(PromptError, match=rf"{name}: got a link to a folder, a pipe or a device"):
        prompt.save(folder)
    assert (tmp_path / "device").is_fifo()
    (folder / name).unlink()
    assert load_prompt(prompt.save(folder), backbone).length == 2


def test_a_broken_prompt_whose_files_change_all_the_time_is_given_up(tmp_path, monkeypatch):
    backbone = tiny_backbone("llama")
    folder = prompt_tuning(backbone, 2, initialization="random").save(tmp_path / "prompt")
    (folder / "prompt.safetensors").write_bytes(b"")
    states = itertools.count()
    monkeypatch.setattr(prompt_folder, "_state", lambda folder: [(next(states), 0, 0)])
    monkeypatch.setattr(prompt_folder, "PATIENCE_S", 0.2)
    with pytest.raises(PromptError, match="no tensors"):
        load_prompt(folder, backbone)
