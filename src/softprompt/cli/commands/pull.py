"""softprompt pull: a prompt out of a repository of the hub, into a folder."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    ("Example, into the folder `tone`", "softprompt pull USER/tone"),
    ("A branch, tag or commit", "softprompt pull USER/tone prompts/tone --revision v1"),
)


def pull(
    repository: Annotated[str, typer.Argument(help="USER/NAME on the hub.", show_default=False)],
    out: Annotated[
        Path | None, typer.Argument(help="The prompt folder; NAME if not given.", show_default=False)
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="A branch, a tag or a commit; the main branch if not given.", show_default=False),
    ] = None,
) -> None:
    """Fetch a prompt from the hub into a folder: its two files alone, checked, and nothing that is run.

    Of a private repository log in before with `hf auth login`, or set HF_TOKEN.
    """
    from softprompt.files import pull_folder
    from softprompt.terminal import Terminal, print_line

    folder, address = pull_folder(repository, out, revision)
    print_line(Terminal(), f"wrote {folder}, from {address}")
