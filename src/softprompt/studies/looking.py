"""What runs on pictures make of them: attention of the class token, and features of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.backbones import Backbone, class_attention
from softprompt.extras import require
from softprompt.plotting import AttentionMap
from softprompt.prompts import LOCATIONS, PixelBorder, Prompt, pool_picture

require("studies", "softprompt look", "sklearn")

NEIGHBOURS = 5
"""How many of a picture's nearest ones are asked for their class."""


@dataclass(frozen=True)
class View:
    """What a backbone makes of some pictures, under a prompt or without one.

    Args:
        name: of the run.
        features: what the head reads, `[picture, hidden]`, float32.
        patches: attention of the class token on the patches of the first pictures, mean over heads and
            without what goes elsewhere, so that each picture's adds up to 1, `[shown, row, column]`; None
            without a class token.
        on_prompt: how much of the attention goes to the prompt, `[shown]`.
        border: pixels that the prompt puts around pictures; the patches cover them too.
    """

    name: str
    features: Tensor
    patches: Tensor | None
    on_prompt: Tensor | None
    border: int = 0

    @property
    def attention(self) -> AttentionMap:
        """The attention as it is drawn; for a view with patches."""
        assert self.patches is not None and self.on_prompt is not None
        return AttentionMap(self.name, self.patches.numpy(), self.on_prompt.numpy(), self.border)


@torch.no_grad()
def view_pictures(
    backbone: Backbone,
    prompt: Prompt | None,
    name: str,
    pixels: Tensor,
    *,
    shown: int,
    layer: int = -1,
    batch_size: int = 50,
) -> View:
    """Look at pictures under a prompt, or without one (None).

    Args:
        backbone: one that reads pictures.
        prompt: on this backbone, as `load_prompt` gives it.
        name: what to call it.
        pixels: `[picture, channel, height, width]`, as the backbone's processor makes them.
        shown: of how many pictures the attention is taken, the first ones.
        layer: whose attention, counted from the end where negative.
        batch_size: pictures read together.

    Raises:
        BackboneError: a backbone that reads texts, or no such layer.
    """
    facts = backbone.pictures
    has_class = facts is not None and facts.has_class
    head = None if prompt is None else prompt.head
    pooling = ("cls" if has_class else "image") if head is None else head.card.pooling
    with backbone.prompted(prompt):
        parts = [pool_picture(*backbone.look(part), str(pooling)) for part in pixels.split(batch_size)]
        gaze = class_attention(backbone, pixels[:shown], layer) if has_class else None
    features = torch.cat(parts).float().cpu()
    card = None if prompt is None else prompt.card
    location = None if card is None else card.location
    border = card.length if card and location and LOCATIONS[location].placement is PixelBorder else 0
    if gaze is None:
        return View(name, features, None, None, border)
    patches = gaze.patches.mean(1)
    patches = patches / patches.sum((1, 2), keepdim=True)
    return View(name, features, patches.cpu(), gaze.prompt.sum(-1).mean(1).cpu(), border)


def balanced_pictures(records: Sequence[Any], per_class: int) -> list[Any]:
    """The first records of each class, in their order; those without a label are left out."""
    seen: dict[str, int] = {}
    taken = []
    for record in records:
        if record.label is not None and seen.get(record.label, 0) < per_class:
            seen[record.label] = seen.get(record.label, 0) + 1
            taken.append(record)
    return taken


def spread_over(records: Sequence[Any], n: int) -> list[int]:
    """Places of `n` records of as many classes as there are: the first of each, then the second ones."""
    turns: dict[str, int] = {}
    places = []
    for i, record in enumerate(records):
        turns[record.label] = turns.get(record.label, -1) + 1
        places.append((turns[record.label], i))
    return [i for _, i in sorted(places)[:n]]


def neighbours_alike(features: Tensor, labels: Sequence[str]) -> float:
    """How many of the pictures nearest to each, by cosine, are of its class, in per cent.

    Args:
        features: `[picture, hidden]`.
        labels: the class of each.
    """
    numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    classes = torch.tensor([numbers[label] for label in labels])
    directions = F.normalize(features, dim=-1)
    near = (directions @ directions.T).fill_diagonal_(-torch.inf).topk(NEIGHBOURS, dim=-1).indices
    return 100 * float((classes[near] == classes[:, None]).float().mean())


def embed_features(features: Tensor, seed: int) -> Any:
    """The features in a plane, by t-SNE, `[picture, 2]`.

    Source: van der Maaten and Hinton (JMLR 2008), which Visual Prompt Tuning (2203.12119) draws class tokens
    with; scikit-learn's, with its own perplexity of 30 (a third of few pictures).
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features.numpy())
