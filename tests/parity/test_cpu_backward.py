"""The written-out backward pass of attention gives torch's gradients; the forward pass is the stock one."""

import pytest
import torch

from softprompt.backbones.attention import cpu_backward
from softprompt.backbones.attention.mask import AttentionMask
from support.prompts import close, inputs_for, pad, random_prefix, soft_tokens
from support.tiny import ENCODERS, GENERATORS, ids, tiny_backbone

STOCK = {"t5"}  # a position bias is torch's own business
SELF_COMPUTED = {"mpnet", "deberta", "deberta_v2", "deberta_v3"}  # they never ask for the fused kernel


def mask_of(query, key, values=None, causal=False):
    return AttentionMask.read(values, kernel="sdpa", causal=causal, query=query, n_keys=key.shape[2])


@pytest.fixture
def used(monkeypatch):
    """In float32, where equality can be seen; how often it was used."""
    calls = []
    stock = cpu_backward._Attention.backward

    def counted(ctx, by_out):
        calls.append(by_out.shape)
        return stock(ctx, by_out)

    monkeypatch.setattr(cpu_backward._Attention, "backward", staticmethod(counted))
    monkeypatch.setattr(cpu_backward, "DTYPES", (torch.float32,))
    return calls


def gradients(backbone, prompt, inputs, reads):
    with backbone.prompted(prompt):
        states = backbone.read(inputs) if reads else backbone.model(**inputs, use_cache=False).logits
        weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(3))
        if inputs["attention_mask"].shape == states.shape[:2]:
            weights = weights * inputs["attention_mask"][..., None]
        parameters = list(prompt.parameters())
        return states.detach(), torch.autograd.grad((states * weights).sum(), parameters)


def compare(backbone, prompt, inputs, used, monkeypatch, reads=False):
    ours, mine = gradients(backbone, prompt, inputs, reads)
    n = len(used)
    monkeypatch.setattr(cpu_backward, "DTYPES", ())
    stock, theirs = gradients(backbone, prompt, inputs, reads)
    assert len(used) == n
    assert torch.equal(ours, stock)
    for a, b in zip(mine, theirs, strict=True):
        assert b.abs().max() > 0
        close(a, b)
    return n


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", GENERATORS)
def test_generators(family, side, used, monkeypatch):
    backbone = tiny_backbone(family)
    inputs = inputs_for(backbone, 3)
    inputs |= pad([ids(1, 7)[0], ids(1, 3, 1)[0], ids(1, 5, 2)[0]], side)
    n = compare(backbone, random_prefix(backbone), inputs, used, monkeypatch)
    assert n > 0 or family in STOCK


@pytest.mark.parametrize("family", ENCODERS)
def test_encoders(family, used, monkeypatch):
    backbone = tiny_backbone(family)
    inputs = pad([ids(1, 7)[0], ids(1, 3, 1)[0]], "right")
    n = compare(backbone, random_prefix(backbone), inputs, used, monkeypatch, reads=True)
    assert n > 0 or family in SELF_COMPUTED | STOCK


@pytest.mark.parametrize("chunk", [1, 10**9])
def test_rows_at_a_time(chunk, used, monkeypatch):
    monkeypatch.setattr(cpu_backward, "CHUNK_BYTES", chunk)
    backbone = tiny_backbone("llama")
    inputs = inputs_for(backbone, 3)
    inputs |= pad([ids(1, 7)[0], ids(1, 3, 1)[0], ids(1, 5, 2)[0]], "right")
    assert compare(backbone, random_prefix(backbone), inputs, used, monkeypatch)


def test_layers_without_a_prefix_and_without_a_mask(used, monkeypatch):
    backbone = tiny_backbone("llama")
    inputs = inputs_for(backbone)
    backbone.model.train()
    assert compare(backbone, random_prefix(backbone, layers=[0]), inputs, used, monkeypatch) == 3
    monkeypatch.setattr(cpu_backward, "DTYPES", (torch.float32,))
    assert compare(backbone, soft_tokens(backbone), inputs, used, monkeypatch) >= 3


def test_rows_with_prompts_of_their_own(used, monkeypatch):
    backbone = tiny_backbone("llama")
    prompts = [random_prefix(backbone, 4), None, random_prefix(backbone, 2, seed=3)]
    both = torch.nn.ModuleList([prompts[0], prompts[2]])
    inputs = pad([ids(1, 7)[0], ids(1, 3, 1)[0], ids(1, 5, 2)[0]], "right")

    def run():
        with backbone.prompted(prompts):
            logits = backbone.model(**inputs).logits
            weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3))
            loss = (logits * weights * inputs["attention_mask"][..., None]).sum()
            return torch.autograd.grad(loss, list(both.parameters()))

    mine = run()
    assert used
    monkeypatch.setattr(cpu_backward, "DTYPES", ())
    for a, b in zip(mine, run(), strict=True):
        close(a, b)


def test_checkpointed_layers(used, monkeypatch):
    backbone = tiny_backbone("llama")
    prompt, inputs = random_prefix(backbone), inputs_for(backbone)
    with backbone.training_mode(gradient_checkpointing=True):
        assert compare(backbone, prompt, inputs, used, monkeypatch)


@pytest.fixture
def long(monkeypatch):
    """Every row counts as long, in blocks of two queries; the keys that each block meets."""
    met = []
    blocks = AttentionMask.blocks

    def noted(*args):
        met.append([seen for _, _, seen in blocks(*args)])
        return blocks(*args)

    monkeypatch.setattr(AttentionMask, "blocks", noted)
    monkeypatch.setattr(cpu_backward, "LARGEST", 0)
    monkeypatch.setattr(cpu_backward, "BLOCK", 2)
    monkeypatch.setattr(cpu_backward, "MUCH", 1.0)
    return met


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", GENERATORS)
def test_long_rows(family, side, used, long, monkeypatch):
    backbone = tiny_backbone(family)
    inputs = inputs_for(backbone, 3)
    inputs |= pad([ids(1, 7)[0], ids(1, 3, 1)[0], ids(1, 5, 2)[0]], side)
    n = compare(backbone, random_prefix(backbone, 4), inputs, used, monkeypatch)
    assert n > 0 or family in STOCK
    # Four prompt columns, and no text beyond the block.
    assert any(seen[:2] == [6, 8] for seen in long) or family in STOCK


@pytest.mark.parametrize("kind", ["none", "causal", "boolean", "additive", "keys"])
def test_bare_function_in_blocks(kind, used, long):
    test_bare_function(kind, used)
    if kind == "boolean":
        assert max(long[-1]) <= 7
    else:
        assert long[-1] == ([2, 4, 5] if kind == "causal" else [7, 7, 7])


@pytest.mark.parametrize("kind", ["none", "causal", "boolean", "additive", "keys"])
def test_bare_function(kind, used):
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 8, requires_grad=True)
    key, value = (torch.randn(2, 2, 7, n, requires_grad=True) for n in (8, 6))
    seen = torch.rand(2, 1, 5, 7) > 0.3
    seen[..., 0] = True
    added = torch.zeros(2, 1, 5, 7).masked_fill(~seen, -1e30)
    mask = {"boolean": seen, "additive": added, "keys": seen[:, :, :1]}.get(kind)
    whole = torch.ones(5, 7, dtype=torch.bool).tril() if kind == "causal" else mask

    def stock(q, k, v):
        k, v = (t.repeat_interleave(2, 1) for t in (k, v))
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=whole, scale=0.3)
        return out.transpose(1, 2)

    read = mask_of(query, key, mask, kind == "causal")
    assert cpu_backward.pays(query, key, value, read, 0.0)
    ours = cpu_backward.attend(stock, query, key, value, read, 0.3)
    theirs = stock(query, key, value)
    assert torch.equal(ours, theirs)
    weights = torch.randn(ours.shape)
    tensors = (query, key, value)
    mine, stocks = (torch.autograd.grad((out * weights).sum(), tensors) for out in (ours, theirs))
    for a, b in zip(mine, stocks, strict=True):
        close(a, b)


def test_where_it_does_not_pay(monkeypatch):
    query, key, value = (torch.randn(2, 2, 5, 8, requires_grad=True) for _ in range(3))

    def pays(query, key, value, values, dropout, causal=False):
        return cpu_backward.pays(query, key, value, mask_of(query, key, values, causal), dropout)

    assert not pays(query, key, value, None, 0.0)  # float32
    half = [t.detach().bfloat16().requires_grad_() for t in (query, key, value)]
    assert pays(*half, None, 0.0)
    assert not pays(*half, None, 0.1)
    assert not pays(*(t.detach() for t in half), None, 0.0)
    with torch.no_grad():
        assert not pays(*half, None, 0.0)
    assert not pays(*half, torch.zeros(1, 2, 5, 5), 0.0)
    assert not pays(*half, torch.zeros(1, 1, 5, 5, requires_grad=True), 0.0)
    nothing = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    nothing[1, 0, 2] = False
    assert not pays(*half, nothing, 0.0)
    # Long rows: only with a mask that lets blocks leave out much.
    monkeypatch.setattr(cpu_backward, "LARGEST", 24)
    monkeypatch.setattr(cpu_backward, "BLOCK", 1)
    causal = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    assert pays(*half, causal, 0.0)
    assert not pays(*half, None, 0.0)
    assert not pays(*half, None, 0.0, causal=True)  # the stock backward pass skips what causality hides
    assert not pays(*half, torch.ones(1, 1, 5, 5, dtype=torch.bool), 0.0)
    assert not pays(*half, torch.zeros(1, 1, 5, 5), 0.0)


def test_bfloat16_gradients_are_as_close_to_the_truth(monkeypatch):
    """Against float32, no further off than torch's own backward pass in bfloat16, times two."""
    torch.manual_seed(0)
    exact = [torch.randn(8, heads, n, 16) * 2 for heads, n in ((4, 24), (2, 30), (2, 30))]
    weights = torch.randn(8, 24, 4, 16)

    def run(dtype, quick):
        tensors = [t.to(torch.bfloat16).to(dtype).requires_grad_() for t in exact]

        def stock(q, k, v):
            k, v = (t.repeat_interleave(2, 1) for t in (k, v))
            return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)

        mask = mask_of(*tensors[:2])
        out = cpu_backward.attend(stock, *tensors, mask, 0.25) if quick else stock(*tensors)
        return [g.float() for g in torch.autograd.grad((out.float() * weights).sum(), tensors)]

    truth = run(torch.float32, False)
    for true, ours, theirs in zip(truth, run(torch.bfloat16, True), run(torch.bfloat16, False), strict=True):
        assert (ours - true).norm() <= 2 * (theirs - true).norm()
