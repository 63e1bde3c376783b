"""The command line that makes something again, and tables in Markdown."""

from pathlib import Path

from softprompt.studies.commands import command_line
from softprompt.studies.markdown import table_lines


def test_a_command_line_is_what_a_shell_reads():
    path, overrides = Path("a b/x.yaml"), ["seeds=[0]", "name=try"]
    line = command_line("study", path, overrides=overrides, jobs=2, engine=None, output=Path("out"))
    assert line == "softprompt study 'a b/x.yaml' --set 'seeds=[0]' --set name=try --jobs 2 --output out"
    assert command_line("compare", "a", "b", metric="bleu", name=["one", "two"]) == (
        "softprompt compare a b --metric bleu --name one --name two"
    )
    assert command_line("compare", "a", name=None) == "softprompt compare a"


def test_a_table_keeps_its_cells_whatever_they_hold():
    assert table_lines([["", "a|b", "c"], ["x\ny", "1", "\\"]]) == [
        "|  | a\\|b | c |",
        "| --- | ---: | ---: |",
        "| x y | 1 | \\\\ |",
    ]
