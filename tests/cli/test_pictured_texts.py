"""Records of a picture and a text: trained on, evaluated and written for on the command line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaProcessor
from transformers import LlavaForConditionalGeneration as Llava

import softprompt as library
from softprompt.config import DecodingSettings, GenerationSettings
from softprompt.data import decode, pictured_text
from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.tasks import GenerationTask
from support.prompts import close, random_prefix, soft_tokens
from support.tokenizer import byte_level

COLOURS = ["red", "green", "blue", "white", "black", "yellow"]
GREEDY = DecodingSettings(strategy="greedy", max_new_tokens=4, batch_size=3)


def llava() -> tuple[Llava, LlavaProcessor]:
    """A tiny model with the processor of its family, whose pictures are four tokens."""
    torch.manual_seed(0)
    tokenizer = byte_level(begins=True)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    image = tokenizer.convert_tokens_to_ids("<image>")
    sides = {"height": 16, "width": 16}
    pixels = CLIPImageProcessorPil(size=sides, crop_size=sides)
    processor = LlavaProcessor(
        pixels, tokenizer, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )  # fmt: skip
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=16, patch_size=8),
        text_config=LlamaConfig(
            **sizes, num_key_value_heads=2, vocab_size=len(tokenizer), initializer_range=0.2,
            max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        ),
        image_token_index=image, image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    return Llava(config).eval(), processor


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A backbone with its processor, and data with pictures."""
    folder = tmp_path_factory.mktemp("pictured")
    model, processor = llava()
    model.save_pretrained(folder / "llava")
    processor.save_pretrained(folder / "llava")
    rows = []
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (20 + i, 18), colour).save(folder / f"{colour}.png")
        rows.append({"source": "what is it ?" * (i + 1), "target": colour, "image": f"{colour}.png"})
    for name, part in (("train", rows[:4]), ("test", rows[4:])):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def recipe_of(folder: Path, to: Path, **changes) -> Path:
    import yaml

    settings = {
        "name": "small",
        "output": str(to / "runs"),
        "backbone": {"name": str(folder / "llava"), "device": "cpu"},
        "method": {"name": "prefix_tuning", "reparameterization": None, "initialization": "random"},
        "data": {
            "format": "pictured_jsonl",
            "train": str(folder / "train.jsonl"),
            "test": str(folder / "test.jsonl"),
        },
        "decoding": {"strategy": "greedy", "max_new_tokens": 4},
        "metrics": ["bleu"],
        "training": {"steps": 2, "batch_size": 2, "learning_rate": 0.01},
        **changes,
    }
    path = to / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def records(folder: Path) -> list:
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        pictured_text(row["target"], row["source"], (row["target"],), folder / row["image"], row["image"])
        for row in rows
    ]


def test_train_evaluate_and_generate(softprompt, folder, tmp_path):
    trained = softprompt("train", recipe_of(folder, tmp_path))
    assert trained.code == 0, trained.err
    run = tmp_path / "runs" / "small"
    rows = (run / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    outputs = [json.loads(row)["output"] for row in rows]
    evaluated = softprompt("evaluate", run)
    assert evaluated.code == 0, evaluated.err
    pictures = [part for colour in COLOURS[4:] for part in ("--picture", folder / f"{colour}.png")]
    sources = ["what is it ?" * 5, "what is it ?" * 6]
    written = softprompt("generate", run, *sources, *pictures)
    assert written.code == 0, written.err
    assert written.out.splitlines() == [" ".join(output.split()) for output in outputs]


@pytest.mark.parametrize("make", [random_prefix, soft_tokens])
def test_losses_and_texts_are_those_of_each_record_alone_by_hand(folder, make):
    model, processor = llava()
    backbone = library.load_backbone(model, processor=processor)
    task = GenerationTask(backbone, GenerationSettings(separator=" :"), decoding=GREEDY)
    some, prompt = records(folder)[:3], make(backbone)
    examples = [task.encode(record) for record in some]
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        losses, texts = task.losses(examples), task.predict(some)
        for i, record in enumerate(some):
            picture = decode(record.load(), "")
            made = processor(text=["<image>" + record.source], images=[picture], return_tensors="pt")
            separator = processor.tokenizer(" :", add_special_tokens=False, return_tensors="pt")["input_ids"]
            context = torch.cat([made["input_ids"], separator], 1)
            target = processor.tokenizer(" " + record.targets[0], add_special_tokens=False)["input_ids"]
            whole = torch.cat([context, torch.tensor([[*target, 2]])], 1)
            pixels = {"pixel_values": made["pixel_values"]}
            logits = prompted(input_ids=whole, **pixels).logits.log_softmax(-1)
            at = range(context.shape[1], whole.shape[1])
            close(losses[i], -sum(logits[0, k - 1, whole[0, k]] for k in at))
            options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
            alone = prompted.generate(input_ids=context, **pixels, **options)[0, context.shape[1] :]
            assert processor.tokenizer.decode(alone, skip_special_tokens=True).strip() == texts[i]
    with torch.no_grad():
        assert not torch.allclose(
            losses, task.losses([task.encode(record) for record in records(folder)[1:]])
        )


def test_what_is_refused(folder, tmp_path):
    model, processor = llava()
    some = records(folder)
    backbone = library.load_backbone(model, processor=processor)
    task = GenerationTask(backbone, GenerationSettings(), decoding=GREEDY)
    task.check(some)
    twice = pictured_text("two", "<image> and <image>", ("x",), folder / "red.png", "red.png")
    with pytest.raises(DataError, match=r"record two: got a text with places for 2 pictures .<image>."):
        task.check([twice])
    late = pictured_text("late", "what is it ? <image>", ("x",), folder / "red.png", "red.png")
    short = GenerationTask(backbone, GenerationSettings(max_source_tokens=3), decoding=GREEDY)
    with pytest.raises(DataError, match=r"cut before the place of its picture"):
        short.check([late])
    templated = GenerationTask(backbone, GenerationSettings(template="{source} is [blank]"), decoding=GREEDY)
    with pytest.raises(ConfigError, match=r"a template around sources with pictures"):
        templated.check(some)
    without = library.load_backbone(llava()[0], processor.tokenizer)
    with pytest.raises(BackboneError, match=r"without a processor of texts and pictures"):
        GenerationTask(without, GenerationSettings(), decoding=GREEDY).check(some)


def test_pictures_on_a_backbone_that_reads_texts_alone(softprompt, folder, tiny_folder, tmp_path):
    recipe = recipe_of(folder, tmp_path, backbone={"name": str(tiny_folder), "device": "cpu"})
    result = softprompt("train", recipe)
    assert result.code == 1
    assert "which reads texts alone" in result.err
    assert "leave the pictures out of the data" in result.err


def test_a_folder_without_its_processor(softprompt, folder, tmp_path):
    model, processor = llava()
    model.save_pretrained(tmp_path / "bare")
    processor.tokenizer.save_pretrained(tmp_path / "bare")
    recipe = recipe_of(folder, tmp_path, backbone={"name": str(tmp_path / "bare"), "device": "cpu"})
    result = softprompt("train", recipe)
    assert result.code == 1
    assert "without a processor of texts and pictures" in result.err
