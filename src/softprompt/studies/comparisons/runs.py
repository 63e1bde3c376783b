"""Finished runs over several tasks against each other, paired by task."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from softprompt.errors import ConfigError, TrainingError, counted
from softprompt.files import json_text, without_folders
from softprompt.markdown import Table, code, plain, table_lines
from softprompt.metrics import METRICS
from softprompt.studies.comparisons.rows import better_first
from softprompt.studies.definition.measures import group_of, higher_is_better, label, scores_of
from softprompt.training import RunFolder

DEVELOPMENT = "development"
"""In place of a test metric: the development score of the best step."""


@dataclass(frozen=True)
class ComparedRun:
    """A finished run over several tasks.

    Args:
        name: for tables.
        parts: the facts of each part, from the run's `result.json`.
        facts: the whole `result.json`.
    """

    name: str
    parts: dict[str, dict[str, Any]]
    facts: dict[str, Any]

    def values(self, metric: str) -> list[float]:
        """The metric of every part in order; `development` is the development score of the best step.

        Raises:
            ConfigError: a part does not have the metric.
        """
        if metric == DEVELOPMENT:
            picked = [facts["best"]["value"] for facts in self.parts.values()]
            if None in picked:
                raise ConfigError("--metric", f"'{metric}' for {self.name}", "a run with development sets")
            return [float(value) for value in picked]
        values = []
        for part, facts in self.parts.items():
            scores = scores_of(facts)
            if metric not in scores:
                known = ", ".join(scores) or "no test set"
                raise ConfigError("--metric", f"'{metric}' for {self.name}, part {part}", known)
            values.append(float(scores[metric]))
        return values

    def count(self, name: str) -> int:
        """A count, summed over the parts."""
        return sum(facts["counts"].get(name, 0) for facts in self.parts.values())

    @property
    def picked_by(self) -> str | None:
        """The metric, or `loss`, that decided the best step of every part; None if they differ."""
        picked = {facts["best"]["metric"] for facts in self.parts.values()}
        values = [facts["best"]["value"] for facts in self.parts.values()]
        return picked.pop() if len(picked) == 1 and None not in values else None

    @property
    def metrics(self) -> list[str]:
        """The metrics that every part has, in the order of tables."""
        of_parts = [scores_of(facts) for facts in self.parts.values()]
        own = [name for scores in of_parts for name in scores if group_of(name) == "all"]
        names = dict.fromkeys([*METRICS, *own])
        return [name for name in names if all(name in scores for scores in of_parts)]


def read_compared_run(folder: Path, name: str | None = None) -> ComparedRun:
    """A finished run over several tasks.

    Raises:
        TrainingError: the run has not ended, or is one of a single task.
    """
    finished = RunFolder(folder).finished() if folder.is_dir() else None
    if finished is None:
        raise TrainingError(
            str(folder), "no finished run", "a run folder with a result", "train the run to its end"
        )
    if "parts" not in finished:
        raise TrainingError(
            str(folder), "a run of one task", "a run over several tasks",
            "compare runs of one task in a study, with wins or paired",
        )  # fmt: skip
    return ComparedRun(name or str(finished["name"]), dict(finished["parts"]), dict(finished))


def check_alike(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs that cannot be paired.

    Raises:
        TrainingError: two runs have different parts or different data.
    """
    first = runs[0]
    for run in runs[1:]:
        if list(run.parts) != list(first.parts):
            other = sorted(set(run.parts) ^ set(first.parts))
            got = f"other parts than {first.name} ({', '.join(other) or 'in another order'})"
            raise TrainingError(run.name, got, "the same parts in the same order")
        for part, facts in run.parts.items():
            if facts["data_fingerprint"] != first.parts[part]["data_fingerprint"]:
                got = f"other records of {part} than {first.name} has"
                raise TrainingError(run.name, got, "the same data, so that records can be paired")


def means_table(runs: Sequence[ComparedRun]) -> Table:
    """A head and a line per run: the mean of each metric over the parts, and the numbers of parameters."""
    metrics = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
    if len({run.picked_by for run in runs}) == 1 and runs[0].picked_by:
        metrics = [*metrics, DEVELOPMENT]
    heads = [_label(runs[0], name) for name in metrics]
    lines = [["", *heads, "trained parameters", "stored parameters"]]
    for run in runs:
        means = [f"{statistics.fmean(run.values(name)):.2f}" for name in metrics]
        counts = [f"{run.count(f'{kind}_parameters'):,}" for kind in ("trained", "stored")]
        lines.append([run.name, *means, *counts])
    return lines


def pairs_table(runs: Sequence[ComparedRun], metric: str) -> Table:
    """A head and a line per pair of runs, the better one first."""
    lines = [["", "against", "mean difference", "better in", "worse in", "paired t-test p", "Wilcoxon p"]]
    if metric == DEVELOPMENT:
        check_picked_alike(runs)
    sign = 1 if higher_is_better(_measured(runs[0], metric)) else -1
    sides = [(run.name, [sign * value for value in run.values(metric)]) for run in runs]
    for (name, ours), (rival, theirs) in combinations(sides, 2):
        p = better_first(name, rival, ours, theirs)
        lines.append(
            [p.row, p.rival, f"{p.difference or 0.0:+.2f}", str(p.n_better), str(p.n_worse), *p.shown]
        )
    return lines


def parts_table(runs: Sequence[ComparedRun], metric: str) -> Table:
    """A head and a line per part: the number of test records, and the metric of every run."""
    lines = [["part", "test records", *(run.name for run in runs)]]
    values = [run.values(metric) for run in runs]
    for i, (part, facts) in enumerate(runs[0].parts.items()):
        n = f"{facts['counts']['test_records']:,}"
        lines.append([part, n, *(f"{one[i]:.2f}" for one in values)])
    return lines


def comparison_markdown(runs: Sequence[ComparedRun], metric: str, command: str) -> str:
    """The three tables, with notes on how they were made."""
    shown = _label(runs[0], metric)
    n, records = len(runs[0].parts), sum(f["counts"]["test_records"] for f in runs[0].parts.values())
    versions = ", ".join(f"{key} {value}" for key, value in runs[0].facts["versions"].items())
    out = runs[0].count("left_out_records")
    left_out = f"Left out everywhere, their answer being outside the vocabulary: {counted(out, 'record')}"
    notes = [
        f"Command: {code(without_folders(command))}",
        f"Test scores, mean over {counted(n, 'part')} with {records:,} test records together",
        *[left_out] * bool(out),
        f"Hardware: {'; '.join(dict.fromkeys(run.facts['hardware'] for run in runs))}",
        f"Versions: {versions}",
    ]
    sections = [
        table_lines(means_table(runs)),
        [f"{plain(shown)}, pairs over the parts (one-sided tests):"],
        table_lines(pairs_table(runs, metric)),
        [f"{plain(shown)} by part:"],
        table_lines(parts_table(runs, metric)),
        [f"- {plain(note)}" for note in notes],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def check_picked_alike(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs whose development scores cannot be compared.

    Raises:
        ConfigError: a run has none, or they are of different metrics.
    """
    picked = {run.name: run.picked_by for run in runs}
    if len(set(picked.values())) > 1 or None in picked.values():
        got = ", ".join(f"{name}: {by or 'none'}" for name, by in picked.items())
        raise ConfigError(
            "--metric",
            f"'{DEVELOPMENT}' of runs that picked by different metrics ({got})",
            "one metric for all runs",
        )


def _measured(run: ComparedRun, metric: str) -> str:
    """The metric itself; for `development` the one that decided the best steps."""
    return metric if metric != DEVELOPMENT else run.picked_by or "value"


def _label(run: ComparedRun, metric: str) -> str:
    of = "development " if metric == DEVELOPMENT else ""
    return of + label(_measured(run, metric), direction=False)


def comparison_json(runs: Sequence[ComparedRun]) -> str:
    """Every metric of every part of every run."""
    values = {
        run.name: {
            metric: dict(zip(run.parts, run.values(metric), strict=True))
            for metric in (*run.metrics, *([DEVELOPMENT] if run.picked_by else []))
        }
        for run in runs
    }
    return json_text(values)
