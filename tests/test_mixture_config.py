"""Settings of several tasks: every mistake at once, each with its path, in plain words."""

import copy
import itertools
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from softprompt.config import MixtureSettings, RunSettings, load_recipe
from softprompt.errors import ConfigError

RECIPES = Path(__file__).parents[1] / "recipes"
RTE = {"data": {"format": "rte"}, "task": {"name": "classification"}}
GOOD: dict[str, Any] = {
    "prompts": "shared",
    "parts": {"rte": RTE, "cb": {**copy.deepcopy(RTE), "data": {"format": "cb"}, "metrics": ["macro_f1"]}},
    "training": {"steps": 10},
}
WRITER = {"data": {"format": "e2e"}, "task": {"name": "generation"}}


def changed(**changes: Any) -> dict[str, Any]:
    """Good settings with values put at paths, `parts__rte__task` for `parts.rte.task`."""
    raw = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = path.split("__")
        node = raw
        for key in above:
            node = node.setdefault(key, {})
        node[last] = value
    return raw


def load(tmp_path: Path, raw: dict[str, Any]) -> MixtureSettings | RunSettings:
    path = tmp_path / "several.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return load_recipe(path)


def lines_of(tmp_path: Path, raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, raw)
    return [line.removeprefix(f"{tmp_path / 'several.yaml'}: ") for line in str(caught.value).splitlines()]


def test_a_file_with_parts_is_a_run_over_several_tasks(tmp_path):
    settings = load(tmp_path, changed())
    assert isinstance(settings, MixtureSettings)
    assert settings.folder == Path("runs/mixture") and settings.method.name == "p_tuning_v2"
    assert isinstance(load(tmp_path, {"data": {"format": "e2e"}, "training": {"steps": 1}}), RunSettings)


def test_a_part_is_the_settings_of_a_run_of_its_own(tmp_path):
    settings = load(tmp_path, changed(training__select="metric", name="both", output="out"))
    assert isinstance(settings, MixtureSettings)
    rte, cb = settings.part("rte"), settings.part("cb")
    assert (rte.name, rte.folder) == ("rte", Path("out/both/rte"))
    assert (rte.metrics, rte.training.select) == (["accuracy"], "accuracy")
    assert (cb.metrics, cb.training.select) == (["macro_f1"], "macro_f1")
    assert cb.data.format == "cb" and cb.method == settings.method and cb.backbone == settings.backbone
    assert RunSettings.model_validate(cb.model_dump()) == cb


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            changed(parts__rte__task__lablels=["a", "b"]),
            "parts.rte.task.lablels: got an unknown setting. Did you mean 'labels'?",
        ),
        (changed(parts__rte__dat={}), "parts.rte.dat: got an unknown setting. Did you mean 'data'?"),
        (changed(parts__rte__data__train_size=0), "parts.rte.data.train_size: got 0, expected at least 1."),
        (
            changed(parts__task={"data": {"format": "rte"}}),
            "parts.task.task: got no value, expected a value.",
        ),
        (
            changed(parts__data={"data": {"format": "rte", "tain": "x"}, "task": {"name": "classification"}}),
            "parts.data.data.tain: got an unknown setting. Did you mean 'train'?",
        ),
        (
            changed(parts__rte__task={"name": "clasification"}),
            "parts.rte.task.name: got 'clasification', expected one of 'generation', 'classification', "
            "'multi_label_classification', 'tagging', 'choice', 'spans', 'regression', 'cloze', 'probing', "
            "'image_classification'. "
            "Did you mean 'classification'?",
        ),
        (
            changed(parts__rte__metrics=["bleu"]),
            "parts.rte.metrics: got 'bleu' for task 'classification', expected some of "
            "accuracy, f1, macro_f1, mcc, question_em.",
        ),
        (
            changed(parts__rte__metrics=[], training__select="metric"),
            "parts.rte.metrics: got no metric, expected at least one, for training.select 'metric'.",
        ),
        (changed(parts={}), "parts: got no part, expected at least one."),
        (changed(parts=None), "parts: got None, expected a mapping of settings."),
        (changed(parts__rte=None), "parts.rte: got None, expected a mapping of settings."),
        (changed(parts={1: RTE}), "parts.1: got 1, expected a text."),
        (
            changed(parts={"a.b": RTE}),
            "parts: got 'a.b', expected a name in letters, digits, '-' and '_', at most 200 bytes.",
        ),
        (
            changed(parts={"": RTE}),
            "parts: got '', expected a name in letters, digits, '-' and '_', at most 200 bytes.",
        ),
        (
            changed(parts={"checkpoints": RTE}),
            "parts.checkpoints: got a name by which the run keeps a folder of its own. Choose another name.",
        ),
        (
            changed(parts={"RTE": RTE, "rte": RTE}),
            "parts.rte: got a name that differs from 'RTE' in case alone. Rename one of the two.",
        ),
        (
            changed(parts__e2e=WRITER),
            "parts: got generation beside tasks with heads, expected parts that are all of one kind.",
        ),
        (
            changed(training__select="f1"),
            "training.select: got 'f1', expected 'loss' or 'metric'. Name each part's first "
            "metric by 'metric'.",
        ),
        (
            changed(method={"name": "prefix_tuning", "initialization": "examples:4"}),
            "method.initialization: got 'examples:4' with a shared prompt, expected a start "
            "that belongs to no single task. Choose e.g. 'vocabulary'.",
        ),
        (
            changed(method={"name": "fine_tuning"}),
            "method.name: got 'fine_tuning' with several tasks, expected a method that "
            "trains prompts alone, since all tasks share one backbone.",
        ),
        (
            changed(prompts="separate", training={"epochs": 2}),
            "training.epochs: got epochs with separate prompts, expected training.steps. "
            "Count in steps, because parts differ in size.",
        ),
        (
            changed(prompts="separate", training__schedule="exponential"),
            "training.schedule: got 'exponential' with separate prompts, expected a schedule "
            "that counts steps. Choose e.g. 'linear', because parts have epochs of different "
            "length.",
        ),
        (
            changed(decoding={"beams": 3}),
            "decoding.beams: got a value for task 'classification', which writes no text, "
            "expected decoding.batch_size alone. Leave beams out.",
        ),
        (changed(prompts="both"), "prompts: got 'both', expected one of 'shared' or 'separate'."),
        (
            changed(task={"name": "classification"}),
            "task: got an unknown setting. Choose one of backbone, decoding, method, name, "
            "output, parts, prompts, training.",
        ),
    ],
)
def test_one_mistake_is_one_line(tmp_path, raw, line):
    assert lines_of(tmp_path, raw) == [line]


def test_mistakes_inside_parts_are_reported_together(tmp_path):
    raw = changed(parts__rte__task__lablels=[], parts__cb__data__formt="cb", promts="shared")
    assert [line.partition(":")[0] for line in lines_of(tmp_path, raw)] == [
        "parts.rte.task.lablels",
        "parts.cb.data.formt",
        "promts",
    ]


def test_contradictions_are_reported_together(tmp_path):
    raw = changed(
        prompts="separate", method={"name": "fine_tuning"}, parts__e2e=WRITER,
        parts__rte__metrics=["bleu"], training={"epochs": 1, "schedule": "exponential"},
    )  # fmt: skip
    paths = [line.partition(":")[0] for line in lines_of(tmp_path, raw)]
    assert paths == ["parts", "method.name", "training.epochs", "training.schedule", "parts.rte.metrics"]


def test_prompts_must_be_said(tmp_path):
    raw = changed()
    del raw["prompts"]
    assert lines_of(tmp_path, raw) == ["prompts: got no value, expected a value."]


def test_overrides_reach_into_parts():
    settings = load_recipe(RECIPES / "fewglue-together.yaml", ["parts.rte.task.max_tokens=64"])
    assert isinstance(settings, MixtureSettings)
    tokens = {name: settings.part(name).task.model_dump()["max_tokens"] for name in settings.parts}
    assert tokens == {"rte": 64, "cb": 256, "boolq": 256}


def test_the_command_that_goes_on_from_a_shared_prompt_is_one_that_works():
    lines = (RECIPES / "fewglue-shared.yaml").read_text(encoding="utf-8").splitlines()
    command = shlex.split(next(line for line in lines if "initialization" in line).lstrip("# "))
    overrides = [after for flag, after in itertools.pairwise(command) if flag == "--set"]
    settings = load_recipe(RECIPES.parent / command[2], overrides)
    assert isinstance(settings, RunSettings)
    shared = load_recipe(RECIPES / "fewglue-shared.yaml")
    assert isinstance(shared, MixtureSettings)
    prompt = shared.part("rte").folder / "prompt"
    assert settings.method.model_dump()["initialization"] == f"prompt: {prompt.as_posix()}"
    assert settings.task.model_dump()["max_tokens"] == shared.part("rte").task.model_dump()["max_tokens"]


EACH = {
    "names": ["P36", "P19"],
    "data": {"format": "trex", "train": "trex/{name}.jsonl"},
    "task": {"name": "probing", "template": "{subject} [blank]"},
}


def test_parts_that_are_alike_are_written_once(tmp_path):
    settings = load(tmp_path, {"prompts": "separate", "each": EACH, "training": {"steps": 3}})
    assert isinstance(settings, MixtureSettings)
    assert list(settings.parts) == ["P36", "P19"]
    assert str(settings.parts["P19"].data.train) == str(Path("trex/P19.jsonl"))
    assert settings.parts["P19"].task.model_dump()["template"] == "{subject} [blank]", (
        "a field of a template is no name"
    )
    again = MixtureSettings.model_validate(settings.model_dump(mode="json"))
    assert again == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"each": {**EACH, "names": []}}, r"each\.names: got \[\]"),
        ({"each": {**EACH, "names": ["a", "a"]}}, "the same name twice"),
        ({"each": {"data": EACH["data"]}}, r"each\.names: got None"),
        ({"each": EACH, "parts": {"rte": RTE}}, "each: got both each and parts"),
        ({"each": {**EACH, "task": {"name": "cloze", "verbalizer": 3}}}, r"parts\.P36\.task"),
    ],
)
def test_mistakes_in_each_are_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {"prompts": "separate", "training": {"steps": 3}, **changes})


def test_label_words_and_heads_share_no_batch(tmp_path):
    cloze = {"data": {"format": "rte"}, "task": {"name": "cloze", "verbalizer": {"a": "x", "b": "y"}}}
    with pytest.raises(ConfigError, match="parts: got label words beside tasks with heads"):
        load(tmp_path, {**GOOD, "parts": {"rte": RTE, "words": cloze}})
