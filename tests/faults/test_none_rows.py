"""Rows without a prompt, beside others or alone, are the bare text under either padding."""

import pytest
import torch

from support.prompts import close, pad, random_prefix, soft_tokens
from support.tiny import FAMILIES, GENERATORS, ids, tiny_backbone

TEXTS = [ids(1, n, n)[0] for n in (4, 7)]


def first(out):
    """Logits, or states where the family has no head."""
    return out.logits if hasattr(out, "logits") else out[0]


def bare(backbone):
    """Each text alone, without padding, outside of any session."""
    decodes = {"decoder_input_ids": ids(1, 3, 9)} if backbone.spec.is_encoder_decoder else {}
    with torch.no_grad():
        return [first(backbone.model(input_ids=text[None], **decodes))[0] for text in TEXTS]


def padded(backbone, side, prompts, rows):
    inputs = pad(TEXTS, side)
    if backbone.spec.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids(1, 3, 9).repeat(2, 1)
    with torch.no_grad(), backbone.prompted(prompts, rows=rows):
        out = first(backbone.model(**inputs))
    if backbone.spec.is_encoder_decoder:
        return list(out)
    return [row[mask.bool()] for row, mask in zip(out, inputs["attention_mask"], strict=True)]


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("side", ["left", "right"])
def test_none_alone(family, side):
    backbone = tiny_backbone(family)
    for prompts, rows in ((None, None), ([None, None], [0, 1]), ([None], [0, 0])):
        for got, expected in zip(padded(backbone, side, prompts, rows), bare(backbone), strict=True):
            close(got, expected)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_none_of_many(family, side, kind):
    """A prompt that no row has changes nothing, nor does one that another row has."""
    backbone = tiny_backbone(family)
    prompt = kind(backbone)
    for rows, compared in (([1, 1], (0, 1)), ([0, 1], (1,)), ([1, 0], (0,))):
        got = padded(backbone, side, [prompt, None], rows)
        for i in compared:
            close(got[i], bare(backbone)[i])


@pytest.mark.parametrize("family", GENERATORS)
def test_generate_without_prompts(family):
    backbone = tiny_backbone(family)
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    alone = [
        backbone.model.generate(input_ids=t[None], attention_mask=torch.ones_like(t)[None], **options)[0, -6:]
        for t in TEXTS
    ]
    with backbone.prompted([None, None], rows=[0, 1]) as prompted:
        got = prompted.generate(**pad(TEXTS, "left"), **options)[:, -6:]
    assert torch.equal(got, torch.stack(alone))
