"""Several labels for each text, against plain torch and scikit-learn."""

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support
from torch import nn
from transformers import GPT2Config, GPT2ForSequenceClassification

from softprompt.config import DataSettings, parse_run
from softprompt.data import MultiLabelledText, load
from softprompt.errors import ConfigError, DataError
from softprompt.metrics import score
from softprompt.training.setup.before_loading import RunData
from softprompt.training.setup.components import with_class_weights
from support.prompts import close
from support.reading import BACKBONES, bert, gpt2, head_of, prompt_of, task_of

NAME = "multi_label_classification"
LABELS = ("toxic", "insult", "threat")
TEXTS = [
    MultiLabelledText("1", "the mill", ("insult", "toxic")),
    MultiLabelledText("2", "Blue Spice is a Chinese restaurant", ()),
    MultiLabelledText("3", "food", ("threat",)),
    MultiLabelledText("4", "it serves food", ("toxic",), "in the city"),
]
TARGETS = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])


def logits_of(backbone, prompt, records):
    """The head's outputs of every record, read alone and pooled by hand."""
    rows = []
    for record in records:
        if backbone.is_causal:
            ids = backbone.tokenizer(record.text)["input_ids"]
            ids = ids + (backbone.token_ids(f"\n{record.second}") if record.second else [])
            encoded = {"input_ids": [ids]}
        elif record.second:
            encoded = backbone.tokenizer([record.text], [record.second])
        else:
            encoded = backbone.tokenizer([record.text])
        inputs = {name: torch.tensor(encoded[name]) for name in encoded if name != "special_tokens_mask"}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad(), backbone.prompted(prompt):
            states = backbone.read(inputs)
        place = {"first": 0, "last": -1}[prompt.head.card.pooling]
        rows.append(states[0, place].float() @ prompt.head.weight.T + prompt.head.bias)
    return torch.stack(rows)


@pytest.mark.parametrize("family", list(BACKBONES))
def test_loss_answers_and_probabilities_are_those_of_torch(family):
    backbone = BACKBONES[family]()
    task = task_of(backbone, NAME, LABELS)
    prompt = prompt_of(backbone, task)
    logits = logits_of(backbone, prompt, TEXTS)
    with torch.no_grad(), backbone.prompted(prompt):
        loss = task.loss([task.encode(record) for record in TEXTS])
        outcomes, said = task.outcomes(TEXTS), task.predict(TEXTS)
    close(loss / len(TEXTS), nn.BCEWithLogitsLoss()(logits, TARGETS))
    shares = torch.sigmoid(logits)
    wanted = [[label for label, share in zip(LABELS, row, strict=True) if share >= 0.5] for row in shares]
    assert said == wanted == [outcome.output for outcome in outcomes]
    assert 0 < sum(map(len, said)) < 12
    for outcome, row in zip(outcomes, shares, strict=True):
        close(torch.tensor([outcome.probabilities[label] for label in LABELS]), row)
        close(torch.tensor(outcome.confidence), torch.where(row >= 0.5, row, 1 - row).prod())


def test_a_head_alone_is_transformers_own_multi_label_model():
    from softprompt.prompts.methods import head_only

    backbone = gpt2()
    task = task_of(backbone, NAME, LABELS)
    prompt = head_only(backbone, head=task.head, seed=0).eval()
    same = {**backbone.model.config.to_dict(), "pad_token_id": 0}
    same = {
        name: value for name, value in same.items() if name not in ("id2label", "label2id", "problem_type")
    }
    config = GPT2Config(**same, num_labels=3, problem_type=NAME)
    model = GPT2ForSequenceClassification(config).eval()
    model.transformer.load_state_dict(backbone.model.transformer.state_dict())  # type: ignore[operator]
    model.score.weight.data.copy_(head_of(prompt).weight)  # its head has no bias, and ours begins at 0
    total = 0.0
    for record, target in zip(TEXTS[:3], TARGETS, strict=False):
        ids = torch.tensor([backbone.token_ids(record.text)])
        total += model(input_ids=ids, labels=target[None]).loss.item()
    with torch.no_grad(), backbone.prompted(prompt):
        ours = task.loss([task.encode(record) for record in TEXTS[:3]])
    close(ours, torch.tensor(total))


def test_class_weights_are_torchs_pos_weight_and_the_threshold_is_the_tasks():
    backbone = bert()
    weights = {"threat": 4.0, "toxic": 0.5, "insult": 2.0}
    task = task_of(backbone, NAME, LABELS, class_weights=weights, threshold=0.9)
    prompt = prompt_of(backbone, task)
    logits = logits_of(backbone, prompt, TEXTS)
    with torch.no_grad(), backbone.prompted(prompt):
        loss = task.loss([task.encode(record) for record in TEXTS])
        said = task.predict(TEXTS)
    by_hand = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([0.5, 2.0, 4.0]))(logits, TARGETS)
    close(loss / len(TEXTS), by_hand)
    assert said == [
        [label for label, share in zip(LABELS, row, strict=True) if share >= 0.9] for row in logits.sigmoid()
    ]


def test_balanced_weights_are_records_without_by_records_with_the_label(tmp_path):
    rows = [["a", "b"], ["a"], [], ["a", "c"], ["a"]]
    lines = [json.dumps({"text": f"t{i}", "label": row}) for i, row in enumerate(rows)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    raw = {
        "task": {"name": NAME, "class_weights": "balanced"},
        "data": {"train": str(tmp_path / "t.jsonl")},
        "training": {"steps": 1},
    }
    settings = parse_run(raw)
    made = with_class_weights(settings, RunData(load(settings.data), ["a", "b", "c"]))
    assert made.task.class_weights == {"a": 0.25, "b": 4.0, "c": 4.0}  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no training record has the label 'd'"):
        with_class_weights(settings, RunData(load(settings.data), ["a", "b", "c", "d"]))


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    right, said = rng.integers(0, 2, (40, 4)), rng.integers(0, 2, (40, 4))
    right[:, 3] = said[:, 3] = 0
    labels = ("d", "b", "c", "a")

    def sets(rows):
        return [[labels[i] for i in reversed(range(4)) if row[i]] for row in rows]

    names = ["micro_f1", "macro_f1", "subset_accuracy"]
    made = score(names, sets(said), sets(right), task=NAME, labels=labels)
    wanted = {
        "micro_f1": f1_score(right, said, average="micro"),
        "macro_f1": f1_score(right, said, average="macro", zero_division=0),
        "subset_accuracy": (right == said).all(1).mean(),
    }
    assert made.values == pytest.approx({name: 100 * value for name, value in wanted.items()})
    assert made.notes == ("macro_f1: 1 of 4 labels are on neither side, and count as 0",)
    nothing = score(names, [[], []], [[], []], task=NAME, labels=labels).values
    assert nothing == {"micro_f1": 0, "macro_f1": 0, "subset_accuracy": 100}


def test_each_label_has_a_row_and_errors_are_kept_without_a_confusion_matrix():
    task = task_of(bert(), NAME, LABELS)
    with torch.no_grad(), bert().prompted(prompt_of(bert(), task)):
        outcomes = task.outcomes(TEXTS)
    said = [outcome.output for outcome in outcomes]
    indicators = np.array([[label in row for label in LABELS] for row in said], dtype=int)
    by_hand = precision_recall_fscore_support(TARGETS.int().numpy(), indicators, zero_division=0)
    rows = {row["group"]: row["values"] for row in task.score(TEXTS, said, ["micro_f1", "subset_accuracy"])}
    assert list(rows) == ["all", "class toxic", "class insult", "class threat"]
    for i, label in enumerate(LABELS):
        assert rows[f"class {label}"] == {"micro_f1": pytest.approx(100 * by_hand[2][i])}  # type: ignore[index]
    files = task.files(TEXTS, outcomes)
    assert set(files) == {"classes.json", "errors.jsonl", "calibration.json", "reliability.png"}
    classes = json.loads(files["classes.json"])["classes"]
    for i, label in enumerate(LABELS):
        wanted = [100 * by_hand[k][i] for k in range(3)]  # type: ignore[index]
        assert [classes[label][key] for key in ("precision", "recall", "f1")] == pytest.approx(wanted)
        assert classes[label]["records"] == by_hand[3][i]  # type: ignore[index]
    errors = [json.loads(line) for line in str(files["errors.jsonl"]).splitlines()]
    wrong = [
        record.id for record, row in zip(TEXTS, said, strict=True) if set(row) != set(record.labels or ())
    ]
    assert sorted(line["id"] for line in errors) == wrong
    assert {line["right"] for line in errors} <= {"toxic, insult", "(no label)", "threat", "toxic"}
    measured = json.loads(files["calibration.json"])
    assert measured["answers"] == 12
    assert measured["accuracy"] == pytest.approx(100 * (indicators == TARGETS.numpy()).mean())


def test_labels_are_those_of_all_records_and_unknown_ones_are_refused():
    task = task_of(bert(), NAME, LABELS)
    kind = type(task)
    assert kind.labels_for(task.settings, None, TEXTS) == ("insult", "threat", "toxic")
    with pytest.raises(DataError, match=r"record 9: got the label 'rude', expected one of"):
        task.encode(MultiLabelledText("9", "x", ("toxic", "rude")))
    with pytest.raises(DataError, match=r"record 9: got no labels"):
        task.encode(MultiLabelledText("9", "x"))
    with pytest.raises(ConfigError, match="look alike"):
        kind.labels_in([MultiLabelledText("1", "x", ("Toxic", "toxic"))])
    assert head_of(prompt_of(bert(), task)).card.kind == "sequence"


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        (
            [
                '{"text": "x", "label": ["b", "a"]}',
                '{"text": "y", "label": []}',
                '{"text": "z", "label": [1]}',
            ],
            {},
        ),
        (["text,label", "x,b; a;", "y,", "z,1"], {"label_separator": ";"}),
        (["text,label", "x,\"['b', 'a']\"", "y,[]", "z,[1]"], {}),
        (["text,b,a,1", "x,1,1.0,0", "y,0,,false", "z,no,0,true"], {"label": ["b", "a", "1"]}),
    ],
)
def test_lists_joined_cells_and_columns_are_the_same_records(tmp_path, lines, settings):
    path = tmp_path / ("t.jsonl" if lines[0].startswith("{") else "t.csv")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    made = load(DataSettings(format="multi_labelled", train=path, **settings)).train
    assert [(record.text, record.labels) for record in made] == [  # type: ignore[attr-defined]
        ("x", ("b", "a")), ("y", ()), ("z", ("1",)),
    ]  # fmt: skip


def test_joined_cells_without_a_separator_are_refused_or_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,a;b\ny,a\nz,b;a\nw,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"look joined by ';' in 'label', e\.g\. 'a;b'.*label_separator=';'"):
        load(DataSettings(format="multi_labelled", train=path))
    notes = load(DataSettings(format="labelled", train=path)).notes
    assert any("look joined by ';'" in note and NAME in note for note in notes)
    path.write_text('text,label\nx,"Lyon, France"\ny,"Rome, Italy"\nz,"Lyon, France"\n', encoding="utf-8")
    assert not any("look joined" in note for note in load(DataSettings(format="labelled", train=path)).notes)
    path.write_text('text,label\nx,"1,5"\ny,"2,5"\nz,"1,2"\n', encoding="utf-8")
    assert not any("look joined" in note for note in load(DataSettings(format="labelled", train=path)).notes)


def test_labels_of_a_list_in_a_cell_are_read_as_json_or_python_means_them(tmp_path):
    path = tmp_path / "t.csv"
    some = ["so-so \U0001f600", "it's", 'a "b"', "né"]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), ("x", json.dumps(some)), ("y", str(some))])
    made = load(DataSettings(format="multi_labelled", train=path)).train
    assert [list(record.labels) for record in made] == [some, some]  # type: ignore[attr-defined]


@pytest.mark.parametrize("write", [tuple, set, list])
def test_tuples_and_sets_in_cells_are_lists(tmp_path, write):
    path = tmp_path / "t.csv"
    cells = [str(write(some)) for some in (["late", "rude"], ["late"], [])]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *(("x", cell) for cell in cells)])
    made = load(DataSettings(format="multi_labelled", train=path)).train
    assert [set(record.labels) for record in made] == [{"late", "rude"}, {"late"}, set()]  # type: ignore[attr-defined]


def test_lists_without_quotes_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('text,label\nx,[late]\ny,"[late, rude]"\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"\[late, rude\] in 'label', a list without quotes"):
        load(DataSettings(format="multi_labelled", train=path, label_separator=","))
    path.write_text('text,label\nx,"[a],[b]"\ny,"(1)"\n', encoding="utf-8")
    made = load(DataSettings(format="multi_labelled", train=path, label_separator=",")).train
    assert [record.labels for record in made] == [("[a]", "[b]"), ("(1)",)]  # type: ignore[attr-defined]


def test_lists_in_cells_of_single_labels_are_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,\"['late', 'rude']\"\ny,['late']\n", encoding="utf-8")
    notes = load(DataSettings(format="labelled", train=path)).notes
    assert any("in 'label' are lists, e.g. ['late', 'rude']" in note and NAME in note for note in notes)
    path.write_text("text,label\nx,late\ny,[rude]\n", encoding="utf-8")
    assert not any("are lists" in note for note in load(DataSettings(format="labelled", train=path)).notes)


@pytest.mark.parametrize(
    ("cells", "settings"),
    [
        (["[1,0,1,0]", "[0,0,1,0]"], {}),
        (["[true,false]", "[false,true]"], {}),
        (["[1.0,0.0,1.0]", "[]"], {}),
        (['"[1, 0, 1]"', '"[0, 0, 1]"'], {}),
        (['"[ True False True]"', '"[False False True]"'], {}),
        (['"[1. 0. 1.]"', '"[0. 0. 1.]"'], {}),
        (['"1;0;1"', '"0;0;1"'], {"label_separator": ";"}),
    ],
)
def test_lists_of_zeros_and_ones_are_refused_since_they_name_no_labels(tmp_path, cells, settings):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"text": "x", "label": {cell}}}\n' for cell in cells), encoding="utf-8")
    with pytest.raises(DataError, match=r"zeros and ones in 'label'.*column of 0 and 1 with its name"):
        load(DataSettings(format="multi_labelled", train=path, **settings))


@pytest.mark.parametrize("cells", [("[0, 1]", "[1]"), ("[1]", "[0]"), ("[1, 2]", "[2, 1]"), ("[0, 1]",)])
def test_labels_called_0_and_1_are_labels(tmp_path, cells):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"text": "x", "label": {cell}}}\n' for cell in cells), encoding="utf-8")
    made = load(DataSettings(format="multi_labelled", train=path)).train
    assert [list(map(int, record.labels)) for record in made] == [json.loads(cell) for cell in cells]  # type: ignore[attr-defined]


def test_odd_cells_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,b,a\nx,1,2\ny,0,0\n", encoding="utf-8")
    with pytest.raises(DataError, match="'2' in 'a', expected 1 or 0, in a column for one label"):
        load(DataSettings(format="multi_labelled", train=path, label=["b", "a"]))
    with pytest.raises(ConfigError, match=r"data\.label: got .* for labelled, expected one column"):
        load(DataSettings(format="labelled", train=path, label=["b", "a"]))
    with pytest.raises(DataError, match="'c'"):
        load(DataSettings(format="multi_labelled", train=path, label=["b", "c"]))
    lists = tmp_path / "t.jsonl"
    lists.write_text('{"text": "x", "label": [{"a": 1}]}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.jsonl"):
        load(DataSettings(format="multi_labelled", train=lists))
    lists.write_text('{"text": "x", "label": ["a", "b"]}\n', encoding="utf-8")
    with pytest.raises(DataError, match=f"task.name={NAME}"):
        load(DataSettings(format="labelled", train=lists))


def test_every_label_stays_in_the_training_set_and_shares_hold_each(tmp_path):
    rows = (
        [["a"] if i % 2 else ["a", "b"] for i in range(80)] + [["c", "a"]] * 10 + [[]] * 9 + [["rare", "b"]]
    )
    lines = [json.dumps({"text": f"text {i}", "label": row}) for i, row in enumerate(rows)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings = DataSettings(
        format="multi_labelled", train=tmp_path / "t.jsonl", test_share=0.2, dev_share=0.1
    )
    splits = load(settings)

    def share(records, label):
        return sum(label in record.labels for record in records) / len(records)

    assert (len(splits.train), len(splits.dev), len(splits.test)) == (72, 8, 20)
    assert any("rare" in record.labels for record in splits.train)  # type: ignore[attr-defined]
    for label in ("a", "b", "c"):
        assert abs(share(splits.test, label) - share(splits.train, label)) < 0.06
    sources = [record.source for part in (splits.train, splits.dev, splits.test) for record in part]
    assert sorted(sources) == sorted(f"text {i}" for i in range(100))
    # Without a label of its own to keep it, the last record of a label is given back.
    rows = [["m"], ["l", "m"], ["n"], ["l", "n"], ["p"], ["l", "p"]]
    lines = [json.dumps({"text": f"text {i}", "label": row}) for i, row in enumerate(rows)]
    (tmp_path / "s.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for subsample in range(12):
        settings = DataSettings(
            format="multi_labelled", train=tmp_path / "s.jsonl", dev_share=0.5, subsample=subsample
        )
        splits = load(settings)
        kept = {label for record in splits.train for label in record.labels}  # type: ignore[attr-defined]
        assert kept == {"l", "m", "n", "p"} and splits.dev


def test_one_number_has_one_spelling_among_several_labels(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\nx,1\ny,1.0;2\nz,2\nw,2;1\n", encoding="utf-8")
    made = load(DataSettings(format="multi_labelled", train=path, label_separator=";")).train
    assert [record.labels for record in made] == [("1",), ("1", "2"), ("2",), ("2", "1")]  # type: ignore[attr-defined]
