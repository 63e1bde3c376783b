"""softprompt rescore: the former name of `softprompt evaluate --rescore`."""

from pathlib import Path

from softprompt.cli.commands.evaluate import add_scores


def rescore(folders: list[Path]) -> None:
    """Now: softprompt evaluate RUN --rescore."""
    from softprompt.terminal import echo

    echo("softprompt rescore is now: softprompt evaluate RUN --rescore", err=True)
    for folder in folders:
        add_scores(folder)
