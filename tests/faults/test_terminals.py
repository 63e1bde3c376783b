"""Texts of cards, data, names and arguments reach no terminal raw: no escape sequence, no rich markup."""

import json
import warnings

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.conftest import recipe_of, tiny_folder  # noqa: F401
from softprompt.backbones import load_backbone
from softprompt.cli.app import main
from softprompt.files import read_card
from softprompt.prompts import prefix_tuning
from softprompt.terminal import Terminal, echo, echo_answer, print_line
from softprompt.training import RunProgress

HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\x9b1m\u202eabc\u2066\x1b]8;;http://x\x1b\\here\x08\r[red]R[/red][link=http://x]L[/link]:smile:"
RAW = ("\x1b]", "\x1b[2J", "\x9b", "\u202e", "\u2066", "\x07", "\x08", "abc\r")


@pytest.fixture
def screen(monkeypatch, capsys):
    """What was printed since the last call, with both streams passing for a terminal."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("_pytest.capture.CaptureIO.isatty", lambda self: True)
    return lambda: "".join(capsys.readouterr())


def check(shown: str) -> None:
    assert not [raw for raw in RAW if raw in shown]
    assert "PWNED" in shown and "[red]R[/red][link=http://x]L[/link]:smile:" in shown


def run(*arguments) -> None:
    with pytest.raises(SystemExit):
        main([str(argument) for argument in arguments])


def test_the_console_cleans_whatever_is_printed(screen):
    console = Terminal()
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, style="bold"))
    for what in (HOSTILE, Text(HOSTILE, style="red"), table):
        console.print(what)
        check(screen())
    console.print(Text("own style", style="red"))
    assert "\x1b[31m" in screen()  # what this library itself colours stays coloured


@pytest.mark.parametrize("show", [echo, echo_answer, lambda text: print_line(Console(), text)])
def test_lines_on_a_terminal_are_cleaned(screen, show):
    show(HOSTILE)
    check(screen())


def test_predictions_in_a_pipe_are_exact_and_notes_are_not(capsys):
    echo_answer(HOSTILE)
    echo(HOSTILE, err=True)
    out, err = capsys.readouterr()
    assert out == HOSTILE + "\n"
    check(err)


def test_the_bars_of_a_run_are_cleaned(screen):
    with RunProgress(Console(force_terminal=True)) as progress:
        progress.say(HOSTILE)
        with progress.counter(HOSTILE, 2) as counter:
            counter.add(1, HOSTILE)
    check(screen())


def test_warnings_are_cleaned():
    run("--version")
    check(warnings.formatwarning(UserWarning(HOSTILE), UserWarning, "file", 1))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--" + HOSTILE],
        [HOSTILE],
        ["inspect", HOSTILE],
        ["compare", HOSTILE, HOSTILE + "2"],
        ["study", HOSTILE + ".yaml"],
        ["report", HOSTILE],
        ["train", HOSTILE],
        ["look", HOSTILE],
        ["evaluate", HOSTILE],
        ["demo", "--x" + HOSTILE],
        ["train", "x.yaml", "--output"],
    ],
    ids=lambda arguments: arguments[0][:8].encode("unicode_escape").decode(),
)
def test_errors_are_cleaned(screen, arguments):
    run(*arguments)
    shown = screen()
    assert not [raw for raw in RAW if raw in shown]
    assert "rror" in shown


def test_a_hostile_card_is_shown_cleaned(screen, tiny_folder, tmp_path):  # noqa: F811
    backbone = load_backbone(tiny_folder, device="cpu")
    prompt = prefix_tuning(backbone, length=1, reparameterization=None, initialization="random")
    prompt.describe(
        task={"name": "generation", "separator": HOSTILE},
        data={"format": HOSTILE, HOSTILE: "x"},
        versions={HOSTILE: HOSTILE},
        metrics={HOSTILE: 1.0},
    ).save(tmp_path / "p")
    assert read_card(tmp_path / "p").data["format"] == HOSTILE
    run("inspect", tmp_path / "p")
    check(screen())


def test_an_error_about_a_recipe_or_data_is_cleaned(screen, tiny_folder, tmp_path):  # noqa: F811
    path = recipe_of(tmp_path, tiny_folder)
    (tmp_path / "train.jsonl").write_text(json.dumps({"source": HOSTILE}) + "\n", encoding="utf-8")
    run("train", path)
    path.write_text(json.dumps({"name": "r", HOSTILE: 1, "data": {"format": HOSTILE}}), encoding="utf-8")
    run("train", path)
    shown = screen()
    assert "PWNED" in shown and not [raw for raw in RAW if raw in shown]
