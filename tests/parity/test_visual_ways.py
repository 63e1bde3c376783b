"""Every location, depth and pooling on every family of pictures: by hand, or refused with a reason.

`PYTHONPATH=tests python tests/parity/test_visual_ways.py` prints the table in docs/compatibility.md.
"""

from itertools import product
from pathlib import Path

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from support.by_hand import states_by_hand, swin_by_hand
from support.prompts import close
from support.tiny_vision import VISION, WITH_CLASS, pixels, tiny_vision

LOCATIONS = ("prepend", "add", "add-shared", "pixel-prepend", "pixel-pad", "channel")
DEPTHS = ("deep", "shallow")
POOLS = ("cls", "image", "prompt", "mean")
LABELS = ["a", "b", "c"]
NAMES = {
    "vit": "ViT", "deit": "DeiT", "dinov2": "DINOv2", "dinov2_registers": "DINOv2 with registers",
    "beit": "BEiT", "mae": "MAE", "clip": "CLIP, its vision tower", "siglip": "SigLIP, its vision tower",
    "swin": "Swin",
}  # fmt: skip
FILE = Path(__file__).parents[2] / "docs" / "compatibility.md"


def refused(family, location, depth, pool):
    """Why a combination means nothing, as the message has it; None where it means something."""
    if depth == "deep" and (location.startswith("pixel") or location == "channel"):
        return "pixels enter once"
    if pool == "cls" and family not in WITH_CLASS:
        return "without a class token"
    if pool == "prompt" and not location.endswith("prepend"):
        return "a prompt without tokens"
    return None


def by_hand(backbone, prompt, x):
    """States of the picture's own tokens, and the prompt's own outputs (None: it is no tokens)."""
    placed = prompt()
    location, vision = prompt.card.location, backbone.vision
    if location in ("prepend", "pixel-prepend"):
        if location == "prepend":
            before = {i: v for block in placed for i, v in zip(block.layers, block.vectors, strict=True)}
        else:
            before = {0: vision.conv(placed[0].pixels).flatten(1)}
        whole = swin_by_hand if backbone.spec.family == "swin" else states_by_hand
        return whole(backbone.model, x, before, prompt.card.depth == "shallow")
    handles = []
    if location == "pixel-pad":
        width = placed[0].border
        x = torch.nn.functional.pad(x, (width,) * 4)
        around = torch.ones(x.shape[-2:], dtype=torch.bool)
        around[width:-width, width:-width] = False
        x[:, :, around] = placed[0].pixels.T
    elif location == "channel":
        own = prompt.weights  # the patch weights are trained beside it
        bias = next((tensor for name, tensor in own.items() if name.endswith("bias")), None)
        weight = next(tensor for name, tensor in own.items() if name.endswith("weight"))
        weight = torch.cat([weight, placed[0].weights.transpose(0, 1)], 1)
        wide = torch.cat([x, placed[0].pixels.expand(len(x), -1, -1, -1)], 1)
        handles.append(
            vision.conv.register_forward_hook(
                lambda *_: torch.nn.functional.conv2d(wide, weight, bias, stride=vision.patch)
            )
        )
    else:
        for block in placed:
            for i, vectors in zip(block.layers, block.vectors, strict=True):
                handles.append(
                    vision.layers[i].module.register_forward_pre_hook(
                        lambda m, args, vectors=vectors: (args[0] + vectors, *args[1:])
                    )
                )
    try:
        return backbone.look(x)[0], None
    finally:
        for handle in handles:
            handle.remove()


def read(states, own, pool, n_special):
    """What a head reads."""
    if pool == "cls":
        return states[:, 0]
    if pool == "image":
        return states[:, n_special:].mean(1)
    own = states[:, :0] if own is None else own
    return (own if pool == "prompt" else torch.cat([states[:, n_special:], own], 1)).mean(1)


@pytest.mark.parametrize("family", VISION)
@pytest.mark.parametrize("location", LOCATIONS)
def test_every_way(family, location):
    backbone, x = tiny_vision(family), pixels()
    length = {} if location.startswith("add") else {"length": 2}
    seen = []
    for depth, pool in product(DEPTHS, POOLS):
        head = softprompt.head("picture", LABELS)
        options = {"location": location, "depth": depth, "pool": pool, "head": head, **length}
        reason = refused(family, location, depth, pool)
        if reason is not None:
            with pytest.raises(PromptError, match=reason):
                softprompt.visual_prompt_tuning(backbone, **options)
            continue
        prompt = softprompt.visual_prompt_tuning(backbone, **options)
        with torch.no_grad():
            for parameter in prompt.blocks.parameters():
                parameter.mul_(4)
            for parameter in prompt.weights.values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
            prompt.head.weight.mul_(20)
        head = prompt.head
        assert head is not None
        theirs = head.outputs(read(*by_hand(backbone, prompt, x), pool, backbone.vision.n_special))
        with backbone.prompted(prompt):
            ours = head(*backbone.look(x))
        close(ours, theirs)
        gradients = [
            torch.autograd.grad(y.square().sum(), list(prompt.blocks.parameters())) for y in (ours, theirs)
        ]
        for a, b in zip(*gradients, strict=True):
            close(a, b, 1e-4)
        assert all(gradient.abs().max() > 0 for gradient in gradients[0])
        seen.append(ours.detach())
    # No two ways are the same thing under two names (a mean over the picture's own tokens apart).
    apart = [(a - b).abs().max() for i, a in enumerate(seen) for b in seen[:i]]
    same = sum(bool(distance < 1e-6) for distance in apart)
    assert same == (0 if location.endswith("prepend") else sum(
        refused(family, location, depth, "mean") is None for depth in DEPTHS
    ))  # fmt: skip


def table():
    """The families as the docs have them."""
    lines = ["| family | tokens beside the patches | attention sees | a head reads |", "|---|---|---|---|"]
    for family in VISION:
        vision = tiny_vision(family).vision
        others = f", {vision.n_special - 1} more" if vision.n_special > 1 else ""
        special = f"class{others}" if vision.n_special else "none"
        sees = "windows" if vision.windowed else "all tokens"
        pools = ", ".join(x for x in POOLS if refused(family, "prepend", "deep", x) is None)
        lines.append(f"| {NAMES[family]} | {special} | {sees} | {pools} |")
    return lines


def test_the_table_in_the_docs_is_this_one():
    assert "\n".join(table()) in FILE.read_text(encoding="utf-8")


if __name__ == "__main__":
    print("\n".join(table()))
