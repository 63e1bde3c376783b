"""A backbone is known again in every precision; another one is refused, and the message says what differs."""

import copy
import hashlib
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    T5Model,
)

import softprompt
from softprompt.backbones.inspection import recognition
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError, PromptError
from softprompt.files import tensor_kinds
from softprompt.files.recognition import Held, difference
from support.cards import edit_card
from support.int8 import dequantised, quantise
from support.prompts import close, random_prefix, soft_tokens
from support.tiny import VOCAB, ids, tiny_backbone, tiny_model

HEAD = softprompt.head("sequence", ["no", "yes"])


def loads(folder, model, **options):
    """The prompt, used on the model: whatever is not refused has to work."""
    backbone = load_backbone(model)
    prompt = softprompt.load_prompt(folder, backbone, **options)
    inputs = {"input_ids": ids(2, 5)}
    if backbone.spec.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids(2, 3)
    with torch.no_grad(), backbone.prompted(prompt):
        return backbone.model(**inputs)[0]


def refused(folder, model):
    with pytest.raises(PromptError) as caught:
        softprompt.load_prompt(folder, load_backbone(model))
    loads(folder, model, any_backbone=True)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path):
    def save(model, make=random_prefix, **options):
        return make(load_backbone(model), **options).save(tmp_path / "p")

    return save


# -- one checkpoint, held in several ways --------------------------------------------------------

PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5", "bart", "albert"])
@pytest.mark.parametrize("there", PRECISIONS)
@pytest.mark.parametrize("here", PRECISIONS)
def test_every_pair_of_precisions(saved, family, there, here):
    model = tiny_model(family)
    folder = saved(copy.deepcopy(model).to(there))
    loads(folder, copy.deepcopy(model).to(here))
    # Read into float32 afterwards, as a processor without fast half precision does.
    loads(folder, copy.deepcopy(model).to(here).float())


def test_small_numbers_of_float16(saved):
    """Below 6e-5 float16 has fixed steps: what it rounds off is no share of a number."""
    model = tiny_model("llama")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e-6)
    folder = saved(copy.deepcopy(model), soft_tokens)
    loads(folder, copy.deepcopy(model).half())


@pytest.mark.parametrize("factor", [1.003, 1.03])
@pytest.mark.parametrize("here", PRECISIONS)
def test_another_fine_tuning_is_refused_in_every_precision(saved, here, factor):
    model = tiny_model("llama")
    folder = saved(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model.layers[1].mlp.up_proj.weight.mul_(factor if here != torch.bfloat16 else factor**3)
    message = refused(folder, other.to(here))
    assert (
        "the weights differ in 1 of 29 tensors, most in layers.1.mlp.up_proj.weight: another fine-tuning?"
        in message
    )
    assert "which the prompt was trained on. Load that backbone, or pass any_backbone=True" in message


def test_within_one_precision_every_step_counts(saved):
    for dtype in PRECISIONS:
        model = tiny_model("llama").to(dtype)
        folder = saved(model)
        other = copy.deepcopy(model)
        with torch.no_grad():
            bias = other.model.norm.weight
            bias.copy_(bias * (1 + torch.finfo(dtype).eps))
        assert "the weights differ in 1 of 29 tensors, most in norm.weight" in refused(folder, other)


@pytest.mark.parametrize("head", [False, True])
def test_eight_bits_of_a_checkpoint_are_that_checkpoint(saved, head):
    model = tiny_model("llama")
    folder = saved(model)
    loads(folder, quantise(copy.deepcopy(model), head))
    loads(saved(quantise(copy.deepcopy(model), head)), model)
    assert "another fine-tuning?" in refused(saved(model), quantise(tiny_model("llama", seed=1), head))
    # The plain numbers that eight bits mean are a checkpoint of their own.
    assert "the weights differ" in refused(saved(model), dequantised(quantise(copy.deepcopy(model))))


def test_eight_bits_of_other_weights_with_the_same_embeddings_are_refused(saved):
    model, other = tiny_model("llama"), tiny_model("llama", seed=1)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        with torch.no_grad():
            other.get_parameter(name).copy_(model.get_parameter(name))
    assert "another fine-tuning" in refused(saved(model), quantise(other))


def test_four_bits_are_told_from_eight_by_their_numbers():
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    scale = weight.abs().amax(1, keepdim=True)

    class Packed(torch.nn.Parameter):
        pass

    for steps, held in ((127, Held.EIGHT_BITS), (7, Held.FOUR_BITS)):
        meant = (weight / scale * steps).round() / steps * scale
        assert recognition.stored_format(Packed(weight, requires_grad=False), meant) == held


def test_bitsandbytes_weights_are_turned_back():
    """As that package lays them out: bytes with a scale for each row, which the first pass moves away."""
    meant = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    scales = meant.abs().amax(1)
    weight: Any = torch.nn.Parameter(
        (meant / scales[:, None] * 127).round().to(torch.int8), requires_grad=False
    )
    expected = weight.float() * scales[:, None] / 127
    module: Any = torch.nn.Module()
    weight.SCB = scales
    assert torch.equal(recognition.dequantised(weight, module), expected)
    weight.SCB, module.state = None, type("State", (), {"SCB": scales})()
    assert torch.equal(recognition.dequantised(weight, module), expected)
    close(expected, meant, 0.02)


# -- heads ---------------------------------------------------------------------------------------


def classifier(seed):
    config = tiny_model("bert").config
    torch.manual_seed(seed)
    model = BertForSequenceClassification(config).eval()
    model.bert.load_state_dict(tiny_model("bert").state_dict(), strict=False)
    return model


def test_an_exchanged_classifier_is_refused_where_it_is_used(saved):
    message = refused(saved(classifier(1)), classifier(2))
    assert "the head differs (classifier.weight)" in message
    loads(saved(classifier(1), head=HEAD), classifier(2))  # the prompt brings its own


def test_an_exchanged_vocabulary_head_is_refused_where_it_is_used(saved):
    model = tiny_model("llama")
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.lm_head.weight.add_(1.0)
    assert "the head differs (lm_head.weight)" in refused(saved(model), other)
    loads(saved(model, head=HEAD), other)
    # Tensors that the prompt holds itself stand in place of the model's.
    tuned = softprompt.fine_tuning(load_backbone(copy.deepcopy(model)), tune="head")
    assert tuned.card.weights == ("lm_head.weight",)
    close(loads(tuned.save(saved(model)), other), loads(tuned.save(saved(model)), model))


def test_tied_and_untied_heads_of_equal_numbers_are_one(saved):
    model: Any = tiny_model("gpt2")
    assert model.lm_head.weight is model.transformer.wte.weight
    untied = copy.deepcopy(model)
    untied.lm_head.weight = torch.nn.Parameter(untied.lm_head.weight.detach().clone())
    loads(saved(model), untied)
    with torch.no_grad():
        untied.lm_head.weight[3:].add_(0.1)
    assert "the head differs (lm_head.weight)" in refused(saved(model), untied)


@pytest.mark.parametrize("make", [random_prefix, lambda b: random_prefix(b, head=HEAD)])
def test_a_model_without_its_head_takes_the_prompts_of_one_with_it(saved, tmp_path, make):
    masked: Any = tiny_model("bert_mlm")
    bare = BertModel(masked.config)
    bare.load_state_dict(masked.bert.state_dict(), strict=False)  # with a pooler of its own
    loads(saved(masked, make), bare)
    loads(saved(bare, make), masked)
    t5 = tiny_model("t5")
    bare_t5 = T5Model(t5.config)
    bare_t5.load_state_dict(t5.state_dict(), strict=False)
    loads(saved(t5, random_prefix), bare_t5)
    loads(saved(bare_t5, random_prefix), t5)


def test_another_kind_of_head(saved):
    llama = tiny_model("llama")
    scored = LlamaForSequenceClassification(llama.config)
    scored.model.load_state_dict(llama.model.state_dict())
    assert "the head differs (score.weight, and there lm_head.weight)" in refused(saved(llama), scored)
    loads(saved(llama, head=HEAD), scored)


def test_poolers_are_no_part_of_it(saved):
    model: Any = tiny_model("bert")
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.pooler.dense.weight.add_(1.0)
    loads(saved(model), other)
    pooled, other = classifier(1), classifier(1)
    with torch.no_grad():
        other.bert.pooler.dense.weight.add_(1.0)  # here the model's own head reads it
    assert "the head differs (bert.pooler.dense.weight)" in refused(saved(pooled), other)


# -- other models --------------------------------------------------------------------------------


def test_added_tokens_are_named(saved):
    model = tiny_model("llama")
    other = copy.deepcopy(model)
    other.resize_token_embeddings(VOCAB + 3)
    for make in (random_prefix, lambda b: random_prefix(b, head=HEAD)):
        message = refused(saved(model, make), other)
        assert "the input embeddings have 67 rows, the prompt's backbone had 64: tokens were added" in message
        message = refused(saved(other, make), model)
        assert "have 64 rows, the prompt's backbone had 67: tokens were taken away" in message


def test_other_architectures_and_sizes_are_named(saved):
    folder = saved(tiny_model("llama"))

    def why(model):
        with pytest.raises(PromptError) as caught:
            softprompt.load_prompt(folder, load_backbone(model))
        return str(caught.value)

    assert "another architecture (gpt2, and there llama)" in why(tiny_model("gpt2"))
    config = copy.deepcopy(tiny_model("llama").config)
    config.num_hidden_layers = 4
    assert "another number of layers (layers.*.input_layernorm.weight at 0-3, there at 0-2)" in why(
        LlamaForCausalLM(config)
    )
    config.intermediate_size = 56
    wider = why(LlamaForCausalLM(config))
    down = "layers.*.mlp.down_proj.weight"
    assert f"another size ({down} [32, 56], and there {down} [32, 48])" in wider
    config = copy.deepcopy(tiny_model("llama").config)
    config.attention_bias = True
    assert "other tensors (layers.*.self_attn.k_proj.bias is new)" in why(LlamaForCausalLM(config))


def test_a_prompt_that_was_never_saved_is_compared_as_well():
    model = tiny_model("llama")
    prompt = random_prefix(load_backbone(model))
    half = load_backbone(copy.deepcopy(model).half())
    with half.prompted(prompt):
        assert half.model(ids(1, 3)).logits.isfinite().all()
    other = tiny_backbone("llama", seed=1)
    with pytest.raises(PromptError, match="LlamaForCausalLM is not: the weights differ in 22 of 29"):
        other.prompted(prompt)


# -- LoRA beside ---------------------------------------------------------------------------------


def with_lora(model, name="default", seed=0, **options):
    peft = pytest.importorskip("peft")
    torch.manual_seed(seed)
    turned = model.config.model_type == "gpt2"
    targets = ["c_attn"] if turned else ["q_proj", "v_proj", "lm_head"]
    options = {"target_modules": targets, "fan_in_fan_out": turned, "init_lora_weights": False, **options}
    config = peft.LoraConfig(r=4, **options)
    return peft.get_peft_model(model, config, adapter_name=name)


PEFTS_OWN = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@PEFTS_OWN
@pytest.mark.parametrize("family", ["llama", "gpt2"])  # GPT-2's weights are turned round
def test_lora_merged_or_not_under_any_name_is_one_model(saved, family):
    beside = with_lora(tiny_model(family)).base_model.model
    renamed = with_lora(tiny_model(family), "mine").base_model.model
    merged = with_lora(tiny_model(family)).merge_and_unload()
    within = with_lora(tiny_model(family))
    within.merge_adapter()
    models = (beside, renamed, merged, within.base_model.model)
    for there in models:
        for here in models:
            close(loads(saved(there), here), loads(saved(there), there), 1e-4)
    for other in (tiny_model(family), with_lora(tiny_model(family), seed=1).base_model.model):
        assert "the weights differ" in refused(saved(merged), other)
    off = with_lora(tiny_model(family))
    with off.disable_adapter():
        loads(saved(tiny_model(family)), off.base_model.model)


@PEFTS_OWN
def test_other_modules_of_peft_are_named(saved):
    folder = saved(tiny_model("llama"))
    message = refused(folder, with_lora(tiny_model("llama"), use_dora=True).base_model.model)
    found = "this backbone has modules of PEFT's (layers.*.self_attn.q_proj.base_layer.weight)"
    assert f"{found} that the other has not" in message


# -- changed while it is loaded ------------------------------------------------------------------


def test_a_prompt_stays_usable_when_words_are_added_and_so_do_its_copies(tmp_path):
    backbone, x = tiny_backbone("llama"), ids(2, 5)
    prompts = [random_prefix(backbone), soft_tokens(backbone)]
    before = []
    for prompt in prompts:
        with torch.no_grad(), backbone.prompted(prompt):
            before.append(backbone.model(x).logits)
    backbone.model.resize_token_embeddings(VOCAB + 3)
    after = random_prefix(backbone, seed=9)
    assert backbone.spec.vocab == VOCAB + 3
    for prompt, expected in zip(prompts, before, strict=True):
        for one in (prompt, prompt.bake(), copy.deepcopy(prompt), prompt.with_head(None)):
            with torch.no_grad(), backbone.prompted(one):
                assert torch.equal(backbone.model(x).logits[..., :VOCAB], expected)
    # One made now belongs to what the model is now.
    with backbone.prompted(after):
        pass
    again = copy.deepcopy(backbone.model)
    loads(after.save(tmp_path / "p"), again)
    assert "tokens were taken away" in refused(tmp_path / "p", tiny_model("llama"))


def test_any_backbone_reaches_as_far_as_prompted(tmp_path):
    model, x = tiny_model("llama"), ids(2, 5)
    backbone = load_backbone(copy.deepcopy(model))
    prompt = random_prefix(backbone)
    with torch.no_grad(), backbone.prompted(prompt):
        expected = backbone.model(x).logits
    model.resize_token_embeddings(VOCAB + 3)
    bigger = load_backbone(model)
    loaded = softprompt.load_prompt(prompt.save(tmp_path / "p"), bigger, any_backbone=True)
    for one in (loaded, loaded.bake(), copy.deepcopy(loaded), loaded.with_head(None)):
        with torch.no_grad(), bigger.prompted(one):
            assert torch.equal(bigger.model(x).logits[..., :VOCAB], expected)
    with pytest.raises(PromptError, match="load_prompt\\(folder, backbone, any_backbone=True\\) to try"):
        tiny_backbone("llama", seed=1).prompted(loaded)


def test_what_is_out_of_reach_is_taken_as_it_was():
    backbone = load_backbone(quantise(tiny_model("llama")))
    card = backbone.card
    with torch.no_grad():
        backbone.model.model.norm.weight.add_(1.0)
    assert backbone.card is not card and backbone.card == card
    with pytest.raises(BackboneError, match="weights offloaded"):
        load_backbone(tiny_model("llama").to("meta"))


# -- files of formats 1 to 3 ---------------------------------------------------------------------


def older(folder):
    stored = load_file(folder / "prompt.safetensors")
    del stored["backbone.samples"]
    save_file(stored, folder / "prompt.safetensors")
    digest = hashlib.sha256((folder / "prompt.safetensors").read_bytes()).hexdigest()
    edit_card(
        folder, lambda card: (card.update(format_version=3, sha256=digest), card["backbone"].pop("record"))
    )
    return folder


def test_a_digest_alone_tells_what_rounding_explains(saved):
    model = tiny_model("llama")
    folder = older(saved(model))
    loads(folder, model)
    loads(folder, copy.deepcopy(model).bfloat16())
    half = older(saved(copy.deepcopy(model).half()))
    loads(half, copy.deepcopy(model).half())
    loads(half, model)  # as though it were held in float16
    message = refused(older(saved(model)), copy.deepcopy(model).half())
    assert "or the same in another precision: a file of format 1 to 3 knows them by a digest alone" in message
    other = tiny_model("llama", seed=1)
    assert "by a digest alone" in refused(folder, other)
    other.resize_token_embeddings(VOCAB + 3)
    assert f"{load_backbone(other).spec.n_parameters:,} parameters, and there" in refused(folder, other)


# -- the record ----------------------------------------------------------------------------------


def test_kinds_say_every_name_again():
    names = [
        "a.weight",
        "layers.0.w",
        "layers.1.w",
        "layers.3.w",
        "e.0.x.1.w",
        "e.0.x.2.w",
        "e.1.x.1.w",
        "layers.0.b",
        "l.00.w",
    ]
    shapes = {name: [2, 3] if name.endswith("w") else [4] for name in names}
    kinds = tensor_kinds.kinds_of_tensors(shapes.items())
    assert kinds == {
        "a.weight [4]": "", "e.*.x.*.w [2, 3]": "0.1,0.2,1.1", "l.00.w [2, 3]": "",
        "layers.*.b [4]": "0", "layers.*.w [2, 3]": "0-1,3",
    }  # fmt: skip
    assert tensor_kinds.names(kinds) == sorted(names) and tensor_kinds.count(kinds) == len(names)
    for text in ("3-1", "x-2", "0-99999999"):
        with pytest.raises(ValueError, match=r"3-1|invalid literal|100000000 tensors"):
            tensor_kinds.count({"layers.*.w [2]": text})


@pytest.mark.parametrize("family", ["llama", "albert_groups", "t5", "bert_mlm"])
def test_a_record_holds_numbers_of_every_tensor(family):
    model = tiny_model(family)
    record = recognition.record(model)
    rows = dict(
        zip(tensor_kinds.names(record.base) + tensor_kinds.names(record.head), record.samples, strict=True)
    )
    base = dict(model.base_model.named_parameters(remove_duplicate=False))
    own = {**base, **dict(model.named_parameters(remove_duplicate=False))}
    left = {name for name in base if name.startswith("pooler.")}
    assert rows.keys() >= base.keys() - left - {"lm_head.weight"}
    for name, (held, largest, *numbers) in rows.items():
        flat = own[name].detach().flatten()
        assert held == Held.FLOAT32 and len(numbers) == record.per_tensor
        drawn = numbers[: min(len(flat), record.per_tensor)]
        assert set(drawn) <= set(flat.tolist()) and largest == max(map(abs, drawn))
        assert len(set(drawn)) > 0.9 * len(drawn) or flat.unique().numel() < len(drawn)
    assert record.embeddings in rows


def test_a_record_takes_no_memory_of_the_models_size(monkeypatch):
    """A few numbers are gathered from each tensor: no tensor as large as a weight comes to be."""
    model = tiny_model("llama")
    recognition.record(model)
    largest = max(p.numel() for p in model.parameters())

    class Watched(TorchDispatchMode):
        made = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and not func.is_view and "detach" not in str(func):
                self.made = max(self.made, out.numel())
            return out

    with Watched() as watched:
        recognition.record(model)
    assert watched.made > 0
    n = len(list(model.parameters())) * recognition._MOST
    assert watched.made <= n and largest > recognition._MOST


def test_difference_is_none_for_itself_and_says_otherwise():
    card = tiny_backbone("llama").card
    assert difference(card, card, True) is None
    assert difference(card, tiny_backbone("llama", seed=1).card, True) is not None
    assert card.key == tiny_backbone("llama").card.key != tiny_backbone("llama", seed=1).card.key


def test_masked_models_of_one_checkpoint_with_another_head(saved):
    masked = tiny_model("bert_mlm")
    other = BertForMaskedLM(masked.config)
    other.load_state_dict(masked.state_dict())
    with torch.no_grad():
        other.cls.predictions.bias.add_(1.0)
    assert "the head differs (cls.predictions.bias)" in refused(saved(masked), other)
