"""Every soft prompt of PEFT's on every family, both ways, with the real PEFT as the reference."""

import pytest
import torch
from safetensors.torch import load_file

import softprompt
from softprompt import peft as adapters
from support.adapters import TASK_TYPES, backbone_of, ours, saved, theirs
from support.prompts import random_prefix, soft_tokens

pytest.importorskip("peft")

KEY_VALUES = ("prefix", "projected prefix", "cartridge")
SOFT_TOKENS = ("prompt", "p-tuning", "p-tuning, LSTM", "multitask", "cpt")


def possible(family: str, kind: str) -> bool:
    """What PEFT itself runs: CPT on decoders, and multi-task prompts where the model takes their loss."""
    seq2seq = TASK_TYPES[family] == "SEQ_2_SEQ_LM"
    if kind == "cpt":
        return TASK_TYPES[family] == "CAUSAL_LM"
    return kind != "multitask" or (not seq2seq and family != "bert")


def read(family: str, kind: str) -> bool:
    return not (family == "bert sequence" and kind in SOFT_TOKENS)


CELLS = [
    (family, kind)
    for family in TASK_TYPES
    for kind in (*KEY_VALUES, *SOFT_TOKENS)
    if possible(family, kind) and read(family, kind)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "kind"), CELLS)
def test_a_file_of_pefts_says_the_same_here_and_when_it_is_back(tmp_path, family, kind):
    backbone = backbone_of(family)
    folder = saved(backbone, kind, TASK_TYPES[family], tmp_path / "theirs")
    task = 1 if kind == "multitask" else None
    expected = theirs(backbone, folder, task)
    prompt = adapters.load(folder, backbone, task=task)
    said = ours(backbone, prompt)
    assert said.shape == expected.shape
    # Keys and values are the same numbers in the same places; soft tokens pass other kernels.
    most = 0.0 if kind in KEY_VALUES else 1e-6 * max(1.0, expected.abs().max().item())
    assert (said - expected).abs().max().item() <= 3 * most

    back = adapters.save(prompt, tmp_path / "ours")
    assert (theirs(backbone, back) - expected).abs().max().item() <= 3 * most
    before, after = (load_file(one / "adapter_model.safetensors") for one in (folder, back))
    if kind == "multitask":  # baked into one task's soft tokens
        before = {name: tensor for name, tensor in before.items() if name.startswith("base_model.")}
    for name, tensor in before.items():
        # Of an encoder-decoder PEFT stores soft tokens for a decoder that never reads them.
        assert torch.equal(after[name], tensor[: len(after[name])]), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3", "t5", "bart", "bert"])
@pytest.mark.parametrize("kind", ["prefix", "soft tokens"])
def test_a_prompt_of_ours_says_the_same_in_peft(tmp_path, family, kind):
    backbone = backbone_of(family)
    if kind == "prefix":
        site = "decoder" if "decoder" in backbone.stacks else "encoder"
        prompt = random_prefix(backbone, 2, sites=[site], positions="shifted")
    else:
        prompt = softprompt.prompt_tuning(backbone, 2, initialization="random", positions="shifted")
    expected = theirs(backbone, adapters.save(prompt, tmp_path / "theirs"))
    said = ours(backbone, prompt)
    assert (said - expected).abs().max().item() <= 3e-6 * max(1.0, expected.abs().max().item())
    again = adapters.load(tmp_path / "theirs", backbone)
    assert again.tensors().keys() == prompt.tensors().keys()
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in prompt.tensors().items())


@pytest.mark.filterwarnings("ignore")
def test_an_imported_prompt_is_kept_and_trained_on(tmp_path):
    backbone = backbone_of("llama")
    prompt = adapters.load(saved(backbone, "projected prefix", "CAUSAL_LM", tmp_path / "theirs"), backbone)
    expected = ours(backbone, prompt)
    again = softprompt.load_prompt(prompt.save(tmp_path / "kept"), backbone)
    assert torch.equal(ours(backbone, again), expected)
    assert again.card.reparameterization == "mlp"  # said, though PEFT keeps nothing of it
    longer = softprompt.prefix_tuning(backbone, initialization=again, reparameterization=None)
    with backbone.prompted(longer):
        backbone.model(input_ids=torch.tensor([[5, 6]]), labels=torch.tensor([[5, 6]])).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in longer.parameters())


@pytest.mark.filterwarnings("ignore")
def test_left_padding_changes_nothing_here(tmp_path):
    backbone = backbone_of("llama")
    prompt = adapters.load(saved(backbone, "prefix", "CAUSAL_LM", tmp_path / "theirs"), backbone)
    rows = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    with backbone.prompted(prompt), torch.no_grad():
        padded = backbone.model(input_ids=rows, attention_mask=mask).logits[0, 2:]
        alone = backbone.model(input_ids=rows[:1, 2:]).logits[0]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore")
def test_on_an_even_number_of_layers_two_layers_of_a_decoder_read_one_entry(tmp_path):
    """PEFT's quirk on encoder-decoders: followed when read, refused where it cannot be written."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=4, num_heads=4, pad_token_id=0,
                      decoder_start_token_id=0)  # fmt: skip
    backbone = softprompt.load_backbone(T5ForConditionalGeneration(config).eval())
    folder = saved(backbone, "prefix", "SEQ_2_SEQ_LM", tmp_path / "theirs")
    prompt = adapters.load(folder, backbone)
    expected = theirs(backbone, folder)
    assert torch.equal(ours(backbone, prompt), expected)
    (block,) = prompt()
    assert torch.equal(block.keys[0], block.keys[2]) and not torch.equal(block.keys[0], block.keys[1])
    assert torch.equal(theirs(backbone, adapters.save(prompt, tmp_path / "back")), expected)
    other = random_prefix(backbone, 2, sites=["decoder"], positions="shifted")
    with pytest.raises(
        softprompt.PromptError, match="other keys and values in decoder layer 2 than in layer 0"
    ):
        adapters.save(other, tmp_path / "refused")


def test_a_soft_token_prompt_goes_to_peft_and_back_without_peft_installed(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    backbone = backbone_of("gpt2")
    prompt = soft_tokens(backbone)
    again = adapters.load(adapters.save(prompt, tmp_path), backbone)
    assert torch.equal(again().vectors, prompt().vectors)
