"""Scores that a machine could not compute are added on another, from what the run kept."""

import json
import shutil

import pytest

from support.folders import result_of


@pytest.fixture
def run(trained, tmp_path):
    """A finished run that lacks a metric, as where its scorer's program is missing, in a study's folder."""
    folder = tmp_path / "study" / "small"
    shutil.copytree(trained / "runs" / "small", folder)
    whole = result_of(folder)
    lacking = result_of(folder)
    for row in lacking["scores"]:
        del row["values"]["ter"]
        row["notes"] = ["ter: its program is missing"]
    (folder / "result.json").write_text(json.dumps(lacking), encoding="utf-8")
    return folder, whole


def test_what_was_missing_is_as_if_it_had_been_there(softprompt, run):
    folder, whole = run
    result = softprompt("evaluate", folder, "--rescore")
    assert (result.code, result.out.strip()) == (0, f"{folder.as_posix()}: added ter")
    facts = result_of(folder)
    assert facts["scores"] == whole["scores"]
    assert facts.pop("rescored")["metrics"] == ["ter"]
    assert facts == whole


def test_a_studys_folder_is_all_its_runs_and_a_second_time_changes_nothing(softprompt, run):
    folder, _ = run
    assert softprompt("evaluate", folder.parent, "--rescore").code == 0
    before = (folder / "result.json").read_bytes()
    again = softprompt("evaluate", folder.parent, "--rescore")
    assert (again.code, again.out.strip()) == (0, f"{folder.as_posix()}: nothing to add")
    assert (folder / "result.json").read_bytes() == before


def test_scores_that_are_there_stay_as_they_are(softprompt, run):
    folder, _ = run
    facts = result_of(folder)
    facts["scores"][0]["values"]["bleu"] = 12.5
    (folder / "result.json").write_text(json.dumps(facts), encoding="utf-8")
    assert softprompt("evaluate", folder, "--rescore").code == 0
    assert result_of(folder)["scores"][0]["values"]["bleu"] == 12.5


def test_other_records_are_refused_and_nothing_changes(softprompt, run):
    folder, _ = run
    lines = (folder / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "outputs.jsonl").write_text(lines[0] + "\n", encoding="utf-8")
    before = (folder / "result.json").read_bytes()
    result = softprompt("evaluate", folder, "--rescore")
    assert result.code == 1
    assert "data.test: got 2 records that are not the 1 of" in result.err
    assert (folder / "result.json").read_bytes() == before


def test_broken_outputs_are_named(softprompt, run):
    folder, _ = run
    (folder / "outputs.jsonl").write_text("{", encoding="utf-8")
    result = softprompt("evaluate", folder, "--rescore")
    assert result.code == 1
    assert "outputs.jsonl" in result.err


def test_what_has_no_runs_and_what_needs_no_program_is_refused(softprompt, readers, tmp_path):
    result = softprompt("evaluate", tmp_path, "--rescore")
    assert result.code == 1
    assert "expected the folder of a finished run, or of a study" in result.err
    result = softprompt("evaluate", readers / "runs" / "pair", "--rescore")
    assert result.code == 2
    assert "got task 'classification', whose scores need no other program" in result.err


def test_the_former_name_does_the_same_and_says_so(softprompt, run):
    folder, whole = run
    result = softprompt("rescore", folder)
    assert (result.code, result.out.strip()) == (0, f"{folder.as_posix()}: added ter")
    assert "softprompt rescore is now: softprompt evaluate RUN --rescore" in result.err
    assert result_of(folder)["scores"] == whole["scores"]


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--limit", "3", "--no-prompt"], "--limit, --no-prompt"), (["--split", "dev"], "--split")],
)
def test_what_decides_a_new_decoding_is_refused(softprompt, run, options, named):
    folder, _ = run
    before = (folder / "result.json").read_bytes()
    result = softprompt("evaluate", folder, "--rescore", *options)
    assert result.code == 2
    assert f"--rescore: got options of a new decoding ({named}), expected the folder" in result.err
    assert softprompt("evaluate", "--rescore").code == 2
    assert (folder / "result.json").read_bytes() == before
