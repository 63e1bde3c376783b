"""The learning rates, schedule and steps of a run that says none of them: those of its method."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from softprompt.config import MixtureSettings, RunSettings, TrainingSettings
from softprompt.errors import counted
from softprompt.prompts import METHODS, UNDECLARED, TrainingDefaults, head_rate, tuned_rate
from softprompt.tasks import HeadTask
from softprompt.training.loop import STEPS_OF_TEXTS, n_steps, steps_per_epoch
from softprompt.training.setup.components import RunComponents

_Kind = TypeVar("_Kind", bound=RunSettings | MixtureSettings)

_OF_RATES = ("learning_rate", "head_learning_rate", "backbone_learning_rate", "schedule", "warmup_steps")
_OF_LENGTH = ("steps", "epochs")
_STATES = 8
"""Records whose states are measured."""


@dataclass(frozen=True)
class Chosen:
    """A run with every rate and its number of steps.

    Args:
        settings: of the whole run.
        parts: its tasks by name, with the same.
        said: a line for each choice that was open.
        usual_rate: the method's default learning rate.
    """

    settings: RunSettings | MixtureSettings
    parts: Mapping[str, RunComponents]
    said: tuple[str, ...]
    usual_rate: float


def with_training_defaults(
    settings: RunSettings | MixtureSettings,
    parts: Mapping[str, RunComponents],
    stored: Mapping[str, Any],
) -> Chosen:
    """Fill in what the settings of the training leave to the method.

    Args:
        settings: of the whole run.
        parts: its tasks by name.
        stored: the training settings with which a run began that is resumed now; empty for a new run. Choices
            that are open now are those of that run, whatever the defaults have become since.
    """
    method, training = settings.method, settings.training
    has_head = next(iter(parts.values())).settings.task.has_head
    sgd = training.optimizer == "sgd"  # the rates of methods are AdamW's
    usual = UNDECLARED if sgd else METHODS[method.name].training_defaults(method, has_head)
    open_ = {*_open(training, _OF_LENGTH), *(_OF_RATES if training.learning_rate is None else ())}
    open_ -= {key for key in open_ if getattr(training, key) is not None}
    kept = {key: stored[key] for key in open_ if stored.get(key) is not None}
    training = _updated(training, kept)
    said: list[str] = []
    per_epoch = _steps_per_epoch(settings, parts)
    first = next(iter(parts.values()))
    if _open(training, _OF_LENGTH):
        n_examples = sum(len(part.splits.train) for part in parts.values())
        steps = 0
        if any(part.prompt.n_trained_parameters for part in parts.values()):
            steps = n_steps(training, per_epoch, STEPS_OF_TEXTS if first.settings.task.writes_text else None)
            epochs = counted(steps // per_epoch, "epoch")
            of = counted(n_examples, "example")
            said.append(f"{counted(steps, 'step')} ({epochs}): the default for {of}")
        training = _updated(training, {"steps": steps})
    if training.learning_rate is None:
        steps = n_steps(training, per_epoch)
        rates: dict[str, Any] = {"learning_rate": usual.learning_rate, "schedule": usual.schedule}
        rates["warmup_steps"] = round(usual.warmup * steps)
        if has_head:
            rates["head_learning_rate"] = usual.head_learning_rate
            if not sgd and training.head_learning_rate is None:
                rates["head_learning_rate"] = _of_head(usual, parts)
        if "tune" not in usual.when and not sgd:
            rates["backbone_learning_rate"] = tuned_rate(method)
        rates = {key: value for key, value in rates.items() if getattr(training, key) is None}
        training = _updated(training, rates)
        if steps:
            said.append(_of_rates(rates, "sgd" if sgd else method.name, usual.when))
    made = {name: replace(part, settings=_trained(part.settings, training)) for name, part in parts.items()}
    return Chosen(_trained(settings, training), made, tuple(said), usual.learning_rate)


def _of_head(usual: TrainingDefaults, parts: Mapping[str, RunComponents]) -> float | None:
    """The rate of the heads beside the method's, which fits the size of the states that they read."""
    own = usual.learning_rate if usual.head_learning_rate is None else usual.head_learning_rate
    sizes = [
        part.task.state_size(part.splits.train[:_STATES], head)
        for part in parts.values()
        if isinstance(part.task, HeadTask)
        and part.splits.train
        and (head := part.prompt.card.head) is not None
    ]
    rate = head_rate(own, max(sizes, default=0.0))
    return usual.head_learning_rate if rate == own else rate


def _open(training: TrainingSettings, keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys, if none of them is given."""
    return keys if all(getattr(training, key) is None for key in keys) else ()


def _steps_per_epoch(settings: RunSettings | MixtureSettings, parts: Mapping[str, RunComponents]) -> int:
    counts = [len(part.splits.train) for part in parts.values()]
    separate = isinstance(settings, MixtureSettings) and settings.prompts == "separate"
    return steps_per_epoch(max(counts) if separate else sum(counts), settings.training.batch_size)


def _updated(training: TrainingSettings, values: Mapping[str, Any]) -> TrainingSettings:
    return training.model_copy(update=dict(values))


def _trained(settings: _Kind, training: TrainingSettings) -> _Kind:
    """Settings with the same choices, and with what a part says otherwise (`select`) left as it is."""
    keys = (*_OF_RATES, *_OF_LENGTH)
    own = _updated(settings.training, {key: getattr(training, key) for key in keys})
    return settings.model_copy(update={"training": own})


def _of_rates(rates: Mapping[str, Any], method: str, when: Mapping[str, Any]) -> str:
    """A line such as `learning rate 5e-3 (head 1e-2): the default of p_tuning_v2`."""
    words = {"head_learning_rate": "head", "backbone_learning_rate": "tuned tensors"}
    beside = [f"{word} {rates[key]:g}" for key, word in words.items() if rates.get(key) is not None]
    beside += [f"{counted(rates['warmup_steps'], 'step')} of warm-up"] if rates.get("warmup_steps") else []
    beside += [rates["schedule"]] if rates.get("schedule") not in (None, "linear") else []
    more = f" ({', '.join(beside)})" if beside else ""
    of = "".join(f", {name} {_said(value)}" for name, value in when.items() if name != "head")
    return f"learning rate {rates['learning_rate']:g}{more}: the default of {method}{of}"


def _said(value: Any) -> str:
    return " or ".join(value) if isinstance(value, tuple) else str(value)
