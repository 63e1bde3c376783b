"""softprompt demo: train a prefix on synthetic data in a few minutes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from softprompt.backbones import Backbone
    from softprompt.config import RunSettings
    from softprompt.data import AnyRecord

EXAMPLES = (("Example", "softprompt demo"),)

SETTINGS: dict[str, Any] = {
    "name": "demo",
    "backbone": {"name": "smollm2-135m"},
    "method": {"name": "prefix_tuning", "reparameterization": None, "initialization": "examples:2"},
    "data": {"format": "restaurants", "dev_size": 6, "test_size": 16},
    "decoding": {"strategy": "greedy", "max_new_tokens": 60},
    "metrics": ["bleu"],
    "training": {"steps": 36, "batch_size": 8, "learning_rate": 1e-2, "evaluate_every": 12},
}

_SHOWN = 3


def demo(
    output: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
) -> None:
    """Train a prefix on SYNTHETIC restaurants and show what it changes (a few minutes on two cores)."""
    from softprompt.config import parse_run
    from softprompt.terminal import Terminal, echo
    from softprompt.training import train

    console = Terminal()
    raw = {**SETTINGS, "name": _free_name(output), "output": str(output)}
    settings = parse_run(raw, where="demo")
    console.print(
        "The data is SYNTHETIC: restaurants made up by this package, to try it without a download. "
        "Scores on it say nothing about a method.",
        soft_wrap=True,
    )
    backbone = _backbone(settings, console)
    before = _before(settings, backbone, console)
    try:
        result = train(settings, console=console, backbone=backbone, bare=before[1])
    except KeyboardInterrupt:
        echo(
            f"\ninterrupted; unfinished files are in {settings.folder}; start again with: softprompt demo",
            err=True,
        )
        raise typer.Exit(130) from None
    _report(console, result.folder, before, result.scores[-1]["values"]["bleu"])


def _free_name(output: Path) -> str:
    """A free name for the run folder, so that every demo trains."""
    name, n = str(SETTINGS["name"]), 1
    while (output / name).exists():
        n += 1
        name = f"{SETTINGS['name']}-{n}"
    return name


def _backbone(settings: "RunSettings", console: "Console") -> "Backbone":
    """The backbone, fetched if it is missing, and loaded once."""
    from softprompt.backbones import BUNDLED_NAMES, pull_bundled
    from softprompt.training import Processes, load_frozen

    name = settings.backbone.name
    if name in BUNDLED_NAMES:
        pull_bundled(name, progress=lambda message: console.print(f"{name}: {message}", highlight=False))
    return load_frozen(settings.backbone, Processes(settings.backbone.device).device)


def _before(
    settings: "RunSettings", backbone: "Backbone", console: "Console"
) -> "tuple[list[AnyRecord], list[str], float]":
    """The bare backbone's outputs on the test records, and their BLEU."""
    from softprompt.data import load
    from softprompt.tasks import build_task
    from softprompt.training import Processes, RunProgress, generate_and_score

    splits = load(settings.data)
    records = splits.test
    processes = Processes(settings.backbone.device)
    task = build_task(backbone, settings.task, settings.decoding)
    task.settle(splits.train)
    with RunProgress(console) as progress, progress.counter("before training", len(records)) as counter:
        scored = generate_and_score(
            backbone, task, None, records, settings.metrics, processes, progress=counter.add
        )
    return records, scored.outputs, scored.rows[-1]["values"]["bleu"]


def _report(
    console: "Console",
    folder: Path,
    before: "tuple[list[AnyRecord], list[str], float]",
    bleu: float,
) -> None:
    from softprompt.cli.tables import share, size
    from softprompt.files import TENSORS, objects, read_lines, read_prompt
    from softprompt.terminal import print_line

    records, outputs, bleu_before = before
    after = [line["output"] for line in objects(read_lines(folder / "outputs.jsonl"))]
    for i in range(min(_SHOWN, len(records))):
        print_line(console, f"\nsource  {records[i].source}")
        print_line(console, f"before  {' '.join(outputs[i].split())}")
        print_line(console, f"after   {after[i]}")
    n_bytes = (folder / "prompt" / TENSORS).stat().st_size
    tensors, card = read_prompt(folder / "prompt")
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print_line(
        console,
        f"\nBLEU on {len(records)} synthetic test records: {bleu_before:.1f} before, {bleu:.1f} after",
    )
    print_line(
        console,
        f"prompt: {card.length} vectors, {size(n_bytes)}, "
        f"{share(numbers, card.backbone.n_parameters)} of the parameters of {card.backbone.name}",
    )
    print_line(console, f"run folder: {folder}")
    print_line(console, f'try: softprompt generate {folder} "{records[0].source}"')
