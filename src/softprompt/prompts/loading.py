"""Reading a prompt for a backbone: what does not fit is refused before a module is made."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.files import HeadCard, InsertsCard, PromptCard, read_prompt
from softprompt.prompts.heads import Head, checked, head_width, resolve_pooling
from softprompt.prompts.inserts import make_inserts, stored_sizes
from softprompt.prompts.methods.registry import METHODS
from softprompt.prompts.observable import Observable
from softprompt.prompts.placements import Shape, SlotShape, key_value_shapes
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.prompt import LIBRARIES, Prompt, unlike_backbone
from softprompt.prompts.reparameterize import Direct
from softprompt.prompts.visual import LOCATIONS, VisualShape

# Errors of code that trusts a card, where the card was never saved by a prompt.
_CONTRADICTIONS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@plain_tensors()
def load_prompt(
    folder: Path | str,
    backbone: Observable,
    device: str | torch.device | None = None,
    *,
    any_backbone: bool = False,
) -> Prompt:
    """Read a prompt for a backbone.

    The backbone is recognised by numbers out of each of its tensors, in whatever precision they are held;
    another fine-tuning, added words or (where the prompt has no head of its own) another head are refused.

    Args:
        folder: as written by `Prompt.save`.
        backbone: the frozen model that the prompt is used with.
        device: of the prompt's tensors; None is the backbone's.
        any_backbone: accept another model whose sizes happen to fit; `prompted` then takes the prompt too.

    Raises:
        PromptError: broken file, another backbone, or tensors that do not fit the card.
    """
    where = str(folder)
    tensors, card = read_prompt(folder)
    if not any_backbone:
        _check_backbone(card, backbone, where)
    try:
        prompt = _made(card, tensors, backbone, where)
        if tensors:
            raise PromptError(
                f"{where}: tensors",
                f"'{next(iter(tensors))}', which the card does not name",
                "the tensors of the card alone",
            )
    except PromptError as error:
        if card.method in METHODS:
            raise
        raise PromptError(error.where, error.got, error.expected, _unknown_method(card)) from error
    except _CONTRADICTIONS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        got = f"a card that asks for what cannot be ({reason})"
        raise PromptError(where, got, "a card as it was saved") from error
    prompt.accepted |= {backbone.card.key}
    # In evaluation mode, like a loaded model; for further training the head keeps its dropout.
    return prompt.to(backbone.device if device is None else device).eval()


def _unknown_method(card: PromptCard) -> str:
    """What to do about a prompt that does not load, and whose method is not installed."""
    packages = [f"{name} {version}" for name, version in card.versions.items() if name not in LIBRARIES]
    made = f"the prompt was made by the method '{card.method}', which is not here"
    return f"{made}; install {' and '.join(packages) or 'the package that offers it'}"


def _check_backbone(card: PromptCard, backbone: Observable, where: str) -> None:
    unlike = unlike_backbone(card, backbone.card)
    of_digest = card.backbone.record is None and card.backbone.fingerprint in backbone.known_as()
    if unlike is None or of_digest:
        return
    raise PromptError(
        f"{where}: backbone",
        f"{backbone.card.name} ({unlike})",
        f"{card.backbone.name}, which the prompt was trained on",
        "load that backbone, or pass any_backbone=True to try",
    )


def _made(card: PromptCard, tensors: dict[str, Tensor], backbone: Observable, where: str) -> Prompt:
    """The prompt, on the CPU; its tensors are taken out of `tensors`."""
    if (card.length == 0) != (card.placement == "none"):
        raise PromptError(f"{where}: length", f"{card.length} vectors as {card.placement}", "what was saved")
    shapes = _shapes(card, backbone, where)
    blocks: dict[str, nn.Module] = {}
    for shape in shapes:
        sizes = shape.sizes(card.length)
        taken = {name: _take(tensors, name, size, where) for name, size in sizes.items()}
        blocks[shape.name] = Direct(shape.from_tensors(taken))
    head = _head(card.head, tensors, backbone, where) if card.head is not None else None
    weights = _weights(card, tensors, backbone.frozen_tensors() if card.weights else {}, where)
    inserts = _inserts(card.inserts, tensors, backbone, where) if card.inserts is not None else ()
    return Prompt(card, shapes, blocks, head=head, weights=weights, inserts=inserts)


def _shapes(card: PromptCard, backbone: Observable, where: str) -> Sequence[Shape | VisualShape]:
    if card.placement == "image":
        facts = backbone.pictures
        if facts is None:
            raise PromptError(f"{where}: placement", "a prompt for pictures", "a backbone that reads them")
        missing = [layer for layer in card.layers if not 0 <= layer < len(facts.tokens)]
        if missing:
            raise PromptError(f"{where}: layers", f"layer {missing[0]}", f"layers of {backbone.card.name}")
        if card.location is None:
            raise PromptError(f"{where}: location", "none", "where the prompt enters a picture")
        return LOCATIONS[card.location].shapes(facts, card.layers, card.length, card.depth == "shallow")
    if card.placement == "slot_embeddings":
        return [SlotShape(backbone.hidden)]
    shapes: list[Shape] = []
    for site, layers in card.sites.items():
        if not any(site == name for name, _ in backbone.attentions):
            raise PromptError(f"{where}: sites", site, f"a site of {backbone.card.name}")
        shapes += key_value_shapes(backbone.attentions, [site], layers)
    return shapes


def _head(card: HeadCard, tensors: dict[str, Tensor], backbone: Observable, where: str) -> Head:
    """Filled with its tensors, whose sizes are checked before a module is made for them."""
    facts = backbone.pictures
    resolve_pooling(checked(card), [], None if facts is None else facts.has_class)
    width = head_width(card, backbone)
    sizes = {"weight": (card.n_outputs, width), "bias": (card.n_outputs,)}
    # One layer more than the file has tensors, so that a count that is too large is refused by a name.
    for i in range(min(card.hidden_layers, len(tensors) + 1)):
        sizes |= {f"hidden.{i}.weight": (width, width), f"hidden.{i}.bias": (width,)}
    state = {name: _take(tensors, f"head.{name}", size, where) for name, size in sizes.items()}
    head = Head(card, width)
    head.load_state_dict(state)
    return head


def _weights(
    card: PromptCard, tensors: dict[str, Tensor], frozen: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    for name in card.weights:
        if name not in frozen:
            raise PromptError(f"{where}: weights", f"'{name}'", f"tensors that {card.backbone.name} has")
    return {
        name: _take(tensors, f"weights.{name}", tuple(frozen[name].shape), where) for name in card.weights
    }


def _inserts(
    card: InsertsCard, tensors: dict[str, Tensor], backbone: Observable, where: str
) -> Sequence[nn.Module]:
    sizes = {name: size for layer in backbone.layers for name, size in layer.sizes.items()}
    taken: list[dict[str, Tensor]] = []
    for place in card.modules:
        if place not in sizes:
            raise PromptError(f"{where}: inserts", f"'{place}'", f"linear layers of {backbone.card.name}")
        expected = stored_sizes(card, *sizes[place])
        taken.append({n: _take(tensors, f"inserts.{place}.{n}", size, where) for n, size in expected.items()})
    inserts = make_inserts(card, sizes, None)
    with torch.no_grad():
        for insert, values in zip(inserts, taken, strict=True):
            for name, empty in insert.stored().items():
                empty.copy_(values[name])
    return inserts


def _take(tensors: dict[str, Tensor], name: str, expected: tuple[int, ...], where: str) -> Tensor:
    if name not in tensors:
        raise PromptError(f"{where}: {name}", "no such tensor", f"a tensor of shape {list(expected)}")
    tensor = tensors.pop(name)
    if tuple(tensor.shape) != expected:
        raise PromptError(f"{where}: {name}", f"shape {list(tensor.shape)}", f"shape {list(expected)}")
    if not tensor.is_floating_point():
        raise PromptError(f"{where}: {name}", f"numbers of {tensor.dtype}", "floating-point numbers")
    tensor = tensor.float()
    if not torch.isfinite(tensor).all():
        raise PromptError(f"{where}: {name}", "numbers that are not finite", "a trained prompt")
    return tensor
