"""Gradient checkpointing under prompts: the numbers of a run without it, and nothing left on the model."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

import softprompt
from softprompt.errors import BackboneError, SoftpromptError
from support.modules import standing_on
from support.prompts import close, disturb, inputs_for, soft_tokens
from support.tiny import ENCODERS, FAMILIES, tiny_backbone
from support.tiny_vision import GLOBAL, pixels, tiny_vision

ROWS = ([0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [2, 1])
"""Prompts of two lengths and, as number 2, no prompt."""

METHODS = {
    "prefix": lambda b, n: softprompt.prefix_tuning(
        b, length=n, reparameterization=None, initialization="random", seed=n
    ),
    "mlp": lambda b, n: softprompt.prefix_tuning(b, length=n, width=4, initialization="random", seed=n),
    "soft tokens": lambda b, n: soft_tokens(b, n, seed=n),
    "adapter": lambda b, n: disturb(softprompt.adapter(b, width=n), seed=n),
    "lora": lambda b, n: disturb(softprompt.lora(b, rank=n), seed=n),
}


def gradients(backbone, prompts, rows, inputs, checkpointing):
    for prompt in prompts:
        prompt.train().zero_grad()
    chosen = [*prompts, None]
    with (
        backbone.training_mode(gradient_checkpointing=checkpointing),
        backbone.prompted(chosen, rows=rows),
    ):
        out = backbone.model(**inputs)[0]
        out.square().mean().backward()
    return out.detach(), [p.grad for prompt in prompts for p in prompt.parameters()]


def check(backbone, prompts, inputs, choices=ROWS):
    for rows in choices:
        plain_out, plain = gradients(backbone, prompts, rows, inputs, False)
        out, checkpointed = gradients(backbone, prompts, rows, inputs, True)
        close(out, plain_out)
        for a, b in zip(checkpointed, plain, strict=True):
            assert (a is None) == (b is None), rows
            if a is not None:
                close(a, b)


def checkpointable(family):
    backbone = tiny_backbone(family)
    if not backbone.model.supports_gradient_checkpointing:
        pytest.skip(f"{family} has no gradient checkpointing in transformers")
    return backbone


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("method", list(METHODS))
def test_every_choice_of_rows_has_the_gradients_of_a_plain_run(family, method):
    backbone = checkpointable(family)
    try:
        prompts = [METHODS[method](backbone, n) for n in (3, 2)]
        gradients(backbone, prompts, [0, 1], inputs_for(backbone), False)
    except SoftpromptError:
        pytest.skip(f"{method} is refused for {family}, or for several prompts in one batch")
    inputs = inputs_for(backbone)
    if not backbone.spec.is_encoder_decoder and family not in ENCODERS:
        inputs["use_cache"] = False
    if family.startswith("albert") and method in ("prefix", "mlp"):
        with pytest.raises(BackboneError, match="layers that share one module"):
            check(backbone, prompts, inputs)
    else:
        check(backbone, prompts, inputs)


@pytest.mark.parametrize("family", GLOBAL)
@pytest.mark.parametrize("depth", ["deep", "shallow"])
def test_pictures(family, depth):
    backbone = tiny_vision(family)
    if not backbone.model.supports_gradient_checkpointing:
        pytest.skip(f"{family} has no gradient checkpointing in transformers")
    # Tokens that run through the layers are as many in every row.
    lengths, choices = ((3, 2), ROWS) if depth == "deep" else ((2, 2), ROWS[:4])
    prompts = [
        disturb(softprompt.visual_prompt_tuning(backbone, length=n, depth=depth, seed=i), seed=i)
        for i, n in enumerate(lengths)
    ]
    check(backbone, prompts, {"pixel_values": pixels(2)}, choices)


@pytest.mark.parametrize("family", ["llama", "gemma3", "bert", "bart"])
@pytest.mark.parametrize("method", ["prefix", "mlp", "soft tokens", "lora"])
def test_one_prompt_under_several_numbers_beside_another(family, method):
    backbone = checkpointable(family)
    shared, other = (METHODS[method](backbone, n) for n in (2, 3))
    inputs = {**inputs_for(backbone, batch=3)}
    if family in ("llama", "gemma3"):
        inputs["use_cache"] = False
    try:
        gradients(backbone, [shared, other, shared], [0, 1, 2], inputs, False)
    except SoftpromptError:
        pytest.skip(f"{method} is refused for several prompts in one batch of {family}")
    check(backbone, [shared, other, shared], inputs, ([0, 1, 2], [2, 2, 0], [0, 3, 2], [1, 3, 3]))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_nothing_of_it_stays_on_the_model(family):
    backbone = checkpointable(family)
    before = {module: dict(vars(module)) for module in backbone.model.modules()}
    for _ in range(3):
        with backbone.training_mode(gradient_checkpointing=True):
            pass
    for module, attributes in before.items():
        assert vars(module) == attributes
        assert not module._forward_hooks
    assert not backbone.model(**inputs_for(backbone))[0].requires_grad
    pickle.dumps(backbone.model)


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_checkpointing_of_the_caller_stays(family):
    backbone = checkpointable(family)
    backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    flags = [getattr(m, "gradient_checkpointing", None) for m in backbone.model.modules()]
    functions = [getattr(m, "_gradient_checkpointing_func", None) for m in backbone.model.modules()]
    with backbone.training_mode(gradient_checkpointing=True):
        pass
    assert flags == [getattr(m, "gradient_checkpointing", None) for m in backbone.model.modules()]
    assert functions == [getattr(m, "_gradient_checkpointing_func", None) for m in backbone.model.modules()]


def modes(model):
    return [
        {name: value for name, value in vars(module).items() if isinstance(value, (bool, float))}
        for module in model.modules()
    ]


def test_ten_thousand_entries_leave_nothing():
    backbone = tiny_backbone("gpt2")
    before = standing_on(backbone.model)
    for _ in range(10_000):
        with backbone.training_mode(gradient_checkpointing=True):
            pass
    assert standing_on(backbone.model) == before


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("family", ["llama", "bert"])
def test_contexts_of_several_threads_are_left_in_any_order(family, order):
    backbone = checkpointable(family)
    before = modes(backbone.model)
    settings = [{"gradient_checkpointing": True}, {"dropout": True}, {"gradient_checkpointing": True}]
    contexts = [backbone.training_mode(**given) for given in settings]
    entered = []
    for context in contexts:
        context.__enter__()
        entered.append(modes(backbone.model))
    assert all(during != before for during in entered)
    for i in order[:-1]:
        contexts[i].__exit__(None, None, None)
    if order[-1] == 0:
        assert modes(backbone.model) == entered[0]
    contexts[order[-1]].__exit__(None, None, None)
    assert modes(backbone.model) == before


def test_threads_that_train_at_once():
    backbone = tiny_backbone("llama")
    before, inputs = modes(backbone.model), {**inputs_for(backbone), "use_cache": False}
    prompts = [METHODS["prefix"](backbone, n) for n in (2, 3, 4)]
    alone = [gradients(backbone, [prompt], [0, 0], inputs, False)[1] for prompt in prompts]
    for _ in range(5):
        with ThreadPoolExecutor(len(prompts)) as pool:
            jobs = [pool.submit(gradients, backbone, [p], [0, 0], inputs, True) for p in prompts]
            for job, expected in zip(jobs, alone, strict=True):
                for ours, theirs in zip(job.result(60)[1], expected, strict=True):
                    close(ours, theirs)
        assert modes(backbone.model) == before
