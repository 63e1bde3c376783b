"""What a call reads, it reads when it begins: whatever was changed before counts, and by whichever way."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from support.prompts import close
from support.references import METHODS, generated_by_hand, logits_by_hand, make
from support.tiny import ids, tiny_backbone, tiny_model


def by_data(prompt: Prompt) -> None:
    for parameter in prompt.parameters():
        parameter.data.mul_(1.5)


def by_other_data(prompt: Prompt) -> None:
    for parameter in prompt.parameters():
        parameter.data = parameter.data * 1.5


def by_numpy(prompt: Prompt) -> None:
    for parameter in prompt.parameters():
        seen = parameter.detach().numpy()
        seen *= 1.5


def by_vector(prompt: Prompt) -> None:
    vector_to_parameters(parameters_to_vector(prompt.parameters()).detach() * 1.5, prompt.parameters())


def by_average(prompt: Prompt) -> None:
    """As an EMA swaps its shadow in."""
    shadow = [parameter.detach() * 1.5 for parameter in prompt.parameters()]
    with torch.no_grad():
        for parameter, average in zip(prompt.parameters(), shadow, strict=True):
            parameter.copy_(average)


def by_state_dict(prompt: Prompt) -> None:
    prompt.load_state_dict({name: tensor * 1.5 for name, tensor in prompt.state_dict().items()}, assign=True)


CHANGES = (by_data, by_other_data, by_numpy, by_vector, by_average, by_state_dict)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_a_prompt_that_is_changed_inside(method: str, change: Callable[[Prompt], None]):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        before = prompted(x).logits
        close(before, logits_by_hand(prompt, x))
        change(prompt)
        after = prompted(x).logits
    assert not torch.allclose(before, after)
    close(after, logits_by_hand(prompt, x))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", ["prefix", "soft"])
def test_an_adapter_that_is_switched_off_and_on(method):
    peft = pytest.importorskip("peft")
    backbone, reference = tiny_backbone("llama"), tiny_model("llama")
    config = peft.LoraConfig(r=2, target_modules=["v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    prompt, x = make(backbone, method), ids(2, 5)
    torch.manual_seed(1)
    wrapped = peft.get_peft_model(backbone.model, config)
    torch.manual_seed(1)
    theirs = peft.get_peft_model(reference, config)
    theirs.load_state_dict(wrapped.state_dict())
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        close(prompted(x).logits, logits_by_hand(prompt, x, model=reference))
        with wrapped.disable_adapter():
            close(prompted(x).logits, logits_by_hand(prompt, x))
        close(prompted(x).logits, logits_by_hand(prompt, x, model=reference))


@pytest.mark.parametrize("method", ["prefix", "soft", "lora"])
def test_weights_of_the_model_that_are_changed_inside(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    other = tiny_model("llama", seed=1)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        prompted(x)
        backbone.model.load_state_dict(other.state_dict())
        close(prompted(x).logits, logits_by_hand(prompt, x, model=other))


@pytest.mark.parametrize("method", ["prefix", "soft", "lora"])
def test_embeddings_that_are_resized_inside(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        before = prompted(x).logits
        backbone.model.resize_token_embeddings(70, mean_resizing=False)
        after = prompted(x).logits
        assert after.shape[-1] == 70
        close(after[..., :64], before)
        assert prompted(torch.full((1, 3), 69)).logits.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_inside(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        want = prompted(x).logits
        backbone.model.to(torch.bfloat16)
        got = prompted(x).logits
        assert got.dtype == torch.bfloat16
        close(got.float(), want, 0.1)
        backbone.model.float()
        again = prompted(x).logits
    rounded = tiny_model("llama").to(torch.bfloat16).float()
    close(again, logits_by_hand(prompt, x, model=rounded))


@pytest.mark.parametrize("method", METHODS)
def test_a_generation_keeps_what_it_began_with(method):
    backbone: Backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(1, 5)
    want = generated_by_hand(prompt, x, 4)
    options: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}

    def changes(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if method != "weights":  # those are the model's own tensors while it runs
            with torch.no_grad():
                for parameter in prompt.parameters():
                    parameter.add_(0.0)
        return scores

    with backbone.prompted(prompt) as prompted:
        assert torch.equal(prompted.generate(x, **options, logits_processor=[changes]), want)
        by_data(prompt)
        assert torch.equal(prompted.generate(x, **options), generated_by_hand(prompt, x, 4))
