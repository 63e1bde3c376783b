"""Where prompts and runs lie, and the settings that belong to them."""

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

# Settings that decide how a prompt came to be; they are fixed once it is there.
_PAST = ("method", "training", "name", "output")


@dataclass(frozen=True)
class Place:
    """What is measured, under which settings, and where the result goes.

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
        ConfigError: the two do not fit together, or an override changes what cannot be changed any more.
        PromptError: there is no prompt where one should be.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key.partition(".")[0] in _PAST and key != "training.seed":
            raise ConfigError(
                "--set",
                key,
                "a setting of decoding, data, metrics, task or backbone",
                "train anew to change others",
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
    """The prompt folder meant: this one, or that of this run.

    Raises:
        PromptError: there is none.
    """
    if (folder / CARD).is_file():
        return folder
    if (folder / SETTINGS).is_file():
        _check_prompt(folder)
        return folder / PROMPT
    got = "no such folder" if not folder.exists() else f"no {CARD} in it"
    raise PromptError(str(folder), got, "a prompt folder, or the folder of a finished run")


def stored_settings(card: "PromptCard", backbone: str | None, overrides: list[str]) -> RunSettings:
    """How a prompt is to be used: the backbone, task and decoding that its card tells of.

    Args:
        backbone: another name or folder for the same backbone; None takes the card's.
    """
    # The data and training of a prompt that was made by hand are unknown, and nothing here reads them.
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
    """A stored prompt on its backbone, as the settings say."""
    from softprompt.prompts import load_prompt
    from softprompt.training import load_frozen

    frozen = load_frozen(settings.backbone, settings.backbone.device)
    return frozen, load_prompt(folder, frozen).to(frozen.device)
