"""A frozen model's layers sharded over processes: each process keeps a part of every layer's numbers."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection import AttentionSite, layers_around, reads_pictures
from softprompt.backbones.loading import is_packed, is_sharded
from softprompt.errors import BackboneError

LAYER_OF: "WeakKeyDictionary[nn.Module, Any]" = WeakKeyDictionary()
"""The sharded layer around each attention, where layers are sharded."""


def shard(model: PreTrainedModel, attentions: Sequence[AttentionSite], name: str, device: Any) -> None:
    """Keep this process's share of every layer's numbers, and all of what stands outside the layers.

    Source: FSDP (arXiv 2304.11277) as `torch.distributed.fsdp.fully_shard` has it, a layer at a time. A layer
    is put together by all processes when it runs, forwards and backwards, and taken apart again. Nothing in
    it is trained, so no gradient of it is ever exchanged, and what a prompt trains stays outside. So every
    process must run the same passes in the same order. Embeddings, last norms and the vocabulary head stay
    whole, because they are read outside of the model's own pass (losses in chunks, starts from words);
    tables inside layers (T5's relative positions) do too.

    Args:
        model: frozen, on the processor or on `device`; changed in place.
        attentions: of the model.
        name: of the backbone, for errors.
        device: of this process; the whole model is moved there.

    Raises:
        BackboneError: one process, weights that cannot be shared out, or layers that are not known.
    """
    layers = _layers(model, attentions, name)
    from torch.distributed.device_mesh import init_device_mesh

    fully_shard = _fully_shard()
    device = torch.device(device)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for layer in dict.fromkeys(layers.values()):
        options: dict[str, Any] = {}
        tables = {m.weight for m in layer.modules() if isinstance(m, nn.Embedding)}
        if tables:
            options["ignored_params"] = tables
        # Layers stay shards between the passes.
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, **options)
    model.to(device)  # type: ignore[arg-type]
    # Known to `generate`, which then writes until the last process has ended.
    model._is_fsdp_managed_module = True  # type: ignore[assignment]
    LAYER_OF.update(layers)


def n_kept(model: nn.Module) -> int:
    """How many numbers of a model this process keeps."""

    def here(parameter: Any) -> Any:
        return parameter.to_local() if is_sharded(parameter) else parameter

    return sum(here(parameter).numel() for parameter in model.parameters())


def _layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], name: str
) -> dict[nn.Module, nn.Module]:
    """The layer around each self-attention, if all of them can be shared out."""
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() < 2:
        raise BackboneError(
            "backbone.shard", "true in a single process", "several processes to share the layers out to",
            "start the program with `accelerate launch` or torchrun, or leave shard out",
        )  # fmt: skip

    def refuse(what: str, expected: str) -> BackboneError:
        got = f"{name} ({model.config.model_type}), {what}"
        return BackboneError("backbone.shard", got, expected, "leave shard out")

    if reads_pictures(model):
        what = "which reads pictures and whose deep prompts use weights of layers outside of their pass"
        raise refuse(what, "a backbone that reads texts")
    if any(map(is_packed, model.parameters())):
        raise refuse("with quantised weights, which do not come apart", "plain weights")
    if len({parameter.device for parameter in model.parameters()}) > 1:
        raise refuse("which is spread over several devices", "one device for each process")
    owners: dict[nn.Module, nn.Module] = {}
    for attention, layer in layers_around(model, attentions):
        if attention.module in owners:
            raise refuse(
                "whose layers share one module, which is as small as it gets",
                "layers with modules of their own",
            )
        if layer is None:
            raise refuse("whose layers stand in no list", "layers in a ModuleList")
        owners[attention.module] = layer
    if not owners:
        raise refuse("whose attentions, and so whose layers, are not known", "a family with known layers")
    shared = _shared(model, owners.values())
    if shared is not None:
        raise refuse(f"whose {shared} stands in several places", "layers with tensors of their own")
    tables = any(isinstance(m, nn.Embedding) for layer in owners.values() for m in layer.modules())
    if tables and "ignored_params" not in inspect.signature(_fully_shard()).parameters:
        raise refuse(f"with tables in its layers, and torch {torch.__version__}", "torch 2.7 or later")
    return owners


def _shared(model: nn.Module, layers: Iterable[nn.Module]) -> str | None:
    """A parameter of a layer that also stands elsewhere, or None."""
    inside = [{id(p) for p in layer.parameters()} for layer in dict.fromkeys(layers)]
    places: dict[int, list[str]] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(path)
    return next((" and ".join(places[i]) for one in inside for i in one if len(places[i]) > 1), None)


def _fully_shard() -> Any:
    from torch.distributed.fsdp import fully_shard

    return fully_shard


def whole_in_backward(attention: nn.Module, tensors: Iterable[Tensor]) -> None:
    """Gather the layer around an attention when gradients reach these tensors of it.

    FSDP gathers a layer when gradients reach the layer's output; gradients of keys and values that were taken
    out of a layer do not pass there.
    """
    layer = LAYER_OF.get(attention)
    if layer is None:
        return

    def gather(gradient: Tensor) -> None:
        layer.unshard()

    for tensor in tensors:
        if tensor.requires_grad:
            tensor.register_hook(gather)
