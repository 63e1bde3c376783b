"""The base class of every task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from softprompt.config import DecodingSettings, TaskSettings
from softprompt.errors import ConfigError, PromptError, counted
from softprompt.files import HeadCard
from softprompt.tasks.examples import Outcome, ScoreRow, outcome_of, score_row
from softprompt.tasks.registry import TASKS
from softprompt.text import Template

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


class Task(ABC):
    """What is asked of a backbone: how a record becomes tokens, a loss, an output and a score.

    Args:
        backbone: the frozen model with its tokenizer.
        settings: of the task.
        labels: every label, in the order of the head's outputs; empty for tasks without labels.
        fields: what templates may call a record's texts.
        decoding: how many records are predicted together, and how texts are written.
    """

    def __init__(
        self,
        backbone: "Backbone",
        settings: TaskSettings,
        labels: Sequence[str] = (),
        fields: Sequence[str] = (),
        decoding: DecodingSettings | None = None,
    ):
        self.backbone = backbone
        self.settings: Any = settings
        self.labels = tuple(labels)
        self.fields = tuple(fields)
        self.decoding = decoding or DecodingSettings()
        self._set_up()

    def _set_up(self) -> None:  # noqa: B027  most tasks have something to derive, none has to
        """Derive from the constructor's arguments what the class needs."""

    # -- what every task has to have -------------------------------------------------------------

    @abstractmethod
    def encode(self, record: Any) -> Any:
        """The token ids of a record in the form that training consumes, an `AnyExample`."""

    @abstractmethod
    def loss(self, examples: Sequence[Any]) -> Tensor:
        """Summed loss over the targets of these examples, a float32 scalar."""

    @abstractmethod
    def predict(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Any]:
        """One output per record, in their order.

        Args:
            records: whose labels are not used.
            progress: called after every batch with the number of records in it.
            seed: of what is drawn.
        """

    def outcomes(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Outcome]:
        """As `predict`, with the probabilities of what is said where the task has any."""
        explained = self.explained(records, progress, seed)
        return [outcome_of(output, facts, self.labels) for output, facts in explained]

    @abstractmethod
    def check_positions(self, records: Sequence[Any], prompt_positions: int, training: bool) -> None:
        """Raise where the prompt and the longest text need more positions than the backbone has.

        Args:
            records: every one that will be read.
            prompt_positions: positions that the prompt takes up (0 where it shifts nothing).
            training: whether the records are trained on, rather than predicted.
        """

    # -- what a task may change ------------------------------------------------------------------

    def explained(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[tuple[Any, Mapping[str, Any]]]:
        """As `predict`, each output with what the task knows about it (`softprompt.answers` takes it up).

        The facts are `probabilities` (of the labels or choices in order, of each word's tag, or of the words
        of a ranking), `start`, `end` and `probability` of a stretch of text, or `probability` and `separator`
        of several labels; nothing by default.
        """
        return [(output, {}) for output in self.predict(records, progress, seed)]

    @property
    def head(self) -> HeadCard | None:
        """The head that gives the answer; None for a task without a head."""
        return None

    @property
    def template(self) -> Template | None:
        """The words and slots around the record's texts; None for a task without a template."""
        return None

    @property
    def answers_bare(self) -> bool:
        """Whether the backbone can answer without a prompt: no head, and no slots for a prompt to fill."""
        return self.head is None and (self.template is None or not self.template.n_slots)

    @property
    def resolved(self) -> dict[str, Any]:
        """Values for the settings that the recipe left open."""
        return {}

    @property
    def n_cut(self) -> int:
        """Texts that were longer than the settings allow and were cut, so far."""
        return 0

    @property
    def counts(self) -> dict[str, int]:
        """Further counts for a run's result, by name."""
        return {}

    @property
    def cut_note(self) -> str:
        """What was cut so far, to be said once; empty where nothing was."""
        if not self.n_cut:
            return ""
        longest = getattr(self.settings, "max_tokens", None)
        to = "" if longest is None else f" to {counted(longest, 'token')} (task.max_tokens)"
        return f"cut {counted(self.n_cut, 'text')}{to}"

    @property
    def form_note(self) -> str:
        """What form the texts have, to be said where nobody chose it; empty where it is the usual one."""
        return ""

    cut_answers: tuple[int, ...] = ()
    """The places of those of the last `predict`'s outputs that reached the limit before their end."""

    def answer_note(self, n: int) -> str:
        """That so many outputs reached the limit before their end; empty for none."""
        return ""

    def settle(self, records: Sequence[Any]) -> None:  # noqa: B027  most tasks leave nothing open
        """Derive from the training records what the settings leave open."""

    @classmethod
    def labels_for(
        cls, settings: TaskSettings, declared: Sequence[str] | None, train: Sequence[Any]
    ) -> tuple[str, ...]:
        """Every label, in the order of the head's outputs; empty for tasks without labels.

        Args:
            settings: of the task.
            declared: the data format's own list, if it has one.
            train: the training records.
        """
        return ()

    def usable(self, records: Sequence[Any]) -> list[Any]:
        """The records that have an answer which the task can give; a run counts and reports the others."""
        return list(records)

    def demonstrations(self, records: Sequence[Any], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` records drawn by `seed`, as the backbone reads them.

        Raises:
            ConfigError: a task whose records are no tokens.
        """
        got = f"examples of task '{self.settings.name}', whose records are no tokens"
        raise ConfigError("method.initialization", got, "another start", "set method.initialization=random")

    def check(self, records: Sequence[Any], labelled: bool = True) -> None:
        """Raise for the first record that cannot be used.

        Args:
            records: of a data set.
            labelled: whether their answers are needed.
        """
        check_records(self.settings.name, records)

    def check_head(self, prompt: "Prompt | None") -> None:
        """Raises PromptError where a prompt's head is not the one that this task needs."""
        card = None if prompt is None or prompt.head is None else prompt.head.card
        given, needed = None if card is None else (card.kind, card.labels), self._needed_head
        if given != needed:
            do = "use a prompt that was trained for this task"
            if needed is not None and needed[1]:
                do += " and these labels"
                do += ", or leave task.labels out" if "labels" in type(self.settings).model_fields else ""
            raise PromptError(f"task {self.settings.name}", _in_words(given), _in_words(needed), do)

    @property
    def _needed_head(self) -> tuple[str, tuple[str, ...]] | None:
        """The kind and the labels of the head."""
        head = self.head
        return None if head is None else (head.kind, head.labels)

    @property
    def label_weights(self) -> tuple[float, ...] | None:
        """The weight of each label in the loss, in the order of the labels; None where all weigh alike.

        Raises:
            ConfigError: `balanced`, which a run replaces by numbers; weights for other labels.
        """
        given = getattr(self.settings, "class_weights", None)
        if given is None:
            return None
        if isinstance(given, str):
            do = "give a number for each label"
            raise ConfigError("task.class_weights", repr(given), "numbers, outside of a run", do)
        if set(given) != set(self.labels):
            got, expected = f"weights for {sorted(given)}", f"one for each of {list(self.labels)}"
            raise ConfigError("task.class_weights", got, expected)
        return tuple(given[label] for label in self.labels)

    def reference(self, record: Any) -> Any:
        """What is right for a record, as the task's metrics take it: by default its label."""
        return str(record.label)

    def score(self, records: Sequence[Any], outputs: Sequence[Any], metrics: Sequence[str]) -> list[ScoreRow]:
        """Rows of scores, one for each group of records: by default one row, `all`."""
        from softprompt.metrics import score

        references = [self.reference(record) for record in records]
        name = self.settings.name
        facts = {"labels": self.labels} if TASKS[name].outputs.takes_labels else {}
        return [score_row("all", score(metrics, outputs, references, task=name, **facts))]

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """Files beside the scores, by name; runs and evaluations keep them with the outputs."""
        return {}

    def files(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> Mapping[str, str | bytes]:
        """As `artefacts`, from outputs with their probabilities."""
        return self.artefacts(records, [outcome.output for outcome in outcomes])


def check_records(name: str, records: Iterable[Any]) -> None:
    """Refuse records that a task does not read.

    Args:
        name: of the task.
        records: of a data set.

    Raises:
        ConfigError: the first record of another class.
    """
    kinds = TASKS[name].records
    for record in records:
        if not isinstance(record, kinds):
            raise ConfigError(
                "task.name",
                f"'{name}' with {type(record).__name__} records",
                f"{' or '.join(kind.__name__ for kind in kinds)} records",
                "choose the task that fits data.format",
            )


def several(labels: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The labels, if they are at least two.

    Raises:
        ConfigError: fewer labels.
    """
    if len(labels) < 2:
        got, do = f"{list(labels)} in the training data", "list them in task.labels"
        raise ConfigError(where, got, "at least two labels", do)
    return labels


def _in_words(head: tuple[str, tuple[str, ...]] | None) -> str:
    if head is None:
        return "no head"
    kind, labels = head
    return f"a {kind} head" + (f" for {list(labels)}" if labels else "")
