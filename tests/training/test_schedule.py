import pytest

from softprompt.config import TrainingSettings
from softprompt.training.loop.schedule import (
    micro_batches,
    micro_batches_by_tokens,
    plan,
    rank_slice,
    steps_per_epoch,
)

LENGTHS = [(7 * i) % 53 + 1 for i in range(203)]


def settings(**changes):
    return TrainingSettings(**{"epochs": 1, "batch_size": 8, **changes})


@pytest.mark.parametrize("by_length", [True, False])
def test_every_example_comes_exactly_once_and_the_last_partial_batch_is_kept(by_length):
    batches = plan(LENGTHS, settings(by_length=by_length), epoch=3)
    assert sorted(i for batch in batches for i in batch) == list(range(203))
    assert len(batches) == steps_per_epoch(203, 8) == 26
    assert sorted(map(len, batches)) == [3] + [8] * 25


@pytest.mark.parametrize("by_length", [True, False])
def test_the_plan_is_a_pure_function_of_settings_and_epoch(by_length):
    first = plan(LENGTHS, settings(by_length=by_length), 0)
    assert first == plan(LENGTHS, settings(by_length=by_length), 0)
    assert first != plan(LENGTHS, settings(by_length=by_length), 1)
    assert first != plan(LENGTHS, settings(by_length=by_length, seed=1), 0)


def padding(batches):
    return sum(max(LENGTHS[i] for i in b) * len(b) - sum(LENGTHS[i] for i in b) for b in batches)


def test_by_length_pads_far_less_and_does_not_go_from_short_to_long():
    sorted_plan = plan(LENGTHS, settings(), 0)
    assert padding(sorted_plan) < 0.25 * padding(plan(LENGTHS, settings(by_length=False), 0))
    firsts = [LENGTHS[batch[0]] for batch in sorted_plan]
    assert firsts != sorted(firsts)


def test_by_length_mixes_batches_between_epochs_in_a_small_set():
    of = [{frozenset(batch) for batch in plan(LENGTHS, settings(), epoch)} for epoch in (0, 1)]
    assert len(of[0] & of[1]) <= 2


def test_fewer_examples_than_a_batch():
    assert [sorted(batch) for batch in plan([5, 3], settings(), 0)] == [[0, 1]]


def test_parts_and_shares_cover_a_batch_and_leave_none_empty():
    batch = list(range(10))
    assert micro_batches(batch, 4) == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]
    assert micro_batches([4, 5], 4) == [[4], [5]]
    assert micro_batches([], 4) == []
    shares = [rank_slice(batch, rank, 3) for rank in range(3)]
    assert sorted(i for one in shares for i in one) == batch
    assert rank_slice([1], 1, 2) == []


@pytest.mark.parametrize("budget", [1, 60, 200, 10**6])
def test_passes_within_a_budget_have_each_example_once_and_similar_lengths(budget):
    batch = list(range(5, 69))
    passes = micro_batches_by_tokens(batch, LENGTHS, budget)
    assert sorted(i for one in passes for i in one) == batch
    assert all(len(one) * max(LENGTHS[i] for i in one) <= budget or len(one) == 1 for one in passes)
    ends = [LENGTHS[i] for one in passes for i in (one[0], one[-1])]
    assert ends == sorted(ends)
    assert len(passes) == {1: 64, 10**6: 1}.get(budget, len(passes))
    assert micro_batches_by_tokens([], LENGTHS, budget) == []
