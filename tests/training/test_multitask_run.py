"""A whole run over several tasks: its folder, its parts' folders, and going on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import softprompt
from softprompt.config import MixtureSettings, load_run
from softprompt.data import load as load_splits
from softprompt.errors import ConfigError, DataError, TrainingError
from softprompt.prompts.loading import load_prompt
from softprompt.prompts.methods import METHODS, build_prompt
from softprompt.tasks import build_task, labels_of
from softprompt.training.distributed import Processes
from softprompt.training.evaluation import generate_and_score
from softprompt.training.run import train
from support.folders import write_lines
from support.interrupts import interrupted_before
from support.prompts import close
from support.questions import reader

TEXTS = ["the mill", "blue food in the city", "is it", "a long text of the blue mill", "food", "so it is"]
LABELS = {"mood": ("yes", "no"), "kind": ("a", "b", "c")}


def labelled(folder: Path, name: str, n: int, turn: int = 0) -> str:
    """A file of n texts; `turn` moves the labels on."""
    labels = LABELS.get(name.split("-")[0])
    rows = [
        {"text": TEXTS[i % len(TEXTS)], "label": labels[(i + turn) % len(labels)] if labels else i / 4}
        for i in range(n)
    ]
    return write_lines(folder, f"{name}.jsonl", rows)


def reading(folder: Path, name: str, n: int, **task: Any) -> dict[str, Any]:
    task = {"name": "regression" if name == "size" else "classification", "head_dropout": 0.0, **task}
    return {
        "data": {
            "format": "labelled_jsonl",
            "train": labelled(folder, name, n),
            "dev": labelled(folder, f"{name}-dev", 4, turn=1),
            "test": labelled(folder, f"{name}-test", 6),
        },
        "task": task,
    }


def mixture(folder: Path, prompts: str, **changes: Any) -> MixtureSettings:
    given = {
        "name": "several",
        "output": str(folder),
        "prompts": prompts,
        "method": {"name": "p_tuning_v2", "length": 3},
        "parts": {
            "mood": reading(folder, "mood", 7),
            "kind": {**reading(folder, "kind", 4), "metrics": ["macro_f1", "accuracy"]},
            "size": reading(folder, "size", 3),
        },
        "training": {
            "steps": 6, "batch_size": 3, "learning_rate": 0.05, "evaluate_every": 2, "checkpoint_every": 2,
        },
        **changes,
    }  # fmt: skip
    return MixtureSettings.model_validate(given)


def training(settings: MixtureSettings, **changes: Any) -> MixtureSettings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=changes)})


def content(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.curves
@pytest.mark.parametrize("prompts", ["shared", "separate"])
@pytest.mark.parametrize("select", ["loss", "metric"])
def test_each_part_has_a_run_folder_whose_prompt_scores_as_it_says(tmp_path, prompts, select):
    backbone = reader("bert")
    settings = training(mixture(tmp_path, prompts), select=select)
    result = train(settings, backbone=backbone)
    assert result.folder == tmp_path / "several"
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "asked.yaml", "checkpoints", "curves.png", "curves.svg", "kind", "log.jsonl", "mood", "result.json",
        "settings.yaml", "size",
    ]  # fmt: skip
    assert content(result.folder) == result.facts
    for name in ("mood", "kind", "size"):
        folder = result.folder / name
        facts = content(folder)
        assert facts == result.parts[name]
        assert set(facts["trained_with"]) == {"mood", "kind", "size"} - {name}
        stored = load_run(folder / "settings.yaml")
        assert stored.folder == folder and stored.task.name == settings.parts[name].task.name
        assert stored.training.evaluate_every == 2
        assert facts["best"]["metric"].endswith(
            stored.training.select if prompts == "separate" else f"mean {select} of the parts"
        )
        prompt = load_prompt(folder / "prompt", backbone)
        splits = load_splits(stored.data)
        task = build_task(backbone, stored.task, stored.decoding, prompt.head.card.labels)
        again = generate_and_score(backbone, task, prompt, splits.test, stored.metrics, Processes())
        assert again.rows == facts["scores"]
        assert facts["scores"][0]["values"].keys() == set(stored.metrics)
        outputs = [json.loads(line) for line in (folder / "outputs.jsonl").read_text().splitlines()]
        assert [line["output"] for line in outputs] == again.outputs
        assert prompt.card.metrics == facts["scores"][0]["values"]
        assert facts["counts"]["stored_parameters"] == prompt.n_stored_parameters
        others = prompt.card.data.get("shared_with", {})
        assert set(others) == (set(facts["trained_with"]) if prompts == "shared" else set())
    assert content(result.folder / "kind")["counts"]["train_pairs"] == 4


def test_metrics_of_which_less_is_better_are_told_as_they_are(tmp_path):
    settings = training(mixture(tmp_path, "separate"), select="metric")
    size = settings.parts["size"].model_copy(update={"metrics": ["rmse"]})
    settings = settings.model_copy(update={"parts": {**settings.parts, "size": size}})
    result = train(settings, backbone=reader("bert"))
    best = result.parts["size"]["best"]
    assert best["metric"] == "rmse" and best["value"] > 0
    lines = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    measured = {line["step"]: line["size.metric"] for line in lines if line["kind"] == "evaluation"}
    assert -best["value"] == max(measured.values()) == measured[best["step"]]


def test_shared_parts_have_one_prompt_under_their_own_heads(tmp_path):
    backbone = reader("bert")
    result = train(mixture(tmp_path, "shared"), backbone=backbone)
    prompts = {name: load_prompt(result.folder / name / "prompt", backbone) for name in result.parts}
    vectors = {name: prompt.tensors() for name, prompt in prompts.items()}
    for name, found in vectors.items():
        assert found.keys() == vectors["mood"].keys()
        for key in found:
            assert key.startswith("head.") or torch.equal(found[key], vectors["mood"][key])
        labels = prompts[name].head.card.labels
        assert labels == tuple(sorted(LABELS.get(name, ())))
    # Two, three and one outputs of 32 states and a bias, and keys and values for three layers.
    assert result.facts["trained_parameters"] == (2 + 3 + 1) * 33 + 3 * 3 * 2 * 32


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ({}, {}),
        ({}, {"select": "metric", "patience": 2, "weight_decay": 0.1}),
        ({"method": {"name": "adapter", "activation": "gelu"}}, {}),
        ({"method": {"name": "lora"}}, {}),
    ],
)
def test_separate_parts_end_as_runs_of_their_own(tmp_path, method, changes):
    if method.get("method") == {"name": "lora"}:
        pytest.importorskip("peft")
    backbone = reader("bert")
    settings = training(mixture(tmp_path, "separate", **method), **changes)
    result = train(settings, backbone=backbone)
    for name in settings.parts:
        own = settings.part(name).model_copy(update={"output": tmp_path / "alone"})
        single = train(own, backbone=backbone)
        (ours,), (theirs,) = result.parts[name]["scores"], single.facts["scores"]
        assert ours["values"] == pytest.approx(theirs["values"], rel=1e-3)
        ours = load_prompt(result.folder / name / "prompt", backbone).tensors()
        theirs = load_prompt(single.folder / "prompt", backbone).tensors()
        for key, tensor in theirs.items():
            close(ours[key], tensor, 2e-4)
        best, own_best = result.parts[name]["best"], single.facts["best"]
        assert (best["metric"], best["step"]) == (own_best["metric"], own_best["step"])
        assert best["value"] == pytest.approx(own_best["value"], rel=1e-3)
        a, b = (load_run(place / "settings.yaml") for place in (result.folder / name, single.folder))
        assert a.model_copy(update={"output": b.output}) == b


def test_users_of_a_decoder_get_prefixes_of_their_own(tmp_path):
    backbone = reader("gpt2")
    users = {}
    for i, user in enumerate(("ann", "bob")):
        rows = [{"source": text, "target": other} for text, other in zip(TEXTS, TEXTS[i + 1 :], strict=False)]
        files = {
            split: write_lines(tmp_path, f"{user}-{split}.jsonl", rows) for split in ("train", "dev", "test")
        }
        users[user] = {"data": {"format": "jsonl", **files}, "task": {"name": "generation"}}
    settings = mixture(
        tmp_path, "separate", parts=users,
        method={"name": "prefix_tuning", "length": None, "initialization": "examples:1", "width": 8},
        decoding={"strategy": "greedy", "max_new_tokens": 4},
    )  # fmt: skip
    result = train(settings, backbone=backbone)
    for user in users:
        own = settings.part(user).model_copy(update={"output": tmp_path / "alone"})
        single = train(own, backbone=backbone)
        ours = load_prompt(result.folder / user / "prompt", backbone).tensors()
        for key, tensor in load_prompt(single.folder / "prompt", backbone).tensors().items():
            close(ours[key], tensor, 2e-4)


@pytest.mark.parametrize("prompts", ["shared", "separate"])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, prompts):
    backbone = reader("bert")
    settings = mixture(tmp_path, prompts)
    whole = train(settings.model_copy(update={"name": "whole"}), backbone=backbone)
    with interrupted_before(3):
        train(settings, backbone=backbone)
    with pytest.raises(TrainingError, match="a run that did not finish"):
        train(settings, backbone=backbone)
    with pytest.raises(TrainingError, match=r"training\.learning_rate \(0.05 there, 0.1 now\)"):
        train(training(settings, learning_rate=0.1), resume=True, backbone=backbone)
    result = train(settings, resume=True, backbone=backbone)
    for name in settings.parts:
        ours, theirs = (
            load_prompt(folder / name / "prompt", backbone).tensors()
            for folder in (result.folder, whole.folder)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert result.parts[name] == whole.parts[name]
    steps = [json.loads(line)["step"] for line in (result.folder / "log.jsonl").read_text().splitlines()]
    assert steps == [
        json.loads(line)["step"] for line in (whole.folder / "log.jsonl").read_text().splitlines()
    ]
    assert train(settings, resume=True, backbone=backbone).facts == result.facts


@pytest.mark.parametrize("reparameterization", [None, "mlp"])
def test_a_part_can_begin_from_the_shared_prompt_and_its_head(tmp_path, reparameterization):
    backbone = reader("bert")
    shared = train(mixture(tmp_path, "shared"), backbone=backbone).folder / "kind"
    stored = load_run(shared / "settings.yaml")
    method = stored.method.model_copy(
        update={"initialization": f"prompt: {shared / 'prompt'}", "reparameterization": reparameterization}
    )
    splits = load_splits(stored.data)
    task = build_task(backbone, stored.task, stored.decoding, labels_of(stored.task, None, splits.train))
    begun, end = build_prompt(backbone, method, 7, None, task.head), load_prompt(shared / "prompt", backbone)
    examples = [task.encode(record) for record in splits.train]
    with torch.no_grad():
        with backbone.prompted(end):
            wanted = task.loss(examples)
        with backbone.prompted(begun):
            assert torch.equal(task.loss(examples), wanted)
    fresh = softprompt.p_tuning_v2(backbone, 3, head=task.head, seed=7)
    assert not torch.equal(fresh.head.weight, begun.head.weight)
    # And in a whole run: before the first step it scores as the shared prompt does.
    own = stored.model_copy(update={"name": "own", "output": tmp_path, "method": method})
    result = train(own, backbone=backbone)
    lines = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["kind"] == "evaluation")
    shared_lines = [json.loads(line) for line in (shared.parent / "log.jsonl").read_text().splitlines()]
    best = content(shared)["best"]["step"]
    at_best = next(line for line in shared_lines if line["kind"] == "evaluation" and line["step"] == best)
    assert first["step"] == 0 and first["loss"] == pytest.approx(at_best["kind.loss"], rel=1e-5)


def test_an_error_names_its_part_and_nothing_is_written(tmp_path):
    settings = mixture(tmp_path, "separate")
    kind = settings.parts["kind"]
    task = kind.task.model_copy(update={"labels": ["a", "b"]})
    parts = {**settings.parts, "kind": kind.model_copy(update={"task": task})}
    with pytest.raises(DataError, match=r"part kind: data\.train: got labels .*'c'.*record kind\.jsonl:3"):
        train(settings.model_copy(update={"parts": parts}), backbone=reader("bert"))
    assert not (tmp_path / "several").exists()


def test_a_development_set_for_some_parts_only_is_refused(tmp_path):
    settings = mixture(tmp_path, "shared")
    data = settings.parts["size"].data.model_copy(update={"dev": None})
    parts = {**settings.parts, "size": settings.parts["size"].model_copy(update={"data": data})}
    settings = training(settings.model_copy(update={"parts": parts}), evaluate_every=None)
    with pytest.raises(ConfigError, match=r"parts\.size\.data: got no development set"):
        train(settings, backbone=reader("bert"))
    assert not (tmp_path / "several").exists()


def test_selecting_by_a_metric_needs_a_development_set(tmp_path):
    settings = training(mixture(tmp_path, "shared"), select="metric", evaluate_every=None)
    bare = {
        name: part.model_copy(update={"data": part.data.model_copy(update={"dev": None})})
        for name, part in settings.parts.items()
    }
    with pytest.raises(
        ConfigError, match=r"part mood: training\.select: got 'accuracy' without a development"
    ):
        train(settings.model_copy(update={"parts": bare}), backbone=reader("bert"))


def test_without_development_sets_the_last_step_is_the_result(tmp_path):
    settings = training(mixture(tmp_path, "shared"), evaluate_every=None, steps=2)
    bare = {
        name: part.model_copy(update={"data": part.data.model_copy(update={"dev": None, "test": None})})
        for name, part in settings.parts.items()
    }
    result = train(settings.model_copy(update={"parts": bare}), backbone=reader("bert"))
    for facts in result.parts.values():
        assert facts["best"] == {"metric": "mean loss of the parts", "step": 2, "value": None}
        assert facts["scores"] == []
    assert not (result.folder / "mood" / "outputs.jsonl").exists()


@pytest.mark.parametrize("method", ["adapter", "lora"])
def test_shared_adapters_and_lora_have_a_head_for_each_task(tmp_path, method):
    if method == "lora":
        pytest.importorskip("peft")
    backbone = reader("bert")
    parts = {name: reading(tmp_path, name, 6) for name in ("mood", "kind", "size")}
    for part in parts.values():
        part["data"]["dev"] = part["data"]["train"]  # on which small steps only gain
    settings = training(
        mixture(tmp_path, "shared", method={"name": method}, parts=parts), learning_rate=0.005
    )
    result = train(settings, backbone=backbone)
    stored = [load_prompt(result.folder / name / "prompt", backbone) for name in parts]
    first, *others = ({k: t for k, t in p.tensors().items() if k.startswith("inserts.")} for p in stored)
    begun = METHODS[method](backbone).tensors()
    assert any(not torch.equal(tensor, begun[name]) for name, tensor in first.items())
    for tensors in others:
        assert tensors.keys() == first.keys()
        assert all(torch.equal(tensor, first[name]) for name, tensor in tensors.items())
