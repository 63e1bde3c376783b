"""What `Prompt.generate`, `Prompt.predict` and `Prompt.score` do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from softprompt.answers.answering import Answerer
from softprompt.answers.inputs import Asked, asked_of
from softprompt.answers.kinds import Answer
from softprompt.answers.questions import check_pairs, parts_of
from softprompt.answers.right import check_right, conversations_of, right_of, with_right
from softprompt.answers.stored import live_settings, reading_settings, stored_run_of
from softprompt.answers.words import Words
from softprompt.config import RunSettings, TaskSettings
from softprompt.errors import ConfigError, DataError, PromptError, counted, kind_of
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
    asked = _asked(prompt, settings, inputs)
    return [answer.output for answer in _answers(prompt, backbone, settings, asked)]


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
    return _answers(prompt, backbone, settings, _asked(prompt, settings, _listed(inputs), words))


def score(
    prompt: "Prompt",
    records: Any,
    metrics: Sequence[str] | None = None,
    *,
    targets: Sequence[Any] | None = None,
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
    scored = _with_right(prompt, settings, records, targets)
    if not scored:
        raise DataError("prompt.score", "no records", "records to score")
    answerer = _answerer(prompt, backbone, settings)
    usable = answerer.task.usable(scored)
    if not usable:
        got = f"{counted(len(scored), 'record')}, none of them with an answer in the vocabulary"
        raise DataError("prompt.score", got, "at least one record with such an answer")
    check_right(usable, answerer.task.labels)
    asked = [asked_of(settings.task, record, record.id) for record in usable]
    answerer.check(asked)
    answerer.task.check(usable)
    return answerer.score(usable, answerer.answers(asked), names)


def _with_right(
    prompt: "Prompt", settings: RunSettings, records: Any, targets: Sequence[Any] | None
) -> list[Any]:
    """The records of what `prompt.score` is given."""
    task, kinds, made = settings.task, TASKS[settings.task.name].records, []
    stored = reading_settings(stored_run_of(prompt), ())
    inputs = _listed(records)
    if targets is not None:
        right = _listed(targets)
        if len(right) != len(inputs):
            got = f"{len(right)} targets for {len(inputs)} inputs"
            raise DataError("prompt.score", got, "what is right for each input")
        asked = [one.record for one in _asked(prompt, settings, inputs)]
        return [with_right(record, one, stored) for record, one in zip(asked, right, strict=True)]
    for i, one in enumerate(inputs, start=1):
        if isinstance(one, kinds):
            made.append(one)
        elif not isinstance(one, Mapping):
            known = " or ".join(kind.__name__ for kind in kinds)
            expected = f"records ({known} of softprompt.data) or mappings, with what is right"
            do = "give it in targets=, one for each input"
            raise DataError("prompt.score", f"{kind_of(one)} as record {i}", expected, do)
        elif task.writes_text and (turns := conversations_of(one, str(i))) is not None:
            made += turns
        else:
            record = asked_of(task, parts_of(task, one, str(i), stored), str(i)).record
            made.append(with_right(record, right_of(one, record, stored), stored))
    return made


def _listed(inputs: Any) -> list[Any]:
    """Several inputs as a list; a single text or mapping is one input."""
    if hasattr(inputs, "columns") and hasattr(inputs, "itertuples"):
        # Its iterator gives the names of columns, which would be answered.
        got, do = "a table of pandas", "give one of its columns, e.g. table['text']"
        raise DataError("prompt.predict or generate", got, "a list of inputs", do)
    if isinstance(inputs, (str, bytes, Mapping)) or not hasattr(inputs, "__iter__"):
        return [inputs]
    return list(inputs)


def _asked(
    prompt: "Prompt", settings: RunSettings, inputs: Sequence[Any], words: Words = "auto"
) -> list[Asked]:
    task, stored, asked = settings.task, reading_settings(stored_run_of(prompt), ()), []
    for i, one in enumerate(inputs, start=1):
        value = parts_of(task, one, str(i), stored) if isinstance(one, Mapping) else one
        asked.append(asked_of(task, value, str(i), words))
    check_pairs(asked, stored)
    return asked


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


def live_answerer(prompt: "Prompt", backbone: "Backbone | None" = None) -> Answerer:
    """What answers as `Prompt.generate` and `Prompt.predict` do.

    Raises:
        PromptError: a prompt that does not know its backbone, or does not say what it was trained for.
    """
    return _answerer(prompt, backbone, live_settings(prompt, None, None, None))
