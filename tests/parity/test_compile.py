"""Compiled = as it is: outputs and gradients, a few graphs for whatever comes, and nothing stays of it."""

import copy
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

import softprompt
from softprompt.backbones import compiled
from softprompt.backbones.activation_cache.cache import TrunkCache
from softprompt.backbones.activation_cache.store import MemoryStates
from softprompt.backbones.attention import cpu_backward as quick_backward
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.compiled import CompiledLayers
from softprompt.backbones.load import load_backbone
from softprompt.config import BackboneSettings
from softprompt.errors import BackboneError
from support.prompts import bare_prompt, close, disturb, inputs_for, pad, random_prefix, soft_tokens
from support.tiny import ids, tiny_backbone, tiny_model
from support.tiny_vision import pixels, tiny_vision

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo looks at it

Counter = CompileCounter | CompileCounterWithBackend


def both(
    family: str, counter: Counter | None = None, model: Any = None
) -> tuple[Backbone, Backbone, Counter]:
    """One model as a backbone that runs as it is, and as one that counts the graphs of its layers."""
    counter = counter or CompileCounter()
    vision = family in ("vit", "beit")
    plain = tiny_vision(family) if vision else load_backbone(model or tiny_model(family))
    other = copy.copy(plain)
    size = None if plain.vision is None else plain.vision.size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompiledLayers, "_try_out", lambda *_: None)  # every test does
        other.compiled = CompiledLayers(plain.model, plain.sites, plain.vision, size, family, counter)
    return plain, other, counter


@cache
def shared(family: str) -> tuple[Backbone, Backbone, Counter]:
    """One for all tests that need no graphs of their own."""
    return both(family)


def answer(backbone: Backbone, prompt: Any, inputs: dict[str, Tensor], grad: bool = True) -> list[Tensor]:
    """The last states or logits of real tokens, and the gradients that a function of them gives."""
    prompts = prompt if isinstance(prompt, list) else [prompt]
    trained = list({id(p): p for one in prompts if one for p in one.parameters()}.values())
    with backbone.prompted(prompt), torch.set_grad_enabled(grad):
        if "decoder_input_ids" in inputs:
            states = backbone.model(**inputs, use_cache=False).logits
        else:
            states = backbone.read(inputs)
            states = states[inputs["attention_mask"].bool()] if "attention_mask" in inputs else states
        if not grad or not trained:
            return [states.detach()]
        weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(3))
        pulled = torch.autograd.grad((states * weights).sum(), trained, allow_unused=True)
    return [states.detach(), *(g for g in pulled if g is not None)]


def same(plain: Backbone, other: Backbone, prompt: Any, inputs: dict[str, Tensor], grad: bool = True) -> None:
    """Both give the same states and gradients."""
    expected, got = answer(plain, prompt, inputs, grad), answer(other, prompt, inputs, grad)
    assert len(expected) == len(got) > (1 if grad and prompt is not None else 0)
    for a, b in zip(expected, got, strict=True):
        assert a.abs().max() > 0
        close(a, b)


def text(backbone: Backbone, lengths: tuple[int, ...], side: str = "right") -> dict[str, Tensor]:
    """Rows of some lengths, padded where they differ."""
    inputs = pad([ids(1, n, i)[0] for i, n in enumerate(lengths)], side)
    if backbone.spec.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids(len(lengths), 4, 9)
    return inputs


def of_layers(n: int) -> Any:
    """A tiny Llama with as many layers."""
    model = tiny_model("llama")
    layers = model.model.layers
    while len(layers) < n:
        layers.append(copy.deepcopy(layers[-1]))
        layers[-1].self_attn.layer_idx = len(layers) - 1
    model.config.num_hidden_layers = n
    return model


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "bert"])
def test_outputs_and_gradients_are_the_same(family):
    plain, other, counter = shared(family)
    a, b = random_prefix(plain, 4), random_prefix(plain, 6, seed=2)
    before = counter.frame_count
    same(plain, other, a, text(plain, (7, 5)))
    n = counter.frame_count
    assert n - before <= 2 <= n  # the first layer, whose input has no gradient, and all others
    same(plain, other, b, text(plain, (3, 9, 8)))
    assert counter.frame_count == n


def test_an_encoder_decoder_has_a_graph_for_each_kind_of_layer():
    plain, other, counter = both("t5")
    a, b = random_prefix(plain, 4), random_prefix(plain, 6, seed=2)
    same(plain, other, a, text(plain, (7, 5)), grad=False)
    n = counter.frame_count
    assert 2 <= n <= 4  # each stack's first layer has the relative positions
    same(plain, other, b, text(plain, (3, 9, 8)), grad=False)
    assert counter.frame_count == n


@pytest.mark.parametrize(("family", "depth"), [("vit", "deep"), ("vit", "shallow"), ("beit", "shallow")])
def test_pictures(family, depth):
    plain, other, counter = both(family)
    prompt = disturb(softprompt.visual_prompt_tuning(plain, 3, depth=depth))
    same(plain, other, prompt, {"pixel_values": pixels(3)})
    n = counter.frame_count
    assert 1 <= n <= 2
    same(plain, other, prompt, {"pixel_values": pixels(5)})
    assert counter.frame_count == n


def test_batches_lengths_prompts_and_more_layers_need_no_further_graph():
    _, other, counter = both("llama", model=of_layers(6))
    # Sizes that meet others of the model (2 key/value heads, 4 heads of 8) must not become fixed.
    for length, lengths in ((2, (2, 2)), (4, (4, 4, 4, 4)), (8, (8, 8, 8)), (4, (40, 40))):
        answer(other, random_prefix(other, length, seed=length), text(other, lengths))
        assert counter.frame_count == 2  # the first layer and all others
    a, b, c = (random_prefix(other, n, seed=n) for n in (4, 2, 9))
    for prompts, lengths in (
        ([a, b], (9, 2)),
        ([b, c, a], (4, 8, 4)),
        ([c, None], (8, 3)),
        ([a, a], (3, 40)),
    ):
        answer(other, prompts, text(other, lengths), grad=False)
        assert counter.frame_count in (3, 4)  # prompts of one length need no mask of their own
    n = counter.frame_count
    for lengths in ((5, 5), (9, 9, 9)):
        answer(other, None, text(other, lengths), grad=False)
        assert counter.frame_count == n + 1


def test_decoding_runs_as_it_is():
    plain, other, counter = shared("llama")
    prefix = random_prefix(plain)
    n = counter.frame_count
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    with plain.prompted(prefix):
        expected = plain.model.generate(**text(plain, (3, 7), "left"), **options)
    with other.prompted(prefix):
        got = other.model.generate(**text(plain, (3, 7), "left"), **options)
    assert torch.equal(expected, got)
    assert counter.frame_count == n


def test_leaving_restores_model_and_torch():
    plain, other, counter = shared("gpt2")
    prefix, inputs = random_prefix(plain), inputs_for(plain)
    attributes = {m: set(vars(m)) for m in plain.model.modules()}
    limits = torch._dynamo.config.recompile_limit, compiled.shapes.use_duck_shape
    bare = plain.model(**inputs).logits
    answer(other, prefix, text(plain, (4, 4)), grad=False)
    n = counter.frame_count
    assert n > 0
    with pytest.raises(RuntimeError, match="from the user"), other.prompted(prefix):
        raise RuntimeError("from the user")
    assert torch.equal(plain.model(**inputs).logits, bare)
    assert counter.frame_count == n
    assert {m: set(vars(m)) for m in plain.model.modules()} == attributes
    assert (torch._dynamo.config.recompile_limit, compiled.shapes.use_duck_shape) == limits


def test_what_prompts_put_inside_a_layer_is_seen():
    plain, other, counter = shared("llama")
    inputs = text(plain, (6, 4))
    answer(other, random_prefix(plain), inputs)
    answer(other, None, inputs, grad=False)
    n = counter.frame_count
    name, weight = next((n, w) for n, w in plain.model.named_parameters() if "layers.1" in n)
    for prompt in (
        disturb(softprompt.lora(plain, rank=2)),
        disturb(softprompt.adapter(plain, width=4)),
        bare_prompt(plain, {name: weight.float() + 0.3}),
    ):
        same(plain, other, prompt, inputs)
    assert counter.frame_count <= n + 2  # the last changes layer 1 alone


def test_dropout_and_checkpointing_run_as_they_are():
    plain, other, counter = shared("llama")
    prefix, inputs = random_prefix(plain), text(plain, (6, 4))
    n = counter.frame_count
    with plain.training_mode(gradient_checkpointing=True):
        same(plain, other, prefix, inputs)
    with plain.training_mode(dropout=True):
        same(plain, other, prefix, inputs)
    assert counter.frame_count == n


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_soft_tokens_before_the_text(family):
    plain, other, counter = shared(family)
    same(plain, other, soft_tokens(plain), text(plain, (6, 4)))
    assert counter.frame_count > 0


def test_above_a_trunk_cache():
    plain, other, counter = shared("llama")
    prefix, inputs = random_prefix(plain, layers=[2]), text(plain, (6, 4))
    expected = answer(plain, prefix, inputs)
    for _ in range(2):  # the second time its states are known
        cache = TrunkCache(other, [prefix], MemoryStates(10**8))
        with other.cached(cache):
            for a, b in zip(expected, answer(other, prefix, inputs), strict=True):
                close(a, b)
    assert counter.frame_count > 0


def test_the_written_out_backward_pass_is_one_operation_of_the_graph(monkeypatch):
    ran: list[Any] = []
    gradients = quick_backward._gradients

    def counted(*args: Any) -> Any:
        ran.append(args)
        return gradients(*args)

    monkeypatch.setattr(quick_backward, "_gradients", counted)
    monkeypatch.setattr(quick_backward, "DTYPES", (torch.float32,))
    plain, other, counter = both("llama", CompileCounterWithBackend("aot_eager"))
    some = random_prefix(plain, layers=[0])  # grouped heads under a prompt, and the stock way without
    expected = answer(plain, some, text(plain, (5, 5)))
    n = len(ran)
    got = answer(other, some, text(plain, (5, 5)))
    assert len(ran) == 2 * n > 0
    for a, b in zip(expected, got, strict=True):
        close(a, b)
    graphs = counter.graphs  # type: ignore[union-attr]
    names = [str(node.target) for graph in graphs for node in graph.graph.nodes]
    assert any("softprompt.attention" in name for name in names)


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("masked", ["no", "causal", "rows", "a row that sees nothing"])
def test_the_operation_is_torchs_attention(kv_heads, masked):
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 8, requires_grad=True)
    key, value = (torch.randn(2, kv_heads, 5, 8, requires_grad=True) for _ in range(2))
    mask = None if masked in ("no", "causal") else torch.rand(2, 1, 5, 5) > 0.4
    if mask is not None:
        mask[..., 0] = True
        mask[1, :, 3] = masked == "rows"
    args = (query, key, value, mask, masked == "causal", 0.3)
    out = torch.ops.softprompt.attention(*args)
    stock = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, is_causal=masked == "causal", scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    close(out, stock)
    weights = torch.randn(out.shape)
    for mine, theirs in zip(
        torch.autograd.grad((out * weights).sum(), (query, key, value)),
        torch.autograd.grad((stock * weights).sum(), (query, key, value)),
        strict=True,
    ):
        close(mine, theirs)
    torch.library.opcheck(torch.ops.softprompt.attention, args, test_utils=["test_schema", "test_faketensor"])


def test_beyond_the_limit_layers_run_as_they_are_and_it_is_said(monkeypatch):
    plain, other, counter = both("llama")
    monkeypatch.setattr(compiled, "LIMIT", 1)
    prefix, inputs = random_prefix(plain), text(plain, (6, 4))
    expected = answer(plain, prefix, inputs)
    with pytest.warns(UserWarning, match="1 graphs are compiled"):
        got = answer(other, prefix, inputs)
    assert counter.frame_count == 1
    for a, b in zip(expected, got, strict=True):
        close(a, b)


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("albert", "layers that share one module"),
        ("deberta_v3", "attention that the family computes itself"),
        ("mpnet", "attention that the family computes itself"),
    ],
)
def test_families_that_cannot_be_compiled_are_refused_by_name(family, reason):
    with pytest.raises(BackboneError, match=f"backbone.compile: got .*{reason}"):
        load_backbone(tiny_model(family), compile=True)


def test_windows_are_refused_by_name():
    with pytest.raises(BackboneError, match="cut tokens into windows"):
        load_backbone(tiny_vision("swin").model, compile=True)


def test_hooks_and_graph_breaks_are_refused_when_loading(monkeypatch):
    model: Any = tiny_model("llama")
    handle = model.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    with pytest.raises(BackboneError, match="hooks or forwards on its layers"):
        load_backbone(model, compile=True)
    handle.remove()
    kind: Any = type(model.model.layers[0].mlp)
    own: Callable[..., Any] = kind.forward

    def breaking(self: Any, x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return own(self, x)

    monkeypatch.setattr(kind, "forward", breaking)
    before = {m: set(vars(m)) for m in model.modules()}
    with pytest.raises(BackboneError, match=r"a layer that torch\.compile does not take"):
        load_backbone(model, compile=True)
    assert {m: set(vars(m)) for m in model.modules()} == before


def test_a_machine_without_a_compiler_is_refused(monkeypatch):
    def none(*_: Any, **__: Any) -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", none)
    with pytest.raises(BackboneError, match=r"backbone.compile: got .*No working C\+\+ compiler"):
        load_backbone(tiny_model("llama"), compile=True)


def test_layers_shared_out_are_refused():
    backbone = tiny_backbone("llama")
    backbone.sharded = True
    with pytest.raises(BackboneError, match=r"backbone\.compile: got .*shared out over processes"):
        backbone.compile()


def test_the_setting_is_off_by_default():
    assert not BackboneSettings().compile
    assert BackboneSettings(compile=True).compile
    assert tiny_backbone("llama").compiled is None


def test_inductor_itself():
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        pytest.skip(f"inductor needs a C++ compiler: {error}")
    plain = load_backbone(tiny_model("gpt2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inductor's own
        other = load_backbone(plain.model, compile=True)
        prefix = random_prefix(plain)
        same(plain, other, prefix, text(plain, (7, 5)), grad=False)
        same(plain, other, prefix, text(plain, (3, 9, 8)), grad=False)
