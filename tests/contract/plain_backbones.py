"""Backbones whose numbers follow from a rule, so that kept files always belong to them."""

import torch

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from support.tiny import FAMILIES


def ruled_backbone(family: str) -> Backbone:
    """A tiny backbone of multiples of 1/512, from -100 to 100 of them."""
    model = FAMILIES[family]().eval()
    with torch.no_grad():
        for n, (_, parameter) in enumerate(sorted(model.named_parameters())):
            i = torch.arange(parameter.numel())
            parameter.copy_((((i * 7919 + n * 131) % 201 - 100).float() / 512).view(parameter.shape))
    return load_backbone(model)
