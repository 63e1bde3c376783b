"""What is made to be passed on names no folder, user or machine."""

import json
import platform
import shutil
from pathlib import Path

import pytest
import yaml

from cli.conftest import recipe_of, softprompt, tiny_folder  # noqa: F401
from softprompt.backbones import load_backbone
from softprompt.files import read_card, without_folders
from softprompt.prompts import load_prompt, prefix_tuning

SECRET = "alice-secret"
"""The name of the home folder, below which everything lies."""

HOST = "alice-laptop"

PRIVATE = {"settings.yaml", "asked.yaml", "log.jsonl", "plan.json", "study.log"}
"""Working state of runs and studies, which may name folders."""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/home/ann/models/tiny", "tiny"),
        ("/home/ann/models/tiny/", "tiny"),
        ("/tmp", "tmp"),
        ("~/models/tiny", "tiny"),
        ("~ann/models/tiny", "tiny"),
        ("C:\\Users\\ann\\tiny", "tiny"),
        ("c:/Users/ann/tiny", "tiny"),
        ("\\\\host\\share\\tiny", "tiny"),
        ("//host/share/tiny", "tiny"),
        ("file:///home/ann/tiny", "tiny"),
        ("prompt:/home/ann/runs/a", "prompt:a"),
        ("data.train=/home/ann/d.jsonl", "data.train=d.jsonl"),
        ("softprompt study /home/ann/s.yaml --output '/data/ann/o'", "softprompt study s.yaml --output 'o'"),
        ("/home/ann/r/x.json: no such file", "x.json: no such file"),
        ("data={train: /home/ann/d.jsonl, test: /x/y}", "data={train: d.jsonl, test: y}"),
        ("of C:\\Users\\ann\\tiny, and more", "of tiny, and more"),
    ],
)
def test_absolute_paths_keep_their_last_part(given, kept):
    assert without_folders(given) == kept


@pytest.mark.parametrize(
    "text",
    ["gpt2", "facebook/bart-base", "models/tiny", "../tiny", "https://example.org/a/b", "</s>", "/", " / ",
     "\\n\\n", "and/or/both", "\\frac{a}{b}", "{source}</s>{target}", "a: b/c", "3 / 4", "~", ""],
)  # fmt: skip
def test_other_texts_stay(text):
    assert without_folders(text) == text


def test_templates_and_labels_are_no_paths():
    task = {"template": "/a/b", "separator": "/x/y", "verbalizer": {"a": ["/b/c"]}, "labels": ["/d/e"]}
    assert without_folders({"task": task, "task.template": "/a/b"}) == {"task": task, "task.template": "/a/b"}


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_folder):  # noqa: F811
    """A home folder with a model, data, a recipe and a study, all named by absolute paths."""
    folder = tmp_path_factory.mktemp("homes") / SECRET
    shutil.copytree(tiny_folder, folder / "models" / "tiny")
    recipe_of(folder, folder / "models" / "tiny")
    return folder


def naming(folder: Path, *words: str) -> list[str]:
    """The files below a folder that name one of the words, without working state."""
    private = {"logs", "failed", "checkpoints"}
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in PRIVATE
        and not private & set(path.relative_to(folder).parts)
        and any(word.encode() in path.read_bytes() for word in words)
    ]


def test_a_run_and_its_evaluation_name_no_folder(softprompt, home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(platform, "node", lambda: HOST)
    assert softprompt("train", home / "recipe.yaml").code == 0
    run = home / "runs" / "small"
    assert softprompt("evaluate", run).code == 0
    again = f"method.initialization=prompt:{run / 'prompt'}"
    begun = softprompt("train", home / "recipe.yaml", "--set", "name=second", "--set", again)
    assert begun.code == 0
    assert naming(home / "runs", SECRET, HOST) == []
    card = read_card(home / "runs" / "second" / "prompt")
    assert (card.backbone.name, card.initialization) == ("tiny", "prompt:prompt")
    assert card.training["backbone"]["name"] == "tiny" and card.training["data"]["train"] == "train.jsonl"
    # The run itself goes on and is used as before.
    assert softprompt("train", home / "recipe.yaml", "--resume").code == 0
    assert softprompt("generate", run, "a").code == 0
    moved = softprompt("generate", shutil.copytree(run / "prompt", home / "moved"), "a")
    assert moved.code == 1 and "add --backbone" in moved.err.lower()


def test_a_study_and_its_report_name_no_folder(softprompt, home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(platform, "node", lambda: HOST)
    study = {
        "name": "s",
        "output": str(home / "runs"),
        "base": str(home / "recipe.yaml"),
        "rows": [
            {"name": "a", "set": {"method.initialization": "random", "method.length": 1}},
            {"name": "broken", "set": {"data.train": str(home / "none.jsonl")}},
        ],
        "seeds": [0],
    }
    file = home / "s.yaml"
    file.write_text(yaml.safe_dump(study), encoding="utf-8")
    # A file that is gone after the checks of the study, which would refuse it, fails its run.
    monkeypatch.setattr("softprompt.studies.check_runs", lambda *arguments: None)
    assert softprompt("study", file, "--output", home / "runs").code == 1
    folder = home / "runs" / "s"
    assert naming(folder, SECRET, HOST) == []
    assert softprompt("report", folder).code == 0
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "Seed 0: done" in report and "none.jsonl" in report
    assert naming(folder, SECRET, HOST) == []
    # Passed on without the runs, the study's numbers still give the report.
    alone = home / "alone"
    alone.mkdir()
    shutil.copy(folder / "study.json", alone)
    assert softprompt("report", alone / "study.json").code == 0
    assert naming(alone, SECRET) == []
    assert "Seed 0: done" in (alone / "report" / "report.html").read_text(encoding="utf-8")


def test_a_study_by_relative_paths_has_one_plan(softprompt, home, monkeypatch):  # noqa: F811
    monkeypatch.chdir(home)
    recipe = yaml.safe_load((home / "recipe.yaml").read_text(encoding="utf-8"))
    recipe |= {"backbone": {"name": "models/tiny", "device": "cpu"}, "output": "runs"}
    recipe["data"] |= {"train": "train.jsonl", "test": "test.jsonl"}
    Path("relative.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    study = {"name": "r", "base": "relative.yaml", "rows": [{"name": "a"}], "seeds": [0]}
    Path("r.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    assert softprompt("study", "r.yaml", "--report-only", "--output", "runs").code in (0, 1)
    monkeypatch.setattr("softprompt.studies.run_study", lambda *arguments: None)
    assert softprompt("study", "r.yaml", "--output", "runs").code == 0
    assert not Path("runs/r/plan.json").exists()
    facts = json.loads(Path("runs/r/study.json").read_text(encoding="utf-8"))
    assert list(facts["plan"]["recipes"]) == ["relative.yaml"]


def test_a_prompt_made_in_python_names_no_folder(home, tmp_path):
    backbone = load_backbone(home / "models" / "tiny", device="cpu")
    prompt = prefix_tuning(backbone, length=1, reparameterization=None, initialization="random")
    prompt.describe(training={"where": str(home / "x")}, data={"files": [str(home / "a.jsonl")]})
    folder = prompt.save(tmp_path / "p")
    assert naming(folder, SECRET) == []
    assert read_card(folder).data == {"files": ["a.jsonl"]}
    assert load_prompt(folder, backbone).card.backbone.name == "tiny"
