"""What the methods build, and what they refuse."""

import pytest
import torch

import softprompt
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts import methods
from softprompt.prompts.methods import METHODS
from support.prompts import pad, random_prefix
from support.tiny import ids, tiny_backbone
from support.tiny_vision import tiny_vision


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


def test_stored_parameters_are_two_per_layer_position_and_width():
    # 2 * L * p * d, the count of methods.md §1 and §6.
    backbone = tiny_backbone("gpt2")
    prompt = softprompt.prefix_tuning(backbone, 5)
    assert prompt.n_stored_parameters == 2 * 3 * 5 * 32
    assert prompt.bake().n_trained_parameters == prompt.n_stored_parameters
    assert prompt.n_trained_parameters > prompt.n_stored_parameters
    bart = softprompt.prefix_tuning(tiny_backbone("bart"), 5)
    assert bart.n_stored_parameters == 3 * 2 * 3 * 5 * 32


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("all", [0, 1, 2]), ("first:2", [0, 1]), ("last:1", [2]), ([2, 0], [0, 2])],
)
def test_layers(llama, layers, expected):
    assert random_prefix(llama, layers=layers).card.sites == {"decoder": expected}


def test_the_same_seed_is_the_same_prompt(llama):
    for initialization in ("random", "vocabulary"):
        for reparameterization in ("mlp", None):
            options = {"initialization": initialization, "reparameterization": reparameterization}
            a, b, c = (random_prefix(llama, seed=seed, **options).tensors() for seed in (1, 1, 2))
            assert all(torch.equal(a[name], b[name]) for name in a)
            assert not any(torch.equal(a[name], c[name]) for name in a)


def test_the_network_begins_exactly_at_real_activations(llama):
    direct = random_prefix(llama, initialization="vocabulary", reparameterization=None, seed=4)
    through = random_prefix(llama, initialization="vocabulary", reparameterization="mlp", seed=4, depth=2)
    assert torch.equal(direct.tensors()["decoder.0-2.keys"], through.tensors()["decoder.0-2.keys"])
    # ... and can leave it: the first step reaches the last layer, the second all of them.
    optimizer = torch.optim.SGD(through.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (block,) = through()
        (block.keys.square().sum() + block.values.sum()).backward()
        optimizer.step()
    assert all(p.grad.abs().max() > 0 for p in through.parameters())


def test_a_prompt_begins_from_another(llama, tmp_path):
    first = random_prefix(llama, 3, seed=7)
    again = softprompt.prefix_tuning(llama, reparameterization=None, initialization=first)
    assert again.length == 3
    assert torch.equal(first.tensors()["decoder.0-2.values"], again.tensors()["decoder.0-2.values"])
    first.save(tmp_path / "first")
    read = softprompt.prefix_tuning(
        llama, reparameterization=None, initialization=f"prompt: {tmp_path / 'first'}"
    )
    assert torch.equal(first.tensors()["decoder.0-2.keys"], read.tensors()["decoder.0-2.keys"])


def test_zero_is_zero_and_default_lengths_are_the_papers(llama):
    prompt = softprompt.prefix_tuning(llama, initialization="zero", reparameterization=None)
    assert prompt.length == 10
    assert not any(tensor.any() for tensor in prompt.tensors().values())
    assert softprompt.prompt_tuning(llama).length == 20


def test_position_policy_is_written_down(llama):
    assert softprompt.prefix_tuning(llama).card.positions == "shifted"
    assert softprompt.prefix_tuning(tiny_backbone("bart")).card.positions == "unshifted"
    assert softprompt.prefix_tuning(llama, positions="unshifted").card.positions == "unshifted"


def test_dropout_only_while_training(llama):
    prompt = random_prefix(llama, dropout=0.5)
    prompt.train()
    (a,), (b,) = prompt(), prompt()
    assert not torch.equal(a.keys, b.keys)
    prompt.eval()
    (a,), (b,) = prompt(), prompt()
    assert torch.equal(a.keys, b.keys)


def test_settings_build_their_method():
    settings = METHODS["prompt_tuning"].settings(length=3)
    prompt = methods.build_prompt(tiny_backbone("llama"), settings, seed=1)
    assert (prompt.card.method, prompt.length) == ("prompt_tuning", 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [1, 14]}, r"prompt\.layers: got layer 14, expected layers 0-2\. Choose a subset"),
        ({"layers": "last:0"}, r"prompt\.layers: got 'last:0', expected a count from 1 to 3"),
        ({"layers": "first:4"}, r"got 'first:4', expected a count from 1 to 3"),
        ({"layers": "some"}, r"got 'some', expected 'all', 'first:k', 'last:k'"),
        ({"layers": []}, r"prompt\.layers: got \[\]"),
        ({"layers": [True]}, r"prefix_tuning\.layers\.0: got True, expected a whole number"),
        ({"length": 0}, r"prefix_tuning\.length: got 0, expected at least 1, or None"),
        ({"length": 2.5}, r"prefix_tuning\.length: got 2\.5, expected a whole number"),
        ({"sites": ["cross"]}, r"prompt\.sites: got 'cross', expected any of \['decoder'\]"),
        ({"sites": []}, r"prompt\.sites: got no site,"),
        ({"reparameterization": "lstm"}, r"prefix_tuning\.reparameterization: got 'lstm', expected 'mlp'"),
        (
            {"positions": "sideways"},
            r"prefix_tuning\.positions: got 'sideways', expected one of 'shifted' or",
        ),
        ({"dropout": 1.0}, r"prefix_tuning\.dropout: got 1\.0, expected less than 1"),
        ({"initialization": "magic"}, r"method\.initialization: got 'magic', expected 'examples:k'"),
        ({"initialization": "examples:0"}, r"got 'examples:0'"),
        ({"initialization": "examples:3", "examples": [[5]]}, r"'examples:3' with 1 example, expected 3"),
        (
            {"initialization": "examples:1", "examples": [[5, 6]], "length": 9},
            r"prompt\.length: got 9, expected 2, the tokens of 1 example\. Leave length out",
        ),
    ],
)
def test_what_cannot_be_is_refused(llama, options, message):
    with pytest.raises(PromptError, match=message):
        softprompt.prefix_tuning(llama, **options)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "deberta_v3", "gpt2", "llama", "t5"])
def test_p_tuning_v2_is_prefix_tuning_with_the_same_tensors(family):
    backbone = tiny_backbone(family)
    encodes = family not in ("gpt2", "llama")
    prefix = random_prefix(backbone, 4, sites=["encoder"] if encodes else None)
    deep = softprompt.p_tuning_v2(backbone, initialization=prefix)
    assert (deep.card.sites, deep.card.positions) == (prefix.card.sites, prefix.card.positions)
    rows = [ids(1, n, seed=n)[0] for n in (6, 4)]
    with torch.no_grad():
        with backbone.prompted(deep):
            ours = backbone.read(pad(rows, "right"))
        with backbone.prompted(prefix):
            theirs = backbone.read(pad(rows, "right"))
        with backbone.prompted(None):
            bare = backbone.read(pad(rows, "right"))
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, bare, atol=1e-2)


def test_p_tuning_v2_begins_as_the_official_code_does():
    for family, site, positions in (
        ("bert", "encoder", "shifted"),
        ("llama", "decoder", "shifted"),
        ("bart", "encoder", "unshifted"),
    ):
        backbone = tiny_backbone(family)
        prompt = softprompt.p_tuning_v2(backbone)
        card = prompt.card
        assert (prompt.length, card.positions, card.reparameterization) == (20, positions, None)
        assert card.sites == {site: [0, 1, 2]} and card.initialization == "random"
        numbers = torch.cat([tensor.flatten() for tensor in prompt.tensors().values()])
        assert numbers.std().item() == pytest.approx(0.02, rel=0.1)
        assert prompt.n_trained_parameters == prompt.n_stored_parameters == numbers.numel()
    both = softprompt.p_tuning_v2(tiny_backbone("bart"), 2, "last:1", sites=["encoder", "cross"])
    assert both.card.sites == {"encoder": [2], "cross": [2]}
    assert softprompt.p_tuning_v2(tiny_backbone("bert"), positions="unshifted").card.positions == "unshifted"


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_a_head_alone_leaves_the_states_as_they_are_to_the_bit(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.head_only(backbone, head=softprompt.head("token", ["O", "B-x"]))
    assert (prompt.length, prompt.card.placement, prompt.shapes) == (0, "none", ())
    assert prompt.n_trained_parameters == prompt.n_stored_parameters == 2 * 32 + 2
    inputs = pad([ids(1, 6)[0], ids(1, 4)[0]], "right")
    with torch.no_grad():
        with backbone.prompted(prompt):
            ours = backbone.read(inputs)
        with backbone.prompted(None):
            bare = backbone.read(inputs)
        body = backbone.model.get_encoder() if family == "t5" else backbone.model.base_model
        # GPT-2 numbers positions along the row; padding on the right changes none that is read.
        plain = body(**inputs).last_hidden_state
    assert torch.equal(ours, bare)
    assert torch.equal(ours[inputs["attention_mask"] == 1], plain[inputs["attention_mask"] == 1])


def test_fine_tuning_begins_at_the_backbone_and_trains_what_it_says():
    backbone = tiny_backbone("bert")
    every = softprompt.fine_tuning(backbone)
    biases = softprompt.fine_tuning(backbone, tune="bitfit")
    assert every.weights.keys() == dict(backbone.model.named_parameters()).keys()
    assert biases.weights and all(name.endswith("bias") for name in biases.weights)
    for prompt in (every, biases):
        # Copies: what is trained is never the backbone's own tensor.
        assert prompt.n_trained_parameters == sum(w.numel() for w in prompt.weights.values()) > 0
        own = {parameter.data_ptr() for parameter in backbone.model.parameters()}
        assert all(w.requires_grad and w.data_ptr() not in own for w in prompt.weights.values())
    inputs = pad([ids(1, 6)[0]], "right")
    with torch.no_grad():
        with backbone.prompted(None):
            bare = backbone.read(inputs)
        for prompt in (every, biases):
            with backbone.prompted(prompt):
                assert torch.equal(backbone.read(inputs), bare)
    with backbone.prompted(biases):
        backbone.read(inputs).square().sum().backward()
    reached = {name for name, weight in biases.weights.items() if weight.grad is not None}
    assert set(biases.weights) - reached == {"pooler.dense.bias"}
    with pytest.raises(PromptError, match=r"fine_tuning\.tune: got 'heads', expected 'all', 'bitfit'"):
        softprompt.fine_tuning(backbone, tune="heads")
    with pytest.raises(PromptError, match=r"which has no such tensors, expected 'all' or another"):
        softprompt.fine_tuning(tiny_backbone("llama"), tune="bitfit")


def test_every_method_is_built_with_the_settings_head():
    for name in METHODS:
        template = {
            "p_tuning": "{text} [soft*2] [blank]",
            "null_prompt": "{text} [blank]",
            "in_context": "{text} [blank]",
        }.get(name)
        visual = name == "visual_prompt_tuning"
        backbone = tiny_vision("vit") if visual else tiny_backbone("bert")
        head = softprompt.head("picture", ["a", "b"]) if visual else softprompt.head("value")
        prompt = methods.build_prompt(backbone, METHODS[name].settings(), 3, [[5, 6]] * 4, head, template)
        assert prompt.card.method == name
        assert prompt.card.head is not None and prompt.card.head.kind == head.kind


def test_a_text_needs_a_tokenizer(llama):
    with pytest.raises(BackboneError, match=r"backbone\.tokenizer: got a backbone without a tokenizer"):
        softprompt.prefix_tuning(llama, initialization="text: summarize")
