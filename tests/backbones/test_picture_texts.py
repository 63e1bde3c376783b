"""What the processors of several families make of a text and its picture."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from transformers import (
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PaliGemmaProcessor,
    SiglipImageProcessorPil,
)

from softprompt.backbones.picture_texts import PictureTexts
from softprompt.errors import DataError
from support.tokenizer import byte_level

# PaliGemma's processor makes arrays of tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PICTURE = Image.new("RGB", (40, 30), "red")
SIDES = {"height": 28, "width": 28}


def tokenizer(*words: str):
    made = byte_level(begins=True)
    made.add_tokens(list(words), special_tokens=True)
    return made


def gemma3():
    made = tokenizer("<image>", "<boi>", "<eoi>")
    for name, word in (("image", "<image>"), ("boi", "<boi>"), ("eoi", "<eoi>")):
        setattr(made, f"{name}_token", word)
        setattr(made, f"{name}_token_id", made.convert_tokens_to_ids(word))
    return Gemma3Processor(Gemma3ImageProcessorPil(size=SIDES), made, image_seq_length=4)


def paligemma():
    pixels = SiglipImageProcessorPil(size=SIDES)
    setattr(pixels, "image_seq_length", 4)  # noqa: B010  no attribute of its class
    return PaliGemmaProcessor(pixels, tokenizer("<image>"))


def idefics3():
    side = {"longest_edge": 28}
    pixels = Idefics3ImageProcessorPil(size=side, max_image_size=side, do_image_splitting=False)
    words = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    return Idefics3Processor(pixels, tokenizer(*words), image_seq_len=4)


def texts_of(processor, model_type="llava") -> PictureTexts:
    def forward(input_ids, mm_token_type_ids=None):
        raise AssertionError

    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    config = SimpleNamespace(model_type=model_type, image_token_id=image)
    base = SimpleNamespace(forward=forward)
    return PictureTexts(processor, SimpleNamespace(config=config, base_model=base, dtype=torch.float32))


@pytest.mark.parametrize("make", [gemma3, paligemma, idefics3])
def test_a_picture_stands_in_front_or_where_its_word_is(make):
    processor = make()
    texts = texts_of(processor)
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    for text in ("what?", f"a {texts.places[0]} b"):
        made = texts.read(text, PICTURE, "here")
        assert made.ids.count(image) == 4
        assert made.types["mm_token_type_ids"] == tuple(int(i == image) for i in made.ids)
        assert "labels" not in made.pixels
        assert "pixel_values" in made.pixels
    with pytest.raises(DataError, match=r"here: got a text with places for 2 pictures"):
        texts.read(texts.places[0] * 2, PICTURE, "here")


def test_what_a_model_writes_is_another_kind_than_what_it_reads():
    texts = texts_of(paligemma(), "paligemma")
    row = texts.read("what?", PICTURE, "here")
    n = len(row.ids)
    ids = torch.zeros(2, n + 3, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, n:] = 0
    beside = texts.beside([row, row], [2, 0], ids, mask)
    assert beside["token_type_ids"].tolist() == [[0] * (n + 1) + [1, 1], [0] * (n + 3)]
    assert beside["pixel_values"].shape == (2, 3, 28, 28)
