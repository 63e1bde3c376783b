"""Models of pictures of other kinds than ViT: what is read, what is refused, and in which words."""

import copy
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    HieraConfig,
    HieraModel,
    MLCDVisionConfig,
    MLCDVisionModel,
    MobileNetV1Config,
    MobileNetV1Model,
    PixtralVisionConfig,
    PixtralVisionModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    ViTConfig,
    ViTModel,
    YolosConfig,
    YolosModel,
)

import softprompt
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts import CLASS, PATCH, SPECIAL
from support.prompts import close

_SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
_STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
HEAD = softprompt.head("picture", ["a", "b"])


def convnext() -> PreTrainedModel:
    return ConvNextModel(ConvNextConfig(**_STAGES, image_size=64))


def grey() -> PreTrainedModel:
    return ViTModel(ViTConfig(**_SIZES, num_channels=1), add_pooling_layer=False)


def siglip2() -> PreTrainedModel:
    sizes = {name: size for name, size in _SIZES.items() if name != "image_size"}
    return Siglip2VisionModel(Siglip2VisionConfig(**sizes, num_patches=16))


def resnet() -> PreTrainedModel:
    return ResNetModel(ResNetConfig(**_STAGES, embedding_size=8))


def mobilenet() -> PreTrainedModel:
    return MobileNetV1Model(MobileNetV1Config(image_size=64, depth_multiplier=0.25))


def random(make, **options):
    """A backbone with weights that are large enough for every part to matter."""
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
    return softprompt.load_backbone(model, **options)


def noise(n: int, channels: int, side: int) -> Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(0))


# -- convolutions -------------------------------------------------------------------------------------------


def test_a_head_on_a_convolutional_model_reads_what_the_model_pools_and_its_map():
    backbone, x = random(convnext), noise(2, 3, 64)
    output = backbone.model(pixel_values=x)
    states, kinds = backbone.look(x)
    assert torch.equal(states[:, 0], output.pooler_output)
    assert torch.equal(states[:, 1:], output.last_hidden_state.flatten(2).mT)
    assert kinds[0].tolist() == [CLASS] + [PATCH] * 4
    prompt = softprompt.head_only(backbone, head=HEAD)
    assert prompt.head is not None
    close(prompt.head(states, kinds), prompt.head.outputs(output.pooler_output))


@pytest.mark.parametrize("n_pictures", [1, 2])
def test_gradients_pass_a_batch_norm_whatever_the_strides(n_pictures):
    """torch's own backward pass of it is wrong for one picture whose map was transposed."""
    backbone, x = random(mobilenet), noise(n_pictures, 3, 64)
    plain = copy.deepcopy(backbone.model)
    prompt = softprompt.visual_prompt_tuning(backbone, 8, location="pixel-pad", head=HEAD)
    with backbone.prompted(prompt):
        ours = backbone.read({"pixel_values": x})[:, 0]
    (placed,) = prompt()
    around = torch.ones(80, 80, dtype=torch.bool)
    around[8:-8, 8:-8] = False
    picture = torch.nn.functional.pad(x, (8,) * 4)
    at = around.expand(n_pictures, 3, -1, -1)
    border = placed.pixels.T.expand(n_pictures, -1, -1)
    picture = picture.masked_scatter(at, border.reshape(-1))
    by_hand = plain(pixel_values=picture).pooler_output.flatten(1)
    close(ours, by_hand)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    parameters = [p for p in prompt.blocks.parameters() if p.requires_grad]
    came = torch.autograd.grad((ours * weights).sum(), parameters)
    expected = torch.autograd.grad((by_hand * weights).sum(), parameters)
    for one, other in zip(came, expected, strict=True):
        assert (one - other).abs().max() < 1e-4 * other.abs().max()


def test_a_border_around_a_picture_of_a_convolutional_model_is_saved_and_loaded(tmp_path):
    backbone, x = random(convnext), noise(2, 3, 64)
    prompt = softprompt.visual_prompt_tuning(backbone, 16, location="pixel-pad", head=HEAD)
    with backbone.prompted(prompt):
        ours = backbone.read({"pixel_values": x})
    (placed,) = prompt()
    around = torch.ones(96, 96, dtype=torch.bool)
    around[16:-16, 16:-16] = False
    framed = nn.functional.pad(x, (16,) * 4)
    framed[:, :, around] = placed.pixels.detach().T
    close(ours[:, 0], backbone.model(pixel_values=framed).pooler_output)
    prompt.save(tmp_path / "prompt")
    loaded = softprompt.load_prompt(tmp_path / "prompt", backbone)
    with backbone.prompted(loaded):
        assert torch.equal(backbone.read({"pixel_values": x}), ours)


@pytest.mark.parametrize("location", ["prepend", "add", "add-shared", "pixel-prepend"])
def test_tokens_in_a_convolutional_model_are_refused_by_name(location):
    backbone = random(convnext)
    message = (
        f"'{location}' for ConvNextModel .*no attention.*expected 'pixel-pad' with length 5 or 'channel'"
    )
    with pytest.raises(PromptError, match=message):
        softprompt.visual_prompt_tuning(backbone, location=location)
    with pytest.raises(BackboneError, match=r"ConvNextModel .*pixel-pad"):
        softprompt.prefix_tuning(backbone, 2)


@pytest.mark.parametrize(("location", "why"), [("prepend", "no attention"), ("pixel-pad", "74 x 74 pixels")])
def test_a_refusal_names_the_width_of_a_border_that_fits(location, why):
    sizes: dict[str, Any] = {"depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "image_size": [64, 64]}
    backbone = softprompt.load_backbone(HieraModel(HieraConfig(embed_dim=8, **sizes)).eval())
    with pytest.raises(PromptError, match=f"{why}.*expected 'pixel-pad' with length 16"):
        softprompt.visual_prompt_tuning(backbone, location=location)
    softprompt.visual_prompt_tuning(backbone, 16, location="pixel-pad")


def test_statistics_of_a_frozen_model_stay_as_they_are_while_it_trains_with_dropout():
    backbone, x = random(resnet), noise(2, 3, 64)
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    with backbone.training_mode(dropout=True):
        backbone.look(x)
    assert all(torch.equal(value, before[name]) for name, value in backbone.model.state_dict().items())


# -- channels -----------------------------------------------------------------------------------------------

_GREY = {"size": {"height": 32, "width": 32}, "image_mean": [0.4], "image_std": [0.2]}


def test_a_model_of_one_channel_reads_grey_pictures():
    backbone = random(grey, processor=_GREY)
    raw = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.frombytes("RGB", (32, 32), raw.numpy().tobytes())
    shades = torch.frombuffer(bytearray(picture.convert("L").tobytes()), dtype=torch.uint8).view(1, 32, 32)
    close(backbone.pixels.pixels(picture), (shades / 255 - 0.4) / 0.2)
    assert backbone.pictures.channels == 1
    for location in ("pixel-pad", "pixel-prepend"):
        (placed,) = softprompt.visual_prompt_tuning(backbone, 3, location=location)()
        assert placed.pixels.shape[1] == 1
    plain = {"size": {"height": 32, "width": 32}, "do_normalize": False}
    assert random(grey, processor=plain).pixels.pixels(picture).shape == (1, 32, 32)
    with pytest.raises(BackboneError, match="of 3 and 3 channels for a model that reads 1"):
        random(grey, processor={**_GREY, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})


# -- flattened patches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_pictures_of_several_sizes_in_one_batch_of_siglip_2(depth, kernel):
    backbone = random(siglip2, attention=kernel)
    model = backbone.model
    patches = torch.randn(2, 12, 192, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 6:] = 0
    shapes = torch.tensor([[3, 4], [2, 3]])
    prompt = softprompt.visual_prompt_tuning(backbone, 3, depth=depth)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.mul_(8)
    with backbone.prompted(prompt), torch.no_grad():
        ours = model(pixel_values=patches, pixel_attention_mask=mask, spatial_shapes=shapes)
    vectors = dict(zip(prompt.card.layers, prompt()[0].vectors.unbind(0), strict=True))
    for row, n in enumerate((12, 6)):
        close(
            ours.last_hidden_state[row, :n], _siglip2_by_hand(model, patches[row, :n], shapes[row], vectors)
        )


@torch.no_grad()
def _siglip2_by_hand(model, patches, shape, vectors):
    tokens = model.embeddings(patches[None], shape[None])
    for number, layer in enumerate(model.encoder.layers):
        if number in vectors:
            own = vectors[number][None]
            tokens = torch.cat([own, tokens[:, -len(patches) :]], dim=1)
        tokens = layer(tokens, None)
    return model.post_layernorm(tokens[0, -len(patches) :])


def test_pixels_are_cut_as_siglip_2s_processor_cuts_them():
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    backbone, x = random(siglip2), noise(1, 3, 32)
    inputs = backbone.vision.inputs(x)
    theirs = torch.as_tensor(convert_image_to_patches(x[0].numpy(), 8))
    assert torch.equal(inputs["pixel_values"][0], theirs.view(16, -1))


# -- tokens of other kinds ----------------------------------------------------------------------------------


def test_tokens_behind_a_pictures_own_are_not_read_as_patches():
    backbone = random(
        lambda: YolosModel(YolosConfig(**{**_SIZES, "image_size": [32, 32]}, num_detection_tokens=3))
    )
    _, kinds = backbone.look(noise(1, 3, 32))
    assert kinds[0].tolist() == [CLASS] + [PATCH] * 16 + [SPECIAL] * 3


def test_layers_that_count_tokens_and_pictures_in_one_row_are_refused():
    backbone = random(lambda: MLCDVisionModel(MLCDVisionConfig(**_SIZES)))  # rotates every token by its place
    with pytest.raises(PromptError, match=r"MLCDVisionModel .*whose layers take no further tokens"):
        softprompt.visual_prompt_tuning(backbone, 2)
    with pytest.raises(BackboneError, match="the tokens of all pictures into one row"):
        random(lambda: PixtralVisionModel(PixtralVisionConfig(**_SIZES, head_dim=8)))
