"""Loading backbones that read pictures, and the pixels that they read."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    CLIPConfig,
    CLIPModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEForPreTraining,
)

import softprompt
from softprompt.backbones import load
from softprompt.backbones.image_transform import ImageTransform
from softprompt.errors import BackboneError
from support.prompts import close
from support.tiny_vision import PROCESSOR, VISION, pixels, tiny_vision, tiny_vision_model

ALL = pytest.mark.parametrize("family", VISION)


@ALL
def test_read_gives_the_models_own_last_states(family):
    backbone, x = tiny_vision(family), pixels()
    ours = backbone.read({"pixel_values": x})
    if family == "mae":
        return  # which masks patches at random when it is called itself
    theirs = backbone.model(pixel_values=x).last_hidden_state
    theirs = backbone.model.post_layernorm(theirs) if family == "clip" else theirs
    assert torch.equal(ours, theirs)
    assert backbone.spec.reads == "pictures"
    assert ours.shape[-1] == backbone.state_size


def test_mae_reads_every_patch_in_its_place_and_masks_again_afterwards():
    backbone, x = tiny_vision("mae"), pixels()
    model = backbone.model
    model.config.mask_ratio = 0.0
    noise = torch.arange(16.0).expand(2, -1)
    whole = model(pixel_values=x, noise=noise).last_hidden_state
    model.config.mask_ratio = 0.75
    assert torch.equal(backbone.read({"pixel_values": x}), whole)
    prompt = softprompt.prefix_tuning(backbone, 2)
    with backbone.prompted(prompt):
        assert model(pixel_values=x).last_hidden_state.shape == whole.shape
    assert model(pixel_values=x).last_hidden_state.shape[1] == 1 + 16 // 4
    assert "random_masking" not in vars(model.embeddings)


@ALL
def test_folders(family, tmp_path):
    model = tiny_vision_model(family)
    model.save_pretrained(tmp_path)
    x = pixels()
    without = softprompt.load_backbone(tmp_path, device="cpu")
    with pytest.raises(
        BackboneError, match=r"backbone\.processor: got a backbone without an image processor"
    ):
        _ = without.pixels
    settings = {"image_processor_type": "ViTImageProcessor", **PROCESSOR}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    loaded = softprompt.load_backbone(tmp_path, device="cpu")
    live = tiny_vision(family)
    assert torch.equal(loaded.read({"pixel_values": x}), live.read({"pixel_values": x}))
    assert loaded.pixels == live.pixels
    assert loaded.card.fingerprint == live.card.fingerprint
    assert loaded.spec.family == live.spec.family


def test_a_folder_of_quantised_weights_reads_pictures_of_the_size_asked_for_too(tmp_path, monkeypatch):
    tiny_vision_model("vit").save_pretrained(tmp_path)
    settings = {"image_processor_type": "ViTImageProcessor", **PROCESSOR}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr(load, "is_quantised", lambda model: True)
    assert softprompt.load_backbone(tmp_path, device="cpu", image_size=24).pixels.size == (24, 24)


_TOWERS = {
    "text_config": {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    },
    "vision_config": {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": 32, "patch_size": 8,
    },
}  # fmt: skip


@pytest.mark.parametrize(("model", "config"), [(CLIPModel, CLIPConfig), (SiglipModel, SiglipConfig)])
def test_of_two_towers_the_one_that_reads_pictures_is_taken(model, config, tmp_path):
    torch.manual_seed(0)
    both = model(config(**_TOWERS)).eval()
    both.save_pretrained(tmp_path)
    x = pixels()
    live = softprompt.load_backbone(both, processor=PROCESSOR)
    loaded = softprompt.load_backbone(tmp_path, device="cpu", processor=PROCESSOR)
    close(live.read({"pixel_values": x}), loaded.read({"pixel_values": x}))
    assert live.card.fingerprint == loaded.card.fingerprint
    assert live.spec.reads == "pictures"


def test_a_classifier_is_read_without_its_head():
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                       image_size=32, patch_size=8, num_labels=5)  # fmt: skip
    model = ViTForImageClassification(config).eval()
    backbone = softprompt.load_backbone(model, processor=PROCESSOR)
    prompt = softprompt.visual_prompt_tuning(backbone, 3)
    bare = model(pixel_values=pixels()).logits
    with backbone.prompted(prompt):
        states = backbone.read({"pixel_values": pixels()})
        # The model's own classifier works under the prompt too.
        assert torch.equal(model(pixel_values=pixels()).logits, model.classifier(states[:, 0]))
    assert torch.equal(model(pixel_values=pixels()).logits, bare)
    assert not any(name.startswith("classifier") for name in backbone.tuned_tensors("all"))
    mae = ViTMAEForPreTraining(tiny_vision_model("mae").config)
    assert softprompt.load_backbone(mae).read({"pixel_values": pixels()}).shape == (2, 17, 32)


def test_another_size_than_the_models_own():
    for family in VISION:
        size = 48 if family == "swin" else 24  # transformers' Swin fails where windows are larger than stages
        small = softprompt.load_backbone(
            tiny_vision_model(family), processor={**PROCESSOR, "size": {"height": size, "width": size}}
        )
        assert small.pictures.tokens[0] == small.pictures.n_special + (size // small.pictures.patch) ** 2
        prompt = softprompt.visual_prompt_tuning(small, location="add")
        with small.prompted(prompt):
            states = small.read({"pixel_values": pixels(size=size)})
        assert torch.isfinite(states).all()


# -- pixels --------------------------------------------------------------------------------------------------

_OWN = ("ViT", "DeiT", "Beit", "CLIP", "Siglip", "Bit", "Blip", "ChineseCLIP", "Pvt", "MobileNetV2")
_FORMS = [
    *(
        {"image_processor_type": f"{name}ImageProcessor", "image_mean": None, "image_std": None}
        for name in _OWN
    ),
    {"image_processor_type": "ViTImageProcessor", "size": 20},
    {"image_processor_type": "ViTImageProcessor", "size": {"height": 20, "width": 24}, "resample": 3},
    {"image_processor_type": "CLIPImageProcessor", "size": 20, "crop_size": 16},
    {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 23},
        "crop_size": {"height": 20, "width": 20},
    },
    {"image_processor_type": "SiglipImageProcessor", "size": {"height": 20, "width": 20}},
    {"image_processor_type": "BeitImageProcessor", "size": 24, "crop_size": 20, "do_center_crop": True},
    {
        "image_processor_type": "BeitImageProcessor",
        "do_resize": False,
        "crop_size": 21,
        "do_center_crop": True,
    },
    {"image_processor_type": "DeiTImageProcessor", "size": 19, "crop_size": 20},
    {"image_processor_type": "ViTImageProcessor", "size": 20, "do_normalize": False},
    {"image_processor_type": "ViTImageProcessor", "size": 20, "do_rescale": False},
    {"image_processor_type": "ViTImageProcessor", "size": 20, "rescale_factor": 1 / 127.5},
    *({"image_processor_type": "ViTImageProcessor", "size": 20, "resample": i} for i in range(6)),
    *(
        {"image_processor_type": f"{name}ImageProcessor", "size": {"shortest_edge": side}, **more}
        for name, side, more in (
            ("ConvNext", 20, {}),
            ("ConvNext", 19, {"crop_pct": 0.95}),
            ("ConvNext", 384, {"resample": 3}),
            ("ConvNext", 384, {"do_center_crop": True, "crop_size": {"height": 20, "width": 20}}),
            ("ConvNext", 32, {"do_center_crop": True, "crop_size": {"height": 20, "width": 20}}),
            ("PoolFormer", 20, {"crop_pct": 0.9, "crop_size": {"height": 20, "width": 20}}),
            ("PoolFormer", 20, {"crop_size": {"height": 18, "width": 16}}),
            ("Levit", 20, {"crop_size": {"height": 20, "width": 20}}),
            ("MobileNetV1", 23, {"crop_size": {"height": 20, "width": 20}}),
            ("MobileNetV2", 23, {"crop_size": {"height": 20, "width": 20}}),
            ("DeiT", 23, {"crop_size": {"height": 20, "width": 20}}),
            ("Beit", 23, {"do_center_crop": True, "crop_size": {"height": 20, "width": 20}}),
        )
    ),
    {
        "image_processor_type": "PoolFormerImageProcessor",
        "size": {"height": 20, "width": 20},
        "crop_size": 20,
    },
    {
        "image_processor_type": "PoolFormerImageProcessor",
        "size": {"height": 24, "width": 20},
        "crop_size": 20,
    },
]


@pytest.mark.parametrize("settings", _FORMS)
@pytest.mark.parametrize("size", [(37, 23), (23, 37), (20, 20), (5, 9)])
def test_pixels_are_those_of_transformers_own_processor(settings, size, tmp_path):
    settings = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3], **settings}
    settings = {name: value for name, value in settings.items() if value is not None}  # else the class's own
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    theirs = torch.tensor(np.array(processor(picture)["pixel_values"][0]))
    form = ImageTransform.of(processor)
    ours = form.pixels(picture)
    assert ours.dtype == torch.float32 and tuple(ours.shape[1:]) == form.size
    torch.testing.assert_close(ours, theirs.float(), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"shortest_edge": 20}}, "pictures of different sizes"),
        ({"size": {"longest_edge": 20}}, "height and width, or shortest_edge"),
        ({"size": {"shortest_edge": 20}, "image_processor_type": "DeiTImageProcessor"}, "different sizes"),
        (
            {
                "size": {"shortest_edge": 25},
                "crop_pct": 0.9,
                "image_processor_type": "ConvNextImageProcessor",
                "do_center_crop": True,
                "crop_size": 20,
            },
            "a crop to 20 by 20 behind one to 25 by 25",
        ),
        ({"size": 20, "do_pad": True}, "do_pad=True"),
        ({"size": 20, "image_mean": None}, "no image_mean"),
    ],
)
def test_forms_that_are_not_followed_are_refused(settings, message):
    with pytest.raises(BackboneError, match=message):
        ImageTransform.of({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **settings})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("EfficientNet", {}),  # an offset, and twice normalised
        ("Perceiver", {}),  # crops before it resizes
        ("DPT", {"do_center_crop": True, "crop_size": {"height": 20, "width": 20}}),  # never crops
        ("VideoMAE", {}),  # takes films
        ("ImageGPT", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    ],
)
def test_processors_with_steps_of_their_own_are_refused(name, settings, tmp_path):
    settings = {"image_processor_type": f"{name}ImageProcessor", **settings}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    with pytest.raises(BackboneError, match=f"{name}ImageProcessorPil, which (does more|takes no)"):
        ImageTransform.of(processor)
    tiny_vision_model("vit").save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=f"{name}ImageProcessorPil"):
        softprompt.load_backbone(tmp_path, device="cpu")
