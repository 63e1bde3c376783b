"""The settings of the tasks whose answer a trained head reads off states."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from softprompt.config.task_settings import ClassWeights, Labels, TaskSettings
from softprompt.errors import Problem
from softprompt.metrics import LanguageName

Pooling = Literal["first", "last", "mean"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _TextSettings(TaskSettings):
    """Settings shared by the tasks that read a text, or a pair of texts, for one answer."""

    max_tokens: int = Field(default=128, ge=1)
    """Longer texts are cut at the end (of a pair, the longer one first), and counted in the log."""
    separator: str = "\n"
    """Text between the two texts of a pair, for tokenizers that have no form for pairs (decoders)."""
    pooling: Pooling | None = None
    """Which state the head reads; None is `first` ([CLS]) on encoders and `last` (real token) elsewhere."""
    head_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout before the head while training."""


class ClassificationSettings(_TextSettings):
    head_kinds = ("sequence",)

    name: Literal["classification"] = "classification"
    labels: Labels | None = Field(default=None, min_length=2)
    """Every label, in the order of the head's outputs; None takes the format's, or the training data's."""
    class_weights: ClassWeights = None
    """Weights of the labels in the loss: `balanced` weighs rare labels more, so that each counts the same
    in all (n / (labels * records of the label)), or a number for each label. None weighs all alike."""


class MultiLabelSettings(_TextSettings):
    head_kinds = ("sequence",)

    name: Literal["multi_label_classification"] = "multi_label_classification"
    labels: Labels | None = Field(default=None, min_length=2)
    """Every label, in the order of the head's outputs; None takes those of the training data."""
    class_weights: ClassWeights = None
    """Weights of the texts that have a label, in that label's loss: `balanced` lets them count as much as
    those without it (records without / records with the label), or a number for each label. None weighs all
    alike."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A text has the labels whose probability is at least this."""
    label_separator: str | None = Field(default=None, min_length=1)
    """What stands between a text's labels in tables of predictions (in JSON they are a list); None is
    `data.label_separator`, or `;` where the data needs none."""


class RegressionSettings(_TextSettings):
    head_kinds = ("value",)

    name: Literal["regression"] = "regression"
    scale: Literal["standard"] | tuple[Finite, Deviation] | None = "standard"
    """`standard` trains on labels less the mean of the training set's, by their standard deviation; two
    numbers are that mean and deviation, which a run and its prompt keep. None trains on labels as they are.
    Predictions and scores are in the labels' own unit in any case."""


class ChoiceSettings(_TextSettings):
    head_kinds = ("choice",)

    name: Literal["choice"] = "choice"


class TaggingSettings(TaskSettings):
    head_kinds = ("token",)

    name: Literal["tagging"] = "tagging"
    labels: Labels | None = Field(default=None, min_length=2)
    """Every tag, in the order of the head's outputs; None takes those of the training data."""
    class_weights: ClassWeights = None
    """Weights of the tags in the loss: `balanced` weighs rare tags more, so that each counts the same in all
    (words / (tags * words with the tag)), or a number for each tag. None weighs all alike."""
    max_tokens: int = Field(default=128, ge=1)
    """A longer sentence is read in several windows, so that no word is lost."""
    vanished: Literal["refuse", "unknown"] = "refuse"
    """For words without a token: an error, or the tokenizer's unknown token."""
    words: Literal["auto", "spaces", "characters", "scripts", "letters"] = "auto"
    """What the words of a text are that `softprompt predict` is given, in scripts without spaces: longer
    words between `spaces`, or `characters`. Beside these, words of other scripts are whole by `scripts`,
    single letters by `letters`, and asked about by `characters`. `auto` is what the training data shows."""
    head_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout before the head while training."""


class ImageClassificationSettings(TaskSettings):
    head_kinds = ("picture",)
    batch_group = "pictures"

    name: Literal["image_classification"] = "image_classification"
    labels: Labels | None = Field(default=None, min_length=2)
    """Every label, in the order of the head's outputs; None takes those of the training data."""
    class_weights: ClassWeights = None
    """Weights of the labels in the loss: `balanced` weighs rare labels more, so that each counts the same
    in all (n / (labels * records of the label)), or a number for each label. None weighs all alike."""
    pooling: Literal["cls", "image", "prompt", "mean"] | None = None
    """What the head reads; None is the class token, or the patches of models without a class token."""
    hidden_layers: int = Field(default=0, ge=0)
    """Of the head; 0 is linear (the paper's MLP-k baseline has k)."""
    head_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout before each of the head's layers while training; None is 0, and 0.1 with hidden layers."""
    resize: int | None = Field(default=None, ge=1)
    """Side in pixels of the square that pictures are resized to before a crop of the backbone's size; None is
    the resizing of the backbone's own processor."""
    augment: tuple[Literal["crop", "flip"], ...] = ()
    """Random changes while training: the place of the crop, and left and right. VTAB's protocol has none,
    FGVC's both, with `resize` 256 for pictures of 224."""
    keep_gb: float = Field(default=4.0, ge=0)
    """Gigabytes of memory for decoded and resized pictures; further pictures are decoded anew in every
    epoch."""

    @model_validator(mode="after")
    def _each_once(self) -> "ImageClassificationSettings":
        if len(set(self.augment)) < len(self.augment):
            raise ValueError(Problem("task.augment", list(self.augment), "different kinds"))
        return self


class SpanSettings(TaskSettings):
    head_kinds = ("span",)

    name: Literal["spans"] = "spans"
    max_tokens: int = Field(default=384, ge=8)
    """Question and a window of the context together."""
    stride: int = Field(default=128, ge=1)
    """Tokens that neighbouring windows share."""
    max_question_tokens: int = Field(default=64, ge=1)
    """Longer questions are cut at the end, and counted in the log."""
    n_best: int = Field(default=20, ge=1)
    """Start and end positions considered in each window."""
    max_answer_tokens: int = Field(default=30, ge=1)
    """Longer answers are not considered."""
    null_threshold: float = 0.0
    """The prediction is "no answer" if its score passes that of the best answer by more than this."""
    unanswerable: bool = True
    """Whether "no answer" may be predicted (SQuAD v2); False always gives the best stretch (v1)."""
    separator: str = "\n"
    """Text between question and context, for tokenizers that have no form for pairs (decoders)."""
    language: LanguageName = "auto"
    """As whose answers these are scored: `en` and `latin` as SQuAD's, `zh` as CMRC's, `ja`, `ko` and `char`
    by characters, `intl` by words; `auto` is that of contexts and answers."""
    head_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout before the head while training."""
