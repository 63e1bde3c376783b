"""Scores of extracted answers, as the official scripts of SQuAD and of CMRC 2018 count them."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from softprompt.errors import DataError, kind_of
from softprompt.metrics.languages import AUTO, ENGLISH, Reading, reading_of, unpunctuated
from softprompt.metrics.scores import Pairs, check_lengths

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CMRC_PARTS = re.compile(r"[\u4e00-\u9fa5]|[^\W\u4e00-\u9fa5]+|[^\w\s]")


def answer_pairs(
    outputs: Sequence[str], references: Sequence[Sequence[str]], language: str | Reading = AUTO
) -> Pairs:
    """One answer per question, all its right ones, and the language of these.

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
    if not isinstance(language, Reading):
        language = reading_of([text for group in references for text in group], language)
    return Pairs(list(outputs), [list(group) for group in references], reading=language)


def exact_match(outputs: list[str], references: list[list[str]], language: Reading = ENGLISH) -> float:
    """Share of answers that equal a right one, apart from case, punctuation and articles, in percent.

    Source: the evaluation script of SQuAD v2.0 (1806.03822), which counts v1.1 as its own script does:
    texts lowered, without ASCII punctuation and without the articles a, an and the. References that
    are nothing but those are passed over; a question without any other is one without an answer. Chinese is
    compared as the script of CMRC 2018 (1810.07366) does it, without its own list of punctuation and spaces;
    other scripts than Latin without the punctuation of any script.
    """
    return _mean_of_best(outputs, references, lambda said, gold: float(said == gold), _parts(language))


def answer_f1(outputs: list[str], references: list[list[str]], language: Reading = ENGLISH) -> float:
    """F1 of the words with the best reference, averaged over questions, in percent.

    Source: as `exact_match`. Without words on one side, whether the other has none either. For Chinese the
    longest stretch that both have counts, in characters and in words of other scripts (deviation: nltk's
    words there, here runs of letters and digits); for other scripts without spaces, and for Korean as in
    KorQuAD, characters count as words do.
    """
    shared = _stretch if language.language.answers == "cmrc" else _common
    return _mean_of_best(outputs, references, partial(_overlap, shared), _parts(language))


def _mean_of_best(
    outputs: list[str],
    references: list[list[str]],
    one: Callable[[list[str], list[str]], float],
    parts: Callable[[str], list[str]],
) -> float:
    total = 0.0
    for output, group in zip(outputs, references, strict=True):
        said = parts(output)
        golds = [gold for text in group if (gold := parts(text))] or [[]]
        total += max(one(said, gold) for gold in golds)
    return 100 * total / len(outputs)


def _overlap(shared: Callable[[list[str], list[str]], int], said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    return 2 * shared(said, gold) / (len(said) + len(gold))


def _common(said: list[str], gold: list[str]) -> int:
    """How many parts both have, in any order."""
    return (Counter(said) & Counter(gold)).total()


def _stretch(said: list[str], gold: list[str]) -> int:
    """The length of the longest run of neighbours that both have."""
    longest, before = 0, [0] * (len(gold) + 1)
    for part in said:
        row = [0] * (len(gold) + 1)
        for j, other in enumerate(gold):
            if part == other:
                row[j + 1] = before[j] + 1
        longest, before = max(longest, *row), row
    return longest


def _parts(language: Reading = ENGLISH) -> Callable[[str], list[str]]:
    """What answers of a language are made of."""
    return {
        "squad": _words,
        "cmrc": lambda text: _CMRC_PARTS.findall(text.lower().replace("……", "").translate(_CMRC_PUNCTUATION)),
        "words": lambda text: unpunctuated(text.lower()).split(),
        "characters": lambda text: [c for c in unpunctuated(text.lower()) if not c.isspace()],
    }[language.language.answers]


def _words(text: str) -> list[str]:
    return _ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()
