"""What the class token attends to is what the model's own attention weighs, whatever the prompt is."""

import pytest
import torch

import softprompt
from softprompt.backbones.attention_maps import class_attention
from softprompt.errors import BackboneError
from support.modules import assert_nothing_moved, standing_on
from support.prompts import close
from support.tiny import tiny_backbone
from support.tiny_vision import WITH_CLASS, pixels, tiny_vision

FAMILIES = pytest.mark.parametrize("family", WITH_CLASS)
LOCATIONS = ("prepend", "add", "pixel-prepend", "pixel-pad", "channel")


def prompt_for(backbone, **options):
    """A prompt large enough to draw attention."""
    prompt = softprompt.visual_prompt_tuning(backbone, **options)
    with torch.no_grad():
        for parameter in prompt.blocks.parameters():
            parameter.mul_(8)
    return prompt


def joined(gaze, n_front=0):
    """The columns in the model's order: key/values, class token, tokens, other special ones, patches."""
    front, own = gaze.prompt.tensor_split([n_front], dim=-1)
    first, others = gaze.special.tensor_split([1], dim=-1)
    return torch.cat([front, first, own, others, gaze.patches.flatten(2)], dim=-1)


@FAMILIES
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_without_a_prompt_it_is_the_models_own(family, layer):
    backbone, x = tiny_vision(family, attention="eager"), pixels()
    ours = class_attention(backbone, x, layer)
    assert ours.patches.shape == (2, 4, 4, 4) and not ours.prompt.numel()
    assert ours.special.shape[-1] == backbone.vision.n_special
    with own_weights(backbone, layer) as found:
        backbone.look(x)
    close(joined(ours), found[-1][:, :, 0])
    close(joined(class_attention(tiny_vision(family), x, layer)), joined(ours))


class own_weights:
    """The weights that the family's own eager function gives, `[batch, head, seq, keys]`."""

    def __init__(self, backbone, layer):
        self.attention = backbone.vision.layers[layer].attention

    def __enter__(self):
        found = []
        self.handle = self.attention.register_forward_hook(lambda m, args, output: found.append(output[1]))
        return found

    def __exit__(self, *error):
        self.handle.remove()


@FAMILIES
@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("layer", [0, -1])
def test_under_a_prompt_it_is_what_the_model_weighs(family, location, layer):
    backbone, x = tiny_vision(family, attention="eager"), pixels()
    lengths = {"add": None, "pixel-pad": 4}
    prompt = prompt_for(backbone, location=location, length=lengths.get(location, 2))
    with backbone.prompted(prompt):
        ours = class_attention(backbone, x, layer)
        with own_weights(backbone, layer) as found:
            backbone.look(x)
    n_prompt = 2 if location.endswith("prepend") else 0
    assert ours.prompt.shape == (2, 4, n_prompt)
    close(joined(ours, n_prompt if location == "prepend" else 0), found[-1][:, :, 0])
    side = 5 if location == "pixel-pad" else 4  # whose picture is larger
    assert ours.patches.shape[-2:] == (side, side)
    bare = class_attention(backbone, x, layer)
    if layer == -1 and location != "pixel-pad":
        assert (bare.patches - ours.patches).abs().max() > 1e-3


@FAMILIES
def test_key_values_draw_what_tokens_draw(family):
    backbone, x = tiny_vision(family), pixels()
    prompt = prompt_for(backbone, length=3)
    found = []
    for as_tokens in (False, True):
        backbone.deep_as_tokens = as_tokens
        with backbone.prompted(prompt):
            found.append(class_attention(backbone, x))
    close(found[0].patches, found[1].patches)
    close(found[0].prompt, found[1].prompt)
    close(found[0].special, found[1].special)


def test_every_row_its_own_prompt():
    backbone, x = tiny_vision("dinov2"), pixels(3)
    a, b = prompt_for(backbone, length=2, seed=1), prompt_for(backbone, length=2, seed=2)
    with backbone.prompted([a, b], rows=[1, 0, 1]):
        mixed = class_attention(backbone, x)
    for i, prompt in enumerate([b, a, b]):
        with backbone.prompted(prompt):
            alone = class_attention(backbone, x[i : i + 1])
        close(mixed.patches[i], alone.patches[0])
        close(mixed.prompt[i], alone.prompt[0])


@pytest.mark.parametrize("location", LOCATIONS)
def test_looking_leaves_what_stands_on_the_modules(location):
    backbone, x = tiny_vision("vit"), pixels()
    attention, calls = backbone.vision.layers[-1].attention, []
    stock = attention.forward

    def mine(*args, **kwargs):
        calls.append("forward")
        return stock(*args, **kwargs)

    attention.forward = mine
    for module in (backbone.vision.conv, attention, backbone.model):
        module.register_forward_hook(lambda *_: calls.append("hook"))
        module.register_forward_pre_hook(lambda *_: calls.append("hook before"))
    before = standing_on(backbone.model)
    class_attention(backbone, x)
    assert_nothing_moved(before, standing_on(backbone.model))
    assert sorted(calls) == ["forward"] + 3 * ["hook"] + 3 * ["hook before"]
    length = None if location == "add" else 4
    with backbone.prompted(prompt_for(backbone, location=location, length=length)):
        class_attention(backbone, x)  # the first call puts on what stays as long as the session
        inside = standing_on(backbone.model)
        class_attention(backbone, x)
        assert_nothing_moved(inside, standing_on(backbone.model))
    assert_nothing_moved(before, standing_on(backbone.model))
    with pytest.raises(ValueError, match="channel dimension"):
        class_attention(backbone, x[:, :1])
    assert_nothing_moved(before, standing_on(backbone.model))


def test_what_has_no_class_token_is_refused():
    unseen = "has no class token that attends to the whole picture"
    for backbone, why in [
        (tiny_vision("siglip"), unseen),
        (tiny_vision("swin"), unseen),
        (tiny_backbone("bert"), "reads texts"),
    ]:
        with pytest.raises(BackboneError, match=f"which {why}, expected a backbone with a class token"):
            class_attention(backbone, pixels())
    with pytest.raises(BackboneError, match="layer: got 3, expected -3 to 2"):
        class_attention(tiny_vision("vit"), pixels(), 3)
