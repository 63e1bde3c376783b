"""What each family does under prompts: the rows of the tables in docs/families.md, made by running them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.errors import SoftpromptError
from zoo.configurations import OVERRIDES, tiny_config


@dataclass(frozen=True)
class Kind:
    """Models that are called alike, and what is compared for them.

    Args:
        classes: the class of each family, by its `model_type`: one of transformers' tables.
        methods: what is tried.
        sample: families that `make test` runs, one for each way in which prompts reach a model, or do not.
        bare: calls a model without a prompt and gives numbers that must be finite.
        check: compares a method with its reference, and gives what could not be compared. Raises `Wrong`.
        sizes: small numbers for this kind's configurations, by the attribute's name.
    """

    classes: Mapping[str, str | tuple[str, ...]]
    methods: tuple[str, ...]
    sample: tuple[str, ...]
    bare: Callable[[Any], Tensor]
    check: Callable[[Any, Backbone, str], list[str]]
    sizes: Mapping[str, Any] = field(default_factory=dict)


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


def built(kind: Kind, family: str) -> PreTrainedModel:
    """A tiny random model of a family, whose weights are large enough for every part to matter."""
    model_class = getattr(transformers, _class_name(kind, family))
    config_class = model_class.config_class or CONFIG_MAPPING[family]
    torch.manual_seed(0)
    changes = OVERRIDES.get(model_class.__name__, OVERRIDES.get(config_class.model_type, {}))
    model = model_class(tiny_config(config_class, kind.sizes, **changes)).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.requires_grad:
                continue  # a table of sines, whose numbers mean something
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
            elif not torch.isfinite(parameter).all() or parameter.abs().max() > 1e3:
                parameter.normal_(0, 0.02)
        numbers = kind.bare(model)
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError("its numbers are not finite")
    return model


def outcome(kind: Kind, family: str) -> Outcome:
    """Build a family and try every method.

    Raises:
        Wrong: a method gives something other than the reference.
        Exception: whatever softprompt lets through that is not its own.
    """
    name = _class_name(kind, family)
    try:
        model = built(kind, family)
    except Exception as error:
        return Outcome(family, name, f"{type(error).__name__}: {_first_line(error)}")
    methods, notes = {}, []
    try:
        backbone = softprompt.load_backbone(model)
    except SoftpromptError as error:
        return Outcome(
            family, name, methods={method: f"refused: {reason_of(error)}" for method in kind.methods}
        )
    for method in kind.methods:
        try:
            notes += kind.check(model, backbone, method)
            methods[method] = "equal"
        except SoftpromptError as error:
            methods[method] = f"refused: {reason_of(error)}"
    return Outcome(family, name, methods=methods, notes=tuple(dict.fromkeys(notes)))


def _class_name(kind: Kind, family: str) -> str:
    name = kind.classes[family]
    return name if isinstance(name, str) else name[0]


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def reason_of(error: SoftpromptError) -> str:
    """What came, without the names of the model."""
    (problem, *_) = error.problems
    return str(getattr(problem, "got", problem))
