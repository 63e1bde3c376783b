"""Runs that leave the folder of a real one without training anything."""

import json
from typing import Any

import yaml

from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import markdown, summarize
from softprompt.training.run_folder import RunFolder

BASE: dict[str, Any] = {
    "name": "base",
    "data": {"format": "e2e", "test": "test.csv"},
    "method": {"name": "prefix_tuning", "length": 5},
    "metrics": ["bleu", "ter"],
    "training": {"steps": 10, "learning_rate": 0.01},
}

WORKER = "studies.fake_worker:work"
"""What a worker does that trains nothing."""


def facts_of(settings, values, notes=(), stored=12) -> dict[str, Any]:
    """What a run's `result.json` says, as far as studies read it."""
    length = getattr(settings.method, "length", None) or 1
    return {
        "name": settings.name,
        "steps": settings.training.steps,
        "best": {"metric": "loss", "step": 1, "value": 0.5},
        "scores": [
            {"group": "seen", "values": dict.fromkeys(values, 0.0), "notes": []},
            {"group": "all", "values": dict(values), "notes": list(notes)},
        ],
        "counts": {"trained_parameters": 1000 * length, "stored_parameters": stored, "test_records": 7},
        "seconds": {"training": 61.5, "last_sitting": 70.0},
        "versions": {"softprompt": "0.1.0", "torch": "2.6"},
        "hardware": "x86_64, 2 cores, 1 threads",
    }


def begin(settings) -> RunFolder:
    """The folder of a run that has begun."""
    folder = RunFolder(settings.folder)
    folder.begin(settings, settings, resume=False)
    return folder


def finish(settings, values, notes=(), stored=12) -> RunFolder:
    """The folder of a run that has ended with these test scores."""
    folder = begin(settings)
    folder.result.write_text(json.dumps(facts_of(settings, values, notes, stored)), encoding="utf-8")
    return folder


def write_study(folder, base=BASE, **study):
    """A study file beside its base recipe; returns its path."""
    (folder / "base.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    raw = {"name": "try", "output": str(folder / "runs"), "base": "base.yaml", **study}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def runs_of(folder, lengths):
    """The runs of a study of prompts of these lengths."""
    return list(load_grid(write_study(folder, vary={"key": "method.length", "values": lengths})).runs)


class FakeRun:
    """Stands in for `training.train`: bleu is 10 x length + seed; `fails` holds errors by run.

    A run to choose by logs the evaluations that `evaluations` gives for its settings; it has no test scores.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []
        self.backbones: list[Any] = []
        self.loaded: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.hook = lambda settings, backbone: None
        self.evaluations = lambda settings: [float(settings.method.length)]

    def __call__(self, settings, resume=False, console=None, backbone=None):
        # Imported here for a process that draws the figures of a faked study, and needs no transformers.
        from softprompt.training.run import RunResult

        self.calls.append((settings.name, resume))
        self.backbones.append(backbone)
        if not resume:
            begin(settings)
        if settings.name in self.fails:
            raise self.fails[settings.name]
        self.hook(settings, backbone)
        facts = facts_of(
            settings, {"bleu": 10.0 * settings.method.length + settings.training.seed, "ter": 5.0}
        )
        folder = RunFolder(settings.folder)
        if settings.output.name == "folds":
            facts["scores"] = []
            for step, value in enumerate(self.evaluations(settings)):
                folder.append({"kind": "evaluation", "step": step, settings.training.select: value})
        folder.prompt.mkdir(exist_ok=True)
        (folder.checkpoints.folder / "step-1").mkdir(parents=True, exist_ok=True)
        folder.result.write_text(json.dumps(facts), encoding="utf-8")
        return RunResult(settings.folder, facts)


def as_markdown(result, command=""):
    """The short report of a study."""
    return markdown(summarize(result, command))
