"""Classification by the words that may fill a blank."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.data import Choices, LabelledText
from softprompt.errors import ConfigError, DataError, nearest
from softprompt.files import HeadCard
from softprompt.tasks.base import several
from softprompt.tasks.examples import Outcome, ScoreRow, drawn, score_row
from softprompt.tasks.inputs import Row
from softprompt.tasks.labelled import answers_of, class_rows, error_files, label_files
from softprompt.tasks.language.blank_task import BlankExample, BlankTask, fields_of, segments_of
from softprompt.tasks.language.label_words import causal_rows, masked_rows, word_scores
from softprompt.text import LabelTokens, Template, Verbalizer, null_template, null_verbalizer, word_ids

if TYPE_CHECKING:
    pass

_NO_LABEL = "no label"


class ClozeTask(BlankTask):
    """Classification by label words: a softmax over the probabilities of these words in the blank.

    Sources: null prompts (arXiv 2106.13353) §3 and P-Tuning (2103.10385) §3, whose losses are over label
    words only. A word of several tokens is scored as a sequence: by a causal model as the exact product of
    conditional probabilities, by a masked model from as many mask tokens in one pass. The choices of a record
    (COPA) take the place of label words.

    Raises:
        ConfigError: words that do not fit the labels or the tokenizer, or a template that does not fit.
        BackboneError: no vocabulary head, or an encoder-decoder.
    """

    def _set_up(self) -> None:
        super()._set_up()
        self.verbalizer = self._new_verbalizer(self.labels)
        self.labels = self.verbalizer.labels if self.verbalizer else ()
        self._tokens: LabelTokens = ()
        if self.verbalizer:
            self._tokens = self.verbalizer.tokens(self.backbone.tokenizer, self.template.spaced)

    @classmethod
    def labels_for(
        cls, settings: Any, declared: Sequence[str] | None, train: Sequence[Any]
    ) -> tuple[str, ...]:
        """The labels that need words, in the order of the verbalizer if there is one.

        Raises:
            ConfigError: fewer than two labels.
        """
        if any(not isinstance(record, LabelledText) for record in train):
            return ()
        if isinstance(settings.verbalizer, dict):
            order = list(settings.verbalizer)
            # A label of the format that has no words comes last, and is refused with the verbalizer.
            order += [label for label in declared or () if label not in order]
            return tuple(order if declared is None else sorted(declared, key=order.index))
        labels = {record.label for record in train if record.label is not None}
        return several(tuple(sorted(labels) if declared is None else declared), "task.verbalizer")

    def _new_template(self) -> Template:
        name = self.settings.template
        if name is None:
            return null_template(self._names or ["text"], causal=self.backbone.is_causal)
        return Template.parse((self.settings.patterns or {}).get(name, name), "task.template")

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.settings.fields or self.fields)

    @property
    def head(self) -> HeadCard | None:
        """An affine map of the labels' scores, or a vector per label; None for words alone."""
        from softprompt.prompts import head

        if self.settings.head is None:
            return None
        words = [[token for word in several for token in word] for several in self._tokens]
        kind = "calibration" if self.settings.head == "calibration" else "soft"
        return head(kind, self.labels, words=words if self.settings.head == "soft" else ())

    @property
    def _reads_states(self) -> bool:
        return self.settings.head in ("soft", "linear")

    @property
    def resolved(self) -> dict[str, Any]:
        """Values for the settings that the recipe left open."""
        values: dict[str, Any] = {
            "template": str(self.template), "fields": list(self._names) or None, "patterns": None,
        }  # fmt: skip
        if self.verbalizer:
            words = zip(self.verbalizer.labels, self.verbalizer.words, strict=True)
            values |= {"verbalizer": {label: list(several) for label, several in words}, "verbalizer_seed": 0}
        return values

    def values(self, record: Any) -> dict[str, str]:
        """The record's fields, by every name that templates may use."""
        if isinstance(record, Choices):
            return {"text": record.text} | dict(zip(self._names, [record.text], strict=False))
        return fields_of(record, self._names)

    def demonstrated(self, records: Sequence[Any], k: int, max_tokens: int, seed: int) -> "ClozeTask":
        """The same task with up to `k` labelled records at the beginning of its template.

        Source: the in-context learning of null prompts (2106.13353), which prepends labelled training
        examples as long as they fit.

        Args:
            records: to draw from.
            k: the largest number of examples.
            max_tokens: of all examples together.
            seed: of the draw.

        Raises:
            DataError: there are fewer than `k` records.
            ConfigError: none fits, or the template has slots.
        """
        if self.template.n_slots:
            got = f"both {self.template.n_slots} slots in the template and examples before it"
            raise ConfigError("task.template", got, "a template without [soft]")
        text, room = "", max_tokens
        for record in drawn(records, k, seed)[0]:
            example = self.template.answered(self.values(record), self._word(record)) + "\n"
            n_tokens = len(self._demonstration(record))
            if n_tokens <= room:
                text, room = text + example, room - n_tokens
        if not text:
            raise ConfigError("method.max_tokens", max_tokens, "room for at least one example", "raise it")
        template = Template.parse(text + str(self.template))
        longer = self.settings.model_copy(
            update={
                "max_tokens": self.settings.max_tokens + max_tokens - room,
                **self.resolved,
                "template": str(template),
            }
        )
        return ClozeTask(self.backbone, longer, self.labels, self._names, self.decoding)

    def _new_verbalizer(self, labels: Sequence[str]) -> Verbalizer | None:
        words = self.settings.verbalizer
        if words is None:
            if labels:
                got = "no verbalizer for records with labels"
                raise ConfigError("task.verbalizer", got, f"words for {', '.join(labels)}, or 'null'")
            return None
        if words == "null":
            tokenizer, spaced = self.backbone.tokenizer, self.template.spaced
            return null_verbalizer(labels, tokenizer, self.settings.verbalizer_seed, spaced=spaced)
        for name in labels:
            if name not in words:
                got = f"words for {', '.join(words)}"
                raise ConfigError("task.verbalizer", got, f"words for '{name}' too", nearest(name, words))
        for name in words:
            if labels and name not in labels:
                got, expected = f"words for '{name}'", f"labels of the data: {', '.join(labels)}"
                raise ConfigError("task.verbalizer", got, expected, nearest(name, labels))
        return Verbalizer(words, "task.verbalizer")

    # -- encoding --------------------------------------------------------------------------------

    def _example(self, record: Any, labelled: bool, counted: bool = True) -> BlankExample:
        where = f"record {record.id}"
        if isinstance(record, Choices) != (self.verbalizer is None):
            got = (
                "both choices of its own and a verbalizer"
                if isinstance(record, Choices)
                else "neither choices nor a verbalizer"
            )
            raise DataError(
                where, got, "one of the two: label words in task.verbalizer, or records with choices"
            )
        if isinstance(record, Choices):
            tokenizer, spaced = self.backbone.tokenizer, self.template.spaced
            words = [(word_ids(tokenizer, choice.strip(), spaced, where),) for choice in record.choices]
            if len(words) < 2:
                raise DataError(where, f"{len(words)} choices", "at least 2 choices")
            if len(set(words)) < len(words):
                raise DataError(where, "choices with the same tokens", "choices that differ")
        else:
            words = self._tokens
        target = self._target(record, where) if labelled else None
        weights = None if target is None else self.label_weights
        weight = 1.0 if weights is None or target is None else weights[target]
        sizes = tuple(map(len, words))
        if self._reads_states:
            filled = self._filled(record, 1, counted=counted)
            row = Row(filled.ids, segments_of(filled))
            return BlankExample(record.id, (row,), (filled.blanks,), (), sizes, target, weight=weight)
        flat = [word for several in words for word in several]
        fill = partial(self._filled, record, counted=counted)
        rows, places, owners = (causal_rows if self._causal else masked_rows)(fill, flat)
        owned = tuple(zip(owners, flat, strict=True))
        how = self.settings.reduction
        return BlankExample(record.id, rows, places, owned, sizes, target, how, weight=weight)

    def _target(self, record: Any, where: str) -> int:
        if isinstance(record, Choices):
            if record.label is None or not 0 <= record.label < len(record.choices):
                got = _NO_LABEL if record.label is None else f"the label {record.label}"
                raise DataError(where, got, f"0 to {len(record.choices) - 1}, the index of a choice")
            return record.label
        if record.label is None:
            raise DataError(where, _NO_LABEL, f"one of {list(self.labels)}")
        if record.label not in self.labels:
            got = f"the label '{record.label}'"
            raise DataError(where, got, f"one of {list(self.labels)}", "give it words in task.verbalizer")
        return self.labels.index(record.label)

    def _word(self, record: Any) -> str:
        target = self._target(record, f"record {record.id}")
        return record.choices[target].strip() if self.verbalizer is None else self.verbalizer.words[target][0]

    def _answer(self, record: Any) -> tuple[int, ...]:
        where = f"record {record.id}"
        return word_ids(self.backbone.tokenizer, self._word(record), self.template.spaced, where)

    # -- scores ----------------------------------------------------------------------------------

    def scores(self, examples: Sequence[BlankExample]) -> list[Tensor]:
        """Scores of each example's answers, `[answer]`, float32; their softmax is the prediction."""
        if self._reads_states:
            states = self.backbone.labelled_states(*self._inputs(examples))
            # Each example has one place, so that states and examples correspond.
            return self._under_heads(examples, list(states.float()))
        return self._under_heads(examples, word_scores(self.log_probs(examples), examples))

    def _under_heads(self, examples: Sequence[BlankExample], read: list[Tensor]) -> list[Tensor]:
        """The scores of each example under the head of its prompt, unchanged for a task without a head."""
        owner = [i for i, example in enumerate(examples) for _ in example.rows]
        out = list(read)
        for prompt, rows in self.backbone.active_rows(len(owner)):
            if self.settings.head is None and (prompt is None or prompt.head is None):
                continue
            self.check_head(prompt)
            members = range(len(examples)) if rows is None else sorted({owner[row] for row in rows.tolist()})
            for i in members:
                out[i] = prompt.head.outputs(read[i])  # type: ignore[union-attr]
        return out

    def losses(self, examples: Sequence[BlankExample]) -> Tensor:
        """Negative log-likelihood of each right answer among the answers, by its label's weight, `[example]`;
        differentiable.
        """
        pairs = zip(self.scores(examples), examples, strict=True)
        return torch.stack([-e.weight * scores.log_softmax(-1)[e.target] for scores, e in pairs])

    def _explained(self, examples: Sequence[BlankExample]) -> list[tuple[Any, Mapping[str, Any]]]:
        explained: list[tuple[Any, Mapping[str, Any]]] = []
        for scores in self.scores(examples):
            chosen = int(scores.argmax())
            answer = chosen if self.verbalizer is None else self.labels[chosen]
            explained.append((answer, {"probabilities": scores.softmax(-1).tolist()}))
        return explained

    def score(self, records: Sequence[Any], outputs: Sequence[Any], metrics: Sequence[str]) -> list[ScoreRow]:
        """A row for all records, and with a verbalizer one for those of each class."""
        from softprompt.metrics import score

        labels: Sequence[str] = self.labels
        if self.verbalizer is None:
            labels = [str(i) for i in range(max(len(record.choices) for record in records))]
        references, answers = [str(record.label) for record in records], [str(output) for output in outputs]
        result = score(metrics, answers, references, task=self.settings.name, labels=labels)
        classes = [] if self.verbalizer is None else class_rows(answers, references, labels, metrics)
        return [score_row("all", result), *classes]

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """With a verbalizer the confusion matrix and the scores of each class, with matplotlib a picture."""
        if self.verbalizer is None:
            return {}
        return label_files(outputs, [str(record.label) for record in records], self.labels)

    def files(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> Mapping[str, str | bytes]:
        """As `artefacts`, with the wrong answers and the calibration."""
        return {**super().files(records, outcomes), **error_files(answers_of(records, outcomes))}
