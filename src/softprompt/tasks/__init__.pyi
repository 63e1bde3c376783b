from .base import Task
from .building import build_task, labels_of, template_of
from .examples import AnyExample, Outcome, ScoreRow
from .headed import HeadTask, ReadingExample, ReadingTask
from .inputs import RowForm
from .language import ClozeTask, GenerationTask, check_decoding, score_texts
from .mixture import Mixture, PartExample
from .outputs import OUTPUT_FORMS, OutputForm
from .registration import task
from .registry import TASKS, TaskKind, answer_of

__all__ = [
    "OUTPUT_FORMS",
    "TASKS",
    "AnyExample",
    "ClozeTask",
    "GenerationTask",
    "HeadTask",
    "Mixture",
    "Outcome",
    "OutputForm",
    "PartExample",
    "ReadingExample",
    "ReadingTask",
    "RowForm",
    "ScoreRow",
    "Task",
    "TaskKind",
    "answer_of",
    "build_task",
    "check_decoding",
    "labels_of",
    "score_texts",
    "task",
    "template_of",
]
