"""Scores of extracted answers, as SQuAD's official script counts them."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from softprompt.errors import DataError, kind_of
from softprompt.metrics.scores import Scores, check_lengths, check_names

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def score_answers(
    names: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> Scores:
    """Exact match and word overlap with the best reference, averaged over questions.

    Source: the evaluation script of SQuAD v2.0 (1806.03822), which counts v1.1 as its own script does:
    texts lowered, without ASCII punctuation and without the articles a, an and the. References that
    are nothing but those are passed over; a question without any other is one without an answer.

    Args:
        names: Metrics of the task `spans`.
        outputs: One answer per question; an empty text says that there is none.
        references: Every right answer of each question; none (or empty texts) where there is none.

    Returns:
        Percent (0-100).

    Raises:
        ConfigError: an unknown metric.
        DataError: nothing to score, lengths that differ, or something else than texts (with its row).
    """
    check_names(names, "spans")
    check_lengths(outputs, references)
    sums = dict.fromkeys(names, 0.0)
    for i, (output, group) in enumerate(zip(outputs, references, strict=True)):
        if isinstance(group, str):
            raise DataError(f"references[{i}]", "a single text", "a list of texts", "put it into a list")
        for side, texts in (("outputs", [output]), ("references", group)):
            if bad := [text for text in texts if not isinstance(text, str)]:
                raise DataError(f"{side}[{i}]", kind_of(bad[0]), "a text")
        said = _words(output)
        golds = [gold for text in group if (gold := _words(text))] or [[]]
        for name in names:
            one = _exact if name == "exact_match" else _overlap
            sums[name] += max(one(said, gold) for gold in golds)
    return Scores({name: 100 * total / len(outputs) for name, total in sums.items()})


def _exact(said: list[str], gold: list[str]) -> float:
    return float(said == gold)


def _overlap(said: list[str], gold: list[str]) -> float:
    """F1 of the words; without words on one side, whether the other has none either."""
    if not said or not gold:
        return float(said == gold)
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold))


def _words(text: str) -> list[str]:
    return _ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()
