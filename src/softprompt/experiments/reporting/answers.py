"""What a run said of one test record, as people read it: a function for each form of output."""

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
        return _FORMS[task](line)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise ValueError(f"no output of task '{task}'") from None


def _text(line: Mapping[str, Any]) -> str:
    """A text of the model's own, a stretch of the context, or a label."""
    output = line["output"]
    if not isinstance(output, str):
        raise TypeError
    return output


def _number(line: Mapping[str, Any]) -> str:
    return f"{line['output']:.4g}"


def _choice(line: Mapping[str, Any]) -> str:
    """Of the endings the one whose index was said, whole."""
    output = line["output"]
    if type(output) is not int or output < 0:
        raise TypeError
    if "choices" not in line:  # written before runs kept the endings
        return f"choice {output + 1}"
    return str(line["choices"][output])


def _label_or_choice(line: Mapping[str, Any]) -> str:
    """A cloze says a label, or chooses where the record brings its own answers."""
    return _text(line) if isinstance(line["output"], str) else _choice(line)


def _tags(line: Mapping[str, Any]) -> str:
    """A tag for each word."""
    output = line["output"]
    if not isinstance(output, list):
        raise TypeError
    return " ".join(map(str, output))


def _best_word(line: Mapping[str, Any]) -> str:
    """Of ranked words the first."""
    return str(_first(line["output"]["words"]))


def _likeliest_label(line: Mapping[str, Any]) -> str:
    """Of ranked labels the first."""
    return str(_first(line["output"]["labels"]))


def _first(ranked: Any) -> Any:
    if not isinstance(ranked, list):
        raise TypeError
    return ranked[0]


_FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "generation": _text,
    "classification": _text,
    "regression": _number,
    "choice": _choice,
    "tagging": _tags,
    "spans": _text,
    "cloze": _label_or_choice,
    "probing": _best_word,
    "image_classification": _likeliest_label,
}
