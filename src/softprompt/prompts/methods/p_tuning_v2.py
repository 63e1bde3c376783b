"""P-Tuning v2."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.prompts.methods.options import (
    Count,
    Layers,
    Positions,
    Probability,
    Reparameterization,
    Sites,
    Tune,
)
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import HEAD_RATE, TrainingDefaults

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt


@method(
    "p_tuning_v2",
    training=[
        TrainingDefaults(5e-4, HEAD_RATE, when={"reparameterization": "mlp"}),
        TrainingDefaults(3e-2, HEAD_RATE, when={"head": True}),
        TrainingDefaults(1e-2),
    ],
)
def p_tuning_v2(
    backbone: "Observable",
    length: Count | None = None,
    layers: Layers = "all",
    *,
    sites: Sites | None = None,
    reparameterization: Reparameterization | None = None,
    width: Count = 512,
    depth: Count = 1,
    initialization: "str | Prompt" = "random",
    positions: Positions | None = None,
    dropout: Probability = 0.0,
    tune: Tune | None = None,
    examples: Sequence[Sequence[int]] | None = None,
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """Deep prompts for understanding: trained keys and values before every layer, and a head.

    Source: P-Tuning v2 (arXiv 2110.07602) §3.2-3.3: keys and values are the parameters, an MLP is the
    ablation, and a linear head reads the states. Deviations: no frozen pooler before the head; on
    encoder-decoders the encoder alone is read and prompted.

    Args:
        backbone: the frozen model.
        length: prompt vectors per layer, 20 unless the initialization is a text, whose length it is.
        layers: `all`, `first:k`, `last:k` or layer numbers.
        sites: any of `encoder`, `decoder`, `cross`; None is `encoder` where there is one, else `decoder`.
        reparameterization: None (keys and values are the parameters) or `mlp`.
        width: hidden width of the MLP (512 in the official code).
        depth: hidden layers of the MLP.
        initialization: `random` is N(0, 0.02), which the official code comes to through transformers (with
            the MLP, the MLP's own output); or `examples:k`, `text: ...`, `vocabulary`, `zero`,
            `prompt: FOLDER` or a prompt.
        positions: `shifted` (the paper's, except for encoder-decoders) lets the text's positions start
            behind the prompt; `unshifted` keeps them, and what the layers below the first prompt make.
        dropout: on the prompt while training.
        tune: backbone tensors trained beside it, as in `fine_tuning`; None is none.
        examples: token ids of training examples, for `examples:k`.
        head: read off the states, see `softprompt.head`.
        seed: of every random number here.

    Raises:
        PromptError: a layer, site or form that is not there.
    """
    from softprompt.prompts.methods.builder import PromptBuilder, default_positions, mlp

    builder = PromptBuilder("p_tuning_v2", backbone, head, seed, tune)
    if sites is None:
        sites = ["encoder"] if any(site == "encoder" for site, _ in backbone.attentions) else ["decoder"]
    return builder.with_vectors(
        builder.key_values(sites, layers),
        initialization,
        length,
        default_length=20,
        examples=examples,
        random_scale=0.02,
        network=mlp(backbone, reparameterization, width, depth),
        positions=positions or default_positions(backbone),
        dropout=dropout,
    )
