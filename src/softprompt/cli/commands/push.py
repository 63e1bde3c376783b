"""softprompt push: a stored prompt into a repository of the hub."""

from typing import Annotated

import typer

from softprompt.cli.options import PromptFolder

EXAMPLES = (
    ("Example, after `softprompt demo`", "softprompt push runs/demo USER/demo"),
    ("For oneself alone", "softprompt push prompts/tone USER/tone --private --message 'more steps'"),
)


def push(
    prompt_folder: PromptFolder,
    repository: Annotated[
        str, typer.Argument(help="USER/NAME on the hub; made where there is none.", show_default=False)
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that only its owner sees.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            help="The branch, made where there is none; the main one if not given.", show_default=False
        ),
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.", show_default=False)] = None,
) -> None:
    """Put a prompt into a repository of the hub, with a model card.

    A README.md in the prompt's folder that somebody wrote or changed is pushed as the model card; one that
    somebody wrote on the hub stays. Log in before with `hf auth login`, or set HF_TOKEN.
    """
    from softprompt.cli import places
    from softprompt.files import MODEL_CARD, own_readme, push_folder
    from softprompt.prompts import hub_id_of
    from softprompt.terminal import Terminal, print_line

    folder = places.prompt_folder(prompt_folder)
    console = Terminal(stderr=True)
    if own_readme(folder) is not None:
        print_line(console, f"the model card is {folder / MODEL_CARD}, as it stands")
    address = push_folder(
        folder, repository, hub_id_of, private=private or None, revision=revision, message=message
    )
    print_line(Terminal(), f"pushed {folder} to {address}")
