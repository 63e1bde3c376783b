"""softprompt generate: generate texts under a stored prompt."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.options import BackboneName, Overrides, PromptFolder, check_characters

EXAMPLES = (
    (
        "Example, after `softprompt demo`",
        'softprompt generate runs/demo "name : Amber Bell | eatType : diner"',
    ),
    ("One source on each line", "softprompt generate runs/demo < sources.txt"),
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
    backbone: BackboneName = None,
    overrides: Overrides = None,
) -> None:
    """Generate a text for each source, and print one on each line."""
    from softprompt.cli import places
    from softprompt.config import GenerationSettings
    from softprompt.data import Record, pictured_text
    from softprompt.errors import ConfigError, PromptError
    from softprompt.files import read_card
    from softprompt.terminal import echo, echo_answer

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
    settings = places.stored_settings(folder, card, backbone, overrides or [])
    if not isinstance(settings.task, GenerationSettings):
        raise ConfigError("task.name", f"'{settings.task.name}'", "'generation'", "leave it out")
    check_characters("TEXT", text or [])
    sources, pictures = list(text or _lines()), list(picture or [])
    if pictures and len(pictures) != len(sources):
        got = f"{len(pictures)} pictures for {len(sources)} sources"
        raise ConfigError("--picture", got, "one for each source", "repeat the option, or leave it out")
    records = [Record(f"text {i + 1}", source, ()) for i, source in enumerate(sources)]
    if pictures:
        records = [
            pictured_text(record.id, record.source, (), file, str(file))
            for record, file in zip(records, pictures, strict=True)
        ]

    from softprompt.tasks import GenerationTask

    frozen, prompt = places.load(folder, settings)
    task = GenerationTask(frozen, settings.task, decoding=settings.decoding)
    task.check(records, labelled=False)
    task.check_positions(records, prompt.card.n_positions, training=False)
    with frozen.prompted(prompt):
        outputs = task.predict(records, seed=settings.training.seed)
    for output in outputs:
        # Decoding settings may allow line breaks inside an output.
        echo_answer(" ".join(output.split()))
    for note in filter(None, (task.cut_note, task.answer_note(len(task.cut_answers)))):
        echo(f"note: {note}", err=True)


def _lines() -> list[str]:
    from softprompt.errors import DataError
    from softprompt.terminal import echo

    if sys.stdin.isatty():
        echo("write one source on each line; end with Ctrl-D (Windows: Ctrl-Z, Enter)", err=True)
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "standard input", f"bytes that are not UTF-8 ({error.reason})", "UTF-8 text"
        ) from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(
            "standard input",
            "no text",
            "a source text on each line",
            "pipe some in, or give the texts as arguments",
        )
    return lines
