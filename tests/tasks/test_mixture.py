"""Examples of several tasks in one batch."""

import pytest
import torch

from softprompt.data.records import pairs
from softprompt.tasks.mixture import Mixture, PartExample
from support.questions import CASES, WRITING, prompt_for, reader


@pytest.fixture(scope="module")
def backbone():
    return reader("bert")


def test_an_example_tells_of_the_one_inside(backbone):
    inside = CASES["choice"].task(backbone).encode(CASES["choice"].records[1])
    example = PartExample("copa", inside)
    assert example.id == "copa/k1" and example.n_rows == 3
    assert (example.length, example.n_targets) == (inside.length, inside.n_targets)


def test_rows_count_the_parts_that_are_there(backbone):
    tasks = {name: CASES[name].task(backbone) for name in ("pair", "choice", "tagging")}
    mixture = Mixture(backbone, tasks)
    examples = [
        PartExample(name, tasks[name].encode(CASES[name].records[i]))
        for name, i in (("tagging", 1), ("choice", 1), ("tagging", 0), ("choice", 0))
    ]
    n_rows = [example.n_rows for example in examples]
    assert n_rows == [2, 3, 1, 2]
    assert mixture.present(examples) == ["choice", "tagging"]
    assert mixture.rows(examples) == [1, 1, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("names", [["pair", "choice", "tagging"], ["tagging", "pair"], ["choice"]])
def test_losses_are_those_of_the_tasks(backbone, names):
    tasks = {name: CASES[name].task(backbone) for name in ("pair", "choice", "tagging")}
    mixture = Mixture(backbone, tasks)
    by_part = {name: [tasks[name].encode(record) for record in CASES[name].records] for name in names}
    examples = [PartExample(name, example) for name, some in by_part.items() for example in some]
    prompts = {name: prompt_for(backbone, tasks[name], "p_tuning_v2", length=2) for name in tasks}
    there = [prompts[name] for name in mixture.present(examples)]
    with torch.no_grad():
        with backbone.prompted(there, rows=mixture.rows(examples)):
            losses = mixture.losses(examples)
        assert losses.keys() == set(names)
        for name, loss in losses.items():
            with backbone.prompted(prompts[name]):
                torch.testing.assert_close(loss, tasks[name].loss(by_part[name]), rtol=1e-5, atol=1e-5)


def test_losses_of_generation_are_those_of_the_tasks():
    backbone = reader("gpt2")
    tasks = {name: WRITING.task(backbone) for name in ("ann", "bob", "cid")}
    mixture = Mixture(backbone, tasks)
    encoded = [tasks["ann"].encode(record) for record in pairs(WRITING.records)]
    examples = [PartExample(name, e) for name, e in zip(["bob", "ann", "bob", "bob"], encoded, strict=False)]
    prompts = {name: prompt_for(backbone, None, "prompt_tuning", i, length=2) for i, name in enumerate(tasks)}
    assert mixture.rows(examples) == [1, 0, 1, 1]
    with torch.no_grad():
        with backbone.prompted([prompts["ann"], prompts["bob"]], rows=mixture.rows(examples)):
            losses = mixture.losses(examples)
        for name, mine in (("ann", encoded[1:2]), ("bob", [encoded[0], *encoded[2:4]])):
            with backbone.prompted(prompts[name]):
                torch.testing.assert_close(losses[name], tasks[name].loss(mine), rtol=1e-5, atol=1e-5)
    assert losses.keys() == {"ann", "bob"}
