"""softprompt predict: what a stored prompt with a head says of a text, or of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.options import BackboneName, Overrides, PromptFolder

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
            help="The text (for tags: words, spaces between them; for answers: the question), or files of "
            "pictures.",
            show_default=False,
        ),
    ],
    second: Annotated[
        str | None,
        typer.Option(help="Second text of a pair; for answers, the context.", show_default=False),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="One of several endings; repeat it.", show_default=False)
    ] = None,
    backbone: BackboneName = None,
    overrides: Overrides = None,
) -> None:
    """Say what a stored prompt makes of a text, or of pictures: by its head, or in its template's blank."""
    from softprompt.cli import places
    from softprompt.config import BLANKS, TASKS
    from softprompt.errors import ConfigError, PromptError
    from softprompt.files import read_card
    from softprompt.terminal import echo, echo_answer

    folder = places.prompt_folder(prompt_folder)
    card = read_card(folder)
    task_name = card.task.get("name")
    of_blank = isinstance(task_name, str) and task_name in BLANKS
    if card.head is None and not of_blank:
        raise PromptError(
            str(folder), "a prompt without a head", "a prompt with a head", "use `softprompt generate`"
        )
    # A prompt that was made by hand may know its task only by its head.
    of_head = {kind: name for name, row in TASKS.items() for kind in row.head_kinds}
    name = of_head[card.head.kind] if card.head is not None else str(task_name)
    told = [] if card.task else [f"task.name={name}"]
    settings = places.stored_settings(folder, card, backbone, [*told, *(overrides or [])])
    if settings.task.name != name:
        of = f"a prompt for {name}" if card.head is None else f"a {card.head.kind} head"
        raise ConfigError("task.name", f"'{settings.task.name}' for {of}", f"'{name}'", "leave it out")
    records = records_of(settings, texts, second, choice)

    from softprompt.tasks import ProbingTask, build_task

    frozen, prompt = places.load(folder, settings)
    labels = getattr(settings.task, "labels", None) or (card.head.labels if card.head is not None else ())
    labels = labels or tuple(getattr(settings.task, "verbalizer", None) or ())
    task: Any = build_task(frozen, settings.task, settings.decoding, labels)
    if not isinstance(task, ProbingTask):
        task.check_head(prompt)
    task.check(records, labelled=False)
    task.check_positions(records, card.n_positions, training=False)
    with frozen.prompted(prompt):
        answers = task.predict(records)
    record, answer = records[0], answers[0]
    if settings.task.name == "image_classification":
        for path, found in zip(texts, answers, strict=True):
            echo_answer(f"{path}\t{found['labels'][0]}\t{found['probabilities'][0]:.4f}")
    elif settings.task.name == "tagging":
        for word, tag in zip(record.words, answer, strict=True):
            echo_answer(f"{word}\t{tag}")
    elif settings.task.name == "probing":
        echo_answer("\n".join(answer["words"]))
    else:
        echo_answer(record.choices[answer] if isinstance(answer, int) else answer)
    if settings.task.name == "spans" and not answer:
        echo("note: the context holds no answer", err=True)
    if task.n_cut:
        echo("note: the text was too long for the task's settings and cut", err=True)


def records_of(
    settings: "RunSettings", texts: list[str], second: str | None, choices: list[str] | None
) -> list[Any]:
    """The record that the options describe, of the kind that the task reads; of pictures, one for each file.

    Raises:
        ConfigError: an option that the task does not take, or one that it needs and is not there.
    """
    from softprompt.data import Choices, LabelledText, Question, TaggedWords, picture_record
    from softprompt.errors import ConfigError

    task = settings.task.name
    for option, given, tasks in (
        ("--second", second is not None, ("classification", "regression", "spans", "cloze")),
        ("--choice", bool(choices), ("choice", "cloze")),
    ):
        if given and task not in tasks:
            raise ConfigError(
                option, f"the option for task '{task}'", f"task {' or '.join(tasks)}", "leave it out"
            )
    if task == "image_classification":
        return [picture_record(Path(text), text) for text in texts]
    if len(texts) > 1:
        got = f"{len(texts)} texts for task '{task}'"
        raise ConfigError("TEXT", got, "one text", "put it into quotation marks")
    text = texts[0]
    if task == "tagging":
        return [TaggedWords("text", tuple(text.split()))]
    if task == "choice" or (task == "cloze" and choices):
        if not choices or len(choices) < 2:
            raise ConfigError("--choice", f"{len(choices or [])} choices", "at least 2", "repeat the option")
        return [Choices("text", text, tuple(choices))]
    if task == "spans":
        if second is None:
            raise ConfigError("--second", "no context", "the context that holds the answer")
        return [Question("text", text, second, answered=False)]
    return [LabelledText("text", text, second=second)]
