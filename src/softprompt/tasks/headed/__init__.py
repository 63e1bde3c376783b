"""Tasks whose answer a trained head reads off the backbone's states of a text or a picture."""

from softprompt.tasks.headed.choice import ChoiceTask
from softprompt.tasks.headed.classification import ClassificationTask
from softprompt.tasks.headed.head_task import HeadTask, read
from softprompt.tasks.headed.image_classification import ImageClassificationTask
from softprompt.tasks.headed.multi_label import MultiLabelTask
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.headed.regression import RegressionTask
from softprompt.tasks.headed.spans import SpanTask
from softprompt.tasks.headed.tagging import TaggingTask

__all__ = [
    "ChoiceTask",
    "ClassificationTask",
    "HeadTask",
    "ImageClassificationTask",
    "MultiLabelTask",
    "ReadingExample",
    "ReadingTask",
    "RegressionTask",
    "SpanTask",
    "TaggingTask",
    "read",
]
