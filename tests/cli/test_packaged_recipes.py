"""`softprompt recipes`, and recipes that a command finds by their names where no checkout is."""

import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.config import load_recipe, named_recipe, recipe_folder, recipe_names
from softprompt.errors import ConfigError
from softprompt.studies import load_grid

ROOT = Path(__file__).parents[2]


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A working directory without recipes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_names_every_file_that_a_command_runs(softprompt, away):
    listed = softprompt("recipes", "list").out
    there = {
        path.relative_to(ROOT / "recipes").with_suffix("").as_posix()
        for path in (ROOT / "recipes").rglob("*.yaml")
    }
    assert set(recipe_names()) == there - {"papers/papers", "papers/published"}
    assert all(f" {name} " in listed for name in recipe_names())
    # each says what it is for
    lines = [line.split("│")[1:4] for line in listed.splitlines() if line.count("│") == 4]
    assert all(len(purpose.strip()) > 10 for name, _, purpose in lines if name.strip())


def test_show_prints_the_file(softprompt, away):
    shown = softprompt("recipes", "show", "e2e-lowdata-prefix").out
    assert shown == (ROOT / "recipes/e2e-lowdata-prefix.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", recipe_names())
def test_a_copy_is_valid_where_it_lies(softprompt, away, name):
    done = softprompt("recipes", "copy", name)
    assert done.code == 0
    place = Path("recipes") / f"{name}.yaml"
    command = "study" if "/" in name else "train"
    assert f"use it: softprompt {command} {place.as_posix()}" in done.out
    if "/" not in name:
        assert load_recipe(place).name == name
    else:
        assert load_grid(place).n_runs == load_grid(ROOT / place).n_runs


def test_a_recipe_to_a_file_of_another_name(softprompt, away):
    assert softprompt("recipes", "copy", "e2e-lowdata-prefix", "mine.yaml").code == 0
    assert load_recipe("mine.yaml").name == "e2e-lowdata-prefix"


def test_what_one_changed_is_not_written_over(softprompt, away):
    softprompt("recipes", "copy", "rte-length")
    mine = away / "recipes" / "rte-p-tuning-v2.yaml"
    mine.write_text("name: mine\n", encoding="utf-8")
    (away / "recipes/studies/rte-length.yaml").unlink()
    refused = softprompt("recipes", "copy", "rte-length")
    assert refused.code == 2
    assert "rte-p-tuning-v2.yaml: got a file with another content" in refused.err
    assert mine.read_text(encoding="utf-8") == "name: mine\n"
    assert not (away / "recipes/studies/rte-length.yaml").exists()


def test_a_study_is_not_copied_to_one_file(softprompt, away):
    refused = softprompt("recipes", "copy", "rte-length", "mine.yaml")
    assert refused.code == 2
    assert "names other files: rte-p-tuning-v2.yaml. Give a folder" in refused.err


@pytest.mark.parametrize(
    "given", ["recipes/studies/rte-length.yaml", "studies/rte-length", "rte-length.yaml", "rte-length"]
)
def test_names(given):
    assert named_recipe(given) == recipe_folder() / "studies" / "rte-length.yaml"


def test_a_name_of_two():
    with pytest.raises(ConfigError, match="expected one of papers/null-prompts, studies/null-prompts"):
        named_recipe("null-prompts")


def test_train_finds_a_recipe_that_is_not_here(softprompt, away):
    """It goes on to the data, which is not there either."""
    done = softprompt(
        "train",
        "recipes/trec-p-tuning-v2.yaml",
        *("--set", "data.train=not/here.csv"),
        *("--set", "backbone.name=not/here"),
    )
    assert done.code in (1, 2)
    assert "recipes/trec-p-tuning-v2.yaml is not here; used is the one that comes with softprompt" in done.err
    assert "softprompt recipes copy trec-p-tuning-v2" in done.err
    assert "not/here" in done.err.splitlines()[-1]


def test_a_file_of_ones_own_comes_first(softprompt, away):
    (away / "recipes").mkdir()
    (away / "recipes" / "trec-p-tuning-v2.yaml").write_text("nome: mine\n", encoding="utf-8")
    refused = softprompt("train", "recipes/trec-p-tuning-v2.yaml")
    assert refused.code == 2
    assert "comes with softprompt" not in refused.err
    assert "nome" in refused.err


def test_a_misspelt_name_is_answered_with_the_nearest(softprompt, away):
    refused = softprompt("study", "recipes/studies/rte-lenth.yaml")
    assert refused.code == 2
    assert "got no such file" in refused.err
    assert "Did you mean 'studies/rte-length'?" in refused.err


def test_a_path_in_another_folder_is_no_name(softprompt, away):
    refused = softprompt("train", "mine/trec-p-tuning-v2.yaml")
    assert refused.code == 2
    assert "got no such file or directory" in refused.err


def test_a_mistake_in_a_recipe_is_said_before_torch_is_imported(tmp_path):
    """Torch takes seconds to import."""
    (tmp_path / "wrong.yaml").write_text("nome: x\n", encoding="utf-8")
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from softprompt.cli.app import main\n"
        "for recipe in ('wrong.yaml', 'nowhere.yaml'):\n"
        "    try:\n"
        "        main(['train', recipe])\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 2\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "wrong.yaml: nome" in done.stderr
