"""A graph that torch.jit.trace makes of soft tokens is right for other padding than it was traced with."""

import pytest
import torch
from torch import Tensor, nn

import softprompt
from support.prompts import close
from support.tiny import ids, tiny_backbone

PADDED = {"none": (0, 6), "left": (2, 6), "right": (0, 4)}


class Answer(nn.Module):
    """What a model answers, as one tensor."""

    def __init__(self, model: nn.Module, decoder_ids: Tensor | None) -> None:
        super().__init__()
        self.model = model
        self.given = {} if decoder_ids is None else {"decoder_input_ids": decoder_ids}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, return_dict=False, **self.given
        )[0]


def padded(kind: str) -> Tensor:
    start, end = PADDED[kind]
    mask = torch.ones(2, 6, dtype=torch.long)
    mask[0] = (torch.arange(6) >= start) & (torch.arange(6) < end)
    return mask


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("traced_with", PADDED)
@pytest.mark.parametrize("family", ["bert", "t5"])
def test_a_trace_takes_any_padding(family, traced_with):
    backbone = tiny_backbone(family)
    backbone.model.config.use_cache = False
    prompt = softprompt.prompt_tuning(backbone, 4, seed=1)
    prompt.requires_grad_(False)  # torch holds no tensors that learn in a graph
    answer = Answer(backbone.model, ids(2, 3, seed=5) if family == "t5" else None)
    text = ids(2, 6, seed=2)
    with torch.no_grad(), backbone.prompted(prompt):
        graph = torch.jit.trace(answer, (ids(2, 6, seed=1), padded(traced_with)), check_trace=False)
        wanted = {kind: answer(text, padded(kind)) for kind in PADDED}
    for kind, want in wanted.items():
        got = graph(text, padded(kind))
        real = padded(kind).bool() if got.shape[:2] == text.shape else ...
        close(got[real], want[real])
