"""Scores of extracted answers, as SQuAD's official script counts them."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from softprompt.errors import DataError, kind_of
from softprompt.metrics.scores import Pairs, check_lengths

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def answer_pairs(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> Pairs:
    """One answer per question and all its right ones.

    An empty text says that there is no answer; none, or empty texts, are right where there is none.

    Raises:
        DataError: nothing to score, lengths that differ, or something else than texts (with its row).
    """
    check_lengths(outputs, references)
    for i, (output, group) in enumerate(zip(outputs, references, strict=True)):
        if isinstance(group, str):
            raise DataError(f"references[{i}]", "a single text", "a list of texts", "put it into a list")
        for side, texts in (("outputs", [output]), ("references", group)):
            if bad := [text for text in texts if not isinstance(text, str)]:
                raise DataError(f"{side}[{i}]", kind_of(bad[0]), "a text")
    return Pairs(list(outputs), [list(group) for group in references])


def exact_match(outputs: list[str], references: list[list[str]]) -> float:
    """Share of answers that equal a right one, apart from case, punctuation and articles, in percent.

    Source: the evaluation script of SQuAD v2.0 (1806.03822), which counts v1.1 as its own script does:
    texts lowered, without ASCII punctuation and without the articles a, an and the. References that
    are nothing but those are passed over; a question without any other is one without an answer.
    """
    return _mean_of_best(outputs, references, lambda said, gold: float(said == gold))


def answer_f1(outputs: list[str], references: list[list[str]]) -> float:
    """F1 of the words with the best reference, averaged over questions, in percent.

    Source: as `exact_match`. Without words on one side, whether the other has none either.
    """
    return _mean_of_best(outputs, references, _overlap)


def _mean_of_best(
    outputs: list[str], references: list[list[str]], one: Callable[[list[str], list[str]], float]
) -> float:
    total = 0.0
    for output, group in zip(outputs, references, strict=True):
        said = _words(output)
        golds = [gold for text in group if (gold := _words(text))] or [[]]
        total += max(one(said, gold) for gold in golds)
    return 100 * total / len(outputs)


def _overlap(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold))


def _words(text: str) -> list[str]:
    return _ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()
