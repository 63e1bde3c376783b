"""Files of the Cartridges project: keys and values by hand in, and out as that project writes them."""

import pytest
import torch
from torch import nn
from transformers import DynamicCache

import softprompt
from softprompt import cartridges
from support.prompts import random_prefix, soft_tokens
from support.tiny import ids, tiny_backbone


def lists(n_fixed, n_trained, kind=list, left="fixed"):
    torch.manual_seed(2)
    made = {}
    for which, n in (("trainable", n_trained), (left, n_fixed)):
        for part in ("keys", "values"):
            made[f"{which}_{part}"] = kind([nn.Parameter(torch.randn(1, 2, n, 8)) for _ in range(3)])
    return made


@pytest.mark.parametrize("kind", [list, nn.ParameterList])
@pytest.mark.parametrize("left", ["fixed", "frozen"])
@pytest.mark.parametrize("n_fixed", [0, 1])
def test_a_cartridge_is_its_keys_and_values_in_the_cache(tmp_path, kind, left, n_fixed):
    backbone, stored = tiny_backbone("llama"), lists(n_fixed, 3, kind, left)
    torch.save(stored, tmp_path / "c.pt")
    prompt = cartridges.load(tmp_path / "c.pt", backbone)
    cache = DynamicCache(config=backbone.model.config)
    for layer in range(3):
        keys, values = (
            torch.cat([stored[f"{left}_{part}"][layer], stored[f"trainable_{part}"][layer]], 2).detach()
            for part in ("keys", "values")
        )
        cache.update(keys, values, layer)
    text = ids(1, 5)
    with torch.no_grad():
        expected = backbone.model(input_ids=text, past_key_values=cache).logits
        with backbone.prompted(prompt):
            said = backbone.model(input_ids=text).logits
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fixed", [0, 1, 4])
def test_a_prefix_as_a_cartridge_and_back(tmp_path, fixed):
    backbone = tiny_backbone("llama")
    prompt = random_prefix(backbone, 4)
    written = torch.load(cartridges.save(prompt, tmp_path / "c.pt", fixed=fixed), weights_only=True)
    (block,) = prompt()
    assert [t.shape for t in written["trainable_keys"]] == [(1, 2, 4 - fixed, 8)] * 3
    assert torch.equal(written["fixed_values"][1][0], block.values[1][:, :fixed])
    again = cartridges.load(tmp_path / "c.pt", backbone)
    assert all(torch.equal(t, again.tensors()[name]) for name, t in prompt.tensors().items())


def wrong(**changes):
    return {**lists(1, 3), **changes}


WRONG = [
    ([1, 2], "no mapping"), (wrong(trainable_keys=None), "trainable_keys: got no such list"),
    (wrong(trainable_keys=[1, 2, 3]), "something else"),
    (wrong(trainable_values=[torch.zeros(1, 2, 3, 8)] * 2), "got 2 layers"),
    (wrong(trainable_values=[torch.zeros(1, 2, 5, 8)] * 3), "values: got shape"),
    (wrong(trainable_values=[torch.zeros(1, 2, 3, 9)] * 3), "layers of different sizes"),
    (lists(1, 3) | {"trainable_keys": [torch.full((1, 2, 3, 8), float("inf"))] * 3}, "not finite"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), WRONG)
def test_a_file_that_is_no_cartridge_of_this_backbone(tmp_path, content, said):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(softprompt.PromptError) as caught:
        cartridges.load(tmp_path / "c.pt", tiny_backbone("llama"))
    assert said in str(caught.value)


def test_nothing_is_run(tmp_path):
    class Runs:
        def __reduce__(self):
            import os

            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"trainable_keys": Runs()}, tmp_path / "c.pt")
    with pytest.raises(softprompt.PromptError, match="a pickle that asks for"):
        cartridges.load(tmp_path / "c.pt", tiny_backbone("llama"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no zip"])
def test_a_file_of_something_else(tmp_path, content):
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(softprompt.PromptError, match=r"c\.pt"):
        cartridges.load(tmp_path / "c.pt", tiny_backbone("llama"))


@pytest.mark.parametrize(
    ("make", "said"),
    [(soft_tokens, "soft tokens"), (lambda b: random_prefix(b, positions="unshifted"), "start at 0"),
     (lambda b: random_prefix(b, layers="last:1"), "before every layer")],
)  # fmt: skip
def test_what_a_cartridge_cannot_say(tmp_path, make, said):
    with pytest.raises(softprompt.PromptError) as caught:
        cartridges.save(make(tiny_backbone("llama")), tmp_path / "c.pt")
    assert said in str(caught.value)


def test_more_fixed_tokens_than_there_are(tmp_path):
    with pytest.raises(softprompt.PromptError, match="0 to 4 tokens"):
        cartridges.save(random_prefix(tiny_backbone("llama"), 4), tmp_path / "c.pt", fixed=5)
