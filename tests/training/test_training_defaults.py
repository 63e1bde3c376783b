"""What a run that gives no learning rate, schedule or steps is trained with, and what it keeps of that."""

import copy
import io
import json
import statistics
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

import softprompt
from softprompt.config import USUAL_RATE, load_run, parse_run
from softprompt.errors import ConfigError
from softprompt.prompts import METHODS, TrainingDefaults, head_rate, n_examples
from softprompt.prompts.methods.training_defaults import TUNED
from softprompt.training.loop.schedule import FEWEST_EPOCHS, MOST_EPOCHS, learning_rate, n_steps
from softprompt.training.run import train
from softprompt.training.run_folder import RunFolder
from support.questions import reader
from training.test_multitask_run import mixture, reading
from training.test_run import parts, settings  # noqa: F401

OPEN = ("learning_rate", "head_learning_rate", "backbone_learning_rate", "schedule", "warmup_steps")


def method(name, **options) -> Any:
    data = {"format": "restaurants"}
    return parse_run({"method": {"name": name, **options}, "data": data, "training": {"steps": 0}}).method


def written(folder) -> dict[str, Any]:
    return RunFolder(folder).stored_training()


@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        ({"name": "prefix_tuning"}, {"name": "prefix_tuning", "reparameterization": "mlp"}),
        ({"name": "prefix_tuning", "sites": ["recurrent"]}, {"name": "prefix_tuning", "sites": "recurrent"}),
        ({"name": "fine_tuning", "tune": "last:3"}, {"name": "fine_tuning", "tune": "last:1"}),
        ({"name": "p_tuning", "encoder": "lstm"}, {"name": "p_tuning", "encoder": "mlp"}),
    ],
)
def test_variants_are_told_by_their_settings(options, same_as):
    one, two = (METHODS[some["name"]].training_defaults(method(**some)) for some in (options, same_as))
    assert one is two


def test_a_network_and_vectors_alone_have_rates_of_their_own():
    for name in ("prefix_tuning", "p_tuning_v2", "prompt_tuning"):
        network, alone = (
            METHODS[name].training_defaults(method(name, reparameterization=kind)).learning_rate
            for kind in ("mlp", None)
        )
        assert network <= alone / 5  # an MLP at the rate of vectors diverges, see docs/choosing.md


@pytest.mark.parametrize("name", [name for name in METHODS if name != "in_context"])
def test_every_method_of_the_package_declares_its_rates(name):
    assert METHODS[name].training
    for variant in METHODS[name].training:
        for option, value in variant.when.items():
            assert option == "head" or option in METHODS[name].settings.model_fields, (option, value)
    # No settings fall through: the last variant has no condition, or every choice of `tune` has its own.
    last = METHODS[name].training[-1]
    tuned = [v.when["tune"] for v in METHODS[name].training if last.when]
    choices = {one for some in tuned for one in (some if isinstance(some, tuple) else (some,))}
    assert not last.when or choices - {"auto"} == set(TUNED)


def test_a_run_without_rates_has_those_of_its_method(tmp_path, parts):  # noqa: F811
    out = io.StringIO()
    result = train(
        settings(tmp_path, steps=None, batch_size=4), console=Console(file=out, width=200, color_system=None)
    )
    usual = METHODS["prefix_tuning"].training_defaults(method("prefix_tuning"))
    kept = written(result.folder)
    assert kept["learning_rate"] == usual.learning_rate and kept["schedule"] == usual.schedule
    assert kept["steps"] == result.facts["steps"] == n_steps(settings(tmp_path, steps=None).training, 5, 60)
    assert kept["warmup_steps"] == round(usual.warmup * kept["steps"])
    assert (
        kept["head_learning_rate"] is None and kept["backbone_learning_rate"] is None
    )  # nothing of the kind
    assert f"learning rate {usual.learning_rate:g}" in out.getvalue()
    assert "the default of prefix_tuning, reparameterization mlp" in out.getvalue()
    assert (
        f"{kept['steps']} steps ({kept['steps'] // 5} epochs): the default for 18 examples" in out.getvalue()
    )
    asked = yaml.safe_load((result.folder / "asked.yaml").read_text(encoding="utf-8"))["training"]
    assert asked["learning_rate"] is None and asked["steps"] is None


def test_a_recipe_that_gives_its_rate_is_trained_as_before(tmp_path, parts):  # noqa: F811
    result = train(settings(tmp_path, learning_rate=1e-2))
    kept = written(result.folder)
    assert [kept[key] for key in OPEN] == [1e-2, None, None, None, None] and kept["steps"] == 12
    rates = [learning_rate(step, 12, settings(tmp_path, learning_rate=1e-2).training) for step in range(12)]
    assert rates == [1e-2 * (1 - step / 12) for step in range(12)]


@pytest.mark.parametrize("given", [{"schedule": "cosine"}, {"warmup_steps": 3}])
def test_what_is_given_beside_an_open_rate_stays(tmp_path, parts, given):  # noqa: F811
    kept = written(train(settings(tmp_path, **given)).folder)
    assert kept | given == kept and kept["learning_rate"] is not None


def test_a_run_of_an_earlier_version_goes_on_with_the_rate_it_began_with(tmp_path, parts):  # noqa: F811
    now = settings(tmp_path)
    folder = RunFolder(now.folder)
    former = {"learning_rate": 1e-2, "schedule": "linear", "warmup_steps": 0}
    began = now.model_copy(update={"training": now.training.model_copy(update=former)})
    train(began)
    (now.folder / "result.json").unlink()
    kept = now.folder / "asked.yaml"
    kept.write_text((now.folder / "settings.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    train(now, resume=True)
    assert {key: folder.stored_training()[key] for key in former} == former


def test_a_resumed_run_keeps_the_rate_when_the_default_changes(tmp_path, parts, monkeypatch):  # noqa: F811
    folder = train(settings(tmp_path)).folder
    before = written(folder)
    (folder / "result.json").unlink()
    other = TrainingDefaults(0.123, warmup=0.5)
    monkeypatch.setattr(type(METHODS["prefix_tuning"]), "training_defaults", lambda *_: other)
    train(settings(tmp_path), resume=True)
    assert written(folder) == before


@pytest.mark.parametrize("tune", ["bitfit", "last:1"])
def test_tensors_tuned_beside_a_prompt_have_a_rate_of_their_own(tmp_path, parts, tune):  # noqa: F811
    asked = settings(tmp_path)
    asked = asked.model_copy(update={"method": method("prefix_tuning", tune=tune)})
    kept = written(train(asked).folder)
    assert kept["backbone_learning_rate"] == TUNED[tune.partition(":")[0]]


def test_a_method_that_trains_nothing_makes_no_step(tmp_path, parts, monkeypatch):  # noqa: F811
    monkeypatch.setattr("training.test_run.RunPrompt.n_trained_parameters", 0)
    kept = written(train(settings(tmp_path, steps=None)).folder)
    assert kept["steps"] == 0


@pytest.mark.parametrize(
    ("method_name", "training", "line"),
    [
        ("in_context", {"steps": 1}, "training.steps: got 1 step of in_context, which trains nothing here"),
        ("in_context", {"epochs": 2}, "training.epochs: got 2 epochs of in_context, which trains nothing"),
        ("head_only", {}, "method.name: got 'head_only' for task 'generation', which has no head"),
    ],
)
def test_runs_that_could_train_nothing_are_refused_before_any_begins(method_name, training, line):
    with pytest.raises(ConfigError) as caught:
        parse_run({"method": {"name": method_name}, "data": {"format": "restaurants"}, "training": training})
    assert line in str(caught.value)


def test_steps_follow_from_the_number_of_examples():
    training = settings("x", steps=None).training
    assert n_steps(training, 10) == 200 and n_steps(training, 13) == 208  # whole epochs
    assert n_steps(training, 1) == MOST_EPOCHS and n_steps(training, 10_000) == 10_000 * FEWEST_EPOCHS
    assert n_steps(training, 10, usual=60) == 60
    assert n_steps(settings("x", steps=7).training, 10) == 7
    assert n_steps(settings("x", steps=None, epochs=2).training, 10) == 20


@pytest.mark.parametrize("prompts", ["shared", "separate"])
def test_several_tasks_have_the_same_defaults(tmp_path, prompts, monkeypatch):
    monkeypatch.setattr("softprompt.training.loop.schedule.MOST_EPOCHS", 2)
    raw = mixture(tmp_path, prompts)
    given = {"learning_rate": None, "schedule": None, "steps": None, "epochs": None, "warmup_steps": None}
    open_ = raw.model_copy(update={"training": raw.training.model_copy(update=given)})
    result = train(open_, backbone=reader("bert"))
    usual = METHODS["p_tuning_v2"].training_defaults(method("p_tuning_v2"), has_head=True)
    kept = written(result.folder)
    assert (kept["learning_rate"], kept["head_learning_rate"]) == (
        usual.learning_rate,
        usual.head_learning_rate,
    )
    # Of 7, 4 and 3 examples in batches of 3: those of the mixture together, or of the largest part.
    assert kept["steps"] == result.facts["steps"] == {"shared": 10, "separate": 6}[prompts]
    for part in result.parts:
        assert written(result.folder / part)["learning_rate"] == usual.learning_rate


def test_methods_of_other_packages_declare_theirs_or_have_the_usual_one():
    @softprompt.method("rates_of_a_test", training=TrainingDefaults(0.2, 0.1, "constant", 0.3))
    def _declared(backbone: Any, *, seed: int = 0) -> Any: ...

    @softprompt.method("no_rates_of_a_test")
    def _undeclared(backbone: Any, *, seed: int = 0) -> Any: ...

    declared, usual = (
        METHODS[name].training_defaults(method(name)) for name in ("rates_of_a_test", "no_rates_of_a_test")
    )
    assert (declared.learning_rate, declared.head_learning_rate, declared.schedule) == (0.2, 0.1, "constant")
    assert (usual.learning_rate, usual.schedule, usual.warmup) == (USUAL_RATE, "linear", 0.0)
    assert n_examples(method("rates_of_a_test")) == 0


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"learning_rate": 0}, "TrainingDefaults.learning_rate: got 0, expected a number above 0"),
        ({"learning_rate": "1e-3"}, "TrainingDefaults.learning_rate: got '1e-3'"),
        ({"learning_rate": 0.1, "head_learning_rate": -1}, "TrainingDefaults.head_learning_rate: got -1"),
        ({"learning_rate": 0.1, "warmup": 1}, "TrainingDefaults.warmup: got 1, expected a share"),
        ({"learning_rate": 0.1, "schedule": "fast"}, "TrainingDefaults.schedule: got 'fast'"),
    ],
)
def test_defaults_that_no_training_can_have_are_refused(wrong, line):
    with pytest.raises(ConfigError) as caught:
        TrainingDefaults(**wrong)
    assert str(caught.value).startswith(line)


def test_what_are_no_defaults_is_refused():
    wrong: Any = {"learning_rate": 1}
    with pytest.raises(ConfigError) as caught:
        softprompt.method("wrong_rates_of_a_test", training=wrong)
    assert "expected softprompt.TrainingDefaults, one or a list of them" in str(caught.value)


def scaled(times: float) -> Any:
    """A tiny BERT whose last states are some times as large."""
    backbone = reader("bert")
    model: Any = copy.deepcopy(backbone.model)
    norm = model.encoder.layer[-1].output.LayerNorm
    with torch.no_grad():
        norm.weight.mul_(times)
        norm.bias.mul_(times)
    return softprompt.load_backbone(model, backbone.tokenizer)


def heads_rate(folder, backbone, **options) -> tuple[float | None, list[float]]:
    """Of a run, with the losses of its steps."""
    folder.mkdir()
    data = reading(folder, "mood", 12)
    del data["data"]["dev"], data["data"]["test"]
    run = train(
        parse_run(
            {"name": "run", "output": str(folder), "method": {"name": "p_tuning_v2", **options}, **data,
             "training": {"steps": 12, "batch_size": 4, "checkpoint_every": None}}
        ),
        backbone=backbone,
    )  # fmt: skip
    steps = [line["loss"] for line in RunFolder(run.folder).lines() if line["kind"] == "step"]
    return written(run.folder)["head_learning_rate"], steps


def test_a_head_on_large_states_learns_slower(tmp_path):
    """AdamW's first step changes an output by at most the rate times the sum of the state's magnitudes."""
    usual = METHODS["p_tuning_v2"].training_defaults(method("p_tuning_v2"), has_head=True).head_learning_rate
    small, large = scaled(1), scaled(100)
    assert heads_rate(tmp_path / "small", small)[0] == usual
    rate, losses = heads_rate(tmp_path / "large", large)
    texts = [
        line["text"] for line in map(json.loads, (tmp_path / "large" / "mood.jsonl").read_text().splitlines())
    ][:8]
    sums = []
    for text in texts:
        inputs = large.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            sums += large.model(**inputs).last_hidden_state[0].abs().sum(-1).tolist()
    assert rate == pytest.approx(1 / statistics.mean(sums), rel=0.05)
    assert max(losses) < 2 * losses[0] + 1  # at the usual rate the loss rises from 100 times the states


def test_a_resumed_run_whose_head_had_the_rate_of_the_prompt_keeps_it(tmp_path, monkeypatch):
    """As runs have it that began before a head's rate followed its states, and those of other packages."""
    large = scaled(100)
    monkeypatch.setattr("softprompt.training.setup.defaults.head_rate", lambda usual, size: usual)
    usual = TrainingDefaults(1e-3)
    monkeypatch.setattr(type(METHODS["p_tuning_v2"]), "training_defaults", lambda *_: usual)
    assert heads_rate(tmp_path / "began", large)[0] is None
    monkeypatch.undo()
    monkeypatch.setattr(type(METHODS["p_tuning_v2"]), "training_defaults", lambda *_: usual)
    run = RunFolder(tmp_path / "began" / "run")
    run.result.unlink()
    settings = load_run(run.path / "asked.yaml")
    train(settings, resume=True, backbone=large)
    assert written(run.path)["head_learning_rate"] is None


def test_rates_of_heads_by_the_size_of_states():
    assert head_rate(1e-2, 90) == 1e-2  # as MiniLM's
    assert head_rate(1e-2, 690) == 1.4e-3  # somewhat larger than SmolLM2's
    assert head_rate(1e-2, 0.0) == head_rate(1e-2, float("nan")) == 1e-2
