"""A prompt's two files: what is beside them stays, readers see one prompt whole, damage is refused."""

import functools
import hashlib
import json
import os
import shutil
import struct
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

import softprompt
from contract.plain_backbones import ruled_backbone
from softprompt.errors import PromptError
from softprompt.files import atomic, card_text, commit, folder_lock, prompt_folder, tensor_file
from softprompt.files.prompt_card import FORMAT_VERSION
from support.cards import edit_card
from support.processes import CONTEXT
from support.prompts import random_prefix, same, soft_tokens
from support.tiny import ids, tiny_backbone
from support.tiny_vision import tiny_vision

KEPT = Path(__file__).parent / "kept"
OURS = ["prompt.json", "prompt.safetensors"]


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone("llama")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- the folder ----------------------------------------------------------------------------------


def test_other_files_in_the_folder_stay(backbone, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / "eval").mkdir()
    others = {"README.md": b"# by hand", "optimizer.pt": b"state", "eval/scores.json": b"{}", ".hidden": b"x"}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    for length in (3, 5):
        prompt = random_prefix(backbone, length)
        assert prompt.save(tmp_path) == tmp_path
        assert names(tmp_path) == sorted([".git", ".hidden", "README.md", "eval", "optimizer.pt", *OURS])
        assert same(softprompt.load_prompt(tmp_path, backbone), prompt)
    assert all((tmp_path / name).read_bytes() == content for name, content in others.items())
    assert (tmp_path / ".git" / "HEAD").read_text() == "ref: refs/heads/main"


@pytest.mark.parametrize("place", [".", "new", "a/b/c"])
def test_relative_places(backbone, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    prompt = random_prefix(backbone)
    for _ in range(2):
        prompt.save(place)
    assert names(tmp_path / place) == OURS
    assert same(softprompt.load_prompt(place, backbone), prompt)


def test_the_home_folder(backbone, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    prompt = random_prefix(backbone)
    assert prompt.save("~/mine") == tmp_path / "mine"
    assert same(softprompt.load_prompt("~/mine", backbone), prompt)
    assert not Path("~").exists()
    assert prompt_folder.read_card("~/mine").length == prompt.length


def test_links_are_followed(backbone, tmp_path):
    first, second = random_prefix(backbone, 3), random_prefix(backbone, 5)
    real, stores, snapshot = tmp_path / "real", tmp_path / "stores", tmp_path / "snapshot"
    first.save(real)
    (tmp_path / "latest").symlink_to(real, target_is_directory=True)
    second.save(tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink() and names(real) == OURS
    assert same(softprompt.load_prompt(real, backbone), second)
    # Files that are links, as a hub's cache has them.
    stores.mkdir()
    snapshot.mkdir()
    for name in OURS:
        shutil.move(real / name, stores / f"of-{name}")
        (snapshot / name).symlink_to(Path("..") / "stores" / f"of-{name}")
    assert same(softprompt.load_prompt(snapshot, backbone), second)
    first.save(snapshot)
    assert all((snapshot / name).is_symlink() for name in OURS)
    assert names(snapshot) == OURS and names(stores) == [f"of-{name}" for name in OURS]
    assert same(softprompt.load_prompt(snapshot, backbone), first)


def test_the_parent_need_not_be_writable(backbone, tmp_path, monkeypatch):
    (tmp_path / "closed" / "open").mkdir(parents=True)
    opened = os.open

    def written(path, flags, *args, **kwargs):
        assert not flags & os.O_CREAT or Path(path).parent == tmp_path / "closed" / "open"
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", written)
    os.chmod(tmp_path / "closed", 0o555)
    try:
        random_prefix(backbone).save(tmp_path / "closed" / "open")
    finally:
        os.chmod(tmp_path / "closed", 0o755)
    assert names(tmp_path / "closed") == ["open"] and names(tmp_path / "closed" / "open") == OURS


def test_a_file_in_the_way_is_named(backbone, tmp_path):
    (tmp_path / "p").write_text("mine")
    with pytest.raises(PromptError, match=r"p: got a file, expected a folder to save into"):
        random_prefix(backbone).save(tmp_path / "p")
    with pytest.raises(PromptError, match=r"p: got a file, expected a folder to save into"):
        random_prefix(backbone).save(tmp_path / "p" / "q")
    assert names(tmp_path) == ["p"] and (tmp_path / "p").read_text() == "mine"


# -- one moment ----------------------------------------------------------------------------------


class Killed(BaseException):
    """A process that ends in the middle."""


@pytest.mark.parametrize("step", range(3))
def test_a_kill_between_any_two_steps_leaves_the_old_or_the_new_prompt(backbone, tmp_path, monkeypatch, step):
    """The steps are renames: of the tensors beside, of the card, of the tensors to their name."""
    old, new, third = (random_prefix(backbone, n) for n in (3, 5, 4))
    old.save(tmp_path)
    replace, left = os.replace, iter([True] * step)

    def stop(source, target):
        if not next(left, False):
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        patch.setattr(Path, "unlink", lambda *args, **kwargs: None)  # a killed process tidies nothing up
        with pytest.raises(Killed):
            new.save(tmp_path)
    assert len(names(tmp_path)) > 2
    assert same(softprompt.load_prompt(tmp_path, backbone), new if step == 2 else old)
    new.save(tmp_path / "copy")
    third.save(tmp_path)
    assert same(softprompt.load_prompt(tmp_path, backbone), third)
    assert [name for name in names(tmp_path) if name != "copy"] == OURS


def test_saving_again_what_a_kill_left_waiting(backbone, tmp_path, monkeypatch):
    old, new = random_prefix(backbone, 3), random_prefix(backbone, 5)
    old.save(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(commit, "replace", lambda *_: (_ for _ in ()).throw(OSError("in use")))
        new.save(tmp_path)  # counts from the rename of the card on
    assert same(softprompt.load_prompt(tmp_path, backbone), new)
    with monkeypatch.context() as patch:
        patch.setattr(
            atomic, "write_synced", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(PromptError, match="got no space left on device while saving"):
            new.save(tmp_path)
    assert same(softprompt.load_prompt(tmp_path, backbone), new)
    new.save(tmp_path)
    assert names(tmp_path) == OURS and same(softprompt.load_prompt(tmp_path, backbone), new)


@pytest.mark.parametrize("failing", range(4))
def test_a_full_disk_leaves_nothing_behind(backbone, tmp_path, monkeypatch, failing):
    """Wherever it shows: in each of the writes of a first prompt and of a later one."""
    old = random_prefix(backbone, 3)
    folder = tmp_path / "p"
    if failing >= 2:
        old.save(folder)
    written, write = iter(range(9)), atomic.write_synced

    def full(path, content):
        if next(written) == failing % 2:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(atomic, "write_synced", full)
    with pytest.raises(PromptError, match="got no space left on device while saving"):
        random_prefix(backbone, 5).save(folder)
    monkeypatch.undo()
    if failing < 2:
        assert names(tmp_path) == []
    else:
        assert names(folder) == OURS and same(softprompt.load_prompt(folder, backbone), old)


def _alternate(folder, times):
    torch.set_num_threads(1)
    backbone = tiny_backbone("llama")
    both = [random_prefix(backbone, n) for n in (2, 5)]
    for i in range(times):
        both[i % 2].save(folder)


@pytest.mark.parametrize(("writers", "times"), [(1, 300), (3, 60)])
def test_a_reader_beside_writers_sees_one_prompt_whole(backbone, tmp_path, writers, times):
    both = {n: random_prefix(backbone, n) for n in (2, 5)}
    folder = both[2].save(tmp_path / "p")
    processes = [CONTEXT.Process(target=_alternate, args=(folder, times)) for _ in range(writers)]
    for process in processes:
        process.start()
    seen = set()
    while any(process.is_alive() for process in processes):
        tensors, card = prompt_folder.read_prompt(folder)
        expected = both[card.length].tensors()
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)
        seen.add(card.length)
    assert [process.exitcode for process in processes] == [0] * writers
    assert seen == {2, 5}
    assert names(folder) == OURS and same(softprompt.load_prompt(folder, backbone), both[5])


def test_a_writer_waits_for_another_and_says_so_in_the_end(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE_S", 0.05)
    with (
        folder_lock.locked(tmp_path),
        pytest.raises(PromptError, match="another process that has been saving"),
    ):
        random_prefix(backbone).save(tmp_path)
    assert names(tmp_path) == []
    random_prefix(backbone).save(tmp_path)


# -- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "family", "total"), [
    (1, "llama", -3.8625335609540343), (2, "bert", 0.29024309613851074), (3, "bert", 0.29024309613851074),
])  # fmt: skip
def test_kept_files_of_older_formats_load(tmp_path, version, family, total):
    """Written by the releases of their time; the sums were printed when they were written."""
    folder = KEPT / f"format-{version}"
    assert json.loads((folder / "prompt.json").read_text())["format_version"] == version
    backbone = ruled_backbone(family)
    prompt = softprompt.load_prompt(folder, backbone)
    assert prompt.card.format_version == version and prompt.card.backbone.record is None
    assert sum(t.double().sum().item() for t in prompt.tensors().values()) == pytest.approx(total, abs=1e-9)
    stored = load_file(folder / "prompt.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in prompt.tensors().items())
    assert prompt.card.task == {"separator": " ->"}
    with backbone.prompted(prompt):
        backbone.model.base_model(ids(2, 3))
    again = softprompt.load_prompt(prompt.save(tmp_path), backbone)
    assert same(prompt, again) and again.card.format_version == 4
    with pytest.raises(PromptError, match="a file of format 1 to 3 knows them by a digest alone"):
        softprompt.load_prompt(folder, tiny_backbone(family))


def test_a_kept_file_of_format_four_loads(tmp_path):
    """Written when the format was the newest; whoever raises the number adds the next folder."""
    folder, backbone = KEPT / "format-4", ruled_backbone("bert")
    assert sorted(path.name for path in KEPT.iterdir()) == [
        f"format-{n}" for n in range(1, FORMAT_VERSION + 1)
    ]
    assert json.loads((folder / "prompt.json").read_text())["format_version"] == 4
    prompt = softprompt.load_prompt(folder, backbone)
    assert prompt.card.tune == "layernorm" and prompt.card.head.kind == "sequence"
    assert sum(t.double().sum().item() for t in prompt.tensors().values()) == pytest.approx(
        -0.8328037788614893, abs=1e-9
    )
    stored = load_file(folder / "prompt.safetensors")
    samples = stored.pop("backbone.samples")
    assert samples.tolist() == [list(row) for row in prompt.card.backbone.record.samples]
    assert stored.keys() == prompt.tensors().keys()
    assert all(torch.equal(value, stored[name]) for name, value in prompt.tensors().items())
    assert same(prompt, softprompt.load_prompt(prompt.save(tmp_path), backbone))
    with pytest.raises(PromptError, match="another fine-tuning"):
        softprompt.load_prompt(folder, tiny_backbone("bert"))


def test_format_four_is_refused_by_its_number_alone(backbone, tmp_path, monkeypatch):
    folder = random_prefix(backbone).save(tmp_path)
    assert json.loads((folder / "prompt.json").read_text())["format_version"] == 4
    monkeypatch.setattr(card_text, "FORMAT_VERSION", 3)
    with pytest.raises(
        PromptError, match=r"got format 4, expected format 3 or older\. Install a newer softprompt"
    ):
        softprompt.load_prompt(folder, backbone)


def test_a_card_that_was_edited_by_hand_is_refused(backbone, tmp_path):
    folder = (
        random_prefix(backbone)
        .describe(metrics={"bleu": 71.5}, data={"sizes": {10: 1, 9: [float("nan")]}})
        .save(tmp_path)
    )
    assert softprompt.load_prompt(folder, backbone).card.metrics == {"bleu": 71.5}
    whole = (folder / "prompt.json").read_text()
    (folder / "prompt.json").write_text(whole.replace("71.5", "75.5"))
    with pytest.raises(PromptError, match=r"not as it was saved, .* describe and save it"):
        softprompt.load_prompt(folder, backbone)
    card = json.loads(whole)
    del card["card_sha256"]
    (folder / "prompt.json").write_text(json.dumps(card))
    with pytest.raises(PromptError, match=r"got no card_sha256"):
        softprompt.load_prompt(folder, backbone)
    (folder / "prompt.json").write_text(json.dumps(card | {"format_version": 3}))
    with pytest.raises(PromptError, match=r"got a record of the backbone, which no card of format 3 has"):
        softprompt.load_prompt(folder, backbone)
    (folder / "prompt.json").write_text(whole)
    softprompt.load_prompt(folder, backbone).describe(metrics={"bleu": 75.5}).save(folder)
    assert softprompt.load_prompt(folder, backbone).card.metrics == {"bleu": 75.5}


@pytest.mark.parametrize(("facts", "message"), [
    ({"template": "x" * 5_000_000}, r"card: got 5,\d+,\d+ bytes, more than 2,097,152"),
    ({"task": {"a": functools.reduce(lambda inner, _: [inner], range(200), 1)}}, "nested more than 100 deep"),
    ({"task": {"a": "\ud800"}}, "half a surrogate pair"),
])  # fmt: skip
def test_a_card_that_no_reader_would_take_is_not_written(backbone, tmp_path, facts, message):
    folder = random_prefix(backbone, 3).save(tmp_path)
    with pytest.raises(PromptError, match=message):
        random_prefix(backbone, 5).describe(**facts).save(folder)
    assert softprompt.load_prompt(folder, backbone).length == 3


def test_the_record_is_in_the_file_and_no_part_of_the_prompt(backbone, tmp_path):
    prompt = random_prefix(backbone)
    folder = prompt.save(tmp_path)
    stored = load_file(folder / "prompt.safetensors")
    assert stored.keys() == {*prompt.tensors(), "backbone.samples"}
    loaded = softprompt.load_prompt(folder, backbone)
    assert loaded.card.backbone == prompt.card.backbone
    assert loaded.tensors().keys() == prompt.tensors().keys()


# -- what is refused -----------------------------------------------------------------------------


def rewrite(folder, payload):
    """Other bytes as tensors, with the card's digest of them."""
    (folder / "prompt.safetensors").write_bytes(payload)
    edit_card(folder, lambda card: card.update(sha256=hashlib.sha256(payload).hexdigest()))


def header(text):
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize("payload", [
    b"", b"\0" * 7, header(b""), header(b"\xff"), header(b"[" * 2000), header(b"{{{{"),
    header(b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}'),
    header(b'{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}') + b"\0" * 4,
    header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}') + b"\0" * 8,
    header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
           b' "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}') + b"\0" * 4,
    header(b"[]"), header(b'{"a": 3}'), struct.pack("<Q", 2**63) + b"x",
    header(b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}') + b"\0" * 4,
    header(b'{"a": {"dtype": "F32", "shape": [1099511627776, 9999], "data_offsets": [0, 4]}}') + b"\0" * 4,
])  # fmt: skip
def test_payloads_that_are_no_tensors_are_refused(backbone, tmp_path, payload):
    folder = random_prefix(backbone).save(tmp_path)
    rewrite(folder, payload)
    with pytest.raises(PromptError, match=r"prompt\.safetensors: got (no tensors|numbers of F99)"):
        softprompt.load_prompt(folder, backbone)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 100_000, b"{", b"", b"1" * 5000]
)
def test_cards_that_are_no_json_are_refused(backbone, tmp_path, content):
    folder = random_prefix(backbone).save(tmp_path)
    (folder / "prompt.json").write_bytes(content)
    with pytest.raises(PromptError, match=r"prompt\.json(, line 1)?: got .*, expected a prompt's card"):
        softprompt.load_prompt(folder, backbone)


def test_folders_in_the_place_of_files_are_refused(backbone, tmp_path):
    folder = random_prefix(backbone).save(tmp_path)
    (folder / "prompt.safetensors").unlink()
    with pytest.raises(PromptError, match=r"prompt\.safetensors: got no such file"):
        softprompt.load_prompt(folder, backbone)
    (folder / "prompt.safetensors").mkdir()
    with pytest.raises(PromptError, match=r"prompt\.safetensors: got is a directory"):
        softprompt.load_prompt(folder, backbone)
    (folder / "prompt.json").unlink()
    (folder / "prompt.json").mkdir()
    with pytest.raises(PromptError, match=r"prompt\.json: got is a directory"):
        softprompt.load_prompt(folder, backbone)


def test_other_places_say_what_to_pass(backbone, tmp_path):
    folder = random_prefix(backbone).save(tmp_path / "run" / "prompt")
    for name in OURS:
        with pytest.raises(
            PromptError, match=f"got a file, expected a prompt folder .*. Pass its folder, {folder}"
        ):
            softprompt.load_prompt(folder / name, backbone)
    with pytest.raises(PromptError, match=f"got the folder of a run, .* Pass {folder}"):
        softprompt.load_prompt(tmp_path / "run", backbone)
    random_prefix(backbone).save(tmp_path / "run2" / "P36" / "prompt")
    random_prefix(backbone).save(tmp_path / "run2" / "P37" / "prompt")
    with pytest.raises(PromptError, match=r"\. Pass one of P36/prompt, P37/prompt in it\.$"):
        softprompt.load_prompt(tmp_path / "run2", backbone)


def test_tensors_are_looked_at_before_anything_is_made(tmp_path):
    """Sizes of a card that would take all memory, and more loops than there are seconds."""
    backbone = tiny_backbone("bert")
    card = softprompt.head("sequence", ["no", "yes"])
    adapter, prefix = softprompt.adapter(backbone, width=2), random_prefix(backbone)
    headed, most = softprompt.head_only(backbone, head=card), 10**12
    endless = {"a.* [1]": "0-999999999"}
    cases = [
        (adapter, lambda c: c["inserts"].update(width=most), r"down\.weight: got shape"),
        (headed, lambda c: c["head"].update(hidden_layers=most), r"hidden_layers: got 10{12}"),
        (prefix, lambda c: c.update(length=most), r"keys: got shape"),
        (soft_tokens(backbone), lambda c: c.update(length=most), r"slots: got shape"),
        (prefix, lambda c: c["sites"].update(encoder=[-1]), r"got layer -1"),
        (
            prefix,
            lambda c: c["backbone"]["record"]["base"].update(endless),
            r"backbone\.record: got 10+53 tensors",
        ),
    ]
    for i, (prompt, change, message) in enumerate(cases):
        folder = prompt.save(tmp_path / str(i))
        edit_card(folder, change)
        begin = time.monotonic()
        with pytest.raises(PromptError, match=message):
            softprompt.load_prompt(folder, backbone)
        assert time.monotonic() - begin < 5
    pictures = tiny_vision("vit")
    pictured = softprompt.head_only(pictures, head=softprompt.head("picture", ["no", "yes"]))
    folder = pictured.save(tmp_path / "pictures")
    edit_card(folder, lambda card: card["head"].update(hidden_layers=most))
    with pytest.raises(PromptError, match=r"hidden\.0\.weight: got no such tensor"):
        softprompt.load_prompt(folder, pictures)


@pytest.mark.parametrize(("tensor", "message"), [
    (torch.zeros(3, 2, 4, 8, dtype=torch.int64), r"numbers of I64 in .*, which are not float32"),
    (torch.zeros(3, 2, 4, 8, dtype=torch.complex64), r"numbers of C64"),
    (torch.zeros(3, 2, 4, 8, dtype=torch.float16), r"numbers of F16"),
    (torch.full((3, 2, 4, 8), 1e300, dtype=torch.float64), r"numbers of F64"),
    (torch.zeros(3, 2, 4, 8, dtype=torch.float8_e4m3fn), r"numbers of F8_E4M3"),
    (torch.full((3, 2, 4, 8), float("nan")), "not finite"),
])  # fmt: skip
def test_tensors_of_other_kinds_are_refused(backbone, tmp_path, tensor, message):
    prompt = random_prefix(backbone)
    folder = prompt.save(tmp_path)
    rewrite(folder, save({**load_file(folder / "prompt.safetensors"), "decoder.0-2.keys": tensor}))
    with pytest.raises(PromptError, match=message):
        softprompt.load_prompt(folder, backbone)


@pytest.mark.parametrize(("dtype", "number"), [(torch.float16, 1e30), (torch.bfloat16, 3.402e38)])
def test_numbers_beyond_the_backbones_precision_are_refused(backbone, tmp_path, dtype, number):
    half = softprompt.load_backbone(tiny_backbone("llama").model.to(dtype))
    prompt = random_prefix(backbone)
    with torch.no_grad():
        next(prompt.parameters())[0, 0] = number
    assert same(softprompt.load_prompt(prompt.save(tmp_path), backbone), prompt)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(PromptError, match=rf"decoder\.0-2\.keys: got numbers that are not finite in {name}"):
        softprompt.load_prompt(tmp_path, half)
    with pytest.raises(PromptError, match=rf"prompted: .*keys: got numbers that are not finite in {name}"):
        half.prompted(prompt)


def test_tensors_that_the_card_does_not_ask_for_are_not_read(backbone, tmp_path):
    """A file of 40 GB, all holes: its header alone is looked at."""
    folder = random_prefix(backbone).save(tmp_path)
    n = 10 * 2**30
    entry = {"dtype": "F32", "shape": [3, 2, n // 48, 8], "data_offsets": [0, n // 48 * 48 * 4]}
    payload = header(json.dumps({"decoder.0-2.keys": entry}).encode())
    (folder / "prompt.safetensors").write_bytes(payload)
    os.truncate(folder / "prompt.safetensors", len(payload) + n // 48 * 48 * 4)
    begin = time.monotonic()
    with pytest.raises(PromptError, match=r"backbone\.samples: got no such tensor"):
        softprompt.load_prompt(folder, backbone)
    edit_card(folder, lambda card: (card.update(format_version=3), card["backbone"].pop("record")))
    with pytest.raises(PromptError, match=r"decoder\.0-2\.keys: got shape"):
        softprompt.load_prompt(folder, backbone, any_backbone=True)
    os.truncate(folder / "prompt.safetensors", 40 * 2**30)
    with pytest.raises(PromptError, match=r"got no tensors \(.* bytes of numbers, and .* in the header"):
        softprompt.load_prompt(folder, backbone)
    assert time.monotonic() - begin < 2


def test_a_name_that_stands_twice_is_refused(tmp_path):
    backbone = tiny_backbone("bert")
    tuned = softprompt.fine_tuning(backbone, tune="layernorm", head=softprompt.head("value"))
    adapted = softprompt.adapter(backbone)
    cases = [(tuned, lambda card: card["weights"]), (adapted, lambda card: card["inserts"]["modules"])]
    for i, (prompt, names) in enumerate(cases):
        folder = prompt.save(tmp_path / str(i))
        edit_card(folder, lambda card, names=names: names(card).append(names(card)[0]))
        with pytest.raises(PromptError, match=r"(weights|inserts): got '.*' twice, expected"):
            softprompt.load_prompt(folder, backbone)


def test_pipes_are_not_waited_for(backbone, tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("a system without named pipes")
    for name in OURS:
        folder = random_prefix(backbone).save(tmp_path / name)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(PromptError, match=f"{name}: got a pipe or a device"):
            softprompt.load_prompt(folder, backbone)


@pytest.mark.parametrize(("changes", "message"), [
    ({"pooling": "image"}, r"head\.pooling: got 'image' for a sequence head"),
    ({"kind": "picture", "pooling": "cls"}, r"head\.kind: got 'picture' on a backbone that reads texts"),
    ({"labels": ["no", "no"]}, r"head\.labels"),
    ({"dropout": 1.5}, r"prompt\.json: head\.dropout"),
])  # fmt: skip
def test_heads_that_nobody_could_have_made_are_refused(tmp_path, changes, message):
    backbone = tiny_backbone("bert")
    prompt = softprompt.head_only(backbone, head=softprompt.head("sequence", ["no", "yes"]))
    folder = prompt.save(tmp_path)
    edit_card(folder, lambda card: card["head"].update(changes))
    with pytest.raises(PromptError, match=message):
        softprompt.load_prompt(folder, backbone)


def test_no_vectors_are_no_prompt_of_vectors(backbone, tmp_path):
    folder = random_prefix(backbone).save(tmp_path)
    stored = load_file(folder / "prompt.safetensors")
    empty = {name: t[:, :, :0].contiguous() if t.ndim == 4 else t for name, t in stored.items()}
    rewrite(folder, save(empty))
    edit_card(folder, lambda card: card.update(length=0))
    with pytest.raises(PromptError, match="length: got 0 vectors as key_values"):
        softprompt.load_prompt(folder, backbone)


def test_every_flipped_bit_of_the_card_is_refused(backbone, tmp_path):
    folder = random_prefix(backbone, head=softprompt.head("token", ["no", "yes"])).save(tmp_path)
    whole = (folder / "prompt.json").read_bytes()
    good, same = json.loads(whole), 0
    for i in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[i // 8] ^= 1 << (i % 8)
        try:
            card_text.parse_card(folder / "prompt.json", damaged)
        except PromptError:
            continue
        assert json.loads(damaged) == good
        same += 1
    assert same == 0


def test_every_flipped_bit_of_the_tensors_is_refused(backbone, tmp_path):
    folder = random_prefix(backbone, 1, layers=[0]).save(tmp_path)
    path, whole = folder / "prompt.safetensors", (folder / "prompt.safetensors").read_bytes()
    _, digest = card_text.parse_card(folder / "prompt.json", (folder / "prompt.json").read_bytes())
    for i in range(0, len(whole) * 8, 101):
        damaged = bytearray(whole)
        damaged[i // 8] ^= 1 << (i % 8)
        path.write_bytes(damaged)
        with pytest.raises(PromptError, match=r"prompt\.safetensors: got"):
            tensor_file.read_tensors(path, digest, lambda shapes: None)
    path.write_bytes(whole)
    assert softprompt.load_prompt(folder, backbone).length == 1
