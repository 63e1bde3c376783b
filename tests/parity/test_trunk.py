"""With the trunk cache = without: losses, gradients, and what training ends with."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import softprompt
from softprompt.backbones.activation_cache import ActivationCache, ActivationStore
from softprompt.backbones.backbone import Backbone
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.headed.head_task import read
from support.prompts import bare_prompt, close, disturb, pad, random_prefix, soft_tokens, text_for
from support.questions import CASES, WRITING, prompt_for, reader
from support.tiny import DECODERS, ENCODERS, ids, tiny_backbone
from support.tiny_vision import VISION, pixels, tiny_vision

READERS = tuple(family for family in (*DECODERS, *ENCODERS) if not family.startswith("albert"))
PICTURES = tuple(family for family in VISION if family != "swin")
N_LAYERS = 3


@cache
def backbone_of(family: str) -> Backbone:
    return tiny_vision(family) if family in VISION else tiny_backbone(family)


def memory() -> ActivationStore:
    return ActivationStore(10**9)


def prompt_of(backbone: Backbone, kind: str, k: int) -> Prompt:
    """A prompt that acts in layers k and above."""
    layers = list(range(k, N_LAYERS))
    if kind == "prefix" and backbone.vision is not None:
        return softprompt.visual_prompt_tuning(backbone, 3, depth="deep", layers=layers)
    if kind == "prefix":
        return random_prefix(backbone, layers=layers)
    if kind == "adapter":
        return disturb(softprompt.adapter(backbone, width=4, layers=layers))
    if kind == "lora":
        named = None if backbone.vision is None else ["q_proj", "v_proj"]
        return disturb(softprompt.lora(backbone, rank=2, layers=layers, targets=named))
    assert kind == "tuned"
    return softprompt.fine_tuning(backbone, tune=f"last:{N_LAYERS - k}")


def read_and_pull(
    backbone: Backbone, prompt: Any, inputs: Any, **options: Any
) -> tuple[Tensor, list[Tensor]]:
    """The states of real tokens, and the gradients that a function of them gives the prompts."""
    prompts = [prompt] if isinstance(prompt, Prompt) else prompt
    trained = list({id(p): p for one in prompts if one for p in one.parameters()}.values())
    with backbone.prompted(prompt, **options):
        states = backbone.read(inputs)
        states = states[inputs["attention_mask"].bool()] if "attention_mask" in inputs else states
        weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(3))
        gradients = torch.autograd.grad((states * weights).sum(), trained, allow_unused=True)
    return states, [torch.zeros(1) if g is None else g for g in gradients]


def batches(family: str) -> list[dict[str, Tensor]]:
    """Batches of the same rows in other company and, of texts, other padding."""
    if family in VISION:
        some = pixels(5)
        return [{"pixel_values": some[order]} for order in ([0, 1, 2], [2, 3], [4, 0, 3, 1, 2])]
    rows = [ids(1, n, n)[0] for n in (4, 7, 5, 9, 2)]
    return [
        pad([rows[i] for i in order], side)
        for order, side in (([0, 1, 2], "right"), ([2, 3], "right"), ([4, 0, 3, 1], "left"), ([1], "right"))
    ]


def same_with_and_without(
    backbone: Backbone, prompt: Any, inputs: Any, made: ActivationCache, **options: Any
) -> None:
    states, gradients = read_and_pull(backbone, prompt, inputs, **options)
    with backbone.cached(made):
        for _ in range(2):
            ours, own = read_and_pull(backbone, prompt, inputs, **options)
            close(ours, states)
            for mine, theirs in zip(own, gradients, strict=True):
                close(mine, theirs, 1e-4)


@pytest.mark.parametrize("k", range(1, N_LAYERS))
@pytest.mark.parametrize("family", READERS + PICTURES)
def test_states_and_gradients_under_a_prefix_on_the_last_layers(family, k):
    backbone = backbone_of(family)
    prompt = prompt_of(backbone, "prefix", k)
    made = ActivationCache(backbone, [prompt], memory())
    assert (made.n_below, made.n_layers) == (k, N_LAYERS)
    n_rows = 0
    for inputs in batches(family):
        same_with_and_without(backbone, prompt, inputs, made)
        n_rows += 2 * len(next(iter(inputs.values())))
    # Every row was computed once, in whatever company it came later.
    assert made.counts.computed == 5
    assert made.counts.found == n_rows - 5


@pytest.mark.parametrize("kind", ["adapter", "lora", "tuned"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "deberta_v2", "vit", "dinov2"])
def test_states_and_gradients_under_inserted_modules_and_tuned_tensors(family, kind):
    if kind == "lora":
        pytest.importorskip("peft")
    backbone = backbone_of(family)
    prompt = prompt_of(backbone, kind, 2)
    made = ActivationCache(backbone, [prompt], memory())
    assert made.n_below == 2
    for inputs in batches(family):
        same_with_and_without(backbone, prompt, inputs, made)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3", "bert", "roberta", "modernbert", "deberta_v2"])
def test_the_same_shapes_give_the_same_bits(family):
    backbone = backbone_of(family)
    prompt = random_prefix(backbone, layers="last:1")
    inputs = text_for(backbone, batch=3)
    states, gradients = read_and_pull(backbone, prompt, inputs)
    with backbone.cached(ActivationCache(backbone, [prompt], memory())):
        for _ in range(2):
            ours, own = read_and_pull(backbone, prompt, inputs)
            assert torch.equal(ours, states)
            assert all(torch.equal(a, b) for a, b in zip(own, gradients, strict=True))


@pytest.mark.parametrize("name", ["classification", "pair", "tagging"])
@pytest.mark.parametrize("family", ["bert", "roberta", "deberta_v2", "modernbert", "gpt2", "llama"])
def test_a_head_alone_needs_no_layer(family, name):
    backbone = reader(family)
    task = CASES[name].task(backbone)
    prompt = prompt_for(backbone, task, "head_only")
    made = ActivationCache(backbone, [prompt], memory())
    assert made.n_below == made.n_layers
    examples = [task.encode(record) for record in CASES[name].records]

    def outputs() -> Tensor:
        with backbone.prompted(prompt):
            # Outputs at padding are noise; the loss is of a text's own places.
            return task.loss(examples) if name == "tagging" else next(iter(read(backbone, examples))).outputs

    calls: list[int] = []
    plain = outputs()
    with backbone.cached(made):
        first = outputs()
        handles = [a.module.register_forward_hook(lambda *_: calls.append(1)) for a in backbone.sites]
        again = outputs()
    for handle in handles:
        handle.remove()
    close(first, plain)
    close(again, plain)
    assert not calls  # no attention ran


def trained(
    backbone: Backbone, prompt: Prompt, case: Any, made: ActivationCache | None, orders: Any
) -> list[float]:
    """Steps over batches of the case's records; leaves the prompt trained and gives the losses."""
    task = case.task(backbone)
    examples = [task.encode(record) for record in case.records]
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=0.05)
    losses = []
    with torch.enable_grad():
        for order in orders:
            batch = [examples[i] for i in order]
            if made is None:
                with backbone.prompted(prompt):
                    loss = task.loss(batch) / sum(e.n_targets for e in batch)
                    loss.backward()
            else:
                with backbone.cached(made), backbone.prompted(prompt):
                    loss = task.loss(batch) / sum(e.n_targets for e in batch)
                    loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


ORDERS = ([0, 1, 2], [3, 4], [2, 0], [4, 1, 3], [3, 2, 1, 0, 4])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("gpt2", "generation"), ("llama", "generation"), ("gemma3", "generation"), ("mistral", "generation"),
        ("gpt2", "classification"), ("bert", "classification"), ("bert", "pair"), ("roberta", "pair"),
        ("deberta_v2", "classification"), ("deberta_v3", "pair"), ("modernbert", "classification"),
    ],
)  # fmt: skip
def test_training_ends_the_same(family, name, checkpointing):
    backbone = reader(family)
    case = WRITING if name == "generation" else CASES[name]
    task = None if name == "generation" else case.task(backbone)
    method = "prefix_tuning" if name == "generation" else "p_tuning_v2"
    one = prompt_for(backbone, task, method, length=3, layers="last:1")
    other = copy.deepcopy(one)
    made = ActivationCache(backbone, [other], memory())
    with backbone.training_mode(False, checkpointing and backbone.model.supports_gradient_checkpointing):
        losses = trained(backbone, one, case, None, ORDERS)
        ours = trained(backbone, other, case, made, ORDERS)
    assert ours == pytest.approx(losses, rel=1e-4)
    for mine, theirs in zip(other.parameters(), one.parameters(), strict=True):
        close(mine, theirs, 2e-3)  # after five steps of Adam, which divides by small gradients
    assert made.counts.computed == 5


@pytest.mark.parametrize("family", ["bert_mlm", "roberta_mlm", "modernbert_mlm", "deberta_v2_mlm", "gpt2"])
def test_labelled_logits_and_states(family):
    backbone = tiny_backbone(family)
    prompt = random_prefix(backbone, layers="last:1")
    inputs = pad([ids(1, n, n)[0] for n in (4, 7)], "right")
    labelled = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    labelled[0, 1] = labelled[1, 5] = labelled[1, 6] = True
    with backbone.prompted(prompt):
        logits, states = (
            backbone.labelled_logits(inputs, labelled),
            backbone.labelled_states(inputs, labelled),
        )
    made = ActivationCache(backbone, [prompt], memory())
    with backbone.cached(made), backbone.prompted(prompt):
        for _ in range(2):
            close(backbone.labelled_logits(inputs, labelled), logits)
            close(backbone.labelled_states(inputs, labelled), states)
    assert made.counts.computed == 2


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "vit"])
def test_rows_of_different_prompts(family):
    backbone = backbone_of(family)
    if family == "vit":
        both = [prompt_of(backbone, "prefix", k) for k in (2, 1)]
    else:
        # Other lengths move the text to other positions, which are other states below.
        both = [random_prefix(backbone, n, seed=n, layers=f"last:{k}") for n, k in ((2, 1), (5, 2))]
    made = ActivationCache(backbone, both, memory())
    assert made.n_below == 1
    inputs = batches(family)[0]
    for rows in ([0, 1, 1], [1, 1, 0], [0, 0, 0]):
        same_with_and_without(backbone, both, inputs, made, rows=rows)
    if family in ("gpt2", "llama", "bert"):
        assert made.counts.computed == 2 * 3  # each row at the positions of either prompt
    elif family == "vit":
        assert made.counts.computed == 3  # which has no positions to move


@pytest.mark.parametrize("order", [[0], [1], [2], [0, 1, 2]])
def test_a_row_alone_is_what_it_was_in_company(order):
    backbone = backbone_of("llama")
    prompt = random_prefix(backbone, layers="last:1")
    rows = [ids(1, n, n)[0] for n in (4, 7, 5)]
    made = ActivationCache(backbone, [prompt], memory())
    with backbone.cached(made), backbone.prompted(prompt):
        backbone.read(pad(rows, "right"))
    same_with_and_without(backbone, prompt, pad([rows[i] for i in order], "left"), made)
    assert made.counts.computed == 3


@pytest.mark.parametrize(
    "change", ["other weights", "another layer", "eager attention", "another precision", "other token types"]
)
def test_whatever_decides_the_states_is_in_the_key(change):
    states = memory()

    def fill(backbone: Backbone, layers: str = "last:1", types: int = 0) -> int:
        prompt = random_prefix(backbone, layers=layers)
        made = ActivationCache(backbone, [prompt], states)
        inputs = {**text_for(backbone, 2), "token_type_ids": torch.full((2, 7), types)}
        with backbone.cached(made), backbone.prompted(prompt):
            backbone.read(inputs)
        return made.counts.found

    assert fill(tiny_backbone("bert")) == 0
    assert fill(tiny_backbone("bert")) == 2
    if change == "other weights":
        assert fill(tiny_backbone("bert", seed=1)) == 0
    elif change == "another layer":
        assert fill(tiny_backbone("bert"), layers="last:2") == 0
    elif change == "eager attention":
        assert fill(tiny_backbone("bert", attention="eager")) == 0
    elif change == "another precision":
        backbone = tiny_backbone("bert")
        assert fill(Backbone(backbone.model.to(torch.bfloat16), None, "test")) == 0
    else:
        assert fill(tiny_backbone("bert"), types=1) == 0


def test_over_the_limit_rows_are_computed_and_nothing_is_driven_out():
    backbone = backbone_of("gpt2")
    prompt = random_prefix(backbone, layers="last:1")
    said: list[int] = []
    inputs = pad([ids(1, n, n)[0] for n in (4, 7, 5)], "right")
    row_bytes = backbone.hidden * 4
    made = ActivationCache(backbone, [prompt], ActivationStore(10 * row_bytes), lambda: said.append(1))
    for _ in range(3):
        same_with_and_without(backbone, prompt, inputs, made)
    # The first and the last row fit, 4 and 5 tokens; the second, of 7, never does.
    assert made.states.n_bytes == 9 * row_bytes
    assert made.counts.computed == 2 + 6
    assert made.counts.unkept == 6
    assert made.counts.found == 6 * 3 - 8
    assert said == [1]


def test_equal_rows_of_one_batch_are_kept_and_counted_once():
    backbone = backbone_of("llama")
    prompt = random_prefix(backbone, layers="last:1")
    row = ids(1, 5)
    sizes = []
    for batch in (row, row.repeat(3, 1)):
        states = memory()
        with backbone.cached(ActivationCache(backbone, [prompt], states)), backbone.prompted(prompt):
            backbone.read({"input_ids": batch})
        assert states.n_rows == 1
        sizes.append(states.n_bytes)
    assert sizes[0] == sizes[1] == 5 * backbone.hidden * backbone.dtype.itemsize


def test_texts_with_holes_and_given_vectors_are_computed_as_ever():
    backbone = backbone_of("gpt2")
    prompt = random_prefix(backbone, layers="last:1")
    made = ActivationCache(backbone, [prompt], memory())
    holes = text_for(backbone, 2)
    holes["attention_mask"][0, 3] = 0
    same_with_and_without(backbone, prompt, holes, made)
    vectors = {"inputs_embeds": torch.randn(2, 4, backbone.hidden), "attention_mask": torch.ones(2, 4).long()}
    same_with_and_without(backbone, prompt, vectors, made)
    assert made.counts.computed == 0


def test_the_model_is_as_it_was_afterwards():
    backbone = backbone_of("gpt2")
    model = backbone.model
    prompt = random_prefix(backbone, layers="last:1")
    inputs = text_for(backbone)
    before = model(**inputs).logits
    with backbone.cached(ActivationCache(backbone, [prompt], memory())), backbone.prompted(prompt):
        backbone.read(inputs)
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert torch.equal(model(**inputs).logits, before)


def test_dropout_of_the_prompt_draws_the_same_numbers():
    backbone = backbone_of("llama")
    prompt = random_prefix(backbone, layers="last:1", dropout=0.5).train()
    inputs = text_for(backbone, batch=3)
    made = ActivationCache(backbone, [prompt], memory())
    torch.manual_seed(1)
    plain = read_and_pull(backbone, prompt, inputs)[0]
    with backbone.cached(made):
        for _ in range(2):  # computed, then found
            torch.manual_seed(1)
            assert torch.equal(read_and_pull(backbone, prompt, inputs)[0], plain)


def test_in_half_precision_states_are_kept_as_the_backbone_gives_them():
    whole = tiny_backbone("llama")
    backbone = Backbone(whole.model.to(torch.bfloat16), None, "test")
    prompt = random_prefix(backbone, layers="last:1")
    inputs = text_for(backbone, batch=2)
    states = memory()
    with backbone.prompted(prompt):
        plain = backbone.read(inputs)
    with backbone.cached(ActivationCache(backbone, [prompt], states)), backbone.prompted(prompt):
        assert torch.equal(backbone.read(inputs), plain)
        assert torch.equal(backbone.read(inputs), plain)
    assert states.n_bytes == 2 * 7 * backbone.hidden * 2


# -- what has no trunk ---------------------------------------------------------------------------


def refusal(backbone: Backbone, prompt: Prompt) -> str:
    with pytest.raises((PromptError, BackboneError)) as found:
        ActivationCache(backbone, [prompt], memory())
    return str(found.value)


def test_prompts_that_act_in_the_first_layer_are_refused_with_the_reason():
    gpt2, bert, vit = (backbone_of(family) for family in ("gpt2", "bert", "vit"))
    assert "soft tokens before the text" in refusal(gpt2, soft_tokens(gpt2))
    assert "soft tokens before the text" in refusal(bert, soft_tokens(bert))
    assert "key/values in layer 0" in refusal(gpt2, random_prefix(gpt2, layers=[0, 2]))
    assert "slots in the text" in refusal(bert, softprompt.p_tuning(bert, 2, initialization="random"))
    assert "a tuned tensor" in refusal(gpt2, softprompt.fine_tuning(gpt2, tune="bitfit"))
    assert "a tuned tensor" in refusal(bert, softprompt.fine_tuning(bert, tune="all"))
    assert "a module beside" in refusal(bert, softprompt.adapter(bert, width=4))
    shallow = softprompt.visual_prompt_tuning(vit, 2, depth="shallow")
    assert "prepend before the first layer" in refusal(vit, shallow)
    border = softprompt.visual_prompt_tuning(vit, 2, location="pixel-pad")
    assert "pixel-pad before the first layer" in refusal(vit, border)
    everywhere = softprompt.visual_prompt_tuning(vit, 2, depth="deep")
    assert "tokens in layer 0" in refusal(vit, everywhere)


def test_the_lowest_of_all_parts_decides():
    backbone = backbone_of("gpt2")
    cases = [
        (softprompt.fine_tuning(backbone, tune="last:1"), 2),
        (softprompt.fine_tuning(backbone, tune="last:2"), 1),
        (softprompt.fine_tuning(backbone, tune="head"), 3),
        (softprompt.adapter(backbone, width=4, layers=[1, 2]), 1),
        (random_prefix(backbone, layers=[2]), 2),
    ]
    for prompt, k in cases:
        assert ActivationCache(backbone, [prompt], memory()).n_below == k
    assert ActivationCache(backbone, [prompt for prompt, _ in cases], memory()).n_below == 1
    vit = backbone_of("vit")
    # Its last norm stands behind the last layer.
    assert ActivationCache(vit, [softprompt.fine_tuning(vit, tune="last:1")], memory()).n_below == 2
    # GPT-2's head is its embeddings: tuned in both places they are below everything.
    assert "a tuned tensor" in refusal(backbone, softprompt.fine_tuning(backbone, tune="all"))


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("albert", "share one module"), ("albert_groups", "share one module"),
        ("t5", "an encoder-decoder"), ("bart", "an encoder-decoder"), ("swin", "windows"),
    ],
)  # fmt: skip
def test_families_without_a_trunk_are_refused_by_name(family, reason):
    found = refusal(backbone_of(family), bare_prompt(backbone_of(family)))
    assert reason in found
    assert family.partition("_")[0] in found


def test_a_prompt_below_the_cache_and_a_second_cache_are_refused():
    backbone = backbone_of("bert")
    made = ActivationCache(backbone, [random_prefix(backbone, layers="last:1")], memory())
    with backbone.cached(made):
        with pytest.raises(BackboneError, match=r"acts in layer 1, expected .* layer 2 or above"):
            backbone.prompted(random_prefix(backbone, layers="last:2"))
        with pytest.raises(BackboneError, match="one activation cache at a time"), backbone.cached(made):
            pass
    with backbone.prompted(random_prefix(backbone, layers="last:2")):
        pass


def test_a_family_whose_later_layers_need_the_lower_ones_is_refused():
    backbone = tiny_backbone("llama")
    first, last = backbone.sites[0].module, backbone.sites[-1].module
    seen: list[Tensor] = []
    first.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    last.register_forward_hook(lambda module, args, output: (output[0] + sum(seen), None))
    backbone.model.base_model.register_forward_pre_hook(lambda *_: seen.clear())
    assert "compute something else" in refusal(backbone, random_prefix(backbone, layers="last:1"))
