"""The papers whose tables and figures studies can repeat, at two scales."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from softprompt.config import Settings, parse_as, read_mapping, recipe_folder
from softprompt.errors import ConfigError, Problem, counted, nearest

Scale = Literal["small", "full"]


class Protocol(Settings):
    """One table or figure of a paper: a study, or runs over many tasks that are compared."""

    study: Path | None = None
    """A study file, from the folder of recipes."""
    recipe: Path | None = None
    """A recipe over several tasks, from the same folder; `runs` train it under several names."""
    runs: dict[str, list[str]] = Field(default={})
    """By the name of each run, its changes to the recipe: `key=value`."""
    metric: str | None = None
    """The metric that compares the runs; None is their first."""
    shows: str = Field(min_length=1)
    """The table or figure of the paper."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Protocol":
        if (self.study is None) == (self.recipe is None):
            got = "neither of them" if self.study is None else "both of them"
            raise ValueError(Problem("", got, "exactly one of study and recipe"))
        if (self.recipe is None) != (len(self.runs) < 2):
            raise ValueError(
                Problem("runs", counted(len(self.runs), "run"), "at least two for a recipe, none for a study")
            )
        return self

    @property
    def file(self) -> Path:
        """The path of the study file or recipe."""
        return recipe_folder() / (self.study or self.recipe or "")

    @property
    def name(self) -> str:
        """The name that `--only` takes."""
        return self.file.stem


class Paper(Settings):
    """A paper and its protocols at both scales."""

    title: str
    source: str
    """Where it is published."""
    small: list[Protocol] = Field(min_length=1)
    """The bundled backbones and small published data; hours on two cores."""
    full: list[Protocol] = Field(default=[])
    """The paper's own backbones and data, which the user fetches; needs a GPU."""
    lacking: str = ""
    """The parts of the paper that no study repeats, and why."""

    def at(self, scale: Scale) -> list[Protocol]:
        """The paper's protocols at one scale."""
        return self.small if scale == "small" else self.full


@cache
def all_papers() -> Mapping[str, Paper]:
    """Every paper by the name that commands take.

    Raises:
        ConfigError: the catalogue is broken.
    """
    path = recipe_folder() / "papers" / "papers.yaml"
    return {name: parse_as(raw, Paper, f"{path}: {name}") for name, raw in read_mapping(path).items()}


def paper(name: str) -> Paper:
    """One paper.

    Raises:
        ConfigError: an unknown name.
    """
    known = all_papers()
    if name not in known:
        raise ConfigError("paper", repr(name), f"one of {', '.join(known)}", nearest(name, list(known)))
    return known[name]


def chosen_protocols(name: str, scale: Scale, only: str | None = None) -> list[Protocol]:
    """The protocols of a paper to run.

    Args:
        only: the name of a single protocol; None is all.

    Raises:
        ConfigError: the paper has no protocol at this scale, or none of this name.
    """
    protocols = paper(name).at(scale)
    if not protocols:
        got = f"'{scale}' for {name}, which has no study at that scale"
        lacking = paper(name).lacking.rstrip(".")
        hint = f"use the small scale, since the full one lacks {lacking}" if lacking else ""
        raise ConfigError("--scale", got, "--scale small", hint)
    if only is None:
        return protocols
    names = [protocol.name for protocol in protocols]
    if only not in names:
        raise ConfigError("--only", repr(only), f"one of {', '.join(names)}", nearest(only, names))
    return [protocol for protocol in protocols if protocol.name == only]
