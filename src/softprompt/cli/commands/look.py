"""softprompt look: pictures of a vision transformer's attention and features under prompts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.options import Overrides
from softprompt.errors import counted

if TYPE_CHECKING:
    from softprompt.cli.places import Place
    from softprompt.studies import View

EXAMPLES = (
    ("Example, after training recipes/cifar10-vpt-deep.yaml", "softprompt look runs/cifar10-vpt-deep"),
    ("Several runs side by side", "softprompt look runs/cifar10-linear runs/cifar10-vpt-deep --output look"),
)


def look(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs on one backbone and data set.", show_default=False)
    ],
    pictures: Annotated[
        int,
        typer.Option(min=1, help="How many pictures to draw with their attention, spread over the classes."),
    ] = 6,
    per_class: Annotated[
        int, typer.Option(min=1, help="How many test pictures of each class to draw by their features.")
    ] = 50,
    layer: Annotated[int, typer.Option(help="Layer whose attention is drawn; -1 is the last.")] = -1,
    seed: Annotated[int, typer.Option(help="Seed of t-SNE.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the pictures; by default, for a single run, `look` in its folder.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Draw the class token's attention and t-SNE of features, without a prompt and under that of each run."""
    import torch

    from softprompt.cli import places
    from softprompt.cli.records import records_of
    from softprompt.errors import ConfigError
    from softprompt.files import json_text, without_folders, write_atomically, writing
    from softprompt.plotting import draw_attention, draw_features
    from softprompt.prompts import load_prompt
    from softprompt.studies import (
        NEIGHBOURS,
        balanced_pictures,
        embed_features,
        neighbours_alike,
        spread_over,
        view_pictures,
    )
    from softprompt.tasks import build_task
    from softprompt.terminal import Terminal, print_line
    from softprompt.training import load_frozen, versions

    found = [places.locate(run, None, overrides or [], needs_prompt=True) for run in runs]
    folder = _folder(found, output)
    settings = found[0].settings
    if settings.task.name != "image_classification":
        raise ConfigError("look", f"a run of task '{settings.task.name}'", "runs on pictures")
    records, _, fingerprint = records_of(settings, "test", None)
    chosen = balanced_pictures(records, per_class)
    if len(chosen) <= NEIGHBOURS:
        raise ConfigError(
            "--per-class", counted(len(chosen), "picture"), f"more than {NEIGHBOURS}", "raise it"
        )
    backbone = load_frozen(settings.backbone, settings.backbone.device)
    names = ["no prompt", *(place.settings.name for place in found)]
    prompts = [load_prompt(str(place.prompt), backbone).to(backbone.device) for place in found]
    task: Any = build_task(backbone, settings.task, settings.decoding, _labels(prompts[0]))
    task.check(chosen)
    raw = torch.stack([task.encode(record).take(False) for record in chosen])
    pixels = backbone.pixels.scaled(raw)
    shown = spread_over(chosen, pictures)
    order = torch.tensor(shown + [i for i in range(len(chosen)) if i not in set(shown)])
    labels = [str(chosen[i].label) for i in order.tolist()]
    views = [
        view_pictures(
            backbone, prompt, name, pixels[order], shown=len(shown), layer=layer,
            batch_size=settings.decoding.batch_size,
        )
        for name, prompt in zip(names, [None, *prompts], strict=True)
    ]  # fmt: skip
    alike = [neighbours_alike(one.features, labels) for one in views]
    planes = [embed_features(one.features, seed) for one in views]
    files: dict[str, str | bytes] = {"features.png": draw_features(planes, labels, names, alike)}
    if views[0].patches is not None:
        pictures_of = raw[order[: len(shown)]].numpy()
        files["attention.png"] = draw_attention(pictures_of, labels, [one.attention for one in views])
    told = [_facts(one, share) for one, share in zip(views, alike, strict=True)]
    facts = {
        "layer": layer,
        "seed": seed,
        "pictures": len(chosen),
        "shown": [chosen[i].source for i in shown],
        "views": told,
        "backbone": backbone.card.model_dump(),
        "data_fingerprint": fingerprint,
        "versions": versions(),
    }
    files["look.json"] = json_text(without_folders(facts))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
    console = Terminal()
    for one in told:
        share = one["attention_on_prompt"]
        drawn = "" if share is None else f", {share:.1f}% of the class token's attention on the prompt"
        print_line(
            console,
            f"{one['name']}: {one['neighbours_alike']:.1f}% of the nearest pictures of one class{drawn}",
        )
    if views[0].patches is None:
        console.print("note: no attention.png, the backbone has no class token")
    print_line(console, f"kept in {folder}")


def _folder(found: "list[Place]", output: Path | None) -> Path:
    """The folder for the pictures; raises ConfigError for runs that cannot be compared."""
    from softprompt.errors import ConfigError

    names = [place.settings.name for place in found]
    if len(set(names)) < len(names):
        raise ConfigError("look", "two runs of the same name", "names that differ")
    first = found[0].settings
    for place in found[1:]:
        for what in ("backbone", "data", "task"):
            mine, theirs = getattr(place.settings, what), getattr(first, what)
            alike = _compared(what, mine) == _compared(what, theirs)
            if not alike:
                raise ConfigError(
                    "look", f"{names[0]} and {place.settings.name} with different {what} settings",
                    "runs on one backbone and the same pictures", "look at each run alone",
                )  # fmt: skip
    if output is not None:
        return output
    if len(found) > 1:
        raise ConfigError(
            "--output", "no folder for the pages of several runs", "a folder", "give --output FOLDER"
        )
    return found[0].output / "look"


def _compared(what: str, settings: Any) -> Any:
    """The settings that decide which pictures are read, and how."""
    if what == "data":
        return settings.format, settings.test
    if what == "task":
        return settings.name, settings.resize, settings.augment and "crop" in settings.augment
    return settings.name, settings.image_size, settings.dtype


def _labels(prompt: Any) -> tuple[str, ...]:
    return () if prompt.head is None else prompt.head.card.labels


def _facts(view: "View", alike: float) -> dict[str, Any]:
    share = view.on_prompt
    return {
        "name": view.name,
        "neighbours_alike": round(alike, 2),
        "attention_on_prompt": None if share is None else round(100 * float(share.mean()), 2),
    }
