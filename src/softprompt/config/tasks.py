"""The settings of the tasks whose answer is a text or a word, and the table of all."""

from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from softprompt.config.named import named_settings
from softprompt.config.task_settings import ClassWeights, Label, TaskSettings
from softprompt.errors import ConfigError, Problem
from softprompt.metrics import LanguageName


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
    class_weights: ClassWeights = None
    """Weights of the labels in the loss: `balanced` weighs rare labels more, so that each counts the same
    in all (n / (labels * records of the label)), or a number for each label. None weighs all alike."""
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
        if self.verbalizer is None and (self.head or self.reduction != "mean" or self.class_weights):
            name = "head" if self.head else "class_weights" if self.class_weights else "reduction"
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
