"""Losses in chunks are the losses of all logits, in every family, and never hold all logits."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

import softprompt
from softprompt.backbones import loss as vocabulary_loss
from softprompt.backbones.inspection.output_head import Finish, candidates
from softprompt.backbones.load import load_backbone
from softprompt.backbones.loss import cross_entropy
from support.prompts import bare_prompt, close, inputs_for, random_prefix
from support.tiny import GENERATORS, MASKED_LMS, VOCAB, tiny_backbone, tiny_model

_SHAPE = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 0,
    "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
FINISHES = {
    "cohere": (lambda: CohereForCausalLM(CohereConfig(**_SHAPE, logit_scale=0.25)), Finish(multiply=0.25)),
    "granite": (lambda: GraniteForCausalLM(GraniteConfig(**_SHAPE, logits_scaling=3.0)), Finish(divide=3.0)),
    "gemma2": (
        lambda: Gemma2ForCausalLM(Gemma2Config(**_SHAPE, head_dim=8, final_logit_softcapping=2.0)),
        Finish(cap=2.0),
    ),
    "phi": (lambda: PhiForCausalLM(PhiConfig(**_SHAPE)), Finish()),  # its vocabulary matrix has a bias
}


def finished(name):
    torch.manual_seed(0)
    model = FINISHES[name][0]().eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return load_backbone(model)


def asked(backbone):
    inputs = inputs_for(backbone)
    shape = inputs.get("decoder_input_ids", inputs["input_ids"]).shape
    labelled = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.4
    wanted = torch.randint(VOCAB, (int(labelled.sum()),), generator=torch.Generator().manual_seed(1))
    return inputs, labelled, wanted


def both(backbone, prompt):
    """Losses and gradients in chunks and from all logits, weighted so that every row counts otherwise."""
    inputs, labelled, wanted = asked(backbone)
    weights = torch.linspace(-1, 2, len(wanted))
    parameters = list(prompt.parameters())
    out = []
    with backbone.prompted(prompt):
        logits = backbone.labelled_logits(inputs, labelled).float()
        for losses in (
            backbone.labelled_losses(inputs, labelled, wanted),
            F.cross_entropy(logits, wanted, reduction="none"),
        ):
            assert losses.dtype == torch.float32
            out.append((losses.detach(), torch.autograd.grad((losses * weights).sum(), parameters)))
    return out


def compare(backbone, prompt):
    (ours, our_gradients), (theirs, their_gradients) = both(backbone, prompt)
    close(ours, theirs)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        assert b.abs().max() > 0
        close(a, b)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "CHUNK_BYTES", 2 * 4 * VOCAB)  # two rows each


@pytest.mark.parametrize("family", GENERATORS + MASKED_LMS)
def test_losses_and_gradients_of_every_family(family, small_chunks):
    backbone = tiny_backbone(family)
    assert backbone.map.finish is not None
    compare(backbone, random_prefix(backbone))


@pytest.mark.parametrize("name", FINISHES)
def test_what_a_family_does_to_its_logits_is_found(name, small_chunks):
    backbone = finished(name)
    assert backbone.map.finish == FINISHES[name][1]
    compare(backbone, random_prefix(backbone))


def test_a_bias_behind_the_matrix_is_found(small_chunks):
    model = tiny_model("bart")
    model.final_logits_bias.normal_()
    backbone = load_backbone(model)
    assert backbone.map.finish is not None and backbone.map.finish.bias is not None
    compare(backbone, random_prefix(backbone))


def test_all_at_once(small_chunks):
    """Every part of a finish together, which no family has."""
    torch.manual_seed(0)
    matrix = torch.nn.Linear(8, VOCAB).requires_grad_(False)
    finish = Finish(multiply=0.7, divide=1.3, cap=1.5, bias=torch.randn(1, VOCAB))
    states, wanted = torch.randn(5, 8, requires_grad=True), torch.randint(VOCAB, (5,))
    ours = cross_entropy(states, matrix, wanted, finish)
    theirs = F.cross_entropy(finish(matrix(states)), wanted, reduction="none")
    close(ours, theirs)
    weights = torch.randn(5)
    close(*(torch.autograd.grad((losses * weights).sum(), states)[0] for losses in (ours, theirs)))


def test_what_is_not_known_goes_the_models_own_way(small_chunks):
    model = tiny_model("llama")
    stock = model.forward

    def odd(*args, **kwargs):
        output = stock(*args, **kwargs)
        output.logits = output.logits.sin()
        return output

    model.forward = odd
    backbone = load_backbone(model)
    assert backbone.map.finish is None
    compare(backbone, random_prefix(backbone))


@pytest.mark.parametrize("name", ["lm_head.weight", "lm_head.bias"])
def test_a_matrix_that_learns_has_gradients_in_the_first_pass_too(name, small_chunks):
    backbone = tiny_backbone("llama")
    prompt = bare_prompt(backbone, {name: backbone.frozen_tensors()[name].detach().clone()})
    inputs, labelled, wanted = asked(backbone)
    with backbone.prompted(prompt):
        losses = backbone.labelled_losses(inputs, labelled, wanted)
        (gradient,) = torch.autograd.grad(losses.sum(), list(prompt.parameters()))
    assert gradient.abs().max() > 0
    compare(backbone, prompt)


@pytest.mark.parametrize("chunk", [1, 4 * VOCAB, 3 * 4 * VOCAB, 2**30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_size_of_a_chunk_changes_nothing(chunk, dtype):
    torch.manual_seed(0)
    matrix = torch.nn.Linear(8, VOCAB, bias=False).to(dtype).requires_grad_(False)
    states = torch.randn(7, 8).to(dtype).requires_grad_()
    wanted = torch.randint(VOCAB, (7,))
    ours = cross_entropy(states, matrix, wanted, Finish(), chunk)
    theirs = F.cross_entropy(matrix(states).float(), wanted, reduction="none")
    close(ours, theirs, 1e-6)
    mine, stock = (torch.autograd.grad(losses.mean(), states)[0] for losses in (ours, theirs))
    close(mine.float(), stock.float(), 1e-6 if dtype == torch.float32 else 1e-2)


class Largest(TorchDispatchMode):
    """The most numbers in a tensor that any operation gave."""

    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            # Not views, such as the transposed matrix.
            if isinstance(tensor, torch.Tensor) and not func.is_view:
                self.n = max(self.n, tensor.numel())
        return out


@pytest.mark.parametrize("gradients", [True, False])
def test_no_more_than_a_chunk_is_held(gradients):
    matrix = torch.nn.Linear(2, VOCAB, bias=False).requires_grad_(False)
    states = torch.randn(30, 2, requires_grad=gradients)
    with Largest() as largest:
        losses = cross_entropy(states, matrix, torch.zeros(30, dtype=torch.long), Finish(), 3 * 4 * VOCAB)
        if gradients:
            losses.sum().backward()
    assert largest.n == 3 * VOCAB


def test_no_gradient_is_computed_where_none_is_wanted():
    backbone = tiny_backbone("llama")
    inputs, labelled, wanted = asked(backbone)
    with torch.no_grad(), backbone.prompted(random_prefix(backbone)):
        losses = backbone.labelled_losses(inputs, labelled, wanted)
    assert not losses.requires_grad


def test_tied_and_untied_matrices(small_chunks):
    for tied in (True, False):
        torch.manual_seed(0)
        config = tiny_model("llama").config
        config.tie_word_embeddings = tied
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM(config).eval()
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.2)
        assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
        backbone = load_backbone(model)
        compare(backbone, softprompt.prompt_tuning(backbone, 3, initialization="random"))


def test_candidates_come_from_the_configuration():
    assert candidates(tiny_model("llama")) == [Finish()]
