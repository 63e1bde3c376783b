"""Lines of shell in the documentation: checked as they stand, and run where that is cheap.

What is done with a line, by its command:

- `softprompt ...`: parsed by the command line itself, its options and their values with it. Then
  - `train` of a recipe whose data is here in a tiny form, or of a file of the page, is run for a step;
    of another recipe the settings are checked, with those of `--set`;
  - `study` has every one of its runs checked, and is not run;
  - `recipes`, `papers list|show` and `backbones list` are run;
  - all else is run if the run folders and files that it names are here, and only parsed if not.
- `make`, `pip`, `python`: the target, the extras, the file must be there; not run.
"""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer.main

from softprompt.cli.app import app, main
from softprompt.config import found_recipe, load_recipe
from softprompt.config.loading import read_mapping
from softprompt.studies import load_grid
from support.doc_blocks import ROOT

_TINY = {
    "training.batch_size": 2,
    "training.warmup_steps": 0,
    "training.evaluate_every": None,
    "training.checkpoint_every": None,
    "data.train_size": None,
    "data.dev_size": None,
    "data.test_size": None,
    "data.train_per_class": None,
}


_FILE = re.compile(r"[\w./-]+\.(?:csv|tsv|jsonl?|txt|xlsx|parquet|png|jpe?g|ya?ml)(?:\.gz)?")
"""An argument that is a text to the command line, and the name of a file to a reader."""


def commands_of(text: str) -> list[list[str]]:
    """The words of each line, without comments; a backslash joins a line with the next."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line.removeprefix("$ "), comments=True))]


def check_line(words: list[str], data: tuple[str, ...]) -> str:
    """Check or run a line in the working folder.

    Args:
        data: folders of data that are here in a tiny form.

    Returns:
        what was done: "run", "checked" or "parsed".
    """
    while "=" in words[0] and words[0].partition("=")[0].isupper():  # VARIABLE=value before a command
        words = words[1:]
    check = _OTHERS.get(words[0].rpartition("/")[2])
    if check is not None:
        check(words)
        return "checked"
    assert words[0] == "softprompt", f"'{words[0]}': a command that no test knows"
    arguments = _before_a_pipe(words[1:])
    name, given = _parsed(arguments)
    if name == "train":
        return _train(arguments, Path(given["recipe"]), given["overrides"] or [], data)
    if name == "study":
        load_grid(found_recipe(Path(given["file"])), given["overrides"] or [])
        return "checked"
    if name in ("list", "show", "copy") or (_is_here(given) and name not in ("demo", "serve", "run", "pull")):
        _run(arguments)
        return "run"
    return "parsed"


def _parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's name and its options, as the command line itself reads them."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    while hasattr(command, "commands"):
        made = command.make_context("softprompt", [*arguments], parent=context, obj=[])
        context, rest = made, [*made._protected_args, *made.args]
        if not rest:
            return "", {}
        name, command, arguments = command.resolve_command(context, rest)
    made = command.make_context(name, [*arguments], parent=context)
    return name, made.params


def _train(arguments: list[str], given: Path, overrides: list[str], data: tuple[str, ...]) -> str:
    path = found_recipe(given)
    load_recipe(path, overrides)
    raw = read_mapping(path, overrides)
    files = [raw.get("data", {}).get(split) for split in ("train", "dev", "test")]
    here = all(
        file is None or str(file).startswith(data) or Path(file).exists() or (path.parent / file).exists()
        for file in files
    )
    if (
        "--resume" in arguments
        or "parts" in raw
        or "each" in raw
        or not here
        or any("trackers" in one for one in overrides)
    ):
        return "checked"
    small = {**_TINY, ("training.epochs" if "epochs" in raw.get("training", {}) else "training.steps"): 1}
    if raw.get("task", {}).get("name", "generation") == "generation":
        small |= {"decoding.max_new_tokens": 6, "metrics": ["bleu"]}  # others begin programs in Java
    small["backbone.dtype"] = "float32"
    if "image_size" in raw.get("backbone", {}):
        small["backbone.image_size"] = None
    if raw.get("decoding", {}).get("beams"):
        small["decoding.beams"] = 2
    changes = (f"{key}={json.dumps(value)}" for key, value in small.items())
    _run([*arguments, *(word for change in changes for word in ("--set", change))])
    return "run"


def _run(arguments: list[str]) -> None:
    try:
        main(arguments)
    except SystemExit as ended:
        if ended.code:
            raise AssertionError(f"softprompt {shlex.join(arguments)} ended with {ended.code}") from None


def _before_a_pipe(words: list[str]) -> list[str]:
    """The words of the first command, without what is read from or written to files."""
    ends = [i for i, word in enumerate(words) if word in ("|", ">", "<", "&&", "&")]
    return words[: ends[0]] if ends else words


def _is_here(given: dict[str, Any]) -> bool:
    """Whether every file and folder that a command reads is here, and there is one."""
    values = [
        one
        for name, value in given.items()
        if name != "output"
        for one in (value if isinstance(value, list | tuple) else [value])
    ]
    paths = [Path(value) for value in values if isinstance(value, Path) or _FILE.fullmatch(str(value))]
    return bool(paths) and all(path.exists() for path in paths)


def _make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words[1:] if "=" not in word]
    assert all(f"\n{target}:" in makefile for target in targets), f"the Makefile lacks one of {targets}"


def _pip(words: list[str]) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        for extras in re.findall(r"^(?:softprompt|\.)\[(.*)\]$", word):
            unknown = set(extras.split(",")) - set(project["optional-dependencies"])
            assert not unknown, f"no extra {unknown}"


def _python(words: list[str]) -> None:
    scripts = [word for word in words[1:] if word.endswith(".py")]
    assert all((ROOT / script).is_file() or Path(script).is_file() for script in scripts), (
        f"no file {scripts}"
    )


def _there(words: list[str]) -> None:
    assert len(words) > 1


_OTHERS: dict[str, Callable[[list[str]], None]] = {
    "make": _make, "pip": _pip, "python": _python, "pytest": _there, "pre-commit": _there, "docker": _there,
    "cat": _there, "export": _there, "cd": _there, "git": _there,
}  # fmt: skip
