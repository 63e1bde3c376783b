"""The forms of outputs: what metrics compare, what a report shows, and what `softprompt predict` writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

from softprompt.metrics import (
    Pairs,
    answer_pairs,
    label_pairs,
    label_set_pairs,
    number_pairs,
    rank_pairs,
    ranking_pairs,
    tag_pairs,
    text_pairs,
)


@dataclass(frozen=True)
class OutputForm:
    """One form of outputs.

    Attributes:
        pairs: checks outputs and references and puts them into the form that metrics take; gets what
            `softprompt.metrics.score` gets beside them (`labels`, `groups`).
        words: an output in words, from the output and its whole line of `outputs.jsonl`; raises KeyError,
            IndexError, TypeError, ValueError or AttributeError for an output of another form.
        lines: what `softprompt predict` writes, from the record and its output.
        compared: what a report shows of several methods side by side: some of their texts, the answers on
            which they differ, or nothing, since no two methods give the same number.
        empty: what an empty output means, for `softprompt predict`.
    """

    pairs: Callable[..., Pairs]
    words: Callable[[Any, Mapping[str, Any]], str]
    lines: Callable[[Any, Any], list[str]] = lambda record, output: [str(output)]
    compared: Literal["texts", "answers", "nothing"] = "answers"
    empty: str = ""

    @property
    def takes_labels(self) -> bool:
        """Whether the declared labels are needed for scores."""
        return "labels" in signature(self.pairs).parameters


def _of_type(kind: type, value: Any) -> Any:
    # Of exactly this type, since True is no index.
    if type(value) is not kind:
        raise TypeError
    return value


def _text(output: Any, line: Mapping[str, Any]) -> str:
    return _of_type(str, output)


def _choice(output: Any, line: Mapping[str, Any]) -> str:
    """The chosen ending, or its number where the run kept no endings."""
    index = _of_type(int, output)
    if index < 0:
        raise ValueError
    return str(line["choices"][index]) if "choices" in line else f"choice {index + 1}"


def _label_or_choice(output: Any, line: Mapping[str, Any]) -> str:
    return output if isinstance(output, str) else _choice(output, line)


def _chosen(record: Any, output: Any) -> list[str]:
    return [record.choices[output] if isinstance(output, int) else output]


OUTPUT_FORMS: Mapping[str, OutputForm] = {
    "text": OutputForm(text_pairs, _text, compared="texts"),
    "label": OutputForm(label_pairs, _text),
    "labels": OutputForm(
        label_set_pairs,
        lambda output, line: ", ".join(map(str, _of_type(list, output))),
        lambda record, output: [", ".join(output)],
        empty="no label passes the threshold",
    ),
    "choice": OutputForm(label_pairs, _choice, _chosen),
    "label_or_choice": OutputForm(label_pairs, _label_or_choice, _chosen),
    "tags": OutputForm(
        tag_pairs,
        lambda output, line: " ".join(map(str, _of_type(list, output))),
        lambda record, output: [f"{word}\t{tag}" for word, tag in zip(record.words, output, strict=True)],
    ),
    "answer": OutputForm(answer_pairs, _text, empty="the context holds no answer"),
    "number": OutputForm(number_pairs, lambda output, line: f"{output:.4g}", compared="nothing"),
    "ranked_words": OutputForm(
        rank_pairs,
        lambda output, line: str(_of_type(list, output["words"])[0]),
        lambda record, output: list(output["words"]),
    ),
    "ranked_labels": OutputForm(
        ranking_pairs,
        lambda output, line: str(_of_type(list, output["labels"])[0]),
        lambda record, output: [f"{record.source}\t{output['labels'][0]}\t{output['probabilities'][0]:.4f}"],
    ),
}
"""Every form by name."""
