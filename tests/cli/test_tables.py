"""Tables show names as they are."""

import io

from rich.console import Console

from softprompt.cli.tables import print_parts, print_scores
from softprompt.training.progress import RunProgress


def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_markup_in_names_is_text():
    console = screen()
    row = {"group": "[red]seen[/red]", "values": {"accuracy": 1.0}, "notes": ["[bold]note"]}
    print_scores(console, "[blue]run: test", [row], ["accuracy"])
    counts = {"trained_parameters": 1, "stored_parameters": 1}
    print_parts(console, "x[/]", {"[green]part": {"scores": [row], "counts": counts}}, {"p": ["accuracy"]})
    for name in ("[red]seen[/red]", "[blue]run", "[bold]note", "x[/]", "[green]part"):
        assert name in written(console)


def test_markup_in_a_bar_is_text():
    console = screen()
    with RunProgress(console) as progress, progress.counter("[red]part (test)", 2) as counter:
        counter.add(1, "[/]")
    assert "[red]part (test)" in written(console)
