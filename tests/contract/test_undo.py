"""What others put on the model is honoured or refused, and undoing takes away only what was ours."""

import copy
import pickle
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DeepseekV32Config,
    DeepseekV32ForCausalLM,
    GlmMoeDsaConfig,
    LlamaForCausalLM,
)
from transformers import GlmMoeDsaForCausalLM as GlmForCausalLM

import softprompt
from softprompt.errors import BackboneError
from support.modules import standing_on
from support.prompts import close, random_prefix
from support.references import METHODS, logits_by_hand, make
from support.tiny import ids, tiny_backbone, tiny_model


def counting(stock: Any, calls: list[int]) -> Any:
    """Somebody's own way to call, which counts how often it is taken."""

    def mine(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return stock(*args, **kwargs)

    return mine


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    before, config = standing_on(backbone.model), backbone.model.config.to_dict()
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        assert backbone.model.config.to_dict() == config
        prompted(x)
        prompted.generate(x, max_new_tokens=2)
        assert backbone.model.config.to_dict() == config
    after = standing_on(backbone.model)
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before if key.endswith(("forward", "generate", "config")))
    assert not any(key.endswith((".forward", ".generate")) for key in after)


@pytest.mark.parametrize("name", ["generate", "forward"])
def test_what_somebody_put_on_before_is_used_and_stays(name):
    backbone = tiny_backbone("llama")
    prompt, x, calls = make(backbone, "prefix"), ids(2, 5), []
    mine = counting(getattr(backbone.model, name), calls)
    setattr(backbone.model, name, mine)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        if name == "forward":
            close(prompted(x).logits, logits_by_hand(prompt, x))
        else:
            prompted.generate(x, max_new_tokens=2)
    assert calls
    assert vars(backbone.model)[name] is mine


@pytest.mark.parametrize("name", ["generate", "forward"])
def test_what_somebody_puts_on_inside_is_used_and_stays(name):
    backbone = tiny_backbone("llama")
    prompt, x, calls = make(backbone, "prefix"), ids(2, 5), []
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        mine = counting(getattr(backbone.model, name), calls)
        setattr(backbone.model, name, mine)
        close(prompted(x).logits, logits_by_hand(prompt, x))
        prompted.generate(x, max_new_tokens=2)
    assert calls
    assert vars(backbone.model)[name] is mine
    with torch.no_grad():
        close(backbone.model(x).logits, logits_by_hand(None, x))
        with backbone.prompted(prompt) as prompted:
            close(prompted(x).logits, logits_by_hand(prompt, x))
    assert vars(backbone.model)[name] is mine


def test_hooks_of_others_fire_and_stay():
    backbone = tiny_backbone("llama")
    prompt, x, fired = make(backbone, "prefix"), ids(2, 5), []
    outside = backbone.model.model.layers[1].register_forward_hook(lambda *_: fired.append("outside"))
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        inside = backbone.model.register_forward_hook(lambda *_: fired.append("inside"))
        close(prompted(x).logits, logits_by_hand(prompt, x))
    assert fired == ["outside", "inside"]
    with torch.no_grad():
        backbone.model(x)
    assert fired == ["outside", "inside"] * 2
    outside.remove()
    inside.remove()


@pytest.mark.parametrize("method", METHODS)
def test_copies_made_inside_are_bare_models(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        prompted(x)
        copies = [copy.deepcopy(backbone.model), pickle.loads(pickle.dumps(backbone.model))]
        for copied in copies:
            close(copied(x).logits, logits_by_hand(None, x))
            text = copied.generate(x, max_new_tokens=2, do_sample=False)
            assert text.shape[1] > x.shape[1]
        other = softprompt.load_backbone(copies[0])
        with other.prompted(make(other, "soft")) as theirs:
            close(theirs(x).logits, logits_by_hand(make(other, "soft"), x))
        close(prompted(x).logits, logits_by_hand(prompt, x))
    with torch.no_grad():
        close(copies[0](x).logits, logits_by_hand(None, x))


@pytest.mark.parametrize("method", METHODS)
def test_a_model_saved_inside_is_the_bare_one(method, tmp_path):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        prompted(x)
        backbone.model.save_pretrained(tmp_path)
        assert backbone.model.state_dict().keys() == tiny_model("llama").state_dict().keys()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(x).logits, logits_by_hand(None, x))
    assert loaded.config._attn_implementation == "sdpa"


def test_another_kernel_chosen_inside():
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, "prefix"), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        close(prompted(x).logits, logits_by_hand(prompt, x))
        backbone.model.set_attn_implementation("eager")
        output = prompted(x, output_attentions=True)
        close(output.logits, logits_by_hand(prompt, x))
        assert output.attentions[0].shape[-1] == 5 + prompt.length  # eager shows its weights
        backbone.model.config._attn_implementation_internal = "flash_attention_2"
        with pytest.raises(BackboneError, match=r"'flash_attention_2', expected 'sdpa' or 'eager'"):
            prompted(x)
        backbone.model.set_attn_implementation("sdpa")
        close(prompted(x).logits, logits_by_hand(prompt, x))


_SPARSE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 8,
    "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "index_n_heads": 2, "index_head_dim": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "first_k_dense_replace": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize("chosen", [2, 11])
@pytest.mark.parametrize(
    ("cls", "config"), [(DeepseekV32ForCausalLM, DeepseekV32Config), (GlmForCausalLM, GlmMoeDsaConfig)]
)
def test_families_that_ask_for_the_kernels_name(cls, config, chosen):
    """A prompt's key/values have no scores by which they could be chosen among more keys than are chosen."""
    torch.manual_seed(0)
    model = cls(config(**_SPARSE, index_topk=chosen)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
        x = ids(1, 9)
        bare = model(x, attention_mask=torch.ones_like(x), use_cache=False).logits
        backbone = softprompt.load_backbone(model)
        prompts = [random_prefix(backbone, 2, positions="unshifted"), None]
        given = {"attention_mask": torch.ones(2, 9, dtype=torch.long), "use_cache": False}
        with backbone.prompted(None) as prompted:
            assert torch.equal(prompted(x, attention_mask=torch.ones_like(x), use_cache=False).logits, bare)
        with backbone.prompted(prompts, rows=[0, 1]) as prompted:
            if chosen < 11:
                with pytest.raises(
                    BackboneError, match=r"2 key/values before 9 of a text .* chooses 2 by scores"
                ):
                    prompted(x.repeat(2, 1), **given)
                return
            both = prompted(x.repeat(2, 1), **given).logits
    close(both[1:], bare)
    assert not torch.allclose(both[:1], bare, atol=1e-2)


@pytest.mark.parametrize(("cls", "config"), [(GlmForCausalLM, GlmMoeDsaConfig)])
def test_soft_tokens_are_chosen_among_the_keys(cls, config):
    torch.manual_seed(0)
    model = cls(config(**_SPARSE, index_topk=4)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
        by_hand, x = copy.deepcopy(model), ids(1, 9)
        backbone = softprompt.load_backbone(model)
        prompt = make(backbone, "soft")
        with backbone.prompted(prompt) as prompted:
            close(prompted(x).logits, logits_by_hand(prompt, x, model=by_hand))


@pytest.mark.parametrize("first", ["one", "two"])
def test_two_models_of_one_config_closed_in_any_order(first):
    one = tiny_model("llama")
    torch.manual_seed(9)
    two = LlamaForCausalLM(one.config).eval()
    assert one.config is two.config
    reference = copy.deepcopy(two)
    backbones = {"one": softprompt.load_backbone(one), "two": softprompt.load_backbone(two)}
    prompts = {name: random_prefix(backbone) for name, backbone in backbones.items()}
    x, wants = ids(2, 5), {}
    wants["one"] = logits_by_hand(prompts["one"], x)
    wants["two"] = logits_by_hand(prompts["two"], x, model=reference)
    sessions = {name: backbones[name].prompted(prompts[name]) for name in backbones}
    with torch.no_grad():
        for session in sessions.values():
            session.__enter__()
        sessions.pop(first).__exit__(None, None, None)
        ((left, session),) = sessions.items()
        try:
            close(backbones[left].model(x).logits, wants[left])
            model = tiny_model("llama") if first == "one" else copy.deepcopy(reference)
            close(backbones[first].model(x).logits, logits_by_hand(None, x, model=model))
        finally:
            session.__exit__(None, None, None)
        layer = one.model.layers[0]
        places = one.model.rotary_emb(torch.zeros(1, 3, 32), torch.arange(3)[None])
        layer(torch.zeros(1, 3, 32), position_embeddings=places)  # nobody refuses it any more
    assert "forward" not in vars(one) and "forward" not in vars(two)
