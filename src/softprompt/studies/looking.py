"""How a backbone sees pictures under a prompt: attention of the class token, and features of the classes."""

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
"""The number of nearest pictures whose classes are compared with a picture's own."""


@dataclass(frozen=True)
class View:
    """Features of pictures and attention over them, under a prompt or without one.

    Args:
        name: of the run.
        features: the input of the head, `[picture, hidden]`, float32.
        patches: attention of the class token on the patches of the first pictures, mean over the heads,
            normalised so that each picture's sums to 1, `[shown, row, column]`; None without a class token.
        on_prompt: the share of the attention that goes to the prompt, `[shown]`.
        border: width in pixels of the frame that the prompt adds to pictures; patches cover the frame too.
    """

    name: str
    features: Tensor
    patches: Tensor | None
    on_prompt: Tensor | None
    border: int = 0

    @property
    def attention(self) -> AttentionMap:
        """The attention in the form that `plotting` draws; only for a view with patches."""
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
    """Compute the view of pictures under a prompt, or without one (None).

    Args:
        backbone: for pictures.
        prompt: for this backbone, as `load_prompt` returns it.
        name: of the view.
        pixels: `[picture, channel, height, width]`, as the backbone's processor makes them.
        shown: the number of pictures, from the first on, whose attention is computed.
        layer: of the attention, counted from the end if negative.
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
        watched = backbone.vision is not None and backbone.vision.class_attends
        gaze = class_attention(backbone, pixels[:shown], layer) if watched else None
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
    """The first records of each class, in their order; records without a label are left out."""
    seen: dict[str, int] = {}
    taken = []
    for record in records:
        if record.label is not None and seen.get(record.label, 0) < per_class:
            seen[record.label] = seen.get(record.label, 0) + 1
            taken.append(record)
    return taken


def spread_over(records: Sequence[Any], n: int) -> list[int]:
    """The indices of `n` records: the first of each class, then the second of each, and so on."""
    turns: dict[str, int] = {}
    places = []
    for i, record in enumerate(records):
        turns[record.label] = turns.get(record.label, -1) + 1
        places.append((turns[record.label], i))
    return [i for _, i in sorted(places)[:n]]


def neighbours_alike(features: Tensor, labels: Sequence[str]) -> float:
    """The per cent of the pictures nearest to each picture, by cosine, that have its class.

    Args:
        features: `[picture, hidden]`.
        labels: the class of each picture.
    """
    numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    classes = torch.tensor([numbers[label] for label in labels])
    directions = F.normalize(features, dim=-1)
    near = (directions @ directions.T).fill_diagonal_(-torch.inf).topk(NEIGHBOURS, dim=-1).indices
    return 100 * float((classes[near] == classes[:, None]).float().mean())


def embed_features(features: Tensor, seed: int) -> Any:
    """The features in two dimensions by t-SNE, `[picture, 2]`.

    Source: van der Maaten and Hinton (JMLR 2008), by scikit-learn with its default perplexity of 30, or a
    third of the pictures if there are fewer. Visual Prompt Tuning (2203.12119) draws class tokens with t-SNE.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features.numpy())
