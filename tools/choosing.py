"""Write the tables of docs/choosing.md: the methods' defaults from the code, and what was measured by
`benchmarks/defaults.py`.

    python tools/choosing.py
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.prompts import METHODS, TrainingDefaults

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, RESULTS = DOCS / "choosing.md", DOCS / "results" / "defaults.json"
_BEGIN, _END = "<!-- {}: written by tools/choosing.py -->", "<!-- end of {} -->"

Row = Mapping[str, Any]


def defaults() -> str:
    """How every method of this package is trained where a recipe does not say, and where it begins."""
    lines = [
        "| method | with | learning rate | of the head | schedule | warm-up | begins at | length |",
        "|---" * 8 + "|",
    ]
    for name in METHODS:
        method = METHODS[name]
        if METHODS.package(name) is not None or not method.training:
            continue
        fields = method.settings.model_fields
        start = fields["initialization"].default if "initialization" in fields else None
        length = _length(method.options["length"].text or "") if "length" in method.options else "–"
        for variant in method.training:
            words = [name, _when(variant), f"{variant.learning_rate:g}"]
            words += ["–" if variant.head_learning_rate is None else f"{variant.head_learning_rate:g}"]
            words += [variant.schedule, f"{variant.warmup:.0%}", str(start or "–"), length]
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def _length(text: str) -> str:
    """The first number of an option's text, which is its default."""
    return next((word for word in text.replace(",", " ").split() if word.isdigit()), "–")


def _when(variant: TrainingDefaults) -> str:
    said = {"head": "a head", "mlp": "the MLP"}
    words = []
    for name, value in variant.when.items():
        if name == "head":
            words.append(said["head"])
        elif name == "reparameterization":
            words.append(said["mlp"])
        else:
            words.append(f"{name} {' or '.join(value) if isinstance(value, tuple) else value}")
    return ", ".join(words) or "anything else"


def measured(rows: Sequence[Row]) -> str:
    """Scores on test records by method and set, each by the method's own defaults; means over seeds."""
    columns = _columns(rows)
    lines = ["| method |" + "".join(f" {data}, {backbone} |" for data, backbone in columns)]
    lines.append("|---" * (1 + len(columns)) + "|")
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [_cell([row for row in _of(rows, pair) if row["method"] == method]) for pair in columns]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rates(rows: Sequence[Row]) -> str:
    """Scores on development records by method and rates."""
    columns = _columns(rows)
    lines = ["| method | rate / head / warm-up |" + "".join(f" {d}, {b} |" for d, b in columns)]
    lines.append("|---" * (2 + len(columns)) + "|")
    for method in dict.fromkeys(row["method"] for row in rows):
        for rate in dict.fromkeys(row["rate"] for row in rows if row["method"] == method):
            found = [row for row in rows if (row["method"], row["rate"]) == (method, rate)]
            cells = [_cell(_of(found, pair)) for pair in columns]
            lines.append(f"| {method} | {rate} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def first_steps(rows: Sequence[Row]) -> str:
    """Losses of the first steps by method and set: first step, mean of the last eight, highest."""
    columns = _columns(rows)
    lines = ["| method |" + "".join(f" {data}, {backbone} |" for data, backbone in columns)]
    lines.append("|---" * (1 + len(columns)) + "|")
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for pair in columns:
            found = [row for row in _of(rows, pair) if row["method"] == method]
            losses = [row["loss"] for row in found if "loss" in row]
            said = [f"{first:.2f} → {last:.2f} ({most:.2f})" for first, most, last in losses]
            cells.append(", ".join(said) or ("stopped" if found else "–"))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["set"], row["backbone"]) for row in rows))


def _of(rows: Sequence[Row], pair: tuple[str, str]) -> list[Row]:
    return [row for row in rows if (row["set"], row["backbone"]) == pair]


def _cell(rows: Sequence[Row]) -> str:
    scores = [row["score"] for row in rows if "score" in row]
    if not scores:
        return "stopped" if rows else "–"
    return f"{statistics.mean(scores):.{3 if rows[0]['set'] == 'e2e' else 1}f}"


def written(page: str, results: Mapping[str, Any]) -> str:
    """The page with its tables made anew."""
    rows = results["rows"]
    tables = {
        "defaults": defaults(),
        "table": measured([row for row in rows if row["what"] == "table"]),
        "rates": rates([row for row in rows if row["what"] == "rates"]),
        "steps": first_steps([row for row in rows if row["what"] == "steps"]),
        "head": first_steps([row for row in rows if row["what"] == "head"]),
    }
    for name, body in tables.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{body}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    content = written(PAGE.read_text(encoding="utf-8"), json.loads(RESULTS.read_text(encoding="utf-8")))
    PAGE.write_text(content, encoding="utf-8", newline="\n")
