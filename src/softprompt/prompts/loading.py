"""Reading a prompt for a backbone: what does not fit is refused before a module is made."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError, counted, shortened
from softprompt.files import (
    HeadCard,
    InsertsCard,
    PromptCard,
    Shapes,
    fetch_prompt,
    names_repository,
    read_prompt,
)
from softprompt.prompts.heads import Head, checked, head_width, resolve_pooling
from softprompt.prompts.inserts import make_inserts, stored_sizes
from softprompt.prompts.methods.registry import METHODS
from softprompt.prompts.observable import Observable
from softprompt.prompts.origin import Origin
from softprompt.prompts.placements import RECURRENT, Shape, SlotShape, key_value_shapes, state_shapes
from softprompt.prompts.plain import plain_tensors
from softprompt.prompts.prompt import LIBRARIES, Prompt, unlike_backbone
from softprompt.prompts.reparameterize import Direct
from softprompt.prompts.visual import LOCATIONS, VisualShape
from softprompt.untrusted import at_home

# Errors of code that trusts a card, where the card was never saved by a prompt.
_CONTRADICTIONS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip

_OF_PLACEMENT = {
    "sites": ("key_values", "states"),
    "location": ("image",),
    "depth": ("image",),
    "layers": ("image",),
}
"""Fields of a card that only prompts of some placements have."""


@plain_tensors()
def load_prompt(
    folder: Path | str,
    backbone: Observable,
    device: str | torch.device | None = None,
    *,
    any_backbone: bool = False,
    revision: str | None = None,
    token: str | None = None,
) -> Prompt:
    """Read a prompt for a backbone, from a folder or from the hub.

    The backbone is recognised by numbers out of each of its tensors, in whatever precision they are held;
    another fine-tuning, added words or (where the prompt has no head of its own) another head are refused.

    Args:
        folder: as written by `Prompt.save`; or `user/name`, a repository of the hub, where neither that
            folder nor `user` is here. Of a repository the two files of a prompt alone are fetched; what was
            fetched before is read from the hub's cache, also without a network.
        backbone: the frozen model that the prompt is used with.
        device: of the prompt's tensors; None is the backbone's.
        any_backbone: accept another model whose sizes happen to fit; `prompted` then takes the prompt too.
        revision: of a repository: a branch, a tag or a commit; None is its main branch.
        token: of a private repository; None is the one that is logged in (`hf auth login`, or `HF_TOKEN`).

    Raises:
        PromptError: broken file, another backbone, or tensors that do not fit the card, or a repository that
            cannot be read.
    """
    if names_repository(folder):
        folder = fetch_prompt(str(folder), revision, token)
    elif revision is not None or token is not None:
        name, value = ("token", "one") if revision is None else ("revision", f"'{revision}'")
        raise PromptError(name, f"{value} for the folder {folder}", "a repository of the hub, user/name")
    where = str(folder)
    misfit: list[PromptCard] = []

    def fits(card: PromptCard, sizes: Shapes) -> None:
        misfit[:] = [card]
        _check_sizes(card, sizes, backbone, where)
        misfit.clear()

    try:
        tensors, card = read_prompt(folder, fits)
    except PromptError:
        # Another backbone mostly has other sizes, and that it is another is the better message.
        if misfit and not any_backbone:
            _check_backbone(_with_samples_of(backbone, misfit[0]), backbone, where)
        raise
    if not any_backbone:
        _check_backbone(card, backbone, where)
    with _explained(card, where):
        prompt = _made(card, tensors, backbone, where)
    prompt.check_range(backbone.dtype, where)
    prompt.accepted |= {backbone.card.key}
    prompt.origin = Origin(backbone, at_home(where))
    # In evaluation mode, like a loaded model; for further training the head keeps its dropout.
    return prompt.to(backbone.device if device is None else device).eval()


@plain_tensors()
def assembled(card: PromptCard, tensors: Mapping[str, Tensor], backbone: Observable, where: str) -> Prompt:
    """A prompt out of a card and its tensors, in evaluation mode on the backbone's device.

    Args:
        card: with the backbone's own card in it.
        tensors: by the names of prompt files; copied.
        backbone: the frozen model that the prompt is used with.
        where: what is read, for errors.

    Raises:
        PromptError: tensors that do not fit the card or the backbone, or that are not finite.
    """
    _check_sizes(card, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, backbone, where)
    own = {name: tensor.detach().float().cpu().clone() for name, tensor in tensors.items()}
    with _explained(card, where):
        prompt = _made(card, own, backbone, where)
    prompt.check_range(backbone.dtype, where)
    prompt.origin = Origin(backbone)
    return prompt.to(backbone.device).eval()


@contextmanager
def _explained(card: PromptCard, where: str) -> Iterator[None]:
    """Turn whatever a card's contradictions raise into a PromptError."""
    try:
        yield
    except PromptError as error:
        told = error if where in str(error) else error.inside(where)
        if card.method in METHODS:
            raise told from None
        raise PromptError(told.where, told.got, told.expected, _unknown_method(card)) from error
    except _CONTRADICTIONS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        got = f"a card that asks for what cannot be ({reason})"
        raise PromptError(where, got, "a card as it was saved") from error


def _with_samples_of(backbone: Observable, card: PromptCard) -> PromptCard:
    """The card as if its numbers were the backbone's, so that names and sizes alone are compared."""
    record, present = card.backbone.record, backbone.card.record
    if record is None or present is None:
        return card
    record = record.model_copy(update={"samples": present.samples})
    return card.model_copy(update={"backbone": card.backbone.model_copy(update={"record": record})})


def _unknown_method(card: PromptCard) -> str:
    """What to do about a prompt that does not load, and whose method is not installed."""
    packages = [f"{name} {version}" for name, version in card.versions.items() if name not in LIBRARIES]
    made = f"the prompt was made by the method '{card.method}', which is not here"
    return f"{made}; install {' and '.join(packages) or 'the package that offers it'}"


def _check_backbone(card: PromptCard, backbone: Observable, where: str) -> None:
    with _explained(card, where):
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


def _check_sizes(card: PromptCard, sizes: Shapes, backbone: Observable, where: str) -> None:
    """Refuse tensors of a file that are not those that its card asks for."""
    with _explained(card, where):
        expected = _sizes(card, len(sizes), backbone, where)
        for name, size in expected.items():
            if name not in sizes:
                raise PromptError(f"{where}: {name}", "no such tensor", f"a tensor of shape {list(size)}")
            if sizes[name] != size:
                raise PromptError(f"{where}: {name}", f"shape {list(sizes[name])}", f"shape {list(size)}")
        more = next((name for name in sizes if name not in expected), None)
        if more is not None:
            got = f"'{shortened(more, 200)}', which the card does not name"
            raise PromptError(f"{where}: tensors", got, "the tensors of the card alone")


def _sizes(card: PromptCard, n_tensors: int, backbone: Observable, where: str) -> dict[str, tuple[int, ...]]:
    """Names and sizes of the tensors that a card asks for, few more than the `n_tensors` of the file."""
    if (card.length == 0) != (card.placement == "none"):
        raise PromptError(f"{where}: length", f"{card.length} vectors as {card.placement}", "what was saved")
    for name, placements in _OF_PLACEMENT.items():
        if card.placement not in placements and (value := getattr(card, name)):
            got = f"{shortened(str(value), 80)} for a prompt of placement '{card.placement}'"
            raise PromptError(f"{where}: {name}", got, f"no {name}, which only '{placements[0]}' has")
    if card.placement == "states" and (card.length, card.positions) != (1, "unshifted"):
        got = f"{counted(card.length, 'vector')} with {card.positions} positions as states"
        raise PromptError(f"{where}: length", got, "1 with unshifted positions")
    sizes: dict[str, tuple[int, ...]] = {}
    for shape in _shapes(card, backbone, where):
        sizes |= shape.sizes(card.length)
    if card.head is not None:
        sizes |= _head_sizes(card.head, n_tensors, backbone)
    if card.weights:
        frozen = backbone.frozen_tensors()
        for name in _once(
            card.weights, frozen, f"{where}: weights", f"tensors that {card.backbone.name} has"
        ):
            sizes[f"weights.{name}"] = tuple(frozen[name].shape)
    if card.inserts is not None:
        linears = _linears(backbone)
        expected = f"linear layers of {card.backbone.name}"
        for place in _once(card.inserts.modules, linears, f"{where}: inserts", expected):
            stored = stored_sizes(card.inserts, *linears[place])
            sizes |= {f"inserts.{place}.{name}": size for name, size in stored.items()}
    return sizes


def _once(names: Sequence[str], known: Container[str], where: str, expected: str) -> Sequence[str]:
    """The names, if each is known and stands once."""
    seen: set[str] = set()
    for name in names:
        if name not in known or name in seen:
            twice = " twice" if name in seen else ""
            raise PromptError(where, f"'{shortened(name, 200)}'{twice}", expected)
        seen.add(name)
    return names


def _linears(backbone: Observable) -> dict[str, tuple[int, int]]:
    return {name: size for layer in backbone.layers for name, size in layer.sizes.items()}


def _made(card: PromptCard, tensors: dict[str, Tensor], backbone: Observable, where: str) -> Prompt:
    """The prompt, on the CPU; its vectors are taken out of `tensors`."""
    shapes = _shapes(card, backbone, where)
    blocks: dict[str, nn.Module] = {}
    for shape in shapes:
        flat = shape.from_tensors(tensors)
        # Freed before the parameter is made: memory for the file twice, and not three times.
        for name in shape.sizes(card.length):
            del tensors[name]
        blocks[shape.name] = Direct(flat)
    head = None if card.head is None else _head(card.head, tensors, backbone)
    weights = {name: tensors[f"weights.{name}"] for name in card.weights}
    inserts = () if card.inserts is None else _inserts(card.inserts, tensors, backbone)
    return Prompt(card, shapes, blocks, head=head, weights=weights, inserts=inserts)


def _shapes(card: PromptCard, backbone: Observable, where: str) -> Sequence[Shape | VisualShape]:
    if card.placement == "image":
        facts = backbone.pictures
        if facts is None:
            raise PromptError(f"{where}: placement", "a prompt for pictures", "a backbone that reads them")
        if card.location is None:
            raise PromptError(f"{where}: location", "none", "where the prompt enters a picture")
        missing = [layer for layer in card.layers if not 0 <= layer < len(facts.tokens)]
        if missing and not (LOCATIONS[card.location].in_pixels and card.layers == [0]):
            raise PromptError(f"{where}: layers", f"layer {missing[0]}", f"layers of {backbone.card.name}")
        return LOCATIONS[card.location].shapes(facts, card.layers, card.length, card.depth == "shallow")
    if card.placement == "slot_embeddings":
        return [SlotShape(backbone.hidden)]
    if card.placement == "states":
        if set(card.sites) != {RECURRENT}:
            raise PromptError(f"{where}: sites", f"{list(card.sites)}", f"['{RECURRENT}'] for states")
        return state_shapes(backbone.recurrences, card.sites[RECURRENT])
    shapes: list[Shape] = []
    for site, layers in card.sites.items():
        if not any(site == name for name, _ in backbone.attentions):
            raise PromptError(f"{where}: sites", site, f"a site of {backbone.card.name}")
        shapes += key_value_shapes(backbone.attentions, [site], layers)
    return shapes


def _head_sizes(card: HeadCard, n_tensors: int, backbone: Observable) -> dict[str, tuple[int, ...]]:
    facts = backbone.pictures
    resolve_pooling(checked(card), [], None if facts is None else facts.has_class)
    width = head_width(card, backbone)
    sizes = {"head.weight": (card.n_outputs, width), "head.bias": (card.n_outputs,)}
    # One layer more than the file has tensors, so that a count that is too large is refused by a name.
    for i in range(min(card.hidden_layers, n_tensors + 1)):
        sizes |= {f"head.hidden.{i}.weight": (width, width), f"head.hidden.{i}.bias": (width,)}
    return sizes


def _head(card: HeadCard, tensors: Mapping[str, Tensor], backbone: Observable) -> Head:
    head = Head(card, head_width(card, backbone))
    head.load_state_dict({name: tensors[f"head.{name}"] for name, _ in head.named_parameters()})
    return head


def _inserts(card: InsertsCard, tensors: Mapping[str, Tensor], backbone: Observable) -> Sequence[nn.Module]:
    inserts = make_inserts(card, _linears(backbone), None)
    with torch.no_grad():
        for place, insert in zip(card.modules, inserts, strict=True):
            for name, empty in insert.stored().items():
                empty.copy_(tensors[f"inserts.{place}.{name}"])
    return inserts
