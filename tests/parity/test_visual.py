"""Visual prompts are what the paper says: equalities on tiny random models of every family."""

from typing import Any

import pytest
import torch

import softprompt
from softprompt.backbones.injection.lowering import lower
from softprompt.backbones.injection.pictures.lowering import VisualParts
from softprompt.backbones.load import load_backbone
from softprompt.errors import PromptError
from support.by_hand import states_by_hand, swin_by_hand
from support.prompts import close
from support.tiny_vision import (
    GLOBAL,
    N_PATCHES,
    PROCESSOR,
    VISION,
    WITH_CLASS,
    pixels,
    tiny_vision,
    tiny_vision_model,
)

ALL = pytest.mark.parametrize("family", VISION)
LOCATIONS = ("prepend", "add", "add-shared", "pixel-prepend", "pixel-pad", "channel")
LABELS = ["a", "b", "c"]


def look(backbone, prompt, x):
    """States under a prompt, and what the head makes of them."""
    with backbone.prompted(prompt):
        states, kinds = backbone.look(x)
        return states, prompt.head(states, kinds)


def prompt_for(backbone, location="prepend", *, seed=1, scale=8.0, **options):
    """A visual prompt with a head, large enough to matter."""
    options = {"head": softprompt.head("picture", LABELS), **options}
    if location in ("prepend", "pixel-prepend"):
        options.setdefault("length", 3)
    elif location != "add" and location != "add-shared":
        options.setdefault("length", 2)
    prompt = softprompt.visual_prompt_tuning(backbone, location=location, seed=seed, **options)
    with torch.no_grad():
        for block in prompt.blocks:
            for parameter in block.parameters():
                parameter.mul_(scale)
        if prompt.head is not None:
            prompt.head.weight.mul_(20)
    return prompt


def logits_of(backbone, prompt, x):
    return look(backbone, prompt, x)[1]


def tokens_of(prompt):
    """By layer the tokens before it."""
    return {i: v for block in prompt() for i, v in zip(block.layers, block.vectors.unbind(0), strict=True)}


def by_hand(backbone, x, before, carried):
    reference = swin_by_hand if backbone.spec.family == "swin" else states_by_hand
    return reference(backbone.model, x, before, carried)


@ALL
@pytest.mark.parametrize("layers", ["all", "first:2", "last:2"])
def test_deep_prompts_are_the_tokens_of_the_paper(family, layers):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, layers=layers)
    with backbone.prompted(prompt):
        parts = lower(prompt, backbone.map, as_tokens=False, by_layers=False)
        assert isinstance(parts, VisualParts) and parts.key_values and not parts.tokens
        ours = backbone.read({"pixel_values": x})
    parameters = list(prompt.blocks.parameters())
    theirs, _ = by_hand(backbone, x, tokens_of(prompt), carried=False)
    close(ours, theirs)
    for a, b in zip(
        *(torch.autograd.grad(y.square().sum(), parameters) for y in (ours, theirs)), strict=True
    ):
        close(a, b, 1e-4)
    assert (ours - backbone.read({"pixel_values": x})).abs().max() > 0.05


@ALL
@pytest.mark.parametrize("layers", ["all", "first:2", "last:2"])
def test_key_values_are_tokens(family, layers):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, layers=layers)
    found = []
    for as_tokens in (False, True):
        backbone.deep_as_tokens = as_tokens
        logits = logits_of(backbone, prompt, x)
        found.append([logits, *torch.autograd.grad(logits.square().sum(), list(prompt.parameters()))])
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-4)


@ALL
@pytest.mark.parametrize("depth", ["deep", "shallow"])
@pytest.mark.parametrize("pool", ["prompt", "mean"])
def test_heads_that_read_the_prompt(family, depth, pool):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, depth=depth, pool=pool)
    ours = logits_of(backbone, prompt, x)
    states, own = by_hand(backbone, x, tokens_of(prompt), carried=depth == "shallow")
    read = own if pool == "prompt" else torch.cat([own, states[:, -N_PATCHES:]], 1)
    if family == "swin" and pool == "mean":
        read = torch.cat([own, states], 1)
    theirs = torch.nn.functional.linear(read.mean(1), prompt.head.weight, prompt.head.bias)
    close(ours, theirs)
    parameters = list(prompt.parameters())
    for a, b in zip(
        *(torch.autograd.grad(y.square().sum(), parameters) for y in (ours, theirs)), strict=True
    ):
        close(a, b, 1e-4)
    with backbone.prompted(prompt):
        assert backbone.read({"pixel_values": x}).shape == states.shape


@ALL
def test_shallow_tokens_sit_behind_the_class_token_without_a_position(family):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, depth="shallow")
    with backbone.prompted(prompt):
        ours = backbone.read({"pixel_values": x})
    theirs, _ = by_hand(backbone, x, tokens_of(prompt), carried=True)
    close(ours, theirs)
    seen = []
    first = backbone.vision.layers[0].norm  # what the layer itself reads
    with backbone.prompted(prompt):
        handle = first.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
        backbone.read({"pixel_values": x})
        handle.remove()
    if family != "swin":  # whose tokens run beside the windows
        place = 1 if family in WITH_CLASS else 0
        vectors = tokens_of(prompt)[0].expand(2, -1, -1)
        assert torch.equal(seen[0][:, place : place + 3], vectors)


@pytest.mark.parametrize("depth", ["deep", "shallow"])
def test_windows_that_reach_past_the_picture(depth):
    size = {"height": 40, "width": 56}  # 10 x 14 patches, then 5 x 7, in windows of 4 x 4
    backbone = load_backbone(tiny_vision_model("swin"), processor={**PROCESSOR, "size": size})
    x = torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    prompt = prompt_for(backbone, depth=depth, pool="mean")
    ours, logits = look(backbone, prompt, x)
    states, own = by_hand(backbone, x, tokens_of(prompt), carried=depth == "shallow")
    both = torch.cat([states, own], 1)
    close(ours, both)
    close(logits, torch.nn.functional.linear(both.mean(1), prompt.head.weight, prompt.head.bias))


@ALL
@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("depth", ["deep", "shallow"])
def test_a_picture_alone_is_the_picture_in_a_batch(family, location, depth):
    if depth == "deep" and location not in ("prepend", "add", "add-shared"):
        pytest.skip("pixels enter once")
    backbone, x = tiny_vision(family), pixels(4)
    pool = "mean" if location == "prepend" else None
    prompt = prompt_for(backbone, location, depth=depth, pool=pool)
    together = logits_of(backbone, prompt, x)
    for i in range(4):
        close(together[i], logits_of(backbone, prompt, x[i : i + 1])[0])
    bare = prompt.head.card.model_copy(update={"pooling": None})
    nothing = softprompt.head_only(backbone, head=bare)
    with torch.no_grad():
        nothing.head.weight.copy_(prompt.head.weight)
    assert (together - logits_of(backbone, nothing, x)).abs().max() > 0.01


@ALL
@pytest.mark.parametrize("location", LOCATIONS)
def test_saved_is_loaded_and_undone_exactly(family, location, tmp_path):
    backbone, x = tiny_vision(family), pixels()
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    bare = backbone.read({"pixel_values": x})
    attributes = {m: set(vars(m)) for m in backbone.model.modules()}
    prompt = prompt_for(backbone, location, project=5 if location == "prepend" else None)
    ours = logits_of(backbone, prompt, x)
    prompt.bake().save(tmp_path / "prompt")
    loaded = softprompt.load_prompt(tmp_path / "prompt", backbone)
    assert torch.equal(logits_of(backbone, loaded, x), ours)
    assert (
        loaded.n_stored_parameters
        == prompt.n_stored_parameters
        == sum(p.numel() for p in loaded.parameters())
    )
    assert torch.equal(backbone.read({"pixel_values": x}), bare)
    assert {m: set(vars(m)) for m in backbone.model.modules()} == attributes
    assert all(torch.equal(value, before[name]) for name, value in backbone.model.state_dict().items())
    with pytest.raises(RuntimeError, match="from the user"), backbone.prompted(prompt):
        raise RuntimeError("from the user")
    assert torch.equal(backbone.read({"pixel_values": x}), bare)


@ALL
def test_every_row_its_own_deep_prompt(family):
    backbone, x = tiny_vision(family), pixels(5)
    a, b = prompt_for(backbone, seed=1), prompt_for(backbone, seed=2, length=5, layers="last:2")
    c = softprompt.prefix_tuning(backbone, 2, reparameterization=None, seed=3)
    d = prompt_for(backbone, "add", seed=4)
    prompts, rows = [a, b, None, c, d], [0, 1, 2, 3, 4]
    with backbone.prompted(prompts, rows=rows):
        mixed = backbone.read({"pixel_values": x})
    for i in rows:
        with backbone.prompted(prompts[i]):
            close(mixed[i], backbone.read({"pixel_values": x[i : i + 1]})[0])


@ALL
def test_tokens_mix_with_fewer_and_none_where_all_meet(family):
    backbone, x = tiny_vision(family), pixels(3)
    a, b = (prompt_for(backbone, depth="shallow", seed=seed) for seed in (1, 2))
    with backbone.prompted([a, b], rows=[0, 1, 0]):
        mixed = backbone.read({"pixel_values": x})
    for i, prompt in enumerate([a, b, a]):
        with backbone.prompted(prompt):
            close(mixed[i], backbone.read({"pixel_values": x[i : i + 1]})[0])
    longer = prompt_for(backbone, depth="shallow", length=4)
    reads_it = prompt_for(backbone, depth="shallow", pool="prompt")
    refused = [(a, prompt_for(backbone)), (reads_it, None)]
    if family == "swin":  # whose tokens run beside the windows
        refused += [(a, longer), (a, None)]
    else:
        prompts = [a, longer, None]
        with backbone.prompted(prompts, rows=[1, 2, 0]):
            mixed = backbone.read({"pixel_values": x})
        for i, prompt in enumerate([longer, None, a]):
            with backbone.prompted(prompt):
                close(mixed[i], backbone.read({"pixel_values": x[i : i + 1]})[0])
    for both in refused:
        with pytest.raises(PromptError, match="different tokens"), backbone.prompted(both):
            pass
    borders = [prompt_for(backbone, "pixel-pad", length=n) for n in (1, 2)]
    with pytest.raises(PromptError, match="borders of 1 and 2 pixels"), backbone.prompted(borders):
        backbone.read({"pixel_values": x[:2]})


@ALL
@pytest.mark.parametrize("depth", ["deep", "shallow"])
def test_additions_by_hand(family, depth):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, "add", depth=depth)
    vectors = tokens_of(prompt)
    handles = [
        layer.module.register_forward_pre_hook(
            lambda m, args, i=i: (args[0] + vectors[i], *args[1:]) if i in vectors else None
        )
        for i, layer in enumerate(backbone.vision.layers)
    ]
    theirs = backbone.read({"pixel_values": x})
    for handle in handles:
        handle.remove()
    with backbone.prompted(prompt):
        close(backbone.read({"pixel_values": x}), theirs)


@ALL
def test_a_border_is_a_larger_picture(family):
    backbone, x = tiny_vision(family), pixels()
    width = backbone.pictures.patch // 2
    prompt = prompt_for(backbone, "pixel-pad", length=width, scale=1.0)
    (placed,) = prompt()
    assert len(placed.pixels) == (32 + 2 * width) ** 2 - 32**2
    larger = torch.nn.functional.pad(x, (width,) * 4)
    around = torch.ones(larger.shape[-2:], dtype=torch.bool)
    around[width:-width, width:-width] = False
    larger[:, :, around] = placed.pixels.detach().T
    theirs = backbone.look(larger)[0]
    with backbone.prompted(prompt):
        ours = backbone.look(x)[0]
    close(ours, theirs)
    assert ours.shape[1] > backbone.look(x)[0].shape[1] or family == "swin"
    with backbone.prompted(prompt), pytest.raises(PromptError, match="24 x 24 pixels"):
        backbone.look(pixels(size=24))


@ALL
def test_further_channels_are_a_wider_convolution(family):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, "channel")
    with torch.no_grad():
        for parameter in prompt.weights.values():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    (placed,) = prompt()
    with backbone.prompted(prompt):
        ours = backbone.read({"pixel_values": x})
    conv = backbone.vision.conv
    name = next(name for name in prompt.weights if name.endswith("weight"))
    weight = torch.cat([prompt.weights[name], placed.weights.transpose(0, 1)], 1)
    bias = next((w for name, w in prompt.weights.items() if name.endswith("bias")), None)
    wide = torch.cat([x, placed.pixels.expand(2, -1, -1, -1)], 1)
    handle = conv.register_forward_hook(
        lambda *_: torch.nn.functional.conv2d(wide, weight, bias, stride=conv.stride)
    )
    theirs = backbone.read({"pixel_values": x})
    handle.remove()
    close(ours, theirs)


@ALL
@pytest.mark.parametrize("location", ["prepend", "pixel-prepend"])
def test_patches_of_pixels_become_tokens(family, location):
    backbone, x = tiny_vision(family), pixels()
    if location == "prepend":
        prompt = prompt_for(backbone, project=5, depth="shallow")
        vectors = tokens_of(prompt)
        own = dict(prompt.blocks[0].named_parameters())
        close(vectors[0], (own["embedding"] @ own["weight"].T + own["bias"])[:, 0])
        return
    prompt = prompt_for(backbone, "pixel-prepend", scale=1.0)
    (placed,) = prompt()
    assert backbone.vision is not None
    assert backbone.vision.conv is not None
    vectors = backbone.vision.conv(placed.pixels).flatten(1)
    with backbone.prompted(prompt):
        ours = backbone.read({"pixel_values": x})
    close(ours, by_hand(backbone, x, {0: vectors}, carried=True)[0])


@ALL
def test_eager_is_sdpa(family):
    found = []
    for kernel in ("sdpa", "eager"):
        backbone = tiny_vision(family, attention=kernel)
        logits = [
            logits_of(backbone, prompt_for(backbone, depth=depth, pool="mean"), pixels())
            for depth in ("deep", "shallow")
        ]
        found.append(torch.cat(logits))
    close(*found)


@pytest.mark.parametrize("family", GLOBAL)
@pytest.mark.parametrize("depth", ["deep", "shallow"])
def test_checkpointing_has_the_same_gradients(family, depth):
    found = []
    for checkpointing in (False, True):
        backbone = tiny_vision(family)
        prompt = prompt_for(backbone, depth=depth, pool="mean")
        with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
            head = prompt.head
            assert head is not None
            losses = [head(*backbone.look(pixels(seed=s))).square().mean() for s in (0, 1)]
            for loss in losses:
                loss.backward()
        found.append([p.grad.clone() for p in prompt.parameters()])
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_checkpointing_beside_windows():
    backbone = tiny_vision("swin")
    deep, shallow = prompt_for(backbone), prompt_for(backbone, depth="shallow")
    plain = torch.autograd.grad(
        logits_of(backbone, deep, pixels()).square().sum(), list(deep.blocks.parameters())
    )
    with backbone.training_mode(gradient_checkpointing=True):
        with backbone.prompted(deep):
            assert deep.head is not None
            loss = deep.head(*backbone.look(pixels())).square().sum()
            again = torch.autograd.grad(loss, list(deep.blocks.parameters()))
        with pytest.raises(softprompt.errors.BackboneError, match="beside the windows"):
            logits_of(backbone, shallow, pixels())
    for a, b in zip(plain, again, strict=True):
        close(a, b, 1e-4)


@ALL
def test_the_prompts_dropout_is_on_and_the_backbones_off(family):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, dropout=0.5).train()
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(logits_of(backbone, prompt, x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2])
    assert not any(module.training for module in backbone.model.modules())
    prompt.eval()
    assert torch.equal(logits_of(backbone, prompt, x), logits_of(backbone, prompt, x))


def test_layers_below_the_prompt_are_bit_identical():
    backbone, x = tiny_vision("vit"), pixels()
    prompt = prompt_for(backbone, layers="last:1")
    seen: list[torch.Tensor] = []
    handle = backbone.vision.layers[1].module.register_forward_hook(lambda m, args, out: seen.append(out))
    backbone.read({"pixel_values": x})
    with backbone.prompted(prompt):
        backbone.read({"pixel_values": x})
    handle.remove()
    assert torch.equal(*seen)


@ALL
def test_the_papers_counts_and_start(family):
    """L p d + (d + 1) C parameters, and vectors within sqrt(6 / (3 patch^2 + d))."""
    backbone, n_labels = tiny_vision(family), len(LABELS)
    prompt = softprompt.visual_prompt_tuning(backbone, 40, head=softprompt.head("picture", LABELS))
    widths, facts = backbone.pictures.widths, backbone.pictures
    if family != "swin":
        assert set(widths) == {backbone.hidden}
    expected = 40 * sum(widths) + (backbone.state_size + 1) * n_labels
    assert prompt.n_trained_parameters == prompt.n_stored_parameters == expected
    for block in prompt():
        bound = (6 / (3 * facts.patch**2 + block.vectors.shape[-1])) ** 0.5
        assert 0.95 * bound < block.vectors.abs().max() <= bound


@ALL
def test_adapters_begin_as_the_backbone_and_all_of_them_learns(family):
    """The paper's code starts both projections at zero, from where no gradient ever comes."""
    backbone, x = tiny_vision(family), pixels()
    head = softprompt.head("picture", LABELS)
    prompt: Any = softprompt.adapter(backbone, width=16, placement="pfeiffer", head=head)
    with torch.no_grad():
        prompt.head.weight.mul_(20)
    with backbone.prompted(None):
        plain = backbone.look(x)
    with torch.no_grad():
        close(logits_of(backbone, prompt, x), prompt.head(*plain))
    before = {name: p.detach().clone() for name, p in prompt.named_parameters()}
    optimizer = torch.optim.SGD(prompt.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        logits_of(backbone, prompt, x).square().sum().backward(inputs=list(prompt.parameters()))
        optimizer.step()
    still = [name for name, p in prompt.named_parameters() if torch.equal(p, before[name])]
    assert not still
