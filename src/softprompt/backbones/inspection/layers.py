"""Finding a model's layers and the linear layers in them, by running it once on a few tokens."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from softprompt.backbones.attention.interface import AttentionCall
from softprompt.backbones.attention.routing import Recorder, recording, routed
from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.spec import probe
from softprompt.errors import BackboneError
from softprompt.prompts.inserts import LayerLinears


@torch.no_grad()
def find_layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], name: str
) -> tuple[LayerLinears, ...]:
    """Every layer with a self-attention, in the order of the attentions.

    The projection that ends the attention is the linear layer that runs next after it, the one that ends
    the feed-forward is the last that runs in the layer; both give vectors of one width.

    Args:
        model: the model.
        attentions: as `find_attentions` gives them.
        name: of the backbone, for errors.

    Raises:
        BackboneError: layers that stand in no list.
    """
    names = {module: path for path, module in model.named_modules()}
    ended = _run(model)
    layers = []
    for attention, around in layers_around(model, attentions):
        if around is None:
            raise BackboneError(
                "backbone", f"{name} ({model.config.model_type}), whose layers stand in no list",
                "a model with its layers in a ModuleList",
            )  # fmt: skip
        inside = set(around.modules())
        run = [module for module in ended if module in inside]
        linear = [module for module in around.modules() if is_linear(module) and module in run]
        sizes = {names[module]: widths(module) for module in linear}
        after = run[run.index(attention.module) + 1 :]
        following = next((names[module] for module in after if is_linear(module)), None)
        last = next((names[module] for module in reversed(run) if is_linear(module)), None)
        if following is None or last is None or following == last or sizes[following][1] != sizes[last][1]:
            following = last = None
        layers.append(LayerLinears(attention.site, attention.layer, sizes, following, last))
    return tuple(layers)


def layers_around(
    model: nn.Module, attentions: Sequence[AttentionSite]
) -> Iterator[tuple[AttentionSite, nn.Module | None]]:
    """Every self-attention in the order of the layers, encoder first, and the layer around it, if any."""
    for site in ("encoder", "decoder"):
        there = sorted((a for a in attentions if a.site == site), key=lambda a: a.layer)
        modules = {a.module for a in there}
        for attention in there:
            yield attention, layer_around(model, attention.module, modules - {attention.module})


def layer_around(model: nn.Module, attention: nn.Module, others: set[nn.Module]) -> nn.Module | None:
    """The layer around an attention: the largest item of a list of modules with no other attention in it."""
    path = next(path for path, module in model.named_modules() if module is attention).split(".")
    for depth in range(1, len(path) + 1):
        holder, item = (model.get_submodule(".".join(path[:n])) for n in (depth - 1, depth))
        if isinstance(holder, nn.ModuleList) and not others & set(item.modules()):
            return item
    return None


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer; GPT-2's `Conv1D` is one."""
    return isinstance(module, nn.Linear | Conv1D)


def widths(module: nn.Module) -> tuple[int, int]:
    """Widths of a linear layer's input and output."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    n_in, n_out = module.weight.shape  # type: ignore[misc]
    return int(n_in), int(n_out)


def _run(model: PreTrainedModel) -> list[nn.Module]:
    """Attentions and linear layers, in the order in which they end."""
    ended: list[nn.Module] = []
    recorder = _Ends(ended)
    linear = [module for module in model.modules() if is_linear(module)]
    handles = [module.register_forward_hook(lambda module, *_: ended.append(module)) for module in linear]
    try:
        with routed(model), recording(model, recorder):
            probe(model)
    finally:
        for handle in handles:
            handle.remove()
    return ended


class _Ends(Recorder):
    """Notes an attention when it has computed what it gives."""

    def __init__(self, ended: list[nn.Module]) -> None:
        super().__init__()
        self.ended = ended

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        computed = super().__call__(call)
        self.ended.append(call.module)
        return computed
