"""Plain mistakes in recipes and overrides: a sentence each."""

from pathlib import Path

import pytest

import softprompt
from softprompt.config import load_recipe
from softprompt.errors import BackboneError, ConfigError
from softprompt.training import Processes

RECIPES = Path(__file__).parents[2] / "recipes"

MISTAKES = [
    "task=classification",
    "task=[classification]",
    "task.name=[classification]",
    "task.name={a: 1}",
    "task.name=3",
    "method=prefix_tuning",
    "method=[x]",
    "method.name=[x]",
    "method.name={a: 1}",
    "data=x",
    "data=[1]",
    "data.format=[x]",
    "data.format={a: 1}",
    "training=x",
    "backbone=x",
    "decoding=x",
    "metrics={a: 1}",
    "metrics=[[1]]",
    "name=[a]",
    "name={a: 1}",
    "name=3",
    "name=..",
    "name=a/b",
    "name=/etc/x",
    "name=a\\b",
    "name=''",
    "name=' '",
    'name="a\\0b"',
    'name="a\\x1bb"',
    "name=x[/red]",
    "name=" + "x" * 300,
    "output=[1]",
    "training.seed=0b",
    "training.seed=99999999999999999999999",
    "training.seed=-1",
    "training.steps=0x",
    'data.train="a\\0b"',
    "training.learning_rate=.nan",
    "training.learning_rate=.inf",
    "training.batch_size=1.5",
    "data.train={a: b}",
    "name=" + "[" * 3000,
    "name=&a [*a]",
    "name=!!timestamp 2020-99-99",
    "name=*x",
    "..=3",
    "=",
    "task",
]


@pytest.mark.parametrize("recipe", ["rte-p-tuning-v2.yaml", "e2e-lowdata-prefix.yaml", "trex-p-tuning.yaml"])
@pytest.mark.parametrize("override", MISTAKES, ids=[one[:30] for one in MISTAKES])
def test_a_sentence_each(recipe, override):
    with pytest.raises(ConfigError) as caught:
        load_recipe(RECIPES / recipe, [override])
    assert len(str(caught.value)) < 4000 and "\x1b" not in str(caught.value)


SIZES = {
    "method.length=1000000000": "method.length: got 1000000000, expected at most 100000",
    "method.length=0": "method.length: got 0, expected at least 1",
    "training.learning_rate=1e300": "training.learning_rate: got '1e300', expected at most 1000",
    "training.learning_rate=-1": "training.learning_rate: got -1, expected more than 0",
    "training.head_learning_rate=1e300": "training.head_learning_rate: got '1e300', expected at most 1000",
    "training.batch_size=0": "training.batch_size: got 0, expected at least 1",
    "training.batch_size=10000000000": "training.batch_size: got 10000000000, expected a number of at most",
    "training.epochs=10000000000": "training.epochs: got 10000000000, expected a number of at most 1,000",
    "training.weight_decay=1e300": "training.weight_decay: got 1e+300, expected a number of at most",
    "task.max_tokens=100000000000": "task.max_tokens: got 100000000000, expected a number of at most",
    "decoding.batch_size=10000000000": "decoding.batch_size: got 10000000000, expected a number of at most",
    "data.subsample=99999999999999999999999": "data.subsample: got 99999999999999999999999, expected",
    "data.train=" + "a" * 300: "expected a path whose names have at most 255 bytes",
    "data.train=" + "a/" * 3000: "expected a path whose names have at most 255 bytes",
    "backbone.name=" + "a" * 300: "expected a path whose names have at most 255 bytes",
    "backbone.dtype=int8": "backbone.dtype: got 'int8', expected one of 'float32', 'bfloat16' or 'float16'",
    "metrics=[accuracy, accuracy]": "metrics: got 'accuracy' twice, expected each metric once.",
}


@pytest.mark.parametrize("override", SIZES, ids=[one[:30] for one in SIZES])
def test_values_that_would_fail_late(override):
    with pytest.raises(ConfigError) as caught:
        load_recipe(RECIPES / "rte-p-tuning-v2.yaml", [override])
    assert SIZES[override] in str(caught.value) and len(str(caught.value)) < 400


def test_large_seeds_are_fine():
    overrides = [f"training.seed={2**63 - 1}", f"data.subsample={2**63 - 1}"]
    settings = load_recipe(RECIPES / "rte-p-tuning-v2.yaml", overrides)
    assert settings.training.seed == 2**63 - 1


@pytest.mark.parametrize("device", ["nope", "meta", "cuda:99", "xla", ""])
def test_a_device_that_is_not_there(device):
    with pytest.raises(BackboneError, match=rf"backbone\.device: got '{device}', which cannot be used here"):
        softprompt.load_backbone("no-such-model", device=device)
    with pytest.raises(BackboneError, match=r"backbone\.device: got"):
        Processes(device)


@pytest.mark.parametrize("name", ["2026-02-30", "12:30", "run-1", "é 中文", "1e5x", "a.b"])
def test_names_that_are_fine(name):
    settings = load_recipe(RECIPES / "rte-p-tuning-v2.yaml", [f"name={name}"])
    assert settings.name == name
