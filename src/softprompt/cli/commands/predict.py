"""softprompt predict: the answers of a stored prompt to texts, to the rows of a file, or to pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from softprompt.cli.answering import As, BatchSize, Column, Input, Output, Overwrite
from softprompt.cli.options import BackboneName, Overrides, PromptFolder, check_characters

if TYPE_CHECKING:
    from softprompt.answers import Answerer
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
    (
        "A file, row for row",
        "softprompt predict runs/NAME --input rows.csv --output answers.csv --probabilities",
    ),
)


def predict(
    prompt_folder: PromptFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts (for tags: words with spaces between them; for answers: questions), or files and "
            "folders of pictures. If none is given, the lines of standard input.",
            show_default=False,
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(help="Second text of a pair; for answers, the context.", show_default=False),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="One of several endings. May be repeated.", show_default=False)
    ] = None,
    words: Annotated[
        Literal["auto", "spaces", "characters", "scripts"],
        typer.Option(
            help="How a text to tag is cut into words: at spaces, into characters, or, by scripts, into "
            "characters of scripts without spaces and whole words of others; auto as in training."
        ),
    ] = "auto",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Those of every label or choice too.")
    ] = False,
    input: Input = None,
    column: Column = None,
    output: Output = None,
    overwrite: Overwrite = False,
    reading: As = "auto",
    batch_size: BatchSize = None,
    backbone: BackboneName = None,
    overrides: Overrides = None,
) -> None:
    """Print a stored prompt's answers to texts or pictures, or write them beside the rows of a file."""
    from softprompt.answers import (
        Answerer,
        Bulk,
        asked_of,
        check_pairs,
        reading_settings,
        stored_run,
        task_name,
    )
    from softprompt.cli import answering, places
    from softprompt.errors import ConfigError, PromptError
    from softprompt.files import read_card
    from softprompt.tasks import TASKS
    from softprompt.terminal import echo
    from softprompt.untrusted import at_home

    folder = places.prompt_folder(prompt_folder)
    card = read_card(folder)
    name = task_name(card)
    if name in (None, "generation"):
        raise PromptError(
            str(folder), "a prompt without a head", "a prompt with a head", "use `softprompt generate`"
        )
    changes = answering.with_batch(overrides, batch_size)
    settings = places.stored_settings(folder, card, backbone, changes)
    if settings.task.name != name:
        of = f"a prompt for {name}" if card.head is None else f"a {card.head.kind} head"
        raise ConfigError("task.name", f"'{settings.task.name}' for {of}", f"'{name}'", "leave it out")
    of_files = {"--column": bool(column), "--output": output is not None, "--overwrite": overwrite}
    given = list(texts or [])
    answering.check_bulk(input or (None if given else "-"), given, of_files)
    check_options(settings, words, second, choice, bulk=not given)
    pictures = TASKS[name].reads_pictures
    input = input or answering.a_file_instead(given, pictures) or (None if given else "-")
    if input is not None:
        of_data = reading_settings(stored_run(folder, card), changes)
        table, lines = answering.read_input(input, reading, of_data, settings.task)
        questions = answering.questions_from(settings.task, table, of_data, column, lines)
        bulk = Bulk(Answerer(*places.load(folder, settings), settings), questions, probabilities, words)
        answering.answer_rows(bulk, output, overwrite, lines)
        return
    inputs = inputs_of(settings, given, second, choice)
    if pictures and len(inputs) > 1 and any(at_home(one).is_dir() for one in given):
        answerer = Answerer(*places.load(folder, settings), settings)
        answer_pictures(answerer, inputs, given, probabilities)
        return
    ids = ["text"] if len(inputs) == 1 else [f"text {i}" for i in range(1, len(inputs) + 1)]
    asked = [asked_of(settings.task, one, id, words) for one, id in zip(inputs, ids, strict=True)]
    check_pairs(asked, reading_settings(stored_run(folder, card), ()))
    answerer = Answerer(*places.load(folder, settings), settings)
    answerer.check(asked)
    answers = answerer.answers(asked)
    for i, (one, answer) in enumerate(zip(asked, answers, strict=True)):
        show(settings, one.record, answer, probabilities, i)
    form = TASKS[name].outputs
    if form.empty and not all(answer.output for answer in answers):
        echo(f"note: {form.empty}", err=True)
    answering.say_cuts(answerer)


def answer_pictures(answerer: "Answerer", files: list[str], named: list[str], probabilities: bool) -> None:
    """Print the answer to each of several pictures; one of a folder that cannot be read keeps its line.

    Args:
        answerer: of the prompt.
        files: the pictures.
        named: those that the user has named one by one, and folders.
        probabilities: of every label too.

    Raises:
        SoftpromptError: one that is named cannot be read, or none of a folder can.
    """
    from softprompt.answers import asked_of
    from softprompt.cli import answering
    from softprompt.errors import SoftpromptError
    from softprompt.terminal import echo, echo_answer

    settings, asked, problems = answerer.settings, [], {}
    for file in files:
        try:
            one = asked_of(settings.task, file, file)
            answerer.check([one])
            asked.append(one)
        except SoftpromptError as error:
            if file in named:
                raise
            problems[file] = error
    if not asked:
        raise next(iter(problems.values()))
    answers = iter(zip(asked, answerer.answers(asked), strict=True))
    for file in files:
        if file in problems:
            echo_answer(f"{file}\t")
            continue
        one, answer = next(answers)
        show(settings, one.record, answer, probabilities, 0)
    for error in problems.values():
        echo(f"no answer: {error}", err=True)
    answering.say_cuts(answerer)


def show(settings: "RunSettings", record: Any, answer: Any, probabilities: bool, place: int) -> None:
    """Print an answer in the form of its task; answers of several lines have a blank line between them."""
    from softprompt.answers import lines_of
    from softprompt.cli.answering import line_of
    from softprompt.tasks import TASKS
    from softprompt.terminal import echo_answer

    name = settings.task.name
    lines = lines_of(name, record, answer.output)
    if probabilities and getattr(answer, "probabilities", None):
        prefix = f"{record.source}\t" if TASKS[name].reads_pictures else ""
        lines = [prefix + line_of(answer, probabilities)]
    if place and len(lines) > 1:
        echo_answer("")
    for line in lines:
        echo_answer(line)


def check_options(
    settings: "RunSettings", words: str, second: str | None, choices: list[str] | None, bulk: bool
) -> None:
    """Refuse options that the task does not take, or that a file of rows does not.

    Raises:
        ConfigError: the first of them.
    """
    from softprompt.data import Choices, TaggedWords
    from softprompt.errors import ConfigError
    from softprompt.tasks import TASKS

    task, rows = settings.task.name, TASKS.rows.values()
    for option, given, takers in (
        ("--second", second is not None, [row.name for row in rows if row.second]),
        ("--choice", bool(choices), [row.name for row in rows if Choices in row.records]),
        ("--words", words != "auto", [row.name for row in rows if TaggedWords in row.records]),
    ):
        if given and task not in takers:
            raise ConfigError(
                option, f"the option for task '{task}'", f"task {' or '.join(takers)}", "leave it out"
            )
        if given and bulk and option != "--words":
            do = "put it into a column of the file"
            raise ConfigError(option, "the option beside a file of rows", "texts as arguments", do)


def inputs_of(
    settings: "RunSettings", texts: list[str], second: str | None, choices: list[str] | None
) -> list[Any]:
    """What each text asks, together with the options; of folders of pictures, each picture.

    Raises:
        ConfigError: an option that the task needs and that is not there.
    """
    from softprompt.cli.answering import pictures_in
    from softprompt.data import Choices, LabelledPicture, Question
    from softprompt.errors import ConfigError
    from softprompt.tasks import TASKS
    from softprompt.untrusted import at_home

    kinds = TASKS[settings.task.name].records
    if LabelledPicture in kinds:
        files: list[Path] = []
        for text in texts:
            path = at_home(text)
            files += pictures_in(path) if path.is_dir() else [Path(text)]
        return [str(file) for file in files]
    check_characters("TEXT", texts)
    check_characters("--second", [second or ""])
    check_characters("--choice", choices or [])
    if Choices in kinds and (choices or len(kinds) == 1):
        if not choices or len(choices) < 2:
            raise ConfigError("--choice", f"{len(choices or [])} choices", "at least 2", "repeat the option")
        return [{"text": text, "choices": choices} for text in texts]
    if Question in kinds:
        if second is None:
            raise ConfigError("--second", "no context", "the context that holds the answer")
        return [{"question": text, "context": second} for text in texts]
    return [(text, second) for text in texts] if second is not None else list(texts)
