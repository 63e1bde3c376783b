"""Image classification: what is read is what the processor makes, and nothing stops half-way."""

import hashlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import softprompt
from softprompt.backbones import raw_pixels
from softprompt.backbones.load import load_backbone
from softprompt.config import DecodingSettings, ImageClassificationSettings
from softprompt.data import LabelledPicture, decode, read
from softprompt.data.records import LabelledText
from softprompt.errors import BackboneError, ConfigError, DataError, PromptError
from softprompt.tasks.headed.image_classification import ImageClassificationTask
from softprompt.tasks.mixture import Mixture, PartExample
from support.pictures import encoded, picture, picture_folder
from support.prompts import close
from support.reading import bert
from support.tiny_vision import PROCESSOR, SIZE, tiny_vision, tiny_vision_model

LABELS = ("blue", "green", "red")
FAMILIES = pytest.mark.parametrize("family", ["vit", "dinov2", "swin"])


def task_of(backbone, **settings):
    return ImageClassificationTask(
        backbone, ImageClassificationSettings(**settings), LABELS, decoding=DecodingSettings(batch_size=4)
    )


def prompt_of(backbone, task, **options):
    prompt = softprompt.visual_prompt_tuning(backbone, 3, head=task.head, **options)
    with torch.no_grad():
        prompt.head.weight.mul_(30)
    return prompt.eval()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return read("image_folder", picture_folder(tmp_path_factory.mktemp("pictures") / "some", 3))


@FAMILIES
def test_loss_and_answers_are_those_of_pictures_read_by_hand(family, records):
    backbone = tiny_vision(family)
    task = task_of(backbone)
    prompt: Any = prompt_of(backbone, task)
    logits = []
    for record in records:
        pixels = backbone.pixels.pixels(decode(record.load(), record.source))
        with torch.no_grad(), backbone.prompted(prompt):
            logits.append(prompt.head(*backbone.look(pixels[None]))[0])
    logits = torch.stack(logits)
    with torch.no_grad(), backbone.prompted(prompt):
        loss = task.loss([task.encode(record) for record in records])
        answers = task.predict(records)
    wanted = torch.tensor([LABELS.index(record.label) for record in records])
    close(loss, F.cross_entropy(logits, wanted, reduction="sum"), 1e-4)
    order = logits.argsort(-1, descending=True)
    assert [answer["labels"] for answer in answers] == [[LABELS[i] for i in row] for row in order]
    for answer, row in zip(answers, logits.softmax(-1), strict=True):
        assert answer["probabilities"] == pytest.approx(row.sort(descending=True).values.tolist(), abs=1e-4)


@pytest.mark.parametrize(("pooling", "hidden"), [("cls", 0), ("image", 1), ("prompt", 0), ("mean", 2)])
def test_the_head_is_as_the_settings_say(pooling, hidden):
    task = task_of(tiny_vision("vit"), pooling=pooling, hidden_layers=hidden)
    head = task.head
    assert (head.kind, head.labels, head.pooling, head.hidden_layers) == ("picture", LABELS, pooling, hidden)
    assert head.dropout == (0.1 if hidden else 0.0)
    assert task_of(tiny_vision("vit"), head_dropout=0.3).head.dropout == 0.3


def test_pixels_are_exactly_the_processors(records):
    backbone = tiny_vision("vit")
    task = task_of(backbone)
    for record in records:
        raw = task.encode(record).take(False)
        pixels = backbone.pixels.pixels(decode(record.load(), record.source))
        assert torch.equal(backbone.pixels.scaled(raw), pixels)


def test_pictures_are_decoded_once_unless_there_is_no_room(records, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "softprompt.tasks.headed.gallery.decode", lambda *arguments: calls.append(0) or decode(*arguments)
    )
    for keep_gb, expected in ((1.0, 9), (2.5 * 3 * SIZE**2 / 1e9, 9 + 2 * 7), (0.0, 27)):
        calls.clear()
        task = task_of(tiny_vision("vit"), keep_gb=keep_gb)
        task.check(records)
        kept = [task.encode(record).take(False) for record in records for _ in range(1)]
        again = [task.encode(record).take(False) for record in records]
        assert len(calls) == expected
        assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_crop_and_flip_while_the_prompt_trains_alone():
    backbone = tiny_vision("vit")
    task = task_of(backbone, resize=40, augment=["crop", "flip"])
    record = records_of({"a": picture((90, 120, 30), 0, (40, 40))})[0]
    whole = raw_pixels(decode(record.load(), "a picture"))
    assert whole.shape == (3, 40, 40)
    example = task.encode(record)
    middle = example.take(False)
    assert torch.equal(middle, whole[:, 4:36, 4:36])
    assert torch.equal(middle, example.take(False))
    torch.manual_seed(0)
    drawn = [example.take(True) for _ in range(200)]
    windows = {whole[:, t : t + 32, left : left + 32].numpy().tobytes(): (t, left, False)
               for t in range(9) for left in range(9)}  # fmt: skip
    windows |= {whole[:, t : t + 32, left : left + 32].flip(-1).numpy().tobytes(): (t, left, True)
                for t in range(9) for left in range(9)}  # fmt: skip
    found = [windows[one.contiguous().numpy().tobytes()] for one in drawn]
    assert {t for t, _, _ in found} == {left for _, left, _ in found} == set(range(9))
    assert 60 < sum(flipped for _, _, flipped in found) < 140
    prompt = prompt_of(backbone, task)
    losses = {}
    for training in (False, True):
        prompt.train(training)
        with torch.no_grad(), backbone.prompted(prompt):
            losses[training] = [float(task.loss([example])) for _ in range(3)]
    assert len(set(losses[False])) == 1 and len(set(losses[True])) == 3


def test_without_crop_evaluation_cuts_out_the_middle(records):
    backbone = tiny_vision("vit")
    plain, cropped = task_of(backbone, resize=40), task_of(backbone, resize=40, augment=["crop"])
    for record in records:
        assert torch.equal(plain.encode(record).take(False), cropped.encode(record).take(False))


def test_smaller_pictures_lie_in_black():
    form = {"do_resize": False, "do_center_crop": True, "crop_size": {"height": SIZE, "width": SIZE}}
    backbone = load_backbone(tiny_vision_model("vit"), processor={**PROCESSOR, **form})
    record = records_of({"a": picture((90, 120, 30), 0, (20, 17))})[0]
    values = task_of(backbone, augment=["crop"]).encode(record).take(False)
    assert torch.equal(values, task_of(backbone).encode(record).take(False))
    assert values.shape == (3, SIZE, SIZE) and int(values.any(0).sum()) == 20 * 17


def test_tables_and_files(records):
    task = task_of(tiny_vision("vit"))
    outputs = [{"labels": list(LABELS), "probabilities": [0.5, 0.3, 0.2]} for _ in records]
    rows = task.score(records, outputs, ["accuracy", "top5_accuracy", "class_accuracy"])
    assert [row["group"] for row in rows] == ["all", "class blue", "class green", "class red"]
    assert rows[0]["values"] == {
        "accuracy": pytest.approx(100 / 3), "top5_accuracy": 100.0, "class_accuracy": pytest.approx(100 / 3),
    }  # fmt: skip
    assert rows[1]["values"] == {"accuracy": 100.0, "top5_accuracy": 100.0}
    files = task.artefacts(records, outputs)
    assert set(files) == {
        "confusion.json", "confusion.png", "errors.jsonl", "calibration.json", "reliability.png",
    }  # fmt: skip


def records_of(pictures):
    """Records of pictures, or of bytes, that lie nowhere."""
    found = []
    for name, content in pictures.items():
        file = encoded(content) if isinstance(content, Image.Image) else content
        found.append(LabelledPicture(name, name, hashlib.sha256(file).hexdigest(), lambda f=file: f, "red"))
    return found


def test_bad_pictures_are_all_named_before_anything_is_trained():
    task = task_of(tiny_vision("vit"))
    whole = encoded(picture((90, 120, 30), 0, (40, 40)))
    some = records_of({"good.png": whole, "cut.png": whole[:300], "text.png": b"hello", "sliver.png":
                       picture((1, 2, 3), 0, (1, 50))})  # fmt: skip
    with pytest.raises(DataError) as caught:
        task.check(some)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["picture cut.png", "picture text.png"]
    task.check([some[0], some[3]])
    with pytest.raises(DataError) as caught:
        task.check(records_of({f"{i}.png": b"%d" % i for i in range(30)}))
    assert len(str(caught.value).splitlines()) == 20


def test_a_sliver_that_would_grow_without_end_is_refused():
    form = {
        "size": {"shortest_edge": SIZE},
        "do_center_crop": True,
        "crop_size": {"height": SIZE, "width": SIZE},
    }
    backbone = load_backbone(tiny_vision_model("vit"), processor={**PROCESSOR, **form})
    task = task_of(backbone)
    task.check(records_of({"a.png": picture((1, 2, 3), 0, (1, 60))}))
    with pytest.raises(DataError, match=r"picture b\.png: got 1 x 70000 pixels, which resized become 32 x"):
        task.check(records_of({"b.png": Image.new("RGB", (1, 70000))}))


def test_refusals(records):
    vit = tiny_vision("vit")
    with pytest.raises(ConfigError, match=r"task\.name: got 'image_classification' on .*, which reads texts"):
        task_of(bert())
    with pytest.raises(ConfigError, match=r"task\.augment: got 'crop'.*. Give task\.resize"):
        task_of(vit, augment=["crop"])
    with pytest.raises(ConfigError, match=r"task\.resize: got 20, smaller than the 32 pixels"):
        task_of(vit, resize=20)
    with pytest.raises(ConfigError, match=r"task\.name: got 'image_classification' with LabelledText"):
        task_of(vit).check([LabelledText("1", "text", "red")])
    with pytest.raises(
        ConfigError,
        match=r"examples of task 'image_classification', whose records are no tokens, expected another "
        r"start\. Set method\.initialization=random\.",
    ):
        task_of(vit).demonstrations(records, 1, 0)
    short = ImageClassificationTask(vit, ImageClassificationSettings(), ("blue", "green"))
    with pytest.raises(DataError, match="the label 'red'"):
        short.check(records)
    with pytest.raises(
        BackboneError, match="got a backbone without an image processor, expected an image processor"
    ):
        task_of(load_backbone(tiny_vision_model("vit")))
    other = softprompt.head_only(vit, head=softprompt.head("picture", ["x", "y", "z"]))
    with pytest.raises(PromptError, match="task image_classification"), vit.prompted(other):
        task_of(vit).predict(records)


def test_tasks_of_pictures_share_a_batch(records):
    backbone = tiny_vision("vit")
    tasks = {"a": task_of(backbone), "b": task_of(backbone, augment=["flip"])}
    prompts = [prompt_of(backbone, task, seed=i) for i, task in enumerate(tasks.values())]
    mixture = Mixture(backbone, tasks)
    examples = [PartExample("ab"[i % 2], tasks["ab"[i % 2]].encode(r)) for i, r in enumerate(records)]
    with torch.no_grad(), backbone.prompted(prompts, rows=mixture.rows(examples)):
        together = mixture.losses(examples)
    for i, (name, task) in enumerate(tasks.items()):
        with torch.no_grad(), backbone.prompted(prompts[i]):
            close(together[name], task.loss([e.example for e in examples if e.part == name]), 1e-4)


@pytest.mark.parametrize("family", ["vit", "deit", "dinov2", "beit", "mae", "clip", "siglip"])
def test_smaller_pictures_are_fewer_tokens(family, records):
    model = tiny_vision_model(family)
    backbone = load_backbone(model, processor=PROCESSOR, image_size=24)
    assert backbone.pixels.size == backbone.vision.size == (24, 24)
    task = task_of(backbone)
    prompt = softprompt.visual_prompt_tuning(backbone, location="add", head=task.head)
    with torch.no_grad(), backbone.prompted(prompt):
        assert len(task.predict(records)) == len(records)
    assert task.encode(records[0]).length < tiny_vision(family).vision.layers[0].n_tokens


def test_sizes_that_cannot_be():
    with pytest.raises(BackboneError, match=r"backbone\.image_size: got 20 for .*, expected a multiple of 8"):
        load_backbone(tiny_vision_model("vit"), processor=PROCESSOR, image_size=20)
    with pytest.raises(BackboneError, match=r"24 for SwinModel \(.*expected 32, which it was made for"):
        load_backbone(tiny_vision_model("swin"), processor=PROCESSOR, image_size=24)
    with pytest.raises(BackboneError, match="24 without a processor"):
        load_backbone(tiny_vision_model("vit"), image_size=24)
    with pytest.raises(BackboneError, match="which reads texts"):
        load_backbone(bert().model, image_size=24)
