"""softprompt new: look at data, and write a recipe for a first run on it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.options import Overrides
from softprompt.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from softprompt.starting import Draft

EXAMPLES = (
    ("Example, with a table of your own", "softprompt new reviews.csv"),
    ("Pictures, in a folder for each class", "softprompt new photographs"),
    (
        "Where the columns leave it open",
        "softprompt new rows.csv --task classification --set data.text=body --set data.label=stars",
    ),
)

_SHOWN_LABELS = 6
_WIDEST = 44


def new(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A table (csv, tsv, json, jsonl, parquet, xlsx), tagged words, SQuAD's JSON, a folder of "
            "pictures or of files called train, dev and test, or a data set's name:split.",
            show_default=False,
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            help="What is asked of the data, where it is to be another than is found.", show_default=False
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Name, folder or hub id of the frozen model; a bundled one if not given.", show_default=False
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="What is trained; the first to try if not given.", show_default=False)
    ] = None,
    dev: Annotated[
        Path | None, typer.Option(help="Development set, in a file of its own.", show_default=False)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Test set, in a file of its own.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The recipe; NAME.yaml of the data's name if not given.", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over a recipe that is there.")
    ] = False,
) -> None:
    """Look at data, say what is in it, and write a short recipe for a first run."""
    from softprompt.errors import ConfigError
    from softprompt.files import write_atomically
    from softprompt.starting import draft, hints_as_options, recipe_text
    from softprompt.terminal import Terminal, print_line

    recipe = output or Path(f"{_name(data)}.yaml")
    if recipe.exists() and not overwrite:
        raise ConfigError(
            str(recipe), "a file that is there", "a new file", "add --overwrite, or give --output"
        )
    console = Terminal()
    with hints_as_options():
        made = draft(
            data,
            recipe,
            task=task,
            backbone=backbone,
            method=method,
            dev=dev,
            test=test,
            overrides=overrides or [],
        )
    _show(console, made)
    write_atomically(recipe, recipe_text(made.raw, made.comments, _head(made, recipe)))
    print_line(console, f"\nwrote {recipe}. Next:")
    for words in (["train", recipe], ["report", made.settings.folder], _predicting(made)):
        print_line(console, f"  softprompt {shlex.join(map(str, words))}")


def _predicting(made: "Draft") -> list[Any]:
    """The command that predicts for data of the same kind."""
    run, train = made.settings.folder, made.place.train
    if made.place.kind == "pictures":
        return ["predict", run, "FOLDER"]
    suffix = {"words": ".txt", "questions": ".json"}.get(made.place.kind, ".csv")
    if "messages" in made.choice.roles:
        suffix = ".txt"  # a question on each line
    elif made.place.kind == "table":
        suffix = train.suffix if train.suffix != ".gz" else train.with_suffix("").suffix
    output = suffix if suffix in (".csv", ".tsv", ".jsonl", ".parquet") else ".csv"
    command = "generate" if made.settings.task.writes_text else "predict"
    return [command, run, "--input", f"NEW{suffix}", "--output", f"ANSWERS{output}"]


def _name(data: Path) -> str:
    """The data's own name: of a split of a data set that of the set, of a file its stem."""
    text = data.name.partition(":")[0]
    return text.partition(".")[0] or text


def _head(made: "Draft", recipe: Path) -> list[str]:
    what = {
        "generation": "A text for each source",
        "classification": f"One of {counted(len(made.facts.labels), 'label')} for each text",
        "multi_label_classification": f"Any of {counted(len(made.facts.labels), 'label')} for each text",
        "regression": "A number for each text",
        "tagging": "A tag for each word",
        "spans": "The stretch of a context that answers a question",
        "image_classification": f"One of {len(made.facts.labels)} labels for each picture",
    }[made.choice.task]
    train, dev, test = made.counts
    return [
        f"{what}, from {made.raw['data']['train']}:",
        f"{counted(train, 'record')} to train on, {dev} to choose the best checkpoint by, {test} to test on.",
        f"  softprompt train {recipe.as_posix()}",
    ]


def _show(console: "Console", made: "Draft") -> None:
    from softprompt.terminal import print_line

    facts = made.facts
    if made.table is not None:
        _show_columns(console, made)
    scripts = [f"{script} {share:.0%}" for script, share in list(facts.scripts.items())[:3] if share >= 0.005]
    columns = {role: column for role, column in made.choice.roles.items() if column is not None}
    of = ", ".join(f"{role} '{column}'" for role, column in columns.items())
    print_line(console, f"task: {made.choice.task}" + (f" ({of})" if of else ""))
    print_line(console, f"records: {facts.n}")
    if made.choice.task == "regression":
        numbers = sorted(map(float, facts.labels))
        print_line(console, f"numbers: {numbers[0]:g} to {numbers[-1]:g}, {len(numbers)} different")
    elif facts.labels:
        shown = ", ".join(f"{label} {count}" for label, count in list(facts.labels.items())[:_SHOWN_LABELS])
        more = f" and {len(facts.labels) - _SHOWN_LABELS} more" if len(facts.labels) > _SHOWN_LABELS else ""
        print_line(console, f"labels: {shown}{more}")
    for what, lengths in (("read", facts.sources), ("written", facts.targets)):
        if lengths is not None:
            print_line(
                console,
                f"{made.measured} {what}: median {lengths.middle}, 99% up to {lengths.most}, "
                f"longest {lengths.longest}",
            )
    if scripts:
        print_line(console, f"scripts: {', '.join(scripts)}")
    print_line(console, f"backbone: {made.settings.backbone.name}; method: {made.settings.method.name}")
    for note in made.notes:
        print_line(console, f"note: {note}")


def _show_columns(console: "Console", made: "Draft") -> None:
    from rich.table import Table

    from softprompt.errors import counted
    from softprompt.terminal import print_line

    table = made.table
    assert table is not None
    print_line(
        console,
        f"{table.name}: {counted(len(table.rows), 'row')}, {counted(len(table.columns), 'column')}",
    )
    shown = Table()
    for name in ("column", "holds", "filled", "different", "example"):
        shown.add_column(
            name, justify="right" if name in ("filled", "different") else "left", overflow="fold"
        )
    for column in made.columns:
        example = " ".join(column.example.split())
        example = example if len(example) <= _WIDEST else example[: _WIDEST - 1] + "…"
        shown.add_row(column.name, _HOLDS[column.kind], str(column.filled), str(column.different), example)
    console.print(shown, markup=False, emoji=False)


_HOLDS = {
    "empty": "nothing",
    "number": "numbers",
    "label": "labels",
    "labels": "several labels in a cell",
    "text": "texts",
    "words": "lists of texts",
    "turns": "conversations",
    "answers": "answers",
    "picture": "picture files",
    "other": "lists and objects",
}
