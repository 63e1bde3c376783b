"""softprompt evaluate: score a prompt, or a baseline without it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softprompt.cli.options import Overrides
from softprompt.errors import counted

if TYPE_CHECKING:
    from softprompt.data import AnyRecord
    from softprompt.tasks import Outcome, Task

EXAMPLES = (
    ("Example, after training that recipe", "softprompt evaluate runs/e2e-lowdata-prefix"),
    (
        "A baseline",
        "softprompt evaluate --recipe recipes/e2e-lowdata-prefix.yaml --demonstrations 5 --limit 8",
    ),
    ("Missing scores of all runs of a study", "softprompt evaluate runs/prefix-e2e --rescore"),
)


def evaluate(
    target: Annotated[
        Path | None,
        typer.Argument(help="A run folder, or a prompt folder (with --recipe).", show_default=False),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="The recipe that names the data.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    split: Annotated[Literal["test", "dev"], typer.Option(help="Set of records to measure.")] = "test",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Measure only so many records, evenly spaced.", show_default=False),
    ] = None,
    no_prompt: Annotated[bool, typer.Option("--no-prompt", help="Measure the backbone alone.")] = False,
    demonstrations: Annotated[
        int | None,
        typer.Option(
            min=1, help="Measure the backbone with so many examples in its context.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; the run folder if not given.", show_default=False),
    ] = None,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore",
            help="Decode nothing; add the missing scores of a finished run, or of every run of a study.",
        ),
    ] = False,
) -> None:
    """Decode a set, print its scores, and write scores and outputs to the folder.

    METEOR, and the tokenizer for ROUGE-L and CIDEr, need Java. A run without Java has the other scores and a
    note; on a machine with Java, --rescore adds the missing scores from the texts that the run kept.
    """
    from softprompt.cli.places import locate
    from softprompt.cli.records import records_of
    from softprompt.cli.systems import check_baseline, load_system, load_task
    from softprompt.cli.tables import print_scores
    from softprompt.errors import ConfigError
    from softprompt.terminal import Terminal, print_line
    from softprompt.training import Processes, RunProgress, generate_and_score

    if rescore:
        others = {"--recipe": recipe, "--set": overrides, "--limit": limit, "--no-prompt": no_prompt}
        others |= {"--demonstrations": demonstrations, "--output": output, "--split": split != "test"}
        extra = [name for name, given in others.items() if given]
        if target is None or extra:
            got = f"options of a new decoding ({', '.join(extra)})" if extra else "no folder"
            raise ConfigError("--rescore", got, "the folder of a finished run, or of a study, alone")
        add_scores(target)
        return
    if no_prompt and demonstrations is not None:
        raise ConfigError(
            "--no-prompt", "both --no-prompt and --demonstrations", "one of the two", "leave one out"
        )
    baseline = no_prompt or demonstrations is not None
    place = locate(target, recipe, overrides or [], needs_prompt=not baseline)
    console, settings = Terminal(), place.settings
    processes = Processes(settings.backbone.device)
    if baseline:
        check_baseline(settings)
    records, train, fingerprint = records_of(settings, split, limit)
    backbone, task = load_task(settings, processes, place.prompt, records, train)
    n_records, records, train = len(records), _usable(task, split, records), task.usable(train)
    task.check(records)
    prompt = load_system(backbone, task, place.prompt, demonstrations, train, settings)
    task.check_positions(records, prompt.card.n_positions if prompt is not None else 0, training=False)
    started = time.perf_counter()
    with RunProgress(console if processes.is_main else None) as progress:
        n_mine = len(range(processes.rank, len(records), processes.count))
        with progress.counter("decoding", n_mine) as counter:
            scored = generate_and_score(
                backbone, task, prompt, records, settings.metrics, processes, settings.training.seed,
                counter.add,
            )  # fmt: skip
    if not processes.is_main:
        return
    kind = "no-prompt" if no_prompt else f"demonstrations-{demonstrations}" if demonstrations else None
    name = f"{split}-{kind}" if kind else split
    title = f"{settings.name}: {name}, {counted(len(records), 'record')}"
    print_scores(console, title, scored.rows, settings.metrics)
    if n_records > len(records):
        n = n_records - len(records)
        was = "record is left out, since its" if n == 1 else "records are left out, since their"
        print_line(console, f"note: {n:,} {was} answer is outside the vocabulary")
    for note in filter(None, (task.cut_note, scored.note)):
        print_line(console, f"note: {note}")
    facts = {
        "split": split,
        "system": kind or "prompt",
        "records": len(records),
        "left_out_records": n_records - len(records),
        "scores": scored.rows,
        "cut_texts": task.n_cut,
        "cut_answers": scored.n_cut,
        "seconds": round(time.perf_counter() - started, 2),
        "decoding": task.decoding.model_dump(mode="json"),
        "backbone": backbone.card.model_dump(),
        "data_fingerprint": fingerprint,
    }
    folder = output or place.output
    _write(folder, name, facts, records, scored.outcomes, task.files(records, scored.outcomes))
    print_line(console, f"kept in {folder / f'evaluation-{name}.json'}")


def _usable(task: "Task", split: str, records: "list[AnyRecord]") -> "list[AnyRecord]":
    from softprompt.errors import ConfigError

    usable = task.usable(records)
    if not usable:
        raise ConfigError(
            f"data.{split}",
            f"{counted(len(records), 'record')}, none of them with an answer in the vocabulary",
            "at least one record with such an answer",
            "allow more words with task.vocabulary",
        )
    return usable


def add_scores(folder: Path) -> None:
    """Add the missing scores of finished runs from their texts, and print what was added to each.

    Args:
        folder: of a run, or of a study.
    """
    from softprompt.terminal import Terminal, print_line
    from softprompt.training import rescore, runs_in

    console = Terminal()
    for run in runs_in(folder):
        gained = rescore(run)
        text = f"added {', '.join(gained)}" if gained else "nothing to add"
        print_line(console, f"{run.as_posix()}: {text}")


def _write(
    folder: Path,
    name: str,
    facts: dict[str, object],
    records: list["AnyRecord"],
    outcomes: "list[Outcome]",
    artefacts: Mapping[str, str | bytes],
) -> None:
    from softprompt.files import json_line, json_text, without_folders, write_atomically, writing
    from softprompt.training import output_line, versions

    lines = [
        json_line({**output_line(record, outcome), "tags": dict(record.tags)})
        for record, outcome in zip(records, outcomes, strict=True)
    ]
    with writing(folder, "the scores are in the table above alone"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"outputs-{name}.jsonl", "".join(lines))
        text = json_text(without_folders({**facts, "versions": versions()}))
        for file, content in artefacts.items():
            write_atomically(folder / f"{Path(file).stem}-{name}{Path(file).suffix}", content)
        write_atomically(folder / f"evaluation-{name}.json", text)
