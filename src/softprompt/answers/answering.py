"""Answers of a prompt on its backbone: the one way by which Python, the commands and servers get them."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from softprompt.answers.inputs import Asked
from softprompt.answers.kinds import Answer
from softprompt.answers.making import answer_from
from softprompt.config import RunSettings
from softprompt.errors import SoftpromptError
from softprompt.tasks import ScoreRow, Task, build_task

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


class Answerer:
    """One prompt that answers, on its backbone.

    Rows are answered in batches and given in the order in which they were asked. What stands beside a row
    changes its answer by rounding at most: of generated texts, sampled ones too, since each is drawn alone,
    from the seed and its own text.

    Several answerers of one backbone may work at once, each in a thread of its own; one answerer is for one
    thread.

    Args:
        backbone: the frozen model.
        prompt: made for it. A prompt in training mode answers as in evaluation.
        settings: of the task and of decoding, see `answer_settings`.

    Raises:
        PromptError: a prompt whose head is not the task's.
    """

    def __init__(self, backbone: "Backbone", prompt: "Prompt", settings: RunSettings):
        self.settings = settings
        self.backbone = backbone
        # A baked copy, since the mode of a prompt that others train meanwhile is not ours to change.
        self.prompt = prompt.bake().eval() if prompt.training else prompt
        head = self.prompt.card.head
        labels = getattr(settings.task, "labels", None) or (() if head is None else head.labels)
        labels = labels or tuple(getattr(settings.task, "verbalizer", None) or ())
        self.task: Task = build_task(backbone, settings.task, settings.decoding, labels)
        self.task.check_head(self.prompt)
        self.n_cut_answers = 0
        """Answers so far that reached the limit of decoding before their end."""

    def check(self, asked: Sequence[Asked]) -> None:
        """Raise a SoftpromptError where something that is asked cannot be answered."""
        records = [one.record for one in asked]
        self.task.check(records, labelled=False)
        self.task.check_positions(records, self.prompt.card.n_positions, training=False)

    def problem(self, asked: Asked) -> SoftpromptError | None:
        """Why something cannot be answered; None where it can."""
        try:
            self.check([asked])
        except SoftpromptError as error:
            return error
        return None

    def answers(self, asked: Sequence[Asked], progress: Callable[[int], None] | None = None) -> list[Answer]:
        """One answer for each, in order.

        Args:
            asked: what was checked.
            progress: called after every batch with the number of answers in it.
        """
        settings, records = self.settings, [one.record for one in asked]
        seed = settings.training.seed
        alone = settings.task.writes_text and settings.decoding.strategy == "sample"
        parts = [[record] for record in records] if alone else [records] * bool(records)
        found: list[tuple[Any, Any]] = []
        cut: set[int] = set()
        with self.backbone.prompted(self.prompt):
            for part in parts:
                own = own_seed(seed, part[0]) if alone else seed
                explained = self.task.explained(part, progress, own)
                cut |= {len(found) + place for place in self.task.cut_answers}
                found += explained
        self.n_cut_answers += len(cut)
        name, labels = settings.task.name, self.task.labels
        return [
            answer_from(name, labels, one, output, {**facts, "cut": i in cut})
            for i, (one, (output, facts)) in enumerate(zip(asked, found, strict=True))
        ]

    @property
    def notes(self) -> list[str]:
        """What was cut so far, of what was read and of what was written, in sentences."""
        said = (self.task.cut_note, self.task.answer_note(self.n_cut_answers))
        return [note for note in said if note]

    def score(
        self, records: Sequence[Any], answers: Iterable[Answer], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """Rows of scores of answers to labelled records, as `softprompt evaluate` gives them."""
        return list(self.task.score(records, [answer.output for answer in answers], metrics))


def own_seed(seed: int, record: Any) -> int:
    """The seed of the draws for one record: the same for the same text, whatever stands beside it."""
    parts = (seed, record.source, getattr(record, "digest", ""), getattr(record, "earlier", ()))
    digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
