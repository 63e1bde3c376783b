"""What each family does under prompts: the rows of the table in docs/families.md, made by running them."""

from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import softprompt
from softprompt.errors import SoftpromptError
from zoo.causal import METHODS, check
from zoo.configurations import OVERRIDES, tiny_config

CAUSAL = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
"""Every `model_type` with a causal language model."""


@dataclass(frozen=True)
class Outcome:
    """What came of one family.

    Args:
        family: its `model_type`.
        model: the class.
        not_built: why no tiny model could be made; empty where there is one.
        methods: by method `equal`, or `refused: ` and the reason.
        notes: what the model does by itself that keeps some ways of a call from being compared.
    """

    family: str
    model: str
    not_built: str = ""
    methods: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def built(family: str) -> PreTrainedModel:
    """A tiny random causal model of a family, whose weights are large enough for every part to matter."""
    name: Any = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]
    kind = getattr(transformers, name if isinstance(name, str) else name[0])
    config_class = kind.config_class or CONFIG_MAPPING[family]
    torch.manual_seed(0)
    model = kind(tiny_config(config_class, **OVERRIDES.get(config_class.model_type, {}))).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
            elif not torch.isfinite(parameter).all() or parameter.abs().max() > 1e3:
                parameter.normal_(0, 0.02)
        logits = model(input_ids=torch.arange(6, 15)[None]).logits
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("its logits are not finite")
    return model


def outcome(family: str) -> Outcome:
    """Build a family and try every method.

    Raises:
        Wrong: a method gives something else than the reference.
        Exception: whatever softprompt lets through that is not its own.
    """
    name: Any = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]
    name = name if isinstance(name, str) else name[0]
    try:
        model = built(family)
    except Exception as error:
        return Outcome(family, name, f"{type(error).__name__}: {_first_line(error)}")
    methods, notes = {}, []
    try:
        backbone = softprompt.load_backbone(model)
    except SoftpromptError as error:
        return Outcome(family, name, methods={method: f"refused: {_reason(error)}" for method in METHODS})
    for method in METHODS:
        try:
            notes += check(model, backbone, method)
            methods[method] = "equal"
        except SoftpromptError as error:
            methods[method] = f"refused: {_reason(error)}"
    return Outcome(family, name, methods=methods, notes=tuple(dict.fromkeys(notes)))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def _reason(error: SoftpromptError) -> str:
    """What came, without the names of the model."""
    (problem, *_) = error.problems
    return str(getattr(problem, "got", problem))
