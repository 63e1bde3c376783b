"""The tensors of a model that a `tune` setting selects, by type and place of their modules, not by name."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.images import final_norms, reads_pictures, unread_modules
from softprompt.backbones.inspection.layers import is_linear, layers_around
from softprompt.backbones.loading import float_dtype, is_packed, is_sharded
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts import TUNE_FORMS, is_tune

_Selects = Callable[[nn.Module, str], bool]


def tuned_tensors(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], name: str, tune: str, lm_head: bool
) -> tuple[str, ...]:
    """The names of the parameters that a `tune` setting selects; a shared one once, by its first name.

    Sources: BitFit (arXiv 2106.10199) and null prompts (2106.13353), whose code too selects biases by the
    types of modules. GPT-2's `Conv1D` counts as a linear layer.

    Args:
        model: the model.
        attentions: its attentions, around which its layers are found.
        name: of the backbone, for errors.
        tune: `all`; `bitfit`, biases of linear layers and norms; `biases`, these and a new zero bias for
            each linear layer without one (Llama's); `layernorm`, weights and biases of norms; `head`, the
            vocabulary head; `last:k`, the last k layers of each stack (of a model that reads pictures, the
            last norm too, as in VPT's Partial-k); or `none`.
        lm_head: whether the vocabulary head is used; if not, its parameters are left out.

    Returns:
        Names. With `head`, a parameter that is also used elsewhere (tied input embeddings) has its name in
        the head, and only its use in the head is tuned (`weights.py`).

    Raises:
        PromptError: an unknown setting, or one that selects nothing in this model.
    """
    if not is_tune(tune):
        raise PromptError("prompt.tune", repr(tune), TUNE_FORMS)
    pictures = reads_pictures(model)
    head = unread_modules(model) if pictures else head_modules(model)
    lm_head = lm_head and not pictures
    kind, _, count = tune.partition(":")
    if kind == "none":
        return ()
    if kind == "head":
        if not head or pictures:
            raise PromptError(
                "prompt.tune", f"'head' on {name}, which has no vocabulary head", "another choice"
            )
        if not lm_head:
            raise PromptError(
                "prompt.tune", "'head' beside a head that reads states", "another choice",
                "use head_only to train the head alone",
            )  # fmt: skip
        return tuple(_named(model, lambda module, _: module in head, head))
    layers = _last_layers(model, attentions, int(count), name) if kind == "last" else set()
    if layers and pictures:
        layers |= final_norms(model)
    selects: dict[str, _Selects] = {
        "all": lambda module, _: True,
        "bitfit": _is_bias,
        "biases": _is_bias,
        "layernorm": lambda module, _: _is_norm(module),
        "last": lambda module, _: module in layers,
    }
    names = _named(model, selects[kind])
    if not lm_head:
        elsewhere = set(_named(model, lambda module, _: module not in head))
        names = [key for key in names if key in elsewhere]
    if kind == "biases":
        names += absent_biases(model, () if lm_head else head)
    if not names:
        got = f"'{tune}' on {name}, which has no such tensors"
        do = "choose 'layernorm', or 'biases', which adds new ones" if kind == "bitfit" else ""
        raise PromptError("prompt.tune", got, "'all' or another choice", do)
    packed = {key for key, weight in model.named_parameters(remove_duplicate=False) if is_packed(weight)}
    untrainable = sorted(packed.intersection(names))
    if untrainable:
        sharded = is_sharded(dict(model.named_parameters(remove_duplicate=False))[untrainable[0]])
        kind, how = ("sharded", "shard") if sharded else ("quantised", "quantisation")
        raise PromptError(
            "prompt.tune",
            f"'{tune}', which includes {untrainable[0]}, a {kind} tensor",
            "a choice of plain tensors",
            f"load the backbone without {how}, or tune 'biases'",
        )
    return tuple(names)


def absent_biases(model: PreTrainedModel, without: Iterable[nn.Module] = ()) -> dict[str, Tensor]:
    """A bias of zeros for each linear layer without one, by the name that it would have.

    Args:
        model: the model.
        without: modules to leave out.
    """
    without, dtype = set(without), float_dtype(model)
    return {
        f"{path}.bias": torch.zeros(module.out_features, dtype=dtype, device=module.weight.device)
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.bias is None and module not in without
    }


def head_modules(model: PreTrainedModel) -> set[nn.Module]:
    """The modules of the vocabulary head; empty for a model without one."""
    matrix = model.get_output_embeddings()
    if matrix is None:
        return set()
    if base_module(model) is model:  # T5, whose stacks and vocabulary matrix have the same parent
        return {matrix}
    return set(model.modules()) - set(base_module(model).modules())


def _named(model: nn.Module, selects: _Selects, alone: Iterable[nn.Module] = ()) -> list[str]:
    """The first names of the parameters in selected places.

    With modules in `alone`, a parameter whose first name is outside of them has its name within them.
    """
    alone = set(alone)
    first: dict[int, str] = {}
    inside: set[str] = set()
    names: dict[int, str] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for attribute, parameter in module._parameters.items():
            if parameter is None:
                continue
            name = f"{prefix}.{attribute}" if prefix else attribute
            known = first.setdefault(id(parameter), name)
            if module in alone:
                inside.add(name)
            if selects(module, attribute):
                names.setdefault(id(parameter), known if not alone or known in inside else name)
    return list(names.values())


def _is_bias(module: nn.Module, attribute: str) -> bool:
    # The convolution over the patches of a picture is a linear layer on each patch.
    linear = is_linear(module) or isinstance(module, nn.Conv2d)
    return attribute == "bias" and (linear or _is_norm(module))


def _is_norm(module: nn.Module) -> bool:
    # Many families define their own classes: LlamaRMSNorm, T5LayerNorm, DebertaLayerNorm.
    named = type(module).__name__.endswith(("LayerNorm", "RMSNorm"))
    return named or isinstance(module, nn.LayerNorm | nn.RMSNorm | nn.GroupNorm)


def _last_layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], k: int, name: str
) -> set[nn.Module]:
    """Every module of the last k layers of each stack."""
    selected: set[nn.Module] = set()
    for _, of_site in groupby(layers_around(model, attentions), key=lambda pair: pair[0].site):
        around = [layer for _, layer in of_site]
        if k > len(around):
            counts = f"a count from 1 to {len(around)}, the layers of {name}"
            raise PromptError("prompt.tune", f"'last:{k}'", counts)
        layers = [layer for layer in around if layer is not None]
        if len(layers) < len(around):
            got = f"'last:k' on {name}, whose layers are not in a list"
            raise BackboneError("prompt.tune", got, "another choice")
        last, earlier = layers[len(layers) - k :], layers[: len(layers) - k]
        if set(last) & set(earlier):
            raise PromptError(
                "prompt.tune",
                f"'last:{k}' on {name}, whose last layers share their tensors with earlier ones",
                "'all' or another choice",
            )
        selected.update(module for layer in last for module in layer.modules())
    if not selected:
        raise BackboneError(
            "prompt.tune", f"'last:{k}' on {name}, whose layers are not known", "another choice"
        )
    return selected
