"""A prompt and its frozen model as one module: whose parameters, which calls, what is refused."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

import softprompt
from softprompt import PromptedModel
from softprompt.errors import BackboneError, PromptError
from support.prompts import bare_prompt, inputs_for, random_prefix, soft_tokens
from support.tiny import GENERATORS, ids, tiny_backbone, tiny_model


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


@pytest.fixture(scope="module")
def bert():
    return tiny_backbone("bert")


def logits(backbone, prompt, given, rows=None):
    with torch.no_grad(), backbone.prompted(prompt, rows):
        return backbone.model(**given).logits


@pytest.mark.parametrize("family", GENERATORS)
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_calls_run_under_the_prompt(family, kind):
    backbone = tiny_backbone(family)
    prompt = kind(backbone)
    model = PromptedModel(backbone, prompt).eval()
    given = inputs_for(backbone)
    with torch.no_grad():
        assert torch.equal(model(**given).logits, logits(backbone, prompt, given))
        assert torch.equal(model.forward(**given).logits, logits(backbone, prompt, given))
        assert not torch.equal(model(**given).logits, logits(backbone, None, given))
    options = {"max_new_tokens": 5, "do_sample": False}
    text = {name: given[name] for name in ("input_ids", "attention_mask")}
    with backbone.prompted(prompt):
        expected = backbone.model.generate(**text, **options)
    assert torch.equal(model.generate(**text, **options), expected)
    assert torch.equal(model.generate(text["input_ids"], **options), expected)


def test_nothing_but_the_prompt_is_in_it(llama):
    prompt = random_prefix(llama, reparameterization="mlp", width=8)
    model = PromptedModel(llama, prompt)
    assert {id(p) for p in model.parameters()} == {id(p) for p in prompt.parameters()}
    assert [name.removeprefix("prompts.0.") for name in model.state_dict()] == list(prompt.state_dict())
    assert not any(isinstance(module, type(llama.model)) for module in model.modules())
    assert model.num_parameters(only_trainable=True) == prompt.n_trained_parameters
    assert model.num_parameters() == llama.model.num_parameters() + prompt.n_trained_parameters


def test_state_goes_over_to_another(llama):
    one = PromptedModel(llama, random_prefix(llama, reparameterization="mlp", width=8))
    other = PromptedModel(llama, random_prefix(llama, seed=9, reparameterization="mlp", width=8))
    given = inputs_for(llama)
    assert not torch.equal(one(**given).logits, other(**given).logits)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(**given).logits, other(**given).logits)


def test_saved_is_a_prompt_folder(llama, tmp_path):
    prompt = random_prefix(llama)
    model = PromptedModel(llama, prompt)
    assert model.save_pretrained(tmp_path / "other process", is_main_process=False) is None
    assert not (tmp_path / "other process").exists()
    model.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"prompt.json", "prompt.safetensors"}
    loaded = PromptedModel(llama, softprompt.load_prompt(tmp_path / "saved", llama))
    assert torch.equal(loaded(**inputs_for(llama)).logits, model(**inputs_for(llama)).logits)
    assert not loaded.training and model.training  # as load_prompt gives it, and as a method does
    with pytest.raises(PromptError, match="got a state_dict of other tensors"):
        model.save_pretrained(tmp_path / "a", state_dict=llama.model.state_dict())
    with pytest.raises(PromptError, match="got safe_serialization=False, expected True: nothing is pickled"):
        model.save_pretrained(tmp_path / "a", safe_serialization=False)
    with pytest.raises(PromptError, match=r"PromptedModel\(backbone, softprompt.load_prompt"):
        PromptedModel.from_pretrained(tmp_path / "saved")


def test_several_prompts_and_rows(llama, tmp_path):
    one, two = random_prefix(llama, seed=1), soft_tokens(llama)
    model = PromptedModel(llama, [one, None, two], rows=[2, 0, 1, 0])
    given = inputs_for(llama, batch=4)
    with torch.no_grad():
        assert torch.equal(model(**given).logits, logits(llama, [one, None, two], given, [2, 0, 1, 0]))
    assert {id(p) for p in model.parameters()} == {id(p) for one in (one, two) for p in one.parameters()}
    model(**given, labels=given["input_ids"]).loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(PromptError, match=r"got 2 prompts, expected one\. Use its `prompts`"):
        model.save_pretrained(tmp_path / "saved")
    again = PromptedModel(llama, [one, one, two])
    assert len(again.prompts) == 2
    twice = PromptedModel(llama, [random_prefix(llama, seed=7), None, soft_tokens(llama)], rows=[2, 0, 1, 0])
    twice.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model(**given).logits, twice(**given).logits) == torch.equal(
            next(one.parameters()), next(twice.parameters())
        )


def test_without_a_prompt_it_is_the_bare_model(llama):
    model, given = PromptedModel(llama, None), inputs_for(llama)
    assert not list(model.parameters()) and not model.state_dict()
    with torch.no_grad():
        assert torch.equal(model(**given).logits, llama.model(**given).logits)
    with pytest.raises(PromptError, match="got no prompt, expected one"):
        _ = model.prompt


def test_parts_and_methods_run_under_the_prompt():
    backbone = tiny_backbone("bart")
    prompt = random_prefix(backbone)
    model, given = PromptedModel(backbone, prompt).eval(), inputs_for(backbone)
    text = {name: given[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        with backbone.prompted(prompt):
            base = backbone.model.base_model(**given).last_hidden_state
            read = backbone.model.get_encoder()(**text).last_hidden_state
        assert torch.equal(model.base_model(**given).last_hidden_state, base)
        assert torch.equal(model.model.forward(**given).last_hidden_state, base)
        for encoder in (model.get_encoder(), model.model.encoder, model.base_model.get_encoder()):
            assert torch.equal(encoder(**text).last_hidden_state, read)


def test_what_transformers_asks_of_a_model(llama):
    model = PromptedModel(llama, random_prefix(llama))
    assert model.config is llama.model.config
    assert model.generation_config is llama.model.generation_config
    assert model.main_input_name == "input_ids"
    assert model.can_generate()
    assert (model.device, model.dtype) == (llama.device, llama.dtype)
    assert model.get_input_embeddings() is llama.model.get_input_embeddings()
    assert model.get_output_embeddings() is llama.model.get_output_embeddings()
    assert inspect.signature(model.forward) == inspect.signature(llama.model.forward)
    assert isinstance(model, PromptedModel)
    assert type(model).__name__ == "LlamaForCausalLM"
    model.add_model_tags(["a", "b"])
    model.add_model_tags("b")
    assert model.model_tags == ["a", "b"]
    before = model.generation_config
    try:
        model.generation_config = copy.deepcopy(before)
        assert llama.model.generation_config is not before
    finally:
        model.generation_config = before
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.no_such_thing
    model.tie_weights()


def test_a_quantised_model_can_train(llama, monkeypatch):
    for name in ("is_quantized", "is_loaded_in_8bit"):
        monkeypatch.setattr(llama.model, name, True, raising=False)
    model = PromptedModel(llama, random_prefix(llama))
    assert not model.is_quantized and not model.is_loaded_in_8bit


def test_copies(llama):
    model = PromptedModel(llama, random_prefix(llama))
    given = inputs_for(llama)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(**given).logits, model(**given).logits)
        assert other.prompt is not model.prompt
        with torch.no_grad():
            next(other.parameters()).add_(1.0)
        assert not torch.equal(other(**given).logits, model(**given).logits)
    assert copy.deepcopy(model).backbone is llama


def test_modes_act_on_the_prompt(llama):
    prompt = random_prefix(llama, dropout=0.5)
    model, given = PromptedModel(llama, prompt), inputs_for(llama)
    model.train()
    assert prompt.training and not llama.model.training
    assert not torch.equal(model(**given).logits, model(**given).logits)
    model.eval()
    assert not prompt.training
    assert torch.equal(model(**given).logits, model(**given).logits)


def test_a_place_or_precision_of_its_own_is_refused(llama):
    model = PromptedModel(llama, random_prefix(llama))
    assert model.to("cpu") is model and model.float() is model
    for cast in (model.half, model.bfloat16, lambda: model.to(torch.float16), model.double):
        with pytest.raises(BackboneError, match="expected float32, in which a prompt is trained"):
            cast()
    with pytest.raises(BackboneError, match="got meta, expected cpu, the device of the backbone"):
        model.to("meta")
    with pytest.raises(BackboneError, match="Start with torchrun or accelerate launch"):
        model._replicate_for_data_parallel()
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())


def test_calls_inside_other_sessions_are_refused(llama):
    model, other = PromptedModel(llama, random_prefix(llama)), random_prefix(llama, seed=8)
    with (
        llama.prompted(other),
        pytest.raises(BackboneError, match="a PromptedModel opens a session of its own"),
    ):
        model(ids(1, 4))
    assert model.num_parameters() > 0
    with pytest.raises(BackboneError, match="got a LlamaForCausalLM, expected a backbone"):
        PromptedModel(tiny_model("llama"), other)
    with pytest.raises(PromptError, match="expected one for"):
        PromptedModel(tiny_backbone("gpt2"), other)


def test_what_wraps_a_model_is_no_backbone(llama):
    for wrapper in (nn.DataParallel(tiny_model("llama")), PromptedModel(llama, None)):
        with pytest.raises(
            BackboneError, match=r"expected a bundled name.*Pass the model inside the wrapper"
        ):
            softprompt.load_backbone(wrapper)


@pytest.mark.parametrize("wrong", [nn.DataParallel, lambda prompt: [prompt, "folder"], lambda _: "folder"])
def test_what_is_no_prompt_is_refused_by_name(llama, wrong):
    given = wrong(random_prefix(llama))
    for use in (llama.prompted, lambda prompt: PromptedModel(llama, prompt)):
        with pytest.raises(PromptError, match=r"expected a prompt, None, or a list of them\. Load a folder"):
            use(given)


def test_a_logits_processor_may_call_the_model(llama):
    model = PromptedModel(llama, random_prefix(llama)).eval()
    text = ids(1, 5)
    seen = []

    def again(given, scores):
        seen.append((model(given).logits[:, -1] - scores).abs().max().item())
        return scores

    model.generate(text, max_new_tokens=3, do_sample=False, logits_processor=[again])
    assert len(seen) == 3
    assert max(seen) < 1e-4


def test_trained_vocabulary_matrix_is_not_handed_out():
    backbone = tiny_backbone("llama")
    frozen = backbone.frozen_tensors()["lm_head.weight"]
    model = PromptedModel(backbone, bare_prompt(backbone, {"lm_head.weight": frozen + 1}))
    with pytest.raises(PromptError, match="a prompt that trains the vocabulary matrix"):
        model.get_output_embeddings()


@pytest.mark.parametrize("family", ["llama", "gemma3", "bart", "gpt2"])
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_checkpointing_changes_no_gradient(family, kind):
    backbone = tiny_backbone(family)
    model, given = PromptedModel(backbone, kind(backbone)), inputs_for(backbone)
    labels = given.get("decoder_input_ids", given["input_ids"])

    def gradients():
        model.zero_grad()
        runs = []
        layer = backbone.sites[0].module
        hook = layer.register_forward_hook(lambda *_: runs.append(1))
        model(**given, labels=labels).loss.backward()
        hook.remove()
        return [p.grad.clone() for p in model.parameters()], len(runs)

    gradients()  # what is tried once, when soft tokens first come, is behind us
    plain, once = gradients()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    recomputed, twice = gradients()
    assert twice > once
    for a, b in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
    text = {"input_ids": given["input_ids"], "attention_mask": given["attention_mask"]}
    written = model.generate(**text, max_new_tokens=4, do_sample=False)
    assert not any(module.training for module in backbone.model.modules())
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    assert torch.equal(model.generate(**text, max_new_tokens=4, do_sample=False), written)


def test_reentrant_checkpointing_is_refused_at_once(llama):
    model = PromptedModel(llama, random_prefix(llama))
    for enable in (model.gradient_checkpointing_enable, model.activation_checkpointing_enable):
        with pytest.raises(BackboneError, match="got use_reentrant=True, expected use_reentrant=False"):
            enable({"use_reentrant": True})
    model.gradient_checkpointing_enable({})  # torch's default where it is left open is the reentrant kind
    model(ids(1, 5), labels=ids(1, 5)).loss.backward()
    model.gradient_checkpointing_disable()


# -- heads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
@pytest.mark.parametrize("kind", ["sequence", "several", "token", "value"])
def test_a_head_answers_in_place_of_the_model(family, kind):
    backbone = tiny_backbone(family)
    labels = () if kind == "value" else ("a", "b", "c")
    prompt = random_prefix(
        backbone, head=softprompt.head("sequence" if kind == "several" else kind, labels, dropout=0.0)
    )
    model = PromptedModel(backbone, prompt)
    text = {"input_ids": ids(3, 6), "attention_mask": torch.ones(3, 6, dtype=torch.long)}
    text["attention_mask"][1, 4:] = 0
    with backbone.prompted(prompt):
        assert prompt.head is not None
        expected = prompt.head(backbone.read(text), text["attention_mask"])
    wanted = {
        "sequence": torch.tensor([0, 2, 1]),
        "several": torch.tensor([[0.0, 1, 1], [0, 0, 0], [1, 0, 0]]),
        "value": torch.tensor([0.5, -1.0, 2.0]),
        "token": torch.tensor([[0, 1, 2, -100, 1, 0]] * 3),
    }[kind]
    answer = model(**text, labels=wanted)
    assert torch.equal(answer.logits, expected)
    by_hand = {
        "sequence": lambda: nn.functional.cross_entropy(expected, wanted),
        "several": lambda: nn.BCEWithLogitsLoss()(expected, wanted),
        "value": lambda: ((expected[:, 0] - wanted) ** 2).mean(),
        "token": lambda: nn.functional.cross_entropy(expected.flatten(0, 1), wanted.flatten()),
    }[kind]()
    torch.testing.assert_close(answer.loss, by_hand)
    assert model(text["input_ids"], text["attention_mask"]).loss is None
    assert "labels" in inspect.signature(type(model).forward).parameters
    assert type(model).__name__ == "PromptedModel"


def test_heads_that_are_not_one_batchs(bert):
    spans = PromptedModel(bert, random_prefix(bert, head=softprompt.head("span")))
    with pytest.raises(PromptError, match="got a prompt with a span head"):
        spans(input_ids=ids(2, 5))
    headed = random_prefix(bert, head=softprompt.head("sequence", ("a", "b")))
    with pytest.raises(PromptError, match="got a prompt with a head among several"):
        PromptedModel(bert, [headed, None])
    with pytest.raises(PromptError, match="got output_attentions=True for a prompt with a head"):
        PromptedModel(bert, headed)(input_ids=ids(2, 5), output_attentions=True)


def test_labels_without_a_loss(bert):
    with pytest.raises(BackboneError, match=r"got labels for .*BertModel.*, which has no loss"):
        PromptedModel(bert, random_prefix(bert))(input_ids=ids(2, 5), labels=ids(2, 5))
