"""Extractive answers: the stretch of a context that answers a question (SQuAD)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data import Question
from softprompt.errors import BackboneError, ConfigError, DataError, counted
from softprompt.tasks.examples import ScoreRow, score_row
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import Frame, Row, RowForm


@dataclass(frozen=True)
class Window:
    """The place of the context in one row.

    Args:
        first: place of the context's first token in the row.
        offsets: characters of the context that each token covers.
        nothing: the place of "no answer".
    """

    first: int
    offsets: tuple[tuple[int, int], ...]
    nothing: int


class SpanTask(ReadingTask):
    """Start and end of the answer, over windows of the context that overlap.

    Source: P-Tuning v2 (2110.07602) §4.3 and BERT's SQuAD v2 form: windows of 384 tokens with stride 128,
    the sum of start and end score, "no answer" at [CLS], given when its score passes that of the best answer
    by more than a threshold. Deviations: the softmax runs over the context and the place of "no answer" only;
    on decoders that place is an end token behind the context, since the first token has read nothing.
    """

    def _set_up(self) -> None:
        super()._set_up()
        self._long_answers: set[str] = set()

    @property
    def counts(self) -> dict[str, int]:
        """How many questions were trained on though their answer is too long to be given."""
        return {"long_answers": len(self._long_answers)} if self._long_answers else {}

    @property
    def cut_note(self) -> str:
        """How many questions were cut, and how many answers are too long to be given, so far."""
        settings, n_cut, n_long = self.settings, self.n_cut, len(self._long_answers)
        parts: list[str] = []
        if n_cut:
            longest = f"{settings.max_question_tokens} tokens (task.max_question_tokens)"
            parts.append(f"cut {counted(n_cut, 'question')} to {longest}")
        if n_long:
            are = "answer is" if n_long == 1 else "answers are"
            longest = f"{settings.max_answer_tokens} tokens (task.max_answer_tokens)"
            parts.append(f"{n_long} {are} longer than {longest}, so that none can be given in full")
        return "; ".join(parts)

    def _new_form(self) -> RowForm:
        if self.settings.stride >= self.settings.max_tokens:
            raise ConfigError(
                "task.stride", self.settings.stride, f"less than max_tokens ({self.settings.max_tokens})"
            )
        return super()._new_form()

    def example(self, record: Question, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        frame = self._frame(form)
        question = form.tokens(record.question, self.settings.max_question_tokens)
        ids, offsets = form.characters(record.context)
        if not ids:
            raise DataError(where, "a context without tokens", "a context that leaves tokens")
        first = len(frame.before) + len(question) + len(frame.between)
        room = self.settings.max_tokens - first - len(frame.after)
        stride = self.settings.stride
        if room <= stride and room < len(ids):
            left = counted(max(room, 0), "token")
            raise ConfigError(
                "task.stride",
                f"{stride}, where the question of {where} leaves {left} for the context",
                "a stride below the length of the windows",
                "lower it or task.max_question_tokens, or raise task.max_tokens",
            )
        target = self._target(record, offsets, where) if labelled else None
        long = target is not None and target[1] - target[0] >= self.settings.max_answer_tokens
        if long and form is self._form:  # another form reads only to check
            self._long_answers.add(record.id)
        rows: list[Row] = []
        windows: list[Window] = []
        targets: list[tuple[int, int]] = []
        whole = False
        for start in range(0, max(1, len(ids) - stride), max(1, room - stride)):
            part = slice(start, start + room)
            row = frame.row(question, ids[part])
            nothing = 0 if self._begins_with_cls(frame) else len(row.ids) - 1
            rows.append(row)
            windows.append(Window(first, tuple(offsets[part]), nothing))
            if target is not None and start <= target[0] and target[1] < start + room:
                targets.append((target[0] - start + first, target[1] - start + first))
                whole = True
            else:
                targets.append((nothing, nothing))
        if target is not None and not whole:
            raise DataError(
                where,
                f"an answer of {counted(target[1] - target[0] + 1, 'token')}, which no window holds whole",
                f"answers of at most {counted(stride + 1, 'token')}",
                "raise task.stride",
            )
        return ReadingExample(
            record.id,
            tuple(rows),
            tuple(targets) if labelled else (),
            len(rows),
            (tuple(windows), record.context),
        )

    def _frame(self, form: RowForm) -> Frame:
        """The tokens around question and context, with one for the place of "no answer"."""
        frame = form.pair
        if frame.after or self._begins_with_cls(frame):
            return frame
        end = self.backbone.tokenizer.eos_token_id
        if not isinstance(end, int):
            raise BackboneError(
                f"backbone {self.backbone.spec.name}",
                "a tokenizer without an end-of-sequence token",
                'a tokenizer with one, since "no answer" is read there',
                "set tokenizer.eos_token",
            )
        return replace(frame, after=(end,))

    def _begins_with_cls(self, frame: Frame) -> bool:
        """Whether the first token belongs to no text and attends to all of them."""
        return bool(frame.before) and "encoder" in self.backbone.stacks

    def _target(
        self, record: Question, offsets: Sequence[tuple[int, int]], where: str
    ) -> tuple[int, int] | None:
        """First and last context token of the first reference; None where there is no answer."""
        if not record.answered:
            raise DataError(where, "no answers", "answers, or the statement that there are none")
        if not record.answers:
            if not self.settings.unanswerable:
                raise DataError(
                    where, "a question without an answer", "an answer", "set task.unanswerable=true"
                )
            return None
        answer = record.answers[0]
        end = answer.start + len(answer.text)
        if not answer.text or record.context[answer.start : end] != answer.text:
            raise DataError(
                where,
                f"the answer {answer.text!r} at character {answer.start}",
                f"a stretch of the context, which has {record.context[answer.start : end]!r} there",
                "correct answer_start",
            )
        covering = [i for i, (a, b) in enumerate(offsets) if a < end and b > answer.start]
        if not covering:
            raise DataError(
                where, f"the answer {answer.text!r}, which leaves no token", "an answer with tokens"
            )
        return covering[0], covering[-1]

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        allowed = _allowed(outputs, examples)
        scores = outputs.masked_fill(~allowed[..., None], float("-inf"))
        targets = torch.tensor([place for e in examples for place in e.labels], device=outputs.device)
        # The loss of a window is the mean over the two softmaxes of start and end.
        return F.cross_entropy(scores, targets, reduction="sum") / 2

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        found = [self._best(rows, *example.facts) for rows, example in _by_example(outputs, examples)]
        return [text for text, _, _, _ in found]

    def details(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Mapping[str, Any]]:
        """The place of each answer, and its share among all answers that are considered.

        The probability is a softmax over every stretch of at most `max_answer_tokens` in any window, and "no
        answer" where it may be predicted. A stretch that stands in several windows counts once, by its best
        score.
        """
        facts: list[Mapping[str, Any]] = []
        for rows, example in _by_example(outputs, examples):
            text, start, end, value = self._best(rows, *example.facts)
            share = math.exp(value - self._log_total(rows, *example.facts))
            place = {"start": start, "end": end} if text else {"start": None, "end": None}
            facts.append({**place, "probability": share})
        return facts

    def _best(self, outputs: Tensor, windows: Sequence[Window], context: str) -> tuple[str, int, int, float]:
        """The text of the best answer, the begin and end of its characters, and its score."""
        rows = list(zip(outputs, windows, strict=True))
        # Where no pair of the best starts and ends is in order, all pairs are considered.
        stretches = [self._stretch(scores, window, self.settings.n_best) for scores, window in rows]
        if all(value == float("-inf") for value, _, _ in stretches):
            stretches = [self._stretch(scores, window, len(window.offsets)) for scores, window in rows]
        value, start, end = max(stretches, key=lambda stretch: stretch[0])
        nothing = self._nothing(outputs, windows)
        if self.settings.unanswerable and nothing - value > self.settings.null_threshold:
            return "", 0, 0, nothing
        # A token may begin with a space.
        text = context[start:end].strip()
        start += len(context[start:end]) - len(context[start:end].lstrip())
        return text, start, start + len(text), value

    def _nothing(self, outputs: Tensor, windows: Sequence[Window]) -> float:
        """The score of "no answer", the least of all windows."""
        return min(float(scores[w.nothing].sum()) for scores, w in zip(outputs, windows, strict=True))

    def _log_total(self, outputs: Tensor, windows: Sequence[Window], context: str) -> float:
        """The logarithm of the sum over all answers, of the exponents of their scores."""
        places, values = [], []
        for scores, window in zip(outputs, windows, strict=True):
            n = len(window.offsets)
            own = scores[window.first : window.first + n]
            sums = own[:, 0][:, None] + own[:, 1][None, :]
            ones = torch.ones(n, n, dtype=torch.bool)
            allowed = ones.triu() & ones.tril(self.settings.max_answer_tokens - 1)
            starts, ends = torch.tensor(window.offsets).T
            place = starts[:, None] * (len(context) + 1) + ends[None, :]
            places.append(place[allowed])
            values.append(sums[allowed])
        distinct, which = torch.cat(places).unique(return_inverse=True)
        best = torch.full(distinct.shape, float("-inf")).scatter_reduce(0, which, torch.cat(values), "amax")
        if self.settings.unanswerable:
            best = torch.cat([best, torch.tensor([self._nothing(outputs, windows)])])
        return float(best.logsumexp(0))

    def _stretch(self, scores: Tensor, window: Window, n_best: int) -> tuple[float, int, int]:
        """The score of a window's best answer (-inf without one), and the begin and end of its characters."""
        own = scores[window.first : window.first + len(window.offsets)]
        k = min(n_best, len(own))
        starts, ends = own[:, 0].topk(k).indices, own[:, 1].topk(k).indices
        sums = own[starts, 0][:, None] + own[ends, 1][None, :]
        length = ends[None, :] - starts[:, None] + 1
        sums = sums.masked_fill((length < 1) | (length > self.settings.max_answer_tokens), float("-inf"))
        place = int(sums.argmax())
        start, end = int(starts[place // k]), int(ends[place % k])
        return float(sums.flatten()[place]), window.offsets[start][0], window.offsets[end][1]

    def score(
        self, records: Sequence[Question], outputs: Sequence[str], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """Rows `answered`, `unanswerable` and `all` where both kinds of questions are there, else `all`."""
        from softprompt.metrics import Reading, reading_of, score

        language = reading_of([text for r in records for text in _own_texts(r)], self.settings.language)
        # contexts tell the language of answers in figures; what is scored is the answers
        language = Reading(language.name, language.found)

        groups: dict[str, list[int]] = {
            "answered": [i for i, record in enumerate(records) if record.answers],
            "unanswerable": [i for i, record in enumerate(records) if not record.answers],
        }
        if not all(groups.values()):
            groups = {}
        groups["all"] = list(range(len(records)))
        rows: list[ScoreRow] = []
        for group, members in groups.items():
            references = [[answer.text for answer in records[i].answers] or [""] for i in members]
            facts = {"task": self.settings.name, "language": language}
            result = score(metrics, [outputs[i] for i in members], references, **facts)
            rows.append(score_row(group, result))
        return rows


def _own_texts(record: Question) -> list[str]:
    return [record.context, *(answer.text for answer in record.answers)]


def _by_example(
    outputs: Tensor, examples: Sequence[ReadingExample]
) -> Iterator[tuple[Tensor, ReadingExample]]:
    """The outputs of each example's windows, `[window, seq, 2]`; on the CPU, for many small steps."""
    parts = outputs.cpu().split([example.n_rows for example in examples])
    return zip(parts, examples, strict=True)


def _allowed(outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
    """The places at which an answer may begin or end, `[row, seq]`."""
    allowed = torch.zeros(outputs.shape[:2], dtype=torch.bool)
    for row, window in enumerate(window for example in examples for window in example.facts[0]):
        allowed[row, window.first : window.first + len(window.offsets)] = True
        allowed[row, window.nothing] = True
    return allowed.to(outputs.device)
