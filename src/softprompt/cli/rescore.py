"""softprompt rescore: scores that were missing where a run was made."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    ("Example, of all runs of a study", "softprompt rescore runs/prefix-e2e"),
    ("Of one run", "softprompt rescore runs/e2e-lowdata-prefix"),
)


def rescore(
    folders: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders of studies.", show_default=False)
    ],
) -> None:
    """Add scores that finished runs lack, from the texts they kept: nothing is generated again.

    METEOR, and the tokenizer before ROUGE-L and CIDEr, need Java. A run on a machine without it has the
    other scores and a note; where Java is, this adds the rest.
    """
    from rich.console import Console

    from softprompt.training import rescore as add
    from softprompt.training import runs_in

    console = Console()
    for run in [run for folder in folders for run in runs_in(folder)]:
        gained = add(run)
        said = f"added {', '.join(gained)}" if gained else "nothing to add"
        console.print(f"{run.as_posix()}: {said}", markup=False, highlight=False, soft_wrap=True)
