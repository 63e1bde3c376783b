"""Frozen layers shared out over two processes (gloo, on the CPU) give the numbers of a whole backbone."""

import pytest
import torch

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError
from support.launch import launch
from support.tiny import tiny_model

# Every process has rows of its own; the whole backbone beside is what they must equal.
WORKER = """
import gc, sys, time, warnings
import torch
torch.set_num_threads(1)
warnings.simplefilter("error")
import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError, PromptError
from support.prompts import close, disturb, random_prefix, soft_tokens
from support.tiny import ids, tiny_backbone, tiny_model

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()

def said(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError("not refused")

def numbers_alive():
    gc.collect()
    tensors = (thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
    whole = {}
    for tensor in tensors:
        for part in (tensor, getattr(tensor, "_local_tensor", None)):
            if part is not None and hasattr(part, "untyped_storage") and type(part).__name__ != "DTensor":
                storage = part.untyped_storage()
                whole[storage.data_ptr()] = storage.nbytes()
    return sum(whole.values()) // 4

def results(backbone, prompt, checkpointed):
    x = ids(2, 7, seed=rank)
    inputs = {"input_ids": x, "attention_mask": torch.ones_like(x)}
    with backbone.training_mode(False, checkpointed), backbone.prompted(prompt):
        if backbone.spec.is_encoder_decoder:
            inputs["decoder_input_ids"] = x
        if backbone.model.get_output_embeddings() is None:
            found = backbone.read(inputs)
        else:
            found = backbone.labelled_losses(inputs, torch.ones_like(x, dtype=torch.bool), x.flatten())
        weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
        trained = [p for p in prompt.parameters() if p.requires_grad]
        return found.detach(), torch.autograd.grad((found * weights).sum(), trained)

for family in sys.argv[1:]:
    tiny_backbone(family), tiny_model(family)  # the copies that tests are given are kept from now on
    before = numbers_alive()
    backbone = tiny_backbone(family)
    whole = numbers_alive() - before
    layers = [m for m in backbone.model.modules() if isinstance(m, torch.nn.ModuleList)]
    inside = sum({p: p.numel() for layer in layers for p in layer.parameters()}.values())
    backbone = layers = None
    backbone = load_backbone(tiny_model(family), shard=True)
    assert backbone.sharded and backbone.device.type == "cpu"
    plain = tiny_backbone(family)
    assert backbone.card == plain.card  # the fingerprint is that of all numbers
    own = sum(p.numel() for p in plain.model.parameters())
    plain = None

    def held():
        # Half of what stands in the layers, but for tables (T5's) and padding, and all that stands outside.
        # The threads that send numbers (gloo's) may let go of the last of them a moment later.
        for _ in range(50):
            away = own - (numbers_alive() - before)
            if away > 0.45 * inside:
                break
            time.sleep(0.1)
        assert 0.45 * inside < away <= 0.5 * inside + 64, (family, rank, own, inside, away)

    held()
    for make in (random_prefix, soft_tokens, lambda b: disturb(softprompt.adapter(b, reduction=8))):
        plain = tiny_backbone(family)
        prompt = make(plain)
        for checkpointed in (False, True):
            theirs = results(plain, prompt, checkpointed)
            found = results(backbone, prompt, checkpointed)
            close(found[0], theirs[0])
            assert max(gradient.abs().max() for gradient in theirs[1]) > 0
            for ours, expected in zip(found[1], theirs[1], strict=True):
                close(ours, expected)
        plain = prompt = theirs = found = ours = expected = None
    held()
    if backbone.model.can_generate():
        # Rows of two lengths: a process that has written its last token goes on until the other has.
        prompt = random_prefix(backbone)
        given = {"input_ids": ids(2, 5, seed=rank), "do_sample": False, "pad_token_id": 0}
        given |= {"max_new_tokens": 4 + 3 * rank, "eos_token_id": None}
        for beams in (1, 2):
            with backbone.prompted(prompt):
                found = backbone.model.generate(**given, num_beams=beams)
            plain = tiny_backbone(family)
            with plain.prompted(prompt):
                assert torch.equal(found, plain.model.generate(**given, num_beams=beams))
    told = said(PromptError, lambda: softprompt.fine_tuning(backbone, tune="layernorm"))
    assert "a sharded tensor, expected a choice of plain tensors" in told, told
    tuned = softprompt.fine_tuning(tiny_backbone(family), tune="layernorm")
    told = said(PromptError, lambda: backbone.prompted(tuned).__enter__())
    assert "a sharded tensor of" in told, told
    assert "sharded already" in said(BackboneError, lambda: load_backbone(backbone.model))
    backbone = plain = prompt = tuned = found = None

told = said(BackboneError, lambda: load_backbone(tiny_model("albert"), shard=True))
assert "whose layers share one module" in told, told
from support.int8 import quantise
told = said(BackboneError, lambda: load_backbone(quantise(tiny_model("llama"), False), shard=True))
assert "with quantised weights" in told, told
from support.tiny_vision import tiny_vision_model
told = said(BackboneError, lambda: load_backbone(tiny_vision_model("vit"), shard=True))
assert "which reads pictures" in told, told
tied = tiny_model("llama")
tied.model.layers[1].mlp.up_proj.weight = tied.model.layers[0].mlp.up_proj.weight
told = said(BackboneError, lambda: load_backbone(tied, shard=True))
assert "layers.0.mlp.up_proj.weight and model.layers.1.mlp.up_proj.weight stands in several" in told, told
torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize(
    "families",
    [
        ("llama", "bert", "t5"),
        pytest.param(("gpt2", "gemma3", "bart", "deberta_v3", "modernbert"), marks=pytest.mark.slow),
    ],
)
def test_sharded_layers_give_the_numbers_of_whole_ones_and_take_half_the_room(families):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    launch(WORKER, *families)


def test_one_process_has_nobody_to_share_with():
    with pytest.raises(BackboneError) as caught:
        load_backbone(tiny_model("llama"), shard=True)
    assert str(caught.value) == (
        "backbone.shard: got true in a single process, expected several processes to share the "
        "layers out to. Start the program with `accelerate launch` or torchrun, or leave shard out."
    )
    assert not softprompt.load_backbone(tiny_model("llama")).sharded
