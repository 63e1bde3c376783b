"""A pass that is interrupted, wherever that is, leaves every later pass right and nothing on the model."""

import asyncio
import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LogitsProcessor, StoppingCriteria

import softprompt
from support.interrupts import interrupted_at
from support.leftovers import leftovers
from support.prompts import close, disturb, inputs_for
from support.references import generated_by_hand, logits_by_hand, make
from support.tiny import ids, tiny_backbone, tiny_model
from support.tiny_vision import pixels, tiny_vision, tiny_vision_model

KINDS = (KeyboardInterrupt, asyncio.CancelledError, SystemExit, GeneratorExit, RuntimeError)
N_NEW = 4


class Case:
    """A backbone with a prompt, and the results of untouched copies of both.

    Args:
        family: of the backbone.
        method: of the prompt.
    """

    def __init__(self, family: str, method: str):
        self.family, self.method = family, method
        self.backbone, self.prompt, self.inputs = self._made()
        other, prompt, inputs = self._made()
        stock = tiny_vision_model(family) if family in ("vit", "swin") else tiny_model(family)
        with torch.no_grad():
            self.bare = stock(**inputs)[0]
            with other.prompted(prompt) as prompted:
                self.prompted = prompted(**inputs)[0]
            if family == "llama":  # the by-hand reference
                close(self.prompted, logits_by_hand(prompt, inputs["input_ids"]))
        assert not torch.allclose(self.prompted, self.bare, atol=1e-3)
        self.gradients = gradients(other, prompt, inputs)
        # T5 has more than twice as many modules as the others, most of them for dropout.
        self.modules = list(self.backbone.model.modules())[:: 3 if family == "t5" else 1]
        self.check()
        self.before = leftovers(self.backbone.model)

    def _made(self) -> tuple[Any, Any, dict[str, Tensor]]:
        if self.family in ("vit", "swin"):
            backbone = tiny_vision(self.family)
            prompt = softprompt.visual_prompt_tuning(backbone, length=2, depth=self.method, seed=0)
            return backbone, disturb(prompt).eval(), {"pixel_values": pixels(2)}
        backbone = tiny_backbone(self.family)
        return backbone, make(backbone, self.method).eval(), inputs_for(backbone)

    def check(self) -> None:
        """Check a prompted pass, the bare pass after it, and what stands on the model."""
        with torch.no_grad(), self.backbone.prompted(self.prompt):
            self.check_prompted()
        self.check_bare()

    def check_prompted(self) -> None:
        with torch.no_grad():
            assert torch.equal(self.backbone.model(**self.inputs)[0], self.prompted)

    def check_bare(self) -> None:
        with torch.no_grad():
            assert torch.equal(self.backbone.model(**self.inputs)[0], self.bare)

    def check_gradients(self, checkpointing: bool = False) -> None:
        for ours, expected in zip(
            gradients(self.backbone, self.prompt, self.inputs, checkpointing), self.gradients, strict=True
        ):
            close(ours, expected)

    def check_nothing_left(self) -> None:
        assert not self.backbone.in_session
        assert torch.is_grad_enabled()
        after = leftovers(self.backbone.model)
        assert not after.keys() ^ self.before.keys()
        for name, value in self.before.items():
            assert after[name] == value, name


def gradients(
    backbone: Any, prompt: Any, inputs: dict[str, Tensor], checkpointing: bool = False
) -> list[Tensor]:
    """The gradients of one training step, which are cleared afterwards."""
    prompt.train()
    try:
        with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
            backbone.model(**inputs)[0].square().mean().backward()
        return [parameter.grad for parameter in prompt.parameters()]
    finally:
        prompt.zero_grad()
        prompt.eval()


CASES = [
    ("llama", "prefix"), ("llama", "soft"), ("llama", "lora"), ("llama", "weights"), ("bert", "prefix"),
    ("bert", "soft"), ("t5", "prefix"), ("t5", "soft"), ("vit", "deep"), ("vit", "shallow"), ("swin", "deep"),
]  # fmt: skip
cases = pytest.mark.parametrize(("family", "method"), CASES)


@contextmanager
def raising(module: nn.Module, when: str, kind: type[BaseException], call: int = 1) -> Iterator[list[int]]:
    """A call of a module raises an error: before it, after it, or when its output gets its gradient.

    Args:
        module: of the model.
        when: `before`, `after` or `backward`.
        kind: of the error.
        call: which call, counted from 1.

    Yields:
        A list that is not empty once the error was raised.
    """
    counted, raised = itertools.count(1), []

    def stop(*_: Any) -> None:
        if next(counted) == call:
            raised.append(call)
            raise kind("stop")

    def mark(module: nn.Module, args: Any, output: Any) -> None:
        first = output if isinstance(output, Tensor) else output[0]
        if isinstance(first, Tensor) and first.requires_grad:
            first.register_hook(stop)

    if when == "before":
        handle: Any = module.register_forward_pre_hook(stop)
    else:
        handle = module.register_forward_hook(mark if when == "backward" else stop)
    try:
        yield raised
    finally:
        handle.remove()


def points(modules: list[nn.Module], *moments: str) -> Iterator[tuple[nn.Module, str, type[BaseException]]]:
    """Every moment of every module, with an error; every kind of error follows another."""
    kinds = itertools.cycle(KINDS)
    for module in modules:
        for when in moments:
            yield module, when, next(kinds)


@cases
def test_every_module(family, method):
    case = Case(family, method)
    n_raised = 0
    for module, when, kind in points(case.modules, "before", "after"):
        with case.backbone.prompted(case.prompt):
            with raising(module, when, kind) as raised, torch.no_grad():
                try:
                    case.backbone.model(**case.inputs)
                except kind:
                    assert raised
            case.check_prompted()
        case.check_bare()
        case.check_nothing_left()
        n_raised += len(raised)
    assert n_raised > len(case.modules)


@pytest.mark.parametrize("checkpointing", [False, True])
@cases
def test_every_module_in_training(family, method, checkpointing):
    case = Case(family, method)
    n_raised = 0
    if checkpointing and not case.backbone.model.supports_gradient_checkpointing:
        pytest.skip(f"{family} has no gradient checkpointing in transformers")
    moments = ("backward", "again") if checkpointing else ("before", "after", "backward")
    for module, when, kind in points(case.modules[::2], *moments):
        # With checkpointing, a layer's second call is in the backward pass.
        with raising(
            module, "after" if when == "again" else when, kind, 2 if when == "again" else 1
        ) as raised:
            try:
                gradients(case.backbone, case.prompt, case.inputs, checkpointing)
            except kind:
                assert raised
        case.check_gradients(checkpointing)
        case.check_bare()
        case.check_nothing_left()
        n_raised += len(raised)
    assert n_raised > len(case.modules) // 3


def generated(backbone: Any, x: Tensor, **options: Any) -> Tensor:
    return backbone.model.generate(
        x, max_new_tokens=N_NEW, min_new_tokens=N_NEW, do_sample=False, eos_token_id=None, **options
    )


@pytest.mark.parametrize("method", ["prefix", "soft", "lora", "weights"])
def test_generating(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method).eval(), ids(2, 5)
    expected, bare = generated_by_hand(prompt, x, N_NEW), generated_by_hand(None, x, N_NEW)
    assert torch.equal(generated(backbone, x), bare)

    class Stops(LogitsProcessor, StoppingCriteria):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

    choices: list[Callable[[], Any]] = [
        lambda: generated(backbone, x, logits_processor=[Stops()]),
        lambda: generated(backbone, x, stopping_criteria=[Stops()]),
    ]
    before = leftovers(backbone.model)
    for module, when, kind in points(list(backbone.model.modules()), "before", "after"):
        choices.append(lambda at=(module, when, kind, 3): _raising_in(at, lambda: generated(backbone, x)))
    for choice in choices:
        with backbone.prompted(prompt):
            with suppress(*KINDS):
                choice()
            assert torch.equal(generated(backbone, x), expected)
        assert torch.equal(generated(backbone, x), bare)
        assert leftovers(backbone.model) == before


def _raising_in(at: tuple[Any, ...], run: Callable[[], Any]) -> None:
    with raising(*at):
        run()


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_body_of_a_block(kind):
    case = Case("llama", "prefix")
    for inside in (
        lambda: case.backbone.prompted(case.prompt),
        lambda: case.backbone.training_mode(gradient_checkpointing=True),
        lambda: case.backbone.training_mode(dropout=True),
        softprompt.backbones.gradients_by_hand,
    ):
        with pytest.raises(kind, match="stop"):
            _stopped_in(inside(), kind)
        case.check()
        case.check_gradients()
        case.check_nothing_left()


def _stopped_in(context: AbstractContextManager[Any], kind: type[BaseException]) -> None:
    with context:
        raise kind("stop")


@pytest.mark.parametrize("method", ["prefix", "soft", "lora", "weights"])
def test_in_another_thread(method):
    case = Case("llama", method)
    layer = case.backbone.model.model.layers[1]

    def stopped(view: Any) -> None:
        with raising(layer, "before", KeyboardInterrupt), pytest.raises(KeyboardInterrupt, match="stop"):
            view(**case.inputs)

    def asked(view: Any) -> Tensor:
        with torch.no_grad():
            return view(**case.inputs)[0]

    with ThreadPoolExecutor(1) as pool, case.backbone.prompted(case.prompt) as prompted:
        for _ in range(3):
            pool.submit(stopped, prompted).result()
            assert torch.equal(pool.submit(asked, prompted).result(), case.prompted)
            case.check_prompted()
            with pytest.raises(softprompt.SoftpromptError):  # the thread has no session of its own
                pool.submit(asked, case.backbone.model).result()
    with ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(asked, case.backbone.model).result(), case.bare)
    case.check_bare()
    case.check_nothing_left()


@pytest.mark.parametrize("method", ["prefix", "weights"])
def test_beside_another_thread(method):
    """A call that is interrupted neither stops the calls of another thread nor keeps them waiting."""
    case = Case("llama", method)
    layer, entered, go_on = case.backbone.model.model.layers[1], threading.Event(), threading.Event()

    def hold(module: nn.Module, args: Any) -> None:
        if threading.current_thread() is other:
            entered.set()
            assert go_on.wait(60)
            raise KeyboardInterrupt

    def stopped() -> None:
        with case.backbone.prompted(case.prompt), pytest.raises(KeyboardInterrupt):
            case.backbone.model(**case.inputs)

    other = threading.Thread(target=stopped)
    handle = layer.register_forward_pre_hook(hold)
    other.start()
    assert entered.wait(60)
    if method == "prefix":  # weights stand in the model itself, so calls wait for one another
        with case.backbone.prompted(case.prompt):
            case.check_prompted()
    go_on.set()
    other.join(60)
    handle.remove()
    case.check()
    case.check_nothing_left()


def test_a_cancelled_task():
    case = Case("llama", "prefix")

    async def prompted(started: asyncio.Event) -> None:
        with torch.no_grad(), case.backbone.prompted(case.prompt):
            case.check_prompted()
            started.set()
            await asyncio.sleep(60)

    async def both() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(prompted(started))
        await started.wait()
        with case.backbone.prompted(None):
            case.check_bare()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        case.check_bare()
        case.check()

    asyncio.run(both())
    case.check_nothing_left()


OURS = "softprompt/backbones/"
STRIDE = {"pass": 13, "training": 37}
"""A run has 1,000 to 2,000 moments; those beside one another are much alike."""


def _passes(case: Case) -> dict[str, Callable[[], Any]]:
    def read() -> None:
        with torch.no_grad(), case.backbone.prompted(case.prompt):
            case.backbone.model(**case.inputs)

    def train() -> None:
        gradients(case.backbone, case.prompt, case.inputs, checkpointing=True)

    return {"pass": read, "training": train}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", ["pass", "training"])
@pytest.mark.parametrize(
    ("family", "method"), [("llama", "prefix"), ("llama", "soft"), ("llama", "weights"), ("vit", "deep")]
)
def test_a_signal_at_any_moment(family, method, what):
    """Python handles a signal (Ctrl-C) where a function begins and where one written in C has returned."""
    case = Case(family, method)
    run = _passes(case)[what]
    step = 2
    while interrupted_at(step, (OURS, "contextlib.py"), run):
        if leftovers(case.backbone.model) != case.before:
            gc.collect()  # what the interrupt cut off is undone when its traceback is freed
        case.check()
        case.check_nothing_left()
        step += STRIDE[what]
    case.check_gradients()
    assert step > 1000
