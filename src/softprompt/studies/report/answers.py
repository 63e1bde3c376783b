"""The output for one test record as people read it: a function for each form of output."""

from collections.abc import Callable, Mapping
from typing import Any


def answer_of(task: str, line: Mapping[str, Any]) -> str:
    """The output of a line of `outputs.jsonl` in words.

    Args:
        task: the run's, by its name in settings.
        line: as `training.outputs` writes it.

    Raises:
        ValueError: the output is not of the form that the task writes.
    """
    try:
        return _FORMS[task](line["output"], line)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise ValueError(f"no output of task '{task}'") from None


def _text(output: Any, _: Any = None) -> str:
    """A text of the model's own, a stretch of the context, or a label."""
    return _of_type(str, output)


def _choice(output: Any, line: Mapping[str, Any]) -> str:
    """The ending whose index was put out, whole; its number where runs kept no endings."""
    index = _of_type(int, output)
    if index < 0:
        raise ValueError
    return str(line["choices"][index]) if "choices" in line else f"choice {index + 1}"


def _label_or_choice(output: Any, line: Mapping[str, Any]) -> str:
    """A cloze says a label, or chooses where the record brings its own answers."""
    return output if isinstance(output, str) else _choice(output, line)


def _of_type(kind: type, value: Any) -> Any:
    """The value, which has to be of exactly this type: True is no index."""
    if type(value) is not kind:
        raise TypeError
    return value


_FORMS: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "generation": _text,
    "classification": _text,
    "regression": lambda output, _: f"{output:.4g}",
    "choice": _choice,
    "tagging": lambda output, _: " ".join(map(str, _of_type(list, output))),
    "spans": _text,
    "cloze": _label_or_choice,
    "probing": lambda output, _: str(_of_type(list, output["words"])[0]),
    "image_classification": lambda output, _: str(_of_type(list, output["labels"])[0]),
}
