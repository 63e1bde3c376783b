from .answering import Answerer
from .bulk import PROBLEM, Bulk, first_problems
from .inputs import Asked, asked_of, takes
from .kinds import (
    Answer,
    ChoiceAnswer,
    Entity,
    LabelAnswer,
    LabelsAnswer,
    NumberAnswer,
    OwnAnswer,
    SpanAnswer,
    TaggedWord,
    TagsAnswer,
    TextAnswer,
    WordsAnswer,
)
from .making import lines_of
from .output import json_line, kind_of_output
from .published import own_table
from .python import generate, live_answerer, predict, score
from .questions import Questions, check_pairs, questions_of
from .stored import (
    answer_settings,
    check_same_task,
    check_vocabulary,
    reading_settings,
    run_of,
    stored_run,
    task_name,
)
from .words import word_places

__all__ = [
    "PROBLEM",
    "Answer",
    "Answerer",
    "Asked",
    "Bulk",
    "ChoiceAnswer",
    "Entity",
    "LabelAnswer",
    "LabelsAnswer",
    "NumberAnswer",
    "OwnAnswer",
    "Questions",
    "SpanAnswer",
    "TaggedWord",
    "TagsAnswer",
    "TextAnswer",
    "WordsAnswer",
    "answer_settings",
    "asked_of",
    "check_pairs",
    "check_same_task",
    "check_vocabulary",
    "first_problems",
    "generate",
    "json_line",
    "kind_of_output",
    "lines_of",
    "live_answerer",
    "own_table",
    "predict",
    "questions_of",
    "reading_settings",
    "run_of",
    "score",
    "stored_run",
    "takes",
    "task_name",
    "word_places",
]
