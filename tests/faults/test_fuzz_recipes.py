"""Damaged recipes, studies and overrides: loaded as what they say, or refused (`make fuzz`: thousands)."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.fuzz import recipes
from softprompt.errors import SoftpromptError


@settings(
    derandomize=True, deadline=None, max_examples=70, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(number=st.integers(0, 2**32 - 1))
def test_recipes(tmp_path_factory, number):
    assert recipes.attempt(Random(number), tmp_path_factory.mktemp("fuzz")) in ("loaded", "refused")


@pytest.mark.parametrize("name", recipes.MUTATORS)
def test_every_mutation_is_drawn(name, tmp_path_factory):
    numbers = [number for number in range(300) if recipes.choose(Random(number)) == name]
    outcomes = {recipes.attempt(Random(number), tmp_path_factory.mktemp("fuzz")) for number in numbers[:3]}
    assert outcomes and outcomes <= {"loaded", "refused"}


def test_a_wrong_load_is_noticed(monkeypatch, tmp_path_factory):
    true = recipes.load_recipe

    def wrong(file, overrides):
        loaded = true(file, overrides)
        return loaded if file.name == "plain.yaml" else loaded.model_copy(update={"name": "other"})

    monkeypatch.setattr(recipes, "load_recipe", wrong)
    caught = 0
    for number in range(60):
        if recipes.choose(Random(number)).startswith("same"):
            try:
                recipes.attempt(Random(number), tmp_path_factory.mktemp("fuzz"))
            except AssertionError:
                caught += 1
    assert caught > 2


def test_an_error_of_another_kind_propagates(monkeypatch, tmp_path):
    def broken(file, overrides):
        raise KeyError("x")

    monkeypatch.setattr(recipes, "load_recipe", broken)
    monkeypatch.setattr(recipes, "load_grid", broken)
    assert not issubclass(KeyError, SoftpromptError)
    with pytest.raises(KeyError):
        recipes.attempt(Random(0), tmp_path)
