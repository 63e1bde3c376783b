"""Runs every causal model of transformers tiny under prompts, and writes what came of it.

    python tools/zoo.py [--jobs N] [FAMILY ...]

Writes tests/zoo/causal.json and its table in docs/families.md. Takes some minutes. The exit status is 1 if a
family gives something wrong, or an error that is not softprompt's own; such a family keeps its row.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

KEPT = ROOT / "tests" / "zoo" / "causal.json"
PAGE = ROOT / "docs" / "families.md"
BEGIN, END = "<!-- causal models -->", "<!-- end of causal models -->"


def run(family: str) -> dict[str, Any] | str:
    """The outcome of a family; a text where it is wrong or a foreign error."""
    from zoo.outcomes import outcome

    try:
        return asdict(outcome(family))
    except Exception as error:
        return f"{family}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def quiet() -> None:
    """One thread for each process, and none of the warnings of models that nobody would use so small."""
    import logging
    import warnings

    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)


def table(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows as Markdown, with counts."""
    built = {family: row for family, row in kept.items() if not row["not_built"]}
    methods = list(next(iter(built.values()))["methods"])
    lines = []
    for method in methods:
        counts = Counter(row["methods"][method].partition(":")[0] for row in built.values())
        told = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
        lines.append(f"- **{method}**: {told}")
    lines += [f"- not built tiny: {len(kept) - len(built)} of {len(kept)}", ""]
    lines.append(f"| family | {' | '.join(methods)} | by itself |")
    lines.append("|---|" + "---|" * (len(methods) + 1))
    for family, row in kept.items():
        cells = [row["methods"].get(method, "not built") for method in methods]
        remark = row["not_built"] or "; ".join(row["notes"])
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in (family, *cells, remark)) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run, write, and tell what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", nargs="*", help="model types; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args()
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    from zoo.outcomes import CAUSAL

    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    wrong = []
    with ProcessPoolExecutor(given.jobs, get_context("spawn"), quiet) as pool:
        families = given.family or list(CAUSAL)
        console = Console(stderr=True)
        outcomes = track(pool.map(run, families), "families", len(families), console=console)
        for family, came in zip(families, outcomes, strict=True):
            if isinstance(came, str):
                wrong.append(came)
            else:
                kept[family] = {key: came[key] for key in ("model", "not_built", "methods", "notes")}
    kept = {family: kept[family] for family in CAUSAL if family in kept}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(kept)}\n{END}{after}", encoding="utf-8")
    print("\n".join(wrong) or f"{len(families)} families, nothing wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
