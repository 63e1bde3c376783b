"""A model's layers and the linear layers in them, as one recorded pass shows them."""

from collections.abc import Iterator, Sequence

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.errors import BackboneError
from softprompt.prompts import LayerLinears


def find_layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], ended: Sequence[nn.Module], name: str
) -> tuple[LayerLinears, ...]:
    """Every layer with a self-attention, in the order of the attentions.

    The projection that ends the attention is the linear layer that runs next after it, the one that ends
    the feed-forward is the last that runs in the layer; both give vectors of one width.

    Args:
        model: the model.
        attentions: its attentions.
        ended: modules in the order in which they ended in one pass, see `Recording`.
        name: of the backbone, for errors.

    Raises:
        BackboneError: layers that stand in no list.
    """
    names = {module: path for path, module in model.named_modules()}
    attending = {attention.module for attention in attentions}
    ended = [module for module in _first_ends(ended, attending) if is_linear(module) or module in attending]
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
            yield attention, _layer_around(model, attention.module, modules - {attention.module})


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer; GPT-2's `Conv1D` is one."""
    return isinstance(module, nn.Linear | Conv1D)


def widths(module: nn.Module) -> tuple[int, int]:
    """Widths of a linear layer's input and output."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    n_in, n_out = module.weight.shape  # type: ignore[misc]
    return int(n_in), int(n_out)


def _layer_around(model: nn.Module, attention: nn.Module, others: set[nn.Module]) -> nn.Module | None:
    """The layer around an attention: the largest item of a list of modules with no other attention in it."""
    path = next(path for path, module in model.named_modules() if module is attention).split(".")
    for depth in range(1, len(path) + 1):
        holder, item = (model.get_submodule(".".join(path[:n])) for n in (depth - 1, depth))
        if isinstance(holder, nn.ModuleList) and not others & set(item.modules()):
            return item
    return None


def _first_ends(ended: Sequence[nn.Module], attending: set[nn.Module]) -> Iterator[nn.Module]:
    """Ends of modules; an attention's is when it has attended, not when its projection has run too."""
    waiting: set[nn.Module] = set()
    for module in ended:
        if module in attending:
            if module in waiting:  # the module's own end
                waiting.remove(module)
                continue
            waiting.add(module)
        yield module
