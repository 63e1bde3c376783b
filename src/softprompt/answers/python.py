"""What `Prompt.generate`, `Prompt.predict` and `Prompt.score` do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from softprompt.answers.answering import Answerer
from softprompt.answers.inputs import Asked, Words, asked_of
from softprompt.answers.kinds import Answer
from softprompt.answers.stored import live_settings
from softprompt.config import RunSettings, TaskSettings
from softprompt.errors import ConfigError, DataError, PromptError
from softprompt.metrics import metrics_of, require_libraries
from softprompt.tasks import TASKS, ScoreRow

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


def generate(
    prompt: "Prompt",
    texts: Any,
    pictures: Sequence[Any] | None = None,
    *,
    backbone: "Backbone | None" = None,
    task: TaskSettings | Mapping[str, Any] | None = None,
    decoding: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> list[str]:
    """See `Prompt.generate`."""
    settings = live_settings(prompt, task, decoding, seed)
    if not settings.task.writes_text:
        got = f"a prompt for task '{settings.task.name}', which writes no texts"
        raise PromptError("prompt.generate", got, "a prompt for generation", "use prompt.predict")
    inputs = _listed(texts)
    if pictures is not None:
        if len(pictures) != len(inputs):
            got = f"{len(pictures)} pictures for {len(inputs)} texts"
            raise ConfigError("pictures", got, "one for each text")
        inputs = list(zip(inputs, pictures, strict=True))
    return [answer.output for answer in _answers(prompt, backbone, settings, _asked(settings, inputs))]


def predict(
    prompt: "Prompt",
    inputs: Any,
    *,
    backbone: "Backbone | None" = None,
    task: TaskSettings | Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    words: Words = "auto",
) -> list[Answer]:
    """See `Prompt.predict`."""
    settings = live_settings(prompt, task, None if batch_size is None else {"batch_size": batch_size}, None)
    if settings.task.writes_text:
        got = f"a prompt for task '{settings.task.name}', whose answers are texts"
        raise PromptError(
            "prompt.predict", got, "a prompt with labels, tags or numbers", "use prompt.generate"
        )
    return _answers(prompt, backbone, settings, _asked(settings, _listed(inputs), words))


def score(
    prompt: "Prompt",
    records: Sequence[Any],
    metrics: Sequence[str] | None = None,
    *,
    backbone: "Backbone | None" = None,
    task: TaskSettings | Mapping[str, Any] | None = None,
    decoding: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> list[ScoreRow]:
    """See `Prompt.score`."""
    settings = live_settings(prompt, task, decoding, seed)
    stored = prompt.card.training.get("metrics")
    names = list(metrics if metrics is not None else stored or metrics_of(settings.task.name)[:1])
    require_libraries(names)
    kinds = TASKS[settings.task.name].records
    for one in records:
        if not isinstance(one, kinds):
            expected = (
                f"{' or '.join(kind.__name__ for kind in kinds)} of softprompt.data, with what is right"
            )
            raise DataError("prompt.score", type(one).__name__, expected)
    if not records:
        raise DataError("prompt.score", "no records", "records to score")
    answerer = _answerer(prompt, backbone, settings)
    usable = answerer.task.usable(records)
    if not usable:
        got = f"{len(records)} records, none of them with an answer in the vocabulary"
        raise DataError("prompt.score", got, "at least one record with such an answer")
    asked = [asked_of(settings.task, record, record.id) for record in usable]
    answerer.check(asked)
    return answerer.score(usable, answerer.answers(asked), names)


def _listed(inputs: Any) -> list[Any]:
    """Several inputs as a list; a single text or mapping is one input."""
    if hasattr(inputs, "columns") and hasattr(inputs, "itertuples"):
        # Its iterator gives the names of columns, which would be answered.
        got, do = "a table of pandas", "give one of its columns, e.g. table['text']"
        raise DataError("prompt.predict or generate", got, "a list of inputs", do)
    if isinstance(inputs, (str, bytes, Mapping)) or not hasattr(inputs, "__iter__"):
        return [inputs]
    return list(inputs)


def _asked(settings: RunSettings, inputs: Sequence[Any], words: Words = "auto") -> list[Asked]:
    return [asked_of(settings.task, one, str(i), words) for i, one in enumerate(inputs, start=1)]


def _answerer(prompt: "Prompt", backbone: "Backbone | None", settings: RunSettings) -> Answerer:
    frozen = prompt.origin.backbone if backbone is None else backbone
    if frozen is None:
        raise PromptError(
            "prompt.backbone",
            "a prompt that does not know its backbone",
            "the backbone that it was made for",
            "give backbone=..., or load the prompt with softprompt.load_prompt(folder, backbone)",
        )
    return Answerer(frozen, prompt, settings)


def _answers(
    prompt: "Prompt", backbone: "Backbone | None", settings: RunSettings, asked: Sequence[Asked]
) -> list[Answer]:
    answerer = _answerer(prompt, backbone, settings)
    answerer.check(asked)
    return answerer.answers(asked)
