"""Looking at what prompts do to pictures: the numbers behind the drawings, and the drawings themselves."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

import softprompt
from softprompt.backbones.attention_maps import class_attention
from softprompt.plotting.pictures import draw_attention, draw_features
from softprompt.studies import looking
from support.prompts import close
from support.tiny_vision import pixels, tiny_vision


@dataclass(frozen=True)
class Labelled:
    label: str | None


def prompt_for(backbone, **options):
    head = softprompt.head("picture", ["a", "b"])
    prompt = softprompt.visual_prompt_tuning(backbone, **{"length": 3, "head": head, **options}).eval()
    with torch.no_grad():
        for parameter in prompt.blocks.parameters():
            parameter.mul_(8)
    return prompt


@pytest.mark.parametrize("pool", ["cls", "image", "mean"])
def test_features_are_what_the_head_reads(pool):
    backbone, x = tiny_vision("vit"), pixels(7)
    prompt = prompt_for(backbone, pool=pool)
    view = looking.view_pictures(backbone, prompt, "deep", x, shown=2, batch_size=3)
    assert prompt.head is not None
    with backbone.prompted(prompt), torch.no_grad():
        close(prompt.head.outputs(view.features), prompt.head(*backbone.look(x)))
        gaze = class_attention(backbone, x[:2])
    close(view.on_prompt, gaze.prompt.sum(-1).mean(1))
    shares = gaze.patches.mean(1)
    close(view.patches, shares / shares.sum((1, 2), keepdim=True))
    bare = looking.view_pictures(backbone, None, "no prompt", x, shown=2)
    close(bare.features, backbone.read({"pixel_values": x})[:, 0])
    assert not bare.on_prompt.any() and bare.border == 0


def test_without_a_class_token_there_is_no_attention_to_draw():
    backbone = tiny_vision("swin")
    view = looking.view_pictures(backbone, prompt_for(backbone), "deep", pixels(3), shown=2)
    assert view.patches is None and view.features.shape == (3, backbone.state_size)


def test_which_pictures_are_looked_at():
    records = [Labelled(label) for label in ["a", "a", "b", None, "a", "b", "c"]]
    assert looking.balanced_pictures(records, 2) == [records[i] for i in (0, 1, 2, 5, 6)]
    chosen = looking.balanced_pictures(records, 9)
    assert looking.spread_over(chosen, 4) == [0, 2, 5, 1]
    assert looking.spread_over(chosen, 99) == [0, 2, 5, 1, 4, 3]


def test_neighbours_alike():
    generator = torch.Generator().manual_seed(0)
    labels = ["a", "b"] * 10
    towards = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(10, 1)
    apart = towards + 0.05 * torch.randn(20, 2, generator=generator)
    assert looking.neighbours_alike(apart, labels) == 100
    assert looking.neighbours_alike(apart, ["a"] * 20) == 100
    mixed = looking.neighbours_alike(torch.randn(20, 2, generator=generator), labels)
    assert mixed < 80


def test_drawings():
    backbone, x = tiny_vision("vit"), pixels(12)
    labels = ["a", "b", "c"] * 4
    prompts = [None, prompt_for(backbone), prompt_for(backbone, location="pixel-pad")]
    names = ["no prompt", "deep", "border"]
    views = [
        looking.view_pictures(backbone, prompt, name, x, shown=2)
        for name, prompt in zip(names, prompts, strict=True)
    ]
    assert views[2].border == 3
    raw = (x[:2] * 40 + 128).clamp(0, 255).to(torch.uint8).numpy()
    maps = [view.attention for view in views]
    drawn = draw_attention(raw, labels, maps)
    assert drawn == draw_attention(raw, labels, maps) and len(drawn) < 200_000
    picture = np.array(Image.open(io.BytesIO(drawn)).convert("RGB"))
    other = draw_attention(raw, labels, [maps[0], maps[0], maps[2]])
    assert not np.array_equal(picture, np.array(Image.open(io.BytesIO(other)).convert("RGB")))
    planes = [looking.embed_features(view.features, 0) for view in views]
    assert planes[0].shape == (12, 2) and np.array_equal(
        planes[0], looking.embed_features(views[0].features, 0)
    )
    features = draw_features(planes, labels, names, [50.0, 60.0, 70.0])
    assert features[:4] == b"\x89PNG" and len(features) < 200_000
