"""What the tasks share whose answer a head gives, whatever it reads: texts or pictures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from softprompt.errors import ConfigError, DataError, PromptError, with_article
from softprompt.files import HeadCard
from softprompt.tasks.rows import in_batches
from softprompt.tasks.task import AnyExample, ScoreRow

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


class HeadExample(AnyExample, Protocol):
    """An encoded record whose states a head reads."""

    @staticmethod
    def states(backbone: "Backbone", examples: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """One pass over all rows: states, `[row, seq, hidden]`, and the mask that heads take with them."""
        ...


@dataclass(frozen=True)
class HeadOutputs:
    """What one prompt's head says of some examples.

    Args:
        prompt: whose head.
        members: indices of the examples.
        outputs: `[row, output]` or `[row, seq, output]`, the rows of these examples in order, float32.
    """

    prompt: "Prompt"
    members: list[int]
    outputs: Tensor


def read(backbone: "Backbone", examples: Sequence[HeadExample]) -> Iterator[HeadOutputs]:
    """One pass of the backbone over all rows, then each active prompt's own head on its rows.

    Raises:
        PromptError: a prompt without a head, or an example whose rows have different prompts.
    """
    states, mask = examples[0].states(backbone, examples)
    owner = [i for i, example in enumerate(examples) for _ in range(example.n_rows)]
    for prompt, rows in backbone.active_rows(len(owner)):
        if prompt is None or prompt.head is None:
            what = (
                "no prompt" if prompt is None else f"{with_article(prompt.card.method)} prompt without a head"
            )
            raise PromptError(
                "prompted", what, "a prompt with a head", "build the prompt with head=softprompt.head(...)"
            )
        if rows is None:
            yield HeadOutputs(prompt, list(range(len(examples))), prompt.head(states, mask))
            continue
        members = sorted({owner[row] for row in rows.tolist()})
        if sum(examples[i].n_rows for i in members) != len(rows):
            raise PromptError(
                "prompted.rows", "different prompts for the rows of one example", "one prompt per example"
            )
        rows = rows.to(states.device)
        yield HeadOutputs(prompt, members, prompt.head(states[rows], mask[rows]))


class HeadTask(ABC):
    """A task with a head; what differs is what is read, the loss, and how outputs become an answer.

    Args:
        backbone: the frozen model.
        settings: of the task.
        labels: every label, in the order of the head's outputs; empty for tasks without.
        batch_size: examples read together by `predict`.
    """

    record: ClassVar[type]
    """The class of the records that the task reads."""

    template = None
    answers_bare = False
    """Without a trained head there is no answer."""

    def __init__(
        self, backbone: "Backbone", settings: Any, labels: Sequence[str] = (), batch_size: int = 16
    ) -> None:
        self.backbone = backbone
        self.settings: Any = settings
        self.labels = tuple(labels)
        self._batch_size = batch_size

    @property
    def kind(self) -> str:
        """The kind of head that the task needs."""
        return self.settings.head_kinds[0]

    @property
    def head(self) -> HeadCard:
        """The head that this task needs."""
        from softprompt.prompts import head

        pooling = getattr(self.settings, "pooling", None)
        return head(self.kind, self.labels, pooling=pooling, dropout=self.settings.head_dropout)

    @property
    def resolved(self) -> dict[str, Any]:
        """Nothing: what was open, the head's card says."""
        return {}

    def usable(self, records: Sequence[Any]) -> list[Any]:
        """Every record."""
        return list(records)

    # -- what differs ----------------------------------------------------------------------------

    @property
    @abstractmethod
    def n_cut(self) -> int:
        """Texts that were longer than the settings allow, and were cut, so far."""

    @abstractmethod
    def _encoded(self, record: Any, labelled: bool) -> Any:
        """A record as it is read, with what is wanted where `labelled`."""

    @abstractmethod
    def _loss(self, outputs: Tensor, examples: Sequence[Any]) -> Tensor:
        """Summed loss of these examples, whose rows the outputs are."""

    @abstractmethod
    def _answers(self, outputs: Tensor, examples: Sequence[Any]) -> list[Any]:
        """One answer per example."""

    @abstractmethod
    def score(self, records: Sequence[Any], outputs: Sequence[Any], metrics: Sequence[str]) -> list[ScoreRow]:
        """Score the answers."""

    @abstractmethod
    def demonstrations(self, records: Sequence[Any], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` records drawn by `seed`, as the backbone reads them."""

    @abstractmethod
    def check(self, records: Sequence[Any], labelled: bool = True) -> None:
        """Look at every record before anything is trained."""

    @abstractmethod
    def check_positions(self, records: Sequence[Any], prompt_positions: int, training: bool) -> None:
        """Refuse what, with the prompt, needs more positions than the backbone has."""

    @classmethod
    def labels_in(cls, records: Sequence[Any]) -> tuple[str, ...]:
        """The labels of some records, in the order that the head's outputs take them."""
        return tuple(sorted({record.label for record in records if record.label is not None}))

    # -- what is shared --------------------------------------------------------------------------

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """No files beside the scores."""
        return {}

    def encode(self, record: Any) -> Any:
        """A record as it is read, and what is wanted of it.

        Raises:
            DataError: a label that is missing or unknown, or nothing to read.
        """
        return self._encoded(record, labelled=True)

    def loss(self, examples: Sequence[Any]) -> Tensor:
        """Summed loss; call it inside `backbone.prompted`, with any number of prompts and rows.

        Returns:
            A float32 scalar, differentiable; divide by the number of targets.
        """
        total = torch.zeros((), device=self.backbone.device)
        for group in read(self.backbone, examples):
            total = total + self.loss_of(group, [examples[i] for i in group.members])
        return total

    def loss_of(self, group: HeadOutputs, members: Sequence[Any]) -> Tensor:
        """Summed loss of the examples that one head has read."""
        self.check_head(group.prompt)
        return self._loss(group.outputs, members)

    @torch.no_grad()
    def predict(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Any]:
        """One answer per record, in their order; call it inside `backbone.prompted` with one prompt.

        Args:
            records: their labels are not looked at.
            progress: called after every batch with the number of records in it.
            seed: not used: nothing is drawn.
        """
        examples = [self._encoded(record, labelled=False) for record in records]

        def answer(some: list[Any]) -> list[Any]:
            answers: list[Any] = [None] * len(some)
            for group in read(self.backbone, some):
                self.check_head(group.prompt)
                found = self._answers(group.outputs, [some[i] for i in group.members])
                for i, one in zip(group.members, found, strict=True):
                    answers[i] = one
            return answers

        return in_batches(examples, self._batch_size, answer, progress)

    @classmethod
    def check_kind(cls, name: str, records: Iterable[Any]) -> None:
        """Raises ConfigError where a record is not what the task reads."""
        for record in records:
            if not isinstance(record, cls.record):
                raise ConfigError(
                    "task.name",
                    f"'{name}' with {type(record).__name__} records",
                    f"{cls.record.__name__} records",
                    "choose the task that fits data.format",
                )

    def check_head(self, prompt: "Prompt") -> None:
        """Raises PromptError where a prompt's head is not one for this task and these labels."""
        card = None if prompt.head is None else prompt.head.card
        pooling = getattr(self.settings, "pooling", None)
        if card is None or (card.kind, card.labels) != (self.kind, self.labels):
            raise PromptError(
                f"task {self.settings.name}",
                "no head" if card is None else _in_words(card.kind, card.labels),
                _in_words(self.kind, self.labels),
                "use a prompt that was trained for this task"
                + (" and these labels, or leave task.labels out" if self.labels else ""),
            )
        if pooling is not None and pooling != card.pooling:
            raise PromptError(
                "task.pooling",
                f"'{pooling}'",
                f"'{card.pooling}', by which the head was trained",
                "leave it out",
            )

    def _index(self, label: str | None, where: str) -> int:
        if label is None:
            raise DataError(where, "no label", f"one of {list(self.labels)}")
        if label not in self.labels:
            raise DataError(
                where,
                f"the label '{label}'",
                f"one of {list(self.labels)}",
                "correct it, or list it in task.labels",
            )
        return self.labels.index(label)


def _in_words(kind: str, labels: Sequence[str]) -> str:
    return f"a {kind} head" + (f" for {list(labels)}" if labels else "")
