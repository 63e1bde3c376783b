"""Small files of every task with a head, and recipes for runs of a few steps on them."""

import json
from pathlib import Path
from typing import Any

import yaml

_TEXTS = ["the mill is cheap", "blue food", "it is in the city", "a restaurant by the river", "food", "is it"]


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _pairs(n: int) -> str:
    rows = [
        {"text": _TEXTS[i % 6], "second": _TEXTS[(i * 5 + 1) % 6], "label": "yes" if i % 3 else "no"}
        for i in range(n)
    ]
    return _lines(rows)


def _numbers(n: int) -> str:
    return _lines([{"text": _TEXTS[i % 6] + "!" * i, "label": 0.5 * i} for i in range(n)])


def _sentences(n: int) -> str:
    some = "the\tO\nblue\tB-x\nmill\tI-x\nis\tO\n\n", "food\tB-y\nin\tO\ncity\tB-x\n\n"
    return "".join(some[i % 2] for i in range(n))


def _copa(n: int) -> str:
    rows = [
        {
            "premise": _TEXTS[i % 6], "choice1": _TEXTS[(i + 1) % 6], "choice2": _TEXTS[(i + 2) % 6],
            "question": ("cause", "effect")[i % 2], "label": i % 2,
        }
        for i in range(n)
    ]  # fmt: skip
    return _lines(rows)


def _squad(n: int) -> str:
    context = "The mill is in the city. It serves cheap Chinese food by the river, and it is blue."
    answers = ["cheap Chinese food", "the city", "blue"]
    questions = []
    for i in range(n):
        text = answers[i % 3]
        found = [] if i % 4 == 3 else [{"text": text, "answer_start": context.index(text)}]
        questions.append(
            {"id": f"q{i}", "question": f"what is it {i}", "is_impossible": not found, "answers": found}
        )
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]})


KINDS: dict[str, dict[str, Any]] = {
    "pair": {
        "data": {"format": "labelled_jsonl", "second": "second"},
        "task": {"name": "classification"},
        "make": _pairs,
        "metrics": ["accuracy", "mcc"],
    },
    "single": {
        "data": {"format": "labelled_jsonl"},
        "task": {"name": "classification", "pooling": "mean"},
        "make": _pairs,
        "metrics": ["accuracy"],
    },
    "regression": {
        "data": {"format": "labelled_jsonl"},
        "task": {"name": "regression"},
        "make": _numbers,
        "metrics": ["rmse"],
    },
    "tagging": {
        "data": {"format": "conll"},
        "task": {"name": "tagging", "max_tokens": 9},
        "make": _sentences,
        "metrics": ["entity_f1", "entity_recall"],
    },
    "choice": {
        "data": {"format": "copa"},
        "task": {"name": "choice"},
        "make": _copa,
        "metrics": ["accuracy"],
    },
    "spans": {
        "data": {"format": "squad"},
        "task": {"name": "spans", "max_tokens": 48, "stride": 8, "null_threshold": 0.05},
        "make": _squad,
        "metrics": ["answer_f1", "exact_match"],
    },
}


def recipe_of(kind: str, folder: Path, backbone: Path, **changes: Any) -> Path:
    """A recipe for a run of a few steps on one task, with its files beside it."""
    row = KINDS[kind]
    data = dict(row["data"])
    for split, n in (("train", 8), ("dev", 4), ("test", 6)):
        path = folder / f"{kind}-{split}.txt"
        path.write_text(row["make"](n), encoding="utf-8")
        data[split] = str(path)
    settings = {
        "name": kind,
        "output": str(folder / "runs"),
        "backbone": {"name": str(backbone), "device": "cpu"},
        "method": {"name": "p_tuning_v2", "length": 3},
        "data": data,
        "task": row["task"],
        "decoding": {"batch_size": 3},
        "metrics": row["metrics"],
        "training": {
            "steps": 6, "batch_size": 4, "learning_rate": 0.05, "head_learning_rate": 0.1,
            "schedule": "exponential", "select": row["metrics"][0],
        },
        **changes,
    }  # fmt: skip
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path
