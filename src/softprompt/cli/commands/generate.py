"""softprompt generate: generate texts under a stored prompt."""

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.answering import As, BatchSize, Column, Input, Output, Overwrite
from softprompt.cli.options import BackboneName, Overrides, PromptFolder, check_characters
from softprompt.errors import counted

EXAMPLES = (
    (
        "Example, after `softprompt demo`",
        'softprompt generate runs/demo "name : Amber Bell | eatType : diner"',
    ),
    ("One source on each line, one answer on each line", "softprompt generate runs/demo < sources.txt"),
    ("A file, row for row", "softprompt generate runs/demo --input new.csv --output answers.csv"),
)


def generate(
    prompt_folder: PromptFolder,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            help="Source texts; if none is given, the lines of standard input.", show_default=False
        ),
    ] = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(help="A picture for each source, in their order. May be repeated.", show_default=False),
    ] = None,
    input: Input = None,
    column: Column = None,
    output: Output = None,
    overwrite: Overwrite = False,
    reading: As = "auto",
    batch_size: BatchSize = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of sampled texts; the run's if not given.", show_default=False),
    ] = None,
    backbone: BackboneName = None,
    overrides: Overrides = None,
) -> None:
    """Generate a text for each source: a line each, or row for row into a file.

    Blank lines and rows stay in their places. A text, a prompt and a seed always give the same answer,
    whatever stands beside the text.
    """
    from softprompt.answers import Answerer, Bulk, asked_of, reading_settings, stored_run
    from softprompt.cli import answering, places
    from softprompt.config import GenerationSettings
    from softprompt.errors import ConfigError, PromptError
    from softprompt.files import read_card
    from softprompt.terminal import echo_answer

    folder = places.prompt_folder(prompt_folder)
    card = read_card(folder)
    stored = card.task.get("name", "generation")
    if card.head is not None or stored != "generation":
        with_head = "" if card.head is None else f" with a {card.head.kind} head"
        raise PromptError(
            str(folder),
            f"a prompt{with_head} for task '{stored}'",
            "a prompt that writes texts",
            "use `softprompt predict`",
        )
    changes = answering.with_batch(overrides, batch_size)
    settings = places.stored_settings(folder, card, backbone, changes, seed=seed)
    if not isinstance(settings.task, GenerationSettings):
        raise ConfigError("task.name", f"'{settings.task.name}'", "'generation'", "leave it out")
    sources, pictures = list(text or []), list(picture or [])
    of_files = {"--column": bool(column), "--output": output is not None, "--overwrite": overwrite}
    answering.check_bulk(input or (None if sources else "-"), sources, of_files)
    check_characters("TEXT", sources)
    input = input or answering.a_file_instead(sources, reads_pictures=False) or (None if sources else "-")
    if input is not None:
        if pictures:
            do = "name their files in a column beside the texts"
            raise ConfigError("--picture", "pictures beside a file of texts", "texts as arguments", do)
        of_data = reading_settings(stored_run(folder, card), changes)
        table, lines = answering.read_input(input, reading, of_data, settings.task)
        questions = answering.questions_from(settings.task, table, of_data, column, lines)
        bulk = Bulk(Answerer(*places.load(folder, settings), settings), questions)
        answering.answer_rows(bulk, output, overwrite, lines)
        return
    if pictures and len(pictures) != len(sources):
        got = f"{counted(len(pictures), 'picture')} for {counted(len(sources), 'source')}"
        raise ConfigError("--picture", got, "one for each source", "repeat the option, or leave it out")
    inputs = list(zip(sources, pictures, strict=True)) if pictures else sources
    asked = [asked_of(settings.task, one, f"text {i}") for i, one in enumerate(inputs, start=1)]
    answerer = Answerer(*places.load(folder, settings), settings)
    answerer.check(asked)
    answers = answerer.answers(asked)
    for answer in answers:
        # Of several answers each is on a line of its own.
        echo_answer(answer.line if len(asked) > 1 else answer.output)
    if len(asked) > 1:
        answering.say_breaks(sum("\n" in answer.output for answer in answers))
    answering.say_cuts(answerer)
