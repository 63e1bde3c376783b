"""Whole trainings side by side: each part ends where training it alone ends."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.config import TrainingSettings
from softprompt.data.records import pairs
from softprompt.errors import TrainingError
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.mixture import PartExample
from softprompt.training.distributed import Processes
from softprompt.training.evaluation import mean_loss
from softprompt.training.loop import Evaluate, Loop, Objective, OneTask
from softprompt.training.multitask import PromptSet, SeveralTasks
from softprompt.training.run_folder import Checkpoints, State
from support.prompts import close
from support.questions import CASES, WRITING, Case, prompt_for, reader

# Part: its task, how many examples it has, its method and the method's options.
PARTS: dict[str, tuple[Case, int, str, dict[str, Any]]] = {
    "text": (CASES["classification"], 7, "p_tuning_v2", {"length": 3}),
    "tags": (CASES["tagging"], 4, "prompt_tuning", {"length": 2}),
    "keys": (CASES["choice"], 3, "p_tuning_v2", {"length": 4, "layers": "last:1"}),
    "head": (CASES["spans"], 2, "head_only", {}),
}
USERS: dict[str, tuple[Case, int, str, dict[str, Any]]] = {
    "ann": (WRITING, 5, "prefix_tuning", {"length": 3, "width": 8}),
    "bob": (WRITING, 3, "prefix_tuning", {"length": 5, "reparameterization": None}),
    "cid": (WRITING, 2, "prompt_tuning", {"length": 2}),
}


def settings(**changes: Any) -> TrainingSettings:
    given = {"steps": 9, "batch_size": 3, "learning_rate": 0.03, "evaluate_every": 2, "checkpoint_every": 4}
    return TrainingSettings(**{**given, **changes})


class Part:
    """A task with its own examples, development set and prompt."""

    def __init__(
        self, backbone: Backbone, case: Case, n: int, method: str, options: dict[str, Any], seed: int
    ):
        records = pairs(case.records)
        self.task = case.task(backbone)
        self.examples = [self.task.encode(records[i % len(records)]) for i in range(n)]
        self.dev = [self.task.encode(record) for record in records[::-2]]
        if case is CASES["classification"]:
            # Labels that training leads away from, so that this part is best early.
            wrong = [replace(record, label="yes" if record.label == "no" else "no") for record in records]
            self.dev = [self.task.encode(record) for record in wrong]
        self.prompt = prompt_for(backbone, self.task, method, seed, **options)


def parts_of(backbone: Backbone, table: dict[str, Any] = PARTS) -> dict[str, Part]:
    return {name: Part(backbone, *row, seed) for seed, (name, row) in enumerate(table.items())}


def share(parts: dict[str, Part]) -> dict[str, Part]:
    """Every part gets the first one's prompt under its own head."""
    first = next(iter(parts.values())).prompt
    for part in parts.values():
        part.prompt = first.with_head(part.prompt.head)
    return parts


def objective_of(
    prompts: str, backbone: Backbone, parts: dict[str, Part], given: TrainingSettings
) -> Objective:
    trained = SeveralTasks(
        backbone,
        {name: part.task for name, part in parts.items()},
        PromptSet({name: part.prompt for name, part in parts.items()}),
    )
    examples = [PartExample(name, example) for name, part in parts.items() for example in part.examples]
    return Objective(trained, examples, given, trained.groups(examples) if prompts == "separate" else None)


def parts_in(objective: Objective, state: State) -> set[str]:
    """The parts that the next step has an example of."""
    examples: Any = objective.examples
    return {examples[i].part for i in objective.batch(state)}


def together(
    prompts: str,
    backbone: Backbone,
    parts: dict[str, Part],
    folder: Path,
    given: TrainingSettings,
    **more: Any,
) -> Loop:
    def evaluate(check: Callable[[], None]) -> dict[str, float]:
        values = {f"{name}.loss": loss_of(backbone, part) for name, part in parts.items()}
        return {"loss": sum(values.values()) / len(values), **values}

    options = {"processes": Processes(), "evaluate": evaluate, **more}
    return Loop(objective_of(prompts, backbone, parts, given), Checkpoints(folder), **options)


def loss_of(backbone: Backbone, part: Part) -> float:
    return mean_loss(backbone, part.task, part.prompt, part.dev, 2, Processes())


def alone(
    backbone: Backbone, part: Part, folder: Path, given: TrainingSettings, evaluate: Evaluate | None = None
) -> Loop:
    objective = Objective(OneTask(backbone, part.task, part.prompt), part.examples, given)
    measure = evaluate or (lambda check: {"loss": loss_of(backbone, part)})
    return Loop(objective, Checkpoints(folder), Processes(), measure if part.dev else None)


def tensors(prompt: Prompt) -> dict[str, Tensor]:
    found = {name: tensor.clone() for name, tensor in prompt.state_dict().items()}
    if prompt.head is not None and prompt.head.card.kind in ("choice", "span"):
        # Added to every score of a softmax, it changes nothing: its gradient is rounding, blown up by Adam.
        del found["head.bias"]
    return found


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        close(tensor, theirs[name], tolerance)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("bert", {"clip_norm": 0.05, "weight_decay": 0.3, "schedule": "cosine", "warmup_steps": 2}),
        ("bert", {"accumulation": 3, "loss": "sequence_sum", "clip_norm": None, "by_length": False}),
        ("bert", {"patience": 1, "learning_rate": 0.3, "evaluate_every": 1}),
        ("llama", {"head_learning_rate": 0.1, "seed": 3}),
    ],
    ids=lambda given: given if isinstance(given, str) else "-".join(given),
)
def test_separate_prompts_end_as_though_trained_alone(family, changes, tmp_path):
    given = settings(**changes)
    backbone = reader(family)
    parts, singles = parts_of(backbone), parts_of(backbone)
    loop = together("separate", backbone, parts, tmp_path / "all", given)
    state = loop.run()
    best_steps = set()
    stopped = set()
    for name, part in singles.items():
        begin = tensors(part.prompt)
        single = alone(backbone, part, tmp_path / name, given)
        own = single.run()
        same(tensors(parts[name].prompt), tensors(part.prompt), 2e-4)
        step, value = state.parts[name]
        assert (step, value) == (own.best_step, pytest.approx(own.best_value, rel=1e-4))
        assert own.best_step == 0 or any(
            not torch.equal(tensor, begin[key]) for key, tensor in tensors(part.prompt).items()
        )
        best_steps.add(own.best_step)
        stopped.add(own.step)
    assert len(best_steps) > 1, "every part has the same best step, so nothing is shown"
    if "patience" in changes:
        assert len(stopped) > 1 and max(stopped) == state.step
        assert loop.stopped_early == (state.step < loop.n_steps)


def test_a_part_whose_patience_ran_out_waits_and_is_not_best_again(tmp_path):
    """Development losses are given: of `text` the patience ends before its best value comes."""
    given = settings(patience=2, evaluate_every=1, checkpoint_every=100)
    losses = {
        "text": [3, 2, 4, 4, 1, 1, 1, 1, 1, 1],
        "tags": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
        "keys": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        "head": [5, 6, 4, 5, 6, 3, 2, 1, 0, 0],
    }
    stops = {"text": 3, "tags": 9, "keys": 2, "head": 4}
    backbone = reader("bert")
    parts = parts_of(backbone)
    there: list[set[str]] = []
    objective = objective_of("separate", backbone, parts, given)

    def evaluate(check: Callable[[], None]) -> dict[str, float]:
        step = loop.state.step
        return {"loss": 0.0, **{f"{name}.loss": values[step] for name, values in losses.items()}}

    def log(line: Any) -> None:
        if line["kind"] == "evaluation" and line["step"] < 9:  # before each step
            there.append(parts_in(objective, loop.state))

    loop = Loop(objective, Checkpoints(tmp_path / "all"), Processes(), evaluate, log)
    state = loop.run()
    assert [{name for name, stop in stops.items() if step < stop} for step in range(9)] == there
    assert state.parts == {"text": (1, 2), "tags": (9, 0), "keys": (0, 1), "head": (2, 4)}
    for name, part in parts_of(backbone).items():
        values = iter([{"loss": loss} for loss in losses[name]])
        single = alone(backbone, part, tmp_path / name, given, lambda check, values=values: next(values))
        own = single.run()
        assert (own.step, own.best_step) == (stops[name], state.parts[name][0])
        same(tensors(parts[name].prompt), tensors(part.prompt), 2e-4)


def test_separate_prompts_of_several_users_end_as_though_trained_alone(tmp_path):
    backbone = reader("gpt2")
    given = settings(steps=6)
    parts = parts_of(backbone, USERS)
    together("separate", backbone, parts, tmp_path / "all", given).run()
    for name, part in parts_of(backbone, USERS).items():
        alone(backbone, part, tmp_path / name, given).run()
        same(tensors(parts[name].prompt), tensors(part.prompt), 2e-4)


def test_without_a_development_set_the_last_prompts_are_the_result(tmp_path):
    backbone = reader("bert")
    parts = parts_of(backbone)
    together(
        "separate", backbone, parts, tmp_path / "all", settings(evaluate_every=None), evaluate=None
    ).run()
    for name, part in parts_of(backbone).items():
        part.dev = []
        alone(backbone, part, tmp_path / name, settings()).run()
        same(tensors(parts[name].prompt), tensors(part.prompt), 2e-4)


def test_an_epoch_of_separate_prompts_is_that_of_the_largest_part(tmp_path):
    backbone = reader("bert")
    objective = objective_of("separate", backbone, parts_of(backbone), settings(evaluate_every=None))
    assert objective.steps_per_epoch == 3 == objective.evaluate_every
    sizes = [len(objective.batch(State(step))) for step in range(6)]
    # 3+3+3+2, then 3+1+3+2, then 1+3+3+2, and around again.
    assert sum(sizes[:3]) == 7 + (4 + 3) + 3 * 3 + 3 * 2


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_shared_prompt_with_one_part_is_plain_training_bit_for_bit(dropout, tmp_path):
    backbone = reader("bert")
    one, other = (
        Part(backbone, CASES["choice"], 7, "p_tuning_v2", {"length": 3, "dropout": dropout}, 0)
        for _ in range(2)
    )
    given = settings(weight_decay=0.1, accumulation=2)
    shared = together("shared", backbone, {"only": one}, tmp_path / "shared", given).run()
    plain = alone(backbone, other, tmp_path / "plain", given).run()
    assert (shared.best_step, shared.best_value) == (plain.best_step, plain.best_value)
    ours, theirs = tensors(one.prompt), tensors(other.prompt)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_shared_prompt_takes_the_steps_of_the_sum_of_its_parts_losses(tmp_path):
    """Against a training written out by hand, part by part and one pass for each."""
    backbone = reader("bert")
    given = settings(batch_size=5, clip_norm=0.5, weight_decay=0.1, schedule="constant")
    parts, hand = share(parts_of(backbone)), share(parts_of(backbone))
    together("shared", backbone, parts, tmp_path, given, evaluate=None).run()
    objective = objective_of("shared", backbone, parts, given)

    examples = [(name, example) for name, part in hand.items() for example in part.examples]
    own = {id(p): p for part in hand.values() for p in part.prompt.parameters()}
    trained = list(own.values())
    optimizer = torch.optim.AdamW(trained, lr=0.03, weight_decay=0.1)
    absent = 0
    for step in range(9):
        batch = [examples[i] for i in objective.batch(State(step))]
        optimizer.zero_grad()
        for name, part in hand.items():
            mine = [example for other, example in batch if other == name]
            absent += not mine
            if mine:
                with backbone.prompted(part.prompt):
                    (part.task.loss(mine) / sum(example.n_targets for _, example in batch)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.5)
        optimizer.step()
    assert absent > 0
    for name, part in hand.items():
        same(tensors(parts[name].prompt), tensors(part.prompt), 2e-4)


def test_the_parts_of_a_shared_prompt_have_one_prompt_and_a_head_each(tmp_path):
    backbone = reader("bert")
    parts = share(parts_of(backbone))
    before = {name: tensors(part.prompt) for name, part in parts.items()}
    loop = together("shared", backbone, parts, tmp_path, settings(evaluate_every=3))
    loop.run()
    after = {name: tensors(part.prompt) for name, part in parts.items()}
    assert loop.state.best_step > 0
    for name, found in after.items():
        assert torch.equal(found["blocks.0.flat"], after["text"]["blocks.0.flat"])
        assert not torch.equal(found["blocks.0.flat"], before[name]["blocks.0.flat"])
        assert not torch.equal(found["head.weight"], before[name]["head.weight"])
    prompts = PromptSet({name: part.prompt for name, part in parts.items()})
    n_once = sum(p.numel() for p in prompts.parameters())
    heads = sum(p.numel() for part in parts.values() for p in part.prompt.head.parameters())
    assert n_once == parts["text"].prompt.blocks[0].flat.numel() + heads


class OneOfTwo(Processes):
    """The first of two processes, of which the other never has an example."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 2

    def sum(self, tensors: Any) -> list[Tensor]:
        return [tensor.clone() for tensor in tensors]

    def same(self, tensors: Any) -> None:
        pass


@pytest.mark.parametrize("processes", [Processes, OneOfTwo])
def test_the_head_of_an_absent_part_rests(processes, tmp_path):
    backbone = reader("bert")
    parts = share(parts_of(backbone))
    given = settings(batch_size=1, steps=3, weight_decay=0.1)
    loop = together("shared", backbone, parts, tmp_path, given, processes=processes(), evaluate=None)
    objective = objective_of("shared", backbone, parts, given)
    seen = set().union(*(parts_in(objective, State(step)) for step in range(3)))
    before = {name: tensors(part.prompt) for name, part in parts.items()}
    loop.run()
    for name, part in parts.items():
        rested = torch.equal(tensors(part.prompt)["head.weight"], before[name]["head.weight"])
        assert rested == (name not in seen)
    assert 0 < len(seen) < len(parts)


@pytest.mark.parametrize("kind", ["shared", "separate"])
@pytest.mark.parametrize("stop_at", [3, 5, 7])
def test_resumed_is_uninterrupted_bit_for_bit(kind, stop_at, tmp_path):
    backbone = reader("bert")
    given = settings(weight_decay=0.1, patience=3)

    def fresh() -> dict[str, Part]:
        parts = parts_of(backbone)
        return share(parts) if kind == "shared" else parts

    whole = fresh()
    uninterrupted = together(kind, backbone, whole, tmp_path / "whole", given)
    uninterrupted.run()

    def killed(line: Any) -> None:
        # As a kill would have it: what came after the last checkpoint is lost.
        if line["kind"] == "step" and line["step"] == stop_at:
            raise SystemExit

    loop = together(kind, backbone, fresh(), tmp_path / "cut", given, log=killed)
    with pytest.raises(SystemExit):
        loop.run()
    again = fresh()
    resumed = together(kind, backbone, again, tmp_path / "cut", given)
    checkpoint = Checkpoints(tmp_path / "cut").newest()
    assert checkpoint is not None and checkpoint.step == stop_at // 4 * 4
    resumed.restore(checkpoint)
    resumed.run()
    for name, part in whole.items():
        ours, theirs = tensors(again[name].prompt), tensors(part.prompt)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert {k: list(v) for k, v in resumed.state.parts.items()} == {
        k: list(v) for k, v in uninterrupted.state.parts.items()
    }
    assert resumed.state.step == uninterrupted.state.step


def test_one_part_without_a_finite_gradient_is_named(tmp_path):
    backbone = reader("bert")
    parts = parts_of(backbone)
    loop = together("separate", backbone, parts, tmp_path, settings(), evaluate=None)
    parts["tags"].prompt.head.weight.data[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="training step 1, part tags: got gradient norm nan"):
        loop.run()


def test_other_examples_do_not_resume(tmp_path):
    backbone = reader("bert")
    together("separate", backbone, parts_of(backbone), tmp_path, settings(steps=4)).run()
    other = parts_of(backbone)
    other["text"].examples.reverse()
    loop = together("separate", backbone, other, tmp_path, settings(steps=4))
    with pytest.raises(TrainingError, match="other pairs than those of the checkpoint"):
        loop.restore(Checkpoints(tmp_path).newest())


def test_a_set_takes_parts_of_any_name():
    backbone = reader("bert")
    task = CASES["choice"].task(backbone)
    prompts = {
        name: prompt_for(backbone, task, "head_only", i) for i, name in enumerate(["keys", "1", "prompts"])
    }
    together_ = PromptSet(prompts)
    assert list(together_) == list(prompts)
    assert all(together_[name] is prompt for name, prompt in prompts.items())
    begins = [together_.tensors_of(name) for name in prompts]
    assert all(sum(key.startswith(begin) for key in together_.state_dict()) == 2 for begin in begins)
