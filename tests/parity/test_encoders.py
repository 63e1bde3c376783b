"""Prompts in encoders, family by family: what `read` gives is what it says."""

import copy
from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutput

import softprompt
from softprompt.backbones.attention import Recorder, answered_by, watching
from softprompt.backbones.inspection import intercepted
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError
from support.prompts import bare_prompt, close, random_prefix, read_rows, soft_tokens, text_for
from support.tiny import ENCODER_DECODERS, ENCODERS, GENERATORS, WINDOW, ids, tiny_backbone, tiny_model

ALL = pytest.mark.parametrize("family", ENCODERS)
READERS = pytest.mark.parametrize("family", ENCODERS + GENERATORS)
ALBERTS = pytest.mark.parametrize("family", ["albert", "albert_groups"])
NOT_CHECKPOINTED = ("albert", "albert_groups", "mpnet")
SELF_COMPUTED = ("mpnet", "deberta", "deberta_v2", "deberta_v3")


@ALL
def test_leaving_restores_the_bare_backbone_bit_for_bit(family):
    backbone = tiny_backbone(family)
    inputs = text_for(backbone)
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    attributes = {m: set(vars(m)) for m in backbone.model.modules()}
    bare = backbone.model(**inputs).last_hidden_state
    for prompt in (random_prefix(backbone), soft_tokens(backbone)):
        with backbone.prompted(prompt):
            assert not torch.allclose(backbone.model(**inputs).last_hidden_state, bare, atol=1e-2)
        assert torch.equal(backbone.model(**inputs).last_hidden_state, bare)
        with pytest.raises(RuntimeError, match="from the user"), backbone.prompted(prompt):
            raise RuntimeError("from the user")
        assert torch.equal(backbone.model(**inputs).last_hidden_state, bare)
    assert {m: set(vars(m)) for m in backbone.model.modules()} == attributes
    assert all(torch.equal(value, before[name]) for name, value in backbone.model.state_dict().items())


@READERS
def test_without_a_placement_the_backbone_is_its_own_bit_for_bit(family):
    backbone = tiny_backbone(family)
    inputs = text_for(backbone)
    reader = backbone.model.get_encoder() if family in ENCODER_DECODERS else backbone.model.base_model
    bare = reader(**inputs).last_hidden_state
    assert torch.equal(backbone.read(inputs), bare)
    assert bare.shape[-1] == backbone.state_size
    for prompt in (None, bare_prompt(backbone)):
        with backbone.prompted(prompt):
            assert torch.equal(backbone.read(inputs), bare)


@READERS
@pytest.mark.parametrize("kind", ["none", "bare", "shifted", "unshifted", "soft tokens"])
def test_padding_on_either_side_changes_nothing(family, kind):
    backbone = tiny_backbone(family)
    prompt = {
        "none": lambda: None,
        "bare": lambda: bare_prompt(backbone),
        "shifted": lambda: random_prefix(backbone, positions="shifted"),
        "unshifted": lambda: random_prefix(backbone, positions="unshifted"),
        "soft tokens": lambda: soft_tokens(backbone),
    }[kind]()
    rows = [ids(1, n, n)[0] for n in (3, 9, 6)]
    with backbone.prompted(prompt):
        alone = [backbone.read({"input_ids": row[None]})[0] for row in rows]
        for side in ("left", "right"):
            for ours, own in zip(read_rows(backbone, rows, side), alone, strict=True):
                close(ours, own)
    for row, own in zip(rows, alone, strict=True):  # and outside, `read` counts positions too
        if kind == "none":
            close(backbone.read({"input_ids": row[None]})[0], own)


@READERS
@pytest.mark.parametrize("side", ["left", "right"])
def test_mixed_batch_is_one_run_per_row(family, side):
    backbone = tiny_backbone(family)
    prompts = [
        random_prefix(backbone, 4, seed=1),
        random_prefix(backbone, 7, seed=2, layers="last:2", positions="unshifted"),
        soft_tokens(backbone, 3),
        soft_tokens(backbone, 2, seed=6),
        bare_prompt(backbone),
        None,
    ]
    which = [0, 1, 2, 5, 3, 4, 0, 2]
    rows = [ids(1, n, n)[0] for n in (3, 5, 6, 4, 3, 6, 5, 3)]
    with backbone.prompted(prompts, rows=which):
        mixed = read_rows(backbone, rows, side)
    for i, row in enumerate(rows):
        with backbone.prompted(prompts[which[i]]):
            close(mixed[i], backbone.read({"input_ids": row[None]})[0])


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_prefix_equals_the_past_key_values_route(family):
    backbone = tiny_backbone(family)
    prefix = random_prefix(backbone, 5, positions="shifted")
    inputs = {"input_ids": text_for(backbone)["input_ids"]}
    (block,) = prefix()
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(block.keys, block.values, strict=True)):
        cache.update(keys.expand(2, -1, -1, -1), values.expand(2, -1, -1, -1), layer)
    positions = torch.arange(5, 12).expand(2, -1) + backbone.spec.first_position
    classic = backbone.model(**inputs, past_key_values=cache, position_ids=positions).last_hidden_state
    with backbone.prompted(prefix):
        close(backbone.read(inputs), classic)


@ALL
def test_the_attention_is_the_one_written_out_by_hand(family):
    backbone = tiny_backbone(family)
    prefix = random_prefix(backbone, 4)
    (block,) = prefix()
    rows = [ids(1, n, n)[0] for n in (4, 7)]
    module: Any = backbone.sites[0].module
    seen = []

    def watch(call):
        def stock(*args, **kwargs):
            seen.append((call, call.stock(*args, **kwargs)))
            return seen[-1][1]

        return answered_by(call, stock)

    with backbone.prompted(prefix), watching(module, watch):
        read_rows(backbone, rows, "right")
    call, (out, _) = seen[0]
    keys = torch.cat([block.keys[0].expand(2, -1, -1, -1), call.key], 2)
    values = torch.cat([block.values[0].expand(2, -1, -1, -1), call.value], 2)
    scores = call.query @ keys.transpose(2, 3) * call.kwargs["scaling"]
    bias = call.kwargs.get("position_bias")
    assert (bias is not None) == (family in SELF_COMPUTED)
    if bias is not None:
        scores[..., 4:] += bias
    if getattr(module, "head_logits_proj", None) is not None:
        scores = torch.einsum("bhqk,gh->bgqk", scores, module.head_logits_proj.weight)
    scores[0, :, :, 4 + 4 :] = -torch.inf  # the first row's padding
    weights = scores.softmax(-1)
    if getattr(module, "head_weights_proj", None) is not None:
        weights = torch.einsum("bhqk,gh->bgqk", weights, module.head_weights_proj.weight)
    by_hand = (weights @ values).transpose(1, 2)
    close(out[0, :4], by_hand[0, :4])
    close(out[1], by_hand[1])


@pytest.mark.parametrize("family", SELF_COMPUTED)
def test_our_forward_of_self_computed_attention_is_the_family_s(family):
    backbone = tiny_backbone(family)
    rows = [ids(1, n, n)[0] for n in (4, 7)]
    own = read_rows(backbone, rows, "right")
    recorder = Recorder()
    with intercepted(backbone.model.modules(), recorder):
        ours = read_rows(backbone, rows, "right")
    assert all(map(torch.equal, read_rows(backbone, rows, "right"), own))  # not intercepted: not replaced
    assert len(recorder.calls) == len(backbone.sites)
    for a, b in zip(ours, own, strict=True):
        close(a, b)


@ALL
def test_attention_weights_have_the_prompt_s_columns(family):
    backbone = tiny_backbone(family, attention="eager")
    with backbone.prompted(random_prefix(backbone, 4)):
        weights = backbone.model(**text_for(backbone), output_attentions=True).attentions
    assert {w.shape[2:] for w in weights} == {(7, 11)}
    if family != "deberta":  # its talking heads mix weights after the softmax
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 4, 7))


@ALL
def test_unshifted_last_layers_leave_the_lower_ones_bit_identical(family):
    backbone = tiny_backbone(family)
    depth = len(backbone.attentions)
    prefix = random_prefix(backbone, layers="last:1", positions="unshifted")
    inputs = text_for(backbone)
    bare = backbone.model(**inputs, output_hidden_states=True).hidden_states
    with backbone.prompted(prefix):
        ours = backbone.model(**inputs, output_hidden_states=True).hidden_states
    assert len(bare) == depth + 1
    assert all(torch.equal(a, b) for a, b in zip(bare[:depth], ours[:depth], strict=True))
    assert not torch.allclose(bare[depth], ours[depth], atol=1e-2)


def unshared(family: str):
    """The same network with a module of its own for every depth."""
    model: Any = tiny_model(family)
    config = copy.deepcopy(model.config)
    shared = model.encoder.albert_layer_groups
    rounds = config.num_hidden_layers // config.num_hidden_groups
    config.num_hidden_groups = config.num_hidden_layers
    other: Any = type(model)(config).eval()
    groups = [copy.deepcopy(group) for group in shared for _ in range(rounds)]
    other.encoder.albert_layer_groups = torch.nn.ModuleList(groups)
    state = {k: v for k, v in model.state_dict().items() if "albert_layer_groups" not in k}
    assert not other.load_state_dict(state, strict=False).unexpected_keys
    return load_backbone(other)


@ALBERTS
def test_shared_layers_have_a_prompt_of_their_own_at_every_depth(family):
    backbone, other = tiny_backbone(family), unshared(family)
    depth = len(backbone.attentions)
    assert len({id(a.module) for a in backbone.sites}) < depth == len(other.attentions)
    assert len({id(a.module) for a in other.sites}) == depth
    inputs = text_for(backbone)
    with backbone.prompted(random_prefix(backbone)) as b, other.prompted(random_prefix(other)) as o:
        whole = b.read(inputs)
        close(whole, o.read(inputs))
        close(b.read(inputs), whole)  # a second pass counts from the start
    for layer in range(depth):
        prefix = random_prefix(backbone)
        (block,) = prefix()
        with torch.no_grad():
            block.keys[layer] += 1
        with backbone.prompted(prefix):
            assert not torch.allclose(backbone.read(inputs), whole, atol=1e-4)
    some = {"layers": [1, depth - 1], "positions": "unshifted"}
    with backbone.prompted(random_prefix(backbone, **some)), other.prompted(random_prefix(other, **some)):
        close(backbone.read(inputs), other.read(inputs))
    for a, b in zip(backbone.observe([3, 4, 5]), other.observe([3, 4, 5]), strict=True):
        assert a.layers == b.layers == tuple(range(depth))
        close(a.keys, b.keys)
        close(a.values, b.values)
        assert not torch.allclose(a.keys[0], a.keys[1], atol=1e-2)


def test_a_layer_on_its_own_is_refused():
    backbone = tiny_backbone("albert")
    states = backbone.read(text_for(backbone))
    layers: Any = backbone.model.encoder
    with backbone.prompted(random_prefix(backbone)):
        backbone.read(text_for(backbone))
        with pytest.raises(
            BackboneError, match="a call of a layer of AlbertModel on its own, which no prompt reaches"
        ):
            layers.albert_layer_groups[0](states)


def test_a_shared_layer_that_runs_once_more_than_its_layers_is_refused():
    backbone = tiny_backbone("albert")
    encoder: Any = backbone.model.encoder
    stock = encoder.forward

    def once_more(states, *args, **kwargs):
        """Somebody's own way through the layers: the shared one runs a fourth time."""
        states = stock(states, *args, **kwargs).last_hidden_state
        return BaseModelOutput(encoder.albert_layer_groups[0](states, *args, **kwargs))

    encoder.forward = once_more
    with backbone.prompted(random_prefix(backbone)):
        with pytest.raises(BackboneError) as caught:
            backbone.read(text_for(backbone))
        assert str(caught.value) == (
            "prompted: got an AlbertAttention that ran 4 times in one pass, expected 3 runs, one for each "
            "layer that shares it. Call the model itself, not its layers."
        )
        encoder.forward = stock
        whole = backbone.read(text_for(backbone))  # what was refused counts for nothing
    with backbone.prompted(random_prefix(backbone)):
        assert torch.equal(backbone.read(text_for(backbone)), whole)


def test_checkpointing_of_shared_layers_is_refused():
    backbone = tiny_backbone("albert")
    layers: Any = backbone.model.encoder
    layers.train()
    layers.gradient_checkpointing = True  # transformers itself does not offer it for this family
    with (
        backbone.prompted(random_prefix(backbone)),
        pytest.raises(BackboneError, match="layers that share one module"),
    ):
        backbone.read(text_for(backbone))


@ALL
def test_the_start_from_text_is_the_text_s_own_keys_and_values(family):
    backbone = tiny_backbone(family)
    example = [5, 9, 7]
    prefix = softprompt.prefix_tuning(
        backbone, initialization="examples:1", examples=[example], reparameterization=None
    )
    (block,), (own,) = prefix(), backbone.observe(example)
    assert torch.equal(block.keys, own.keys)
    assert torch.equal(block.values, own.values)


@ALL
@pytest.mark.parametrize("kind", ["prefix", "soft tokens"])
def test_checkpointing_has_the_same_gradients(family, kind):
    gradients = []
    for checkpointing in (False, True):
        backbone = tiny_backbone(family)
        prompt = random_prefix(backbone) if kind == "prefix" else soft_tokens(backbone)
        if checkpointing and family in NOT_CHECKPOINTED:
            with (
                pytest.raises(BackboneError, match="whose layers have none"),
                backbone.training_mode(gradient_checkpointing=True),
            ):
                pass
            return
        with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
            losses = [backbone.read({"input_ids": ids(2, 6, seed)}).square().mean() for seed in (0, 1)]
            for loss in losses:
                loss.backward()
        gradients.append([p.grad.clone() for p in prompt.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert a.abs().max() > 0
        close(a, b)


@pytest.mark.parametrize("family", [family for family in ENCODERS if family not in SELF_COMPUTED])
@pytest.mark.parametrize("lengths", [(3, 9), (6, 6)])
def test_eager_is_sdpa(family, lengths):
    both = []
    for kernel in ("sdpa", "eager"):
        backbone = tiny_backbone(family, attention=kernel)
        rows = [ids(1, n, n)[0] for n in lengths]
        with backbone.prompted([random_prefix(backbone, 4), random_prefix(backbone, 2, seed=2)]):
            both.append(torch.cat(read_rows(backbone, rows, "right")))
    close(*both)


@ALL
def test_prompts_trained_together_are_prompts_trained_alone(family):
    backbone = tiny_backbone(family)

    def prompts():
        return [
            random_prefix(backbone, 4),
            soft_tokens(backbone),
            random_prefix(backbone, 2, layers="last:2"),
        ]

    x = {"input_ids": ids(5, 6)}
    which = [2, 0, 1, 1, 0]
    together = prompts()
    with backbone.prompted(together, rows=which):
        backbone.read(x)[:, 0].square().sum().backward()
    for number, alone in enumerate(prompts()):
        rows = [i for i, w in enumerate(which) if w == number]
        with backbone.prompted(alone):
            backbone.read({"input_ids": x["input_ids"][rows]})[:, 0].square().sum().backward()
        for ours, own in zip(together[number].parameters(), alone.parameters(), strict=True):
            assert own.grad.abs().max() > 0
            close(ours.grad, own.grad)


def test_past_the_local_window_the_prefix_still_acts():
    backbone = tiny_backbone("modernbert")
    local = [i for i, kind in enumerate(backbone.model.config.layer_types) if kind == "sliding_attention"]
    assert local
    x = ids(1, 8 * WINDOW)
    bare = backbone.read({"input_ids": x})
    with backbone.prompted(random_prefix(backbone, layers=local[-1:], positions="unshifted")):
        ours = backbone.read({"input_ids": x})
    assert ((ours - bare).abs().amax(-1) > 1e-2).all()


def test_a_text_beyond_the_positions_is_refused():
    backbone = tiny_backbone("roberta")
    message = r"120 tokens of text and a prompt of 10, expected at most 126 tokens together"
    for prompt in (random_prefix(backbone, 10, positions="shifted"), soft_tokens(backbone, 10)):
        with backbone.prompted(prompt), pytest.raises(BackboneError, match=message):
            backbone.read({"input_ids": ids(1, 120)})
        with backbone.prompted(prompt):
            assert backbone.read({"input_ids": ids(1, 116)}).shape[1] == 116


@pytest.mark.parametrize("family", ["albert", "deberta_v2", "mpnet"])
def test_files_keep_every_depth(family, tmp_path):
    backbone = tiny_backbone(family)
    prefix = random_prefix(backbone)
    prefix.save(tmp_path / "prompt")
    with backbone.prompted(prefix):
        ours = backbone.read(text_for(backbone))
    with backbone.prompted(softprompt.load_prompt(tmp_path / "prompt", backbone)):
        assert torch.equal(backbone.read(text_for(backbone)), ours)
