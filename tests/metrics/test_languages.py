"""Scores of texts in every script: equal texts are equal, the language is said, English is as it was."""

import re

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

from softprompt import extras
from softprompt.errors import ConfigError, SoftpromptError
from softprompt.metrics import captions, java, languages, reading_of, score
from softprompt.metrics.spans import answer_f1, exact_match

TEXTS = {
    "zh": "这件衬衫的款式非常宽松，很舒服。",
    "ja": "私は毎日東京の図書館で日本語を勉強しています。",
    "ko": "저는 매일 도서관에서 한국어를 공부합니다.",
    "char": "ฉันเรียนภาษาไทยที่ห้องสมุดทุกวัน",
    "intl": "мама мыла раму каждый день",
    "latin": "Zoë déjà élève près du château",
    "en": "the shirt is very loose and comfortable",
}
OTHERS = {
    "arabic": "وُلد نزار قباني في مدينة دمشق",
    "hebrew": "אני לומד עברית בספרייה כל יום",
    "hindi": "मैं हर दिन पुस्तकालय में हिन्दी पढ़ता हूँ",
    "greek": "μαθαίνω ελληνικά στη βιβλιοθήκη κάθε μέρα",
    "khmer": "ខ្ញុំរៀនភាសាខ្មែរជារៀងរាល់ថ្ងៃ",
    "mixed": "这件 T-shirt 的款式 very loose，很舒服",
}
GENERATED = ["bleu", "nist", "rouge_l", "ter", "rouge1", "rouge2", "rougeL"]


@pytest.fixture(autouse=True)
def _without_java(monkeypatch):
    monkeypatch.setattr(captions.java, "find_java", lambda: None)


@pytest.mark.parametrize("text", [*TEXTS.values(), *OTHERS.values()])
def test_equal_texts_have_the_best_scores_and_others_the_worst(text):
    same = score(GENERATED, [text], [[text]]).values
    worst = {"ter": 0.0}
    for name in GENERATED:
        if name != "nist":
            assert same[name] == pytest.approx(worst.get(name, 100.0)), name
    other = score(["bleu", "rouge1", "rougeL", "nist"], ["42 ☃"], [[text]]).values
    assert set(other.values()) == {0.0}


@pytest.mark.parametrize(("name", "text"), TEXTS.items())
def test_the_language_is_that_of_the_references_and_said(name, text):
    assert reading_of([text]).name == name
    notes = score(["bleu", "rouge1"], ["x"], [[text]]).notes
    if name == "en":
        assert not notes
    else:
        assert notes[0].startswith(f"language {name} (") and "found from the references" in notes[0]


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["A restaurant, 北京楼, near the river in the city centre, serves good food."], "en"),
        (["1963", "42%"], "en"),
        (["hello", "мама мыла раму"], "intl"),
        (["你好，世界", "a good restaurant by the river"], "zh"),
        (["你好世界", "안녕하세요 여러분"], "char"),
        (["漢字かな交じり文"], "ja"),
        (["İstanbul'da güzel bir gün geçirdik"], "latin"),
    ],
)
def test_mixed_sets(texts, name):
    assert reading_of(texts).name == name


def test_a_few_texts_in_another_script_are_said_and_rouge_still_counts_them():
    english = ["the shirt is very loose and comfortable to wear on any day of the week"] * 20
    texts = [*english, "电影好看"]
    scores = score(["bleu", "rouge1"], texts, [[text] for text in texts])
    assert scores.values["rouge1"] == pytest.approx(100)
    assert any(note.startswith("1 of 21 references are in another script") for note in scores.notes)


def test_bleu_is_sacrebleus_own():
    said, gold = ["这件衬衫的款式非常宽大，很舒服。"], [[TEXTS["zh"]]]
    expected = BLEU(tokenize="zh").corpus_score(said, [[TEXTS["zh"]]]).score
    assert score(["bleu"], said, gold).values["bleu"] == pytest.approx(expected)
    said = ["私は毎日京都の図書館で日本語を勉強しています。"]
    expected = BLEU(tokenize="ja-mecab").corpus_score(said, [[TEXTS["ja"]]]).score
    assert score(["bleu"], said, [[TEXTS["ja"]]]).values["bleu"] == pytest.approx(expected)
    expected = BLEU(tokenize="char").corpus_score(said, [[TEXTS["ja"]]]).score
    assert score(["bleu"], said, [[TEXTS["ja"]]], language="char").values["bleu"] == pytest.approx(expected)


def test_rouge_is_rouge_score_over_characters_and_words():
    said, gold = "这件衣服的样式也很宽松", "这件衬衫的款式非常宽松"
    letters = {c: chr(97 + i) for i, c in enumerate(dict.fromkeys(said + gold))}
    spelled = [" ".join(letters[c] for c in text) for text in (gold, said)]
    by_hand = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(*spelled)
    found = score(["rouge1", "rouge2", "rougeL"], [said], [[gold]]).values
    assert found == pytest.approx({name: 100 * row.fmeasure for name, row in by_hand.items()})


def test_words_keep_their_marks_and_joiners():
    assert languages.unicode_words("हिन्दी में, वुलद") == ["हिन्दी", "में", "वुलद"]
    assert languages.unicode_words("می\u200cروم؟") == ["میروم"]
    assert "".join(languages.unicode_words("ที่นี่")) == "ที่นี่"
    assert languages.unicode_words("买2件T恤") == ["买", "2", "件", "t", "恤"]


def test_english_has_the_words_of_rouge_score():
    text, gold = "The shirts were running loosely", "a shirt runs loose; café"
    plain = RougeScorer(["rouge1"], use_stemmer=True).score(gold, text)["rouge1"].fmeasure
    assert score(["rouge1"], [text], [[gold]], language="en").values["rouge1"] == pytest.approx(100 * plain)


def test_without_mecab_characters_are_said_and_a_wish_for_words_is_refused(monkeypatch):
    monkeypatch.setattr(extras, "_is_installed", lambda name: name != "MeCab")
    scores = score(["bleu"], [TEXTS["ja"]], [[TEXTS["ja"]]])
    assert "by sacrebleu's char, for want of its ja-mecab" in scores.notes[0]
    assert 'pip install "softprompt[languages]"' in scores.notes[0]
    with pytest.raises(SoftpromptError, match="MeCab"):
        score(["bleu"], [TEXTS["ja"]], [[TEXTS["ja"]]], language="ja")
    with pytest.raises(ConfigError, match=r"task\.language"):
        score(["bleu"], ["a"], [["a"]], language="chinese")


def test_few_words_are_said():
    assert "no output has four words" in score(["bleu"], ["мама мыла"], [["мама мыла"]]).notes[-1]


@pytest.mark.skipif(java.find_java() is None, reason="needs Java")
def test_meteor_of_other_scripts(monkeypatch):
    monkeypatch.undo()
    same = score(["meteor"], [TEXTS["zh"]], [[TEXTS["zh"]]])
    half = score(["meteor"], ["这件裤子的颜色非常好看"], [[TEXTS["zh"]]])
    none = score(["meteor"], ["今天"], [[TEXTS["intl"]]])
    assert same.values["meteor"] > 99 > half.values["meteor"] > 5 > none.values["meteor"]
    assert "meteor by its parameters for any language" in same.notes[0]


def cmrc(said: str, gold: str) -> tuple[float, float]:
    """F1 and EM as the script of CMRC 2018 describes them, written anew: common substring of the parts."""
    marks = [*"-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"]

    def parts(text):
        found, word = [], ""
        for c in text.lower().strip():
            if c in marks:
                continue
            if "\u4e00" <= c <= "\u9fa5":
                found += [word] * bool(word) + [c]
                word = ""
            elif c == " ":
                found, word = found + [word] * bool(word), ""
            else:
                word += c
        return found + [word] * bool(word)

    a, b = parts(said), parts(gold)
    common = max(
        n
        for n in range(min(len(a), len(b)) + 1)
        if any(a[i : i + n] == b[j : j + n] for i in range(len(a) - n + 1) for j in range(len(b) - n + 1))
    )
    return (2 * common / (len(a) + len(b)) if common else 0.0), float(a == b)


@pytest.mark.parametrize(
    ("said", "gold"),
    [
        ("1963年", "1963年"), ("1963年被", "1963年"), ("在杭州市", "杭州市"), ("杭州市。", "杭州市"),
        ("光荣和ω-force", "光荣和ω-force"), ("任天堂游戏谜之村雨城", "村雨城"), ("杭州西湖", "西湖杭州"),
        ("CBD 商务区", "cbd商务区"), ("武汉", "上海"), ("《战国无双3》", "战国无双3"),
    ],
)  # fmt: skip
def test_chinese_answers_are_scored_as_cmrcs(said, gold):
    chinese = reading_of([gold], "zh")
    f1, em = cmrc(said, gold)
    assert answer_f1([said], [[gold]], chinese) == pytest.approx(100 * f1)
    assert exact_match([said], [[gold]], chinese) == 100 * em
    if not re.search("[a-zA-Z0-9]", said):  # the spaces that BERT's tokenizers put between characters
        assert answer_f1([" ".join(said)], [[gold]], chinese) == pytest.approx(100 * f1)


def test_answers_in_other_scripts():
    def of(said, gold):
        found = score(["answer_f1", "exact_match"], [said], [[gold]], task="spans").values
        return found["answer_f1"], found["exact_match"]

    assert of("東京都", "東京") == (pytest.approx(80), 0) and of("とうきょう", "とうきょう") == (100, 100)
    assert of("서울시", "서울") == (pytest.approx(80), 0)
    assert of("في دمشق؟", "دمشق")[0] == pytest.approx(200 / 3)
    assert of("Москва.", "«Москва»") == (100, 100)
    assert of("the Paris France", "Paris") == (pytest.approx(200 / 3), 0)
