"""Knowledge probing: which word of a vocabulary completes a fact."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.data import data_root, read_objects
from softprompt.errors import ConfigError, DataError
from softprompt.tasks.examples import ScoreRow, score_row
from softprompt.tasks.inputs import Row
from softprompt.tasks.language.blank_task import BlankExample, BlankTask, segments_of
from softprompt.text import Allowed, Template, allowed_ids, many_word_ids
from softprompt.untrusted import Unreadable, decode, read_bytes

if TYPE_CHECKING:
    pass

_N_SHOWN = 10

_MOST_VOCABULARY = 256 << 20
"""The largest file of words, in bytes."""


class ProbingTask(BlankTask):
    """The object of a fact from its subject, ranked within a vocabulary of single tokens.

    Source: LAMA probing of P-Tuning (arXiv 2103.10385) §4.1: the loss is over the whole vocabulary, the
    ranking within the allowed one. Deviations: facts whose object is outside are counted and reported (the
    official code drops them in silence), and training and prediction use the same position.

    Raises:
        ConfigError: a template or vocabulary that cannot be used.
        BackboneError: no vocabulary head, or an encoder-decoder.
    """

    def _set_up(self) -> None:
        super()._set_up()
        self._tokens: dict[str, int | None] = {}

    def _new_template(self) -> Template:
        return Template.parse(self.settings.template or "{subject} [blank]", "task.template")

    def values(self, record: Any) -> dict[str, str]:
        """The subject."""
        return {"subject": record.text, "text": record.text}

    @cached_property
    def vocabulary(self) -> Allowed | None:
        """The tokens that may be answered, and the words of several tokens; None is every token.

        Raises:
            ConfigError: no such file, or a file without a word that is a single token.
        """
        if self.settings.vocabulary == "all":
            return None
        path = Path(self.settings.vocabulary)
        place = data_root() / path
        where = "task.vocabulary"
        if not place.exists():
            raise ConfigError(where, f"no {place}", "'all', a file of words, or a folder of trex files")
        words = read_objects(place) if place.is_dir() else _lines(place, where)
        words = [word.strip() for word in words if word.strip()]
        return allowed_ids(self.backbone.tokenizer, words, self.template.spaced, where)

    def usable(self, records: Sequence[Any]) -> list[Any]:
        """The records whose object is a single token of the vocabulary, or unknown."""
        return [record for record in records if record.label is None or self._token(record.label) is not None]

    def _token(self, word: str) -> int | None:
        """The token of an object; None for several tokens, or one outside the vocabulary."""
        if word not in self._tokens:
            ids = many_word_ids(self.backbone.tokenizer, [word], self.template.spaced, "object")[0]
            single = len(ids) == 1 and ids[0] not in self._special
            inside = single and (self._allowed is None or ids[0] in self._allowed)
            self._tokens[word] = ids[0] if inside else None
        return self._tokens[word]

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self.backbone.tokenizer.all_special_ids)

    @cached_property
    def _allowed(self) -> frozenset[int] | None:
        return None if self.vocabulary is None else frozenset(self.vocabulary.ids)

    def _asked(self, record: Any) -> BlankExample:
        return self._example(record, labelled=record.label is not None)

    def _answer(self, record: Any) -> tuple[int, ...]:
        return (self._target(record),)

    def _target(self, record: Any) -> int:
        where = f"record {record.id}"
        if record.label is None:
            raise DataError(where, "no object", "the word that completes the fact")
        token = self._token(record.label)
        if token is None:
            got = f"the object '{record.label}', which is outside the vocabulary or several tokens"
            raise DataError(
                where, got, "a single token of the vocabulary", "leave the record out, see usable()"
            )
        return token

    def _example(self, record: Any, labelled: bool, counted: bool = True) -> BlankExample:
        filled = self._filled(record, 1, counted=counted)
        target = self._target(record) if labelled else None
        row = Row(filled.ids, segments_of(filled))
        return BlankExample(record.id, (row,), (filled.blanks,), target=target)

    def losses(self, examples: Sequence[BlankExample]) -> Tensor:
        """Negative log-likelihood of each object among all tokens, `[example]`; differentiable."""
        targets = torch.tensor([example.target for example in examples], device=self.backbone.device)
        return self.backbone.labelled_losses(*self._inputs(examples), targets)

    def predict(self, records: Sequence[Any], progress: Any = None, seed: int = 0) -> list[Any]:
        """For each record the best words, and the rank of the record's object if it is known.

        Returns:
            One `{"words": [best, ...], "rank": 1 for the best, or None}` per record. The object has no
            influence on the words.
        """
        return super().predict(records, progress, seed)

    def _explained(self, examples: Sequence[BlankExample]) -> list[tuple[Any, Mapping[str, Any]]]:
        logits = self.backbone.labelled_logits(*self._inputs(examples)).float()
        n_shown = min(_N_SHOWN, logits.shape[1])
        if self.vocabulary is not None:
            n_shown = min(_N_SHOWN, len(self.vocabulary.ids))
            outside = torch.full_like(logits[0], -torch.inf)
            outside[list(self.vocabulary.ids)] = 0
            logits = logits + outside
        best = logits.topk(n_shown, dim=-1).indices
        shares = logits.softmax(-1).gather(-1, best).tolist()
        tokenizer: Any = self.backbone.tokenizer
        answers: list[tuple[Any, Mapping[str, Any]]] = []
        for row, example, tokens, of_row in zip(logits, examples, best.tolist(), shares, strict=True):
            rank = None
            if example.target is not None:
                # The object comes last among equal scores, since a tie is no knowledge.
                rank = int((row >= row[example.target]).sum())
            words = [tokenizer.decode([token]).strip() for token in tokens]
            answers.append(({"words": words, "rank": rank}, {"probabilities": of_row}))
        return answers

    def score(self, records: Sequence[Any], outputs: Sequence[Any], metrics: Sequence[str]) -> list[ScoreRow]:
        """One row, `all`: precision at 1 and at 10 and the mean reciprocal rank."""
        from softprompt.metrics import score

        ranks, objects = [output["rank"] for output in outputs], [record.label for record in records]
        result = score(metrics, ranks, objects, task=self.settings.name)
        return [score_row("all", result)]


def _lines(path: Path, where: str) -> list[str]:
    """The lines of a vocabulary's file.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return decode(read_bytes(path, _MOST_VOCABULARY)).splitlines()
    except Unreadable as error:
        raise ConfigError(f"{where}: {error.inside(path)}", str(error), "a UTF-8 file of words") from None
