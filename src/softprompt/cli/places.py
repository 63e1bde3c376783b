"""Folders of prompts and runs, and the settings stored with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.config import RunSettings, apply_override, load_run, parse_run
from softprompt.errors import ConfigError, PromptError

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.files import PromptCard
    from softprompt.prompts import Prompt

SETTINGS, PROMPT, CARD = "settings.yaml", "prompt", "prompt.json"

# Settings that decided how a prompt was trained, and are fixed from then on.
_PAST = ("method", "training", "name", "output")


@dataclass(frozen=True)
class Place:
    """A prompt to measure, its settings, and the folder of the results.

    Args:
        prompt: folder of the prompt; None where there is none.
        output: folder for results.
    """

    settings: RunSettings
    prompt: Path | None
    output: Path


def locate(target: Path | None, recipe: Path | None, overrides: list[str], needs_prompt: bool) -> Place:
    """A run folder, or a prompt folder with a recipe, or (where no prompt is needed) a recipe alone.

    Raises:
        ConfigError: target and recipe contradict each other, or an override changes a fixed setting.
        PromptError: the folder holds no prompt.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key.partition(".")[0] in _PAST and key != "training.seed":
            raise ConfigError(
                "--set",
                key,
                "a setting of decoding, data, metrics, task or backbone",
                "train again to change others",
            )
    if target is not None and (target / SETTINGS).is_file():
        if recipe is not None:
            raise ConfigError(
                "--recipe", str(recipe), f"no recipe beside {target}, which has its own", "leave it out"
            )
        if needs_prompt:
            _check_prompt(target)
        settings = load_run(target / SETTINGS, ["backbone.device=null", *overrides])
        return Place(settings, target / PROMPT if needs_prompt else None, target)
    if target is not None and not (target / CARD).is_file():
        got = "no such folder" if not target.exists() else f"neither {SETTINGS} nor {CARD} in it"
        raise PromptError(str(target), got, "a run folder or a prompt folder")
    if target is not None and not needs_prompt:
        raise ConfigError(
            str(target),
            "a prompt folder for a measurement without a prompt",
            "a run folder or nothing",
            "leave it out",
        )
    if recipe is None:
        what = "a prompt folder alone" if target is not None else "nothing"
        raise ConfigError(
            "evaluate", what, "a run folder, or --recipe", "add --recipe recipes/NAME.yaml for the data"
        )
    if needs_prompt and target is None:
        raise ConfigError(
            "evaluate",
            "a recipe and nothing to measure",
            "a prompt folder before --recipe, or --no-prompt or --demonstrations K",
        )
    settings = load_run(recipe, overrides)
    return Place(settings, target, settings.output / f"{settings.name}-evaluation")


def prompt_folder(folder: Path) -> Path:
    """The prompt folder: the given one, or that of the given run.

    Raises:
        PromptError: the folder holds no prompt.
    """
    if (folder / CARD).is_file():
        return folder
    if (folder / SETTINGS).is_file():
        _check_prompt(folder)
        return folder / PROMPT
    got = "no such folder" if not folder.exists() else f"no {CARD} in it"
    raise PromptError(str(folder), got, "a prompt folder, or the folder of a finished run")


def stored_settings(card: "PromptCard", backbone: str | None, overrides: list[str]) -> RunSettings:
    """The settings for use of a stored prompt: backbone, task and decoding of its card.

    Args:
        backbone: another name or folder for the same backbone; None takes the card's.
    """
    # A prompt that was made by hand has no data or training settings, and none are needed here.
    raw = {"data": {"format": "restaurants"}, "training": {"steps": 1}, **card.training}
    if card.task:
        raw["task"] = card.task
    raw["backbone"] = {**raw.get("backbone", {}), "name": backbone or card.backbone.name, "device": None}
    for override in overrides:
        key = override.partition("=")[0].strip()
        if not key.startswith(("decoding.", "backbone.", "task.")):
            raise ConfigError("--set", key, "a setting of decoding, task or backbone")
        apply_override(raw, override)
    return parse_run(raw, where="the prompt's card")


def _check_prompt(run: Path) -> None:
    if not (run / PROMPT / CARD).is_file():
        parts = sorted(path.parents[1].name for path in run.glob(f"*/{PROMPT}/{CARD}"))
        if parts:
            one = f"the folder of one of them: {', '.join(parts)}"
            raise PromptError(str(run), "a run over several tasks", one, f"use e.g. {run / parts[0]}")
        raise PromptError(
            str(run),
            "a run without a prompt",
            "a finished run",
            "finish it with `softprompt train RECIPE --resume`",
        )


def load(folder: Path, settings: RunSettings) -> "tuple[Backbone, Prompt]":
    """The backbone of the settings, and a stored prompt on its device."""
    from softprompt.prompts import load_prompt
    from softprompt.training import load_frozen

    frozen = load_frozen(settings.backbone, settings.backbone.device)
    return frozen, load_prompt(folder, frozen).to(frozen.device)
