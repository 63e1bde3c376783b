"""Requests for vLLM's servers: `request` a body, `prompt_embeds` its vectors, `embedded` a tensor of them."""

from softprompt.exchange import embedded, prompt_embeds
from softprompt.exchange import vllm_request as request

__all__ = ["embedded", "prompt_embeds", "request"]
