"""Prompt tuning."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.errors import PromptError
from softprompt.prompts.methods.options import (
    DRAWS,
    Count,
    Positions,
    Probability,
    Reparameterization,
    Tune,
)
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import HEAD_RATE, TrainingDefaults

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt


@method(
    "prompt_tuning",
    recipe={"draws": DRAWS},
    training=[
        TrainingDefaults(5e-4, HEAD_RATE, when={"reparameterization": "mlp"}),
        TrainingDefaults(1e-2, HEAD_RATE),
    ],
)
def prompt_tuning(
    backbone: "Observable",
    length: Count | None = None,
    *,
    reparameterization: Reparameterization | None = None,
    width: Count = 512,
    depth: Count = 1,
    initialization: "str | Prompt" = "vocabulary",
    positions: Positions | None = None,
    dropout: Probability = 0.0,
    tune: Tune | None = None,
    examples: Sequence[Sequence[int]] | None = None,
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """Soft tokens in front of the text.

    Source: Lester et al. (arXiv 2104.08691), and Prefix-Tuning's embedding-only ablation (§7.2; its
    MLP is `reparameterization="mlp"`). On a decoder the tokens become key/values by one pass of
    batch 1, which is exact: nothing before them can change them. Deviation: past a sliding window they
    still act. On an encoder-decoder they stand in the encoder's input.

    Args:
        backbone: the frozen model.
        length: soft tokens, 20 unless the initialization is a text, whose length it is.
        reparameterization: `mlp` or None (the vectors are the parameters).
        width: hidden width of the MLP.
        depth: hidden layers of the MLP.
        initialization: as in `prefix_tuning`; `random` is N(0, s) with s the standard deviation of the
            backbone's own embeddings.
        positions: `shifted` (default) lets the text's positions start behind the soft tokens.
        dropout: on the vectors while training.
        tune: backbone tensors trained beside it, as in `fine_tuning`; None is none.
        examples: token ids of training examples, for `examples:k`.
        head: read off the states, see `softprompt.head`; None where the task needs none.
        seed: of every random number here.

    Raises:
        PromptError: a form or length that cannot be.
    """
    import torch

    from softprompt.prompts.methods.builder import PromptBuilder, mlp, needs_texts

    needs_texts(backbone, "prompt_tuning", "use visual_prompt_tuning(depth='shallow')")
    if {"encoder", "decoder"} <= backbone.stacks and positions == "unshifted":
        raise PromptError(
            "prompt.positions",
            "'unshifted'",
            "'shifted', since soft tokens before an encoder are part of the input",
        )
    tokens = backbone.sample_tokens(1000, torch.Generator().manual_seed(0))
    builder = PromptBuilder("prompt_tuning", backbone, head, seed, tune)
    return builder.with_vectors(
        builder.soft_tokens(),
        initialization,
        length,
        default_length=20,
        examples=examples,
        random_scale=backbone.embed(tokens).float().std().item(),
        network=mlp(backbone, reparameterization, width, depth),
        positions=positions or "shifted",
        dropout=dropout,
    )
