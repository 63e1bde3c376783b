"""Shared by the tasks whose answer is a word in the blank of a template."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.data import LabelledText
from softprompt.errors import BackboneError, ConfigError
from softprompt.tasks.base import Task
from softprompt.tasks.examples import drawn
from softprompt.tasks.inputs import collate
from softprompt.tasks.rows import RowsExample, check_rows_fit, in_batches
from softprompt.text import Template

if TYPE_CHECKING:
    pass

_BETWEEN = "\n"
"""The text behind every demonstration."""


@dataclass(frozen=True)
class BlankExample(RowsExample):
    """One record in a template, in token ids; several rows where words of several lengths may fill the blank.

    Args:
        places: for each row, the positions whose outputs predict the word's tokens.
        words: that may fill the blank, each as the row that predicts the word, and the word's tokens.
        sizes: how many of the words each answer has, in order.
        target: the right answer's index (of a vocabulary: its token); None where it is unknown.
        reduction: `mean` or `sum`, of the scores of an answer's words.
        weight: of its loss, by the label of the right answer.
    """

    places: tuple[tuple[int, ...], ...] = ()
    words: tuple[tuple[int, tuple[int, ...]], ...] = ()
    sizes: tuple[int, ...] = ()
    target: int | None = None
    reduction: str = "mean"
    n_targets: int = 1
    weight: float = 1.0


class BlankTask(Task):
    """A task that fills the blank of a template; tasks differ in what may fill the blank.

    Training and prediction use the output at one and the same position: the mask token of a masked model, the
    last token before the blank of a causal model (P-Tuning's GPT code predicts from the position behind the
    trained one).

    Raises:
        BackboneError: no vocabulary head, or an encoder-decoder.
        ConfigError: a template that the model cannot take.
    """

    def _set_up(self) -> None:
        super()._set_up()
        backbone = self.backbone
        if backbone.spec.is_encoder_decoder:
            got = f"{backbone.spec.name}, an encoder-decoder, for task '{self.settings.name}'"
            raise BackboneError("backbone", got, "a causal or a masked language model")
        _ = backbone.vocabulary_matrix
        self._causal = backbone.is_causal
        self._cut: set[str] = set()
        self._template = self._new_template()
        self._template.check(backbone.tokenizer, causal=self._causal, where="task.template")

    @property
    def template(self) -> Template:
        """The record's fields and a blank."""
        return self._template

    # -- what differs between tasks --------------------------------------------------------------

    @abstractmethod
    def _new_template(self) -> Template:
        """The template that the settings give."""

    @abstractmethod
    def values(self, record: Any) -> dict[str, str]:
        """The record's fields, by every name that templates may use."""

    @abstractmethod
    def _example(self, record: Any, labelled: bool, counted: bool = True) -> BlankExample:
        """The token ids of a record, with the right answer where `labelled`."""

    @abstractmethod
    def _answer(self, record: Any) -> tuple[int, ...]:
        """The tokens of the right word."""

    @abstractmethod
    def losses(self, examples: Sequence[BlankExample]) -> Tensor:
        """Negative log-likelihood of each example's answer, `[example]`, float32; differentiable."""

    @abstractmethod
    def _explained(self, examples: Sequence[BlankExample]) -> list[tuple[Any, Mapping[str, Any]]]:
        """One answer per example, with the probabilities of what might be answered."""

    @property
    def resolved(self) -> dict[str, Any]:
        """Values for the settings that the recipe left open."""
        return {"template": str(self.template)}

    # -- what is shared --------------------------------------------------------------------------

    @property
    def n_cut(self) -> int:
        """Records that were longer than the settings allow, and were cut, so far."""
        return len(self._cut)

    def encode(self, record: Any) -> BlankExample:
        """The token ids of a record with its right answer.

        Raises:
            DataError: a missing or unknown answer, or nothing to read.
        """
        return self._example(record, labelled=True)

    def loss(self, examples: Sequence[BlankExample]) -> Tensor:
        """Summed loss; the call belongs inside `backbone.prompted`, with any number of prompts and rows.

        Returns:
            A float32 scalar, differentiable.
        """
        return self.losses(examples).sum()

    @torch.no_grad()
    def predict(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Any]:
        """One answer per record, in their order; the call belongs inside `backbone.prompted`.

        Args:
            records: whose labels have no influence on the answers.
            progress: called after every batch with the number of records in it.
            seed: without effect, since nothing is drawn.
        """
        return [answer for answer, _ in self.explained(records, progress, seed)]

    @torch.no_grad()
    def explained(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[tuple[Any, Mapping[str, Any]]]:
        """As `predict`, each answer with `probabilities`."""
        examples = [self._asked(record) for record in records]
        return in_batches(examples, self.decoding.batch_size, self._explained, progress)

    def _asked(self, record: Any) -> BlankExample:
        """The token ids of a record whose answer is to be predicted."""
        return self._example(record, labelled=False)

    def demonstrations(self, records: Sequence[Any], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` records drawn by `seed`, each with its answer in the blank and a line's end.

        Raises:
            DataError: there are fewer than `k` records.
            ConfigError: a template with slots, which only a trained prompt can fill.
        """
        if self.template.n_slots:
            got = f"both {self.template.n_slots} slots in the template and examples to begin from"
            raise ConfigError("task.template", got, "a template without [soft]")
        end = self.backbone.token_ids(_BETWEEN)
        return [self._demonstration(record) + end for record in drawn(records, k, seed)[0]]

    def _demonstration(self, record: Any) -> list[int]:
        word = self._answer(record)
        if self._causal:
            return [*self._filled(record, 1).ids, *word]
        filled = self._filled(record, len(word))
        ids = list(filled.ids)
        for place, token in zip(filled.blanks, word, strict=True):
            ids[place] = token
        return ids

    def check(self, records: Sequence[Any], labelled: bool = True) -> None:
        """Encode every record, before anything is trained.

        Raises:
            ConfigError: records of another kind.
            DataError: the first record that cannot be used.
        """
        super().check(records, labelled)
        for record in records:
            self._example(record, labelled, counted=False)

    def check_positions(self, records: Sequence[Any], prompt_positions: int, training: bool) -> None:
        """Refuse texts that, with the prompt, need more positions than the backbone has.

        Raises:
            ConfigError: the longest does not fit.
        """
        check_rows_fit(
            self.backbone, self.settings.max_tokens, prompt_positions, records,
            lambda record: self._example(record, labelled=False, counted=False).rows,
        )  # fmt: skip

    def _filled(self, record: Any, n_blanks: int, behind: int = 0, counted: bool = True) -> Any:
        """The template with a record's fields, with room for `behind` more tokens."""
        filled = self.template.encode(
            self.backbone.tokenizer,
            self.values(record),
            self.settings.max_tokens - behind,
            causal=self._causal,
            n_blanks=n_blanks,
            where=f"record {record.id}",
        )
        if filled.n_cut and counted:
            self._cut.add(record.id)
        return filled

    def _inputs(self, examples: Sequence[BlankExample]) -> tuple[Mapping[str, Tensor], Tensor]:
        """The rows of some examples as one batch, and a mask of the positions whose outputs are needed."""
        rows = [row for example in examples for row in example.rows]
        inputs = collate(self.backbone, rows)
        needed = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
        for row, places in enumerate(places for example in examples for places in example.places):
            needed[row, list(places)] = True
        return inputs, needed

    def log_probs(self, examples: Sequence[BlankExample]) -> Tensor:
        """Log-probabilities over the vocabulary at every place of every row, `[place, vocab]`, float32."""
        return self.backbone.labelled_logits(*self._inputs(examples)).float().log_softmax(-1)


def segments_of(filled: Any, n_more: int = 0) -> tuple[int, ...]:
    """The token types of a filled template and of `n_more` tokens behind the template; empty if all are 0."""
    if not any(filled.segments):
        return ()
    return (*filled.segments, *[filled.segments[-1]] * n_more)


def fields_of(record: LabelledText, names: Sequence[str]) -> dict[str, str]:
    """The fields of a labelled text: `text` and `second`, and both by the names of the data format."""
    texts = {"text": record.text} | ({} if record.second is None else {"second": record.second})
    return texts | dict(zip(names, texts.values(), strict=False))
