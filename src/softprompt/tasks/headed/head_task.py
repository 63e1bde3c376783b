"""Shared by the tasks whose answer a head gives, on texts and on pictures."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from softprompt.data import check_spellings, in_order
from softprompt.errors import DataError, PromptError, with_article
from softprompt.files import HeadCard
from softprompt.tasks.base import Task, check_records, several
from softprompt.tasks.examples import AnyExample
from softprompt.tasks.rows import in_batches

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
    """The outputs of one prompt's head.

    Args:
        prompt: with the head.
        members: indices of the examples that the head has read.
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
            got = "no prompt"
            if prompt is not None:
                got = f"{with_article(prompt.card.method)} prompt without a head"
            do = "build the prompt with head=softprompt.head(...)"
            raise PromptError("prompted", got, "a prompt with a head", do)
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


class HeadTask(Task):
    """A task with a head; tasks differ in what is read, the loss, and how outputs become an answer."""

    @property
    def kind(self) -> str:
        """The kind of head that the task needs."""
        return self.settings.head_kinds[0]

    @property
    def head(self) -> HeadCard:
        """The head that this task needs."""
        from softprompt.prompts import head

        pooling = getattr(self.settings, "pooling", None)
        dropout = getattr(self.settings, "head_dropout", None)
        return head(self.kind, self.labels, pooling=pooling, dropout=dropout)

    # -- what differs between tasks --------------------------------------------------------------

    @abstractmethod
    def encoded(self, record: Any, labelled: bool) -> Any:
        """A record in the form that the backbone reads, with its target where `labelled`."""

    @abstractmethod
    def head_loss(self, outputs: Tensor, examples: Sequence[Any]) -> Tensor:
        """Summed loss of some examples, a float32 scalar.

        Args:
            outputs: of the head, `[row, output]` or `[row, seq, output]`, the rows of the examples in order.
            examples: with their targets.
        """

    @abstractmethod
    def answers(self, outputs: Tensor, examples: Sequence[Any]) -> list[Any]:
        """One answer per example, from outputs as `head_loss` gets them."""

    def details(self, outputs: Tensor, examples: Sequence[Any]) -> list[Mapping[str, Any]]:
        """What is known of each answer, see `Task.explained`; from outputs as `answers` gets them."""
        return [{} for _ in examples]

    @classmethod
    def labels_in(cls, records: Sequence[Any]) -> tuple[str, ...]:
        """The labels of some records, in the order that the head's outputs take them.

        Raises:
            ConfigError: labels that look alike, and may be one.
        """
        found = {record.label for record in records if record.label is not None}
        check_spellings(found)
        return tuple(in_order(found))

    # -- what is shared --------------------------------------------------------------------------

    @torch.no_grad()
    def state_size(self, records: Sequence[Any], card: HeadCard) -> float:
        """The mean sum of the magnitudes of a state of the bare backbone that a head reads.

        A step of a head's weights by a rate changes an output by at most the rate times this.

        Args:
            records: whose states are measured.
            card: of the head, its pooling resolved.
        """
        from softprompt.prompts import pool_picture, pool_text, reads_prompt

        own = copy.copy(self)
        own._set_up()  # counts of its own of what is cut
        examples = [own.encoded(record, labelled=False) for record in records]
        with self.backbone.prompted(None):
            states, mask = examples[0].states(self.backbone, examples)
        if card.pooling is None or reads_prompt(card):
            read = states[mask > 0]
        elif card.kind == "picture":
            read = pool_picture(states, mask, card.pooling)
        else:
            read = pool_text(states, mask, card.pooling)
        return read.float().abs().sum(-1).mean().item()

    @classmethod
    def labels_for(
        cls, settings: Any, declared: Sequence[str] | None, train: Sequence[Any]
    ) -> tuple[str, ...]:
        """The settings' own labels, else the format's, else those of the training records.

        Raises:
            ConfigError: fewer than two labels, or records of another kind.
        """
        if "labels" not in type(settings).model_fields:
            return ()
        # Records of another kind may have no labels to look for.
        check_records(settings.name, train)
        if settings.labels is not None:
            return tuple(settings.labels)
        return several(cls.labels_in(train) if declared is None else tuple(declared), "task.labels")

    def encode(self, record: Any) -> Any:
        """A record in the form that the backbone reads, with its target.

        Raises:
            DataError: a label that is missing or unknown, or nothing to read.
        """
        return self.encoded(record, labelled=True)

    def loss(self, examples: Sequence[Any]) -> Tensor:
        """Summed loss; the call belongs inside `backbone.prompted`, with any number of prompts and rows.

        Returns:
            A float32 scalar, differentiable.
        """
        total = torch.zeros((), device=self.backbone.device)
        for group in read(self.backbone, examples):
            total = total + self.loss_of(group, [examples[i] for i in group.members])
        return total

    def loss_of(self, group: HeadOutputs, members: Sequence[Any]) -> Tensor:
        """Summed loss of the examples that one head has read."""
        self.check_head(group.prompt)
        return self.head_loss(group.outputs, members)

    @torch.no_grad()
    def predict(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Any]:
        """One answer per record, in their order; the call belongs inside `backbone.prompted` with one prompt.

        Args:
            records: whose labels are not used.
            progress: called after every batch with the number of records in it.
            seed: without effect, since nothing is drawn.
        """
        return self._answered(records, progress, self.answers)

    @torch.no_grad()
    def explained(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[tuple[Any, Mapping[str, Any]]]:
        """As `predict`, each answer with the facts of `details`, from the same outputs."""

        def both(outputs: Tensor, examples: Sequence[Any]) -> list[Any]:
            return list(zip(self.answers(outputs, examples), self.details(outputs, examples), strict=True))

        # A class of another package may answer in another way, of which the details here say nothing.
        kind = type(self)
        same_answers = issubclass(_owner(kind, "details"), _owner(kind, "answers"))
        if _owner(kind, "predict") is not HeadTask or not same_answers:
            return super().explained(records, progress, seed)
        return self._answered(records, progress, both)

    def _answered(
        self,
        records: Sequence[Any],
        progress: Callable[[int], None] | None,
        give: Callable[[Tensor, Sequence[Any]], list[Any]],
    ) -> list[Any]:
        """What `give` makes of the head's outputs, for each record."""
        examples = [self.encoded(record, labelled=False) for record in records]

        def answer(batch: list[Any]) -> list[Any]:
            answers: list[Any] = [None] * len(batch)
            for group in read(self.backbone, batch):
                self.check_head(group.prompt)
                of_group = give(group.outputs, [batch[i] for i in group.members])
                for i, given in zip(group.members, of_group, strict=True):
                    answers[i] = given
            return answers

        return in_batches(examples, self.decoding.batch_size, answer, progress)

    def check_head(self, prompt: "Prompt | None") -> None:
        """Raises PromptError where a prompt's head is not one for this task, its labels and its pooling."""
        super().check_head(prompt)
        pooling = getattr(self.settings, "pooling", None)
        card = None if prompt is None or prompt.head is None else prompt.head.card
        if card is not None and pooling is not None and pooling != card.pooling:
            expected = f"'{card.pooling}', by which the head was trained"
            raise PromptError("task.pooling", f"'{pooling}'", expected, "leave it out")

    @property
    def _needed_head(self) -> tuple[str, tuple[str, ...]]:
        # Without a card, which refuses labels that come from a prompt for another task.
        return self.kind, self.labels

    def weights_of_labels(self, outputs: Tensor) -> Tensor | None:
        """The weight of each label in the loss, `[label]`, in the outputs' dtype; None where all weigh alike.

        Raises:
            ConfigError: as `label_weights`.
        """
        weights = self.label_weights
        return None if weights is None else outputs.new_tensor(weights)

    def index_of(self, label: str | None, where: str) -> int:
        """The place of a label among the head's outputs.

        Args:
            label: of a record.
            where: names the record in errors.

        Raises:
            DataError: no label, or one that the task does not have.
        """
        if label is None:
            raise DataError(where, "no label", f"one of {list(self.labels)}")
        if label not in self.labels:
            do = "correct it, or list it in task.labels"
            if not self.labels:
                kind, settings = type(self).__name__, type(self.settings).__name__
                do = f"give {settings} a setting labels, and let {kind}.__init__ take labels and pass them on"
            raise DataError(where, f"the label '{label}'", f"one of {list(self.labels)}", do)
        return self.labels.index(label)


def _owner(kind: type, name: str) -> type:
    """The class in which a method of `kind` stands."""
    return next(one for one in kind.__mro__ if name in vars(one))
