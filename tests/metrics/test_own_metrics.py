"""Metrics of other people: registered from Python, and brought by an installed package."""

import json
from pathlib import Path

import pytest

import softprompt
from softprompt import metrics
from softprompt.config import parse_run
from softprompt.errors import ConfigError
from softprompt.metrics import METRICS, Scores
from support.fresh_python import python
from support.packages import write_package


def length_ratio(outputs: list[str], references: list[list[str]]) -> float:
    return sum(map(len, outputs)) / sum(len(group[0]) for group in references)


def test_a_function_becomes_a_metric() -> None:
    assert softprompt.metric("length_ratio", "generation", label="length")(length_ratio) is length_ratio
    scores = metrics.score(["length_ratio", "ter"], ["abc  d"], [["ab", "xyz"]])
    # texts come with single spaces, as other metrics get them
    assert scores.values == {"length_ratio": 5 / 2, "ter": 100 * 2 / 1}
    assert metrics.metrics_of("generation")[-1] == "length_ratio"
    assert metrics.label_of("length_ratio") == "length" and metrics.higher_is_better("length_ratio")
    raw = {"data": {"format": "restaurants"}, "training": {"steps": 1}, "metrics": ["length_ratio"]}
    assert parse_run(raw).metrics == ["length_ratio"]


def test_errors_count_downwards_and_the_name_is_the_label() -> None:
    softprompt.metric("misses", ["classification", "choice"], higher_is_better=False)(
        lambda outputs, references: sum(a != b for a, b in zip(outputs, references, strict=True))
    )
    assert metrics.label_of("misses") == "misses" and not metrics.higher_is_better("misses")
    for task in ("classification", "choice"):
        values = metrics.score(["misses"], ["0", "1"], ["1", "1"], task=task, labels=["0", "1"]).values
        assert values == {"misses": 1}


def test_a_function_gets_what_it_names() -> None:
    seen = {}

    @softprompt.metric("lowest", "image_classification")
    def lowest(outputs: list[str], references: list[str], rankings, labels, groups, names) -> float:
        seen.update(outputs=outputs, rankings=rankings, labels=labels, groups=groups, names=names)
        return 1

    metrics.score(["lowest"], [["b", "a"]], ["a"], task="image_classification", labels=["a", "b"])
    assert seen == {
        "outputs": ["b"],
        "rankings": (("b", "a"),),
        "labels": ("a", "b"),
        "groups": None,
        "names": ["lowest"],
    }


def test_one_function_for_several_metrics_runs_once_and_may_leave_some_out() -> None:
    calls = []

    def both(outputs: list[str], references: list[list[str]], names: list[str]) -> Scores:
        calls.append(names)
        return Scores({"one": 1.0, "third": 3.0}, ("two: left out, not today",))

    softprompt.metric("one", "generation")(both)
    softprompt.metric("two", "generation")(both)
    scores = metrics.score(["two", "one"], ["a"], [["a"]])
    assert scores == Scores({"one": 1.0}, ("two: left out, not today",))
    assert calls == [["two", "one"]]


def test_a_figure_is_left_out_with_a_note_alone() -> None:
    softprompt.metric("one", "generation")(lambda outputs, references: Scores({"uno": 1.0}))
    with pytest.raises(ConfigError, match="metric 'one': got Scores without one, expected a figure for each"):
        metrics.score(["one"], ["a"], [["a"]])


def test_a_function_that_sorts_its_lists_changes_no_other_metric() -> None:
    @softprompt.metric("sorts", "classification")
    def sorts(outputs: list[str], references: list[str]) -> float:
        outputs.sort()
        references.sort()
        return 0.0

    alone = metrics.score(["accuracy"], ["a", "b"], ["b", "a"], task="classification", labels=["a", "b"])
    both = metrics.score(
        ["sorts", "accuracy"], ["a", "b"], ["b", "a"], task="classification", labels=["a", "b"]
    )
    assert both.values["accuracy"] == alone.values["accuracy"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": 5}, "metric 'own': label: got a number, expected a text, or None"),
        ({"higher_is_better": "no"}, "metric 'own': higher_is_better: got 'no', expected True or False"),
    ],
)
def test_arguments_of_other_types(arguments, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        softprompt.metric("own", "generation", **arguments)


def test_the_same_function_may_be_defined_again() -> None:
    for value in (1.0, 2.0):

        @softprompt.metric("fixed", "generation")
        def fixed(outputs: list[str], references: list[list[str]], value: float = value) -> float:
            return value

    assert metrics.score(["fixed"], ["a"], [["a"]]).values == {"fixed": 2.0}


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "bleu",
            "generation",
            r"metric 'bleu': got a second metric of this name, .*length_ratio, expected one, which is "
            r"softprompt.metrics.text:bleu. Choose another name.$",
        ),
        ("own", "tagging_", r"metric 'own': got the task 'tagging_', .*Did you mean 'tagging'\?"),
        ("own", [], r"metric 'own': got the task '', expected some of generation, classification"),
    ],
)
def test_names_and_tasks_that_are_refused(name: str, task: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        softprompt.metric(name, task)(length_ratio)


def test_functions_that_are_refused() -> None:
    def of_one(outputs: list[str]) -> float:
        return 0.0

    def of_more(outputs: list[str], references: list[str], tokenizer: object) -> float:
        return 0.0

    for function, got in ((of_one, "outputs"), (of_more, "outputs, references, tokenizer")):
        with pytest.raises(ConfigError, match=rf"metric 'own': got a function of \({got}\), expected one of"):
            softprompt.metric("own", "generation")(function)
    assert metrics.find_metric("own") is None


@pytest.mark.parametrize(
    ("value", "got"), [(None, "nothing of 'own'"), (float("nan"), "nan of 'own'"), ("1", "a text of 'own'")]
)
def test_figures_that_are_no_numbers(value: object, got: str) -> None:
    softprompt.metric("own", "generation")(lambda outputs, references: value)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match=rf"metrics: got {got}, expected a finite number"):
        metrics.score(["own"], ["a"], [["a"]])


def test_a_metric_scores_its_own_tasks_alone() -> None:
    softprompt.metric("length_ratio", "generation")(length_ratio)
    with pytest.raises(ConfigError, match=r"got 'length_ratio', expected some of .*Use it for generation"):
        metrics.score(["length_ratio"], ["a"], ["a"], task="choice", labels=["a"])


TOY = """
import softprompt

@softprompt.metric("exact", "generation", label="exact texts")
def exact(outputs, references):
    return 100 * sum(out in group for out, group in zip(outputs, references)) / len(outputs)
"""

ASK = """
import json, sys
from softprompt.config import parse_run
from softprompt.errors import ConfigError

found = {}
for name in sys.argv[1:]:
    raw = {"data": {"format": "restaurants"}, "training": {"steps": 1}, "metrics": [name]}
    try:
        found[name] = parse_run(raw, "own.yaml").metrics
    except ConfigError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def _offer(folder: Path, package: str, source: str, name: str) -> None:
    offers = {"softprompt.metrics": {name: f"{package}:{name}"}}
    write_package(folder, package, {f"{package}.py": source}, offers)


def test_packages_bring_metrics_and_only_those_asked_for_are_imported(tmp_path: Path) -> None:
    _offer(tmp_path, "toy", TOY, "exact")
    _offer(tmp_path, "broken", "import no_such_module_of_ours", "broken")
    for name in ("one", "two"):
        _offer(tmp_path, name, "", "twice")
    _offer(tmp_path, "silent", "silent = len", "silent")
    _offer(tmp_path, "thief", TOY.replace('"exact"', '"bleu"'), "thief")
    answers = json.loads(python(tmp_path, ASK, "exact", "broken", "twice", "silent", "thief", "exakt"))
    assert answers.pop("exact") == ["exact"]
    assert answers.pop("exakt").endswith("rougeL, exact. Did you mean 'exact'?")
    assert answers == {
        "broken": "own.yaml: metrics: 'broken' of broken 1.2: got broken:broken, which cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_module_of_ours'), expected an installed package that "
        "works. Mend or uninstall broken 1.2.",
        "twice": "own.yaml: metrics: got 'twice', which one 1.2 and two 1.2 offer, expected one package with "
        "a metric of this name. Uninstall one of them.",
        "silent": "own.yaml: metrics: 'silent' of silent 1.2: got silent:silent, which is not the metric of "
        "this name, expected a function under @softprompt.metric('silent'). Mend or uninstall silent 1.2.",
        "thief": "own.yaml: metrics: 'thief' of thief 1.2: metric 'bleu': got a second metric of this name, "
        "thief:exact, expected one, which is softprompt.metrics.text:bleu. Choose another name.",
    }


def test_the_page_has_a_row_for_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    rows = [
        f"| `{row.name}` | {row.label} | {', '.join(row.tasks)} | {_direction(row)} |"
        for row in map(METRICS.__getitem__, METRICS)
    ]
    assert "\n".join(rows) in page


def _direction(row: metrics.Metric) -> str:
    return "higher" if row.higher_is_better else "lower"
