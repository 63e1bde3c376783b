import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from softprompt.cli.app import main
from softprompt.cli.commands import backbones, demo, evaluate, generate, inspect, pull, push, train

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    command
    for group in (
        demo.EXAMPLES,
        train.EXAMPLES,
        evaluate.EXAMPLES,
        generate.EXAMPLES,
        inspect.EXAMPLES,
        push.EXAMPLES,
        pull.EXAMPLES,
        backbones.LIST_EXAMPLES,
        backbones.PULL_EXAMPLES,
    )
    for _, command in group
]


def test_a_mistake_is_one_line_without_a_traceback(softprompt, tmp_path):
    result = softprompt("train", tmp_path / "none.yaml")
    assert result.code == 2
    assert result.err.splitlines()[0].startswith(f"error: {tmp_path / 'none.yaml'}: got ")
    assert len(result.err.splitlines()) == 1
    assert "Traceback" not in result.err


def test_every_mistake_of_a_recipe_is_named(softprompt, recipe):
    result = softprompt("train", recipe, "--set", "training.stepz=3", "--set", "method.lenght=4")
    assert result.code == 2
    assert "training.stepz: got an unknown setting. Did you mean 'steps'?" in result.err
    assert "lenght: got an unknown setting. Did you mean 'length'?" in result.err


def test_an_error_of_the_data_is_code_1(softprompt, recipe):
    (recipe.parent / "train.jsonl").write_text("{", encoding="utf-8")
    result = softprompt("train", recipe)
    assert result.code == 1
    assert "train.jsonl" in result.err


def test_debug_shows_the_traceback(tmp_path):
    from softprompt.errors import ConfigError

    with pytest.raises(ConfigError):
        main(["--debug", "train", str(tmp_path / "none.yaml")])


def test_wrong_usage_is_code_2(softprompt):
    assert softprompt("train").code == 2
    assert softprompt("tarin").code == 2


def test_version(softprompt):
    from softprompt import __version__

    result = softprompt("--version")
    assert (result.code, result.out.strip()) == (0, f"softprompt {__version__}")


def test_every_help_has_an_example(softprompt):
    import typer.main

    from softprompt.cli.app import app

    group: Any = typer.main.get_command(app)
    shown = [[]]
    for name, command in group.commands.items():
        shown += (
            [] if command.hidden else [[name], *([name, one] for one in getattr(command, "commands", ()))]
        )
    for words in shown:
        said = " ".join(softprompt(*words, "--help").out.split())
        assert re.search(r"Example[^:]*: softprompt ", said), words


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_of_the_help_parse_and_name_files_that_are_there(command, monkeypatch):
    """Every example is taken apart as its command would, and nothing is run."""
    import typer.main

    from softprompt.cli.app import app

    words = shlex.split(command)
    if "<" in words:
        words = words[: words.index("<")]
    assert words.pop(0) == "softprompt"
    group: Any = typer.main.get_command(app)
    context = group.make_context("softprompt", list(words))
    while hasattr(group, "commands"):
        name = words.pop(0)
        group = group.commands[name]
        context = group.make_context(name, list(words), parent=context)
    for word in words:
        if word.startswith("recipes/"):
            assert (ROOT / word).is_file()


@pytest.mark.parametrize(
    "command",
    ["demo", "train", "evaluate", "generate", "inspect", "push", "pull", "backbones list", "backbones pull"],
)
def test_help_of_each_command_has_an_example(softprompt, command):
    result = softprompt(*command.split(), "--help")
    assert result.code == 0
    flat = re.sub(r"\s+", " ", result.out)
    assert f"softprompt {command}" in flat.split("Example", 1)[1]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from softprompt.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, env=_environment()
    )


def _environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}
