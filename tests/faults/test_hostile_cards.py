"""A card never makes a command contact the network, load a folder of its choice or ask to run code."""

import builtins
import http.client
import json
import shutil
import socket
import urllib.request
from pathlib import Path

import pytest

from cli.conftest import recipe_of, softprompt, tiny_folder, trained  # noqa: F401
from softprompt.backbones import load_backbone
from softprompt.errors import BackboneError
from softprompt.prompts import prompt_tuning
from support.cards import edit_card

NAMES = [
    "evil-org/evil-model",
    "gpt2",
    "https://example.org/model",
    "http://169.254.169.254/latest",
    "//host/share/model",
    "\\\\host\\share\\model",
    "file:///etc",
    "../../evil",
    "~/evil",
    "smollm2-135m",
    "\x1b]0;x\x07",
    "",
    "hf://evil/model",
    "x" * 5000,
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Fails the test at the first connection, look-up of a host, or question."""

    def refused(*arguments, **options):
        raise AssertionError(f"the network was asked: {arguments[:2]}")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("SOFTPROMPT_HOME", str(tmp_path / "no-backbones"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "no-hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(http.client.HTTPConnection, "request", refused)
    monkeypatch.setattr(urllib.request, "urlopen", refused)
    monkeypatch.setattr(builtins, "input", refused)


@pytest.fixture(scope="module")
def soft_tokens(tiny_folder, tmp_path_factory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("soft") / "p"
    prompt = prompt_tuning(load_backbone(tiny_folder, device="cpu"), 2)
    prompt.describe(task={"name": "generation"}).save(folder)
    return folder


def altered(prompt: Path, folder: Path, **changes) -> Path:
    """A copy of a prompt with another card, with a checksum that fits, as its author could write it."""
    shutil.copytree(prompt, folder)
    name = changes.pop("name", None)

    def change(card: dict) -> None:
        card.update(changes)
        if name is not None:
            card["backbone"]["name"] = name

    edit_card(folder, change)
    return folder


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30].encode("unicode_escape").decode())
def test_a_name_in_a_card_leads_nowhere(softprompt, soft_tokens, tmp_path, name):  # noqa: F811
    settings = {"backbone": {"name": name, "trust_remote_code": True}, "data": {"format": "datasets"}}
    prompt = altered(soft_tokens, tmp_path / "p", name=name, training=settings)
    shown = softprompt("inspect", prompt)
    assert shown.code == 0 and "Nearest tokens: not shown" in shown.out
    answer = softprompt("generate", prompt, "a")
    assert answer.code in (1, 2) and answer.err.startswith("error: ")


def test_a_folder_in_a_card_is_not_loaded(softprompt, soft_tokens, tiny_folder, tmp_path):  # noqa: F811
    prompt = altered(soft_tokens, tmp_path / "p", name=str(tiny_folder))
    answer = softprompt("generate", prompt, "a")
    assert answer.code == 1 and "add --backbone" in answer.err.lower()
    for option in (["--backbone", tiny_folder], ["--set", f"backbone.name={tiny_folder}"]):
        given = softprompt("generate", prompt, "a", *option, "--set", "decoding.max_new_tokens=2")
        assert given.code == 0


def test_a_bundled_backbone_that_is_not_here_is_not_fetched(softprompt, soft_tokens, tmp_path):  # noqa: F811
    prompt = altered(soft_tokens, tmp_path / "p", name="smollm2-135m")
    answer = softprompt("generate", prompt, "a")
    assert answer.code == 1 and "softprompt backbones pull smollm2-135m" in answer.err


def test_the_runs_own_settings_name_the_folder(softprompt, trained, tmp_path):  # noqa: F811
    run = trained / "runs" / "small"
    assert softprompt("generate", run, "a").code == 0
    copied = tmp_path / "small"
    shutil.copytree(run, copied)
    shutil.rmtree(copied / "prompt")
    altered(run / "prompt", copied / "prompt", name="evil-org/evil-model")
    assert softprompt("generate", copied, "a").code == 0
    settings = (copied / "settings.yaml").read_text(encoding="utf-8")
    lines = [
        "  name: evil-org/evil-model" if "tiny-llama" in line else line for line in settings.splitlines()
    ]
    (copied / "settings.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert softprompt("generate", copied, "a").code == 1


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "//host/x", "\\\\host\\x", "~/x", "../../x", "C:\\x", "file:/x"]
)
def test_a_vocabulary_in_a_card_is_of_the_data_folder(softprompt, soft_tokens, tiny_folder, tmp_path, place):  # noqa: F811
    task = {"name": "probing", "vocabulary": place}
    prompt = altered(soft_tokens, tmp_path / "p", task=task)
    answer = softprompt("predict", prompt, "a", "--backbone", tiny_folder)
    assert answer.code in (1, 2) and "task.vocabulary" in answer.err


@pytest.mark.parametrize("key", ["AutoConfig", "AutoTokenizer"])
def test_code_of_a_checkpoint_is_refused_without_a_question(tiny_folder, tmp_path, key):  # noqa: F811
    folder = tmp_path / "code"
    shutil.copytree(tiny_folder, folder)
    file = "config.json" if key == "AutoConfig" else "tokenizer_config.json"
    facts = json.loads((folder / file).read_text(encoding="utf-8"))
    facts["auto_map"] = {key: "evil.Evil" if key == "AutoConfig" else ["evil.Evil", None]}
    facts |= {"model_type": "evil"} if key == "AutoConfig" else {"tokenizer_class": "EvilTokenizer"}
    (folder / file).write_text(json.dumps(facts), encoding="utf-8")
    flag = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(flag)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(BackboneError):
        load_backbone(folder)
    assert not flag.exists()
