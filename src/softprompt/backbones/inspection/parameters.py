"""Which of a model's own tensors a choice means: by type and place of the modules, never by names' ends."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.images import final_norms, reads_pictures, unread_modules
from softprompt.backbones.inspection.layers import is_linear, layers_around
from softprompt.backbones.loading import float_dtype, is_packed, is_sharded
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts import TUNE_FORMS, is_tune

_Chooses = Callable[[nn.Module, str], bool]


def tuned_tensors(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], name: str, tune: str, lm_head: bool
) -> tuple[str, ...]:
    """Names of the parameters that a choice means, a shared one once, by its first name.

    Sources: BitFit (arXiv 2106.10199) and null prompts (2106.13353), whose code chooses biases by the
    modules' types too; GPT-2's `Conv1D` is a linear layer.

    Args:
        model: the model.
        attentions: its attentions, which tell where its layers are.
        name: of the backbone, for errors.
        tune: `all`; `bitfit`, biases of linear layers and norms; `biases`, the same and those that
            linear layers do not have (Llama's), from zero; `layernorm`, weights and biases of norms;
            `head`, what turns states into words; `last:k`, the last k layers of each stack (and, of a model
            that reads pictures, its last norm, as VPT's Partial-k has it); or `none`.
        lm_head: whether states are turned into words; if not, what does it is left out.

    Returns:
        Names. In `head`, a parameter that also stands outside (tied input embeddings) has its name in the
        head, which means that place alone (`weights.py`).

    Raises:
        PromptError: a choice that is none, or of which the model has nothing.
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
    chooses: dict[str, _Chooses] = {
        "all": lambda module, _: True,
        "bitfit": _is_bias,
        "biases": _is_bias,
        "layernorm": lambda module, _: _is_norm(module),
        "last": lambda module, _: module in layers,
    }
    names = _named(model, chooses[kind])
    if not lm_head:
        elsewhere = set(_named(model, lambda module, _: module not in head))
        names = [key for key in names if key in elsewhere]
    if kind == "biases":
        names += absent_biases(model, () if lm_head else head)
    if not names:
        raise PromptError(
            "prompt.tune", f"'{tune}' on {name}, which has no such tensors", "'all' or another choice"
        )
    packed = {key for key, weight in model.named_parameters(remove_duplicate=False) if is_packed(weight)}
    found = sorted(packed.intersection(names))
    if found:
        sharded = is_sharded(dict(model.named_parameters(remove_duplicate=False))[found[0]])
        kind, how = ("sharded", "shard") if sharded else ("quantised", "quantisation")
        raise PromptError(
            "prompt.tune",
            f"'{tune}', which means {found[0]}, a {kind} tensor",
            "a choice of plain tensors",
            f"load the backbone without {how}, or tune 'biases'",
        )
    return tuple(names)


def absent_biases(model: PreTrainedModel, without: Iterable[nn.Module] = ()) -> dict[str, Tensor]:
    """Zeros for the biases that linear layers of a model do not have, by the names they would have.

    Args:
        model: the model.
        without: modules that are left out.
    """
    without, dtype = set(without), float_dtype(model)
    return {
        f"{path}.bias": torch.zeros(module.out_features, dtype=dtype, device=module.weight.device)
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.bias is None and module not in without
    }


def head_modules(model: PreTrainedModel) -> set[nn.Module]:
    """The modules that turn states into words; empty where there are none."""
    matrix = model.get_output_embeddings()
    if matrix is None:
        return set()
    if model.base_model is model:  # T5: its stacks stand beside the matrix
        return {matrix}
    return set(model.modules()) - set(model.base_model.modules())


def _named(model: nn.Module, chooses: _Chooses, alone: Iterable[nn.Module] = ()) -> list[str]:
    """First names of the parameters that stand in chosen places.

    A parameter whose first name lies outside the modules of `alone`, if any, has the name of its place.
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
            if chooses(module, attribute):
                names.setdefault(id(parameter), known if not alone or known in inside else name)
    return list(names.values())


def _is_bias(module: nn.Module, attribute: str) -> bool:
    # A picture's patches go through a convolution, which is a linear layer on each of them.
    linear = is_linear(module) or isinstance(module, nn.Conv2d)
    return attribute == "bias" and (linear or _is_norm(module))


def _is_norm(module: nn.Module) -> bool:
    # Families have norms of their own (LlamaRMSNorm, T5LayerNorm, DebertaLayerNorm).
    named = type(module).__name__.endswith(("LayerNorm", "RMSNorm"))
    return named or isinstance(module, nn.LayerNorm | nn.RMSNorm | nn.GroupNorm)


def _last_layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], k: int, name: str
) -> set[nn.Module]:
    """Every module of the last k layers of each stack."""
    chosen: set[nn.Module] = set()
    for _, there in groupby(layers_around(model, attentions), key=lambda pair: pair[0].site):
        found = [layer for _, layer in there]
        if k > len(found):
            counts = f"a count from 1 to {len(found)}, the layers of {name}"
            raise PromptError("prompt.tune", f"'last:{k}'", counts)
        layers = [layer for layer in found if layer is not None]
        if len(layers) < len(found):
            got = f"'last:k' on {name}, whose layers stand in no list"
            raise BackboneError("prompt.tune", got, "another choice")
        last, before = layers[len(layers) - k :], layers[: len(layers) - k]
        if set(last) & set(before):
            raise PromptError(
                "prompt.tune",
                f"'last:{k}' on {name}, whose last layers share their tensors with earlier ones",
                "'all' or another choice",
            )
        chosen.update(module for layer in last for module in layer.modules())
    if not chosen:
        raise BackboneError(
            "prompt.tune", f"'last:{k}' on {name}, whose layers are not known", "another choice"
        )
    return chosen
