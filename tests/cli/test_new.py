"""softprompt new: from somebody's file to a recipe that trains as it stands."""

import csv
import json
import shlex
from pathlib import Path

import openpyxl
import pytest
import yaml

from softprompt.config import load_run
from support.pictures import picture_folder


def rows_of(n: int, *columns: str) -> list[dict[str, str]]:
    """Rows of a support desk: questions with labels, numbers and answers."""
    kinds = ("refund", "delivery", "account")
    made = []
    for i in range(n):
        kind = kinds[i % 3]
        row = {
            "text": f"where is my {kind} number {i}",
            "label": kind,
            "answer": f"Your {kind} {i} is on its way.",
            "number": f"{i / 7:.3f}",
            "other": f"sent on day {i}",
        }
        made.append({name: row[name.partition(":")[0]] for name in columns})
    return made


def write_csv(path: Path, rows: list[dict[str, str]], *names: str) -> Path:
    """A CSV file; its columns have these names."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names or rows[0])
        writer.writerows(row.values() for row in rows)
    return path


def write_lines(path: Path, items: list[object]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return path


def write_tagged(path: Path, n: int) -> Path:
    """Sentences of Chinese characters, a character and its tag on each line."""
    sentence = [
        *zip("王小明", ("B-PER", "I-PER", "I-PER"), strict=True),
        ("在", "O"),
        ("北", "B-LOC"),
        ("京", "I-LOC"),
    ]
    lines = [f"{sign} {tag}\n" for sign, tag in sentence]
    path.write_text("\n".join("".join(lines) + f"{i % 10} O\n" for i in range(n)) + "\n", encoding="utf-8")
    return path


def chats(n: int) -> list[object]:
    return [
        {"messages": [{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": f"{i}, sir"}]}
        for i in range(n)
    ]


def squad(n: int) -> object:
    return {
        "data": [
            {
                "title": "rivers",
                "paragraphs": [
                    {
                        "context": f"river {i} flows to the sea",
                        "qas": [
                            {
                                "id": f"{i}",
                                "question": "where to",
                                "answers": [{"text": "the sea", "answer_start": 16 + len(str(i))}],
                            }
                        ],
                    }
                    for i in range(n)
                ],
            }
        ]
    }


def labelled(folder: Path) -> Path:
    return write_csv(folder / "desk.csv", rows_of(120, "text", "label"))


def paired(folder: Path) -> Path:
    return write_csv(folder / "desk.csv", rows_of(120, "text", "answer"), "question", "answer")


def judged(folder: Path) -> Path:
    return write_csv(folder / "stars.csv", rows_of(60, "text", "number"), "text", "score")


def alpaca(folder: Path) -> Path:
    rows = [{"instruction": f"Add one to {i}.", "input": "", "output": f"It is {i + 1}."} for i in range(40)]
    (folder / "alpaca.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder / "alpaca.json"


def entailed(folder: Path) -> Path:
    return write_csv(
        folder / "nli.csv", rows_of(60, "text", "other", "label"), "premise", "hypothesis", "label"
    )


def yes_or_no(folder: Path) -> Path:
    rows = [{"question": f"is {i} even, please", "answer": ("yes", "no")[i % 2]} for i in range(40)]
    return write_csv(folder / "even.csv", rows)


def listed_tags(folder: Path) -> Path:
    rows = [{"tokens": ["we", "fly", "to", "Rome"], "ner_tags": ["O", "O", "O", "B-LOC"]}] * 30
    return write_lines(folder / "trips.jsonl", list(rows))


def asked(folder: Path) -> Path:
    (folder / "rivers.json").write_text(json.dumps(squad(30)), encoding="utf-8")
    return folder / "rivers.json"


KINDS = {
    "labels": (labelled, "classification", {"text": "text", "label": "label"}),
    "pairs": (paired, "generation", {"source": "question", "target": "answer"}),
    "numbers": (judged, "regression", {"text": "text", "label": "score"}),
    "alpaca": (alpaca, "generation", {"source": "{instruction}\n{input}", "target": "output"}),
    "two texts": (entailed, "classification", {"text": "premise", "second": "hypothesis", "label": "label"}),
    "yes or no": (yes_or_no, "classification", {"text": "question", "label": "answer"}),
    "chat": (
        lambda folder: write_lines(folder / "chat.jsonl", chats(30)),
        "generation",
        {"messages": "messages"},
    ),
    "tagged lines": (lambda folder: write_tagged(folder / "ner.txt", 30), "tagging", {}),
    "listed tags": (listed_tags, "tagging", {"words": "tokens", "tags": "ner_tags"}),
    "questions": (asked, "spans", {}),
    "pictures": (lambda folder: picture_folder(folder / "colours", 8), "image_classification", {}),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_task_and_the_columns_are_found(softprompt, tmp_path, monkeypatch, kind):
    make, task, columns = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    data = make(tmp_path)
    result = softprompt("new", data.name)
    assert result.code == 0, result.err
    recipe = tmp_path / f"{data.name.partition('.')[0]}.yaml"
    raw = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    settings = load_run(recipe)
    assert settings.task.name == task
    assert {
        key: value for key, value in raw["data"].items() if not key.endswith(("share", "train"))
    } == columns
    assert raw["data"]["train"] == data.name
    assert f"softprompt train {recipe.name}" in result.out


@pytest.mark.parametrize("task", [[], ["--task", "regression"]])
def test_numbers_with_a_decimal_comma_are_found_and_those_of_two_readings_refused(softprompt, tmp_path, task):
    rows = [{"text": f"a house with {i} rooms", "price": f"{i % 7},{i:02}"} for i in range(40)]
    made = softprompt("new", write_csv(tmp_path / "x.csv", rows), "--output", tmp_path / "x.yaml", *task)
    assert made.code == 0, made.err
    data = yaml.safe_load((tmp_path / "x.yaml").read_text(encoding="utf-8"))["data"]
    assert data["decimal"] == "," and "thousands" not in data
    for i, row in enumerate(rows):
        row["price"] = f"1.{i + 100}" if i % 3 == 0 else str(300 + i)
    made = softprompt("new", write_csv(tmp_path / "y.csv", rows), "--output", tmp_path / "y.yaml", *task)
    assert made.code == 1 and "which may be 1.100 or 1100" in made.err


def test_broken_pictures_are_said_and_left_out(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = picture_folder(tmp_path / "colours", 8)
    (folder / "blue" / "cut.png").write_bytes((folder / "blue" / "000.png").read_bytes()[:60])
    (folder / "red" / "no.png").write_bytes(b"")
    result = softprompt("new", "colours")
    assert result.code == 0, result.err
    assert "2 bad rows were left out" in result.out and "colours/blue/cut.png" in result.out
    assert load_run(tmp_path / "colours.yaml").data.on_bad_row == "skip"


def test_errors_say_what_to_add_to_the_command_and_it_works(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"电影{i}很好看,{'好' if i % 2 else '坏'}\n" for i in range(40))
    (tmp_path / "film.csv").write_bytes(f"text,label\n{rows}".encode("gb18030"))
    refused = softprompt("new", "film.csv")
    assert refused.code == 1 and "--set data.encoding=gb18030 (Chinese)" in refused.err
    assert "data.encoding: " not in refused.err
    assert softprompt("new", "film.csv", "--set", "data.encoding=gb18030").code == 0
    book = openpyxl.Workbook()
    book.active.title = "all rows"
    for sheet in (book.active, book.create_sheet("more")):
        for row in (("text", "label"), *((f"a film {i}", "ab"[i % 2]) for i in range(40))):
            sheet.append(row)
    book.save("book.xlsx")
    refused = softprompt("new", "book.xlsx")
    (option,) = [
        word for word in shlex.split(refused.err.rpartition("e.g. ")[2].rstrip(".\n")) if "=" in word
    ]
    assert option == 'data.sheet="all rows"'
    assert softprompt("new", "book.xlsx", "--set", option).code == 0


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        ("Report of May,\n\ntext,label\n", r"the columns 'Report of May' and '' in the first row"),
        (
            "# made by a program\ntext,label\n",
            "'# made by a program' in the first row, and 2 fields behind",
        ),
    ],
)
def test_lines_above_the_header_are_no_header(softprompt, tmp_path, monkeypatch, begin, message):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"a question {i},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "x.csv").write_text(begin + rows, encoding="utf-8")
    refused = softprompt("new", "x.csv")
    assert refused.code == 1 and message in refused.err and "Remove what stands above" in refused.err


def test_labels_that_look_alike_are_refused_as_training_would(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"a question {i}", "label": ("paid", "open", "Paid")[i % 3]} for i in range(60)]
    write_csv(tmp_path / "x.csv", rows)
    refused = softprompt("new", "x.csv")
    assert refused.code != 0 and "labels that look alike: 'Paid' and 'paid'" in refused.err
    assert softprompt("new", "x.csv", "--set", "task.labels=[paid, open, Paid]").code == 0


def test_a_share_is_set_aside_of_as_many_rows_as_allow_it(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n, shares in ((15, set()), (60, {"test_share"}), (120, {"test_share", "dev_share"})):
        write_csv(tmp_path / "rows.csv", rows_of(n, "text", "label"))
        result = softprompt("new", "rows.csv", "--overwrite")
        assert result.code == 0, result.err
        raw = yaml.safe_load((tmp_path / "rows.yaml").read_text(encoding="utf-8"))
        assert {key for key in raw["data"] if key.endswith("share")} == shares
        assert ("select" in raw["training"]) == ("dev_share" in shares)


def test_files_of_splits_are_found_in_a_folder(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").mkdir()
    for name in ("train", "validation", "test"):
        write_csv(tmp_path / "sets" / f"{name}.csv", rows_of(30, "text", "label"))
    assert softprompt("new", "sets").code == 0
    raw = yaml.safe_load((tmp_path / "sets.yaml").read_text(encoding="utf-8"))
    assert raw["data"] == {
        "train": "sets/train.csv", "dev": "sets/validation.csv", "test": "sets/test.csv",
        "text": "text", "label": "label",
    }  # fmt: skip


def test_settings_on_the_command_line_come_first(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "rows.csv", rows_of(60, "text", "other", "label"), "a", "b", "c")
    result = softprompt("new", "rows.csv")
    assert result.code == 1 and "'a' and 'b', beside 'c'" in result.err and "--set data.text=b" in result.err
    result = softprompt(
        "new", "rows.csv", "--set", "data.text=b", "--set", "training.steps=7", "--method", "lora"
    )
    assert result.code == 0, result.err
    raw = yaml.safe_load((tmp_path / "rows.yaml").read_text(encoding="utf-8"))
    assert raw["data"]["text"] == "b" and raw["data"]["label"] == "c"
    assert raw["training"]["steps"] == 7 and raw["method"] == {"name": "lora"}


def numbers_as(form: str) -> list[dict[str, str]]:
    return [{"text": f"the mill {i} and more of it", "price": form.format(i / 7)} for i in range(40)]


@pytest.mark.parametrize(
    ("form", "first", "plain"),
    [
        ("€{:.2f}", "'€0.00' in 'price', and no plain number", "as 0.00"),
        ("-${:.2f}", "'-$0.00' in 'price', and no plain number", "as -0.00"),
        ("{:.2f} EUR", "'0.00 EUR' in 'price', and no plain number", "as 0.00"),
        ("{:.1f}%", "'0.0%' in 'price', and no plain number", "as 0.0"),
        ("\u2212{:.1f}", "'\u22120.0' in 'price', and no plain number", "as -0.0"),
    ],
)
def test_numbers_with_signs_are_named(softprompt, tmp_path, monkeypatch, form, first, plain):
    monkeypatch.chdir(tmp_path)
    result = softprompt("new", write_csv(tmp_path / "x.csv", numbers_as(form)))
    said = " ".join(result.err.split())
    assert result.code == 1 and first in said and "--task regression" in said and plain in said
    assert "x.csv, line 2" in said


def test_an_odd_cell_among_numbers_is_named(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = numbers_as("{:.3f}")
    rows[3]["price"] = "n/a"
    result = softprompt("new", write_csv(tmp_path / "x.csv", rows))
    said = " ".join(result.err.split())
    assert result.code == 1 and "line 5" in said and "'n/a' in 'price'" in said and "remove its row" in said


def flag_lists(kind: type) -> list[object]:
    return [{"text": f"the mill {i}", "labels": [kind(i >> k & 1) for k in range(4)]} for i in range(40)]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: write_csv(f / "x.csv", rows_of(9, "text", "other"), "a", "b"), "leave open what is asked"),
        (lambda f: (f / "x.json").write_text("[]", encoding="utf-8") and f / "x.json", "no rows"),
        (
            lambda f: (f / "x.csv").write_text("a,b\n", encoding="utf-8") and f / "x.csv",
            "no rows below the header",
        ),
        (lambda f: write_lines(f / "x.jsonl", flag_lists(int)), "column of 0 and 1 with its name"),
        (lambda f: write_lines(f / "x.jsonl", flag_lists(float)), "column of 0 and 1 with its name"),
        (lambda f: write_csv(f / "x.csv", rows_of(9, "text")), "an answer beside each text"),
        (lambda f: f / "x.csv", "no such file or folder"),
        (lambda f: write_csv(f / "x.log", rows_of(9, "text")), "a file that ends in one of"),
        (lambda f: (f / "x").mkdir() or f / "x", "data to begin from"),
    ],
)
def test_what_leaves_the_task_open_is_refused(softprompt, tmp_path, monkeypatch, make, said):
    monkeypatch.chdir(tmp_path)
    result = softprompt("new", make(tmp_path))
    assert result.code == 1 and said in result.err and "Traceback" not in result.err
    assert not (tmp_path / "x.yaml").exists()


def test_a_recipe_that_is_there_is_kept(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labelled(tmp_path)
    (tmp_path / "desk.yaml").write_text("mine\n", encoding="utf-8")
    result = softprompt("new", "desk.csv")
    assert result.code == 2 and "--overwrite" in result.err
    assert (tmp_path / "desk.yaml").read_text(encoding="utf-8") == "mine\n"


def test_bad_rows_are_left_out_and_told(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = rows_of(40, "text", "label")
    rows[7]["label"] = ""
    write_csv(tmp_path / "rows.csv", rows)
    result = softprompt("new", "rows.csv")
    assert result.code == 0, result.err
    assert "line 9" in result.out and "left out" in result.out
    raw = yaml.safe_load((tmp_path / "rows.yaml").read_text(encoding="utf-8"))
    assert raw["data"]["on_bad_row"] == "skip"


def test_odd_rows_are_told(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = rows_of(40, "text", "label")
    rows[4] = dict(rows[1])
    rows[8] = {**rows[2], "label": "refund"}
    write_csv(tmp_path / "rows.csv", rows)
    out = softprompt("new", "rows.csv").out
    assert "1 record stands there twice" in out and "1 input stands with different labels" in out


def test_long_texts_leave_room_for_the_prompt(softprompt, tmp_path, monkeypatch, tiny_encoder):
    monkeypatch.chdir(tmp_path)
    rows = rows_of(40, "text", "label")
    write_csv(tmp_path / "rows.csv", [{**row, "text": row["text"] + " very late" * 600} for row in rows])
    result = softprompt("new", "rows.csv", "--backbone", tiny_encoder)
    assert result.code == 0 and "is cut to" in result.out
    recipe = (tmp_path / "rows.yaml").read_text(encoding="utf-8")
    assert "the end of longer texts is cut" in recipe and "99 of 100" not in recipe
    assert softprompt("train", "rows.yaml", "--set", "training.steps=1").code == 0


def test_short_answers_to_instructions_are_texts(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": "Add one.", "input": f"{i % 4}", "output": f"{i % 4 + 1}"} for i in range(40)]
    (tmp_path / "sums.json").write_text(json.dumps(rows), encoding="utf-8")
    assert softprompt("new", "sums.json").code == 0
    raw = yaml.safe_load((tmp_path / "sums.yaml").read_text(encoding="utf-8"))
    assert raw["task"]["name"] == "generation" and raw["data"]["source"] == "{instruction}\n{input}"


def test_what_train_would_refuse_or_a_person_overlook_is_told(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "one.csv", [{**row, "label": "refund"} for row in rows_of(30, "text", "label")])
    result = softprompt("new", "one.csv")
    assert result.code == 1 and "one label alone, 'refund'" in result.err
    rows = rows_of(30, "text", "label")
    write_csv(tmp_path / "headless.csv", rows[1:], *rows[0].values())
    result = softprompt("new", "headless.csv")
    assert "--set data.header=false" in result.out
    houses = [{"text": f"house {i} by the sea", "price": str(100000 + 7 * i)} for i in range(30)]
    write_csv(tmp_path / "houses.csv", houses)
    result = softprompt("new", "houses.csv", "--task", "regression")
    assert "numbers: 100000 to 100203, 30 different" in result.out


def test_the_commands_that_it_prints_can_be_pasted(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "my rows.csv", rows_of(60, "text", "other", "label"), "a", "b", "c")
    said = softprompt("new", "my rows.csv").err
    (setting,) = [
        word for word in shlex.split(said.rpartition("or both")[2]) if word.startswith("data.text=")
    ]
    result = softprompt("new", "my rows.csv", "--set", setting.rstrip("."))
    assert result.code == 0, result.err
    raw = yaml.safe_load((tmp_path / "my rows.yaml").read_text(encoding="utf-8"))
    assert raw["data"]["text"] == "{a} {b}" and raw["data"]["label"] == "c"
    assert "softprompt train 'my rows.yaml'" in result.out


FIVE = {
    "labels": (labelled, "tiny_encoder", ["--input", "new.csv", "--output", "answers.csv"]),
    "pairs": (paired, "tiny_folder", ["--input", "new.csv", "--output", "answers.csv"]),
    "chat": (KINDS["chat"][0], "tiny_folder", ["--input", "new.csv", "--output", "answers.csv"]),
    "tagged lines": (KINDS["tagged lines"][0], "tiny_folder", ["王小明在北京"]),
    "pictures": (KINDS["pictures"][0], "tiny_vit", ["colours/red"]),
}


@pytest.mark.parametrize("kind", list(FIVE))
def test_from_a_file_to_answers_in_five_commands(softprompt, tmp_path, monkeypatch, request, kind):
    """new, train, evaluate, report and predict, and no line of YAML between them."""
    make, model, asked = FIVE[kind]
    backbone = request.getfixturevalue(model)
    monkeypatch.chdir(tmp_path)
    data = make(tmp_path)
    questions = [f"where is my refund, number {i}?" for i in range(3)]
    column = "text" if kind == "labels" else "question" if kind == "pairs" else "source"
    write_csv(tmp_path / "new.csv", [{column: question} for question in questions])
    name = data.name.partition(".")[0]
    steps = "" if kind == "pictures" else "3"
    new = ["new", data.name, "--backbone", backbone, "--set", f"training.steps={steps or 3}"]
    commands = [
        [*new, "--set", "backbone.device=cpu", "--set", "training.batch_size=4"],
        ["train", f"{name}.yaml"],
        ["evaluate", f"runs/{name}"],
        ["report", f"runs/{name}"],
        ["generate" if kind in ("pairs", "chat") else "predict", f"runs/{name}", *asked],
    ]
    for command in commands:
        result = softprompt(*command)
        assert result.code == 0, (command, result.err)
    if "--output" in asked:
        with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
            answers = list(csv.DictReader(file))
        assert [row[column] for row in answers] == questions
        assert all("prediction" in row for row in answers)
    else:
        assert result.out.strip()


def test_one_source_that_is_far_longer_than_the_others_is_cut(softprompt, tmp_path, tiny_folder, monkeypatch):
    """A batch is as wide as its longest text; the others would be padded to it."""
    monkeypatch.chdir(tmp_path)
    rows = rows_of(200, "text", "answer")
    rows[7]["text"] = "where is my refund " * 200
    write_csv(tmp_path / "long.csv", rows, "question", "answer")
    said = softprompt("new", "long.csv", "--backbone", tiny_folder)
    assert said.code == 0, said.err
    task = yaml.safe_load((tmp_path / "long.yaml").read_text(encoding="utf-8"))["task"]
    assert task["max_source_tokens"] < 512 and "(task.max_source_tokens)" in said.out
    write_csv(tmp_path / "even.csv", rows_of(40, "text", "answer"), "question", "answer")
    assert softprompt("new", "even.csv", "--backbone", tiny_folder).code == 0
    task = yaml.safe_load((tmp_path / "even.yaml").read_text(encoding="utf-8"))["task"]
    assert "max_source_tokens" not in task
