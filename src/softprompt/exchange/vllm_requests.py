"""Requests for vLLM's servers, which take vectors in place of tokens (`prompt_embeds`).

The server needs `--enable-prompt-embeds`. Only soft tokens in front of the text can be said in that form: a
prefix of keys and values enters every layer.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.answers import asked_of, live_answerer, task_name
from softprompt.backbones import Backbone
from softprompt.errors import PromptError
from softprompt.exchange.prefixes import backbone_of, check_positions, check_vectors_alone
from softprompt.prompts import Prompt, SlotEmbeddings
from softprompt.tasks import GenerationTask

_OWNER = "a prompt_embeds request"


@torch.no_grad()
def embedded(
    prompt: Prompt, ids: Sequence[int], backbone: Backbone | None = None
) -> Float[Tensor, "position hidden"]:
    """The input vectors of a prompt and the tokens behind it, `[length + tokens, hidden]`, on the CPU.

    Args:
        prompt: soft tokens in front of the text, with shifted positions.
        ids: the text's tokens.
        backbone: the decoder of the prompt; None is the one that it was made or loaded for.

    Raises:
        PromptError: a prompt for which those vectors are not the whole of it.
    """
    backbone = backbone_of(prompt, backbone)
    if not len(ids):
        raise PromptError("text", "no tokens", "a text, behind which the answer begins")
    check_vectors_alone(prompt, _OWNER)
    if prompt.card.placement != "slot_embeddings":
        raise PromptError(
            "prompt",
            "keys and values before every layer",
            f"soft tokens, since {_OWNER} holds input vectors alone",
            "serve it with softprompt, or train prompt_tuning",
        )
    check_positions(prompt, _OWNER)
    if prompt.weights:
        raise PromptError("prompt.weights", "trained tensors of the backbone", "soft tokens alone")
    if backbone.stacks != {"decoder"}:
        raise PromptError(
            "backbone", f"{backbone.card.name}, which is no decoder alone", "a decoder, as vLLM serves"
        )
    placed = prompt()
    assert isinstance(placed, SlotEmbeddings)
    text = backbone.embed(list(ids))
    return torch.cat([placed.vectors.to(text), text]).to(backbone.dtype).cpu()


def prompt_embeds(prompt: Prompt, text: Any, backbone: Backbone | None = None) -> str:
    """What a request has as `prompt_embeds`: base64 of what torch.save makes of the vectors.

    Args:
        prompt: as in `embedded`.
        text: the source, which takes the form that the prompt was trained by (separator, chat template), or
            token ids.
        backbone: None is the one that the prompt was made or loaded for.

    Raises:
        PromptError: as `embedded`, or a prompt that is not for generation.
    """
    ids = list(text) if _are_ids(text) else _read(prompt, text, backbone_of(prompt, backbone))[0]
    content = io.BytesIO()
    torch.save(embedded(prompt, ids, backbone), content)
    return base64.b64encode(content.getvalue()).decode("ascii")


def vllm_request(
    prompt: Prompt, text: Any, backbone: Backbone | None = None, model: str | None = None, **sampling: Any
) -> dict[str, Any]:
    """The body of a request to `/v1/completions`, which answers as `prompt.generate` does by greedy decoding.

    Args:
        prompt: as in `embedded`.
        text: as in `prompt_embeds`.
        backbone: None is the one that the prompt was made or loaded for.
        model: the name under which the server has the backbone; None is the backbone's own.
        sampling: more fields, or others in place of these (`temperature`, `max_tokens`).

    Raises:
        PromptError: as `prompt_embeds`.
    """
    frozen = backbone_of(prompt, backbone)
    ids, limits = (list(text), {}) if _are_ids(text) else _read(prompt, text, frozen)
    return {
        "model": model or frozen.card.name,
        "prompt_embeds": prompt_embeds(prompt, ids, backbone),
        "temperature": 0,
        **limits,
        **sampling,
    }


def _are_ids(text: Any) -> bool:
    return not isinstance(text, str) and isinstance(text, Sequence) and all(type(one) is int for one in text)


def _read(prompt: Prompt, text: Any, backbone: Backbone) -> tuple[list[int], dict[str, Any]]:
    """The tokens of a source, as the prompt's task reads it, and the limits of what is written."""
    if task_name(prompt.card) is None and isinstance(text, str):
        # Of a prompt of another library, whose file does not say what the text was beside the prompt.
        return list(backbone.tokenizer(text)["input_ids"]), {}
    answerer = live_answerer(prompt, backbone)
    task = answerer.task
    if not isinstance(task, GenerationTask):
        got = f"a prompt for task '{answerer.settings.task.name}', which writes no texts"
        raise PromptError("prompt", got, "a prompt for generation")
    asked = asked_of(answerer.settings.task, text, "1")
    answerer.check([asked])
    limits = {"max_tokens": task.most_written, "stop_token_ids": list(task.ends)}
    if at_least := answerer.settings.decoding.min_new_tokens:
        limits["min_tokens"] = at_least
    return task.context(asked.record), limits
