"""On a GPU everything is what it is on the processor; skipped where there is none."""

import pytest
import torch

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.prompts.loading import load_prompt
from support.prompts import close, inputs_for, random_prefix, text_for
from support.tiny import DECODERS, ENCODERS, GENERATORS, tiny_backbone, tiny_model
from support.tiny_vision import VISION, pixels, tiny_vision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(autouse=True)
def full_precision():
    """Products in float32, not in tf32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def moved(inputs, device):
    return {name: value.to(device) for name, value in inputs.items()}


def gradients(loss, prompt):
    return [g.cpu() for g in torch.autograd.grad(loss, [p for p in prompt.parameters() if p.requires_grad])]


def both(family, make, run, tmp_path, build=tiny_backbone):
    """What `run` gives with the same stored prompt on the processor and on the GPU, and the gradients."""
    found = []
    for device in ("cpu", "cuda"):
        backbone = build(family)
        backbone.model.to(device)
        if device == "cpu":
            make(backbone).save(tmp_path / "prompt")
        prompt = load_prompt(tmp_path / "prompt", backbone).to(device)
        with backbone.prompted(prompt):
            out = run(backbone, device)
        found.append((out.detach().cpu(), gradients(out.square().mean(), prompt)))
    (ours, grads), (theirs, their_grads) = found
    close(ours, theirs, 5e-5)
    assert grads
    for one, other in zip(grads, their_grads, strict=True):
        close(one, other, 5e-5)


@pytest.mark.parametrize("family", GENERATORS)
def test_a_prefix(family, tmp_path):
    def run(backbone, device):
        return backbone.model(**moved(inputs_for(backbone), device)).logits

    both(family, random_prefix, run, tmp_path)


@pytest.mark.parametrize("family", DECODERS)
def test_soft_tokens(family, tmp_path):
    def make(backbone):
        return softprompt.prompt_tuning(backbone, 3, initialization="random", seed=5)

    def run(backbone, device):
        return backbone.model(**moved(inputs_for(backbone), device)).logits

    both(family, make, run, tmp_path)


@pytest.mark.parametrize("family", ENCODERS)
def test_deep_prompts_of_encoders(family, tmp_path):
    def run(backbone, device):
        return backbone.read(moved(text_for(backbone), device))

    both(family, random_prefix, run, tmp_path)


@pytest.mark.parametrize("family", VISION)
def test_visual_prompts(family, tmp_path):
    def make(backbone):
        return softprompt.visual_prompt_tuning(backbone, 3)

    def run(backbone, device):
        return backbone.read({"pixel_values": pixels().to(device)})

    both(family, make, run, tmp_path, tiny_vision)


@pytest.mark.parametrize("family", DECODERS)
def test_greedy_decoding_writes_the_same(family):
    texts = []
    for device in ("cpu", "cuda"):
        backbone = load_backbone(tiny_model(family), device=device)
        prompt = random_prefix(backbone).to(device)
        given = moved(inputs_for(backbone), device)
        with torch.no_grad(), backbone.prompted(prompt):
            texts.append(backbone.model.generate(**given, do_sample=False, max_new_tokens=8).cpu())
    assert torch.equal(*texts)
