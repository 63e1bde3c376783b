"""softprompt evaluate: score a prompt, or a baseline without it."""

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.options import Overrides

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.config import RunSettings
    from softprompt.data import AnyRecord
    from softprompt.prompts import Prompt
    from softprompt.tasks import Task
    from softprompt.training import Processes

EXAMPLES = (
    ("Example, after training that recipe", "softprompt evaluate runs/e2e-lowdata-prefix"),
    (
        "A baseline",
        "softprompt evaluate --recipe recipes/e2e-lowdata-prefix.yaml --demonstrations 5 --limit 8",
    ),
    ("Scores that all runs of a study lack", "softprompt evaluate runs/prefix-e2e --rescore"),
)


class Split(StrEnum):
    """The sets that have references to score against."""

    test = "test"
    dev = "dev"


def evaluate(
    target: Annotated[
        Path | None,
        typer.Argument(help="A run folder, or a prompt folder (with --recipe).", show_default=False),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="The recipe that names the data.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    split: Annotated[Split, typer.Option(help="Which records.")] = Split.test,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only N records, evenly spaced.", show_default=False)
    ] = None,
    no_prompt: Annotated[bool, typer.Option("--no-prompt", help="Measure the untouched backbone.")] = False,
    demonstrations: Annotated[
        int | None,
        typer.Option(min=1, help="Measure the backbone with K examples in its context.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; the run folder if not given.", show_default=False),
    ] = None,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore",
            help="Decode nothing; add the scores that a finished run lacks, or those of a study's folder.",
        ),
    ] = False,
) -> None:
    """Decode a set, print its scores, and keep them with the outputs.

    METEOR, and the tokenizer before ROUGE-L and CIDEr, need Java. A run on a machine without it has the
    other scores and a note; where Java is, --rescore adds the rest from the texts that the run kept.
    """
    from rich.console import Console

    from softprompt.cli.places import locate
    from softprompt.cli.tables import print_scores
    from softprompt.errors import ConfigError
    from softprompt.training import Processes, RunProgress, generate_and_score

    if rescore:
        others = {"--recipe": recipe, "--set": overrides, "--limit": limit, "--no-prompt": no_prompt}
        others |= {"--demonstrations": demonstrations, "--output": output, "--split": split != Split.test}
        beside = [name for name, given in others.items() if given]
        if target is None or beside:
            got = f"options of a new decoding ({', '.join(beside)})" if beside else "no folder"
            raise ConfigError("--rescore", got, "the folder of a finished run, or of a study, alone")
        add_scores(target)
        return
    if no_prompt and demonstrations is not None:
        raise ConfigError(
            "--no-prompt", "both --no-prompt and --demonstrations", "one of the two", "leave one out"
        )
    baseline = no_prompt or demonstrations is not None
    place = locate(target, recipe, overrides or [], needs_prompt=not baseline)
    console, settings = Console(), place.settings
    processes = Processes(settings.backbone.device)
    _check_baseline(settings, baseline)
    records, train, fingerprint = records_of(settings, split.value, limit)
    backbone, task = _frozen(settings, processes, place.prompt, records, train)
    n_records = len(records)
    records = task.usable(records)
    if not records:
        got = f"{n_records} records, none of them with an answer in the vocabulary"
        raise ConfigError(
            f"data.{split.value}",
            got,
            "at least one record with such an answer",
            "allow more words with task.vocabulary",
        )
    train = task.usable(train)
    task.check(records)
    prompt = _system(backbone, task, place.prompt, demonstrations, train, settings)

    task.check_positions(records, prompt.card.n_positions if prompt is not None else 0, training=False)
    started = time.perf_counter()
    with RunProgress(console if processes.is_main else None) as progress:
        n_mine = len(range(processes.rank, len(records), processes.count))
        with progress.counter("decoding", n_mine) as counter:
            scored = generate_and_score(
                backbone,
                task,
                prompt,
                records,
                settings.metrics,
                processes,
                settings.training.seed,
                counter.add,
            )
    if not processes.is_main:
        return
    kind = "no-prompt" if no_prompt else f"demonstrations-{demonstrations}" if demonstrations else None
    name = "-".join(part for part in (split.value, kind) if part)
    title = f"{settings.name}: {name}, {len(records)} records"
    print_scores(console, title, scored.rows, settings.metrics)
    if n_records > len(records):
        n = n_records - len(records)
        console.print(f"note: {n} records are left out, their answer is outside the vocabulary")
    if task.n_cut:
        console.print(f"note: {task.n_cut} texts were too long for the task's settings and cut")
    facts = {
        "split": split.value,
        "system": kind or "prompt",
        "records": len(records),
        "left_out_records": n_records - len(records),
        "scores": scored.rows,
        "cut_texts": task.n_cut,
        "seconds": round(time.perf_counter() - started, 2),
        "decoding": settings.decoding.model_dump(mode="json"),
        "backbone": backbone.card.model_dump(),
        "data_fingerprint": fingerprint,
    }
    folder = output or place.output
    artefacts = task.artefacts(records, scored.outputs)
    _write(folder, name, facts, records, scored.outputs, artefacts)
    console.print(
        f"kept in {folder / f'evaluation-{name}.json'}", highlight=False, markup=False, soft_wrap=True
    )


def add_scores(folder: Path) -> None:
    """Add the scores that finished runs lack, from the texts they kept, and say for each what was added.

    Args:
        folder: of a run, or of a study.
    """
    from rich.console import Console

    from softprompt.training import rescore, runs_in

    console = Console()
    for run in runs_in(folder):
        gained = rescore(run)
        text = f"added {', '.join(gained)}" if gained else "nothing to add"
        console.print(f"{run.as_posix()}: {text}", markup=False, highlight=False, soft_wrap=True)


def records_of(
    settings: "RunSettings", split: str, limit: int | None
) -> tuple[list["AnyRecord"], list["AnyRecord"], str]:
    """The records to score, the training pairs, and the fingerprint of both.

    Args:
        limit: how many to take, evenly from the whole set (whole questions where records are scored
            together); None takes all.
    """
    from softprompt.data import FORMATS, load
    from softprompt.errors import ConfigError

    splits = load(settings.data)
    records: list[AnyRecord] = getattr(splits, split)
    if not records:
        raise ConfigError(f"data.{split}", "no records", "records to score", f"name a file in data.{split}")
    if limit is None or limit >= len(records):
        return records, splits.train, splits.fingerprint
    if FORMATS[settings.data.format].grouped:
        return _whole_questions(records, limit), splits.train, splits.fingerprint
    return _evenly(records, limit), splits.train, splits.fingerprint


def _evenly(things: list[Any], n: int) -> list[Any]:
    # Since files are sorted: the first records of WebNLG's test set are all of seen categories.
    return [things[i * len(things) // n] for i in range(n)]


def _whole_questions(records: list[Any], limit: int) -> list[Any]:
    """As many questions as fit into `limit` records, each with all of its records."""
    from softprompt.errors import ConfigError

    questions: dict[str, list[Any]] = {}
    for record in records:
        questions.setdefault(record.tags["question"], []).append(record)
    for n in range(len(questions), 0, -1):
        taken = [record for question in _evenly(list(questions), n) for record in questions[question]]
        if len(taken) <= limit:
            return taken
    n_first = len(next(iter(questions.values())))
    raise ConfigError(
        "--limit", limit, f"at least {n_first}, since records of one question are scored together", "raise it"
    )


def _check_baseline(settings: "RunSettings", baseline: bool) -> None:
    """Raises ConfigError where the untouched backbone has no way to answer."""
    from softprompt.errors import ConfigError

    if baseline and settings.task.has_head:
        raise ConfigError(
            "--no-prompt, --demonstrations",
            f"one of the two for task '{settings.task.name}', whose answer a trained head gives",
            "a prompt with its head",
            "train the baseline instead: --set method.name=head_only",
        )


def _frozen(
    settings: "RunSettings",
    processes: "Processes",
    prompt: Path | None,
    records: list["AnyRecord"],
    train: list["AnyRecord"],
) -> tuple["Backbone", "Task"]:
    from softprompt.config import BLANKS
    from softprompt.data import FORMATS
    from softprompt.files import read_card
    from softprompt.tasks import build_task, labels_of
    from softprompt.training import load_frozen, with_template

    # The labels, and their order, are those of the head; others in the settings are refused below.
    head = None if prompt is None else read_card(prompt).head
    # What several processes have trained with, one can ask too, if it has room for the whole.
    backbone = load_frozen(
        settings.backbone, processes.device, settings.backbone.shard and processes.count > 1
    )
    form = FORMATS[settings.data.format]
    if settings.task.name in BLANKS:
        labels = labels_of(settings.task, form.labels, train or records)
        settings = with_template(settings, [*train, *records], backbone)
    else:
        labels = getattr(settings.task, "labels", None) or (head.labels if head is not None else ())
    return backbone, build_task(backbone, settings.task, settings.decoding, labels, form.fields)


def _system(
    backbone: "Backbone",
    task: "Task",
    folder: Path | None,
    n_demonstrations: int | None,
    train: list["AnyRecord"],
    settings: "RunSettings",
) -> "Prompt | None":
    """What the backbone works under: the prompt, the examples, or nothing."""
    from softprompt.errors import ConfigError
    from softprompt.prompts import load_prompt, prefix_tuning
    from softprompt.tasks import ClozeTask, HeadTask

    if folder is not None:
        prompt = load_prompt(folder, backbone).to(backbone.device)
        if isinstance(task, HeadTask | ClozeTask):
            task.check_head(prompt)
        elif prompt.head is not None:
            raise ConfigError(
                "task.name",
                f"'{settings.task.name}' for {folder}, a prompt with a {prompt.head.card.kind} head",
                "the task it was trained for",
                "name that task's recipe",
            )
        return prompt
    if n_demonstrations is None:
        return None
    if backbone.spec.is_encoder_decoder:
        raise ConfigError(
            "--demonstrations", f"{backbone.spec.name}, an encoder-decoder", "a decoder", "use --no-prompt"
        )
    # The examples' own keys and values are what the backbone would compute, once instead of per record.
    examples = task.demonstrations(train, n_demonstrations, settings.training.seed)
    initialization = f"examples:{n_demonstrations}"
    prefix = prefix_tuning(
        backbone, reparameterization=None, initialization=initialization, examples=examples
    )
    return prefix.to(backbone.device)


def _write(
    folder: Path,
    name: str,
    facts: dict[str, object],
    records: list["AnyRecord"],
    outputs: list[Any],
    artefacts: Mapping[str, str | bytes],
) -> None:
    from softprompt.files import write_atomically, writing
    from softprompt.training import output_line, versions

    lines = [
        json.dumps({**output_line(record, output), "tags": dict(record.tags)}, ensure_ascii=False)
        for record, output in zip(records, outputs, strict=True)
    ]
    with writing(folder, "the table above is all there is"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"outputs-{name}.jsonl", "".join(f"{line}\n" for line in lines))
        text = json.dumps({**facts, "versions": versions()}, indent=1)
        for file, content in artefacts.items():
            write_atomically(folder / f"{Path(file).stem}-{name}{Path(file).suffix}", content)
        write_atomically(folder / f"evaluation-{name}.json", text + "\n")
