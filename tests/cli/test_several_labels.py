"""Several labels for each text, from somebody's file to predictions and the page of the run."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from softprompt.backbones.load import load_backbone
from softprompt.prompts import load_prompt

NAMES = ("billing", "late", "rude")


def rows_of(n: int) -> list[tuple[str, list[str]]]:
    """Comments with none to three of three labels."""
    return [
        (f"comment {i} on the food of the mill", [name for k, name in enumerate(NAMES) if i >> k & 1])
        for i in range(n)
    ]


def joined(path: Path) -> Path:
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("comment", "labels"), *((t, "; ".join(some)) for t, some in rows_of(40))]
        )
    return path.with_suffix(".csv")


def listed(path: Path) -> Path:
    lines = [json.dumps({"comment": text, "labels": some}) + "\n" for text, some in rows_of(40)]
    path.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")
    return path.with_suffix(".jsonl")


def flagged(path: Path) -> Path:
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "comment", *NAMES))
        for i, (text, some) in enumerate(rows_of(40)):
            writer.writerow((f"r{i}", text, *(int(name in some) for name in NAMES)))
    return path.with_suffix(".csv")


@pytest.mark.parametrize("write", [str, json.dumps])
def test_lists_in_the_cells_of_a_csv_file_are_several_labels(softprompt, tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    with Path("rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(text, write(some)) for text, some in rows_of(40)]
        csv.writer(file).writerows([("comment", "labels"), *rows])
    result = softprompt("new", "rows.csv")
    assert result.code == 0, result.err
    assert "labels: billing 20, late 20, rude 20" in result.out
    raw = yaml.safe_load(Path("rows.yaml").read_text(encoding="utf-8"))
    assert raw["task"]["name"] == "multi_label_classification" and "label_separator" not in raw["data"]


def test_lists_of_words_and_tags_in_cells_are_no_labels(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Path("rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(str(["in", f"mill {i}", "now"]), str(["O", "B-LOC", "O"])) for i in range(40)]
        csv.writer(file).writerows([("tokens", "tags"), *rows])
    result = softprompt("new", "rows.csv")
    assert result.code == 1 and "leave open what is asked" in result.err


@pytest.mark.parametrize("make", [joined, listed, flagged])
def test_from_a_file_to_predictions(softprompt, tmp_path, monkeypatch, tiny_encoder, make):
    monkeypatch.chdir(tmp_path)
    data = make(tmp_path / "rows")
    result = softprompt("new", data.name, "--backbone", tiny_encoder, "--set", "backbone.device=cpu")
    assert result.code == 0, result.err
    raw = yaml.safe_load(Path("rows.yaml").read_text(encoding="utf-8"))
    assert raw["task"]["name"] == "multi_label_classification"
    assert raw["data"].get("label_separator") == (";" if make is joined else None)
    assert raw["data"]["label"] == (list(NAMES) if make is flagged else "labels")
    assert "labels: billing 20, late 20, rude 20" in result.out
    result = softprompt("train", "rows.yaml", "--set", "training.steps=4")
    assert result.code == 0, result.err
    run = Path(raw.get("output", "runs")) / "rows"
    facts = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert set(facts["scores"][0]["values"]) == {"micro_f1", "macro_f1", "subset_accuracy"}
    assert not (run / "confusion.json").exists()

    texts = ["comment 3 on the food", "the mill"]
    prompt = load_prompt(run / "prompt", load_backbone(tiny_encoder))
    answers = prompt.predict(texts)
    shares = torch.tensor([[answer.probabilities[name] for name in NAMES] for answer in answers])
    for answer, row in zip(answers, shares, strict=True):
        assert answer.prediction == [name for name, share in zip(NAMES, row, strict=True) if share >= 0.5]
        assert answer.probability == pytest.approx(float(torch.where(row >= 0.5, row, 1 - row).prod()))

    Path("new.csv").write_text("comment\n" + "\n".join(texts) + "\n", encoding="utf-8")
    lowest = ["--set", "task.threshold=0.0001"]  # so that every text has every label
    assert softprompt("predict", run, "--input", "new.csv", "--output", "out.csv", *lowest).code == 0
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == ["billing;late;rude"] * 2
    for row, answer in zip(rows, answers, strict=True):
        assert json.loads(row["probabilities"]) == pytest.approx(dict(answer.probabilities), abs=1e-5)
    assert softprompt("predict", run, "--input", "new.csv", "--output", "out.jsonl", *lowest).code == 0
    lines = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["prediction"] for line in lines] == [list(NAMES)] * 2
    tabs = ("predict", run, "--input", "new.csv", "--output", "out.tsv", "--probabilities", *lowest)
    assert softprompt(*tabs).code == 0
    with Path("out.tsv").open(encoding="utf-8", newline="") as file:
        tabbed = list(csv.DictReader(file, delimiter="\t"))
    for row in (*rows, *lines, *tabbed):
        assert [*row] == ["comment", "prediction", "probability", "probabilities", "problem"]
    for answer, *same in zip(answers, rows, lines, tabbed, strict=True):  # of exactly these: all three
        wanted = torch.tensor([*answer.probabilities.values()]).prod()
        assert [float(row["probability"]) for row in same] == pytest.approx([float(wanted)] * 3, rel=1e-3)
    one = softprompt("predict", run, texts[0], *lowest, "--probabilities")
    assert one.code == 0 and one.out.startswith("billing;late;rude\tbilling 0.")
    nothing = softprompt("predict", run, texts[0], "--set", "task.threshold=0.9999")
    assert nothing.out.strip() == "" and "no label passes the threshold" in nothing.err
    other = softprompt("predict", run, texts[0], "--set", "task.name=classification")
    assert other.code == 2 and "'classification' for a prompt trained for 'multi_label" in other.err

    assert softprompt("evaluate", run).code == 0
    assert softprompt("report", run).code == 0
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "exact match" in page and "billing" in page and "Confusion" not in page


def test_a_separator_of_the_data_joins_the_predictions(softprompt, tmp_path, monkeypatch, tiny_encoder):
    monkeypatch.chdir(tmp_path)
    lines = [f"{text}\t{' | '.join(some)}" for text, some in rows_of(12)]
    Path("rows.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n", encoding="utf-8")
    recipe = {
        "name": "bars",
        "backbone": {"name": str(tiny_encoder), "device": "cpu"},
        "method": {"name": "head_only"},
        "data": {"train": "rows.tsv", "label_separator": "|"},
        "task": {"name": "multi_label_classification", "threshold": 0.0001, "class_weights": "balanced"},
        "training": {"steps": 2},
    }
    Path("bars.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    result = softprompt("train", "bars.yaml")
    assert result.code == 0, result.err
    Path("new.csv").write_text("text\nthe mill\n", encoding="utf-8")
    # The prompt alone, away from its run, has all that an answer needs.
    Path("runs/bars/prompt").rename("alone")
    predict = ("predict", "alone", "--backbone", tiny_encoder, "--input", "new.csv", "--output", "out.csv")
    assert softprompt(*predict).code == 0
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == ["billing|late|rude"]
    # For texts with one label each the setting says nothing; without it, the file is told to look joined.
    one = ["--set", "task={name: classification}", "--set", "name=one"]
    single = "".join(f"text {i}\t{name}\n" for i, name in enumerate(NAMES * 2))
    Path("single.tsv").write_text("text\tlabel\n" + single, encoding="utf-8")
    of_data = "data={train: single.tsv, test: single.tsv}"
    named = ("--recipe", "bars.yaml", *one[:2], "--set", of_data)
    result = softprompt("evaluate", "alone", *named)
    assert result.code == 2 and "prompt trained for 'multi_label_classification'" in result.err, result.err
    result = softprompt("train", "bars.yaml", *one)
    assert result.code == 2 and "expected task.name=multi_label_classification" in result.err
    result = softprompt(
        "train", "bars.yaml", *one, "--set", "data.label_separator=null", "--set", "data.on_bad_row=skip"
    )
    assert "labels in 'label' look joined by '|'" in result.out + result.err
