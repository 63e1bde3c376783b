"""A callback of transformers' Trainer that leaves prompt folders, where Trainer itself leaves state dicts."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from softprompt.backbones.callers.prompted_model import PromptedModel
from softprompt.errors import PromptError, with_article
from softprompt.prompts import Prompt

PROMPT = "prompt"
"""The folder of the prompt, beside what Trainer writes."""


class SavePrompt(TrainerCallback):
    """Write a prompt folder with every checkpoint of Trainer's, and one at the end.

    `CHECKPOINT/prompt` is the prompt of the checkpoint, and `OUTPUT_DIR/prompt` the one with which training
    ended: the best one where Trainer loads it (`load_best_model_at_end`). Their cards hold the steps, the
    seed, and the figures of the last evaluation before (`eval_loss`, ...). Trainer's own files, from which it
    resumes, stay as they are.

    Args:
        card: also write a README.md for people and for the hub.

    Raises:
        PromptError: when training begins, for a model that is no `PromptedModel` with one prompt.
    """

    def __init__(self, card: bool = False):
        self.card = card

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse what cannot be saved before anything is trained."""
        _prompt(kwargs.get("model"))

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the prompt of a checkpoint."""
        self._save(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", state, args, kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the prompt with which training ended."""
        self._save(Path(str(args.output_dir)), state, args, kwargs)

    def _save(
        self, folder: Path, state: TrainerState, args: TrainingArguments, given: dict[str, Any]
    ) -> None:
        if not state.is_world_process_zero:
            return
        prompt = _prompt(given.get("model"))
        ended = folder == Path(str(args.output_dir)) and args.load_best_model_at_end
        step = _best(state) if ended else state.global_step
        facts = {"seed": args.seed, "training": {"trainer": "transformers", "steps": step}}
        told = prompt.card
        try:
            prompt.describe(metrics=_figures(state, step), **facts).save(folder / PROMPT, card=self.card)
        finally:
            prompt.card = told


def _prompt(model: Any) -> Prompt:
    if not isinstance(model, PromptedModel):
        raise PromptError("SavePrompt", with_article(type(model).__name__), "Trainer over a PromptedModel")
    return model.prompt


def _best(state: TrainerState) -> int:
    """The step of the best checkpoint, which is loaded when training ends."""
    best = Path(state.best_model_checkpoint or "").name.rpartition("-")[2]
    return int(best) if best.isdigit() else state.global_step


def _figures(state: TrainerState, step: int) -> dict[str, float]:
    """What the last evaluation up to a step gave, of Trainer's log."""
    for line in reversed(state.log_history):
        if line.get("step", 0) <= step and any(name.startswith("eval_") for name in line):
            timings = ("_runtime", "_per_second")
            return {
                name: float(value)
                for name, value in line.items()
                if name.startswith("eval_") and not name.endswith(timings) and isinstance(value, int | float)
            }
    return {}
