"""Settings that cost a careless parser its time or memory: a sentence, soon."""

import time
from pathlib import Path

import pytest
import torch

from softprompt.config import RunSettings, load_recipe, parse_as
from softprompt.errors import ConfigError, PromptError
from softprompt.prompts import prefix_tuning, prompt_tuning
from softprompt.studies import load_grid
from softprompt.studies.reading import runs as making
from softprompt.training.run_folder import as_yaml
from softprompt.untrusted import parse_yaml
from support.tiny import tiny_backbone

RECIPE = Path(__file__).parents[2] / "recipes" / "rte-p-tuning-v2.yaml"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("x: [" + "a," * 200_000 + "]", "values in YAML"),
        ("x: &a [1]\ny: [" + "*a," * 100_000 + "]", "values in YAML"),
        ("".join(f"k{i}: {i}\n" for i in range(9_000)), "8,910 more mistakes"),
        ('x: "\\UFFFFFFFF"', "an escape beyond the last character"),
        ('x: "\\U00110000"', "YAML"),
    ],
)
def test_recipes(tmp_path, more, message):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"{RECIPE.read_text(encoding='utf-8')}\n{more}\n", encoding="utf-8")
    load_recipe(RECIPE)  # what the first recipe of a process imports is not counted
    began = time.process_time()
    with pytest.raises(ConfigError, match=message):
        load_recipe(file)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("more", "n_runs"),
    [
        (f"seeds: {list(range(9_000))}\n", "63,000"),
        (f"seeds: {list(range(900))}\nsubsamples: {list(range(900))}\n", "5,670,000"),
        (
            "choose: {folds: 1000000000, candidates: [{name: a}, {name: b, set: {training.steps: 3}}]}\n",
            "14,000,000,014",
        ),
    ],
)
def test_studies_of_too_many_runs(tmp_path, more, n_runs):
    text = (RECIPE.parent / "studies" / "rte-length.yaml").read_text(encoding="utf-8")
    text = text.replace("../", f"{RECIPE.parent.as_posix()}/").replace("seeds: [0, 1, 2]\n", "")
    file = tmp_path / "study.yaml"
    file.write_text(text + more, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError, match=rf"{n_runs} runs, expected at most 5,000"):
        load_grid(file)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("seeds: [" + "7, " * 15_000 + "8]\n", "seeds: got 7 more than once"),
        ("set: {" + ", ".join(f"a.b{i}: 1" for i in range(9_000)) + "}\n", "a.b"),
        (
            f"columns: [{{name: x, set: {{name: '{'{value}' * 10_000}'}}}}]\n",
            "characters with {value} filled in",
        ),
        ("set: {" + "a." * 400 + "b: 1}\n", "at most 100 parts"),
        ("".join(f"set{i}: 1\n" for i in range(9_000)), "8,910 more mistakes"),
    ],
)
def test_studies(tmp_path, more, message):
    text = (RECIPE.parent / "studies" / "rte-length.yaml").read_text(encoding="utf-8")
    text = text.replace("../", f"{RECIPE.parent.as_posix()}/").replace("seeds: [0, 1, 2]\n", "")
    file = tmp_path / "study.yaml"
    file.write_text(text + more, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError, match=message):
        load_grid(file)
    assert time.process_time() - began < 2


def test_names_that_no_file_system_takes(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(f"name: x\nbase: {RECIPE.as_posix()}\nrows: [{{name: {'r' * 300}}}]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="a folder's name of 308 characters, expected at most 200"):
        load_grid(file)
    text = (RECIPE.parent / "trex-p-tuning.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("P1412", "P" * 230), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"parts: got 'PP.*at most 200 bytes"):
        load_recipe(file)


def test_many_mistakes_of_a_cell(tmp_path):
    keys = ", ".join(f"a{i}: 1" for i in range(300))
    file = tmp_path / "study.yaml"
    file.write_text(
        f"name: x\nbase: {RECIPE.as_posix()}\nrows: [{{name: r, set: {{{keys}}}}}]\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="210 more mistakes"):
        load_grid(file)


def test_no_cell_is_looked_at_once_enough_mistakes_are_known(tmp_path, monkeypatch):
    looked = []
    true = making.parse_run
    monkeypatch.setattr(
        making, "parse_run", lambda *given, **more: (looked.append(1), true(*given, **more))[1]
    )
    rows = ", ".join(f"{{name: r{i}, set: {{a{i}: 1}}}}" for i in range(300))
    file = tmp_path / "study.yaml"
    file.write_text(f"name: x\nbase: {RECIPE.as_posix()}\nrows: [{rows}]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="r99: a99: got an unknown setting"):
        load_grid(file)
    assert len(looked) == 100


def test_keys_of_rows_and_columns_are_compared_in_linear_time(tmp_path):
    keys = ", ".join(f"a.b{i}: 1" for i in range(9_000))
    file = tmp_path / "study.yaml"
    file.write_text(
        f"name: x\nbase: {RECIPE.as_posix()}\nrows: [{{name: r, set: {{{keys}}}}}]\n"
        f"columns: [{{name: c, set: {{a: 1, {keys}}}}}]\n", encoding="utf-8",
    )  # fmt: skip
    began = time.process_time()
    with pytest.raises(ConfigError, match="a value from the column and another from the row"):
        load_grid(file)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("names", "path"),
    [(range(5_000), "x"), (range(1_500), "{name}" * 4_000), (["x" * 90_000], "{name}" * 9_000)],
    ids=["many", "often", "long"],
)
def test_parts_that_multiply(tmp_path, names, path):
    text = (RECIPE.parent / "trex-p-tuning.yaml").read_text(encoding="utf-8")
    file = tmp_path / "recipe.yaml"
    before, _, after = text.partition("  names: [")
    after = after.partition("]")[2].replace("train: ", f"test: '{path}', train: ", 1)
    file.write_text(f"{before}  names: [{', '.join(f'n{name}' for name in names)}]{after}", encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"names? that makes? .* characters, expected at most 2,000 names"):
        load_recipe(file)
    assert time.process_time() - began < 2


def test_overrides():
    with pytest.raises(ConfigError, match="an escape beyond the last character"):
        load_recipe(RECIPE, ['name="\\UFFFFFFFF"'])
    with pytest.raises(ConfigError, match="a dotted key of at most 100 parts"):
        load_recipe(RECIPE, ["a." * 30_000 + "b=1"])


@pytest.mark.parametrize(
    "number", [".nan", "-.inf", "1.0e+400", f"0x{'f' * 6000}", f"-0{'7' * 6000}"], ids=range(5)
)
@pytest.mark.parametrize(
    "place",
    ["vary: {{key: method.length, values: [1, {}]}}", "set: {{method: {{length: {}}}}}", "set: {{{}: 1}}"],
)
def test_studies_hold_finite_numbers_alone(tmp_path, place, number):
    file = tmp_path / "study.yaml"
    file.write_text(f"name: x\nbase: {RECIPE.as_posix()}\n{place.format(number)}\n", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"line 3: got .*(which is no finite number|a number of thousands|invalid YAML)"
    ):
        load_grid(file)


@pytest.mark.parametrize("method", [prefix_tuning, prompt_tuning])
def test_a_length_beyond_the_positions_is_refused_before_its_vectors_are_made(method, monkeypatch):
    backbone = tiny_backbone("gpt2")
    limit = backbone.max_positions
    monkeypatch.setattr(torch, "randn", lambda *given, **more: pytest.fail("vectors were made"))
    with pytest.raises(PromptError, match=rf"length: got 100000, expected fewer than {limit}, which are all"):
        method(backbone, length=100_000, initialization="random")


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029"])
def test_line_ends_of_unicode_are_the_same_once_stored(sign):
    raw = load_recipe(RECIPE).model_dump(mode="json")
    raw["task"]["separator"] = f"a{sign}b"
    settings = parse_as(raw, RunSettings, "recipe")
    stored = parse_as(parse_yaml(as_yaml(settings)), type(settings), "stored")
    assert stored == settings and raw["task"]["separator"] == stored.model_dump()["task"]["separator"]
