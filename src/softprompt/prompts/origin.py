"""Where a prompt comes from, and what it answers by."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


class Origin:
    """The backbone of a prompt, and the folder that it was read from.

    A copy of a prompt has the same origin; a pickled one has none, since a backbone does not belong into
    the file of a prompt.

    Args:
        backbone: that the prompt was made or loaded for.
        folder: of its file.
    """

    def __init__(self, backbone: Any = None, folder: Path | None = None):
        self.backbone = backbone
        self.folder = folder

    def __deepcopy__(self, memo: object) -> "Origin":
        return self

    def __copy__(self) -> "Origin":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Origin, ()


class Answering:
    """The part of a prompt that answers; `softprompt.answers` does the work.

    Answers are those of `softprompt generate` and `softprompt predict`: the form of the text is the one that
    the prompt was trained by, as its file says. Any number of threads may ask prompts of one backbone.
    """

    origin: Origin = Origin()
    """What `load_prompt` and the methods set."""

    def generate(
        self,
        texts: str | Sequence[Any],
        pictures: Sequence[Any] | None = None,
        *,
        backbone: Any = None,
        task: Any = None,
        decoding: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """The text that the prompt writes for each source, as `softprompt generate` gives it.

        Args:
            texts: the sources; a single text is a list of one.
            pictures: the file of a picture for each, where the prompt reads pictures.
            backbone: None is the one that the prompt was made or loaded for.
            task: settings of the task (or a mapping), for a prompt that stores none.
            decoding: settings that change, e.g. `{"strategy": "greedy", "batch_size": 8}`.
            seed: of sampled texts; None is the run's. A text and a seed always give the same answer.

        Raises:
            PromptError: a prompt that says no task, or one that writes no texts.
            SoftpromptError: a text that cannot be answered.
        """
        return _answers().generate(
            self, texts, pictures, backbone=backbone, task=task, decoding=decoding, seed=seed
        )

    def predict(
        self,
        inputs: Any,
        *,
        backbone: Any = None,
        task: Any = None,
        batch_size: int | None = None,
        words: str = "auto",
    ) -> list[Any]:
        """The prompt's answer to each input, as `softprompt predict` gives it.

        Args:
            inputs: texts; pairs of texts; `(question, context)`; `(text, choices)`; lists of words; files
                of pictures; mappings of these by their names; or records of `softprompt.data`.
            backbone: None is the one that the prompt was made or loaded for.
            task: settings of the task (or a mapping), for a prompt that stores none.
            batch_size: how many are read together; None is the run's.
            words: how texts to tag are cut into words: `spaces`, `characters`, `scripts` (characters of
                scripts without spaces, whole words of others), or `auto`, as in training.

        Returns:
            A `softprompt.answers.Answer` for each: labels with probabilities (`LabelAnswer`,
            `ChoiceAnswer`), tags with the characters of their words (`TagsAnswer`), stretches of a context
            (`SpanAnswer`), numbers (`NumberAnswer`) or words for a blank (`WordsAnswer`).

        Raises:
            PromptError: a prompt that says no task, or one that writes texts.
            SoftpromptError: an input that cannot be answered.
        """
        return _answers().predict(
            self, inputs, backbone=backbone, task=task, batch_size=batch_size, words=words
        )

    def score(
        self,
        records: Any,
        metrics: Sequence[str] | None = None,
        *,
        targets: Sequence[Any] | None = None,
        backbone: Any = None,
        task: Any = None,
        decoding: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> list[Any]:
        """Scores of the prompt's answers beside what is right, as `softprompt evaluate` gives them.

        Args:
            records: mappings as `predict` and `generate` take them, with what is right under `label`,
                `target`, `tags` or `answers` or the column of the prompt's own data; records of
                `softprompt.data`, e.g. `softprompt.data.load(settings.data).test`; or, with `targets`,
                anything that `predict` and `generate` take.
            metrics: their names; None is those of the prompt's run, else the task's first.
            targets: what is right for each input: a label or number, a text or several, a list of tags, a
                choice or its place, the texts that answer a question.
            backbone: None is the one that the prompt was made or loaded for.
            task: settings of the task (or a mapping), for a prompt that stores none.
            decoding: settings that change.
            seed: of sampled texts; None is the run's.

        Returns:
            A `softprompt.tasks.ScoreRow` for each group of records, `all` among them.

        Raises:
            PromptError: a prompt that says no task.
            SoftpromptError: a record that cannot be answered or scored.
        """
        return _answers().score(
            self,
            records,
            metrics,
            targets=targets,
            backbone=backbone,
            task=task,
            decoding=decoding,
            seed=seed,
        )


def _answers() -> Any:
    # By its name, since answers stand above prompts.
    return import_module("softprompt.answers")
