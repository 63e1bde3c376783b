"""softprompt predict: the answer of a stored prompt to a text, or to pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.options import BackboneName, Overrides, PromptFolder, check_characters

if TYPE_CHECKING:
    from softprompt.config import RunSettings

EXAMPLES = (
    (
        "Example, after training recipes/rte-p-tuning-v2.yaml",
        'softprompt predict runs/rte-p-tuning-v2 "A cat sleeps on the mat." --second "An animal is asleep."',
    ),
    (
        "Tags, after training recipes/wnut17-p-tuning-v2.yaml",
        'softprompt predict runs/wnut17-p-tuning-v2 "we fly to Lisbon tomorrow"',
    ),
    (
        "Pictures, after training recipes/cifar10-vpt-deep.yaml",
        "softprompt predict runs/cifar10-vpt-deep one.jpg two.png",
    ),
)


def predict(
    prompt_folder: PromptFolder,
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="The text (for tags: words with spaces between them; for answers: the question), or picture "
            "files.",
            show_default=False,
        ),
    ],
    second: Annotated[
        str | None,
        typer.Option(help="Second text of a pair; for answers, the context.", show_default=False),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="One of several endings. May be repeated.", show_default=False)
    ] = None,
    backbone: BackboneName = None,
    overrides: Overrides = None,
) -> None:
    """Print a stored prompt's answer to a text or to pictures, from its head or its template's blank."""
    from softprompt.cli import places
    from softprompt.errors import ConfigError, PromptError, kind_of
    from softprompt.files import read_card
    from softprompt.tasks import TASKS
    from softprompt.terminal import echo, echo_answer

    folder = places.prompt_folder(prompt_folder)
    card = read_card(folder)
    name = card.task.get("name")
    if card.head is not None and name is None:
        # A prompt that was made by hand may know its task only by its head.
        name = next(row.name for row in TASKS.rows.values() if card.head.kind in row.settings.head_kinds)
    if name in (None, "generation"):
        raise PromptError(
            str(folder), "a prompt without a head", "a prompt with a head", "use `softprompt generate`"
        )
    told = [] if card.task else [f"task.name={name}"]
    settings = places.stored_settings(folder, card, backbone, [*told, *(overrides or [])])
    if settings.task.name != name:
        of = f"a prompt for {name}" if card.head is None else f"a {card.head.kind} head"
        raise ConfigError("task.name", f"'{settings.task.name}' for {of}", f"'{name}'", "leave it out")
    records = records_of(settings, texts, second, choice)

    from softprompt.tasks import build_task

    frozen, prompt = places.load(folder, settings)
    labels = getattr(settings.task, "labels", None) or (card.head.labels if card.head is not None else ())
    labels = labels or tuple(getattr(settings.task, "verbalizer", None) or ())
    task = build_task(frozen, settings.task, settings.decoding, labels)
    task.check_head(prompt)
    task.check(records, labelled=False)
    task.check_positions(records, card.n_positions, training=False)
    with frozen.prompted(prompt):
        answers = task.predict(records)
    form = TASKS[name].outputs
    for record, answer in zip(records, answers, strict=True):
        with TASKS.naming(name):
            lines = form.lines(record, answer)
        if not isinstance(lines, list):
            where = f"task '{name}': lines of its OutputForm"
            raise ConfigError(where, kind_of(lines), "a list of texts, one for each line")
        for line in lines:
            echo_answer(line)
    if form.empty and not answers[0]:
        echo(f"note: {form.empty}", err=True)
    if task.cut_note:
        echo(f"note: {task.cut_note}", err=True)


def records_of(
    settings: "RunSettings", texts: list[str], second: str | None, choices: list[str] | None
) -> list[Any]:
    """The record that the options describe, of the kind that the task reads; of pictures, one for each file.

    Raises:
        ConfigError: an option that the task does not take, or one that it needs and is not there.
    """
    from softprompt.data import (
        Choices,
        LabelledPicture,
        LabelledText,
        Question,
        Record,
        TaggedWords,
        picture_record,
    )
    from softprompt.errors import ConfigError
    from softprompt.tasks import TASKS

    task = settings.task.name
    kinds = TASKS[task].records
    rows = TASKS.rows.values()
    for option, given, takers in (
        ("--second", second is not None, [row.name for row in rows if row.second]),
        ("--choice", bool(choices), [row.name for row in rows if Choices in row.records]),
    ):
        if given and task not in takers:
            raise ConfigError(
                option, f"the option for task '{task}'", f"task {' or '.join(takers)}", "leave it out"
            )
    if LabelledPicture in kinds:
        return [picture_record(Path(text), text) for text in texts]
    check_characters("TEXT", texts)
    check_characters("--second", [second or ""])
    check_characters("--choice", choices or [])
    if len(texts) > 1:
        got = f"{len(texts)} texts for task '{task}'"
        raise ConfigError("TEXT", got, "one text", "put it into quotation marks")
    text = texts[0]
    if TaggedWords in kinds:
        return [TaggedWords("text", tuple(text.split()))]
    if Choices in kinds and (choices or len(kinds) == 1):
        if not choices or len(choices) < 2:
            raise ConfigError("--choice", f"{len(choices or [])} choices", "at least 2", "repeat the option")
        return [Choices("text", text, tuple(choices))]
    if Question in kinds:
        if second is None:
            raise ConfigError("--second", "no context", "the context that holds the answer")
        return [Question("text", text, second, answered=False)]
    if Record in kinds:
        return [Record("text", text, ())]
    return [LabelledText("text", text, second=second)]
