import json
from typing import Any

import pytest

from softprompt.config import DataSettings, load_run, parse_run
from softprompt.data import Conversation, load, read
from softprompt.errors import ConfigError, DataError
from support.pictures import encoded, picture

TRAINING = {"steps": 1}


def loaded(task, **data):
    return load(parse_run({"task": {"name": task}, "data": data, "training": TRAINING}).data)


def shown(records):
    return [(record.source, record.targets) for record in records]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text,label", ("a", None, "x")),
        ("Sentence,Class", ("a", None, "x")),
        ("label,utterance", ("a", None, "x")),
        ("id,review,sentiment", ("b", None, "x")),
        ("premise,hypothesis,label", ("a", "x", "y")),
        ("text,second,label", ("a", "x", "y")),
        ("anything,category", ("a", None, "x")),
        ("text,label,topic", ("a", None, "x")),
    ],
)
def test_texts_and_labels_are_found_by_usual_names(write, header, expected):
    n = header.count(",") + 1
    row = {"label,utterance": "x,a", "id,review,sentiment": "1,b,x"}.get(header, "a,x,y"[: 2 * n - 1])
    (record,) = read("labelled", write("t.csv", f"{header}\n{row}\n"))
    assert (record.text, record.second, record.label) == expected


def test_of_two_unknown_columns_the_one_that_repeats_is_the_label(write):
    rows = "".join(f"{'ab'[n % 2]},sentence {n}\n" for n in range(8))
    records = read("labelled", write("t.csv", "one,two\n" + rows))
    assert (records[0].text, records[0].label) == ("sentence 0", "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "one,two\na,b\nc,d\n",
            r"t\.csv, line 1: got the columns 'one', 'two', none of which is plainly the text and label.*"
            r"e\.g\. data\.text: one; if the first row is no header, give columns by number",
        ),
        ("text,intent,topic\na,b,c\n", r"plainly the label.*data\.label: text"),
        ("review,comment,label\na,b,c\n", r"plainly the text"),
    ],
)
def test_columns_that_cannot_be_told_are_asked_for(write, content, message):
    with pytest.raises(DataError, match=message):
        read("labelled", write("t.csv", content))


@pytest.mark.parametrize(
    ("header", "source", "target"),
    [
        ("document,summary,id", "a", "b"),
        ("instruction,input,output", "a\nb", "c"),
        ("prompt,completion", "a", "b"),
        ("English,German", "a", "b"),
    ],
)
def test_sources_and_targets_are_found(write, header, source, target):
    row = "a,b,c"[: 2 * header.count(",") + 1]
    (record,) = read("pairs", write("t.csv", f"{header}\n{row}\n"))
    assert (record.source, record.targets) == (source, (target,))


def test_an_e2e_table_is_not_taken_for_plain_texts(write):
    with pytest.raises(DataError, match="the columns 'mr', 'ref'"):
        read("pairs", write("t.csv", "mr,ref\nname[A],x\n"))


def test_templates(write):
    path = write("t.jsonl", [{"a": "x", "n": 3, "b": None, "t": "y"}])
    (record,) = read("pairs", path, source="{a} {n} {b}", target="t")
    assert record.source == "x 3"
    with pytest.raises(DataError, match=r"no field 'c'"):
        read("pairs", path, source="{a} {c}", target="t")
    with pytest.raises(DataError, match=r'in braces, e\.g\. data\.source: "\{a\}\\n\{n\}"'):
        read("pairs", path, source="a,n", target="t")


def test_conversations(write):
    turns = [
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Bye"),
        ("assistant", "Ciao"),
    ]
    messages = [{"role": role, "content": text} for role, text in turns]
    first, second = read("pairs", write("c.jsonl", [{"messages": messages}]))
    assert isinstance(first, Conversation) and isinstance(second, Conversation)
    assert (first.source, first.targets, first.earlier) == ("Hi", ("Hello",), (turns[0],))
    assert (second.source, second.targets, second.earlier) == ("Bye", ("Ciao",), tuple(turns[:3]))
    with pytest.raises(DataError, match=r"turn 2: got a turn of the user, expected one of the assistant"):
        read("pairs", write("d.jsonl", [{"messages": [messages[1], messages[3]]}]))


def test_the_task_says_which_records_come(write):
    squad = {"question": "Who?", "context": "Ann ran.", "answers": {"text": ["Ann"], "answer_start": [0]}}
    tags = [{"tokens": ["Ann", "ran"], "tags": ["S-PER", "O"]}]
    assert shown(loaded("spans", train=write("q.jsonl", [squad])).train) == [("Who? | Ann ran.", ("Ann",))]
    assert shown(loaded("tagging", train=write("n.jsonl", tags)).train) == [("Ann ran", ("B-PER O",))]
    numbers = write("r.csv", "text,score\na,1\nb,2.5\n")
    assert shown(loaded("regression", train=numbers).train) == [("a", ("1",)), ("b", ("2.5",))]
    with pytest.raises(ConfigError, match=r"data\.format: got nothing"):
        loaded("choice", train=write("c.jsonl", [{"a": 1}]))


def test_sources_and_targets_by_number(write):
    lines = write("t.txt", "a | b||x\nc||y\n")
    for data in ({"header": False}, {"source": 0, "target": 1}):
        made = loaded("generation", train=lines, delimiter="||", **data).train
        assert shown(made) == [("a | b", ("x",)), ("c", ("y",))]
    cells = write("t.csv", "x,a\ny,b\n")
    assert shown(loaded("generation", train=cells, source=1, target=0).train)[0] == ("a", ("x",))


def test_lines_and_their_targets(write):
    path = write("t.source", "a\nb\n")
    write("t.target", "x\ny\n")
    assert shown(read("pairs", path)) == [("a", ("x",)), ("b", ("y",))]
    write("t.target", "x\n")
    with pytest.raises(DataError, match=r"t\.source: got 2 lines, expected 1, as in t\.target"):
        read("pairs", path)


def test_pictures_of_a_table(write, tmp_path):
    (tmp_path / "img").mkdir()
    for n in range(2):
        (tmp_path / "img" / f"{n}.png").write_bytes(encoded(picture((n, 2, 3), 0)))
    path = write("t.csv", "file_name,label\nimg/0.png,cat\nimg/1.png,dog\n")
    records = loaded("image_classification", train=path).train
    assert [(record.source, record.targets[0]) for record in records] == [
        ("img/0.png", "cat"),
        ("img/1.png", "dog"),
    ]
    with pytest.raises(DataError, match=r"t\.csv, line 2: .*img.9\.png"):
        read("pictures", write("t.csv", "file_name,label\nimg/9.png,cat\n"))


def test_bad_rows_are_skipped_and_said(write):
    path = write("t.csv", "text,label\na,x\n,y\nb\nc,z\n")
    splits = loaded("classification", train=path, on_bad_row="skip")
    assert [record.source for record in splits.train] == ["a", "c"]
    (note,) = [note for note in splits.notes if "left out" in note]
    assert "2 bad rows were left out" in note and "line 3" in note and "line 4" in note
    with pytest.raises(DataError, match="malformed CSV"):
        loaded("classification", train=write("q.csv", 'text,label\na,x\n"b,y\n'), on_bad_row="skip")


def test_an_encoding_is_that_of_every_text_format(write):
    path = write("n.conll", "北 B-LOC\n京 I-LOC\n".encode("gb18030"))
    assert read("conll", path, encoding="gb18030")[0].words == ("北", "京")
    with pytest.raises(DataError, match=r"data\.encoding: gb18030"):
        read("conll", path)


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        ("S-A B-B I-B E-B O", "B-A B-B I-B I-B O"),
        ("B-B M-B E-B O S-A", "B-B I-B I-B O B-A"),
        ("U-A B-B I-B L-B O", "B-A B-B I-B I-B O"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_schemes_become_bio(write, tags, bio, end):
    lines = ["# id 1 x", *(f"w{n} {tag}" for n, tag in enumerate(tags.split())), "", "w O"]
    first, second = read("conll", write("n.txt", end.join(lines)))
    assert (" ".join(first.labels), second.labels) == (bio, ("O",))


def test_webnlg_2020(write):
    texts = '<lex comment="" lang="en" lid="1">A r B.</lex><lex comment="" lang="ru" lid="2">Б.</lex>'
    xml = (
        '<benchmark><entries><entry category="X" eid="1" size="1"><modifiedtripleset><mtriple>A | r | B'
        f"</mtriple></modifiedtripleset>{texts}</entry></entries></benchmark>"
    )
    with pytest.raises(DataError, match=r"several languages \(en, ru\).*data\.language: en"):
        loaded("generation", train=write("w.xml", xml))
    assert shown(loaded("generation", train=write("w.xml", xml), language="ru").train)[0][1] == ("Б.",)


def test_paths_are_looked_for_beside_the_recipe_first(tmp_path, monkeypatch):
    recipe, here, root = (tmp_path / name for name in ("recipe", "here", "root"))
    for folder in (recipe, here, root):
        folder.mkdir()
        (folder / "t.csv").write_text(f"text,label\n{folder.name},x\n")
    text = json.dumps({"task": {"name": "classification"}, "data": {"train": "t.csv"}, "training": TRAINING})
    (recipe / "r.yaml").write_text(text)
    monkeypatch.chdir(here)
    monkeypatch.setenv("SOFTPROMPT_DATA", str(root))
    for folder in (recipe, here, root):
        settings = load_run(recipe / "r.yaml").data
        assert load(settings).train[0].source == folder.name
        assert settings.train is not None
        assert settings.train.is_absolute() == (folder is not root)
        (folder / "t.csv").unlink()
    with pytest.raises(DataError) as caught:
        load(load_run(recipe / "r.yaml").data)
    assert all(str(folder / "t.csv") in str(caught.value) for folder in (recipe, here, root))


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "t.csv").write_text("text,label\na,x\n")
    assert loaded("classification", train="~/t.csv").train[0].source == "a"


def test_datasets_of_other_tasks(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"document": ["a b", "c"], "summary": ["x", "y"]})
    datasets.DatasetDict(train=rows).save_to_disk(tmp_path / "d")
    for data in ({}, {"format": "datasets"}, {"format": "datasets", "text": "document", "label": "summary"}):
        made = loaded("generation", train=f"{tmp_path}/d:train", **data)
        assert shown(made.train) == [("a b", ("x",)), ("c", ("y",))]
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"])),
        }
    )
    tagged = datasets.Dataset.from_dict({"tokens": [["Ann", "ran"]], "ner_tags": [[1, 0]]}, features=features)
    tagged.save_to_disk(tmp_path / "n")
    assert shown(loaded("tagging", train=f"{tmp_path}/n:train").train) == [("Ann ran", ("B-PER O",))]


def splits(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    given = {name: folder / f"{name}.csv" for name in files}
    return load(DataSettings(format="labelled", **given))


def text_and_label(record: Any) -> tuple[str, str | None]:
    return record.text, record.label


def test_other_files_have_the_columns_of_the_training_file(tmp_path):
    train = "text,label,topic\na,x,1\nb,y,2\n"
    made = splits(tmp_path, train=train, test="topic,label,text\n1,x,a\n")
    assert text_and_label(made.test[0]) == ("a", "x")
    # of another name where it is usual
    made = splits(tmp_path, train=train, test="sentence,category\na,x\n")
    assert text_and_label(made.test[0]) == ("a", "x")


@pytest.mark.parametrize("test", ["text,remark\na,5\n", "id,text\n1,a\n"])
def test_a_test_file_without_the_label_is_refused_and_no_other_column_taken(tmp_path, test):
    message = r"no column 'label', which is the label in the training file.*softprompt predict RUN --input"
    with pytest.raises(DataError, match=message):
        splits(tmp_path, train="text,label\na,x\nb,y\n", test=test)
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "test")}
    given = DataSettings(format="labelled", text="text", label="label", **files)
    with pytest.raises(DataError, match=r"no column 'label'.*softprompt predict RUN --input \S+test\.csv"):
        load(given)
