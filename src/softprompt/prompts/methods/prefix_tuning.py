"""Prefix-Tuning."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.prompts.methods.options import (
    DRAWS,
    Count,
    Layers,
    Positions,
    Probability,
    Reparameterization,
    Sites,
    Tune,
)
from softprompt.prompts.methods.registry import method

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt


@method("prefix_tuning", recipe={"initialization": (str, "examples:4"), "draws": DRAWS})
def prefix_tuning(
    backbone: "Observable",
    length: Count | None = None,
    layers: Layers = "all",
    *,
    sites: Sites | None = None,
    reparameterization: Reparameterization | None = "mlp",
    width: Count = 512,
    depth: Count = 1,
    initialization: "str | Prompt | None" = None,
    positions: Positions | None = None,
    dropout: Probability = 0.0,
    tune: Tune | None = None,
    examples: Sequence[Sequence[int]] | None = None,
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """A prefix of trained keys and values before every layer.

    Source: Prefix-Tuning (arXiv 2101.00190) §4.2-4.3. Deviations: the default start is real
    activations of vocabulary tokens rather than random numbers (`softprompt train` starts from
    training examples), see `initialization`; the network begins exactly at that start, see `MLP`.

    Args:
        backbone: the frozen model.
        length: prompt vectors per layer, 10 unless the initialization is a text, whose length it is.
        layers: `all`, `first:k`, `last:k` or layer numbers, in every chosen site.
        sites: any of `encoder`, `decoder`, `cross`; None is every one that the backbone has.
        reparameterization: `mlp` (the paper's) or None (keys and values are the parameters).
        width: hidden width of the MLP (512 in the paper, 800 for summaries).
        depth: hidden layers of the MLP (1 in the paper).
        initialization: `examples:k`, `text: ...`, `vocabulary`, `random`, `zero`, `prompt: FOLDER` or
            a prompt. `random` is N(0, 1), as the official code's; with the MLP, the MLP's own output. None is
            `vocabulary`, and `random` on a backbone that reads pictures or sounds.
        positions: `shifted` lets the text's positions start behind the prefix, `unshifted` at 0. None
            is the paper's: shifted for decoders, unshifted for encoder-decoders.
        dropout: on the prefix while training (0 in the paper).
        tune: backbone tensors trained beside it, as in `fine_tuning`; None is none.
        examples: token ids of training examples, for `examples:k`.
        head: read off the states, see `softprompt.head`; None where the task needs none.
        seed: of every random number here.

    Raises:
        PromptError: a layer, site or form that is not there.
    """
    from softprompt.prompts.methods.builder import PromptBuilder, default_positions, mlp

    builder = PromptBuilder("prefix_tuning", backbone, head, seed, tune)
    if initialization is None:
        initialization = "vocabulary" if backbone.reads == "texts" else "random"
    return builder.with_vectors(
        builder.key_values(sites, layers),
        initialization,
        length,
        default_length=10,
        examples=examples,
        network=mlp(backbone, reparameterization, width, depth),
        positions=positions or default_positions(backbone),
        dropout=dropout,
    )
