"""softprompt convert: prompts of other libraries, and prompts for them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softprompt.exchange import Form

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

EXAMPLES = (
    ("Example, after `softprompt demo`", "softprompt convert runs/demo adapters/demo --to peft"),
    (
        "PEFT's folder as a prompt",
        "softprompt convert ADAPTER PROMPT --to softprompt --backbone smollm2-135m",
    ),
    ("A folder of prompts at once", "softprompt convert prompts adapters --to peft"),
)


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="A prompt folder, a run, PEFT's adapter folder, a cartridge (.pt), or a folder of such.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Where to write: a folder, or a file.", show_default=False)],
    to: Annotated[
        Form,
        typer.Option(help="The form to write; of vllm the body of a request for each --text, a line each."),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of the backbone; that of the prompt's card if not given.", show_default=False
        ),
    ] = None,
    task: Annotated[
        int | None, typer.Option(help="Of a multi-task prompt of PEFT's, from 0.", show_default=False)
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Of a request to vLLM. May be repeated.", show_default=False)
    ] = None,
    any_backbone: Annotated[
        bool, typer.Option("--any-backbone", help="Accept a backbone of another name, if the sizes fit.")
    ] = False,
) -> None:
    """Convert prompts of other libraries, and prompts for them: PEFT, Cartridges, vLLM.

    What the other form cannot say is refused with the reason. Logits of rows without padding stay equal.
    """
    from rich.table import Table

    from softprompt.errors import ConfigError, SoftpromptError
    from softprompt.exchange import form_of, found, read, write
    from softprompt.terminal import Terminal, print_line
    from softprompt.training import RunProgress

    if text and to != "vllm":
        raise ConfigError("--text", text[0], f"no text with --to {to}", "leave it out, or add --to vllm")
    source = _unwrapped(source)
    paths = found(source)
    several = paths != [source]
    console, problems = Terminal(stderr=True), dict[Path, SoftpromptError]()
    table = Table("prompt", "was", "vectors", "written")
    loaded: dict[str, Backbone] = {}
    with RunProgress(console) as shown, shown.counter("converting", len(paths)) as counter:
        for path in paths:
            try:
                frozen = _backbone(path, backbone, loaded)
                prompt = read(path, frozen, task, any_backbone)
                written = write(prompt, _place(out, path, to) if several else out, to, frozen, text or ())
                table.add_row(path.name, str(form_of(path)), str(prompt.length), str(written))
            except SoftpromptError as error:
                if not several:
                    raise
                problems[path] = error
                table.add_row(path.name, str(form_of(path)), "-", "refused")
            counter.add(1)
    if not several:
        print_line(Terminal(), f"wrote {written}")
        return
    Terminal().print(table)
    for path, error in problems.items():
        print_line(console, f"{path.name}: {error}")
    if problems:
        raise typer.Exit(1)


def _unwrapped(source: Path) -> Path:
    """The prompt folder of a run, or the path as it is."""
    from softprompt.cli import places

    return places.prompt_folder(source) if (source / places.SETTINGS).is_file() else source


def _place(out: Path, path: Path, to: str) -> Path:
    """Where one of several is written."""
    ending = {"cartridge": ".pt", "vllm": ".jsonl"}.get(to, "")
    return out / f"{path.stem if path.is_file() else path.name}{ending}"


def _backbone(path: Path, given: str | None, loaded: "dict[str, Backbone]") -> "Backbone":
    """The backbone of a prompt, loaded once for all of them."""
    from softprompt.backbones import load_backbone
    from softprompt.cli import places
    from softprompt.errors import BackboneError
    from softprompt.exchange import form_of
    from softprompt.files import read_card

    if given is None and form_of(path) != "softprompt":
        do = "add --backbone with its name or folder"
        raise BackboneError(f"{path}: backbone", "none", "the model that it was trained on", do)
    name = given or places.allowed_backbone(path, read_card(path), None)
    if name not in loaded:
        loaded[name] = load_backbone(name)
    return loaded[name]
