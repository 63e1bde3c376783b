"""Files that runs and studies left, damaged in every way: read, or refused with an error of ours."""

import contextlib
import copy
import json
import os
import random
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from softprompt.errors import ConfigError, SoftpromptError
from softprompt.studies.comparisons.runs import read_compared_run
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report.compose import compose_report
from softprompt.studies.report.render import latex, markdown, page, write_summary
from softprompt.studies.report.source import read_source
from softprompt.studies.results.folders import write_failure
from softprompt.studies.results.study_result import read_results
from softprompt.tasks.language.probing import _lines
from softprompt.training.run_folder import RunFolder
from softprompt.training.run_folder.checkpoint import Checkpoint, Checkpoints
from softprompt.training.run_folder.locks import _owner
from softprompt.untrusted import Unreadable, read_json
from studies.fakes import finish, write_study

DEEP = "[" * 100_000 + "]" * 100_000
BYTES = {
    "empty": b"",
    "a text": b"hello\n",
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "nested": DEEP.encode(),
    "nested objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a huge number": b'{"a": ' + b"9" * 10_000 + b"}",
    "half a pair": b'{"a": "\\ud800"}',
    "twice": b'{"cells": 1, "cells": 2}',
    "another": b'{"a": 1}\n',
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"3",
    "nul bytes": b"\0" * 64,
    "nan": b"NaN",
}
WAYS = [*BYTES, "half", "cut", "folder", "pipe", "device", "link loop", "endless"]


def damage(path: Path, way: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if way in BYTES:
        path.write_bytes(BYTES[way])
    elif way in ("half", "cut"):
        path.write_bytes(content[: len(content) // 2 if way == "half" else -3])
    elif way == "folder":
        path.mkdir()
    elif way == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": "/dev/null", "link loop": path.name, "endless": "/dev/zero"}[way])


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """The folder of a study with finished runs and a failed one, and its tables."""
    folder = tmp_path_factory.mktemp("study")
    rows = [{"name": name, "set": {"method.length": i + 1}} for i, name in enumerate("ab")]
    grid = load_grid(write_study(folder, rows=rows, seeds=[0, 1]))
    runs = list(grid.runs)
    for run in runs[:3]:
        finish(run.settings, {"bleu": 12.5, "ter": 1.0})
    write_failure(grid, runs[3], "loss: got nan", "trace")
    return write_summary(read_results(grid), "softprompt study")


@pytest.fixture(scope="module", autouse=True)
def _no_figures():
    """Figures take most of the time, and draw what the tables hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softprompt.studies.report.compose.draw_figures", lambda result: ({}, ()))
        yield


def report(source: Path) -> str:
    """Every form of a study's report, without figures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = compose_report(read_source(source), "softprompt report")
    return page(made) + markdown(made) + "".join(map(latex, made.tables))


def ours(make, *arguments) -> None:
    with contextlib.suppress(SoftpromptError):
        make(*arguments)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", ["study.json", "a--seed-0/result.json", "a--seed-0/settings.yaml", "failed/*"]
)
def test_reports_over_damaged_files(study, tmp_path, name, way):
    folder = shutil.copytree(study, tmp_path / "s")
    damage(next(iter(folder.glob(name))), way)
    ours(report, folder)
    ours(report, folder / "study.json")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["study.csv", "study.parquet"])
def test_damaged_tables(study, tmp_path, name, way):
    path = Path(shutil.copy(study / name, tmp_path))
    damage(path, way)
    if way == "half" and path.suffix == ".csv":
        return  # a head without lines, which is a table too
    with pytest.raises(SoftpromptError) as raised:
        read_source(study.parents[1] / "study.yaml", table=path)
    assert str(path) in str(raised.value)


HOSTILE = [None, True, -1, 1e400, 10**30, "", "x" * 10_000, "<i>", "\x1b[2J", [], {}, [[]], {"a": 1}, [None]]


def mutated(value, rng: random.Random):
    """A copy with one node replaced, removed or doubled."""
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    copied = copy.deepcopy(value)
    walk(copied)
    part, key = rng.choice(places)
    if rng.random() < 0.3:
        del part[key]
    else:
        part[key] = copy.deepcopy(rng.choice(HOSTILE))
    return copied


@pytest.mark.parametrize("name", ["study.json", "a-*-0/result.json"])
def test_other_values_in_stored_json(study, tmp_path, name):
    folder = shutil.copytree(study, tmp_path / "s")
    path = next(iter(folder.glob(name)))
    facts = json.loads(path.read_text(encoding="utf-8"))
    for seed in range(60):
        path.write_text(json.dumps(mutated(facts, random.Random(seed))), encoding="utf-8")
        try:
            ours(report, folder)
            ours(report, folder / "study.json")
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}")


@pytest.mark.parametrize("way", WAYS)
def test_damaged_checkpoints_are_passed_over(tmp_path, way):
    store = Checkpoints(tmp_path)
    for step in (1, 2):
        store.save(Checkpoint(step, {"prompt": {"a": torch.zeros(2)}}, {"step": step}))
    for file in ("checkpoint.json", "prompt.safetensors"):
        damage(tmp_path / "step-00000002" / file, way)
        newest = store.newest()
        assert newest is not None and newest.step == 1 and len(store.damaged) == 1


@pytest.mark.parametrize("way", WAYS)
def test_other_readers(tmp_path, way):
    path = tmp_path / "x.json"
    path.write_text('{"process": 3, "host": "here"}', encoding="utf-8")
    damage(path, way)
    assert _owner(path) == "another process"
    if way in ("no UTF-8", "folder", "pipe", "device", "link loop", "endless"):
        with pytest.raises(ConfigError, match=r"task\.vocabulary: .*x\.json"):
            _lines(path, "task.vocabulary")
    if way not in ("another", "a list", "null", "a number", "nan"):
        with pytest.raises(Unreadable):
            read_json(path)


@pytest.mark.parametrize("part", [{}, {"scores": []}, [], None, 3, {"best": 1, "scores": {}, "counts": []}])
def test_a_result_whose_parts_are_none(tmp_path, part):
    folder = RunFolder(tmp_path)
    folder.result.write_text(json.dumps({"name": "x", "parts": {"a": part}}), encoding="utf-8")
    with pytest.raises(SoftpromptError, match=r"nothing of use as parts\.a"):
        read_compared_run(tmp_path)


@pytest.mark.parametrize("way", ["folder", "pipe", "device", "endless"])
def test_damaged_lines_are_not_kept_in_what_is_no_file(tmp_path, way):
    folder = RunFolder(tmp_path)
    folder.damaged.write_bytes(b"")
    damage(folder.damaged, way)
    folder.log.write_text('{"kind": "start", "step": 0}\nbroken\n', encoding="utf-8")
    with (
        pytest.warns(UserWarning, match="damage in line 2"),
        pytest.raises(SoftpromptError, match=r"log\.damaged\.jsonl"),
    ):
        folder.rewind(0, 0)
    assert "broken" in folder.log.read_text(encoding="utf-8")


def test_a_pipe_that_took_a_files_place_just_now_is_not_waited_for(tmp_path, monkeypatch):
    path, regular = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(path)
    regular.write_bytes(b"{}")
    facts = regular.stat()
    monkeypatch.setattr(Path, "stat", lambda self, **more: facts)
    with pytest.raises(Unreadable, match="a pipe"):
        read_json(path)
