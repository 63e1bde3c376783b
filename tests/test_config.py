"""Settings: every mistake at once, each with its path, in plain words."""

import pytest

from softprompt.config import load_run, parse_run
from softprompt.errors import ConfigError
from softprompt.prompts.methods import METHODS

GOOD = {"data": {"format": "e2e"}, "training": {"steps": 10}}


def changed(**sections):
    return {**GOOD, **sections}


def lines_of(raw):
    with pytest.raises(ConfigError) as caught:
        parse_run(raw)
    return str(caught.value).splitlines()


def test_a_short_run_has_defaults():
    settings = parse_run(GOOD)
    assert settings.folder.as_posix() == "runs/run"
    assert settings.method.name == "prefix_tuning" and settings.training.learning_rate is None
    other = parse_run(changed(method={"name": "prompt_tuning"})).method
    assert isinstance(other, METHODS["prompt_tuning"].settings) and other.initialization == "vocabulary"


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"training": {"steps": 1}}, "data: got no value, expected a value."),
        (changed(methid={}), "methid: got an unknown setting. Did you mean 'method'?"),
        (
            changed(method={"name": "prefix_tuning", "lenght": 3}),
            "method.lenght: got an unknown setting. Did you mean 'length'?",
        ),
        (
            changed(method={"name": "prompt_tuning", "sites": ["decoder"]}),
            "method.sites: got an unknown setting. Choose one of depth, draws, dropout, "
            "initialization, length, name, positions, reparameterization, tune, width.",
        ),
        (
            changed(method={"name": "prefix_tuning", "length": 0}),
            "method.length: got 0, expected at least 1.",
        ),
        (
            changed(method={"name": "prefx_tuning"}),
            f"method.name: got 'prefx_tuning', expected one of {', '.join(map(repr, METHODS))}. "
            "Did you mean 'prefix_tuning'?",
        ),
        (
            changed(method={"length": 3}),
            "method.name: got no name, expected one of " + ", ".join(map(repr, METHODS)) + ".",
        ),
        (changed(method=[]), "method: got [], expected a mapping of settings."),
        (
            changed(method={"name": "prefix_tuning", "layers": {"a": 1}}),
            "method.layers: got {'a': 1}, expected a text or a list.",
        ),
        (
            changed(method={"name": "prefix_tuning", "sites": ["dec"]}),
            "method.sites.0: got 'dec', expected one of 'encoder', 'decoder', 'cross' or 'recurrent'. "
            "Did you mean 'decoder'?",
        ),
        (
            changed(method={"name": "prefix_tuning", "dropout": 1}),
            "method.dropout: got 1, expected less than 1.",
        ),
        (
            changed(data={"format": "e2"}),
            "data.format: got 'e2', expected one of 'e2e', 'webnlg', 'dart', 'scitldr', 'jsonl', 'csv', "
            "'pictured_jsonl', 'pictured_csv', 'restaurants', 'boolq', 'cb', 'copa', 'multirc', 'rte', "
            "'wic', 'wsc', 'sst2', 'trec', 'trec_fine', 'trex', 'conll', 'squad', 'labelled_jsonl', "
            "'labelled_csv', 'labelled_tsv', 'datasets', 'image_folder', 'datasets_images', 'pairs', "
            "'labelled', 'multi_labelled', 'tagged', 'questions', 'pictures' or 'pictured'. "
            "Did you mean 'e2e'?",
        ),
        (
            changed(data={"format": "e2e", "train_size": "many"}),
            "data.train_size: got 'many', expected a whole number.",
        ),
        (changed(data={"format": "e2e", "train": 3}), "data.train: got 3, expected a path."),
        (changed(data=3), "data: got 3, expected a mapping of settings."),
        (changed(name=3), "name: got 3, expected a text."),
        (changed(training={"steps": 1.5}), "training.steps: got 1.5, expected a whole number."),
        (
            changed(training={"steps": 1, "learning_rate": -1}),
            "training.learning_rate: got -1, expected more than 0.",
        ),
        (
            changed(training={"steps": 1, "learning_rate": float("inf")}),
            "training.learning_rate: got inf, expected a finite number.",
        ),
        (
            changed(training={"steps": 1, "by_length": "maybe"}),
            "training.by_length: got 'maybe', expected true or false.",
        ),
        (
            changed(training={"steps": 1, "epochs": 1}),
            "training: got both of them, expected at most one of training.steps and training.epochs. "
            "Leave one out.",
        ),
        (changed(decoding={"top_p": 1.5}), "decoding.top_p: got 1.5, expected at most 1."),
        (
            changed(metrics=["blue"]),
            "metrics: got 'blue' for task 'generation', expected some of bleu, nist, meteor, rouge_l, cider, "
            "ter, rouge1, rouge2, rougeL. Did you mean 'bleu'?",
        ),
        (
            changed(task={"name": "tagging"}, metrics=["accuracy"]),
            "metrics: got 'accuracy' for task 'tagging', expected some of entity_f1, "
            "entity_precision, entity_recall.",
        ),
        (
            changed(task={"name": "taging"}),
            "task.name: got 'taging', expected one of 'generation', 'classification', "
            "'multi_label_classification', 'tagging', 'choice', 'spans', 'regression', 'cloze', 'probing', "
            "'image_classification'. Did you mean 'tagging'?",
        ),
        (
            changed(task={"name": "spans", "strid": 3}),
            "task.strid: got an unknown setting. Did you mean 'stride'?",
        ),
        (
            changed(task={"name": "choice"}, decoding={"strategy": "greedy"}),
            "decoding.strategy: got a value for task 'choice', which writes no text, "
            "expected decoding.batch_size alone. Leave strategy out.",
        ),
        (
            changed(method={"name": "null_prompt"}, task={"name": "choice"}),
            "method.name: got 'null_prompt' for task 'choice', which writes no template into "
            "the input, expected a task with a template: generation, cloze, probing. Use "
            "softprompt.null_prompt from Python.",
        ),
        (
            changed(task={"separator": " ->", "template": "{source} [soft] [blank]"}),
            "task.separator: got both a separator and a template, expected one of the two. "
            "Write the separator into the template.",
        ),
        (
            changed(training={"steps": 1, "head_learning_rate": 0.1}),
            "training.head_learning_rate: got a rate for task 'generation', which has no "
            "head, expected a task with a head. Leave the rate out.",
        ),
        (
            changed(training={"steps": 1, "decay": 0.9}),
            "training.decay: got 0.9 with schedule 'linear', expected the schedule "
            "'exponential'. Leave decay out.",
        ),
        (
            changed(training={"steps": 1, "select": "nist"}),
            "training.select: got 'nist', expected one of loss, bleu. Choose one, or add it to metrics.",
        ),
        pytest.param(
            changed(backbone={"compile": True}),
            "backbone.compile: got true, expected false, since layers are no longer compiled. Leave it out.",
        ),
        pytest.param(
            changed(training={"steps": 1, "trunk_cache": {"store": "memory", "limit": "much"}}),
            "training.trunk_cache.limit: got 'much', expected a number above 0 with a unit, e.g. '500 MB' "
            "or '2 GiB'.",
        ),
    ],
)
def test_each_mistake_in_plain_words(raw, line):
    assert lines_of(raw) == [f"settings: {line}"]


def test_all_mistakes_are_reported_at_once():
    raw = {
        "backbone": {"dtype": "int8"},
        "method": {"name": "prefix_tuning", "lenght": 3, "width": 0},
        "training": {"steps": -1, "sede": 1},
    }
    paths = [line.split(": ")[1] for line in lines_of(raw)]
    assert sorted(paths) == [
        "backbone.dtype", "data", "method.lenght", "method.width", "training.sede", "training.steps",
    ]  # fmt: skip


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse_run(GOOD).name = "other"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: {format: e2e}\ntraining: {steps: 10}\nbackbone:\n", encoding="utf-8")
    return path


def test_overrides_are_yaml_values_at_dotted_keys(file):
    overrides = [
        "backbone.name=gpt2", "training.learning_rate=1e-3", "method.name=prefix_tuning",
        "method.layers=[0, 2]", "name = a=b",
    ]  # fmt: skip
    settings = load_run(file, overrides)
    assert settings.backbone.name == "gpt2"
    assert settings.training.learning_rate == 1e-3
    assert settings.method.model_dump()["layers"] == [0, 2]
    assert settings.name == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "--set: got 'steps', expected key=value, e.g. training.learning_rate=1e-3"),
        ("training..steps=1", "--set: got 'training..steps=1', expected key=value"),
        ("=1", "--set: got '=1', expected key=value"),
        ("name=[1", "--set: got 'name=[1' (invalid YAML (while parsing a flow sequence"),
        (
            "seed='\\0'".replace("'", '"'),
            "--set: got 'seed=\"\\\\0\"' (the character NUL in a text), expected a value as in YAML",
        ),
        (
            "training.steps.more=1",
            "--set: got 'training.steps.more=1', expected a setting inside 'steps', which holds a "
            "single value",
        ),
    ],
)
def test_overrides_that_cannot_be_read(file, override, message):
    with pytest.raises(ConfigError) as caught:
        load_run(file, [override])
    assert str(caught.value).startswith(message)


def test_mistakes_name_the_file(file):
    with pytest.raises(ConfigError) as caught:
        load_run(file, ["training.stpes=3", "backbone.device=cpu"])
    assert str(caught.value) == f"{file}: training.stpes: got an unknown setting. Did you mean 'steps'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", ", line 1: got invalid YAML ("),
        ("- 1\n", ": got a list, expected a mapping of settings"),
        ("", ": got an empty file, expected a mapping of settings"),
    ],
)
def test_files_that_hold_no_settings(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_run(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_recipe_that_says_that_nothing_is_compiled_is_read(file):
    file.write_text(file.read_text(encoding="utf-8") + "  compile: false\n", encoding="utf-8")
    assert load_run(file) == parse_run(GOOD)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_run(tmp_path / "none.yaml")
    assert str(caught.value) == (
        f"{tmp_path / 'none.yaml'}: got no such file or directory, expected a YAML file with settings."
    )


def test_a_key_that_stands_twice_is_refused(tmp_path):
    recipe = tmp_path / "run.yaml"
    recipe.write_text("data: {format: e2e}\ntraining:\n  steps: 1\n  steps: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 4: got invalid YAML \(the key 'steps' stands twice"):
        load_run(recipe)
