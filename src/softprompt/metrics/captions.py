"""METEOR, ROUGE-L and CIDEr as the MS-COCO caption evaluation computes them."""

import re
from collections.abc import Sequence

from softprompt.metrics import java
from softprompt.metrics.languages import ENGLISH, Reading, unicode_words
from softprompt.metrics.scores import Scores

# the evaluation looks for upper-case brackets (-LRB-) in lowered text, so brackets stay in
PUNCTUATION = frozenset("'' ' `` ` . ? ! , : - -- ... ;".split())

_CHUNKS = re.compile(
    r"https?://\S+|\w[\w.+-]*@\w[\w.-]*\.\w+"  # addresses
    r"|(?:[a-z]\.){2,}|\b(?:[a-z]|mr|mrs|ms|dr|st|jr|sr|prof|gen|col|vs|inc|ltd|co|corp|ave|blvd|mt)\.(?=\s)"
    r"|n['’]t\b|['’](?:s|m|d|ll|re|ve)\b|\b[od]['’][^\W_]+"  # don't, it's, o'clock
    r"|[^\W_]+?(?=n['’]t\b)"
    # words, numbers and ranges, and texts run together at a full stop
    r"|[-+](?=\d)[\d.,]*\d|[^\W_]+(?:(?:[&/_-]|(?<=\d)[.,:](?=\d)|(?<=[^\W\d])\.(?=[^\W\d]))[^\W_]+)*"
    r"|\.{3,}|-{2,}|\S"
)
_WRITTEN: dict[str, str] = {
    "cannot": "can not",
    "gonna": "gon na",
    "gotta": "got ta",
    "wanna": "wan na",
    "gimme": "gim me",
    "lemme": "lem me",
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "£": "#",
    "€": "$",
    "…": "...",
    "–": "--",
    "—": "--",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    '"': "''",
}


def captions(
    outputs: list[str],
    references: list[list[str]],
    names: Sequence[str],
    language: Reading = ENGLISH,
) -> Scores:
    """METEOR and ROUGE-L (0-100) and CIDEr (raw) over the whole set.

    Source: tuetschek/e2e-metrics, which calls the MS-COCO caption evaluation: Stanford's Penn Treebank
    tokens, lowered, without punctuation; ROUGE-L with beta 1.2 over the best precision and the best
    recall of all references; CIDEr with document frequencies from the references of this very set.
    Deviation: without Java the tokens come from `penn_line`, METEOR is left out, and notes say so.
    WebNLG 2017 gives METEOR texts with their punctuation: 46.6 where this gives 46.0 (see `text.bleu`). Texts
    that are not in Latin letters have Unicode's words and characters in place of Penn Treebank tokens.
    """
    if java.find_jar("cider", "cider.py") is None:
        return Scores({}, (f"{', '.join(names)}: left out, the package pycocoevalcap is not installed",))
    runtime = java.find_java()
    notes: list[str] = []
    others = [name for name in names if name != "meteor"]
    english = language.tokenizer == "13a"
    flat = [*outputs, *(text for group in references for text in group)]
    try:
        if runtime is None:
            raise java.JavaError("no Java runtime was found")
        if english:
            jar = java.find_jar("tokenizer", "stanford-corenlp-3.4.1.jar")
            lines = java.penn_lines(runtime, _present(jar), flat)
        else:
            lines = []
    except java.JavaError as error:
        if "meteor" in names:
            notes.append(f"meteor: left out, {error}")
        if others and english:
            notes.append(
                f"{', '.join(others)}: tokens from softprompt, not from Stanford's Java program, {error}"
            )
        names, lines = others, [penn_line(text) for text in flat]
    if not english:
        lines = [" ".join(unicode_words(text)) for text in flat]
    tokens = iter(" ".join(word for word in line.split() if word not in PUNCTUATION) for line in lines)
    texts = [next(tokens) for _ in outputs]
    golds = [[next(tokens) for _ in group] for group in references]
    values = {}
    if "meteor" in names and runtime is not None:
        try:
            jar = java.find_jar("meteor", "meteor-1.5.jar")
            values["meteor"] = 100 * java.meteor(runtime, _present(jar), texts, golds, english)
        except java.JavaError as error:
            notes.append(f"meteor: left out, {error}")
    if "rouge_l" in names:
        values["rouge_l"] = _rouge_l(texts, golds)
    if "cider" in names:
        values["cider"] = _cider(texts, golds)
        if len({_n_grams(group) for group in golds}) == 1:
            # The weight of a word is the logarithm of how rare it is among the records.
            why = "one record" if len(golds) == 1 else "records whose references are of the same words"
            notes.append(f"cider: 0 for {why}, whatever the texts are; it needs different records")
    return Scores(values, tuple(notes))


def penn_line(text: str) -> str:
    """One text as lowered Penn Treebank tokens with single spaces between them, without Java.

    Source: the conventions of Stanford's Penn Treebank tokenizer 3.4.1, rebuilt from its behaviour
    on English table-to-text references, from which nltk's tokenizer differs (`£20` is one word to it, and a
    full stop inside a text stays with its word). Not covered: Stanford's sentence-final rules for
    abbreviations, smileys and fractions.
    """
    chunks: list[str] = _CHUNKS.findall(text.lower())
    return " ".join(_WRITTEN.get(chunk, chunk) for chunk in chunks)


def _present(jar: java.Path | None) -> java.Path:
    if jar is None:
        raise java.JavaError("pycocoevalcap came without its Java programs")
    return jar


def _rouge_l(texts: list[str], golds: list[list[str]]) -> float:
    from pycocoevalcap.rouge.rouge import Rouge

    rouge = Rouge()
    rows = [rouge.calc_score([text], group) for text, group in zip(texts, golds, strict=True)]
    return 100 * sum(rows) / len(rows)


def _n_grams(texts: list[str]) -> frozenset[tuple[str, ...]]:
    """All runs of one to four words of some texts."""
    words = [text.split() for text in texts]
    return frozenset(
        tuple(some[i : i + n]) for some in words for n in range(1, 5) for i in range(len(some) - n + 1)
    )


def _cider(texts: list[str], golds: list[list[str]]) -> float:
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    if not any(gold for group in golds for gold in group):
        return 0.0  # references of punctuation alone, on which the package fails
    scorer = CiderScorer()
    for text, group in zip(texts, golds, strict=True):
        scorer += (text, group)
    return float(scorer.compute_score()[0])
