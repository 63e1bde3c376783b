"""Visual prompts as methods: counts, starts, refusals; and the other methods on the same backbones."""

from dataclasses import dataclass

import pytest
import torch

import softprompt
from softprompt.errors import BackboneError, PromptError
from softprompt.files.prompt_card import BackboneCard
from softprompt.prompts import PictureFacts
from softprompt.prompts.visual.shapes import start_bound
from support.prompts import close
from support.tiny import tiny_backbone
from support.tiny_vision import HIDDEN, PATCH, VISION, pixels, tiny_vision

ALL = pytest.mark.parametrize("family", VISION)


@dataclass
class VitB16:
    """The sizes of ViT-B/16, and nothing else."""

    card = BackboneCard(name="vit", family="vit", fingerprint="", n_parameters=85_800_000)
    pictures = PictureFacts(
        224, 224, 3, 16, (197,) * 12, (768,) * 12, 1, (0.5,) * 3, (0.5,) * 3, ("conv.weight", "conv.bias")
    )
    stacks = frozenset()
    state_size = hidden = 768
    device = torch.device("cpu")

    def frozen_tensors(self):
        return {"conv.weight": torch.zeros(768, 3, 16, 16), "conv.bias": torch.zeros(768)}


def labels(n):
    return [str(i) for i in range(n)]


# what the paper's demonstration prints: DMLab (6 labels), EuroSAT (10), SUN397
@pytest.mark.parametrize(
    ("length", "n_labels", "expected"), [(100, 6, 926_214), (100, 10, 929_290), (5, 397, 351_373)]
)
def test_the_papers_counts(length, n_labels, expected):
    head = softprompt.head("picture", labels(n_labels))
    prompt = softprompt.visual_prompt_tuning(VitB16(), length, head=head)
    assert expected == 12 * length * 768 + 769 * n_labels
    assert prompt.n_trained_parameters == prompt.n_stored_parameters == expected


def test_counts_of_every_location():
    head = softprompt.head("picture", labels(10))
    own = 769 * 10
    conv = 768 * 3 * 16 * 16 + 768
    for options, expected in [
        ({"depth": "shallow", "length": 50}, 50 * 768),
        ({"location": "add"}, 12 * 197 * 768),
        ({"location": "add", "depth": "shallow"}, 197 * 768),
        ({"location": "add-shared"}, 12 * 768),
        ({"location": "pixel-prepend", "length": 7}, 7 * 3 * 16 * 16),
        ({"location": "pixel-pad", "length": 3}, 3 * (230**2 - 224**2)),
        ({"location": "channel", "length": 2}, 2 * (224 * 224 + 768 * 256) + conv),
        ({"layers": "last:3", "length": 5}, 3 * 5 * 768),
    ]:
        prompt = softprompt.visual_prompt_tuning(VitB16(), head=head, **options)
        assert prompt.n_trained_parameters == prompt.n_stored_parameters == expected + own, options
    mapped = softprompt.visual_prompt_tuning(VitB16(), 4, project=32, head=head)
    assert mapped.n_trained_parameters == 12 * 4 * 32 + 32 * 768 + 768 + own
    assert mapped.n_stored_parameters == 12 * 4 * 768 + own == mapped.bake().n_trained_parameters


def test_the_start_is_uniform_within_the_papers_bound():
    assert start_bound(VitB16().pictures, 768) == 0.0625  # ViT-B/16's, as the paper's code has it
    (block,) = softprompt.visual_prompt_tuning(VitB16(), 100).blocks
    flat = block()
    assert 0.0624 < flat.abs().max() <= 0.0625
    assert abs(flat.std() - 0.0625 / 3**0.5) < 1e-4
    (mapped,) = softprompt.visual_prompt_tuning(VitB16(), 100, project=16).blocks
    bound = (6 / (3 * 256 + 16)) ** 0.5
    assert 0.99 * bound < mapped.embedding.abs().max() <= bound
    assert abs(mapped.weight.std() - (2 / 768) ** 0.5) < 1e-3 and not mapped.bias.any()
    swin = tiny_vision("swin")
    blocks = softprompt.visual_prompt_tuning(swin, 200).blocks
    for block, width in zip(blocks, (16, 32), strict=True):
        bound = (6 / (3 * 4**2 + width)) ** 0.5
        assert 0.98 * bound < block().abs().max() <= bound


def test_colours_start_as_the_backbones_own_pixels():
    backbone = tiny_vision("vit")
    mean, std = (torch.tensor(x)[:, None] for x in (backbone.pixels.mean, backbone.pixels.std))
    for location in ("pixel-prepend", "pixel-pad"):
        (placed,) = softprompt.visual_prompt_tuning(backbone, location=location)()
        channels_first = placed.pixels.transpose(0, 1).flatten(1)
        colours = channels_first * std + mean
        assert 0 <= colours.min() < 0.01 and 0.99 < colours.max() <= 1


def test_seeds():
    backbone = tiny_vision("vit")
    a, b, c = (softprompt.visual_prompt_tuning(backbone, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.blocks[0](), b.blocks[0]())
    assert not torch.equal(a.blocks[0](), c.blocks[0]())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"location": "append"},
            "visual_prompt_tuning.location: got 'append', expected one of 'prepend'",
        ),
        (
            {"depth": "middle"},
            "visual_prompt_tuning.depth: got 'middle', expected one of 'deep' or",
        ),
        ({"location": "pixel-pad", "depth": "deep"}, "pixels enter once"),
        ({"depth": "shallow", "layers": "last:2"}, "since a shallow prompt enters before the first layer"),
        ({"layers": "last:9"}, "a count from 1 to 3"),
        ({"length": 0}, "visual_prompt_tuning.length: got 0, expected at least 1, or None"),
        ({"location": "add", "length": 5}, "expected 17 with 'add'"),
        ({"location": "add", "project": 5}, "got 5 with 'add', expected location 'prepend'"),
        ({"project": 0}, "visual_prompt_tuning.project: got 0, expected at least 1, or None"),
        ({"dropout": 1.0}, "visual_prompt_tuning.dropout: got 1.0, expected less than 1"),
        ({"pool": "cls", "head": None}, "without a head"),
        ({"pool": "max"}, "visual_prompt_tuning.pool: got 'max', expected one of 'cls', 'image'"),
        ({"location": "add", "pool": "prompt"}, r"a prompt without tokens, expected"),
        ({"layers": "first:2", "pool": "prompt"}, "layer 2 among them"),
        ({"head": softprompt.head("sequence", ["a", "b"])}, "a backbone that reads pictures"),
        ({"pool": "cls", "head": softprompt.head("picture", ["a", "b"], pooling="image")}, "one of the two"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    head = softprompt.head("picture", ["a", "b"])
    with pytest.raises(PromptError, match=message):
        softprompt.visual_prompt_tuning(tiny_vision("vit"), **{"head": head, **options})


@pytest.mark.parametrize("family", ["siglip", "swin"])
def test_without_a_class_token_patches_are_read(family):
    backbone, head = tiny_vision(family), softprompt.head("picture", ["a", "b"])
    assert softprompt.visual_prompt_tuning(backbone, head=head).head.card.pooling == "image"
    with pytest.raises(PromptError, match="without a class token"):
        softprompt.visual_prompt_tuning(backbone, pool="cls", head=head)


def test_texts_and_pictures_are_told_apart():
    vision, text = tiny_vision("vit"), tiny_backbone("bert")
    pictures = "got ViTModel, which reads pictures, expected a backbone that reads texts"
    texts = "got BertModel, which reads texts, expected a backbone that reads pictures"
    with pytest.raises(PromptError, match=rf"^visual_prompt_tuning: {texts}"):
        softprompt.visual_prompt_tuning(text)
    with pytest.raises(PromptError, match=rf"^prompt_tuning: {pictures}"):
        softprompt.prompt_tuning(vision)
    with pytest.raises(PromptError, match=rf"^p_tuning: {pictures}"):
        softprompt.p_tuning(vision, 3)
    with pytest.raises(PromptError, match=rf"^null_prompt: {pictures}"):
        softprompt.null_prompt(vision, ["text"])
    with pytest.raises(
        BackboneError, match="got vocabulary on ViTModel, which reads pictures, expected 'random', 'zero'"
    ):
        softprompt.prefix_tuning(vision, initialization="vocabulary")
    with pytest.raises(PromptError, match=r"head\.kind: got 'picture'"):
        softprompt.head_only(text, head=softprompt.head("picture", ["a", "b"]))
    with pytest.raises(
        BackboneError, match="got BertModel, which reads texts, expected one that reads pictures"
    ):
        text.look(pixels())


@ALL
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("prefix_tuning", {"length": 3, "reparameterization": None}),
        ("p_tuning_v2", {"length": 3, "layers": "last:2"}),
        ("head_only", {}),
        ("fine_tuning", {"tune": "bitfit"}),
        ("fine_tuning", {"tune": "last:1"}),
        ("fine_tuning", {"tune": "all"}),
        ("visual_prompt_tuning", {"length": 3, "tune": "bitfit"}),
    ],
)
def test_every_method_trains(family, method, options, tmp_path):
    backbone, x = tiny_vision(family), pixels(4)
    head = softprompt.head("picture", ["a", "b"])
    prompt = getattr(softprompt, method)(backbone, head=head, **options)
    wanted = torch.tensor([0, 1, 1, 0])
    optimizer = torch.optim.Adam(prompt.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        with backbone.prompted(prompt):
            assert prompt.head is not None
            loss = torch.nn.functional.cross_entropy(prompt.head(*backbone.look(x)), wanted)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is None for p in backbone.model.parameters())
    prompt.eval().bake().save(tmp_path / "prompt")
    loaded = softprompt.load_prompt(tmp_path / "prompt", backbone)
    logits = []
    for one in (prompt, loaded):
        with backbone.prompted(one):
            assert one.head is not None
            logits.append(one.head(*backbone.look(x)))
    close(*logits)


@ALL
def test_which_tensors_partial_and_bias_are(family):
    backbone = tiny_vision(family)
    one, two = (set(backbone.tuned_tensors(f"last:{k}", lm_head=False)) for k in (1, 2))
    behind = {name for name in one if "norm" in name.split(".")[0]}
    assert behind  # the last norm, as Partial-k of the paper has it
    assert one < two < set(backbone.tuned_tensors("all", lm_head=False))
    biases = backbone.tuned_tensors("bitfit", lm_head=False)
    assert biases and all(name.endswith("bias") for name in biases)
    unread = [name for name in backbone.tuned_tensors("all") if name.startswith(("pooler", "head."))]
    assert not unread
    with pytest.raises(PromptError, match="no vocabulary head"):
        backbone.tuned_tensors("head")


def test_hidden_layers_of_a_head(tmp_path):
    backbone, x = tiny_vision("vit"), pixels()
    head = softprompt.head("picture", ["a", "b", "c"], hidden_layers=2)
    assert head.dropout == 0.1
    prompt = softprompt.head_only(backbone, head=head).eval()
    assert prompt.n_stored_parameters == 2 * (HIDDEN**2 + HIDDEN) + 3 * (HIDDEN + 1)
    with backbone.prompted(prompt):
        states, kinds = backbone.look(x)
    assert prompt.head is not None
    first, second = list(prompt.head.hidden)
    expected = second(first(states[:, 0]).relu()).relu() @ prompt.head.weight.T + prompt.head.bias
    close(prompt.head(states, kinds), expected)
    prompt.save(tmp_path / "prompt")
    loaded = softprompt.load_prompt(tmp_path / "prompt", backbone)
    assert loaded.head is not None
    assert torch.equal(loaded.head(states, kinds), prompt.head(states, kinds))
    with pytest.raises(PromptError, match=r"head\.hidden_layers: got 1 for a sequence head, expected 0"):
        softprompt.head("sequence", ["a", "b"], hidden_layers=1)
    assert backbone.pictures.patch == PATCH
