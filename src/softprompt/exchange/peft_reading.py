"""A prompt out of PEFT's adapter folder.

What PEFT does with its numbers is done here in the same way, quirks included (PEFT 0.21):

- keys and values of layer `i` are entries `2i` and `2i + 1` of a row. On encoder-decoders PEFT doubles the
  entries and cuts them in fours, so that layer `i` of the decoder reads pair `2i mod layers`;
- soft tokens of an encoder-decoder are stored twice, for the encoder and for a decoder that never reads
  them;
- the text's positions start behind the prompt.
"""

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from softprompt.backbones import Backbone, hub_id
from softprompt.errors import PromptError
from softprompt.exchange.adapter_folder import KEY_VALUE_TYPES, AdapterConfig, read_adapter
from softprompt.exchange.prefixes import prefix_prompt, soft_tokens_prompt, whole_shape
from softprompt.prompts import Prompt


def load_peft(
    folder: Path | str, backbone: Backbone, *, task: int | None = None, any_backbone: bool = False
) -> Prompt:
    """A prompt out of PEFT's adapter folder, for the live backbone. PEFT itself is not needed.

    Logits of rows without padding equal PEFT's. Under left padding, and beyond a sliding window, softprompt's
    rows equal those without padding and under the whole prefix, and PEFT's do not.

    Args:
        folder: as PEFT's `save_pretrained` leaves it: prefix tuning (with a projection or without),
            cartridges, prompt tuning, P-tuning, CPT, multi-task prompt tuning, and the modules that were
            saved beside it.
        backbone: the model that it was trained on; with its classification head where one was saved.
        task: of a multi-task prompt, from 0; one of several has to be named.
        any_backbone: accept a backbone of another name; PEFT stores nothing else of it.

    Raises:
        PromptError: a folder that cannot be read, another kind of adapter, a backbone that does not fit.
    """
    where = str(folder)
    config, own, saved = read_adapter(folder)
    if not any_backbone:
        _check_name(config, backbone, where)
    if task is not None and config.peft_type != "MULTITASK_PROMPT_TUNING":
        raise PromptError(f"{where}: task", task, f"none, since {config.peft_type} has one task alone")
    weights = _saved_modules(saved, backbone, where)
    facts = {
        "weights": weights,
        "reparameterization": _network(config),
        "initialization": "peft",
        "training": {
            "made_by": {"library": "peft", "version": config.peft_version, "type": config.peft_type}
        },
    }
    if config.peft_type in KEY_VALUE_TYPES:
        keys, values = _key_values(config, own["prompt_embeddings"], backbone, where)
        return prefix_prompt(keys, values, backbone, where, **facts)
    check_reading(config.task_type, backbone, where)
    return soft_tokens_prompt(_soft_tokens(config, own, task, backbone, where), backbone, where, **facts)


def _check_name(config: AdapterConfig, backbone: Backbone, where: str) -> None:
    """Refuse another model's name, compared by its last part: models are loaded by paths and by names."""
    stored = config.base_model_name_or_path
    names = {backbone.card.name, getattr(backbone.model, "name_or_path", ""), hub_id(backbone.card.name)}
    ours = {_last_part(name) for name in names if name}
    if not stored or not getattr(backbone.model, "name_or_path", "") or _last_part(stored) in ours:
        return
    raise PromptError(
        f"{where}: base_model_name_or_path",
        f"{stored}, and the backbone is {backbone.card.name}",
        "the model that the adapter was trained on",
        "load that model, or pass any_backbone=True (--any-backbone) if this is it under another name",
    )


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()


def submodules_of(backbone: Backbone) -> int:
    """PEFT's `num_transformer_submodules`: 2 where it holds the model for an encoder-decoder."""
    return 2 if backbone.stacks == {"encoder", "decoder"} else 1


def pairs_read(n_layers: int, submodules: int) -> list[int]:
    """Of each layer, which pair of keys and values PEFT reads."""
    return [(submodules * layer) % n_layers for layer in range(n_layers)]


def _key_values(
    config: AdapterConfig, flat: Float[Tensor, "prompt width"], backbone: Backbone, where: str
) -> Float[Tensor, "both layer kv_head prompt dim"]:
    """Keys and values, as PEFT has the layers read them."""
    shape = whole_shape(backbone, where)
    heads, dim, n_layers = shape.attention.kv_heads, shape.attention.key_dim, len(shape.layers)
    submodules = config.num_transformer_submodules
    theirs = (config.num_layers, config.num_attention_heads, config.token_dim, submodules)
    ours = (n_layers, heads, heads * dim, submodules_of(backbone))
    if theirs != ours:
        raise PromptError(
            f"{where}: prompt_embeddings",
            _sizes(*theirs),
            f"{_sizes(*ours)}, as {backbone.card.name} has them",
            "load the model that the adapter was trained on",
        )
    pairs = flat.view(config.num_virtual_tokens, n_layers, 2, heads, dim)
    return pairs[:, pairs_read(n_layers, submodules)].permute(2, 1, 3, 0, 4)


def _sizes(n_layers: int, heads: int, width: int, submodules: int) -> str:
    """Sizes in words."""
    of = "an encoder-decoder" if submodules == 2 else "one stack"
    return f"keys and values of {n_layers} layers with {heads} heads and {width} numbers of {of}"


def _soft_tokens(
    config: AdapterConfig, own: Mapping[str, Tensor], task: int | None, backbone: Backbone, where: str
) -> Float[Tensor, "slot hidden"]:
    vectors = own["prompt_embeddings"]
    if config.token_dim != backbone.hidden:
        raise PromptError(
            f"{where}: prompt_embeddings",
            f"soft tokens of {config.token_dim} numbers",
            f"{backbone.hidden}, the width of {backbone.card.name}",
            "load the model that the adapter was trained on",
        )
    if config.peft_type == "MULTITASK_PROMPT_TUNING":
        vectors = vectors * _of_task(own, task, config.num_tasks, where)
    # Of an encoder-decoder the second half is for the decoder, where PEFT's generate puts nothing.
    return vectors[: config.num_virtual_tokens]


def _of_task(own: Mapping[str, Tensor], task: int | None, n: int, where: str) -> Tensor:
    if task is None and n == 1:
        task = 0
    if task is None or not 0 <= task < n:
        raise PromptError(
            f"{where}: task",
            "none" if task is None else task,
            f"one of 0 to {n - 1}",
            "pass task=... (--task)",
        )
    return own["prefix_task_cols"][task] @ own["prefix_task_rows"][task]


def check_reading(task_type: str | None, backbone: Backbone, where: str) -> None:
    """Refuse soft tokens where PEFT lets the backbone's head read the state of the first of them.

    Args:
        task_type: PEFT's word for the task.
        backbone: of the soft tokens.
        where: for the error.
    """
    if task_type == "SEQ_CLS" and backbone.stacks == {"encoder"}:
        raise PromptError(
            f"{where}: task_type",
            "SEQ_CLS of soft tokens on an encoder, whose head PEFT gives the state of the first soft token",
            "a head that reads the text's own tokens, as softprompt's do",
            "train it in softprompt with a head, or train keys and values (a prefix)",
        )


def _saved_modules(saved: Mapping[str, Tensor], backbone: Backbone, where: str) -> dict[str, Tensor]:
    """The tensors of modules that were trained beside the prompt, in place of the backbone's own."""
    frozen = backbone.frozen_tensors()
    for name, tensor in saved.items():
        if name not in frozen:
            raise PromptError(
                f"{where}: base_model.{name}",
                "a tensor that the backbone does not have",
                f"the tensors of {type(backbone.model).__name__}",
                "load the model with that head, for example by AutoModelForSequenceClassification",
            )
        if tensor.shape != frozen[name].shape:
            raise PromptError(
                f"{where}: base_model.{name}",
                f"shape {list(tensor.shape)}",
                f"shape {list(frozen[name].shape)}, as the backbone has it",
                "load the model with as many labels as it was trained with",
            )
    return dict(saved)


def _network(config: AdapterConfig) -> str | None:
    """What it was trained through, of which PEFT's file keeps nothing."""
    if config.prefix_projection:
        return "mlp"
    kind = config.encoder_reparameterization_type
    return kind.lower() if config.peft_type == "P_TUNING" and kind else None
