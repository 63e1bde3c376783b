"""The bundled decoder, loaded once: what the tiny models promise holds on real weights."""

import pytest
import torch

import softprompt
from softprompt.backbones import bundled
from support.prompts import close

SHOWN = " name : Blue Door | food : Thai -> The Blue Door serves Thai food.\n"
ASKED = " name : Old Mill | food : pasta ->"


@pytest.fixture(scope="module")
def backbone():
    if bundled.folder("smollm2-135m") is None:
        pytest.skip("smollm2-135m is not in the cache: softprompt backbones pull smollm2-135m")
    return softprompt.load_backbone("smollm2-135m", dtype="float32", device="cpu")


def test_a_text_start_is_in_context_learning(backbone):
    prompt = softprompt.prefix_tuning(backbone, initialization=f"text: {SHOWN.strip()}")
    shown = backbone.token_ids(SHOWN.strip())
    asked = torch.tensor([backbone.token_ids(ASKED)])
    with torch.no_grad():
        with backbone.prompted(prompt):
            ours = backbone.model(input_ids=asked).logits
        both = torch.cat([torch.tensor([shown]), asked], dim=1)
        theirs = backbone.model(input_ids=both).logits[:, len(shown) :]
    close(ours, theirs, 1e-4)


def test_soft_tokens_are_embeddings_in_front(backbone):
    prompt = softprompt.prompt_tuning(backbone, 100)
    asked = torch.tensor([backbone.token_ids(ASKED)] * 2)
    with torch.no_grad():
        embeds = backbone.model.get_input_embeddings()(asked)
        front = prompt().vectors[None].expand(2, -1, -1)
        theirs = backbone.model(inputs_embeds=torch.cat([front, embeds], dim=1)).logits[:, 100:]
        with backbone.prompted(prompt):
            ours = backbone.model(input_ids=asked).logits
    close(ours, theirs, 1e-4)


def test_two_steps_lower_the_loss(backbone):
    prompt = softprompt.prefix_tuning(
        backbone, reparameterization=None, initialization=f"text: {SHOWN.strip()}"
    )
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1e-2, weight_decay=0.0)
    ids = torch.tensor([backbone.token_ids(ASKED + " The Old Mill serves pasta.")])
    losses = []
    for _ in range(3):
        with backbone.prompted(prompt):
            loss = backbone.model(input_ids=ids, labels=ids).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
