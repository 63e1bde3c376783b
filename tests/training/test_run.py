"""A whole run with a fake backbone: its folder, refusing, resuming and the result."""

import errno
import gc
import io
import json
import platform
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

import softprompt
from softprompt.config import load_run, parse_run
from softprompt.data import Splits, pairs
from softprompt.errors import ConfigError, TrainingError
from softprompt.files import atomic
from softprompt.training.distributed import Processes
from softprompt.training.loop import Loop
from softprompt.training.run import train
from softprompt.training.setup import RunComponents
from softprompt.training.setup import components as setup_room
from softprompt.training.setup.checks import check_splits
from training.fakes import FakeBackbone, FakePrompt, FakeTask, records


class Card(SimpleNamespace):
    def model_dump(self):
        return dict(vars(self))


class RunPrompt(FakePrompt):
    """A fake prompt with the real one's facts and file."""

    n_trained_parameters, n_stored_parameters = 32, 12

    def __init__(self):
        super().__init__()
        self.card = Card(length=3, positions="shifted", sites={"decoder": [0]}, head=None, inserts=None)

    def bake(self):
        return self

    def describe(self, **facts):
        self.facts = facts
        return self

    def save(self, folder):
        folder.mkdir(exist_ok=True)
        torch.save({}, folder / "tensors")
        (folder / "facts.json").write_text(json.dumps(self.facts), encoding="utf-8")


NOTE = "x.csv: 1 bad row was left out"
SPLITS = Splits(pairs(records(18)), records(6, seed=1), records(4, seed=2), "abc", (NOTE,), n_skipped=1)


@pytest.fixture
def parts(monkeypatch):
    """Replaces the real parts; `parts.hook` runs in every training loss."""
    knobs = SimpleNamespace(hook=lambda: None, splits=SPLITS, prompts=[])

    def fake(settings, processes, given=None):
        check_splits(settings, knobs.splits)
        backbone: Any = given or FakeBackbone()
        backbone.card = Card(name="fake", fingerprint="f00")
        backbone.model.config = SimpleNamespace(_attn_implementation="sdpa")
        task: Any = FakeTask(backbone, lambda: knobs.hook())
        knobs.prompts.append(RunPrompt())
        return RunComponents(backbone, task, knobs.prompts[-1], knobs.splits, settings)

    monkeypatch.setattr(setup_room, "build_run", fake)
    return knobs


def settings(tmp_path, metrics=("bleu",), **training):
    return parse_run(
        {
            "name": "one",
            "metrics": list(metrics),
            "output": str(tmp_path),
            "data": {"format": "e2e"},
            "training": {"steps": 12, "batch_size": 4, "checkpoint_every": 5, **training},
        }
    )


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_what_the_bare_backbone_writes_is_not_asked_for_twice(tmp_path, parts):
    result = train(settings(tmp_path), bare=["w", "x", "y", "z"])
    samples = (result.folder / "samples.txt").read_text(encoding="utf-8")
    assert [line[-1] for line in samples.splitlines() if line.startswith("before:")] == ["w", "x", "y", "z"]
    assert "under none" not in samples and samples.count("under prompt") == 4


@pytest.mark.curves
def test_the_folder_of_a_run(tmp_path, parts):
    result = train(settings(tmp_path, select="bleu"))
    folder = result.folder
    assert folder == tmp_path / "one"
    assert sorted(p.name for p in folder.iterdir()) == [
        "asked.yaml", "checkpoints", "counts.bin", "curves.png", "curves.svg", "log.jsonl", "outputs.jsonl",
        "outputs.txt", "prompt", "result.json", "samples.txt", "settings.yaml",
    ]  # fmt: skip
    # what the task leaves beside its scores, texts and bytes
    assert (folder / "counts.bin").read_bytes() == bytes([4])
    assert len((folder / "outputs.txt").read_text(encoding="utf-8").splitlines()) == 4
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-00000012"]
    lines = log(folder)
    assert lines[0] == {
        "kind": "start", "step": 0, "steps": 12, "train_pairs": 18, "dev_records": 6, "test_records": 4,
        "train_tokens": lines[0]["train_tokens"], "cut_texts": 2,
        "left_out_records": 0, "trained_parameters": 32,
        "stored_parameters": 12,
    }  # fmt: skip
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert set(steps[0]) == {"kind", "step", "epoch", "loss", "lr", "grad_norm", "tokens_per_s", "seconds"}
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    assert [line["step"] for line in evaluations] == [0, 5, 10, 12]
    assert all(line["bleu"] == 100.0 for line in evaluations)
    facts = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert facts == result.facts
    assert facts["counts"]["cut_answers"] == 1
    assert (facts["counts"]["skipped_rows"], facts["reading"]) == (1, [NOTE])
    assert facts["scores"] == [{"group": "all", "values": {"bleu": 100.0}, "notes": []}] == result.scores
    assert facts["best"] == {"metric": "bleu", "step": 0, "value": 100.0}
    assert (facts["steps"], facts["stopped_early"]) == (12, False)
    assert {"softprompt", "python", "torch"} <= set(facts["versions"])
    assert "cores" in facts["hardware"]
    assert platform.node() not in json.dumps(facts)
    samples = (folder / "samples.txt").read_text(encoding="utf-8")
    assert samples.count("before:") == 4 == samples.count("under none") == samples.count("under prompt")
    assert "[r0]" in samples and f"reference: {SPLITS.test[0].targets[0]}" in samples
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "curves.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")
    outputs = [
        json.loads(line) for line in (folder / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["id"] for line in outputs] == ["r0", "r1", "r2", "r3"]
    stored = json.loads((folder / "prompt" / "facts.json").read_text(encoding="utf-8"))
    assert stored["metrics"] == {"bleu": 100.0} and stored["data"]["fingerprint"] == "abc"


def test_a_setting_of_another_package_that_is_named_as_one_of_softprompts_keeps_its_value(tmp_path, parts):
    @softprompt.method("positions_of_a_test")
    def own(backbone, positions: int = 1, sites: str = "all", seed: int = 0) -> softprompt.Prompt:
        raise AssertionError("the prompt of these runs is a fake")

    method = {"name": "positions_of_a_test", "positions": 2}
    given = parse_run({**settings(tmp_path).model_dump(mode="json"), "method": method})
    folder = train(given).folder
    stored = yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf-8"))["method"]
    assert stored == {**method, "sites": "all"}


def test_the_stored_settings_are_resolved_and_can_be_run_again(tmp_path, parts):
    given = settings(tmp_path)
    folder = train(given).folder
    stored = load_run(folder / "settings.yaml")
    assert stored.method.name == "prefix_tuning"
    assert stored.method.length == 3 and stored.method.positions == "shifted"
    assert stored.method.sites == ["decoder"]
    assert stored.backbone.dtype == "float32" and stored.backbone.device == "cpu"
    assert stored.backbone.attention == "sdpa"
    assert stored.training.evaluate_every == 5
    assert stored.data == given.data
    train(stored.model_copy(update={"name": "two"}))
    theirs = [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_s")} for line in log(folder)]
    ours = [
        {k: v for k, v in line.items() if k not in ("seconds", "tokens_per_s")}
        for line in log(tmp_path / "two")
    ]
    assert ours == theirs


def test_patience_ends_a_run_early(tmp_path, parts):
    # The fake scores are all equal, so nothing improves on step 0.
    facts = train(settings(tmp_path, select="bleu", patience=2)).facts
    assert (facts["steps"], facts["stopped_early"]) == (10, True)


def test_without_development_and_test_sets(tmp_path, parts):
    parts.splits = replace(SPLITS, dev=[], test=[])
    result = train(settings(tmp_path))
    assert result.scores == [] and not (result.folder / "outputs.jsonl").exists()
    assert result.facts["best"] == {"metric": "loss", "step": 12, "value": None}
    assert "[r0/0]" in (result.folder / "samples.txt").read_text(encoding="utf-8")


def interrupt_after(parts, n_calls):
    calls = []

    def hook():
        calls.append(1)
        if len(calls) == n_calls:
            raise KeyboardInterrupt

    parts.hook = hook


# The development loss takes two calls of its own (6 pairs in batches of 4), first at step 0.
@pytest.mark.parametrize("n_calls", [1, 4, 8, 10, 14])
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, parts, n_calls):
    train(settings(tmp_path).model_copy(update={"name": "whole"}))
    expected = {name: t.clone() for name, t in parts.prompts[-1].state_dict().items()}
    interrupt_after(parts, n_calls)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path))
    parts.hook = lambda: None
    # What a kill could leave besides: log lines after the checkpoint, the last one cut.
    with open(tmp_path / "one" / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"kind": "step", "step": 12, "loss": 0}\n{"kind": "st')
    train(settings(tmp_path), resume=True)
    assert all(torch.equal(t, expected[name]) for name, t in parts.prompts[-1].state_dict().items())
    timeless = [
        [
            {k: v for k, v in line.items() if k not in ("seconds", "tokens_per_s")}
            for line in log(tmp_path / name)
        ]
        for name in ("one", "whole")
    ]
    assert timeless[0] == timeless[1]


def test_a_run_keeps_every_other_out_of_its_folder_until_it_ends(tmp_path, parts):
    refused = []

    def hook():
        for resume in (False, True):
            with pytest.raises(
                TrainingError, match=r"one: got a folder in which another run of this process"
            ):
                train(settings(tmp_path), resume=resume)
            refused.append(resume)
        if len(refused) == 10:
            raise ValueError("no memory")

    parts.hook = hook
    with pytest.raises(ValueError, match="no memory"):
        train(settings(tmp_path))
    assert refused == [False, True] * 5
    parts.hook = lambda: None
    assert train(settings(tmp_path), resume=True).facts["steps"] == 12
    assert [line["kind"] for line in log(tmp_path / "one")].count("start") == 1


@pytest.mark.parametrize("damage", [b"\0" * 30 + b"\n", b'{"kind": "step", "st\n', b"\xff\n", b"[]\n"])
@pytest.mark.parametrize("place", [0, 4])
def test_a_damaged_line_of_the_log_costs_a_resumed_run_nothing(tmp_path, parts, damage, place):
    interrupt_after(parts, 14)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path))
    parts.hook = lambda: None
    path = tmp_path / "one" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # The line before is lost to the damage: of the start, what it said is said again.
    path.write_bytes(b"".join([*lines[:place], damage, *lines[place + (place == 0) :]]))
    with pytest.warns(
        UserWarning, match=rf"log\.jsonl: got damage in line {place + 1}, .*log\.damaged\.jsonl"
    ):
        train(settings(tmp_path), resume=True)
    found = log(tmp_path / "one")
    assert [line["step"] for line in found if line["kind"] == "step"] == list(range(1, 13))
    assert [line["kind"] for line in found].count("start") == 1
    assert (tmp_path / "one" / "log.damaged.jsonl").read_bytes() == damage


def test_resuming_a_finished_run_gives_its_result_without_training(tmp_path, parts):
    first = train(settings(tmp_path))
    parts.hook = lambda: pytest.fail("trained again")
    assert train(settings(tmp_path), resume=True) == first


def test_a_run_killed_before_its_first_checkpoint_resumes_from_the_start(tmp_path, parts):
    first = train(settings(tmp_path))
    (first.folder / "result.json").unlink()
    for path in (first.folder / "checkpoints").glob("*/*"):
        path.unlink()
    for path in (first.folder / "checkpoints").iterdir():
        path.rmdir()
    again = train(settings(tmp_path), resume=True)
    assert again.facts["best"] == first.facts["best"]
    assert [line["step"] for line in log(first.folder) if line["kind"] == "step"] == list(range(1, 13))


def test_an_ended_run_leaves_nothing_in_memory(tmp_path, parts):
    gc.disable()  # as long as Python's own rule would let a few large tensors lie
    try:
        train(settings(tmp_path))
        held = [o for o in gc.get_objects() if issubclass(type(o), (Loop, torch.optim.Optimizer))]
    finally:
        gc.enable()
    assert held == []


def test_without_checkpoints_a_stopped_run_begins_again_and_ends_the_same(tmp_path, parts):
    whole = train(settings(tmp_path / "whole", checkpoint_every=None))
    assert not list((whole.folder / "checkpoints").glob("*"))
    calls = iter(range(100))

    def stop():
        if next(calls) == 6:
            raise KeyboardInterrupt

    parts.hook = stop
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "stopped", checkpoint_every=None))
    parts.hook = lambda: None
    again = train(settings(tmp_path / "stopped", checkpoint_every=None), resume=True)
    assert again.facts["best"] == whole.facts["best"]
    assert [line["step"] for line in log(again.folder) if line["kind"] == "step"] == list(range(1, 13))


def test_folders_that_hold_something_are_refused(tmp_path, parts):
    folder = tmp_path / "one"
    folder.mkdir()
    train(settings(tmp_path))
    with pytest.raises(TrainingError) as caught:
        train(settings(tmp_path))
    assert str(caught.value) == (
        f"{folder}: got a finished run, expected a new or empty folder. "
        "Choose another name, or resume this run."
    )
    (folder / "result.json").unlink()
    with pytest.raises(TrainingError, match="got a run that did not finish, expected a new or empty folder"):
        train(settings(tmp_path))
    (folder / "settings.yaml").unlink()
    with pytest.raises(
        TrainingError, match=r"got other files, expected a new or empty folder\. Choose another name\.$"
    ):
        train(settings(tmp_path))
    with pytest.raises(
        TrainingError, match=r"got no settings.yaml, expected a run to resume\. Leave resume out"
    ):
        train(settings(tmp_path), resume=True)


def test_resuming_with_other_settings_names_them_before_anything_is_loaded(tmp_path, parts, monkeypatch):
    train(settings(tmp_path))
    (tmp_path / "one" / "result.json").unlink()
    monkeypatch.setattr(setup_room, "build_run", lambda *a: pytest.fail("loaded"))
    with pytest.raises(TrainingError) as caught:
        train(settings(tmp_path, learning_rate=0.5, seed=3), resume=True)
    assert str(caught.value) == (
        f"{tmp_path / 'one'}: got other settings: training.learning_rate (0.0005 there, 0.5 now), "
        "training.seed (0 there, 3 now), expected the settings that the run began with. "
        "Put them back, or give this run another name."
    )


def test_a_none_that_means_something_is_compared_too(tmp_path, parts):
    train(settings(tmp_path))
    (tmp_path / "one" / "result.json").unlink()
    with pytest.raises(TrainingError, match=re.escape("training.clip_norm (1.0 there, None now)")):
        train(settings(tmp_path, clip_norm=None), resume=True)


@pytest.mark.parametrize("now", [None, 96])
def test_a_setting_that_came_after_the_run_had_its_default_then(tmp_path, parts, now):
    train(settings(tmp_path))
    folder = tmp_path / "one"
    for name in ("settings.yaml", "asked.yaml"):
        stored = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        del stored["backbone"]["image_size"]
        (folder / name).write_text(yaml.safe_dump(stored), encoding="utf-8")
    asked = settings(tmp_path)
    asked = asked.model_copy(update={"backbone": asked.backbone.model_copy(update={"image_size": now})})
    if now:
        with pytest.raises(TrainingError, match=re.escape("backbone.image_size (None there, 96 now)")):
            train(asked, resume=True)
    else:
        assert train(asked, resume=True).facts["steps"] == 12


@pytest.mark.parametrize("compiled", [{}, {"compile": False}])
def test_a_run_begun_when_layers_could_be_compiled_resumes(tmp_path, parts, compiled):
    interrupt_after(parts, 9)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path))
    parts.hook = lambda: None
    folder = tmp_path / "one"
    for name in ("settings.yaml", "asked.yaml"):
        stored = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        stored["backbone"].pop("compile", None)
        stored["backbone"].update(compiled)
        (folder / name).write_text(yaml.safe_dump(stored), encoding="utf-8")
    assert load_run(folder / "asked.yaml") == settings(tmp_path)
    assert train(settings(tmp_path), resume=True).facts["steps"] == 12
    assert load_run(folder / "settings.yaml").name == "one"


def test_a_moved_run_folder_resumes(tmp_path, parts):
    interrupt_after(parts, 9)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path))
    parts.hook = lambda: None
    (tmp_path / "one").rename(tmp_path / "two")
    moved = settings(tmp_path).model_copy(update={"name": "two"})
    assert train(moved, resume=True).facts["steps"] == 12


def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path, parts):
    expected = train(settings(tmp_path).model_copy(update={"name": "whole"})).facts["best"]
    interrupt_after(parts, 16)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path))
    parts.hook = lambda: None
    newest = sorted((tmp_path / "one" / "checkpoints").iterdir())[-1]
    (newest / "prompt.safetensors").write_bytes(b"")
    console = Console(record=True, width=400, file=io.StringIO())
    assert train(settings(tmp_path), resume=True, console=console).facts["best"] == expected
    text = console.export_text()
    assert (
        f"passed over a damaged checkpoint: {newest}: prompt.safetensors does not match its checksum" in text
    )
    assert "going on from step 5" in text


def test_a_full_disk_while_logging_or_finishing(tmp_path, parts, monkeypatch):
    def full(path, content):
        if path.name == ".result.json.writing":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    write = atomic.write_synced
    monkeypatch.setattr(atomic, "write_synced", full)
    with pytest.raises(
        TrainingError,
        match=r"one: got a full disk, expected .*files\. Free some space "
        r"and resume \(the checkpoints are kept",
    ):
        train(settings(tmp_path))
    monkeypatch.undo()


def test_a_metric_that_cannot_be_computed_is_no_reason_to_pick_by(tmp_path, parts):
    chosen = settings(tmp_path, metrics=["meteor"], select="meteor")
    with pytest.raises(
        TrainingError,
        match=r"training\.select: got 'meteor', expected .*the scorer's notes: meteor needs a Java",
    ):
        train(chosen)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"patience": 2},
            "training.patience: got 2 without a development set, expected data.dev or data.dev_share",
        ),
        ({"select": "bleu"}, "training.select: got 'bleu' without a development set"),
        ({"evaluate_every": 7}, "training.evaluate_every: got 7 without a development set"),
    ],
)
def test_settings_that_need_a_development_set(tmp_path, parts, training, message):
    parts.splits = replace(SPLITS, dev=[])
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(settings(tmp_path, **training))


def test_no_training_pairs(tmp_path, parts):
    parts.splits = replace(SPLITS, train=[])
    with pytest.raises(ConfigError, match=r"data\.train: got no training pairs, expected at least one"):
        train(settings(tmp_path))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_too_little_memory_is_a_sentence(tmp_path, parts, error):
    def hook():
        raise error

    parts.hook = hook
    with pytest.raises(
        TrainingError, match=r"memory: got .*, expected enough of it.* Lower training\.batch_"
    ) as c:
        train(settings(tmp_path))
    assert c.value.__cause__ is error


def test_other_errors_stay_as_they_are(tmp_path, parts):
    def hook():
        raise RuntimeError("a mistake of ours")

    parts.hook = hook
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        train(settings(tmp_path))


def test_plain_lines_where_the_output_is_no_terminal(tmp_path, parts, monkeypatch):
    monkeypatch.setattr("softprompt.training.progress.LINE_EVERY_S", 0.0)
    console = Console(record=True, width=40, force_terminal=False, file=io.StringIO())
    train(settings(tmp_path), console=console)
    lines = console.export_text().splitlines()
    training = [line for line in lines if line.startswith("training ")]
    assert len(training) == 12
    assert re.fullmatch(r"training 3/12, loss \d+\.\d{4}, [\d,]+ tokens/s, \d:\d\d left", training[2])
    assert any(re.fullmatch(r"step 5: development loss \d\.\d+ \(best so far\)", line) for line in lines)
    assert "generating (test) 4/4, 0:00 left" in lines


def test_a_bar_on_a_terminal(tmp_path, parts):
    with open(tmp_path / "screen", "w+", encoding="utf-8") as file:
        train(settings(tmp_path), console=Console(file=file, force_terminal=True, width=100))
        file.seek(0)
        screen = file.read()
    assert "training" in screen and "12/12" in screen and "tokens/s" in screen


def test_data_is_read_before_the_backbone(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    given = settings(tmp_path).model_copy(
        update={"backbone": settings(tmp_path).backbone.model_copy(update={"name": "none"})}
    )
    with pytest.raises(ConfigError, match=r"data\.train: got no path for e2e"):
        setup_room.build_run(given, Processes("cpu"))
