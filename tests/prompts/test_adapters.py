"""The methods `adapter` and `lora`: their sizes, their choices, their files, and what they refuse."""

import sys

import pytest
import torch
from torch import nn

import softprompt
from softprompt.errors import BackboneError, PromptError
from softprompt.files.prompt_card import AdaptersCard, LoraCard
from softprompt.prompts import methods
from support.cards import edit_card
from support.prompts import disturb
from support.tiny import tiny_backbone, tiny_model


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone("bert")


def modules(prompt) -> tuple[str, ...]:
    assert prompt.card.inserts is not None
    return prompt.card.inserts.modules


def width(prompt) -> int:
    assert isinstance(prompt.card.inserts, AdaptersCard)
    return prompt.card.inserts.width


def test_a_width_or_a_reduction(backbone):
    assert width(softprompt.adapter(backbone)) == 2  # 32 / 16
    assert width(softprompt.adapter(backbone, reduction=5)) == 6
    assert width(softprompt.adapter(backbone, width=7)) == 7
    card = softprompt.adapter(backbone, width=7, activation="gelu", placement="pfeiffer", seed=4).card
    places = tuple(f"encoder.layer.{k}.output.dense" for k in range(3))
    assert card.inserts == AdaptersCard(modules=places, width=7, activation="gelu", placement="pfeiffer")
    assert (card.method, card.placement, card.length, card.seed) == ("adapter", "none", 0, 4)


def test_an_adapter_begins_at_its_seed(backbone):
    a, b, c = (softprompt.adapter(backbone, width=16, seed=seed) for seed in (1, 1, 2))
    for prompt in (a, c):
        downs = torch.cat([i.stored()["down.weight"].flatten() for i in prompt.inserts.values()])
        assert downs.std().item() == pytest.approx(0.02, rel=0.1)
        for insert in prompt.inserts.values():
            rest = {name: p for name, p in insert.stored().items() if name != "down.weight"}
            assert rest.keys() == {"down.bias", "up.weight", "up.bias"}
            assert not any(p.any() for p in rest.values())
    state = a.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in b.state_dict().items())
    assert not all(torch.equal(value, state[name]) for name, value in c.state_dict().items())


def test_lora_says_what_it_is(backbone):
    pytest.importorskip("peft")
    card = softprompt.lora(backbone, rank=2, alpha=3, dropout=0.1, layers="last:1").card
    places = tuple(f"encoder.layer.2.attention.self.{name}" for name in ("query", "value"))
    assert card.inserts == LoraCard(modules=places, rank=2, alpha=3, dropout=0.1, targets=("query", "value"))
    prompt = softprompt.lora(backbone, rank=2, targets=["attention.output.dense", "intermediate.dense"])
    assert len(modules(prompt)) == 6
    assert prompt.n_trained_parameters == 3 * 2 * (32 + 32 + 32 + 48)
    assert prompt.n_stored_parameters == prompt.n_trained_parameters
    # What stands outside the layers is no target, whatever its name.
    assert not any("pooler" in name for name in modules(softprompt.lora(backbone, targets=["dense"])))


@pytest.mark.parametrize("method", ["adapter", "lora"])
@pytest.mark.parametrize(
    ("layers", "numbers"), [("all", {0, 1, 2}), ("first:2", {0, 1}), ("last:1", {2}), ([2, 0], {0, 2})]
)
def test_layers_are_those_of_every_stack(method, layers, numbers):
    pytest.importorskip("peft")
    for family, stacks in (("llama", ["model.layers"]), ("t5", ["encoder.block", "decoder.block"])):
        names = modules(methods.METHODS[method](tiny_backbone(family), layers=layers))
        for stack in stacks:
            inside = {int(name.split(".")[2]) for name in names if name.startswith(stack)}
            assert inside == numbers
        assert all(name.startswith(tuple(stacks)) for name in names)


@pytest.mark.parametrize("method", ["adapter", "lora"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_where_a_head_reads_the_encoder_alone_the_decoder_gets_nothing(method, family):
    pytest.importorskip("peft")
    head = softprompt.head("sequence", ["a", "b"])
    prompt = methods.METHODS[method](tiny_backbone(family), head=head)
    assert modules(prompt) and all("encoder." in name for name in modules(prompt))
    assert any("decoder." in name for name in modules(methods.METHODS[method](tiny_backbone(family))))


@pytest.mark.parametrize(
    ("method", "family", "options", "message"),
    [
        ("adapter", "bert", {"reduction": 0}, r"adapter\.reduction: got 0, expected at least 1\."),
        ("adapter", "bert", {"width": True}, r"adapter\.width: got True, expected a whole number, or None"),
        ("adapter", "bert", {"reduction": 33}, r"adapter\.reduction: got 33, expected at most 32"),
        (
            "adapter", "bert", {"reduction": 8, "width": 4},
            r"adapter\.width: got both a width \(4\) and a reduction \(8\), expected one of the two",
        ),
        ("adapter", "bert", {"activation": "tanh"}, r"activation: got 'tanh', expected one of 'relu' or"),
        ("adapter", "bert", {"placement": "both"}, r"placement: got 'both', expected one of 'houlsby' or"),
        ("adapter", "bert", {"layers": [3]}, r"prompt\.layers: got layer 3, expected layers 0-2"),
        (
            "adapter", "albert", {"layers": "first:1"},
            r"prompt\.layers: got 'first:1' on AlbertModel.*, where other layers share their modules, "
            r"expected 'all'",
        ),
        ("lora", "albert", {"layers": [1], "targets": ["query"]}, r"where other layers share their modules"),
        ("lora", "bert", {"rank": 0}, r"lora\.rank: got 0, expected at least 1"),
        ("lora", "bert", {"alpha": 0}, r"lora\.alpha: got 0, expected more than 0"),
        ("lora", "bert", {"dropout": 1}, r"lora\.dropout: got 1, expected less than 1"),
        ("lora", "bert", {"targets": "query"}, r"targets: got 'query', expected a list, or None"),
        ("lora", "bert", {"targets": []}, r"lora\.targets: got \[\], expected at least 1 of them, or None"),
        (
            "lora", "bert", {"targets": ["query", "valu"]},
            r"lora\.targets: got 'valu', expected ends of names of linear layers: query, key, value, dense. "
            r"Did you mean 'value'\?",
        ),
        (
            "lora", "albert", {},
            r"lora\.targets: got no targets for albert, for which PEFT has no default, "
            r"expected a list of some of query, key, value, dense, ffn, ffn_output\. Name "
            r"those of the queries and values\.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(method, family, options, message):
    pytest.importorskip("peft")
    with pytest.raises(PromptError, match=message):
        methods.METHODS[method](tiny_backbone(family), **options)


class Fused(nn.Module):
    """A projection that is no linear layer."""

    def __init__(self, linear):
        super().__init__()
        self.weight = linear.weight

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


@pytest.mark.parametrize("place", ["mlp.down_proj", "self_attn.o_proj"])
def test_a_layer_without_the_two_projections_is_refused_by_name(place):
    model = tiny_model("llama")
    layer = model.get_submodule("model.layers.1")
    holder, _, name = place.rpartition(".")
    setattr(layer.get_submodule(holder), name, Fused(layer.get_submodule(place)))
    backbone = softprompt.load_backbone(model)
    with pytest.raises(BackboneError) as caught:
        softprompt.adapter(backbone)
    assert str(caught.value) == (
        "adapter: LlamaForCausalLM (llama), decoder layer 1: got no linear layer that "
        "ends the attention and another that ends the feed-forward, expected both of "
        "them, of the same width. Use lora, with targets."
    )
    assert len(modules(softprompt.adapter(backbone, layers=[0, 2]))) == 4
    pytest.importorskip("peft")
    assert len(modules(softprompt.lora(backbone))) == 6


def test_layers_of_different_widths_need_a_width():
    model = tiny_model("llama")
    backbone = softprompt.load_backbone(model)
    wide = {name: (size[0], 64 if "layers.2" in name else size[1]) for name, size in sizes(backbone).items()}
    backbone.map.__dict__["layers"] = [
        type(layer)(
            layer.site, layer.number, {n: wide[n] for n in layer.sizes}, layer.attention_output, layer.output
        )
        for layer in backbone.layers
    ]
    with pytest.raises(PromptError, match=r"adapter\.reduction: got layers of different widths \(32, 64\)"):
        softprompt.adapter(backbone)
    prompt = softprompt.adapter(backbone, width=3)
    assert prompt.n_trained_parameters == 4 * (2 * 32 * 3 + 3 + 32) + 2 * (2 * 64 * 3 + 3 + 64)


def sizes(backbone) -> dict[str, tuple[int, int]]:
    return {name: size for layer in backbone.layers for name, size in layer.sizes.items()}


def test_without_peft_the_command_is_named(backbone, monkeypatch, tmp_path):
    pytest.importorskip("peft")
    softprompt.lora(backbone).save(tmp_path / "p")
    monkeypatch.setitem(sys.modules, "peft", None)
    message = r"lora: got no module 'peft', expected the extra 'compare'. " + (
        'Install it: pip install "softprompt\\[compare\\]"\\.'
    )
    for options in ({}, {"targets": ["query"]}):
        with pytest.raises(PromptError, match=message):
            softprompt.lora(backbone, **options)
    with pytest.raises(PromptError, match=message):
        softprompt.load_prompt(tmp_path / "p", backbone)
    softprompt.adapter(backbone)  # which needs no PEFT


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"width": 3},
            r"inserts\.encoder\.layer\.0\.attention\.output\.dense\.down\.weight: got shape "
            r"\[2, 32\], expected shape \[3, 32\]\.",
        ),
        ({"width": 0}, r"prompt\.json: inserts\.adapter\.width: got 0, expected input should be greater"),
        ({"kind": "prefix"}, r"prompt\.json: inserts: got .*'prefix'.* does not match any"),
        ({"activation": "os.system"}, r"prompt\.json: inserts\.adapter\.activation: got 'os\.system'"),
        (
            {"modules": ["encoder.layer.9.output.dense"]},
            r"inserts: got 'encoder\.layer\.9\.output\.dense', expected linear layers of BertModel",
        ),
        ({"modules": ["encoder.layer.0.output.dense"]}, r"tensors: got '.*', which the card does "
        r"not name, expected the tensors of the card alone"),
        ({"modules": ["encoder.layer.0.attention.self.query"]}, r"query\.down\.weight: got no such "
        r"tensor, expected a tensor"),
    ],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_refused(backbone, tmp_path, changes, message):
    folder = softprompt.adapter(backbone).save(tmp_path / "p")
    edit_card(folder, lambda card: card["inserts"].update(changes))
    with pytest.raises(PromptError, match=message):
        softprompt.load_prompt(folder, backbone)


def test_numbers_that_are_not_finite_are_refused(backbone, tmp_path):
    prompt = softprompt.adapter(backbone)
    with torch.no_grad():
        next(iter(prompt.parameters()))[0, 0] = float("inf")
    with pytest.raises(PromptError, match="numbers that are not finite"):
        softprompt.load_prompt(prompt.save(tmp_path / "p"), backbone)


# -- settings ------------------------------------------------------------------------------------


def test_settings_have_the_methods_own_defaults(backbone):
    pytest.importorskip("peft")
    for name in ("adapter", "lora"):
        built = methods.build_prompt(backbone, methods.METHODS[name].settings(), 5)
        called = methods.METHODS[name](backbone, seed=5)
        assert built.card == called.card
        state = called.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in built.state_dict().items())


def test_bake_copies_the_modules_and_other_heads_keep_them(backbone):
    prompt = disturb(softprompt.adapter(backbone, head=softprompt.head("sequence", ["a", "b"])))
    other, baked = prompt.with_head(None), prompt.bake()
    assert other.inserts.keys() == baked.inserts.keys() == prompt.inserts.keys()
    assert all(other.inserts[name] is insert for name, insert in prompt.inserts.items())
    for name, insert in prompt.inserts.items():
        assert all(
            torch.equal(a, b)
            for a, b in zip(insert.stored().values(), baked.inserts[name].stored().values(), strict=True)
        )
        assert baked.inserts[name] is not insert
