"""Adapters and LoRA: what they compute, where they stand, and that nothing stays of them."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

import softprompt
from softprompt.backbones.inspection.layers import widths
from softprompt.errors import PromptError
from softprompt.prompts.prompt import Prompt
from support.prompts import close, disturb, inputs_for, random_prefix, soft_tokens
from support.tiny import ENCODERS, FAMILIES, GENERATORS, ids, tiny_backbone, tiny_model

ALL = pytest.mark.parametrize("family", FAMILIES)
PEFTS_OWN = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
TARGETS = {
    "albert": ["query", "value"], "albert_groups": ["query", "value"], "distilbert": ["q_lin", "v_lin"],
    "modernbert": ["Wqkv", "mlp.Wo"], "mpnet": ["q", "v"],
}  # fmt: skip
"""For the families of which PEFT knows no default."""

SEED = 3


def lora(backbone, family, **options) -> Prompt:
    return softprompt.lora(backbone, rank=3, alpha=5, targets=TARGETS.get(family), seed=SEED, **options)


def some(backbone, family) -> dict[str, Prompt]:
    return {
        "houlsby": softprompt.adapter(backbone, width=5, seed=SEED),
        "pfeiffer": softprompt.adapter(backbone, reduction=8, activation="gelu", placement="pfeiffer"),
        "lora": lora(backbone, family),
    }


def stored(prompt: Prompt) -> dict[str, nn.Parameter]:
    return {
        f"{place}.{name}": parameter
        for place, insert in prompt.inserts.items()
        for name, parameter in insert.stored().items()
    }


class Adapted(nn.Module):
    """A linear layer and the adapter behind it, by hand."""

    def __init__(self, linear: Any, parameters: dict[str, torch.Tensor], activation: Any):
        super().__init__()
        self.linear, self.activation = linear, activation
        self.own = nn.ParameterDict({name.replace(".", "_"): p.clone() for name, p in parameters.items()})

    @property
    def weight(self):  # T5 looks at its precision
        return self.linear.weight

    def forward(self, x):
        y = self.linear(x)
        inside = self.activation(y @ self.own["down_weight"].T + self.own["down_bias"])
        return y + inside @ self.own["up_weight"].T + self.own["up_bias"]


def adapted(model: nn.Module, prompt: Prompt, activation: Any) -> tuple[Any, dict[str, Adapted]]:
    """A copy of a model with adapters as modules of its own."""
    other = copy.deepcopy(model)
    wrapped = {}
    for place, insert in prompt.inserts.items():
        holder, _, name = place.rpartition(".")
        linear = other.get_submodule(place)
        wrapped[place] = Adapted(linear, dict(insert.stored()), activation)
        setattr(other.get_submodule(holder), name, wrapped[place])
    return other, wrapped


@ALL
def test_they_begin_as_nothing_and_leave_nothing(family):
    backbone = tiny_backbone(family)
    model, inputs = backbone.model, inputs_for(backbone)
    bare = model(**inputs)[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {m: set(vars(m)) for m in model.modules()}
    modules, kind = dict(model.named_modules()), type(model)
    for prompt in some(backbone, family).values():
        with torch.no_grad(), backbone.prompted(prompt):
            assert torch.equal(model(**inputs)[0], bare)
        disturb(prompt)
        with backbone.prompted(prompt):
            assert not torch.allclose(model(**inputs)[0], bare, atol=1e-2)
        with pytest.raises(RuntimeError, match="from the user"), backbone.prompted(prompt):
            raise RuntimeError("from the user")
        assert torch.equal(model(**inputs)[0], bare)
    assert {m: set(vars(m)) for m in model.modules()} == attributes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert type(model) is kind and dict(model.named_modules()) == modules
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(not p.requires_grad and p.grad is None for p in model.parameters())


@ALL
def test_an_adapter_is_the_sum_written_out(family):
    backbone = tiny_backbone(family)
    for name, activation in (("houlsby", torch.relu), ("pfeiffer", nn.functional.gelu)):
        prompt = disturb(some(backbone, family)[name])
        other, wrapped = adapted(backbone.model, prompt, activation)
        inputs = inputs_for(backbone)
        with backbone.prompted(prompt):
            logits = backbone.model(**inputs)[0]
            logits.square().mean().backward()
        theirs = other(**inputs)[0]
        close(logits, theirs)
        theirs.square().mean().backward()
        for place, insert in prompt.inserts.items():
            for tensor, parameter in insert.stored().items():
                close(parameter.grad, wrapped[place].own[tensor.replace(".", "_")].grad)


PLACES = {
    "gpt2": "attn.c_proj mlp.c_proj", "bart": "self_attn.out_proj fc2", "distilbert": "out_lin ffn.lin2",
    "t5": "SelfAttention.o DenseReluDense.wo", "albert": "attention.dense ffn_output",
    "albert_groups": "attention.dense ffn_output", "modernbert": "attn.Wo mlp.Wo",
    "mpnet": "attn.o output.dense",
    **dict.fromkeys(["llama", "qwen2", "qwen3", "mistral", "gemma3"], "o_proj down_proj"),
    **dict.fromkeys(
        ["bert", "roberta", "electra", "deberta", "deberta_v2", "deberta_v3"],
        "attention.output.dense output.dense",
    ),
}  # fmt: skip


@ALL
def test_they_stand_after_attention_and_feed_forward_and_count_as_in_the_paper(family):
    backbone = tiny_backbone(family)
    layers = {"t5": 6, "bart": 6, "albert": 1, "albert_groups": 4}.get(family, 3)
    h, m = 32, 5
    for placement, ends in (("houlsby", PLACES[family].split()), ("pfeiffer", PLACES[family].split()[1:])):
        prompt = softprompt.adapter(backbone, width=m, placement=placement)
        places = prompt.card.inserts.modules
        assert len(places) == len(set(places)) == layers * len(ends)
        for k, place in enumerate(places):
            assert place.endswith("." + ends[k % len(ends)]), place
        assert all(widths(backbone.model.get_submodule(place))[1] == h for place in places)
        assert not any("EncDec" in place or "encoder_attn" in place for place in places)
        assert prompt.n_trained_parameters == len(places) * (2 * h * m + m + h)
        assert prompt.n_stored_parameters == prompt.n_trained_parameters


@ALL
@PEFTS_OWN
def test_lora_is_peft_from_the_seed_to_the_gradients(family):
    peft = pytest.importorskip("peft")
    backbone = tiny_backbone(family)
    prompt = lora(backbone, family)
    config = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        lora_dropout=0.0,
        target_modules=TARGETS.get(family),
        fan_in_fan_out=family == "gpt2",
    )
    torch.manual_seed(SEED)
    theirs = peft.get_peft_model(copy.deepcopy(backbone.model), config).eval()
    tensors = {
        name.removeprefix("base_model.model.").replace(".default", ""): parameter
        for name, parameter in theirs.named_parameters()
        if parameter.requires_grad
    }
    ours = stored(prompt)
    assert ours.keys() == tensors.keys()
    assert all(torch.equal(ours[name], tensors[name]) for name in ours)
    assert prompt.n_trained_parameters == theirs.get_nb_trainable_parameters()[0]
    disturb(prompt)
    with torch.no_grad():
        for name, parameter in tensors.items():
            parameter.copy_(ours[name])
    inputs = inputs_for(backbone)
    with backbone.prompted(prompt):
        logits = backbone.model(**inputs)[0]
        logits.square().mean().backward()
    expected = theirs(**inputs)[0]
    close(logits, expected)
    expected.square().mean().backward()
    assert any(p.grad.abs().max() > 0 for p in ours.values())
    for name in ours:
        close(ours[name].grad, tensors[name].grad)


@PEFTS_OWN
def test_dropout_of_lora_is_pefts_and_follows_the_prompt_alone():
    peft = pytest.importorskip("peft")
    backbone, inputs = tiny_backbone("llama"), {"input_ids": ids(2, 6)}
    prompt = disturb(lora(backbone, "llama", dropout=0.5))
    config = peft.LoraConfig(r=3, lora_alpha=5, lora_dropout=0.5)
    theirs: Any = peft.get_peft_model(copy.deepcopy(backbone.model), config)
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            key = name.removeprefix("base_model.model.").replace(".default", "")
            parameter.data.copy_(stored(prompt)[key])
    theirs.train()
    with backbone.training_mode(), backbone.prompted(prompt.train()):
        torch.manual_seed(0)
        dropped = backbone.model(**inputs).logits
    torch.manual_seed(0)
    close(dropped, theirs(**inputs).logits)
    with backbone.prompted(prompt.eval()):
        calm = backbone.model(**inputs).logits
    close(calm, theirs.eval()(**inputs).logits)
    assert not torch.allclose(calm, dropped, atol=1e-2)


def test_making_lora_leaves_torchs_random_numbers_alone(tmp_path):
    pytest.importorskip("peft")
    backbone = tiny_backbone("llama")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    folder = softprompt.lora(backbone).save(tmp_path / "p")
    softprompt.load_prompt(folder, backbone)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("family", ["gpt2", "t5", "albert", "deberta_v3"])
def test_saved_is_loaded(family, tmp_path):
    backbone, again = tiny_backbone(family), tiny_backbone(family)
    inputs = inputs_for(backbone)
    for name, prompt in some(backbone, family).items():
        disturb(prompt).save(tmp_path / name)
        loaded = softprompt.load_prompt(tmp_path / name, again)
        assert loaded.card.inserts == prompt.card.inserts and not loaded.training
        assert loaded.tensors().keys() == {f"inserts.{key}" for key in stored(prompt)}
        assert loaded.n_stored_parameters == prompt.n_stored_parameters
        with torch.no_grad(), backbone.prompted(prompt), again.prompted(loaded):
            assert torch.equal(again.model(**inputs)[0], backbone.model(**inputs)[0])


@pytest.mark.parametrize("family", [*GENERATORS, "bert", "albert", "modernbert", "mpnet", "deberta_v2"])
def test_a_mixed_batch_is_one_run_per_row(family):
    backbone = tiny_backbone(family)
    made = {name: disturb(prompt) for name, prompt in some(backbone, family).items()}
    twin = disturb(softprompt.adapter(backbone, width=2, seed=9), seed=8)
    prompts = [made["houlsby"], None, random_prefix(backbone), made["lora"], twin, made["pfeiffer"]]
    rows = [3, 0, 0, 1, 2, 4, 5, 3]
    inputs = inputs_for(backbone, batch=len(rows))
    with backbone.prompted(prompts, rows=rows):
        mixed = backbone.model(**inputs)[0]
        mixed.square().mean().backward()
    together = {id(p): {n: w.grad for n, w in p.named_parameters()} for p in prompts if p is not None}
    for prompt in prompts:
        if prompt is not None:
            prompt.zero_grad()
    total = torch.zeros(())
    for i, which in enumerate(rows):
        with backbone.prompted(prompts[which]):
            alone = backbone.model(**{name: value[i : i + 1] for name, value in inputs.items()})[0]
        close(mixed[i : i + 1], alone)
        total = total + alone.square().sum() / mixed.numel()
    total.backward()
    for prompt in (p for p in prompts if p is not None):
        for name, parameter in prompt.named_parameters():
            close(together[id(prompt)][name], parameter.grad, 1e-4)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_beams_of_a_mixed_batch_are_one_run_per_row(family):
    backbone = tiny_backbone(family)
    model: Any = backbone.model
    made = [disturb(prompt, scale=1.0) for prompt in some(backbone, family).values()]
    inputs = {name: value for name, value in inputs_for(backbone, batch=4).items() if "decoder" not in name}
    options = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 5, "do_sample": False}
    options["eos_token_id"] = -1  # so that all write five tokens
    with backbone.prompted([*made, None]):
        mixed = model.generate(**inputs, **options)
    for i, prompt in enumerate([*made, None]):
        with backbone.prompted(prompt):
            alone = model.generate(**{name: value[i : i + 1] for name, value in inputs.items()}, **options)
        assert torch.equal(mixed[2 * i : 2 * i + 2], alone)
    assert len({tuple(row.tolist()[-5:]) for row in mixed}) > 4


def test_a_layer_that_also_runs_on_what_all_rows_share():
    backbone = tiny_backbone("deberta_v3")  # its queries are also those of positions
    prompt, inputs = disturb(lora(backbone, "deberta_v3")), inputs_for(backbone)
    with backbone.prompted([prompt, None]), pytest.raises(PromptError) as caught:
        backbone.model(**inputs)
    assert str(caught.value) == (
        "prompted.rows: got several prompts where 'encoder.layer.0.attention.self.query_proj', which one of "
        "them changes, runs on 1 rows of its own, expected a layer that runs on the rows of the batch alone. "
        "Give the prompts batches of their own."
    )
    with backbone.prompted(prompt):
        alone = backbone.model(**inputs)[0]
    head = softprompt.head("sequence", ["a", "b"])
    other = prompt.with_head(softprompt.head_only(backbone, head=head).head)
    for prompts, rows in (([prompt, None], [0, 0]), ([prompt, other], [0, 1]), ([prompt] * 2, None)):
        with backbone.prompted(prompts, rows=rows):
            close(backbone.model(**inputs)[0], alone)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("kind", ["houlsby", "lora"])
def test_they_stand_beside_vectors_and_tuned_tensors(family, kind, tmp_path):
    backbone = tiny_backbone(family)
    part = disturb(some(backbone, family)[kind])
    soft, tensor = soft_tokens(backbone), next(iter(backbone.tuned_tensors("layernorm")))
    weights = {tensor: backbone.frozen_tensors()[tensor] + 0.5}
    card = soft.card.model_copy(update={"inserts": part.card.inserts, "weights": (tensor,)})
    blocks = {shape.name: block for shape, block in zip(soft.shapes, soft.blocks, strict=True)}
    prompt = Prompt(card, soft.shapes, blocks, weights=weights, inserts=list(part.inserts.values())).eval()
    text = ids(2, 6)
    model: Any = copy.deepcopy(backbone.model)
    with torch.no_grad():
        model.get_parameter(tensor).copy_(weights[tensor])
    other = softprompt.load_backbone(model)
    alone = Prompt(
        part.card.model_copy(update={"backbone": other.card}), (), {}, inserts=list(part.inserts.values())
    )
    with torch.no_grad(), other.prompted(alone):
        embedded = model.get_input_embeddings()(text)
        front = torch.cat([soft().vectors.expand(2, -1, -1), embedded], 1)  # type: ignore[union-attr]
        expected = model(inputs_embeds=front)[0][:, soft.length :]
    baked = prompt.bake()
    prompt.save(tmp_path / "p")
    for one in (prompt, baked, softprompt.load_prompt(tmp_path / "p", backbone)):
        with torch.no_grad(), backbone.prompted(one):
            close(backbone.model(input_ids=text)[0], expected)
    n = soft.n_stored_parameters + part.n_stored_parameters + weights[tensor].numel()
    assert prompt.n_trained_parameters == prompt.n_stored_parameters == n


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bert", "deberta_v3"])
@pytest.mark.parametrize("kind", ["houlsby", "lora"])
def test_checkpointed_activations_change_nothing(family, kind):
    backbone, grads = tiny_backbone(family), []
    for checkpointing in (False, True):
        prompt = disturb(some(backbone, family)[kind]).train()
        with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
            backbone.model(**inputs_for(backbone))[0].square().mean().backward()
        grads.append({name: p.grad for name, p in prompt.named_parameters()})
    for name, grad in grads[0].items():
        assert grad.abs().max() > 0
        close(grads[1][name], grad)


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("kind", ["houlsby", "lora"])
def test_padding_on_either_side_changes_nothing(family, kind):
    from support.prompts import read_rows

    backbone = tiny_backbone(family)
    prompt = disturb(some(backbone, family)[kind])
    texts = [ids(1, n, n)[0] for n in (3, 8, 6)]
    with torch.no_grad(), backbone.prompted(prompt):
        alone = [backbone.read({"input_ids": row[None]})[0] for row in texts]
        for states, expected in zip(read_rows(backbone, texts, "right"), alone, strict=True):
            close(states, expected)


@pytest.mark.parametrize("kind", ["houlsby", "lora"])
def test_float32_parameters_on_a_bfloat16_backbone(kind):
    backbone = softprompt.load_backbone(tiny_model("gpt2"), dtype="bfloat16")
    prompt, inputs = disturb(some(backbone, "gpt2")[kind]), {"input_ids": ids(2, 5)}
    assert all(p.dtype == torch.float32 for p in prompt.parameters())
    with backbone.prompted(prompt):
        logits = backbone.model(**inputs).logits
        assert logits.dtype == torch.bfloat16
        logits.float().square().mean().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.abs().max() > 0 for p in prompt.parameters())


def test_shared_layers_share_their_modules():
    backbone = tiny_backbone("albert")  # three depths of one layer
    prompt = disturb(softprompt.adapter(backbone, width=4))
    assert len(prompt.inserts) == 2
    calls, insert = [], next(iter(prompt.inserts.values()))
    assert isinstance(insert, nn.Module)
    handle = insert.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad(), backbone.prompted(prompt):
        backbone.model(input_ids=ids(1, 4))
    handle.remove()
    assert len(calls) == 3


def test_prompts_for_other_linear_layers_are_refused():
    backbone = tiny_backbone("bert")
    prompt = softprompt.adapter(backbone)
    assert prompt.card.inserts is not None
    for name in ("encoder.layer.7.output.dense", "embeddings.LayerNorm"):
        inserts = prompt.card.inserts.model_copy(update={"modules": (name,)})
        card = prompt.card.model_copy(update={"inserts": inserts})
        other = Prompt(card, (), {}, inserts=list(prompt.inserts.values())[:1])
        with (
            pytest.raises(
                PromptError, match=rf"prompt\.inserts: got '{name}', expected names of linear layers"
            ),
            backbone.prompted(other),
        ):
            pass
    with backbone.prompted(None):  # and the refusal left nothing behind
        pass


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert_mlm", "albert_mlm", "modernbert_mlm", "electra_mlm"])
def test_logits_of_some_positions_are_those_of_all(family):
    backbone, inputs = tiny_backbone(family), inputs_for(tiny_backbone(family))
    chosen = torch.zeros(inputs.get("decoder_input_ids", inputs["input_ids"]).shape, dtype=torch.bool)
    chosen[0, 1] = chosen[1, 3] = True
    for prompt in some(backbone, family.removesuffix("_mlm")).values():
        for prompts in (disturb(prompt), [prompt, None]):
            with torch.no_grad(), backbone.prompted(prompts):
                close(backbone.labelled_logits(inputs, chosen), backbone.model(**inputs).logits[chosen])
