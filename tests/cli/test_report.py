import re
import shlex
from pathlib import Path

import pytest
import yaml

from softprompt.cli.commands import report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def studied(tmp_path_factory, tiny_folder):
    """A study of two lengths that has been run, and its file."""
    from cli.conftest import recipe_of
    from softprompt.cli.app import main

    folder = tmp_path_factory.mktemp("studied")
    recipe = recipe_of(folder, tiny_folder)
    raw = {
        "name": "lengths",
        "output": str(folder / "runs"),
        "base": recipe.name,
        "set": {"method.initialization": "vocabulary", "training.steps": 2, "metrics": ["bleu", "ter"]},
        "vary": {"key": "method.length", "values": [1, 4]},
        "seeds": [0, 1],
        "keep": "results",
        "published": [
            {"row": "4", "value": 69.7, "source": "arXiv 2101.00190v1, Table 1", "sure": "P"},
        ],
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["study", str(path)])
    assert ended.value.code == 0
    return path


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_from_file_folder_and_table_the_same_bytes(softprompt, studied, tmp_path):
    folder = studied.parent / "runs" / "lengths"
    result = softprompt("report", studied)
    assert result.code == 0, result.err
    assert f"wrote {folder / 'report' / 'report.md'}" in result.out and "missing" not in result.out
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "69.7 [P]" in text and f"- Report: `softprompt report {studied.name}`" in text
    first = files_of(folder / "report")
    assert softprompt("report", studied).code == 0 and files_of(folder / "report") == first
    made = []
    for i, source in enumerate((folder, folder / "study.json")):
        place = tmp_path / str(i)
        assert softprompt("report", source, "--output", place).code == 0
        made.append(files_of(place))
    for name in first:
        if name.endswith((".tex", ".svg", ".png")):
            assert made[0][name] == made[1][name] == first[name]


def test_a_table_with_the_study_file(softprompt, studied, tmp_path):
    table = studied.parent / "runs" / "lengths" / "study.csv"
    result = softprompt("report", studied, "--from", table, "--output", tmp_path / "out")
    assert result.code == 0, result.err
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "--from study.csv" in text


def test_nothing_there_is_code_1_and_a_misuse_code_2(softprompt, studied, tmp_path):
    result = softprompt("report", tmp_path / "none")
    assert result.code == 1 and "got no such file or folder, expected a study file" in result.err
    result = softprompt("report", studied.parent / "runs" / "lengths", "--set", "a=1")
    assert result.code == 2 and "--set: got a=1 beside" in result.err


def test_a_broken_study_file_is_named_and_left(softprompt, tmp_path):
    path = tmp_path / "study.json"
    path.write_text("{", encoding="utf-8")
    result = softprompt("report", tmp_path)
    assert result.code == 1 and f"{path}: got invalid JSON" in result.err
    assert path.read_text(encoding="utf-8") == "{" and list(tmp_path.iterdir()) == [path]


def test_help_has_the_examples_and_they_name_what_is_there(softprompt):
    flat = re.sub(r"\s+", " ", softprompt("report", "--help").out)
    assert all(what in flat for what, _ in report.EXAMPLES)
    for _, command in report.EXAMPLES:
        words = shlex.split(command)
        assert words[:2] == ["softprompt", "report"]
        for word in words[2:]:
            assert not word.startswith(("recipes", "docs")) or (ROOT / word).is_file()


def test_the_first_example_runs_as_it_stands(softprompt, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(report.EXAMPLES[0][1])[1:]
    words[words.index("--output") + 1] = str(tmp_path / "out")
    result = softprompt(*words)
    assert result.code == 0, result.err
    assert "| 6 | **19.96 ± 0.22** |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
