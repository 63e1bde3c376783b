"""Tiny random backbones that read pictures, in fp32, without any network."""

import torch
from torch import Tensor
from transformers import (
    BeitConfig,
    BeitModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PreTrainedModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from support.templates import copies

SIZE, PATCH, HIDDEN = 32, 8, 32
N_PATCHES = (SIZE // PATCH) ** 2
PROCESSOR = {
    "size": {"height": SIZE, "width": SIZE}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3],
}  # fmt: skip

_COMMON = {
    "hidden_size": HIDDEN, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "image_size": SIZE, "patch_size": PATCH,
}  # fmt: skip
_DINO = {**{k: v for k, v in _COMMON.items() if k != "intermediate_size"}, "mlp_ratio": 2}


def _vit() -> PreTrainedModel:
    return ViTModel(ViTConfig(**_COMMON), add_pooling_layer=False)


def _deit() -> PreTrainedModel:
    return DeiTModel(DeiTConfig(**_COMMON), add_pooling_layer=False)


def _dinov2() -> PreTrainedModel:
    return Dinov2Model(Dinov2Config(**_DINO))


def _dinov2_registers() -> PreTrainedModel:
    return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**_DINO, num_register_tokens=2))


def _beit() -> PreTrainedModel:
    """With biases of its own in every layer and one that all layers share."""
    config = BeitConfig(
        **_COMMON, use_relative_position_bias=True, use_shared_relative_position_bias=True,
        use_mean_pooling=False,
    )  # fmt: skip
    return BeitModel(config, add_pooling_layer=False)


def _mae() -> PreTrainedModel:
    return ViTMAEModel(ViTMAEConfig(**_COMMON))


def _clip() -> PreTrainedModel:
    return CLIPVisionModel(CLIPVisionConfig(**_COMMON))


def _siglip() -> PreTrainedModel:
    return SiglipVisionModel(SiglipVisionConfig(**_COMMON))


def _swin() -> PreTrainedModel:
    """Two stages of two blocks each: several windows, then one; the second block of each is shifted."""
    config = SwinConfig(
        image_size=SIZE, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4,
        drop_path_rate=0.1,
    )  # fmt: skip
    return SwinModel(config, add_pooling_layer=False)


VISION = {
    "vit": _vit, "deit": _deit, "dinov2": _dinov2, "dinov2_registers": _dinov2_registers, "beit": _beit,
    "mae": _mae, "clip": _clip, "siglip": _siglip, "swin": _swin,
}  # fmt: skip
WITH_CLASS = tuple(name for name in VISION if name not in ("siglip", "swin"))
GLOBAL = tuple(name for name in VISION if name != "swin")


@copies
def tiny_vision_model(family: str, seed: int = 0) -> PreTrainedModel:
    """A random model whose weights are large enough for every part to matter."""
    torch.manual_seed(seed)
    model = VISION[family]().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_scale" in name or "lambda" in name:
                parameter.fill_(0.7)
            elif parameter.ndim > 1:
                parameter.normal_(0, 0.5 if "bias_table" in name else 0.2)
            else:  # norms and biases begin at 1 and 0, where nobody would miss them
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@copies
def tiny_vision(family: str, seed: int = 0, attention: str | None = None) -> Backbone:
    """A frozen tiny backbone with an image processor."""
    return load_backbone(tiny_vision_model(family, seed), attention=attention, processor=PROCESSOR)


def pixels(batch: int = 2, seed: int = 0, size: int = SIZE) -> Tensor:
    """Random pixels, `[batch, channel, height, width]`."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))
