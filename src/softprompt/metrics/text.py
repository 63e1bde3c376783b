"""Scores of generated texts by their words: BLEU, NIST, TER and ROUGE."""

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

from softprompt.errors import DataError, kind_of
from softprompt.metrics.languages import AUTO, ENGLISH, Reading, reading_of, splitter, unicode_words
from softprompt.metrics.scores import Pairs, Scores

NIST_ORDER = 5
_NIST_BETA = -math.log(0.5) / math.log(1.5) ** 2
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def text_pairs(
    outputs: Sequence[str], references: Sequence[Sequence[str]], language: str | Reading = AUTO
) -> Pairs:
    """Texts with single spaces, their references without empty ones, and the language of these.

    The official file formats can hold neither line breaks nor empty references.

    Raises:
        DataError: no texts, lengths that differ, a text without a reference, or something else than texts.
    """
    texts = [_clean(text, f"hypotheses[{i}]") for i, text in enumerate(outputs)]
    if not texts:
        raise DataError("metrics", "no hypotheses", "at least one text")
    if len(texts) != len(references):
        got = f"{len(texts)} hypotheses and {len(references)} lists of references"
        raise DataError("metrics", got, "a list of references for each hypothesis")
    golds = []
    for i, group in enumerate(references):
        if isinstance(group, str):
            raise DataError(f"references[{i}]", "a single text", "a list of texts", "put it into a list")
        kept = [clean for text in group if (clean := _clean(text, f"references[{i}]"))]
        if not kept:
            raise DataError(f"references[{i}]", "no reference text", "at least one text")
        golds.append(kept)
    if not isinstance(language, Reading):
        language = reading_of([text for group in golds for text in group], language)
    return Pairs(texts, golds, reading=language)


def _clean(text: str, where: str) -> str:
    if not isinstance(text, str):
        raise DataError(where, kind_of(text), "a text")
    return " ".join(text.split())


def bleu(outputs: list[str], references: list[list[str]], language: Reading = ENGLISH) -> float:
    """BLEU (0-100) over the whole set.

    Source: mteval-v13a as adapted to varying numbers of references in tuetschek/e2e-metrics, the
    scorer's default path: sacrebleu's BLEU with that tokenisation and smoothing, of texts whose ASCII
    letters are lowered. Deviations: a set in which no output has four tokens has BLEU 0. WebNLG 2017
    counts BLEU on text that is split at every non-word character, accents stripped, against three
    references (multi-bleu), and METEOR on that text too; on its test references spoiled at random that
    gave BLEU 65.9 where this gives 65.6. Languages other than English have sacrebleu's tokenisers for them.
    """
    from sacrebleu.metrics.bleu import BLEU

    texts, golds = _lowered(outputs, references)
    most = max(len(group) for group in golds)
    # sacrebleu's shape is [rank][example], with None where an example has fewer references
    streams = [[group[k] if k < len(group) else None for group in golds] for k in range(most)]
    # `force` only silences advice about texts that look tokenised
    scorer = BLEU(tokenize=language.tokenizer, smooth_method="exp", force=True)
    return scorer.corpus_score(texts, streams).score  # type: ignore[arg-type]


def nist(outputs: list[str], references: list[list[str]], language: Reading = ENGLISH) -> float:
    """NIST (raw, about 0-12) over n-grams of 1 to 5 tokens of the whole set.

    Source: Doddington (2002), with the counts and the tokens of mteval-v13a. nltk's `corpus_nist` differs:
    it scores each text against its single best reference instead of all of them together.
    """
    split = splitter(language.tokenizer)
    lowered, lowered_golds = _lowered(outputs, references)
    texts = [split(text) for text in lowered]
    golds = [[split(text) for text in group] for group in lowered_golds]

    seen: Counter[tuple[str, ...]] = Counter()
    for group in golds:
        for tokens in group:
            seen.update(_ngrams(tokens))
    n_reference_tokens = sum(len(tokens) for group in golds for tokens in group)

    gained = [0.0] * NIST_ORDER
    n_ngrams = [0] * NIST_ORDER
    for tokens, group in zip(texts, golds, strict=True):
        most: Counter[tuple[str, ...]] = Counter()
        for gold in group:
            most |= _ngrams(gold)
        for ngram, count in (_ngrams(tokens) & most).items():
            before = seen[ngram[:-1]] if len(ngram) > 1 else n_reference_tokens
            gained[len(ngram) - 1] += count * math.log2(before / seen[ngram])
        for order in range(NIST_ORDER):
            n_ngrams[order] += max(0, len(tokens) - order)

    n_references_each = sum(len(group) for group in golds) / len(golds)
    ratio = n_ngrams[0] * n_references_each / max(1, n_reference_tokens)
    information = sum(total / max(1, n) for total, n in zip(gained, n_ngrams, strict=True))
    return information * _nist_penalty(ratio)


def ter(outputs: list[str], references: list[list[str]], language: Reading = ENGLISH) -> float:
    """Translation edit rate in percent over the whole set: word edits and block shifts; may pass 100.

    Source: the WebNLG 2017 evaluation: texts lowered and split at every non-word character, then
    tercom's TER, here sacrebleu's port of it: the fewest edits to any reference, over the mean
    reference length. Deviations: every reference counts (the challenge reads the first three), and
    letters keep their accents (the challenge strips them); texts that are not in Latin letters have the
    words of `bleu`.
    """
    from sacrebleu.metrics.ter import TER

    words_of = _words
    if language.tokenizer != "13a":
        split = splitter(language.tokenizer)
        words_of = lambda text: split(text.lower())  # noqa: E731
    scorer = TER(case_sensitive=True)
    n_edits, n_words = 0, 0.0
    for text, group in zip(outputs, references, strict=True):
        words, golds = words_of(text), [words_of(gold) for gold in group]
        # a word missing from one side costs an edit at least, so most references need no search
        bounds = sorted((_fewest_possible(words, gold), i) for i, gold in enumerate(golds))
        fewest: float = math.inf
        for bound, i in bounds:
            if bound >= fewest:
                break
            found = scorer.sentence_score(" ".join(words), [" ".join(golds[i])])
            fewest = min(fewest, found.num_edits)
        n_edits += int(fewest)
        n_words += sum(len(gold) for gold in golds) / len(golds)
    return 100 * n_edits / n_words


def rouge(
    outputs: list[str], references: list[list[str]], names: Sequence[str], language: Reading = ENGLISH
) -> Scores:
    """ROUGE F-measures (0-100), averaged over examples.

    Source: Google's rouge-score with Porter stemming, as Prefix-Tuning reports it; an example
    with several references takes the best F-measure of each kind. Deviation: the plain mean, where the
    package's own aggregator takes the median of bootstrap samples. The package's words are runs of a to z and
    digits; texts of which these are not all have Unicode's words and characters.
    """
    from rouge_score.rouge_scorer import RougeScorer

    latin = RougeScorer(list(names), use_stemmer=True)
    other = RougeScorer(list(names), tokenizer=_UnicodeWords())
    rows = []
    for text, group in zip(outputs, references, strict=True):
        # one text in another script within an English set too
        scorer = latin if language.language.english and not reading_of(group, "en").strays else other
        rows.append(scorer.score_multi(group, text))
    return Scores({name: 100 * sum(row[name].fmeasure for row in rows) / len(rows) for name in names})


class _UnicodeWords:
    """The tokeniser that rouge-score takes; English words are stemmed as its own are."""

    def __init__(self) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._stemmed = DefaultTokenizer(use_stemmer=True).tokenize

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return [
            part
            for word in unicode_words(text)
            for part in (self._stemmed(word) if word.isascii() else [word])
        ]


def _lowered(outputs: list[str], references: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Lower-case ASCII letters alone, as the mteval script does: 'É' and 'é' differ."""
    texts = [text.translate(_ASCII_LOWER) for text in outputs]
    return texts, [[text.translate(_ASCII_LOWER) for text in group] for group in references]


def _ngrams(tokens: list[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(tokens[start : start + order])
        for order in range(1, NIST_ORDER + 1)
        for start in range(len(tokens) - order + 1)
    )


def _nist_penalty(ratio: float) -> float:
    if ratio >= 1:
        return 1.0
    return math.exp(-_NIST_BETA * math.log(ratio) ** 2) if ratio > 0 else 0.0


def _fewest_possible(words: list[str], gold: list[str]) -> int:
    return max(len(words), len(gold)) - (Counter(words) & Counter(gold)).total()


def _words(text: str) -> list[str]:
    return re.sub(r"(\W)", r" \1 ", text.lower()).split()
