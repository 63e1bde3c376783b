"""The command `softprompt`; without its libraries, a line that names the missing ones."""

import sys

from softprompt.errors import SoftpromptError
from softprompt.extras import require

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit; 1 where its libraries are not installed."""
    try:
        require("train", "the command softprompt", "typer", "rich")
    except SoftpromptError as error:
        sys.exit(f"error: {error}")
    from softprompt.cli import app

    app.main()
