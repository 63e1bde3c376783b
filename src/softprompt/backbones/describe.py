"""Finding out what a model is by running it once on a few tokens, instead of a table of families."""

import hashlib
import inspect
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall, recording, routed
from softprompt.backbones.training_mode import without_checkpointing
from softprompt.prompts.placements import AttentionShape, KeyValues
from softprompt.store.card import BackboneCard

# Different lengths tell self- from cross-attention by the sizes of queries and keys.
_ENCODER_LEN, _DECODER_LEN = 3, 2
_SAMPLES = 1024


@dataclass(frozen=True)
class AttentionSite:
    """One attention of a model: where it stands and its sizes."""

    site: str
    layer: int
    module: nn.Module
    shape: AttentionShape


@dataclass(frozen=True)
class BackboneSpec:
    """Facts about a frozen model."""

    name: str
    family: str
    """transformers' model type."""
    hidden: int
    """Width of the input embeddings."""
    n_layers: int
    vocab: int
    max_positions: int | None
    """Longest input in tokens, the prompt included; None where there is no limit."""
    is_encoder_decoder: bool
    fingerprint: str
    n_parameters: int
    n_bytes: int

    @property
    def card(self) -> BackboneCard:
        """What a prompt file stores of the backbone."""
        return BackboneCard(
            name=self.name, family=self.family, fingerprint=self.fingerprint, n_parameters=self.n_parameters
        )


def describe(model: PreTrainedModel, name: str) -> BackboneSpec:
    """The facts of a model."""
    config = model.config.get_text_config()
    relative = any(hasattr(module, "relative_attention_bias") for module in model.modules())
    parameters = list(model.parameters())
    return BackboneSpec(
        name=name,
        family=model.config.model_type,
        hidden=word_embeddings(model).shape[1],
        n_layers=config.num_hidden_layers,
        vocab=word_embeddings(model).shape[0],
        max_positions=None if relative else getattr(config, "max_position_embeddings", None),
        is_encoder_decoder=bool(model.config.is_encoder_decoder),
        fingerprint=fingerprint(model),
        n_parameters=sum(p.numel() for p in parameters),
        n_bytes=sum(p.numel() * p.element_size() for p in parameters),
    )


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """The table of input embeddings, `[vocab, hidden]`."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


def fingerprint(model: PreTrainedModel) -> str:
    """A digest of a model's weights, the same in every floating-point precision.

    Names, shapes and about a thousand evenly spaced numbers of every tensor go in, rounded to bfloat16:
    fast for large models, and any fine-tuning changes it.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.base_model.named_parameters(), key=lambda item: item[0]):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        if tensor.device.type == "meta":  # offloaded: only its shape is known
            continue
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, flat.numel() // _SAMPLES)].to("cpu")
        if sample.is_floating_point():
            sample = sample.to(torch.bfloat16).view(torch.int16)
        digest.update(sample.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


@torch.no_grad()
def find_attentions(model: PreTrainedModel) -> list[AttentionSite]:
    """Every attention that calls the registered function, by one pass over a few tokens.

    Models that compute attention on their own (DeBERTa, say) give an empty list.
    """
    with routed(model), recording(model) as recorder:
        _probe(model)
    found: dict[str, list[tuple[nn.Module, AttentionShape]]] = {}
    for call in recorder.calls:
        shape = AttentionShape(call.key.shape[1], call.key.shape[3], call.value.shape[3])
        found.setdefault(_site(model, call), []).append((call.module, shape))
    sites = []
    for site, calls in found.items():
        own = [i for i in (getattr(module, "layer_idx", None) for module, _ in calls) if isinstance(i, int)]
        numbers = own if len(own) == len(calls) and own == sorted(set(own)) else range(len(calls))
        sites += [
            AttentionSite(site, layer, module, shape)
            for layer, (module, shape) in zip(numbers, calls, strict=True)
        ]
    return sites


def observe(
    model: PreTrainedModel, attentions: list[AttentionSite], inputs: dict[str, Tensor]
) -> list[KeyValues]:
    """The model's own key/values on an input of batch 1, for every site; differentiable.

    Args:
        model: the model.
        attentions: as `find_attentions` gives them.
        inputs: for the base model, e.g. `input_ids` or `inputs_embeds` of batch 1.
    """
    with routed(model), recording(model) as recorder, without_checkpointing(model):
        model.base_model(**inputs, use_cache=False)
    calls = {id(call.module): call for call in recorder.calls}
    groups: dict[tuple[str, AttentionShape], list[AttentionSite]] = {}
    for attention in attentions:
        if id(attention.module) in calls:
            groups.setdefault((attention.site, attention.shape), []).append(attention)
    return [
        KeyValues(
            site,
            tuple(a.layer for a in group),
            torch.stack([calls[id(a.module)].key[0] for a in group]),
            torch.stack([calls[id(a.module)].value[0] for a in group]),
        )
        for (site, _), group in groups.items()
    ]


def find_stack(model: PreTrainedModel, attentions: list[AttentionSite]) -> nn.Module:
    """The smallest module that holds these attentions and takes a text."""
    names = {module: name for name, module in model.named_modules()}
    paths = [names[a.module].split(".") for a in attentions]
    for depth in range(min(map(len, paths)), -1, -1):
        if len({tuple(path[:depth]) for path in paths}) > 1:
            continue
        module = model.get_submodule(".".join(paths[0][:depth]))
        if "inputs_embeds" in inspect.signature(module.forward).parameters:
            return module
    return model


def _probe(model: PreTrainedModel) -> None:
    device = word_embeddings(model).device
    training = model.training
    model.eval()
    try:
        if model.config.is_encoder_decoder:
            model.base_model(
                input_ids=torch.zeros(1, _ENCODER_LEN, dtype=torch.long, device=device),
                attention_mask=torch.ones(1, _ENCODER_LEN, dtype=torch.long, device=device),
                decoder_input_ids=torch.zeros(1, _DECODER_LEN, dtype=torch.long, device=device),
                use_cache=False,
            )
        else:
            ids = torch.zeros(1, _DECODER_LEN, dtype=torch.long, device=device)
            model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        model.train(training)


def _site(model: PreTrainedModel, call: AttentionCall) -> str:
    if not model.config.is_encoder_decoder:
        return "decoder" if getattr(call.module, "is_causal", True) else "encoder"
    if call.query.shape[2] == _ENCODER_LEN:
        return "encoder"
    return "cross" if call.key.shape[2] == _ENCODER_LEN else "decoder"
