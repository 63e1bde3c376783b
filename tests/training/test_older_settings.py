"""Settings that runs stored before some settings existed are recognised when the run is resumed."""

import json

import yaml

from softprompt.config import load_stored, parse_run
from softprompt.data import load
from softprompt.training.run_folder.settings import differing, flat

NEW = (
    "words", "tags", "question", "context", "answers", "messages", "language", "delimiter", "encoding",
    "header", "quoted", "sheet", "on_bad_row", "stratified", "decimal", "thousands", "conversations",
)  # fmt: skip

ONCE = {"source": "source", "target": "target", "text": "text", "second": None, "label": "label"}


def _stored(folder, **data):
    (folder / "t.csv").write_text("text,label\na,x\nb,y\n", encoding="utf-8")
    data = {"format": "labelled_csv", "train": str(folder / "t.csv"), **data}
    settings = parse_run({"task": {"name": "classification"}, "data": data, "training": {"steps": 1}})
    old = settings.model_dump(mode="json")
    kept = {name: value for name, value in old["data"].items() if name not in NEW}
    old["data"] = {**kept, **ONCE, "image": "image", "tagging": "bio", "train": "t.csv"}
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(old), encoding="utf-8")
    return path, settings


def test_columns_and_paths_of_older_runs_are_the_same(tmp_path):
    path, settings = _stored(tmp_path)
    assert differing(path, type(settings), flat(settings)) == []
    other = settings.model_copy(update={"data": settings.data.model_copy(update={"text": "label"})})
    assert differing(path, type(settings), flat(other)) == ["data.text (text there, label now)"]


def test_shares_of_older_runs_are_not_stratified(tmp_path):
    path, settings = _stored(tmp_path, dev_share=0.5)
    assert not load_stored(path).data.stratified
    assert differing(path, type(settings), flat(settings)) == ["data.stratified (False there, True now)"]


def test_shares_of_older_runs_hold_single_turns_of_conversations(tmp_path):
    def turn(role, text):
        return {"role": role, "content": text}

    chats = [
        {"messages": [turn(role, f"{role} {i} {k}") for k in range(3) for role in ("user", "assistant")]}
        for i in range(20)
    ]
    (tmp_path / "chats.json").write_text(json.dumps(chats), encoding="utf-8")
    data = {"train": str(tmp_path / "chats.json"), "test_share": 0.3}
    settings = parse_run({"data": data, "training": {"steps": 1}})
    old = settings.model_dump(mode="json")
    del old["data"]["conversations"]
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(old), encoding="utf-8")
    for made, kept_whole in ((settings, True), (load_stored(tmp_path / "settings.yaml"), False)):
        splits = load(made.data)
        train, test = (
            {record.id.partition("/")[0] for record in part} for part in (splits.train, splits.test)
        )
        assert bool(train & test) != kept_whole and len(splits.test) == 18
