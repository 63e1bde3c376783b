"""The settings of each task."""

from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator

from softprompt.config.base import Settings
from softprompt.config.named import named_settings
from softprompt.errors import ConfigError, Problem
from softprompt.metrics import LanguageName

Pooling = Literal["first", "last", "mean"]


def _as_label(raw: Any) -> Any:
    """A label as YAML reads it: a number is its digits; what was `yes` or `no` cannot be known any more."""
    if isinstance(raw, bool):
        expected = "a text, since YAML reads yes, no, on, off, true and false without quotes as truth values"
        raise ValueError(Problem("", str(raw).lower(), expected, 'quote it, e.g. "yes"'))
    return str(raw) if isinstance(raw, int | float) else raw


Label = Annotated[str, BeforeValidator(_as_label)]
"""One label."""

Labels = list[Label]
"""Labels in the order of the head's outputs."""


Finite = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TaskSettings(Settings):
    """What every task's settings are, with the facts about the task that settings are checked by."""

    head_kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of head that can read the answer off states or scores; none where words are the answer."""
    takes_template: ClassVar[bool] = False
    """Whether a template may be written around a record."""
    batch_group: ClassVar[str] = "tasks with heads"
    """Tasks of one group can share a batch."""
    writes_text: ClassVar[bool] = False
    """Whether the answer is a text that is decoded token by token."""

    # A default of another package may be wrong.
    model_config = ConfigDict(validate_default=True)

    name: str

    @property
    def has_head(self) -> bool:
        """Whether a trained head gives the answer."""
        return bool(self.head_kinds)


class GenerationSettings(TaskSettings):
    takes_template = True
    batch_group = "generation"
    writes_text = True

    name: Literal["generation"] = "generation"
    chat: Literal["auto"] | bool = "auto"
    """Whether the source is the user's turn in the tokenizer's chat template and the target the assistant's:
    `auto` where there is a chat template and neither a separator nor a template is given (decoders)."""
    system: str | None = None
    """The system turn before the source (chat only); None leaves it to the chat template."""
    separator: str | None = None
    """Text between source and target where there is no chat; None is the tokenizer's BOS, as in the paper, or
    [SEP] of BERT's tokenizers; and a line break where the source begins with BOS."""
    template: str | None = None
    """Words and slots around `{source}`, with the target in the blank, instead of the separator (decoders):
    `{source} [soft*10] [blank]` is Prefix-Tuning's infix."""
    bos: bool | None = None
    """Whether the source begins with BOS (decoders without chat and template); None is whether the tokenizer
    itself puts it, or other special tokens, before a text."""
    end: str | None = None
    """The token behind a target, at which decoding stops; None is a chat's end of turn, else EOS, or
    [SEP] of tokenizers without EOS."""
    max_source_tokens: int = Field(default=512, ge=1)
    """Longer sources are cut at the end, and counted in the log; of a chat, the oldest turns go first."""
    max_target_tokens: int = Field(default=256, ge=1)
    """Longer targets are cut at the end, and counted in the log (training only)."""
    language: LanguageName = "auto"
    """By whose words texts are scored: `en` as the published scorers do, `latin` with accents, `intl` other
    scripts with spaces, `zh`, `ja`, `ko`, `char` other scripts without; `auto` is that of the references."""

    @model_validator(mode="after")
    def _one_form(self) -> "GenerationSettings":
        if self.template is not None and self.separator is not None:
            where, got = "task.separator", "both a separator and a template"
            raise ValueError(Problem(where, got, "one of the two", "write the separator into the template"))
        plain = next(
            (name for name in ("separator", "template", "bos") if getattr(self, name) is not None), ""
        )
        if self.chat is True and plain:
            got = f"chat beside task.{plain}, a part of plain texts"
            raise ValueError(
                Problem("task.chat", got, "one of the two", f"leave task.{plain} out, or task.chat")
            )
        if self.system is not None and (self.chat is False or plain):
            got = f"a system turn {'beside task.' + plain if plain else 'without chat'}"
            do = f"leave task.{plain} out" if plain else "set task.chat=true"
            raise ValueError(Problem("task.system", got, "a chat, where turns are", do))
        if self.template is not None and self.bos is not None:
            got, do = "both bos and a template, which begins as the tokenizer does", "leave task.bos out"
            raise ValueError(Problem("task.bos", got, "one of the two", do))
        return self


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
    class_weights: Literal["balanced"] | dict[Label, Annotated[float, Field(gt=0)]] | None = None
    """Weights of the labels in the loss: `balanced` weighs rare labels more, so that each counts the same
    in all (n / (labels * records of the label)), or a number for each label. None weighs all alike."""


class MultiLabelSettings(_TextSettings):
    head_kinds = ("sequence",)

    name: Literal["multi_label_classification"] = "multi_label_classification"
    labels: Labels | None = Field(default=None, min_length=2)
    """Every label, in the order of the head's outputs; None takes those of the training data."""
    class_weights: Literal["balanced"] | dict[Label, Annotated[float, Field(gt=0)]] | None = None
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
    class_weights: Literal["balanced"] | dict[Label, Annotated[float, Field(gt=0)]] | None = None
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


Words = dict[Label, str | list[str]]
"""Words that stand for each label, in the order of the labels."""


class ClozeSettings(TaskSettings):
    head_kinds = ("calibration", "soft")
    takes_template = True
    batch_group = "label words"

    name: Literal["cloze"] = "cloze"
    template: str | None = None
    """Fields, a blank and slots (`softprompt.text.template`); None is the method's, or the bare fields."""
    fields: list[str] | None = Field(default=None, min_length=1, max_length=2)
    """What templates call the record's text, and its second text; None is the data format's own names."""
    verbalizer: Words | Literal["null"] | None = None
    """Words per label; `null` draws a random word for each. None is for records with choices."""
    verbalizer_seed: int = Field(default=0, ge=0)
    """Seed of the words that `null` draws."""
    reduction: Literal["mean", "sum"] = "mean"
    """For several words per label: the mean of their log-probabilities, or the probability of any word."""
    patterns: dict[str, str] | None = None
    """Templates by name, of which `template` may name one, so that a study can vary it over many tasks."""
    head: Literal["calibration", "soft", "linear"] | None = None
    """`calibration` trains an affine map of the labels' scores, `soft` a vector for each label that begins
    at the vectors of its words, `linear` a vector that begins at random: a classifier on the state in the
    blank."""
    max_tokens: int = Field(default=128, ge=1)
    """Longer texts lose the ends of their fields, and are counted in the log."""

    @property
    def has_head(self) -> bool:
        """Whether a trained head gives the answer, rather than the words' probabilities alone."""
        return self.head is not None

    @model_validator(mode="after")
    def _nothing_ignored(self) -> "ClozeSettings":
        if self.verbalizer != "null" and self.verbalizer_seed:
            where, got = "task.verbalizer_seed", f"{self.verbalizer_seed}, though no word is drawn"
            raise ValueError(
                Problem(where, got, "verbalizer 'null', whose words are drawn", "leave the seed out")
            )
        if self.verbalizer is None and (self.head or self.reduction != "mean"):
            name = "head" if self.head else "reduction"
            where, got = f"task.{name}", f"{getattr(self, name)!r} without a verbalizer"
            raise ValueError(Problem(where, got, "words for each label", "give task.verbalizer"))
        return self


class ProbingSettings(TaskSettings):
    takes_template = True
    batch_group = "probing"

    name: Literal["probing"] = "probing"
    template: str | None = None
    """With the field `{subject}`, a blank and slots; `manual` is the relation's own pattern (`trex` only).
    None is the method's, or the bare subject."""
    vocabulary: str = "all"
    """What may be answered: `all` tokens, or the single tokens among the words of a text file (one a line)
    or among the objects of a folder of `trex` files, both in the data folder."""
    max_tokens: int = Field(default=64, ge=1)
    """Longer subjects are cut at their end, and counted in the log."""


def task_settings(raw: Any) -> Any:
    """A mapping as the settings of the task that it names; anything else as it is.

    Raises:
        ValueError: every mistake in the mapping, as pydantic wants it of a validator.
    """
    # Recipes from the time of a single task do not name it.
    return named_settings("task", _table(), {"name": "generation", **raw}) if isinstance(raw, dict) else raw


def reads_pictures(name: Any) -> bool:
    """Whether a task reads pictures; False for a name that no task has."""
    try:
        return _table()[str(name)].reads_pictures
    except ConfigError:
        return False


def records_of(name: Any) -> tuple[type, ...]:
    """The classes of records that a task reads; none for a name that no task has."""
    try:
        return _table()[str(name)].records
    except ConfigError:
        return ()


def tasks_with_templates() -> list[str]:
    """The names of the tasks that write a template around a record."""
    tasks = _table()
    return [name for name in tasks if (row := tasks.get(name)) and row.settings.takes_template]


def _table() -> Any:
    # By its name, since tasks stand above the settings; the table itself is light.
    return import_module("softprompt.tasks").TASKS


AnyTask = Annotated[SerializeAsAny[TaskSettings], BeforeValidator(task_settings)]
"""The settings of any task, told apart by `name`."""
