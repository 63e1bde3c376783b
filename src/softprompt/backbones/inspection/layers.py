"""The layers of a model and the linear layers in them, found in one recorded pass."""

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

    The output projection of the attention is the first linear layer that runs after it; the last linear layer
    that runs in the layer ends the feed-forward network. Both have outputs of the same width.

    Args:
        model: the model.
        attentions: its attentions.
        ended: modules in the order in which they ended in one pass, see `Recording.events`.
        name: of the backbone, for errors.

    Raises:
        BackboneError: layers outside of a ModuleList.
    """
    names = {module: path for path, module in model.named_modules()}
    attending = {attention.module for attention in attentions}
    ended = [module for module in _first_ends(ended, attending) if is_linear(module) or module in attending]
    layers = []
    for attention, around in layers_around(model, attentions):
        if around is None:
            raise no_list_of_layers(f"{name} ({model.config.model_type})")
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
    """Every self-attention with the layer around it, if any; in the order of the layers, encoder first."""
    for site in ("encoder", "decoder"):
        of_site = sorted((a for a in attentions if a.site == site), key=lambda a: a.layer)
        modules = {a.module for a in of_site}
        for attention in of_site:
            others = modules - {attention.module}
            # The largest item with no other attention: T5's layers have lists of sublayers.
            items = list_items_around(model, attention.module)
            yield attention, next((item for item in items if not others & set(item.modules())), None)


def list_items_around(model: nn.Module, module: nn.Module) -> Iterator[nn.Module]:
    """The items of ModuleLists that contain a module, from the largest to the smallest."""
    path = next(path for path, other in model.named_modules() if other is module).split(".")
    for depth in range(1, len(path) + 1):
        holder, item = (model.get_submodule(".".join(path[:n])) for n in (depth - 1, depth))
        if isinstance(holder, nn.ModuleList):
            yield item


def no_list_of_layers(name: str) -> BackboneError:
    """The error for a model whose layers cannot be told apart."""
    got = f"{name}, whose layers are not in a list"
    return BackboneError("backbone", got, "a model with its layers in a ModuleList")


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer; GPT-2's `Conv1D` is one."""
    return isinstance(module, nn.Linear | Conv1D)


def widths(module: nn.Module) -> tuple[int, int]:
    """The input and output widths of a linear layer."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    n_in, n_out = module.weight.shape  # type: ignore[misc]
    return int(n_in), int(n_out)


def _first_ends(ended: Sequence[nn.Module], attending: set[nn.Module]) -> Iterator[nn.Module]:
    """The ends of modules; for an attention, the moment before its output projection."""
    attended: set[nn.Module] = set()
    for module in ended:
        if module in attending:
            if module in attended:  # this is the end of the whole module
                attended.remove(module)
                continue
            attended.add(module)
        yield module
