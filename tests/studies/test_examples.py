"""What the rows said: which records are shown, and what is said of rows without outputs."""

import json
from typing import Any

import pytest

from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report.examples import examples
from softprompt.studies.report.render import environment
from softprompt.studies.results.study_result import read_results
from studies.fakes import BASE, finish, write_study

ROWS = [{"name": name, "set": {"method.length": i + 1}} for i, name in enumerate(("a", "b", "c"))]
CLASSES = {
    **BASE, "data": {"format": "sst2", "test": "test.tsv"}, "metrics": ["accuracy"],
    "task": {"name": "classification", "labels": ["no", "yes"]},
    "method": {"name": "p_tuning_v2", "length": 5},
}  # fmt: skip
CHOICES = {**CLASSES, "data": {"format": "copa", "test": "val.jsonl"}, "task": {"name": "choice"}}
PICTURES = {
    **CLASSES, "data": {"format": "image_folder", "test": "test"}, "task": {"name": "image_classification"},
    "method": {"name": "visual_prompt_tuning", "length": 5}, "backbone": {"name": "vit"},
}  # fmt: skip
NUMBERS = {
    **CLASSES, "data": {"format": "csv", "test": "test.csv"}, "metrics": ["pearson"],
    "task": {"name": "regression"},
}  # fmt: skip


def said_html(found):
    """The part of a page that shows examples."""
    module: Any = environment().get_template("macros.html.j2").module
    return str(module.outputs(found))


def study(tmp_path, outputs, base=BASE, seeds=(0,), n=12, references=("yes",), **more):
    """A study in which `outputs(row, seed, i)` is said of record i; None is a run that is not there.

    `more` stands on every line.
    """
    grid = load_grid(write_study(tmp_path, base=base, rows=ROWS, seeds=list(seeds)))
    for cell in grid.cells:
        for run in cell.runs:
            said = [outputs(cell.row, run.seed, i) for i in range(n)]
            if None in said:
                continue
            lines = [
                {"id": f"r{i}", "source": f"source {i}", "references": list(references), "output": text}
                | more
                for i, text in enumerate(said)
            ]
            folder = finish(run.settings, dict.fromkeys(base["metrics"], 1.0))
            folder.outputs.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return read_results(grid)


def test_of_texts_a_few_records_evenly_spread(tmp_path):
    (found,) = examples(study(tmp_path, lambda row, seed, i: f"{row} of {i}", references=("x", "y")))
    assert [example.id for example in found.examples] == ["r0", "r2", "r4", "r6", "r8", "r10"]
    assert found.what == "6 of 12 test records, evenly spread; seed 0" and not found.answers
    first = found.examples[0]
    assert first.references == ("x", "y") and first.source == "source 0"
    assert [(one.row, one.text, one.right) for one in first.outputs] == [
        ("a", "a of 0", None), ("b", "b of 0", None), ("c", "c of 0", None),
    ]  # fmt: skip
    page = said_html([found])
    assert page.count("<dt>references</dt>") == 6 and "<dd>b of 10</dd>" in page


def test_of_answers_those_on_which_rows_differ(tmp_path):
    def outputs(row, seed, i):
        return "no" if row == "b" and i % 6 == 5 else "yes"

    (found,) = examples(study(tmp_path, outputs, CLASSES))
    assert found.what == "The rows differ on 2 of 12 test records, 2 of them evenly spread; seed 0"
    assert [example.id for example in found.examples] == ["r5", "r11"] and found.answers
    assert [one.right for one in found.examples[0].outputs] == [True, False, True]
    page = said_html([found])
    yes = '<dt class="right"><span class="hidden-text">right: </span>yes</dt><dd>a, c</dd>'
    no = '<dt class="wrong"><span class="hidden-text">wrong: </span>no</dt><dd>b</dd>'
    assert page.count(f"<div>{yes}</div>\n<div>{no}</div>") == 2


def test_a_right_answer_that_no_row_gave_is_shown_first(tmp_path):
    result = study(tmp_path, lambda row, seed, i: row, CLASSES, n=1, references=("<d>",))
    page = said_html(examples(result))
    assert page.index("&lt;d&gt;</dt><dd>no row</dd>") < page.index("a</dt><dd>a</dd>")
    assert page.count("wrong: ") == 3


def test_without_references_nothing_is_called_right_or_wrong(tmp_path):
    (found,) = examples(study(tmp_path, lambda row, seed, i: row, CLASSES, n=1, references=()))
    assert {one.right for one in found.examples[0].outputs} == {None}
    page = said_html([found])
    assert "right" not in page and "wrong" not in page and "<dt>a</dt><dd>a</dd>" in page


def test_rows_that_agree_have_nothing_to_show(tmp_path):
    (found,) = examples(study(tmp_path, lambda row, seed, i: "yes", CLASSES))
    assert found.examples == () and found.what == "The rows differ on 0 of 12 test records; seed 0"


@pytest.mark.parametrize("right", ["it broke", "rain / snow"])
def test_a_choice_is_shown_by_its_words(tmp_path, right):
    result = study(
        tmp_path, lambda row, seed, i: int(row == "c"), CHOICES, n=1, references=(right,),
        source=f"Why | or not | it rained / {right}", choices=["it rained", right],
    )  # fmt: skip
    ((example,),) = [found.examples for found in examples(result)]
    assert [(one.text, one.right) for one in example.outputs] == [
        ("it rained", False), ("it rained", False), (right, True),
    ]  # fmt: skip


def test_a_choice_whose_endings_were_not_kept_is_shown_by_its_number(tmp_path):
    result = study(tmp_path, lambda row, seed, i: int(row == "c"), CHOICES, n=1, references=("it broke",))
    ((example,),) = [found.examples for found in examples(result)]
    assert [(one.text, one.right) for one in example.outputs] == [
        ("choice 1", None), ("choice 1", None), ("choice 2", None),
    ]  # fmt: skip


def test_pictures_are_shown_by_the_likeliest_label(tmp_path):
    def outputs(row, seed, i):
        labels = ["dog", "cat"] if row == "b" and i == 3 else ["cat", "dog"]
        return {"labels": labels, "probabilities": [0.9 - i / 100, 0.1 + i / 100]}

    (found,) = examples(study(tmp_path, outputs, PICTURES, references=("cat",)))
    assert found.what.startswith("The rows differ on 1 of 12 test records")
    (example,) = found.examples
    assert [(one.text, one.right) for one in example.outputs] == [
        ("cat", True),
        ("dog", False),
        ("cat", True),
    ]
    assert "cat</dt><dd>a, c</dd>" in said_html([found])


def test_numbers_are_not_compared(tmp_path):
    assert examples(study(tmp_path, lambda row, seed, i: i + 0.5, NUMBERS)) == ()


def test_one_seed_that_all_rows_have(tmp_path):
    def outputs(row, seed, i):
        return None if (row, seed) in {("a", 0), ("b", 2)} else f"{row} {seed}"

    (found,) = examples(study(tmp_path, outputs, seeds=(0, 1, 2)))
    assert [one.text for one in found.examples[0].outputs] == ["a 1", "b 1", "c 1"] and "seed 1" in found.what


def test_rows_without_outputs_are_named(tmp_path):
    result = study(tmp_path, lambda row, seed, i: None if row == "a" else f"{row} {i}")
    (b,) = result.at("b", "").runs
    (b.run.settings.folder / "outputs.jsonl").unlink()
    (found,) = examples(result)
    assert [one.row for one in found.examples[0].outputs] == ["c"]
    assert found.lacking == ("a: no run is done", "b: no outputs.jsonl in its folder")
    assert "Left out, b: no outputs.jsonl in its folder" in said_html(examples(result))


DAMAGE = ["[1, 2]", '{"id": "r0"}', '{"source": "s", "output": "o"}', "null", '{"id": "r99", "sour', "\0\0\0"]


@pytest.mark.parametrize("line", DAMAGE)
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_damaged_line_costs_its_own_record_and_is_named(tmp_path, line, end):
    result = study(tmp_path, lambda row, seed, i: f"{row} {i}")
    (a,) = result.at("a", "").runs
    outputs = a.run.settings.folder / "outputs.jsonl"
    kept = outputs.read_text(encoding="utf-8").splitlines()
    outputs.write_text("\n".join([*kept[:-1], line]) + end, encoding="utf-8")
    (found,) = examples(result)
    assert [one.row for one in found.examples[0].outputs] == ["a", "b", "c"]
    assert found.what.startswith("6 of 11 test records")
    assert found.lacking == ("a: line 12 of its outputs.jsonl, which cannot be read",)
    assert "Left out, a: line 12 of its outputs.jsonl, which cannot be read" in said_html([found])


def test_outputs_of_another_kind_than_the_tasks_are_no_outputs(tmp_path):
    (found,) = examples(study(tmp_path, lambda row, seed, i: ["x"] if row == "a" else row, CLASSES, n=3))
    assert {one.row for one in found.examples[0].outputs} == {"b", "c"}
    assert found.lacking == ("a: lines 1-3 of its outputs.jsonl, which cannot be read",)
