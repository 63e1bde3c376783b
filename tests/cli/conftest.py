import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from softprompt.cli.app import main
from support.curves import undrawn
from support.reading import bert_model
from support.tasks import KINDS
from support.tasks import recipe_of as reading_recipe
from support.tiny_vision import PROCESSOR, tiny_vision_model
from support.tokenizer import byte_level, word_piece


@dataclass
class Result:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _no_curves():
    with undrawn():
        yield


@pytest.fixture
def softprompt(capfd, monkeypatch):
    """Runs the command line in this process, as the installed command would."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else int(bool(code)), out, err)

    return command


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A random Llama with its tokenizer, as a folder that transformers loads."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny-llama"
    torch.manual_seed(0)
    tokenizer = byte_level()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def recipe_of(folder: Path, backbone: Path, **changes) -> Path:
    """A recipe for a run of a second or two on two tiny files."""
    rows = [
        {"source": f"name : Mill {i} | area : {a}", "target": f"Mill {i} is in the {a}."}
        for i, a in enumerate(["city", "riverside", "centre", "city"] * 2)
    ]
    for name, part in (("train", rows[:6]), ("test", rows[6:])):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    settings = {
        "name": "small",
        "output": str(folder / "runs"),
        "backbone": {"name": str(backbone), "device": "cpu"},
        "method": {"name": "prefix_tuning", "reparameterization": None, "initialization": "examples:1"},
        "data": {
            "format": "jsonl",
            "train": str(folder / "train.jsonl"),
            "test": str(folder / "test.jsonl"),
        },
        "decoding": {"strategy": "greedy", "max_new_tokens": 6},
        "metrics": ["bleu", "ter"],
        "training": {"steps": 3, "batch_size": 2, "learning_rate": 0.01},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path, tiny_folder) -> Path:
    return recipe_of(tmp_path, tiny_folder)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_folder) -> Path:
    """A folder with a recipe and, in `runs/small`, what training it left."""
    folder = tmp_path_factory.mktemp("trained")
    path = recipe_of(folder, tiny_folder)
    with undrawn(), pytest.raises(SystemExit) as ended:
        main(["train", str(path)])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def standard_input(monkeypatch):
    """Puts bytes on standard input."""
    import io

    def put(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return put


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> Path:
    """A random BERT with its tokenizer, as a folder that transformers loads."""
    folder = tmp_path_factory.mktemp("encoder") / "tiny-bert"
    tokenizer = word_piece()
    bert_model(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory):
    """A random ViT with its image processor, as a folder that transformers loads."""
    folder = tmp_path_factory.mktemp("vision") / "tiny-vit"
    tiny_vision_model("vit").save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", **PROCESSOR}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def readers(tmp_path_factory, tiny_encoder) -> Path:
    """A folder with, for each kind of `support.tasks`, a recipe and what training it left in `runs/KIND`."""
    folder = tmp_path_factory.mktemp("readers")
    for kind in KINDS:
        with undrawn(), pytest.raises(SystemExit) as ended:
            main(["train", str(reading_recipe(kind, folder, tiny_encoder))])
        assert ended.value.code == 0
    return folder
