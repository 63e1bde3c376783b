"""PEFT's adapter folder out of a prompt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones import Backbone, hub_id
from softprompt.errors import PromptError
from softprompt.exchange.adapter_folder import write_adapter
from softprompt.exchange.peft_reading import check_reading, pairs_read, submodules_of
from softprompt.exchange.prefixes import backbone_of, check_positions, check_vectors_alone, whole_prefix
from softprompt.files import without_folders
from softprompt.prompts import KeyValues, Prompt, SlotEmbeddings

TASK_TYPES = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "LMHeadModel": "CAUSAL_LM",
    "ForCausalLM": "CAUSAL_LM",
}
"""PEFT's word for a task, by the end of a class's name."""


def save_peft(prompt: Prompt, folder: Path | str, backbone: Backbone | None = None) -> Path:
    """Write a prompt as an adapter folder, which `PeftModel.from_pretrained` loads. PEFT is not needed.

    Logits of rows without padding are equal in both libraries, and `softprompt.peft.load` gives the same
    tensors back.

    Args:
        prompt: keys and values of every layer of a decoder (or of an encoder alone), or soft tokens in front
            of the text; with shifted positions. A reparameterisation is baked.
        folder: made where there is none.
        backbone: the model of the prompt; None is the one that it was made or loaded for.

    Raises:
        PromptError: what PEFT's files cannot say, with the reason, or a place that cannot be written.
    """
    backbone = backbone_of(prompt, backbone)
    check_vectors_alone(prompt, "PEFT")
    task_type = _task_type(backbone)
    with torch.no_grad():
        if prompt.card.placement == "key_values":
            config, tensors = _key_values(whole_prefix(prompt, backbone, "PEFT"), backbone)
        else:
            check_positions(prompt, "PEFT")
            check_reading(task_type, backbone, "prompt")
            config, tensors = _soft_tokens(prompt(), backbone)  # type: ignore[arg-type]
    weights = prompt.weights
    config |= {
        "task_type": task_type,
        "base_model_name_or_path": _name_of(backbone),
        "inference_mode": True,
        "modules_to_save": _modules(weights, backbone) or None,
    }
    tensors |= {f"base_model.{name}": tensor for name, tensor in weights.items()}
    return write_adapter(folder, config, tensors)


def _key_values(block: KeyValues, backbone: Backbone) -> tuple[dict[str, Any], dict[str, Tensor]]:
    n_layers, heads, n, dim = block.keys.shape
    submodules = submodules_of(backbone)
    both = torch.stack([block.keys, block.values], 1)  # layer pair kv_head prompt dim
    stored = torch.zeros_like(both)
    filled: dict[int, int] = {}
    for layer, pair in enumerate(pairs_read(n_layers, submodules)):
        if pair in filled and not torch.equal(both[filled[pair]], both[layer]):
            raise PromptError(
                "prompt",
                f"other keys and values in decoder layer {layer} than in layer {filled[pair]}",
                f"the same in both: on an encoder-decoder of {n_layers} layers PEFT reads one entry for two",
            )
        filled[pair] = layer
        stored[pair] = both[layer]
    config = {
        "peft_type": "PREFIX_TUNING", "prefix_projection": False, "num_virtual_tokens": n,
        "num_layers": n_layers, "num_attention_heads": heads, "token_dim": heads * dim,
        "num_transformer_submodules": submodules, "encoder_hidden_size": heads * dim,
    }  # fmt: skip
    return config, {"prompt_embeddings": stored.permute(3, 0, 1, 2, 4).reshape(n, -1)}


def _soft_tokens(placed: SlotEmbeddings, backbone: Backbone) -> tuple[dict[str, Any], dict[str, Tensor]]:
    n, hidden = placed.vectors.shape
    own = backbone.model.config.get_text_config()
    config = {
        "peft_type": "PROMPT_TUNING", "prompt_tuning_init": "RANDOM", "num_virtual_tokens": n,
        "num_layers": own.num_hidden_layers, "num_attention_heads": own.num_attention_heads,
        "token_dim": hidden, "num_transformer_submodules": 1,
    }  # fmt: skip
    return config, {"prompt_embeddings": placed.vectors}


def _name_of(backbone: Backbone) -> str:
    """The hub id of a backbone, or its name without the folders of this machine."""
    path = getattr(backbone.model, "name_or_path", "") or backbone.card.name
    return hub_id(backbone.card.name) or without_folders(path)


def _task_type(backbone: Backbone) -> str:
    name = type(backbone.model).__name__
    return next((kind for end, kind in TASK_TYPES.items() if name.endswith(end)), "FEATURE_EXTRACTION")


def _modules(weights: Mapping[str, Tensor], backbone: Backbone) -> list[str]:
    """The modules that trained tensors belong to, each of which has to be there whole."""
    modules = sorted({name.rpartition(".")[0] for name in weights})
    for module in modules:
        own = {f"{module}.{name}" for name, _ in backbone.model.get_submodule(module).named_parameters()}
        if lacking := own - weights.keys():
            raise PromptError(
                "prompt.weights",
                f"trained tensors of {module} without {sorted(lacking)[0]}",
                "all tensors of a module, since PEFT keeps whole modules",
            )
    return modules
