"""Runs over the same tasks side by side."""

import json
import statistics

import pytest

from softprompt.cli.app import main
from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.comparisons.runs import (
    check_alike,
    means_table,
    pairs_table,
    parts_table,
    read_compared_run,
)
from softprompt.studies.comparisons.statistics import paired_t, wilcoxon

A, B = [10.0, 20.0, 30.0, 40.0], [12.0, 25.0, 29.0, 50.0]


def run_folder(path, values, fingerprint="f", bare=False, tested=True, **changes):
    parts = {
        f"P{i}": {
            "scores": [{"group": "all", "values": {"p_at_1": value, "mrr": value + 1}, "notes": []}]
            if tested
            else [],
            "counts": {
                "trained_parameters": 5, "stored_parameters": 2, "test_records": 7, "left_out_records": 1,
            },
            "data_fingerprint": f"{fingerprint}{i}",
            "best": {"metric": "loss", "step": 3, "value": None if bare else 50 - value},
        }
        for i, value in enumerate(values)
    }  # fmt: skip
    path.mkdir()
    facts = {
        "name": path.name,
        "parts": parts,
        "versions": {"torch": "2"},
        "hardware": "x86_64, 2 cores",
        **changes,
    }
    (path / "result.json").write_text(json.dumps(facts), encoding="utf-8")
    (path / "settings.yaml").write_text("name: x", encoding="utf-8")
    return path


@pytest.fixture
def runs(tmp_path):
    return [
        read_compared_run(run_folder(tmp_path / "a", A)),
        read_compared_run(run_folder(tmp_path / "b", B)),
    ]


def test_tables_are_means_pairs_and_parts(runs):
    assert means_table(runs)[1:] == [
        ["a", f"{statistics.fmean(A):.2f}", f"{statistics.fmean(A) + 1:.2f}", "25.00", "20", "8"],
        ["b", f"{statistics.fmean(B):.2f}", f"{statistics.fmean(B) + 1:.2f}", "21.00", "20", "8"],
    ]
    (line,) = pairs_table(runs, "p_at_1")[1:]
    tests = [f"{paired_t(B, A):.4f}", f"{wilcoxon(B, A):.4f}"]
    assert line == ["b", "a", "+4.00", "3", "1", *tests]
    assert parts_table(runs, "mrr")[2] == ["P1", "7", "21.00", "26.00"]


def test_runs_without_test_sets_are_paired_by_what_picked_their_best_steps(tmp_path, runs, capsys):
    folders = [str(run_folder(tmp_path / f"{n}-dev", v, tested=False)) for n, v in (("a", A), ("b", B))]
    found = [read_compared_run(folder) for folder in map(type(tmp_path), folders)]
    assert means_table(found)[0][1] == "development loss"
    # Less loss is better: b comes first.
    (line,) = pairs_table(found, "development")[1:]
    assert line[:5] == ["b-dev", "a-dev", "+4.00", "3", "1"]
    assert pairs_table(runs, "development")[1][2:] == line[2:]
    with pytest.raises(SystemExit) as ended:
        main(["compare", *folders])
    assert ended.value.code == 0 and "development loss" in capsys.readouterr().out
    bare = read_compared_run(run_folder(tmp_path / "bare", A, bare=True))
    assert means_table([runs[0], bare])[0][-3] != "development loss"
    with pytest.raises(
        ConfigError, match=r"'development' of runs that picked by different metrics \(a: loss, bare: none\)"
    ):
        pairs_table([runs[0], bare], "development")
    with pytest.raises(ConfigError, match="'development' for bare"):
        bare.values("development")


def test_what_cannot_be_paired_is_refused(runs, tmp_path):
    other = read_compared_run(run_folder(tmp_path / "c", A, fingerprint="g"))
    with pytest.raises(TrainingError, match="c: got other records of P0 than a has"):
        check_alike([runs[0], other])
    fewer = read_compared_run(run_folder(tmp_path / "d", A[:3]))
    with pytest.raises(TrainingError, match=r"other parts than a \(P3\)"):
        check_alike([runs[0], fewer])
    with pytest.raises(ConfigError, match="'bleu' for a, part P0"):
        runs[0].values("bleu")
    with pytest.raises(TrainingError, match="no finished run"):
        read_compared_run(tmp_path / "nothing")
    single = run_folder(tmp_path / "e", A)
    (single / "result.json").write_text(
        json.dumps({"name": "e", "steps": 1, "best": {}, "scores": [], "counts": {}}), encoding="utf-8"
    )
    with pytest.raises(TrainingError, match="a run of one task"):
        read_compared_run(single)


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    folders = [str(run_folder(tmp_path / name, values)) for name, values in (("a", A), ("b", B))]
    out = tmp_path / "docs" / "table.md"
    with pytest.raises(SystemExit) as ended:
        main(["compare", *folders, "--name", "manual", "--name", "soft", "--output", str(out)])
    assert ended.value.code == 0
    text = out.read_text(encoding="utf-8")
    assert "| soft | 29.00 | 30.00 | 21.00 | 20 | 8 |" in text and "| soft | manual | +4.00 | 3 | 1 |" in text
    assert "vocabulary: 4 records" in text and "--metric p_at_1 --name manual --name soft" in text
    kept = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert kept["soft"]["p_at_1"]["P3"] == 50.0
    with pytest.raises(SystemExit) as ended:
        main(["compare", *folders, "--name", "x", "--name", "x"])
    assert ended.value.code == 2 and "names that differ" in capsys.readouterr().err
