"""The attentions of a model, found in one recorded pass instead of a table of families."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall
from softprompt.backbones.inspection.families import CHOSEN_KEYS, KEY_CHOOSER
from softprompt.backbones.inspection.images import has_pictures
from softprompt.backbones.inspection.probe import ENCODER_LEN, Recording, has_decoder, reads_forward
from softprompt.prompts import AttentionShape


@dataclass(frozen=True)
class AttentionSite:
    """One attention of a model: its place and its sizes.

    Each layer has its own, even if layers share one module (ALBERT's): the k-th with a module is the k-th
    call of that module in a pass.
    """

    site: str
    layer: int
    module: nn.Module
    shape: AttentionShape


def attention_sites(model: PreTrainedModel, recording: Recording) -> tuple[AttentionSite, ...]:
    """The attentions whose calls can be intercepted, in the order of their calls.

    A model that computes attention itself, in a way unknown to `attention/families.py`, has none.
    """
    by_site: dict[str, list[tuple[nn.Module, AttentionShape]]] = {}
    both = has_decoder(model)
    for call in recording.calls:
        shape = AttentionShape(call.key.shape[1], call.key.shape[3], call.value.shape[3])
        by_site.setdefault(_site(call, both), []).append((call.module, shape))
    # Some decoders leave causality to their mask and declare nothing, or the opposite (BigBird-Pegasus).
    # Others read what they are given both ways, with its picture, and go on from left to right (PaliGemma).
    if set(by_site) == {"encoder"} and model.can_generate() and (has_pictures(model) or reads_forward(model)):
        by_site = {"decoder": by_site["encoder"]}
    # Some encoders declare nothing either, and need no mask where all tokens are real (Splinter).
    unsaid = any(_says_causal(call) is None for call in recording.calls)
    if set(by_site) == {"decoder"} and unsaid and not reads_forward(model):
        by_site = {"encoder": by_site["decoder"]}
    sites: list[AttentionSite] = []
    for site, calls in by_site.items():
        given = [i for i in (getattr(module, "layer_idx", None) for module, _ in calls) if isinstance(i, int)]
        numbers = given if len(given) == len(calls) and given == sorted(set(given)) else range(len(calls))
        sites += [
            AttentionSite(site, layer, module, shape)
            for layer, (module, shape) in zip(numbers, calls, strict=True)
        ]
    return tuple(sites)


def chosen_keys(model: PreTrainedModel) -> int | None:
    """How many keys attentions choose by scores of their own, which shows only beyond that number.

    0 where the number is not known; None for attentions that read all keys.
    """
    if not any(name.rpartition(".")[2] == KEY_CHOOSER for name, _ in model.named_modules()):
        return None
    config = model.config.get_text_config()
    return next((n for name in CHOSEN_KEYS if (n := getattr(config, name, None))), 0)


def attends_plainly(recording: Recording) -> bool:
    """Whether every attention was a function of queries, keys, values and a causal mask alone."""
    return all(_is_plain(call) for call in recording.calls)


def _is_plain(call: AttentionCall) -> bool:
    n_keys = call.key.shape[2]
    others = (value for name, value in call.kwargs.items() if name != "position_ids")
    if n_keys != call.query.shape[2] or any(isinstance(x, Tensor) and n_keys in x.shape for x in others):
        return False
    if not isinstance(call.mask, Tensor) or call.mask.dtype == torch.bool:
        return True
    # A floating mask is 0 where a token attends and the type's lowest number where not; a bias is between.
    return bool(((call.mask == 0) | (call.mask <= torch.finfo(call.mask.dtype).min / 2)).all())


def text_module(model: PreTrainedModel, attentions: Sequence[AttentionSite]) -> nn.Module:
    """The smallest module that contains these attentions and takes a text, as ids or as their embeddings.

    Some families take ids alone. CLIP's inner encoder takes embeddings alone, but of words to which positions
    were already added.
    """
    names = {module: name for name, module in model.named_modules()}
    paths = [names[a.module].split(".") for a in attentions]
    depths = range(min(map(len, paths)), -1, -1)
    around = [
        model.get_submodule(".".join(paths[0][:depth]))
        for depth in depths
        if len({tuple(path[:depth]) for path in paths}) == 1
    ]
    takes = {module: set(inspect.signature(module.forward).parameters) for module in around}
    for names_of_text in ({"input_ids", "inputs_embeds"}, {"input_ids"}, {"inputs_embeds"}):
        for module in around:
            if names_of_text <= takes[module]:
                return module
    return model


def _site(call: AttentionCall, both: bool) -> str:
    """The site of a call; `both` is whether the model has an encoder and a decoder."""
    if not both:
        return "decoder" if _is_causal(call) else "encoder"
    if call.query.shape[2] == ENCODER_LEN:
        return "encoder"
    return "cross" if call.key.shape[2] == ENCODER_LEN else "decoder"


def _is_causal(call: AttentionCall) -> bool:
    return _says_causal(call) is not False


def _says_causal(call: AttentionCall) -> bool | None:
    """Whether an attention is causal: by its argument or attribute `is_causal`, else by its mask."""
    declared = call.kwargs.get("is_causal")
    declared = getattr(call.module, "is_causal", None) if declared is None else declared
    mask = call.mask
    if declared is None and isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[-1] > 1:
        first = mask[0, 0, 0]  # the row of the first token
        return not bool(first[1] if mask.dtype == torch.bool else first[1] == first[0])
    return None if declared is None else bool(declared)
