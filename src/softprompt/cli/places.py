"""Folders of prompts and runs, and the settings stored with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.answers import answer_settings, check_vocabulary, run_of, stored_run
from softprompt.cli.options import recipe_or_named
from softprompt.config import RunSettings, load_run, load_stored
from softprompt.errors import BackboneError, ConfigError, PromptError
from softprompt.untrusted import at_home

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
        settings = load_stored(target / SETTINGS, ["backbone.device=null", *overrides])
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
    settings = load_run(recipe_or_named(recipe), overrides)
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


def stored_settings(
    folder: Path,
    card: "PromptCard",
    backbone: str | None,
    overrides: list[str],
    task: dict[str, Any] | None = None,
    seed: int | None = None,
) -> RunSettings:
    """The settings for use of a stored prompt: backbone, task and decoding.

    They are those of the run where the prompt lies in its run, else those of the card. The backbone is always
    one that `allowed_backbone` allows.

    Args:
        folder: of the prompt.
        card: of the prompt.
        backbone: another name or folder for the same backbone.
        overrides: `key=value` for decoding, backbone or task.
        task: settings in place of the stored ones.
        seed: of what is drawn; None is the run's.

    Raises:
        ConfigError: settings that this version refuses, or an override of others.
        BackboneError: the user has to name the backbone.
    """
    run = run_of(folder)
    stored = stored_run(folder, card)
    of_backbone = stored.get("backbone")
    chosen: dict[str, Any] = (
        {**of_backbone, "device": None} if isinstance(of_backbone, dict) else {"device": None}
    )
    if not any(override.startswith("backbone.name=") for override in overrides):
        chosen["name"] = allowed_backbone(folder, card, backbone)
    if run is None and not any(override.startswith("task.vocabulary=") for override in overrides):
        check_vocabulary(folder, stored.get("task"))
    return answer_settings(
        stored,
        card,
        str(folder / CARD if run is None else run / SETTINGS),
        backbone=chosen,
        task=task,
        overrides=overrides,
        seed=seed,
    )


def allowed_backbone(folder: Path, card: "PromptCard", given: str | None) -> str:
    """The name or folder from which a command loads the backbone of a stored prompt.

    A card comes with a prompt from anywhere, and the backbone's name in it is only a name. The name leads to
    a bundled backbone or a checkpoint of the hub that is on this machine already, and never to the network
    or a folder. The user gives a folder, by `--backbone` or by the settings of the run around the prompt.

    Args:
        folder: of the prompt.
        card: of the prompt.
        given: by the user, and taken as it is.

    Raises:
        BackboneError: the user has to name the backbone, or to fetch it first.
    """
    from softprompt.backbones import BUNDLED_NAMES, bundled_folder, cached_checkpoint

    if given:
        return given
    run, name = run_of(folder), card.backbone.name
    if run is not None:
        name = load_stored(run / SETTINGS).backbone.name
        if not name.startswith(("//", "\\\\")) and at_home(name).is_dir():
            return name
    if name in BUNDLED_NAMES:
        if bundled_folder(name) is not None:
            return name
        got, do = f"'{name}', which is not on this machine", f"fetch it: softprompt backbones pull {name}"
        raise BackboneError(f"{folder}: backbone", got, "a bundled backbone that is here", do)
    if (cached := cached_checkpoint(name)) is not None:
        return str(cached)
    raise BackboneError(
        f"{folder}: backbone",
        f"'{name}', which a prompt's card alone does not make a command load",
        "a backbone that you name",
        "add --backbone with its folder or its name on the hub",
    )


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
