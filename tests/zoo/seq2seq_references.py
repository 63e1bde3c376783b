"""What an encoder-decoder gives under a prompt, written with plain transformers calls.

Soft tokens are embeddings in front of the encoder's text; the decoder attends to what the encoder makes of
them. A prefix is keys and values in front of the attention's own, by the family's own attention function.
"""

import copy
import sys
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from softprompt.prompts.prompt import Prompt

NAME = "zoo_seq2seq"


class SoftByHand:
    """Calls of a copy of a model whose encoder reads a prompt's vectors before its text, one row at a time.

    Args:
        model: the model, which stays as it is.
        prompt: soft tokens.
    """

    def __init__(self, model: PreTrainedModel, prompt: Prompt):
        self.model = copy.deepcopy(model)
        placed: Any = prompt()
        self.vectors: Tensor = placed.vectors

    def __call__(self, *, input_ids: Tensor, **options: Any) -> Any:
        """The output of a forward pass."""
        encoded = self._encoded(input_ids)
        states = encoded.last_hidden_state
        mask = torch.ones(states.shape[:2], dtype=torch.long)
        return self.model(input_ids=input_ids, encoder_outputs=encoded, attention_mask=mask, **options)

    def generate(self, *, input_ids: Tensor, **options: Any) -> Any:
        """What the model generates."""
        encoded = self._encoded(input_ids)
        mask = torch.ones(encoded.last_hidden_state.shape[:2], dtype=torch.long)
        return self.model.generate(encoder_outputs=encoded, attention_mask=mask, **options)  # type: ignore[operator]

    def cut(self, states: Tensor) -> Tensor:
        """The encoder's states, of the text alone."""
        return states[:, len(self.vectors) :]

    def _encoded(self, ids: Tensor) -> Any:
        words = self.model.get_input_embeddings()(ids)
        embeds = torch.cat([self.vectors[None], words], dim=1)
        mask = torch.ones(embeds.shape[:2], dtype=torch.long)
        return self.model.get_encoder()(input_ids=None, inputs_embeds=embeds, attention_mask=mask)


class PrefixByHand:
    """Calls of a copy of a model whose attentions have a prompt's keys and values before their own.

    Args:
        model: the model, which stays as it is.
        prompt: key/values.
    """

    def __init__(self, model: PreTrainedModel, prompt: Prompt):
        self.model = copy.deepcopy(model)
        placed: Any = prompt()
        self.own: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        for block in placed:
            for index, layer in enumerate(block.layers):
                self.own[block.site, layer] = block.keys[index][None], block.values[index][None]
        self.met: dict[str, list[nn.Module]] = {"encoder": [], "decoder": [], "cross": []}
        self.encoder = set(self.model.get_encoder().modules())
        self.paths = {module: path for path, module in self.model.named_modules()}
        AttentionInterface.register(NAME, self._attend)
        AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
        self.model.set_attn_implementation(NAME)

    def __call__(self, **given: Any) -> Any:
        """The output of a forward pass."""
        AttentionInterface.register(NAME, self._attend)
        return self.model(**given)

    def generate(self, **given: Any) -> Any:
        """What the model generates."""
        AttentionInterface.register(NAME, self._attend)
        return self.model.generate(**given)  # type: ignore[operator]

    def cut(self, states: Tensor) -> Tensor:
        """The encoder's states, which are of the text alone."""
        return states

    def _attend(
        self,
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        mask = attention_mask
        pair = self.own.get(self._place(module))
        family: Any = sys.modules[type(module).__module__]
        if pair is not None:
            keys, values = (tensor.expand(len(key), -1, -1, -1) for tensor in pair)
            if mask is not None:
                mask = torch.nn.functional.pad(mask, (keys.shape[2], 0), value=0.0)
            if kwargs.get("position_bias") is not None:
                bias = kwargs["position_bias"]
                kwargs["position_bias"] = torch.nn.functional.pad(bias, (keys.shape[2], 0), value=0.0)
            key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return family.eager_attention_forward(module, query, key, value, mask, *args, **kwargs)

    def _place(self, module: nn.Module) -> tuple[str, int]:
        """The site of an attention, and its number among those of the site, which run in order."""
        site = "encoder" if module in self.encoder else "decoder"
        if any(word in self.paths[module].lower() for word in ("encoder_attn", "cross", "encdec")):
            site = "cross"
        met = self.met[site]
        if module not in met:
            met.append(module)
        return site, met.index(module)


class ShiftedByHand(PrefixByHand):
    """The same for a decoder's prefix that takes positions: a cache holds it, and the family counts on.

    Only a prefix of the decoder's self-attention is meant.
    """

    def __call__(self, **given: Any) -> Any:
        """The output of a forward pass."""
        AttentionInterface.register(NAME, _eager)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for (_, layer), (keys, values) in self.own.items():
            cache.self_attention_cache.update(keys, values, layer)
        written = given["labels"] if given["decoder_input_ids"] is None else given["decoder_input_ids"]
        prompt = next(iter(self.own.values()))[0].shape[2]
        mask = torch.ones(1, prompt + written.shape[1], dtype=torch.long)
        read = {name: given.pop(name) for name in list(given) if name.startswith("input_")}
        given.pop("use_cache", None)
        options = {"past_key_values": cache, "decoder_attention_mask": mask, "use_cache": True}
        return self.model(encoder_outputs=self.model.get_encoder()(**read), **given, **options)


def _eager(module: Any, *args: Any, **kwargs: Any) -> Any:
    family: Any = sys.modules[type(module).__module__]
    return family.eager_attention_forward(module, *args, **kwargs)
