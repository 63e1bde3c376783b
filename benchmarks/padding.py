"""How much of what is computed is padding, and what would packing save?

    python benchmarks/padding.py

Encodes training sets as runs do (the bundled backbones' tokenizers), plans their batches as runs do, and
counts the places of all passes: nothing is computed. A pass pads its rows to the longest. The last line is
JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common import BATCH, examples, finish
from frozen import smollm2

from softprompt.backbones import Backbone
from softprompt.config import TrainingSettings, load_run
from softprompt.data import FORMATS, load
from softprompt.tasks import build_task, labels_of
from softprompt.training.loop.schedule import micro_batches_by_tokens, plan
from softprompt.training.setup import load_frozen

RECIPES = Path(__file__).parents[1] / "recipes"
EPOCHS = 5
BUDGETS = (None, 1024, 512, 256)


def of_recipe(name: str, backbones: dict[str, Backbone], *overrides: str) -> list[int]:
    """Tokens of each training example of a recipe."""
    settings = load_run(RECIPES / f"{name}.yaml", list(overrides))
    train = load(settings.data).train
    frozen = settings.backbone.name
    if frozen not in backbones:
        backbones[frozen] = load_frozen(settings.backbone, "cpu")
    form = FORMATS[settings.data.format]
    labels = labels_of(settings.task, form.labels, train)
    task = build_task(backbones[frozen], settings.task, settings.decoding, labels, form.fields)
    return [row for record in train for row in _rows(task.encode(record))]


def _rows(example: object) -> list[int]:
    """Lengths of an example's rows: sentences of several windows are several."""
    rows = getattr(example, "rows", None)
    return [example.length] if rows is None else [len(row.ids) for row in rows]  # type: ignore[attr-defined]


def padded_share(lengths: Sequence[int], by_length: bool, budget: int | None) -> tuple[float, float]:
    """The share of places that hold padding, and passes of a step, over some epochs."""
    settings = TrainingSettings(epochs=EPOCHS, batch_size=BATCH, by_length=by_length)
    places = tokens = steps = passes = 0
    for epoch in range(EPOCHS):
        for batch in plan(lengths, settings, epoch):
            cut = [batch] if budget is None else micro_batches_by_tokens(batch, lengths, budget)
            steps, passes = steps + 1, passes + len(cut)
            tokens += sum(lengths[i] for i in batch)
            places += sum(len(part) * max(lengths[i] for i in part) for part in cut)
    return 1 - tokens / places, passes / steps


def main() -> None:
    """Count, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", action="store_true", help="keep the result in benchmarks/results/")
    save = parser.parse_args().save
    backbones = {"smollm2-135m": smollm2()}
    sets = {
        "E2E, 1,000 pairs": [e.length for e in examples(backbones["smollm2-135m"], 1000)[1]],
        "WebNLG 2017": of_recipe("webnlg-prefix", backbones),
        "WNUT 2017": of_recipe("wnut17-p-tuning-v2", backbones),
        "RTE, 32 pairs": of_recipe("rte-p-tuning-v2", backbones),
        "RTE, the 277 pairs of its validation set": of_recipe(
            "rte-p-tuning-v2", backbones, "data.train=fewglue/RTE/val.jsonl"
        ),
    }
    ways = [(by_length, budget) for by_length in (False, True) for budget in BUDGETS]
    titles = [
        f"{'by length' if by_length else 'shuffled'}{'' if budget is None else f', {budget}'}"
        for by_length, budget in ways
    ]
    print(f"% of places that are padding (passes of a step), batches of {BATCH}, {EPOCHS} epochs")
    print("\t".join(("set", "rows", "tokens a row", *titles)))
    found = {}
    for name, lengths in sets.items():
        shares = [padded_share(lengths, *way) for way in ways]
        cells = [f"{100 * share:.1f} ({passes:.1f})" for share, passes in shares]
        print("\t".join((name, f"{len(lengths):,}", f"{sum(lengths) / len(lengths):.0f}", *cells)))
        found[name] = {
            "rows": len(lengths),
            "mean_tokens": sum(lengths) / len(lengths),
            "padding": {
                title: {"share": share, "passes": passes}
                for title, (share, passes) in zip(titles, shares, strict=True)
            },
        }
    finish("padding", {"batch": BATCH, "epochs": EPOCHS, "found": found}, "bfloat16", save)


if __name__ == "__main__":
    main()
