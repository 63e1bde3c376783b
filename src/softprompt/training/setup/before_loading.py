"""The checks of a recipe and its data that need no backbone, made before one is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from softprompt.config import RunSettings
from softprompt.data import FORMATS, Splits, check_known, check_numbers, load
from softprompt.errors import ConfigError, DataError, counted
from softprompt.extras import require
from softprompt.files import read_card
from softprompt.metrics import require_libraries
from softprompt.tasks import TASKS, check_decoding, labels_of
from softprompt.training.setup.checks import check_splits


@dataclass(frozen=True)
class RunData:
    """The records of a task, and its labels in the order of the head's outputs."""

    splits: Splits
    labels: Sequence[str]


def check_before_loading(settings: RunSettings, splits: Splits | None = None) -> RunData:
    """Check what needs no backbone, and read the data of one task.

    Args:
        settings: of the run.
        splits: the records of these settings' data, where they have been read already.

    Raises:
        ConfigError: settings that contradict each other or the data.
        DataError: a file that is missing, empty or malformed, or fewer records than are asked for.
        PromptError: an unknown initialisation, or one from a prompt that cannot be read.
        SoftpromptError: the library of a metric is not installed.
    """
    check_decoding(settings.decoding)
    _check_method(settings)
    splits = load(settings.data) if splits is None else splits
    if settings.task.name == "regression":
        check_numbers(splits)
    check_splits(settings, splits)
    _check_examples(settings, splits)
    _check_libraries(settings, splits)
    declared = FORMATS[settings.data.format].labels
    if isinstance(settings.data.label, list):  # a column for each label, whether a text has it or not
        declared = [str(column) for column in settings.data.label]
    labels = labels_of(settings.task, declared, splits.train)
    if labels and TASKS[settings.task.name].settings.model_fields.get("labels") is not None:
        check_known(labels, train=splits.train, dev=splits.dev, test=splits.test)
    return RunData(splits, labels)


def _check_method(settings: RunSettings) -> None:
    from softprompt.prompts import METHODS, find_initialization, n_examples

    method = METHODS[settings.method.name]
    if settings.task.has_head and "head" not in method.signature.parameters:
        got = f"'{method.name}' for task '{settings.task.name}', whose answer a trained head gives"
        raise ConfigError("method.name", got, "a method whose function takes a head")
    initialization = getattr(settings.method, "initialization", None)
    if isinstance(initialization, str):
        _, argument = find_initialization(initialization)
        if initialization.startswith("prompt:"):
            read_card(argument)
        if n_examples(settings.method) and "examples" not in method.signature.parameters:
            got = f"'{initialization}' for '{method.name}'"
            do = "choose another initialisation, or give the function an argument named examples"
            raise ConfigError("method.initialization", got, "a method whose function takes examples", do)


def _check_examples(settings: RunSettings, splits: Splits) -> None:
    """Raises DataError where the method begins from more training examples than there are."""
    from softprompt.prompts import METHODS, n_examples

    n = n_examples(settings.method)
    if not METHODS[settings.method.name].shows_examples and n > len(splits.train):
        got = f"{counted(n, 'example')} of {counted(len(splits.train), 'training pair')}"
        raise DataError("method.initialization", got, f"at most {len(splits.train)}", "ask for fewer")


def _check_libraries(settings: RunSettings, splits: Splits) -> None:
    """Refuse a run whose outputs could not be scored, before it is trained.

    Raises:
        SoftpromptError: a library of the extra `metrics` is not installed.
    """
    if splits.test or settings.training.select != "loss":
        require_libraries(settings.metrics)
    needs = TASKS[settings.task.name].needs
    if splits.test and needs:
        require("metrics", "scores of each class", *needs)
