"""Predictions in bulk: row for row, in place, in every kind of file, and to be continued."""

import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.backbones.load import load_backbone
from softprompt.errors import DataError
from softprompt.prompts import load_prompt
from support.tasks import KINDS

TEXTS = [
    "the mill is cheap",
    "blue food",
    "it is in\nthe city",
    'a "restaurant" by the river, they say',
    "food",
]


def prompt_of(run, backbone):
    return load_prompt(run / "prompt", load_backbone(backbone))


def rows_in(file: Path) -> list[dict]:
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if file.suffix == ".parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        return pq.read_table(file).to_pylist()
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t" if file.suffix == ".tsv" else ","))


def write_csv(file: Path, rows: list[dict], encoding: str = "utf-8") -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write_bytes(text.getvalue().encode(encoding))
    return file


@pytest.fixture
def questions(tmp_path):
    rows = [{"id": str(i), "text": text} for i, text in enumerate(TEXTS)]
    rows[3:3] = [{"id": "blank", "text": "  "}]
    return write_csv(tmp_path / "rows.csv", rows)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_file_is_answered_row_for_row(softprompt, readers, tiny_encoder, questions, suffix):
    run, out = readers / "runs" / "single", questions.with_name(f"out.{suffix}")
    result = softprompt("predict", run, "--input", questions, "--output", out, "--probabilities")
    assert result.code == 0, result.err
    rows = rows_in(out)
    assert [row["id"] for row in rows] == ["0", "1", "2", "blank", "3", "4"]
    assert rows[3]["problem"] == "no text" and not rows[3]["prediction"] and not rows[3]["probability"]
    assert "no answer:" in result.err and "no text" in result.err
    good = [row for row in rows if row["id"] != "blank"]
    assert [row["text"] for row in good] == TEXTS
    for row, answer in zip(good, prompt_of(run, tiny_encoder).predict(TEXTS), strict=True):
        shares = row["probabilities"]
        shares = json.loads(shares) if isinstance(shares, str) else shares
        assert (row["prediction"], float(row["probability"])) == (answer.label, answer.probability)
        assert shares == answer.probabilities and not row["problem"]


def test_quotes_that_are_texts_of_a_tsv_are_written_as_they_are(softprompt, readers, tiny_encoder, tmp_path):
    file, out, run = tmp_path / "rows.tsv", tmp_path / "out.tsv", readers / "runs" / "single"
    texts = ['"a huge castle', 'a 5" mill', '"blue" food']
    lines = [f"{i}\t{text}" for i, text in enumerate(texts)]
    file.write_text("id\ttext\n" + "\n".join(lines) + "\n", encoding="utf-8")
    result = softprompt("predict", run, "--input", file, "--output", out, "--probabilities")
    assert result.code == 0, result.err
    head, *written = [line.split("\t") for line in out.read_text(encoding="utf-8").splitlines()]
    assert head == ["id", "text", "prediction", "probability", "probabilities", "problem"]
    answers = prompt_of(run, tiny_encoder).predict(texts)
    for i, (cells, text, answer) in enumerate(zip(written, texts, answers, strict=True)):
        assert cells[:3] == [str(i), text, answer.label] and cells[5] == ""
        assert (float(cells[3]), json.loads(cells[4])) == (answer.probability, answer.probabilities)


def test_a_tsv_with_line_breaks_in_its_answers_has_quotes_around_cells(tmp_path):
    from softprompt.answers.output import write_table

    rows = [{"source": '"a huge castle', "prediction": "two\nlines"}, {"source": "a", "prediction": "b\tc"}]
    write_table(tmp_path / "out.tsv", ["source", "prediction"], rows, bare=True)
    assert rows_in(tmp_path / "out.tsv") == rows


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "gb18030"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(softprompt, readers, tiny_encoder, tmp_path, encoding):
    texts = ["cheap food", "über the river – 中文", "it is"]
    file = write_csv(tmp_path / "rows.csv", [{"text": text, "n": "1"} for text in texts], encoding)
    run, out = readers / "runs" / "single", tmp_path / "out.jsonl"
    named = ["--set", "data.encoding=gb18030"] if encoding == "gb18030" else []
    result = softprompt("predict", run, "--input", file, "--output", out, *named)
    assert result.code == 0, result.err
    wanted = [answer.label for answer in prompt_of(run, tiny_encoder).predict(texts)]
    assert [(row["text"], row["prediction"]) for row in rows_in(out)] == list(zip(texts, wanted, strict=True))


def test_another_encoding_is_asked_for(softprompt, readers, tmp_path):
    file = write_csv(tmp_path / "rows.csv", [{"text": "便宜的食物很好吃"}], "gb18030")
    result = softprompt("predict", readers / "runs" / "single", "--input", file)
    assert result.code == 1 and "data.encoding: gb18030" in result.err


def inputs_of(kind, record):
    """A row of a JSON file for a record, and the same for Python."""
    if kind == "tagging":
        return {"words": list(record.words)}, list(record.words)
    if kind == "choice":
        row = {"text": record.text, "choice1": record.choices[0], "choice2": record.choices[1]}
        return row, {"text": record.text, "choices": record.choices}
    if kind == "spans":
        return {"question": record.question, "context": record.context}, (record.question, record.context)
    if kind == "pair":
        return {"text": record.text, "second": record.second}, (record.text, record.second)
    return {"text": record.text}, record.text


@pytest.mark.parametrize("kind", list(KINDS))
def test_python_and_the_command_agree_in_every_task(softprompt, readers, tiny_encoder, tmp_path, kind):
    from softprompt.config import load_run
    from softprompt.data import load

    run, file, out = readers / "runs" / kind, tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    records = load(load_run(run / "settings.yaml").data).test
    pairs = [inputs_of(kind, record) for record in records]
    file.write_text("".join(json.dumps(row) + "\n" for row, _ in pairs), encoding="utf-8")
    result = softprompt("predict", run, "--input", file, "--output", out, "--probabilities")
    assert result.code == 0, result.err
    answers = prompt_of(run, tiny_encoder).predict([value for _, value in pairs])
    for row, (asked, _), answer in zip(rows_in(out), pairs, answers, strict=True):
        cells = json.loads(json.dumps(answer.cells(probabilities=True)))
        assert row == {**asked, **cells, "problem": None}
    # And both are what the run itself said of its test set.
    said = [json.loads(line)["output"] for line in (run / "outputs.jsonl").read_text().splitlines()]
    outputs = [answer.output for answer in answers]
    assert outputs == (pytest.approx(said, abs=1e-5) if kind == "regression" else said)


def test_texts_python_and_the_command_agree(softprompt, trained, tiny_folder, tmp_path):
    run = trained / "runs" / "small"
    sources = [f"name : Mill {i} | area : {'city' * (i % 3)}" for i in range(7)]
    file = write_csv(tmp_path / "rows.csv", [{"source": source} for source in sources])
    for more in ([], ["--batch-size", "2"]):
        out = tmp_path / f"out{len(more)}.csv"
        result = softprompt("generate", run, "--input", file, "--output", out, *more)
        assert result.code == 0, result.err
        answers = prompt_of(run, tiny_folder).generate(sources)
        assert [row["prediction"] for row in rows_in(out)] == answers
        assert {row["problem"] for row in rows_in(out)} == {""}
    printed = softprompt("generate", run, sources[0])
    assert printed.out == answers[0] + "\n"


def test_several_texts_as_arguments(softprompt, readers, tiny_encoder):
    run = readers / "runs" / "single"
    result = softprompt("predict", run, *TEXTS)
    labels = [answer.label for answer in prompt_of(run, tiny_encoder).predict(TEXTS)]
    assert (result.code, result.out.splitlines()) == (0, labels)
    result = softprompt("predict", run, TEXTS[0], "--probabilities")
    (answer,) = prompt_of(run, tiny_encoder).predict(TEXTS[:1])
    shares = [f"{label} {share:.4f}" for label, share in answer.probabilities.items()]
    assert result.out == "\t".join([answer.label, *shares]) + "\n"


def test_lines_and_json_lines_on_standard_input(softprompt, readers, tiny_encoder, standard_input):
    run = readers / "runs" / "single"
    first, second = (a.label for a in prompt_of(run, tiny_encoder).predict(["the mill", "blue food"]))
    standard_input(b"the mill\n\nblue food\n")
    result = softprompt("predict", run)
    assert (result.code, result.out) == (0, f"{first}\n\n{second}\n")
    standard_input(b'{"text": "the mill", "n": 1}\n{"text": ""}\n{"text": "blue food"}\n')
    result = softprompt("predict", run, "--input", "-")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["prediction"] for row in rows] == [first, None, second]
    assert rows[0]["n"] == 1 and rows[1]["problem"] == "no text"


@pytest.mark.parametrize(
    "text",
    [
        'source\n"Hi,\n\nwhere is it"\n"Refund me"\n',
        "id,question\n1,where is it\n2,refund\n",
        'a,"one\ntwo"\nb,"three\nfour"\n',
        "id\ttext\n1\twhere\n",
    ],
)
def test_a_table_on_standard_input_is_asked_about(softprompt, trained, standard_input, text):
    standard_input(text.encode())
    result = softprompt("generate", trained / "runs" / "small")
    assert result.code == 2 and result.out == ""
    assert "what looks like a table" in result.err and "--as csv" in result.err and "--as lines" in result.err
    standard_input(text.encode())
    result = softprompt("generate", trained / "runs" / "small", "--input", "-", "--as", "lines")
    assert result.code == 0 and len(result.out.splitlines()) == len(text.splitlines())


def test_a_table_on_standard_input_by_name(softprompt, trained, tiny_folder, standard_input):
    sources = ["Hi,\n\nwhere is it", "Refund me"]
    run = trained / "runs" / "small"
    standard_input(b'source\n"Hi,\n\nwhere is it"\n"Refund me"\n')
    result = softprompt("generate", run, "--input", "-", "--as", "csv")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["prediction"] for row in rows] == prompt_of(run, tiny_folder).generate(sources)


def test_usual_lines_are_no_table(softprompt, trained, standard_input):
    standard_input(b'I came, I saw\nname : Mill, area : city\n"quoted" words, too\n')
    assert softprompt("generate", trained / "runs" / "small").code == 0


def test_a_file_as_text_is_asked_about(softprompt, readers, questions, monkeypatch):
    result = softprompt("predict", readers / "runs" / "single", questions)
    assert result.code == 2 and result.out == ""
    assert f"{questions} is a file: did you mean --input {questions}?" in result.err
    monkeypatch.chdir(questions.parent)
    result = softprompt("predict", readers / "runs" / "single", "no.csv")
    assert result.code == 0 and "note: 'no.csv' is taken as a text; there is no such file" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "x.csv"], "--output: got the option without --input"),
        (
            ["--input", "{}", "--output", "out.doc"],
            "a name that ends in .csv, .tsv, .jsonl, .parquet",
        ),
        (["--input", "{}", "--column", "txt"], "--column: got 'txt', expected one of id, text. Did you mean"),
        (["--input", "{}", "--second", "b"], "--second: got the option beside a file of rows"),
        (["a", "--input", "{}"], "--input: got both a file and texts"),
        (["--input", "none.csv"], "none.csv: got no such file"),
        (["--input", "{}", "--as", "csv"], "--as: got 'csv' for a file"),
        (["--input", "{}", "--set", "data.train=x"], "--set: got data.train"),
    ],
)
def test_options_that_do_not_fit(softprompt, readers, questions, options, message):
    options = [option.format(questions) for option in options]
    texts = [] if "--input" in options else ["a"]
    result = softprompt("predict", readers / "runs" / "single", *texts, *options)
    assert result.code in (1, 2) and result.out == ""
    assert message in result.err


def test_columns_are_told_or_asked_for(softprompt, readers, tmp_path):
    run, out = readers / "runs" / "single", tmp_path / "out.csv"
    rows = [{"a": "food", "b": "the mill", "c": "x"}]
    file = write_csv(tmp_path / "rows.csv", rows)
    result = softprompt("predict", run, "--input", file, "--output", out)
    assert result.code == 2 and "'a', 'b', 'c', none of which is plainly the text" in result.err
    assert "Name it with --column" in result.err
    texts = []
    for column in ("b", "{a}: {b}"):
        again = [*("--output", out), "--overwrite", "--column", column]
        assert softprompt("predict", run, "--input", file, *again).code == 0
        texts.append(rows_in(out)[0]["prediction"])
    assert texts == [softprompt("predict", run, text).out.strip() for text in ("the mill", "food: the mill")]


def test_pairs_need_both_texts(softprompt, readers, tmp_path):
    file = write_csv(tmp_path / "rows.csv", [{"text": "food", "other": "the mill"}])
    run, out = readers / "runs" / "pair", tmp_path / "out.csv"
    result = softprompt("predict", run, "--input", file, "--output", out)
    assert result.code == 2 and "no column for the second text" in result.err
    both = ["--column", "text", "--column", "other"]
    assert softprompt("predict", run, "--input", file, "--output", out, *both).code == 0
    alone = softprompt("predict", run, "food", "--second", "the mill")
    assert rows_in(out)[0]["prediction"] == alone.out.strip()


def test_files_of_the_prompts_own_format(softprompt, readers, tmp_path):
    """What its reader makes of them is asked: COPA's question is in the text, a word a line is a sentence."""
    for kind, name in (("choice", "copa"), ("spans", "squad"), ("tagging", "conll")):
        run, out = readers / "runs" / kind, tmp_path / f"{kind}.jsonl"
        file = tmp_path / f"{kind}.{'txt' if kind == 'tagging' else 'json'}"
        file.write_bytes((readers / f"{kind}-test.txt").read_bytes())
        result = softprompt("predict", run, "--input", file, "--output", out)
        assert result.code == 0, (name, result.err)
        said = [json.loads(line)["output"] for line in (run / "outputs.jsonl").read_text().splitlines()]
        rows = rows_in(out)
        if kind == "tagging":
            assert [[word["tag"] for word in row["prediction"]] for row in rows] == said
        elif kind == "choice":
            assert [row["choices"].index(row["prediction"]) for row in rows] == said
        else:
            assert [row["prediction"] for row in rows] == said
    untagged = tmp_path / "words.txt"
    untagged.write_text("the\nblue\nmill\n\nfood\n", encoding="utf-8")
    result = softprompt("predict", readers / "runs" / "tagging", "--input", untagged)
    assert [json.loads(line)["words"] for line in result.out.splitlines()] == [
        ["the", "blue", "mill"],
        ["food"],
    ]


def test_texts_that_a_reader_writes_are_not_guessed_from_columns(softprompt, readers, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"premise": "a", "choice1": "b", "choice2": "c"}\n', encoding="utf-8")
    result = softprompt("predict", readers / "runs" / "choice", "--input", file)
    assert result.code == 2 and "for a prompt of data 'copa'" in result.err


def test_bad_rows_keep_their_places(softprompt, readers, tmp_path):
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    lines = [
        '{"text": "food"}',
        "{bad",
        '{"other": 1}',
        '{"text": null}',
        '{"text": ["a"]}',
        '{"text": "is it"}',
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = softprompt("predict", readers / "runs" / "single", "--input", file, "--output", out)
    assert result.code == 0, result.err
    rows = rows_in(out)
    assert [bool(row["prediction"]) for row in rows] == [True, False, False, False, False, True]
    assert all(bool(row["problem"]) != bool(row["prediction"]) for row in rows)
    assert "4 without an answer (column problem)" in result.err and "line 2" in result.err


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_rows_that_cannot_be_read_keep_what_they_hold(softprompt, readers, tmp_path, suffix):
    file, out = tmp_path / "rows.csv", tmp_path / f"out.{suffix}"
    file.write_text('id,text,n\n1,food,a\n2,food\n\n4,mill,b,c,"d, e"\n,,\n6,is it,f\n\n\n', encoding="utf-8")
    result = softprompt("predict", readers / "runs" / "single", "--input", file, "--output", out)
    assert result.code == 0, result.err
    rows = [{name: value or None for name, value in row.items()} for row in rows_in(out)]
    held = [(row["id"], row["text"], row.get("n")) for row in rows]
    assert held == [
        ("1", "food", "a"),
        ("2", "food", None),
        (None, None, None),
        ("4", "mill", "b"),
        (None, None, None),
        ("6", "is it", "f"),
    ]
    assert [bool(row["prediction"]) for row in rows] == [True, False, False, False, False, True]
    assert "2 fields" in str(rows[1]["problem"]) and "5 fields" in str(rows[3]["problem"])
    assert rows[2]["problem"] == rows[4]["problem"] == "no text"
    rest = rows[3]["unread"]
    assert (json.loads(rest) if isinstance(rest, str) else rest) == ["c", "d, e"]
    assert [row.get("unread") for row in rows[:3]] == [None] * 3


def test_lines_that_are_no_objects_keep_their_text(softprompt, readers, tmp_path, standard_input):
    text = '{"text": "food"}\n{bad\n["a"]\n\n{"text": "is it"}\n'
    file = tmp_path / "rows.jsonl"
    file.write_text(text, encoding="utf-8")
    run, out = readers / "runs" / "single", tmp_path / "out.csv"
    result = softprompt("predict", run, "--input", file, "--output", out)
    assert result.code == 0, result.err
    assert [row["unread"] for row in rows_in(out)] == ["", "{bad", '["a"]', "", ""]
    standard_input(text.encode())
    printed = [json.loads(line) for line in softprompt("predict", run).out.splitlines()]
    assert [row.get("unread") for row in printed] == [None, "{bad", '["a"]', None, None]
    file.write_text(text.replace('"food"', '"food", "unread": 1'), encoding="utf-8")
    result = softprompt("predict", run, "--input", file, "--output", out, "--overwrite")
    assert result.code == 2 and "a column 'unread'" in result.err


def test_an_empty_text_is_refused_as_a_blank_row_is(softprompt, readers, trained):
    for command, run in (("predict", readers / "runs" / "single"), ("generate", trained / "runs" / "small")):
        result = softprompt(command, run, "")
        assert result.code == 1 and "got an empty text" in result.err and not result.out


def test_one_text_for_a_prompt_of_pairs_is_refused(softprompt, readers, tiny_encoder):
    run = readers / "runs" / "pair"
    result = softprompt("predict", run, "food")
    assert result.code == 1 and "got one text, expected two" in result.err and not result.out
    assert softprompt("predict", run, "food", "--second", "is it").code == 0
    with pytest.raises(DataError, match=r"record 2: got one text"):
        prompt_of(run, tiny_encoder).predict([("food", "is it"), "food"])


def test_an_output_is_not_overwritten_unless_asked(softprompt, readers, questions):
    run, out = readers / "runs" / "single", questions.with_name("out.csv")
    out.write_text("mine", encoding="utf-8")
    result = softprompt("predict", run, "--input", questions, "--output", out)
    assert result.code == 2 and "which is there already" in result.err and out.read_text() == "mine"
    result = softprompt("predict", run, "--input", questions, "--output", out, "--overwrite")
    assert result.code == 0 and len(rows_in(out)) == 6
    result = softprompt("predict", run, "--input", out, "--output", questions.with_name("two.csv"))
    assert result.code == 2 and "a column 'prediction', which the answers are written to" in result.err


def test_what_was_stopped_goes_on(softprompt, readers, tmp_path, monkeypatch):
    from softprompt.answers import Answerer

    run = readers / "runs" / "single"
    rows = [{"text": f"{text} {i}"} for i, text in enumerate(TEXTS * 4)]
    file, whole, out = write_csv(tmp_path / "rows.csv", rows), tmp_path / "whole.csv", tmp_path / "out.csv"
    options = ["--batch-size", "2"]
    assert softprompt("predict", run, "--input", file, "--output", whole, *options).code == 0
    calls, answers = [], Answerer.answers

    def stopping(self, asked, progress=None):
        calls.append(len(asked))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answers(self, asked, progress)

    monkeypatch.setattr(Answerer, "answers", stopping)
    result = softprompt("predict", run, "--input", file, "--output", out, *options)
    assert result.code == 130 and "the same command goes on" in result.err and not out.exists()
    partial = out.with_name("out.csv.partial")
    kept = partial.read_text(encoding="utf-8")
    # A kill in the middle of a write leaves half a line.
    partial.write_text(kept + '{"prediction": "y', encoding="utf-8")
    changed = ["--set", "task.max_tokens=20"]
    result = softprompt("predict", run, "--input", file, "--output", out, *options, *changed)
    assert result.code == 2 and "begun with another settings" in result.err
    result = softprompt("predict", readers / "runs" / "pair", "--input", file, "--output", out)
    assert result.code == 2
    calls.clear()
    calls.append(0)
    calls.append(0)
    result = softprompt("predict", run, "--input", file, "--output", out, *options)
    assert result.code == 0 and "8 of them by an earlier command" in result.err
    assert sum(calls) == 12 and not partial.exists()
    assert out.read_bytes() == whole.read_bytes()


KILLED = """
import os, sys
from softprompt.answers import Answerer
from softprompt.cli.app import main

answers, calls = Answerer.answers, []

def slow(self, asked, progress=None):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), 9)
    return answers(self, asked, progress)

Answerer.answers = slow
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_is_continued(softprompt, trained, tmp_path):
    run = trained / "runs" / "small"
    rows = [{"source": f"name : Mill {i}"} for i in range(11)]
    file, whole, out = (
        write_csv(tmp_path / "rows.csv", rows),
        tmp_path / "whole.jsonl",
        tmp_path / "out.jsonl",
    )
    options = ["--batch-size", "1"]
    assert softprompt("generate", run, "--input", file, "--output", whole, *options).code == 0
    command = ["generate", run, "--input", file, "--output", out, *options]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, command)], capture_output=True, timeout=240, check=False
    )
    assert ended.returncode == -signal.SIGKILL and not out.exists()
    result = softprompt(*command)
    assert result.code == 0 and "8 of them by an earlier command" in result.err
    assert out.read_bytes() == whole.read_bytes()


def test_typed_chinese_has_a_tag_for_each_character(softprompt, readers):
    run = readers / "runs" / "tagging"
    more = ["--set", "task.vanished=unknown"]
    result = softprompt("predict", run, "马云住在", *more)
    assert result.code == 0, result.err
    assert [line.split("\t")[0] for line in result.out.splitlines()] == list("马云住在")
    assert result.out == softprompt("predict", run, "马 云 住 在", *more).out
    result = softprompt("predict", run, "马云 住在", *more)
    assert result.code == 1 and "--words characters" in result.err
    result = softprompt("predict", run, "马云 住在", "--words", "spaces", *more)
    assert [line.split("\t")[0] for line in result.out.splitlines()] == ["马云", "住在"]


def test_module_is_the_command():
    ended = subprocess.run(
        [sys.executable, "-m", "softprompt", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0 and ended.stdout.startswith("softprompt ")
