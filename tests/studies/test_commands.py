"""The command line that makes something again, and tables in Markdown."""

from pathlib import Path

from softprompt.markdown import table_lines
from softprompt.studies.commands import command_line
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import Source, compose_report, markdown
from softprompt.studies.results.study_result import read_results
from studies.fakes import write_study


def test_a_command_line_is_what_a_shell_reads():
    path, overrides = Path("a b/x.yaml"), ["seeds=[0]", "name=try"]
    line = command_line("study", path, overrides=overrides, jobs=2, engine=None, output=Path("out"))
    assert line == "softprompt study 'a b/x.yaml' --set 'seeds=[0]' --set name=try --jobs 2 --output out"
    assert command_line("compare", "a", "b", metric="bleu", name=["one", "two"]) == (
        "softprompt compare a b --metric bleu --name one --name two"
    )
    assert command_line("compare", "a", name=None) == "softprompt compare a"


def test_a_report_keeps_every_space_of_its_commands(tmp_path):
    overrides = ["method.initialization=text:a  b"]
    path = write_study(tmp_path, rows=[{"name": "a"}])
    source = Source(read_results(load_grid(path)), command_line("study", "s.yaml", overrides=overrides))
    text = markdown(compose_report(source, command_line("report", "s.yaml", overrides=overrides)))
    for command in ("study", "report"):
        assert f"`softprompt {command} s.yaml --set 'method.initialization=text:a  b'`" in text


def test_a_table_keeps_its_cells_whatever_they_hold():
    assert table_lines([["", "a|b", "c"], ["x\ny", "1", "\\"]]) == [
        "|  | a\\|b | c |",
        "| --- | ---: | ---: |",
        "| x y | 1 | \\\\ |",
    ]
