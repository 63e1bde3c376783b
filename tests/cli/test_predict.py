"""softprompt predict: one text in, what the head says out, as the run's own outputs say it."""

import json
from dataclasses import replace

import pytest

from softprompt.tasks import TASKS
from support.tasks import KINDS


def outputs_of(run):
    """What the run said for its test records."""
    text = (run / "outputs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["output"] for line in text.splitlines()]


def test_every_kind_of_run_leaves_what_it_should(readers):
    for kind in KINDS:
        run = readers / "runs" / kind
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        (overall,) = (row for row in result["scores"] if row["group"] == "all")
        assert set(KINDS[kind]["metrics"]) == set(overall["values"])
        outputs = outputs_of(run)
        assert len(outputs) == 6 and result["counts"]["cut_texts"] == 0
        assert "before:" not in (run / "samples.txt").read_text(encoding="utf-8")


def arguments_of(kind, record):
    """What to type for a record."""
    if kind == "tagging":
        return [" ".join(record.words)]
    if kind == "choice":
        return [record.text, *(part for choice in record.choices for part in ("--choice", choice))]
    if kind == "spans":
        return [record.question, "--second", record.context]
    return [record.text, *(["--second", record.second] if record.second is not None else [])]


def shown(kind, record, output):
    """What should be printed for an output of the run."""
    if kind == "tagging":
        return "".join(f"{word}\t{tag}\n" for word, tag in zip(record.words, output, strict=True))
    return f"{record.choices[output] if kind == 'choice' else output}\n"


@pytest.mark.parametrize("kind", list(KINDS))
def test_predictions_are_those_of_the_run(softprompt, readers, kind):
    from softprompt.config import load_run
    from softprompt.data import load

    run = readers / "runs" / kind
    records = load(load_run(run / "settings.yaml").data).test
    outputs = outputs_of(run)
    for i in (0, 3):
        for folder in (run, run / "prompt")[: 2 - i // 3]:
            result = softprompt("predict", folder, *arguments_of(kind, records[i]))
            assert result.code == 0
            if kind == "regression":
                assert float(result.out) == pytest.approx(outputs[i], abs=1e-4)
            else:
                assert result.out == shown(kind, records[i], outputs[i])
    assert ("note: the context holds no answer" in result.err) == (kind == "spans" and outputs[i] == "")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "tagging",
            ["a", "--second", "b"],
            "--second: got the option for task 'tagging', expected task classification or",
        ),
        ("choice", ["a", "--second", "b"], "--second: got the option for task 'choice'"),
        (
            "pair",
            ["a", "--choice", "b"],
            "--choice: got the option for task 'classification', expected task choice or cloze. Leave",
        ),
        ("choice", ["a", "--choice", "b"], "--choice: got 1 choices, expected at least 2."),
        ("choice", ["a"], "--choice: got 0 choices,"),
        ("spans", ["a"], "--second: got no context, expected the context that holds the answer."),
        ("single", ["a", "--set", "training.steps=3"], "--set: got training.steps"),
        ("single", ["a", "--set", "task.name=tagging"], "task.pooling: got an unknown setting"),
        ("single", ["a", "--set", "task.pooling=first"], "task.pooling: got 'first', expected 'mean'"),
        (
            "single",
            ["a", "--set", "task.labels=['no', 'yes', perhaps]"],
            "got a sequence head for ['no', 'yes'], expected a sequence head for ['no', 'yes', 'perhaps']",
        ),
        ("single", ["\u200b"], "record text: got a text without tokens"),
        ("tagging", [" "], "record text: got a sentence without words"),
    ],
)
def test_what_does_not_fit_is_refused(softprompt, readers, kind, options, message):
    result = softprompt("predict", readers / "runs" / kind, *options)
    assert result.code in (1, 2) and result.out == ""
    assert message in result.err


def test_generate_and_predict_point_to_each_other(softprompt, readers, trained):
    result = softprompt("generate", readers / "runs" / "pair", "a")
    assert result.code == 1
    assert "got a prompt with a sequence head for task 'classification'" in result.err
    assert "Use `softprompt predict`" in result.err
    result = softprompt("predict", trained / "runs" / "small", "a")
    assert result.code == 1
    assert (
        "got a prompt without a head, expected a prompt with a head. Use `softprompt generate`" in result.err
    )


def test_a_prompt_made_by_hand_tells_its_task_by_its_head(softprompt, tiny_encoder, tmp_path):
    from softprompt.backbones.load import load_backbone
    from softprompt.prompts.heads import head
    from softprompt.prompts.methods import head_only

    backbone = load_backbone(tiny_encoder)
    head_only(backbone, head=head("token", ["O", "B-x"])).save(tmp_path / "p")
    named = ("--backbone", tiny_encoder)
    result = softprompt("predict", tmp_path / "p", "the mill", *named, "--set", "task.name=choice")
    assert (result.code, "task.name: got 'choice' for a token head" in result.err) == (2, True)
    result = softprompt("predict", tmp_path / "p", "the mill", *named)
    assert result.code == 0
    assert [line.split("\t")[0] for line in result.out.splitlines()] == ["the", "mill"]
    result = softprompt("generate", tmp_path / "p", "a")
    assert (result.code, "Use `softprompt predict`" in result.err) == (1, True)


def test_a_cut_text_is_told(softprompt, readers):
    run = readers / "runs" / "single"
    result = softprompt("predict", run, "the mill is cheap and blue", "--set", "task.max_tokens=6")
    assert result.code == 0
    assert "note: cut 1 text to 6 tokens (task.max_tokens)" in result.err


def test_too_long_for_the_backbone_is_refused(softprompt, readers):
    run = readers / "runs" / "single"
    result = softprompt("predict", run, "mill " * 150, "--set", "task.max_tokens=128")
    assert result.code == 2
    assert "got 3 prompt positions and 128 tokens, expected at most 128 positions" in result.err


@pytest.mark.parametrize("kind", list(KINDS))
def test_inspect_shows_the_head(softprompt, readers, kind):
    result = softprompt("inspect", readers / "runs" / kind)
    assert result.code == 0
    expected = {
        "pair": "sequence, no, yes; reads first", "single": "sequence, no, yes; reads mean",
        "regression": "value, no labels; reads first", "choice": "choice, no labels; reads first",
        "tagging": "token, O, B-x, B-y, I-x", "spans": "span, no labels",
    }  # fmt: skip
    (line,) = [line for line in result.out.splitlines() if line.strip().startswith("head")]
    assert line.split(maxsplit=1)[1].strip() == expected[kind]
    assert "3 vectors" in result.out


@pytest.mark.parametrize(("lines", "got"), [("abc", "a text"), (None, "nothing")])
def test_a_form_of_outputs_gives_a_list_of_lines(softprompt, readers, monkeypatch, lines, got):
    row = TASKS["classification"]
    form = replace(row.outputs, lines=lambda record, output: lines)
    monkeypatch.setitem(TASKS._rows, "classification", replace(row, outputs=form))
    result = softprompt("predict", readers / "runs" / "single", "the mill")
    assert result.code != 0 and result.out == ""
    assert f"lines of its OutputForm: got {got}, expected a list of texts" in " ".join(result.err.split())
