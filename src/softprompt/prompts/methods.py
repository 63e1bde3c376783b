"""The methods, by the papers' names. A method is a row:
placement x reparameterisation x initialisation x layers.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from softprompt.config import MethodSettings
from softprompt.errors import PromptError
from softprompt.prompts.adapters import adapter, lora
from softprompt.prompts.assemble import (
    Positions,
    Reparameterization,
    assemble,
    assemble_bare,
    chosen_sites,
    needs_texts,
    network,
    tuned_weights,
)
from softprompt.prompts.cloze import null_prompt, p_tuning
from softprompt.prompts.in_context import in_context
from softprompt.prompts.placements import SlotShape, key_value_shapes
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.prompts.visual import visual_prompt_tuning
from softprompt.store.card import HeadCard


def prefix_tuning(
    backbone: Observable,
    length: int | None = None,
    layers: str | Sequence[int] = "all",
    *,
    sites: Sequence[str] | None = None,
    reparameterization: Reparameterization = "mlp",
    width: int = 512,
    depth: int = 1,
    initialization: str | Prompt | None = None,
    positions: Positions = None,
    dropout: float = 0.0,
    tune: str | None = None,
    examples: Sequence[Sequence[int]] | None = None,
    head: HeadCard | None = None,
    seed: int = 0,
) -> Prompt:
    """A prefix of trained keys and values before every layer.

    Source: Prefix-Tuning (arXiv 2101.00190) §4.2-4.3. Deviations: the default start is real
    activations of vocabulary tokens rather than random numbers (`softprompt train` starts from
    training examples), see `initialize`; the network begins exactly at that start, see `MLP`.

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
            `vocabulary`, and `random` on a backbone that reads pictures.
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
    shapes = key_value_shapes(backbone.attentions, chosen_sites(backbone, sites), layers)
    if initialization is None:
        initialization = "vocabulary" if backbone.pictures is None else "random"
    default = _positions(backbone)
    return assemble(
        "prefix_tuning", backbone, shapes, length, 10, network(backbone, reparameterization, width, depth),
        initialization, 1.0, positions, default, dropout, examples, tune, head, seed,
    )  # fmt: skip


def prompt_tuning(
    backbone: Observable,
    length: int | None = None,
    *,
    reparameterization: Reparameterization = None,
    width: int = 512,
    depth: int = 1,
    initialization: str | Prompt = "vocabulary",
    positions: Positions = None,
    dropout: float = 0.0,
    tune: str | None = None,
    examples: Sequence[Sequence[int]] | None = None,
    head: HeadCard | None = None,
    seed: int = 0,
) -> Prompt:
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
    needs_texts(backbone, "prompt_tuning", "use visual_prompt_tuning(depth='shallow')")
    there = {site for site, _ in backbone.attentions}
    if "cross" in there and positions == "unshifted":
        raise PromptError(
            "prompt.positions",
            "'unshifted'",
            "'shifted', since soft tokens before an encoder are part of the input",
        )
    shapes = [SlotShape(backbone.hidden)]
    scale = (
        backbone.embed(backbone.sample_tokens(1000, torch.Generator().manual_seed(0))).float().std().item()
    )
    return assemble(
        "prompt_tuning", backbone, shapes, length, 20, network(backbone, reparameterization, width, depth),
        initialization, scale, positions, "shifted", dropout, examples, tune, head, seed,
    )  # fmt: skip


def p_tuning_v2(
    backbone: Observable,
    length: int | None = None,
    layers: str | Sequence[int] = "all",
    *,
    sites: Sequence[str] | None = None,
    reparameterization: Reparameterization = None,
    width: int = 512,
    depth: int = 1,
    initialization: str | Prompt = "random",
    positions: Positions = None,
    dropout: float = 0.0,
    tune: str | None = None,
    examples: Sequence[Sequence[int]] | None = None,
    head: HeadCard | None = None,
    seed: int = 0,
) -> Prompt:
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
    there = {site for site, _ in backbone.attentions}
    if sites is None:
        sites = ["encoder"] if "encoder" in there else ["decoder"]
    shapes = key_value_shapes(backbone.attentions, chosen_sites(backbone, sites), layers)
    return assemble(
        "p_tuning_v2", backbone, shapes, length, 20, network(backbone, reparameterization, width, depth),
        initialization, 0.02, positions, _positions(backbone), dropout, examples, tune, head, seed,
    )  # fmt: skip


def fine_tuning(
    backbone: Observable, *, tune: str = "all", head: HeadCard | None = None, seed: int = 0
) -> Prompt:
    """The comparison that prompts are held against: the backbone's own tensors are trained.

    The backbone stays as it is: copies of its tensors (in float32) are trained, and stand in their place
    while the prompt is active.

    Args:
        backbone: the model.
        tune: `all` tensors, `bitfit` (arXiv 2106.10199: biases of linear layers and norms), `biases` (the
            same, and from zero those that linear layers of models such as Llama do not have), `layernorm`
            (weights and biases of norms), `head` (what turns states into words; tied input embeddings
            stay as they are) or `last:k` (the last k layers of each stack). With a `head` of the prompt's
            own, what turns states into words is left out, since nothing uses it.
        head: read off the states, see `softprompt.head`.
        seed: of the head's random numbers.

    Raises:
        PromptError: a choice that the backbone does not have.
    """
    weights = tuned_weights(backbone, tune, head)
    if not weights:
        raise PromptError("prompt.tune", "'none'", "tensors to train", "use head_only for a head alone")
    return assemble_bare("fine_tuning", backbone, weights, head, seed, tune)


def head_only(backbone: Observable, *, head: HeadCard | None = None, seed: int = 0) -> Prompt:
    """A head on the untouched backbone: the baseline that shows what a prompt adds.

    Args:
        backbone: the frozen model.
        head: read off the states, see `softprompt.head`.
        seed: of the head's random numbers.

    Raises:
        PromptError: no head.
    """
    if head is None:
        raise PromptError(
            "head_only", "no head", "a head, since nothing else is trained", "pass head=softprompt.head(...)"
        )
    return assemble_bare("head_only", backbone, {}, head, seed)


def _positions(backbone: Observable) -> Literal["shifted", "unshifted"]:
    """The papers' own: decoders and encoders count the prompt; encoder-decoders and pictures do not."""
    cross = any(site == "cross" for site, _ in backbone.attentions)
    return "unshifted" if cross or backbone.pictures is not None else "shifted"


METHODS: dict[str, Callable[..., Prompt]] = {
    "prefix_tuning": prefix_tuning,
    "prompt_tuning": prompt_tuning,
    "p_tuning_v2": p_tuning_v2,
    "p_tuning": p_tuning,
    "null_prompt": null_prompt,
    "in_context": in_context,
    "visual_prompt_tuning": visual_prompt_tuning,
    "fine_tuning": fine_tuning,
    "head_only": head_only,
    "adapter": adapter,
    "lora": lora,
}
"""Every method by the name that settings and prompt files use."""


def build(
    backbone: Observable,
    settings: MethodSettings,
    seed: int,
    examples: Sequence[Sequence[int]] | None = None,
    head: HeadCard | None = None,
    template: str | None = None,
) -> Prompt:
    """The prompt that a run's settings ask for.

    Args:
        backbone: the frozen model.
        settings: of the method.
        seed: of every random number.
        examples: token ids, for methods that can begin from them.
        head: that the task needs.
        template: the task's own, for methods that need one and whose settings name none.

    Raises:
        PromptError: a method that needs a template, and none is there.
    """
    options: dict[str, Any] = settings.model_dump(exclude={"name", "draws"})  # draws chose the examples
    method = METHODS[settings.name]
    if "examples" in inspect.signature(method).parameters:
        options["examples"] = examples
    if "template" in inspect.signature(method).parameters and options.get("template") is None:
        if template is None and settings.name != "in_context":
            raise PromptError(
                "method.template",
                f"no template for {settings.name}",
                "a template",
                "give one, or choose a task that has one",
            )
        options["template"] = template
    return method(backbone, **options, head=head, seed=seed)
