"""The papers' protocols: every file of the catalogue holds, and one command runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from softprompt.config import load_recipe, recipe_folder
from softprompt.errors import ConfigError
from softprompt.studies.definition.paper_protocols import Protocol, all_papers, chosen_protocols
from softprompt.studies.reading.grid import load_grid

ROOT = Path(__file__).parents[2]
NAMES = ["prefix-tuning", "p-tuning", "p-tuning-v2", "vpt", "null-prompts"]
PROTOCOLS = [
    pytest.param(one, id=f"{name}-{scale}-{one.name}")
    for name, paper in all_papers().items()
    for scale in ("small", "full")
    for one in paper.at(scale)
]


def test_the_papers():
    assert list(all_papers()) == NAMES
    assert recipe_folder().resolve() == ROOT / "recipes"


@pytest.mark.parametrize("one", PROTOCOLS)
def test_every_protocol_is_valid(one):
    if one.study is not None:
        assert sum(cell.n_runs for cell in load_grid(one.file).all_cells) > 1
        return
    for name, changes in one.runs.items():
        assert load_recipe(one.file, [*changes, f"name={name}"]).name == name


@pytest.mark.parametrize("name", ["prefix-e2e", "prefix-webnlg", "prefix-placement"])
def test_published_figures_are_those_of_one_file(name):
    figures = yaml.safe_load((ROOT / "recipes/papers/published.yaml").read_text(encoding="utf-8"))[name]
    study = load_grid(ROOT / "recipes" / "studies" / f"{name}.yaml").settings
    assert [(one.row, one.metric, one.value) for one in study.published] == [
        (one["row"], one["metric"], one["value"]) for one in figures
    ]
    assert all(one.source for one in study.published)


def test_published_figures_of_no_such_name(tmp_path):
    (tmp_path / "figures.yaml").write_text("lengths: []\n", encoding="utf-8")
    (tmp_path / "base.yaml").write_text("name: base\n", encoding="utf-8")
    path = tmp_path / "study.yaml"
    path.write_text("{name: a, base: base.yaml, published: figures.yaml#length}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'figures\.yaml#length', expected FILE#NAME, with one of lengths"):
        load_grid(path)


def test_list_and_show(softprompt):
    listed = softprompt("papers", "list")
    assert listed.code == 0 and all(name in listed.out for name in NAMES)
    shown = softprompt("papers", "show", "prefix-tuning")
    assert shown.code == 0
    assert "softprompt papers run prefix-tuning --scale small" in shown.out
    assert "prefix-length: prefix length (18 runs)" in shown.out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("papers show prefix-tunning", "did you mean 'prefix-tuning'"),
        ("papers run prefix-tuning --scale small --only prefix-lenght", "did you mean 'prefix-length'"),
    ],
)
def test_unknown_names(softprompt, command, words):
    result = softprompt(*command.split())
    assert result.code == 2 and words in result.err.lower().replace("\n", " ")


def test_a_paper_without_a_scale_says_so(catalogue):
    catalogue({"tiny": {"title": "t", "source": "s", "small": [{"study": "s.yaml", "shows": "all"}]}})
    with pytest.raises(ConfigError, match="which has no study at that scale"):
        chosen_protocols("tiny", "full")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"shows": "all"}, "exactly one of study and recipe"),
        ({"shows": "all", "study": "a", "recipe": "b"}, "exactly one of study and recipe"),
        ({"shows": "all", "recipe": "b", "runs": {"one": []}}, r"at least two for a"),
    ],
)
def test_a_protocol_is_of_one_kind(raw, words):
    with pytest.raises(ValueError, match=words):
        Protocol.model_validate(raw)


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Writes a catalogue of its own, beside the test's recipes."""
    import softprompt.studies.definition.paper_protocols as module

    def write(raw):
        (tmp_path / "papers").mkdir(exist_ok=True)
        (tmp_path / "papers" / "papers.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        monkeypatch.setattr(module, "recipe_folder", lambda: tmp_path)
        all_papers.cache_clear()

    yield write
    all_papers.cache_clear()


def test_run_goes_through_all_studies_and_repeats_nothing(recipe, catalogue, softprompt, tmp_path):
    study = {
        "name": "lengths",
        "base": recipe.name,
        "set": {"method.initialization": "vocabulary", "training.steps": 1, "metrics": ["ter"]},
        "vary": {"key": "method.length", "values": [1, 2]},
    }
    for name in ("one", "two"):
        (recipe.parent / f"{name}.yaml").write_text(yaml.safe_dump({**study, "name": name}), encoding="utf-8")
    small = [
        {"study": os.path.relpath(recipe.parent / f"{name}.yaml", tmp_path), "shows": name}
        for name in ("one", "two")
    ]
    catalogue({"tiny": {"title": "Tiny", "source": "nowhere", "small": small}})
    command = ["papers", "run", "tiny", "--scale", "small", "--output", str(tmp_path / "out")]
    assert softprompt(*command, "--only", "two").code == 0
    results = [tmp_path / "out" / "two" / f"{length}--seed-0" / "result.json" for length in (1, 2)]
    assert not (tmp_path / "out" / "one").exists()
    before = [path.stat().st_mtime_ns for path in results]
    assert softprompt(*command).code == 0
    assert [path.stat().st_mtime_ns for path in results] == before
    for name in ("one", "two"):
        assert (tmp_path / "out" / name / "study.parquet").is_file()


def test_runs_of_a_recipe_are_trained_once_and_compared(catalogue, softprompt, tmp_path, monkeypatch):
    """The commands that it calls are tested elsewhere; here, with what they are called."""
    import softprompt.cli.commands.compare as compare
    import softprompt.cli.commands.train as train

    calls = []

    def trained(recipe, overrides, resume, output):
        calls.append((recipe.name, overrides, resume))
        done = output / overrides[-1].removeprefix("name=")
        done.mkdir(parents=True, exist_ok=True)
        (done / "result.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(train, "train", trained)
    monkeypatch.setattr(compare, "compare", lambda *given: calls.append(given))
    runs = {"a": [], "b": ["training.steps=2"]}
    small = [{"recipe": "many.yaml", "runs": runs, "metric": "mrr", "shows": "all"}]
    catalogue({"tiny": {"title": "Tiny", "source": "nowhere", "small": small}})
    begun = tmp_path / "out" / "many" / "b"
    begun.mkdir(parents=True)
    (begun / "settings.yaml").write_text("{}", encoding="utf-8")
    command = ["papers", "run", "tiny", "--scale", "small", "--output", str(tmp_path / "out")]
    assert softprompt(*command, "--set", "decoding.batch_size=2").code == 0
    assert calls[:2] == [
        ("many.yaml", ["decoding.batch_size=2", "name=a"], False),
        ("many.yaml", ["training.steps=2", "decoding.batch_size=2", "name=b"], True),
    ]
    folders = [tmp_path / "out" / "many" / name for name in runs]
    assert calls[2] == (folders, "mrr", None, tmp_path / "out" / "many" / "compared.md")
    assert softprompt(*command).code == 0 and len(calls) == 4


def test_an_installed_package_holds_the_recipes(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    inside = tmp_path / "softprompt" / "recipes"
    of = lambda place: sorted(path.relative_to(place) for path in place.rglob("*.yaml"))  # noqa: E731
    assert of(inside) == of(ROOT / "recipes") and (tmp_path / "softprompt" / "studies").is_dir()
