"""Prompts on the hub, against a hub on this machine: what is pushed comes back, and what fails says why."""

import logging
import pickle

import huggingface_hub
import pytest
import torch

import softprompt
from softprompt import PromptedModel
from softprompt.cli.app import main
from softprompt.errors import PromptError
from support.hub_server import READ, WRITE, Hub, running
from support.prompts import inputs_for, random_prefix, same, soft_tokens
from support.tiny import tiny_backbone

# httpx of huggingface_hub itself, while it sends a large file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "ann/tone"


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


@pytest.fixture(scope="module")
def server():
    with running() as made:
        yield made


@pytest.fixture
def hub(server, tmp_path, monkeypatch) -> Hub:
    """An empty hub, a cache of its own, and nobody who is logged in."""
    constants = huggingface_hub.constants
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Between attempts it would wait for half a minute.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    server.clear()
    return server


def refused(call, *parts: str) -> str:
    """The message of the error with which a call is refused; it holds these parts, and no token."""
    with pytest.raises(PromptError) as caught:
        call()
    text = str(caught.value)
    assert [part for part in parts if part not in text] == [], text
    assert READ not in text and WRITE not in text and "hf_" not in text
    return text


def saved_files(prompt, place) -> dict[str, bytes]:
    prompt.save(place)
    return {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.mark.parametrize("large", [(".safetensors",), ()], ids=["lfs", "regular"])
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_pushed_and_loaded_is_equal(hub, llama, large, kind):
    hub.large, prompt, given = large, kind(llama), inputs_for(llama)
    address = prompt.push_to_hub(NAME, token=WRITE)
    repository = hub.repositories[NAME]
    assert address == f"{hub.address}/{NAME}/tree/{repository.branches['main']}"
    assert set(repository.files() or ()) == {"prompt.json", "prompt.safetensors", "README.md"}
    assert repository.large == ({"prompt.safetensors"} if large else set())
    loaded = softprompt.load_prompt(NAME, llama)
    assert same(loaded, prompt)
    with torch.no_grad():
        with llama.prompted(prompt) as prompted:
            expected = prompted(**given).logits
        with llama.prompted(loaded) as prompted:
            assert torch.equal(prompted(**given).logits, expected)
    assert not any(WRITE.encode() in body for body in hub.seen)
    assert not any("README" in call for call in hub.calls if call.startswith("GET"))


def test_revisions(hub, llama):
    first, second, third = (random_prefix(llama, seed=seed) for seed in (1, 2, 3))
    old = first.push_to_hub(NAME, token=WRITE).rpartition("/")[2]
    second.push_to_hub(NAME, token=WRITE, message="better")
    third.push_to_hub(NAME, token=WRITE, revision="try/this")
    assert hub.repositories[NAME].messages[2] == "better"
    assert same(softprompt.load_prompt(NAME, llama), second)
    assert same(softprompt.load_prompt(NAME, llama, revision=old), first)
    assert same(softprompt.load_prompt(NAME, llama, revision="try/this"), third)
    first.push_to_hub(NAME, token=WRITE, revision="try/this")
    assert same(softprompt.load_prompt(NAME, llama, revision="try/this"), first)
    refused(lambda: softprompt.load_prompt(NAME, llama, revision="none"), NAME, "no revision 'none'")
    refused(
        lambda: first.push_to_hub(NAME, token=WRITE, revision=old), "revision: got the commit", "a branch"
    )


def test_private(hub, llama, monkeypatch):
    prompt = random_prefix(llama)
    prompt.push_to_hub(NAME, private=True, token=WRITE)
    assert hub.repositories[NAME].private
    refused(lambda: softprompt.load_prompt(NAME, llama), "no such repository", "or a private one", "HF_TOKEN")
    assert same(softprompt.load_prompt(NAME, llama, token=READ), prompt)
    monkeypatch.setenv("HF_TOKEN", WRITE)
    prompt.push_to_hub(NAME)
    assert hub.repositories[NAME].private and len(hub.repositories[NAME].messages) == 3
    prompt.push_to_hub(NAME, private=True)


def test_a_public_repository_is_not_taken_for_a_private_one(hub, llama):
    repository = hub.put(NAME, {})
    call = lambda: random_prefix(llama).push_to_hub(NAME, private=True, token=WRITE)  # noqa: E731
    refused(call, "got a repository that is public, expected one that is private", f"{NAME}/settings")
    assert not repository.files()


def test_a_readme_that_somebody_wrote_stays(hub, llama):
    repository = hub.put(NAME, {"README.md": b"# mine"})
    random_prefix(llama).push_to_hub(NAME, token=WRITE)
    files = repository.files() or {}
    assert files["README.md"] == b"# mine" and "prompt.json" in files
    repository = hub.put("ann/other", {})
    random_prefix(llama).push_to_hub("ann/other", token=WRITE)
    first = (repository.files() or {})["README.md"]
    random_prefix(llama, 5).push_to_hub("ann/other", token=WRITE)
    second = (repository.files() or {})["README.md"]
    assert b"4 vectors" in first and b"5 vectors" in second
    assert b'load_prompt("ann/other", backbone)' in second


def test_no_right(hub, llama, monkeypatch):
    prompt = random_prefix(llama)
    refused(
        lambda: prompt.push_to_hub(NAME), NAME, "no access token, or one that the hub refuses", "HF_TOKEN"
    )
    bad = "hf_" + "x" * 30
    refused(lambda: prompt.push_to_hub(NAME, token=bad), "one that the hub refuses")
    refused(lambda: prompt.push_to_hub(NAME, token=READ), "may not write there")
    refused(lambda: prompt.push_to_hub(NAME, token=f"{WRITE}\nx"), "token: got a text that no access token")
    hub.put(NAME, {})
    refused(lambda: prompt.push_to_hub(NAME, token=READ), "may not write there")
    refused(lambda: softprompt.load_prompt(NAME, llama, token=bad), "one that the hub refuses")
    monkeypatch.setenv("HF_TOKEN", bad)
    refused(lambda: softprompt.load_prompt(NAME, llama), "one that the hub refuses")
    assert len(hub.repositories[NAME].messages) == 2


def test_missing_or_closed(hub, llama):
    text = refused(lambda: softprompt.load_prompt("ann/none", llama), "ann/none", "no such repository")
    assert "no such folder here" in text
    hub.put("ann/empty", {"config.json": b"{}"})
    refused(
        lambda: softprompt.load_prompt("ann/empty", llama), "a repository without a prompt", "prompt.json"
    )
    hub.put("ann/gated", {}, gated=True)
    refused(lambda: softprompt.load_prompt("ann/gated", llama), "a gated repository", "Ask for access at")


def test_the_hub_is_gone(hub, llama, monkeypatch):
    prompt = random_prefix(llama)
    prompt.push_to_hub(NAME, token=WRITE)
    softprompt.load_prompt(NAME, llama)
    hub.broken = 503
    assert same(softprompt.load_prompt(NAME, llama), prompt)  # from the cache
    refused(lambda: softprompt.load_prompt("ann/other", llama), "an answer 503")
    refused(lambda: prompt.push_to_hub(NAME, token=WRITE), "an answer 503")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    assert same(softprompt.load_prompt(NAME, llama), prompt)
    refused(lambda: softprompt.load_prompt("ann/other", llama), "no answer from http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://ann:secret@127.0.0.1:9")
    text = refused(lambda: prompt.push_to_hub(NAME, token=WRITE), "no answer from http://127.0.0.1:9")
    assert "secret" not in text


def test_offline(hub, llama, monkeypatch):
    prompt = random_prefix(llama)
    oid = prompt.push_to_hub(NAME, token=WRITE).rpartition("/")[2]
    softprompt.load_prompt(NAME, llama)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.calls.clear()
    assert same(softprompt.load_prompt(NAME, llama), prompt)
    assert same(softprompt.load_prompt(NAME, llama, revision=oid), prompt)
    refused(
        lambda: softprompt.load_prompt("ann/other", llama),
        "HF_HUB_OFFLINE",
        "neither a folder of this name nor a",
    )
    refused(lambda: prompt.push_to_hub(NAME, token=WRITE), "an offline mode (HF_HUB_OFFLINE)")
    assert not hub.calls


def test_what_else_is_in_a_repository_is_never_fetched(hub, llama, tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    prompt = random_prefix(llama)
    poison = {"prompt.pt": pickle.dumps(Evil()), "adapter_model.bin": pickle.dumps(Evil())}
    files = saved_files(prompt, tmp_path / "saved")
    hub.put(NAME, {**files, **poison, "softprompt.py": b"raise SystemExit('imported')"})
    assert same(softprompt.load_prompt(NAME, llama), prompt)
    asked = {call.rpartition("/")[2] for call in hub.calls}
    assert asked == {"prompt.json", "prompt.safetensors"}


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("prompt.safetensors", pickle.dumps({"a": 1}), "prompt.safetensors"),
        ("prompt.json", b"[" * 100_000, "prompt.json"),
        ("prompt.json", b'{"method": "\x1b[2J"}', "prompt.json"),
        ("prompt.json", b"\x80\x04}", "prompt.json"),
    ],
)
def test_poisoned_files_are_refused(hub, llama, tmp_path, name, content, part):
    hub.put(NAME, {**saved_files(random_prefix(llama), tmp_path / "saved"), name: content})
    assert "\x1b" not in refused(lambda: softprompt.load_prompt(NAME, llama), part)


def test_a_changed_card_is_refused(hub, llama, tmp_path):
    files = saved_files(random_prefix(llama), tmp_path / "saved")
    files["prompt.json"] = files["prompt.json"].replace(b'"length": 4', b'"length": 5')
    hub.put(NAME, files)
    refused(lambda: softprompt.load_prompt(NAME, llama), "prompt.json")


def test_folders_come_before_the_hub(hub, llama, tmp_path):
    prompt = random_prefix(llama)
    prompt.save("ann/tone")
    assert same(softprompt.load_prompt(NAME, llama), prompt)
    for call in (
        lambda: softprompt.load_prompt("ann/other", llama),  # a folder `ann` is here
        lambda: softprompt.load_prompt("./bob/tone", llama),
        lambda: softprompt.load_prompt("bob/tone/prompt", llama),
        lambda: softprompt.load_prompt(tmp_path / "bob", llama),
    ):
        refused(call, "no such file or directory")
    refused(
        lambda: softprompt.load_prompt(NAME, llama, revision="main"), "revision: got 'main' for the folder"
    )
    refused(lambda: softprompt.load_prompt(NAME, llama, token=READ), "token: got one for the folder")
    for name in ("tone", "a/b/c", "a b/c", "../x", "a/..", "-/x"):
        refused(lambda name=name: prompt.push_to_hub(name, token=WRITE), "the hub's repository", "user/name")
    assert not hub.calls


def test_a_prompted_model_pushes_its_prompt(hub, llama):
    prompt = random_prefix(llama)
    PromptedModel(llama, prompt).push_to_hub(NAME, token=WRITE)
    assert same(softprompt.load_prompt(NAME, llama), prompt)
    several = PromptedModel(llama, [prompt, soft_tokens(llama)], rows=[0, 1])
    refused(lambda: several.push_to_hub(NAME, token=WRITE), "got 2 prompts, expected one")


def test_the_token_itself_is_never_published(hub, llama):
    prompt = random_prefix(llama).describe(task={"name": "generation", "system": f"log in with {WRITE}"})
    refused(lambda: prompt.push_to_hub(NAME, token=WRITE), "holds the access token")
    assert not any(b"log in with" in body for body in hub.seen)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    shown = capsys.readouterr()
    return ended.value.code or 0, " ".join(shown.out.split()), " ".join(shown.err.split())


def test_the_commands_push_and_pull(hub, llama, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", WRITE)
    prompt, other = random_prefix(llama, seed=1), random_prefix(llama, seed=2)
    prompt.save("mine", card=True)
    code, out, _ = run(capsys, "push", "mine", NAME, "--private", "--message", "the first")
    repository = hub.repositories[NAME]
    assert code == 0 and out == f"pushed mine to {hub.address}/{NAME}/tree/{repository.branches['main']}"
    assert repository.private and repository.messages[-1] == "the first"
    files = repository.files() or {}
    assert b'load_prompt("ann/tone", backbone)' in files["README.md"]  # not "mine", as the folder's own says
    code, out, _ = run(capsys, "pull", NAME)
    assert code == 0 and out == f"wrote tone, from {hub.address}/{NAME}/tree/{repository.branches['main']}"
    assert {path.name for path in (tmp_path / "tone").iterdir()} == {"prompt.json", "prompt.safetensors"}
    assert same(softprompt.load_prompt("tone", llama), prompt)
    assert (tmp_path / "tone/prompt.safetensors").read_bytes() == files["prompt.safetensors"]
    assert run(capsys, "pull", NAME)[0] == 0  # the same again
    other.save("mine")
    assert run(capsys, "push", "mine", NAME, "--revision", "v2")[0] == 0
    code, _, err = run(capsys, "pull", NAME, "--revision", "v2")
    assert code == 1 and "tone: got a folder with another prompt" in err
    assert run(capsys, "pull", NAME, "two", "--revision", "v2")[0] == 0
    assert same(softprompt.load_prompt("two", llama), other)
    assert WRITE not in err


def test_a_readme_of_ones_own_is_pushed(hub, llama, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", WRITE)
    random_prefix(llama).save("mine", card=True)
    text = (tmp_path / "mine/README.md").read_text("utf-8").replace("## Use", "## How")
    (tmp_path / "mine/README.md").write_text(text, encoding="utf-8")
    code, _, err = run(capsys, "push", "mine", NAME)
    assert code == 0 and "the model card is" in err
    assert (hub.repositories[NAME].files() or {})["README.md"] == text.encode()


def test_the_commands_refuse(hub, llama, capsys, tmp_path):
    random_prefix(llama).save("mine")
    for arguments, part in (
        (("push", "none", NAME), "none: got no such folder"),
        (("push", "mine", "tone"), "got 'tone', expected user/name"),
        (("push", "mine", NAME), "no access token"),
        (("pull", "ann/none"), "no such repository"),
        (("pull", "none"), "got 'none', expected user/name"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 1 and part in err, err
    content = (tmp_path / "mine/prompt.safetensors").read_bytes()
    (tmp_path / "mine/prompt.safetensors").write_bytes(content[:-4])
    hub.calls.clear()
    code, _, err = run(capsys, "push", "mine", NAME)
    assert code == 1 and "prompt.safetensors" in err
    assert not hub.calls and not (tmp_path / "none").exists()
