"""Initial states of recurrent layers equal the recurrences written as loops, or are refused by name.

Every family of transformers against a cache that was filled by hand: `tests/zoo`.
"""

import copy
from functools import partial, wraps
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM

import softprompt
from softprompt.errors import BackboneError, PromptError
from zoo import causal, outcomes
from zoo.causal import padded, rows_of_text, soft, soft_by_hand, states, states_by_hand

TEXTS = rows_of_text()


def mamba_by_hand(mixer: Any, state: Tensor, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    """Mamba's selective scan as a loop over tokens, from a state, `[inner, state]`."""
    x, gate = mixer.in_proj(hidden_states).chunk(2, dim=-1)
    kernel = mixer.conv_kernel_size
    x = F.conv1d(
        F.pad(x.transpose(1, 2), (kernel - 1, 0)), mixer.conv1d.weight, mixer.conv1d.bias, groups=x.shape[-1]
    )
    x = F.silu(x).transpose(1, 2)
    rank, n = mixer.time_step_rank, mixer.ssm_state_size
    step, b, c = mixer.x_proj(x).split([rank, n, n], dim=-1)
    step, a = F.softplus(mixer.dt_proj(step)), -mixer.A_log.exp()
    outputs = []
    for t in range(x.shape[1]):
        now = step[:, t, :, None]
        state = (now * a).exp() * state + now * b[:, t, None] * x[:, t, :, None]
        outputs.append((state * c[:, t, None]).sum(-1) + mixer.D * x[:, t])
    return mixer.out_proj(torch.stack(outputs, dim=1) * F.silu(gate))


def delta_rule_by_hand(mixer: Any, state: Tensor, hidden_states: Tensor, **kwargs: Any) -> Tensor:
    """Qwen3-Next's gated delta rule as a loop over tokens, from a state, `[head, key, value]`."""
    shape = hidden_states.shape[:2]
    given = mixer.fix_query_key_value_ordering(
        mixer.in_proj_qkvz(hidden_states), mixer.in_proj_ba(hidden_states)
    )
    query, key, value, z, b, a = given
    mixed = torch.cat([part.reshape(*shape, -1) for part in (query, key, value)], dim=-1).transpose(1, 2)
    mixed = F.pad(mixed, (mixer.conv_kernel_size - 1, 0))
    mixed = F.silu(F.conv1d(mixed, mixer.conv1d.weight, mixer.conv1d.bias, groups=mixed.shape[1]))
    query, key, value = mixed.transpose(1, 2).split([mixer.key_dim, mixer.key_dim, mixer.value_dim], dim=-1)
    each = mixer.num_v_heads // mixer.num_k_heads

    def unit(vectors: Tensor) -> Tensor:
        vectors = vectors.reshape(*shape, -1, mixer.head_k_dim).repeat_interleave(each, dim=2)
        return vectors * (vectors.square().sum(-1, keepdim=True) + 1e-6).rsqrt()

    query, key = unit(query) / mixer.head_k_dim**0.5, unit(key)
    value = value.reshape(*shape, -1, mixer.head_v_dim)
    fading = (-mixer.A_log.exp() * F.softplus(a + mixer.dt_bias)).exp()
    outputs = []
    for t in range(shape[1]):
        state = state * fading[:, t, :, None, None]
        known = (state * key[:, t, ..., None]).sum(-2)
        change = (value[:, t] - known) * b[:, t, :, None].sigmoid()
        state = state + key[:, t, ..., None] * change[..., None, :]
        outputs.append((state * query[:, t, ..., None]).sum(-2))
    output = torch.stack(outputs, dim=1)
    output = mixer.norm(output.reshape(-1, mixer.head_v_dim), z.reshape(-1, mixer.head_v_dim))
    return mixer.out_proj(output.reshape(*shape, -1))


LOOPS = {
    "mamba": ("MambaMixer", mamba_by_hand),
    "qwen3_next": ("Qwen3NextGatedDeltaNet", delta_rule_by_hand),
}


def by_hand(family: str, model: Any, prompt: Any, ids: Tensor) -> Tensor:
    """Logits of a copy whose recurrent layers are loops, `[seq, vocab]`."""
    name, loop = LOOPS[family]
    model = copy.deepcopy(model)
    (block,) = prompt()
    layers: list[Any] = [module for module in model.modules() if type(module).__name__ == name]
    for layer, state in zip(layers, block.states, strict=True):
        layer.forward = partial(loop, layer, state)
    return model(input_ids=ids[None], use_cache=False).logits[0]


def under(backbone: Any, prompt: Any, ids: Tensor) -> Tensor:
    with backbone.prompted(prompt):
        return backbone.model(input_ids=ids[None], use_cache=False).logits[0]


@pytest.mark.parametrize("family", LOOPS)
def test_logits_and_gradients_are_those_of_the_loop(family):
    model = outcomes.built(causal.KIND, family)
    backbone = softprompt.load_backbone(model)
    prompt = states(backbone)
    came, expected = under(backbone, prompt, TEXTS[0]), by_hand(family, model, prompt, TEXTS[0])
    torch.testing.assert_close(came, expected, atol=1e-4, rtol=1e-4)
    weights = torch.randn(came.shape, generator=torch.Generator().manual_seed(1))
    parameters = list(prompt.parameters())
    (one,) = torch.autograd.grad((came * weights).sum(), parameters)
    (other,) = torch.autograd.grad((expected * weights).sum(), parameters)
    assert float(other.abs().max()) > 1e-3
    torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_with_states_soft_tokens_and_no_prompt(side):
    model = outcomes.built(causal.KIND, "qwen3_next")
    backbone = softprompt.load_backbone(model)
    one, tokens = states(backbone), soft(backbone)
    ids, mask, spans = padded(TEXTS, side)
    with torch.no_grad():
        expected = [
            by_hand("qwen3_next", model, one, TEXTS[0]),
            soft_by_hand(copy.deepcopy(model), tokens, TEXTS[1]),
            model(input_ids=TEXTS[2][None]).logits[0],
        ]
        with backbone.prompted([one, tokens, None]):
            came = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    for row, (span, wanted) in enumerate(zip(spans, expected, strict=True)):
        torch.testing.assert_close(came[row, span], wanted, atol=1e-4, rtol=1e-4)


def test_zeros_are_the_bare_model_and_a_file_holds_the_states(tmp_path):
    model = outcomes.built(causal.KIND, "mamba")
    backbone = softprompt.load_backbone(model)
    prompt = softprompt.prefix_tuning(backbone, sites="recurrent")
    with torch.no_grad():
        bare = model(input_ids=TEXTS[0][None]).logits[0]
        assert torch.allclose(under(backbone, prompt, TEXTS[0]), bare, atol=1e-5)
    prompt = states(backbone)
    prompt.save(tmp_path)
    again = softprompt.load_prompt(tmp_path, backbone)
    assert again.card.placement == "states" and again.card.sites == {"recurrent": [0, 1, 2, 3]}
    assert {k: tuple(v.shape) for k, v in again.tensors().items()} == {"recurrent.0-3.states": (4, 48, 8)}
    with torch.no_grad():
        assert torch.equal(under(backbone, again, TEXTS[0]), under(backbone, prompt, TEXTS[0]))


def test_a_start_at_tokens_is_the_state_behind_them():
    model = outcomes.built(causal.KIND, "qwen3_next")
    backbone = softprompt.load_backbone(model)
    ids = TEXTS[1].tolist()
    prompt = softprompt.prefix_tuning(
        backbone, sites=["recurrent"], initialization="examples:1", examples=[ids]
    )
    with torch.no_grad():
        cache = model(input_ids=TEXTS[1][None], use_cache=True).past_key_values
        (block,) = prompt()
    expected = torch.stack([cache.layers[layer].recurrent_states[0][0] for layer in block.layers])
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(block.states, expected)


def test_recurrent_layers_are_found_inside_a_session_too():
    model = outcomes.built(causal.KIND, "qwen3_next")
    backbone = softprompt.load_backbone(model)
    with backbone.prompted(soft(backbone)):
        prompt = softprompt.prefix_tuning(backbone, sites="recurrent", initialization="vocabulary")
    assert prompt.card.sites == {"recurrent": [0, 2]}


def test_gradients_pass_through_a_cache():
    model = outcomes.built(causal.KIND, "qwen3_next")
    backbone = softprompt.load_backbone(model)
    prompt = states(backbone)
    text, parameters = TEXTS[0][None], list(prompt.parameters())
    with backbone.prompted(prompt):
        first = model(input_ids=text[:, :5], use_cache=True)
        second = model(input_ids=text[:, 5:], past_key_values=first.past_key_values, use_cache=True)
        loss = first.logits.square().sum() + second.logits.square().sum()
        (came,) = torch.autograd.grad(loss, parameters)
    whole = by_hand("qwen3_next", model, prompt, TEXTS[0]).square().sum()
    (expected,) = torch.autograd.grad(whole, parameters)
    torch.testing.assert_close(came, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


def test_checkpointed_layers_and_left_padding_give_the_same_gradients():
    model = outcomes.built(causal.KIND, "qwen3_next")
    backbone = softprompt.load_backbone(model)
    prompt = states(backbone)
    ids, mask, _ = padded(TEXTS, "left")
    found = []
    for checkpointing in (False, True):
        with backbone.training_mode(False, checkpointing), backbone.prompted(prompt):
            loss = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -1].square().sum()
            found += torch.autograd.grad(loss, list(prompt.parameters()))
    torch.testing.assert_close(found[0], found[1])
    assert float(found[0].abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("family", "why"),
    [("llama", "no recurrent state"), ("lfm2", "no recurrent state"), ("t5", "an encoder and a decoder")],
)
def test_models_without_such_layers_are_refused(family, why):
    if family == "t5":
        from support.tiny import tiny_backbone

        backbone = tiny_backbone("t5")
    else:
        backbone = softprompt.load_backbone(outcomes.built(causal.KIND, family))
    with pytest.raises(BackboneError, match=why):
        softprompt.prefix_tuning(backbone, sites="recurrent")


def _without_the_state(forward: Any, hidden_states: Tensor, cache_params: Any = None, **kwargs: Any) -> Any:
    output = forward(hidden_states, cache_params=None, **kwargs)
    if cache_params is not None:
        forward(hidden_states, cache_params=cache_params, **kwargs)
    return output


def _without_gradients(forward: Any, hidden_states: Tensor, **kwargs: Any) -> Any:
    with torch.no_grad():
        return forward(hidden_states, **kwargs)


@pytest.mark.parametrize(
    ("instead", "why"),
    [(_without_the_state, "does not go on"), (_without_gradients, "passes no gradient")],
)
def test_layers_that_ignore_a_state_or_its_gradient_are_refused(instead, why, monkeypatch):
    model = outcomes.built(causal.KIND, "qwen3_next")
    kind = next(type(m) for m in model.modules() if type(m).__name__ == "Qwen3NextGatedDeltaNet")
    forward: Any = kind.forward

    @wraps(forward)
    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        return instead(partial(forward, self), *args, **kwargs)

    monkeypatch.setattr(kind, "forward", changed)
    backbone = softprompt.load_backbone(model)
    with pytest.raises(BackboneError, match=why):
        softprompt.prefix_tuning(backbone, sites="recurrent")


def test_caches_that_do_not_hold_the_states_are_refused():
    model = outcomes.built(causal.KIND, "mamba")
    backbone = softprompt.load_backbone(model)
    prompt = states(backbone)
    text = TEXTS[0][None]
    with torch.no_grad():
        bare = model(input_ids=text[:, :5], use_cache=True).cache_params
        with backbone.prompted(prompt):
            with pytest.raises(BackboneError, match="outside of this session"):
                model(input_ids=text[:, 5:6], cache_params=bare, use_cache=True)
            own = model(input_ids=text[:, :5], use_cache=True).cache_params
            # Mamba's layers would look at no state in a pass of several tokens.
            with pytest.raises(BackboneError, match="passes of one token alone"):
                model(input_ids=text[:, 5:], cache_params=own, use_cache=True)


def test_packed_texts_and_rows_of_padding_alone_are_refused():
    model = outcomes.built(causal.KIND, "qwen3_next")
    backbone = softprompt.load_backbone(model)
    ids, mask, _ = padded(TEXTS, "left")
    ends = torch.tensor([0, 4, 9], dtype=torch.int32)
    with torch.no_grad(), backbone.prompted(states(backbone)):
        with pytest.raises(BackboneError, match="several texts in one row"):
            model(input_ids=TEXTS[0][None], cu_seq_lens_q=ends, cu_seq_lens_k=ends, use_cache=False)
        with pytest.raises(BackboneError, match="padding alone"):
            model(input_ids=ids[:, :3], attention_mask=mask[:, :3], use_cache=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 3}, "length: got 3"),
        ({"positions": "shifted"}, "take no position"),
        ({"sites": ["decoder", "recurrent"]}, "'recurrent' alone"),
        ({"layers": [1]}, "got layer 1, expected layers 0\\+2"),
    ],
)
def test_what_states_have_not_is_refused(options, message):
    backbone = softprompt.load_backbone(outcomes.built(causal.KIND, "qwen3_next"))
    with pytest.raises(PromptError, match=message):
        softprompt.prefix_tuning(backbone, **{"sites": "recurrent", **options})


def test_recipes_say_the_site_with_or_without_a_list():
    settings: Any = softprompt.prompts.METHODS["prefix_tuning"].settings
    assert settings(sites="recurrent").sites == settings(sites=["recurrent"]).sites == ["recurrent"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_layer_that_looks_at_a_state_token_by_token_alone_does_so_in_half_precision(dtype):
    # Jamba's layers read a whole text from nothing: beside a large state that is half an output, no rounding.
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(outcomes.built(causal.KIND, "jamba").config).eval().to(dtype)
    plain = copy.deepcopy(model).float()
    backbone = softprompt.load_backbone(model)
    prompt = states(backbone)
    with torch.no_grad():
        came, expected = under(backbone, prompt, TEXTS[0]), states_by_hand(plain, prompt, TEXTS[0])
        bare, rounded = (m(input_ids=TEXTS[0][None], use_cache=False).logits[0] for m in (plain, model))
    rounding = float((rounded - bare).norm())
    assert float((expected - bare).norm()) > 2 * rounding
    assert float((came - expected).norm()) <= 1.5 * rounding
