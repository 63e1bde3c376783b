"""Shared by the tasks whose answer a head reads off a backbone's states of a text."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from softprompt.errors import ConfigError
from softprompt.tasks.examples import drawn
from softprompt.tasks.headed.head_task import HeadTask
from softprompt.tasks.inputs import RowForm, collate
from softprompt.tasks.rows import RowsExample, check_rows_fit

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class ReadingExample(RowsExample):
    """One record in token ids, with its target.

    Args:
        labels: the target in the task's own form; empty where the answer is unknown.
        n_targets: number of losses that are summed.
        facts: what the task needs to turn outputs into an answer.
    """

    labels: tuple[Any, ...] = ()
    n_targets: int = 1
    facts: Any = None

    @staticmethod
    def states(backbone: "Backbone", examples: Sequence["ReadingExample"]) -> tuple[Tensor, Tensor]:
        """One pass over all rows: their states and attention mask."""
        inputs = collate(backbone, [row for example in examples for row in example.rows])
        return backbone.read(inputs), inputs["attention_mask"]


class ReadingTask(HeadTask):
    """A task with a head that reads texts; its settings have `max_tokens`."""

    def _set_up(self) -> None:
        super()._set_up()
        self._form = self._new_form()

    @property
    def n_cut(self) -> int:
        """Texts that were longer than the settings allow, and were cut, so far."""
        return self._form.n_cut

    @abstractmethod
    def example(self, record: Any, form: RowForm, labelled: bool) -> ReadingExample:
        """The token ids of a record, with its target where `labelled`.

        Args:
            record: of the class that the task reads.
            form: makes rows of token ids.
            labelled: whether the record's answer is needed.
        """

    def encoded(self, record: Any, labelled: bool) -> ReadingExample:
        return self.example(record, self._form, labelled)

    def _new_form(self) -> RowForm:
        fields = type(self.settings).model_fields
        if "separator" not in fields:
            return RowForm(self.backbone, self.settings.max_tokens)
        separator = self.settings.separator
        form = RowForm(self.backbone, self.settings.max_tokens, separator)
        if form.pairs_itself and separator != fields["separator"].default:
            raise ConfigError(
                "task.separator",
                repr(separator),
                f"no separator, since {self.backbone.spec.name} has tokens of its own between two texts",
                "leave task.separator out",
            )
        return form

    def demonstrations(self, records: Sequence[Any], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` records drawn by `seed`, as the backbone reads them.

        Raises:
            DataError: there are fewer than `k` records.
        """
        form = self._new_form()
        chosen, _ = drawn(records, k, seed)
        return [list(self.example(record, form, labelled=False).rows[0].ids) for record in chosen]

    def check(self, records: Sequence[Any], labelled: bool = True) -> None:
        """Encode every record, before anything is trained.

        Raises:
            ConfigError: records of another kind.
            DataError: the first record that cannot be used.
        """
        form = self._new_form()
        super().check(records, labelled)
        for record in records:
            self.example(record, form, labelled)

    def check_positions(self, records: Sequence[Any], prompt_positions: int, training: bool) -> None:
        """Refuse texts that, with the prompt, need more positions than the backbone has.

        Args:
            records: every one that will be read.
            prompt_positions: positions that the prompt takes up (0 where it shifts nothing).
            training: without effect, since training and prediction read the same tokens.

        Raises:
            ConfigError: the longest does not fit.
        """
        form = self._new_form()
        check_rows_fit(
            self.backbone, self.settings.max_tokens, prompt_positions, records,
            lambda record: self.example(record, form, labelled=False).rows,
        )  # fmt: skip
