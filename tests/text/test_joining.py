"""Texts of BERT's tokenizers read as people write them."""

import pytest

from softprompt.config import GenerationSettings
from softprompt.data.records import Record
from softprompt.tasks.language.encoding import DecoderForm
from softprompt.text import spaces_characters, without_spaces
from support.tokenizer import byte_level, word_piece


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("这 件 衬 衫 很 宽 松 ， 好 ！", "这件衬衫很宽松，好！"),
        ("买 2 件 cbd t 恤", "买2件cbd t恤"),
        ("これ は 本 です 。", "これは本です。"),
        ("he said “ yes ” and left", "he said “ yes ” and left"),
        ("저는 매일 공부합니다 .", "저는 매일 공부합니다 ."),
    ],
)
def test_spaces_beside_characters_go(written, meant):
    assert without_spaces(written) == meant


def test_a_wordpiece_writes_chinese_without_spaces():
    tokenizer = word_piece("这件衬衫很宽松好，！")
    assert spaces_characters(tokenizer) and not spaces_characters(byte_level())
    form = DecoderForm(tokenizer, GenerationSettings(separator=" :"), "bert")
    text = "这件衬衫很宽松，好！"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert form.text(ids) == text
    assert form.changed([text]) == []
    assert form.changed(["CBD好"]) != []


def test_what_a_tokenizer_cannot_write_is_said():
    from softprompt.tasks import build_task
    from support.reading import gpt2

    task = build_task(gpt2(), GenerationSettings(chat=False))
    records = [Record("1", "a", ("the mill",))]
    assert task.score(records, ["the mill"], ["bleu"])[-1]["notes"] == []
    task._form._tokenizer = word_piece("好")  # type: ignore[attr-defined]
    (note,) = task.score([Record("1", "a", ("The mill is cheap today",))], ["x"], ["bleu"])[-1]["notes"]
    assert note.startswith("1 of 1 references cannot be written by the tokenizer")
    assert "'the mill" in note
