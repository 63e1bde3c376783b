"""Which of the backbone's own tensors a choice means, and that nothing else changes."""

import copy
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import BackboneError, ConfigError, PromptError
from softprompt.prompts.methods import METHODS
from support.prompts import close, inputs_for, random_prefix
from support.tiny import ids, tiny_backbone

FAMILIES = pytest.mark.parametrize(
    "family", ["gpt2", "bert_mlm", "albert_mlm", "modernbert_mlm", "t5", "bart"]
)
TUNES = ["all", "bitfit", "layernorm", "head", "last:1"]
TEXT = "{premise} [blank] {hypothesis}"


def own(backbone) -> dict[str, torch.Tensor]:
    return dict(backbone.model.named_parameters())


@contextmanager
def seen(matrix: torch.nn.Module):
    """The weights that a module computes with, call by call: a prompt's stand there only meanwhile."""
    weights: list[torch.Tensor] = []
    handle = matrix.register_forward_hook(lambda module, args, output: weights.append(module.weight))
    try:
        yield weights
    finally:
        handle.remove()


def train(backbone, prompt, steps: int = 3) -> None:
    """A few steps on random targets."""
    optimizer = torch.optim.SGD(prompt.parameters(), lr=0.5)
    for step in range(steps):
        optimizer.zero_grad()
        with backbone.prompted(prompt):
            logits = backbone.model(**inputs_for(backbone, seed=step))[0]
            logits.log_softmax(-1)[..., 3].mean().neg().backward()
        optimizer.step()


def tunable(family: str) -> list[str]:
    lacks = {"t5": ["bitfit"], "albert_mlm": ["last:1"], "modernbert_mlm": []}
    return [tune for tune in TUNES if tune not in lacks.get(family, [])]


@FAMILIES
def test_training_and_leaving_changes_nothing_of_the_backbone(family):
    backbone = tiny_backbone(family)
    before = {name: p.clone() for name, p in own(backbone).items()}
    bare = backbone.model(**inputs_for(backbone))[0]
    for tune in tunable(family):
        prompt = softprompt.fine_tuning(backbone, tune=tune)
        with torch.no_grad(), backbone.prompted(prompt):  # they begin as the backbone's own
            assert torch.equal(backbone.model(**inputs_for(backbone))[0], bare)
        train(backbone, prompt)
        with backbone.prompted(prompt):
            assert not torch.allclose(backbone.model(**inputs_for(backbone))[0], bare, atol=1e-3)
        assert torch.equal(backbone.model(**inputs_for(backbone))[0], bare)
    assert all(torch.equal(p, before[name]) for name, p in own(backbone).items())
    assert not any(p.requires_grad or p.grad is not None for p in own(backbone).values())


@FAMILIES
def test_only_what_was_chosen_lies_in_the_file_and_counts(family, tmp_path):
    backbone = tiny_backbone(family)
    everything = dict(backbone.model.named_parameters(remove_duplicate=False))
    for tune in tunable(family):
        prompt = softprompt.fine_tuning(backbone, tune=tune)
        train(backbone, prompt, 1)
        names = backbone.tuned_tensors(tune)
        assert prompt.card.weights == names and prompt.card.tune == tune
        n = sum({id(everything[name]): everything[name].numel() for name in names}.values())
        assert prompt.n_trained_parameters == prompt.n_stored_parameters == n
        folder = prompt.save(tmp_path / tune.replace(":", "-"))
        again = softprompt.load_prompt(folder, backbone)
        assert set(again.tensors()) == {f"weights.{name}" for name in names}
        with backbone.prompted(prompt):
            trained = backbone.model(**inputs_for(backbone))[0]
        with backbone.prompted(again):
            assert torch.equal(backbone.model(**inputs_for(backbone))[0], trained)
    assert softprompt.fine_tuning(backbone).n_trained_parameters == backbone.spec.n_parameters


@pytest.mark.parametrize("family", ["gpt2", "bert_mlm", "albert_mlm", "roberta_mlm", "bart"])
def test_bitfit_is_the_biases_of_linear_layers_and_norms(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.fine_tuning(backbone, tune="bitfit")
    assert all(name.endswith("bias") and p.ndim == 1 for name, p in prompt.weights.items())
    # In these families no other tensor has that name.
    assert set(prompt.weights) == {name for name in own(backbone) if name.endswith("bias")}
    train(backbone, prompt)
    frozen = own(backbone)
    changed = {name for name, w in prompt.weights.items() if not torch.equal(w, frozen[name])}
    assert len(changed) > 10
    # The model under the prompt differs from the bare one in nothing else.
    other = copy.deepcopy(backbone.model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(prompt.weights.get(name, frozen[name]))
    with backbone.prompted(prompt):
        close(backbone.model(**inputs_for(backbone))[0], other(**inputs_for(backbone))[0])


def test_a_bias_that_belongs_to_no_linear_layer_is_not_bitfit():
    backbone = tiny_backbone("deberta")
    names = backbone.tuned_tensors("bitfit")
    left = {name for name in own(backbone) if name.endswith("bias")} - set(names)
    assert left and all(name.endswith(("q_bias", "v_bias")) for name in left)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama", 32 * (2 * 3 + 1)),
        ("qwen3", 32 * (2 * 3 + 1) + 2 * 3 * 8),
        ("gemma3", 32 * (4 * 3 + 1) + 2 * 3 * 8),
        ("gpt2", 2 * 32 * (2 * 3 + 1)),
        ("t5", 32 * (2 * 3 + 1 + 3 * 3 + 1)),
        ("bert_mlm", 2 * 32 * (1 + 2 * 3 + 1)),
        ("albert", 2 * (16 + 2 * 32)),
        ("deberta", 2 * 32 * (1 + 2 * 3)),
    ],
)
def test_layernorm_is_every_norm_of_every_kind(family, expected):
    assert softprompt.fine_tuning(tiny_backbone(family), tune="layernorm").n_trained_parameters == expected


@pytest.mark.parametrize(
    ("family", "head", "table"),
    [
        ("gpt2", ["lm_head.weight"], "transformer.wte.weight"),
        ("t5", ["lm_head.weight"], "shared.weight"),
        ("bart", ["lm_head.weight"], "model.shared.weight"),
        (
            "distilbert_mlm",
            ["vocab_transform.weight", "vocab_transform.bias", "vocab_layer_norm.weight",
             "vocab_layer_norm.bias", "vocab_projector.weight", "vocab_projector.bias"],
            "distilbert.embeddings.word_embeddings.weight",
        ),
        (
            "bert_mlm",
            ["cls.predictions.bias", "cls.predictions.transform.dense.weight",
             "cls.predictions.transform.dense.bias", "cls.predictions.transform.LayerNorm.weight",
             "cls.predictions.transform.LayerNorm.bias", "cls.predictions.decoder.weight"],
            "bert.embeddings.word_embeddings.weight",
        ),
    ],
)  # fmt: skip
def test_tuning_the_head_leaves_tied_embeddings_alone(family, head, table, tmp_path):
    backbone = tiny_backbone(family)
    model: Any = backbone.model
    matrix = model.get_output_embeddings()
    words = model.get_input_embeddings()
    assert matrix.weight is words.weight
    assert list(backbone.tuned_tensors("head")) == head
    prompt = softprompt.fine_tuning(backbone, tune="head")
    before = words.weight.clone()
    train(backbone, prompt)
    inputs = inputs_for(backbone)
    states = _states(backbone, inputs)
    saved = prompt.save(tmp_path / "prompt")
    for one in (prompt, softprompt.load_prompt(saved, backbone)):
        with backbone.prompted(one):
            with seen(matrix) as weights:
                backbone.model(**inputs)
            assert words.weight is own(backbone)[table] and torch.equal(words.weight, before)
            assert not torch.equal(weights[0], before)
            assert torch.equal(_states(backbone, inputs), states)
    assert matrix.weight is words.weight and torch.equal(words.weight, before)
    # Asked for all, the two stay one.
    with backbone.prompted(softprompt.fine_tuning(backbone)):
        text = model.get_encoder() if backbone.spec.is_encoder_decoder else model
        with seen(matrix) as at_the_end, seen(text.get_input_embeddings()) as at_the_start:
            backbone.model(**inputs)
    assert at_the_end[0] is at_the_start[0] and at_the_end[0] is not own(backbone)[table]


def _states(backbone, inputs) -> torch.Tensor:
    with torch.no_grad():
        return backbone.read({name: inputs[name] for name in ("input_ids", "attention_mask")})


def test_gradients_of_an_untied_head_are_those_of_its_place_alone():
    backbone = tiny_backbone("gpt2")
    prompt = softprompt.fine_tuning(backbone, tune="head")
    other: Any = copy.deepcopy(backbone.model)
    other.lm_head.weight = torch.nn.Parameter(other.lm_head.weight.clone())
    inputs = inputs_for(backbone)
    with backbone.prompted(prompt):
        backbone.model(**inputs)[0].square().mean().backward()
    other(**inputs)[0].square().mean().backward()
    close(prompt.weights["lm_head.weight"].grad, other.lm_head.weight.grad)


@pytest.mark.parametrize(
    ("family", "tune", "prefixes"),
    [
        ("gpt2", "last:1", ["transformer.h.2."]),
        ("llama", "last:2", ["model.layers.1.", "model.layers.2."]),
        ("bert_mlm", "last:1", ["bert.encoder.layer.2."]),
        ("distilbert", "last:1", ["transformer.layer.2."]),
        ("t5", "last:1", ["encoder.block.2.", "decoder.block.2."]),
        ("bart", "last:2", ["model.encoder.layers.1.", "model.encoder.layers.2.",
                            "model.decoder.layers.1.", "model.decoder.layers.2."]),
        ("albert_groups", "last:4", ["encoder.albert_layer_groups.1."]),
        ("deberta_v2", "last:3", ["encoder.layer."]),
    ],
)  # fmt: skip
def test_the_last_layers_of_every_stack(family, tune, prefixes):
    backbone = tiny_backbone(family)
    expected = [name for name in own(backbone) if name.startswith(tuple(prefixes))]
    assert sorted(backbone.tuned_tensors(tune)) == sorted(expected) and expected


def test_all_layers_of_albert_are_its_one_layer_once():
    backbone = tiny_backbone("albert")
    names = backbone.tuned_tensors("last:3")
    assert len(names) == len(set(names)) and names == tuple(
        name for name in own(backbone) if "albert_layer_groups" in name
    )
    for family, k in (("albert", 1), ("albert_groups", 3)):
        with pytest.raises(PromptError, match=rf"'last:{k}' on .*share their tensors with earlier ones"):
            tiny_backbone(family).tuned_tensors(f"last:{k}")


@pytest.mark.parametrize("family", ["gpt2", "bert_mlm", "t5"])
def test_beside_vectors(family, tmp_path):
    backbone = tiny_backbone(family)
    inputs = {**inputs_for(backbone), "input_ids": torch.tensor([[5, -1, 7, -2, 9, 3, 4]] * 2)}
    for prompt in (
        softprompt.p_tuning(backbone, 2, tune="layernorm"),
        random_prefix(backbone, tune="layernorm"),
        softprompt.prompt_tuning(backbone, 2, tune="layernorm"),
        softprompt.p_tuning_v2(backbone, 2, tune="layernorm"),
    ):
        given = inputs if prompt.card.slots == "in_place" else inputs_for(backbone)
        with backbone.prompted(prompt):
            backbone.model(**given)[0].square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in prompt.parameters())
        assert prompt.card.weights == backbone.tuned_tensors("layernorm")
        with torch.no_grad():
            for parameter in prompt.parameters():
                parameter.add_(0.1)
        again = softprompt.load_prompt(prompt.save(tmp_path / prompt.card.method), backbone)
        outputs = []
        for one in (prompt, prompt.bake(), again):
            with torch.no_grad(), backbone.prompted(one):
                outputs.append(backbone.model(**given)[0])
        assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])
    alone = softprompt.p_tuning(backbone, 2)
    assert alone.card.weights == () and alone.card.tune is None
    assert softprompt.p_tuning(backbone, 2, tune="none").card.tune is None


def test_slots_read_the_tuned_embeddings_around_them():
    backbone = tiny_backbone("bert_mlm")
    prompt = softprompt.p_tuning(backbone, 1, encoder=None, tune="all")
    name = "bert.embeddings.word_embeddings.weight"
    with torch.no_grad():
        prompt.weights[name].add_(0.5)
    other: Any = copy.deepcopy(backbone.model)
    with torch.no_grad():
        other.get_input_embeddings().weight.add_(0.5)
    embeds = other.get_input_embeddings()(torch.tensor([[5, 0, 7]])).clone()
    embeds[0, 1] = prompt().vectors[0]
    with backbone.prompted(prompt):
        close(backbone.model(input_ids=torch.tensor([[5, -1, 7]])).logits, other(inputs_embeds=embeds).logits)


def test_a_head_that_reads_states_leaves_the_vocabulary_head_out():
    backbone, encoder = tiny_backbone("bert_mlm"), tiny_backbone("bert")
    head = softprompt.head("sequence", ["a", "b"])
    for tune in ("all", "bitfit", "layernorm"):
        prompt = softprompt.fine_tuning(backbone, tune=tune, head=head)
        plain = softprompt.fine_tuning(encoder, tune=tune, head=head)
        pooler = sum(w.numel() for name, w in plain.weights.items() if name.startswith("pooler"))
        assert prompt.n_trained_parameters == plain.n_trained_parameters - pooler
        assert not any(name.startswith("cls.") for name in prompt.weights)
    tied = softprompt.fine_tuning(tiny_backbone("gpt2"), head=head)
    assert "transformer.wte.weight" in tied.weights
    with pytest.raises(PromptError, match=r"'head' beside a head that reads states"):
        softprompt.fine_tuning(backbone, tune="head", head=head)


def test_null_prompts(tmp_path):
    backbone = tiny_backbone("bert_mlm")
    prompt = softprompt.null_prompt(backbone, ["premise", "hypothesis"])
    assert (prompt.card.template, prompt.card.tune, prompt.length) == (TEXT, "bitfit", 0)
    assert prompt.n_trained_parameters == softprompt.fine_tuning(backbone, tune="bitfit").n_trained_parameters
    card = softprompt.load_prompt(prompt.save(tmp_path / "null"), backbone).card
    assert (card.template, card.tune) == (TEXT, "bitfit")
    # Llama's has no biases: the paper's other choice of as few tensors.
    llama = tiny_backbone("llama")
    norms = softprompt.null_prompt(llama, "{text} [blank]")
    assert norms.card.tune == "layernorm" and norms.n_trained_parameters
    assert set(norms.weights) == {name for name, _ in llama.model.named_parameters() if "norm" in name}
    with pytest.raises(PromptError, match=r"no such tensors, .* Choose 'layernorm', or 'biases', which adds"):
        softprompt.null_prompt(llama, "{text} [blank]", tune="bitfit")
    nothing = softprompt.null_prompt(backbone, TEXT, tune="none")
    assert nothing.n_trained_parameters == 0 and nothing.card.template == TEXT
    with backbone.prompted(nothing):
        out = backbone.model(**inputs_for(backbone)).logits
    assert torch.equal(out, backbone.model(**inputs_for(backbone)).logits)
    with pytest.raises(
        PromptError,
        match=r"null_prompt\.template: got 1 slots, expected no slots, since a null .*\. Use p_tuning",
    ):
        softprompt.null_prompt(backbone, "[soft] {premise} [blank]")
    with pytest.raises(ConfigError, match=r"null_prompt\.template"):
        softprompt.null_prompt(backbone, "{premise}")
    with pytest.raises(PromptError, match=r"null_prompt\.template: got 3, expected a text or a list"):
        softprompt.null_prompt(backbone, 3)  # type: ignore[arg-type]


def test_the_blank_of_a_causal_model_is_last():
    prompt = softprompt.null_prompt(tiny_backbone("gpt2"), ["premise", "hypothesis"])
    assert prompt.card.template == "{premise} {hypothesis} [blank]"


@pytest.mark.parametrize(
    ("family", "tune", "message"),
    [
        (
            "bert",
            "prejudices",
            r"fine_tuning\.tune: got 'prejudices', expected 'all', 'bitfit', 'biases', 'layernorm'",
        ),
        ("bert", "last:0", r"got 'last:0'"),
        ("bert", "last:4", r"got 'last:4', expected a count from 1 to 3, the layers of"),
        ("bert", "head", r"'head' on .*, which has no vocabulary head"),
        ("llama", "bitfit", r"'bitfit' on .*, which has no such"),
        ("bert", "none", r"got 'none', expected tensors to train. Use head_only"),
    ],
)
def test_what_is_not_there_is_refused(family, tune, message):
    backbone = tiny_backbone(family)
    with pytest.raises(PromptError, match=message):
        softprompt.fine_tuning(backbone, tune=tune)


def test_settings_refuse_an_unknown_choice():
    settings = METHODS["fine_tuning"].settings
    assert settings(tune="last:12").model_dump()["tune"] == "last:12"
    with pytest.raises(ValueError, match=r"got 'prejudices', expected 'all', 'bitfit'"):
        settings(tune="prejudices")


def test_rows_with_tuned_tensors_stand_alone():
    backbone = tiny_backbone("bert_mlm")
    tuned, plain = (softprompt.p_tuning(backbone, 1, tune=tune) for tune in ("bitfit", None))
    refused = pytest.raises(PromptError, match=r"a prompt with weights of its own \(p_tuning\) beside others")
    with refused, backbone.prompted([tuned, plain]):
        pass
    with pytest.raises(BackboneError, match=r"active_rows: got a call outside `with backbone\.prompted"):
        backbone.active_rows(1)
    with backbone.prompted([tuned, plain], rows=[0, 0]):
        backbone.model(input_ids=ids(2, 3))
