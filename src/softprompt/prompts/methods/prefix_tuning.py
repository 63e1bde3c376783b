"""Prefix-Tuning."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.errors import PromptError
from softprompt.prompts.methods.options import (
    DRAWS,
    AllSites,
    Count,
    Layers,
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
    "prefix_tuning",
    recipe={"initialization": (str, "examples:4"), "draws": DRAWS},
    training=[
        TrainingDefaults(1e-2, HEAD_RATE, when={"sites": "recurrent"}),
        TrainingDefaults(5e-4, HEAD_RATE, when={"reparameterization": "mlp"}),
        TrainingDefaults(3e-2, HEAD_RATE, when={"head": True}),
        TrainingDefaults(1e-2),
    ],
)
def prefix_tuning(
    backbone: "Observable",
    length: Count | None = None,
    layers: Layers = "all",
    *,
    sites: AllSites | None = None,
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
    """A prefix of trained keys and values before every layer, or of states that recurrent layers begin from.

    Source: Prefix-Tuning (arXiv 2101.00190) §4.2-4.3. Deviations: the default start is real
    activations of vocabulary tokens rather than random numbers (`softprompt train` starts from
    training examples), see `initialization`; the network begins exactly at that start, see `MLP`.

    With `sites="recurrent"`: S0 tuning (arXiv 2604.01168). The state that a recurrent layer (state-space,
    linear attention) has before the first token is trained, `[layer, *state]`. Nothing of its convolution
    is, as in the paper: it has read nothing before the text. A state takes no position. Layers that look at
    a state in passes of one token alone (Mamba 1's) read a text token by token, which is slow. Deviation:
    neither a factor before the state nor a penalty on its size, which learning rate and weight decay do here.

    Args:
        backbone: the frozen model.
        length: prompt vectors per layer, 10 unless the initialization is a text, whose length it is. Of
            states 1: a layer has one.
        layers: `all`, `first:k`, `last:k` or layer numbers, in every chosen site.
        sites: any of `encoder`, `decoder`, `cross`, or `recurrent` alone; None is every attention that the
            backbone has.
        reparameterization: `mlp` (the paper's) or None (keys and values are the parameters). States are
            always the parameters: a network for all numbers of a state would be larger than the backbone.
        width: hidden width of the MLP (512 in the paper, 800 for summaries).
        depth: hidden layers of the MLP (1 in the paper).
        initialization: `examples:k`, `text: ...`, `vocabulary`, `random`, `zero`, `prompt: FOLDER` or
            a prompt. `random` is N(0, 1), as the official code's; with the MLP, the MLP's own output. None is
            `vocabulary`, and `random` on a backbone that reads pictures; of states `zero`, as in the paper,
            and a text means the states behind it.
        positions: `shifted` lets the text's positions start behind the prefix, `unshifted` at 0. None
            is the paper's: shifted for decoders, unshifted for encoder-decoders and states.
        dropout: on the prefix while training (0 in the paper).
        tune: backbone tensors trained beside it, as in `fine_tuning`; None is none.
        examples: token ids of training examples, for `examples:k`.
        head: read off the states, see `softprompt.head`; None where the task needs none.
        seed: of every random number here.

    Raises:
        PromptError: a layer, site or form that is not there, or a length or shifted positions of states.
        BackboneError: states of a backbone whose recurrent layers cannot begin from them.
    """
    from softprompt.prompts.methods.builder import PromptBuilder, default_positions, mlp

    builder = PromptBuilder("prefix_tuning", backbone, head, seed, tune)
    sites = [sites] if isinstance(sites, str) else sites
    if sites is not None and "recurrent" in sites:
        _check_states(sites, length, positions)
        return builder.with_vectors(
            builder.states(layers),
            "zero" if initialization is None else initialization,
            length,
            default_length=1,
            examples=examples,
            positions="unshifted",
            dropout=dropout,
        )
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


def _check_states(sites: Sequence[str], length: int | None, positions: str | None) -> None:
    """Refuse what a prefix of keys and values has and states have not."""
    if set(sites) != {"recurrent"}:
        raise PromptError(
            "prefix_tuning.sites",
            f"{list(sites)}",
            "'recurrent' alone, or kinds of attention alone",
            "train keys and values, or the states of recurrent layers; rows of one batch may have either",
        )
    if length not in (None, 1):
        raise PromptError(
            "prefix_tuning.length", length, "1 for states, one for each recurrent layer", "leave length out"
        )
    if positions == "shifted":
        raise PromptError(
            "prefix_tuning.positions",
            "'shifted' for states, which take no position",
            "'unshifted'",
            "leave positions out",
        )
