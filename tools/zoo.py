"""Runs every model of transformers that can be built tiny under prompts, and writes what came of it.

    python tools/zoo.py [--kind KIND] [--jobs N] [FAMILY ...]

Writes tests/zoo/kept/KIND.json and the kind's table in docs/families.md. Takes some minutes. The exit status
is 1 if a family gives something wrong, or an error that is not softprompt's own; such a family keeps its row.
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

KEPT = ROOT / "tests" / "zoo" / "kept"
PAGE = ROOT / "docs" / "families.md"


def run(kind: str, family: str) -> dict[str, Any] | str:
    """The outcome of a family; a text where it is wrong or a foreign error."""
    from zoo.kinds import KINDS
    from zoo.outcomes import outcome

    try:
        return asdict(outcome(KINDS[kind], family))
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


def table(kept: Mapping[str, Mapping[str, Any]], methods: tuple[str, ...]) -> str:
    """The rows as Markdown, with counts."""
    built = {family: row for family, row in kept.items() if not row["not_built"]}
    lines = []
    for method in methods:
        counts = Counter(row["methods"].get(method, "not run").partition(":")[0] for row in built.values())
        told = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
        lines.append(f"- **{method}**: {told}")
    lines += [f"- not built tiny: {len(kept) - len(built)} of {len(kept)}", ""]
    lines.append(f"| family | {' | '.join(methods)} | by itself |")
    lines.append("|---|" + "---|" * (len(methods) + 1))
    for family, row in kept.items():
        missing = "not built" if row["not_built"] else "not run"
        cells = [row["methods"].get(method, missing) for method in methods]
        remark = row["not_built"] or "; ".join(row["notes"])
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in (family, *cells, remark)) + " |")
    return "\n".join(lines)


def run_kind(kind: str, families: list[str], jobs: int) -> list[str]:
    """Runs families of a kind, keeps what came of them, and gives what is wrong."""
    from zoo.kinds import KINDS

    path = KEPT / f"{kind}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    wrong = []
    with ProcessPoolExecutor(jobs, get_context("spawn"), quiet) as pool:
        outcomes = pool.map(run, [kind] * len(families), families)
        shown = track(outcomes, kind, len(families), console=Console(stderr=True))
        for family, came in zip(families, shown, strict=True):
            if isinstance(came, str):
                wrong.append(came)
            else:
                kept[family] = {key: came[key] for key in ("model", "not_built", "methods", "notes")}
    kept = {family: kept[family] for family in KINDS[kind].classes if family in kept}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- zoo: {kind} -->", f"<!-- end of zoo: {kind} -->"
    before, after = page.partition(begin)[0], page.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n{table(kept, KINDS[kind].methods)}\n{end}{after}", encoding="utf-8")
    return wrong


def main() -> int:
    """Run, write, and tell what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", nargs="*", help="model types; all of the kind by default")
    parser.add_argument("--kind", help="causal, masked, …; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args()
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    from zoo.kinds import KINDS

    count, wrong = 0, []
    for kind in [given.kind] if given.kind else KINDS:
        families = given.family or list(KINDS[kind].classes)
        count += len(families)
        wrong += run_kind(kind, families, given.jobs)
    print("\n".join(wrong) or f"{count} families, nothing wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
