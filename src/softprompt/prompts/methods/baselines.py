"""What prompts are compared with: trained tensors of the backbone, a head alone, examples in the context."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from softprompt.errors import PromptError, counted
from softprompt.prompts.methods.options import Count, Tune
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import HEAD_RATE, TrainingDefaults, tuned_defaults

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt

_EXAMPLES = Field(
    default=32,
    description="Training examples, with their answers, read before every text; drawn by `training.seed`.",
)


@method("fine_tuning", training=tuned_defaults())
def fine_tuning(
    backbone: "Observable", *, tune: Tune = "all", head: "HeadCard | None" = None, seed: int = 0
) -> "Prompt":
    """The baseline that prompts are compared with: the backbone's own tensors are trained.

    The backbone stays as it is: copies of its tensors (in float32) are trained, and take their place while
    the prompt is active.

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
    from softprompt.prompts.methods.builder import PromptBuilder

    prompt = PromptBuilder("fine_tuning", backbone, head, seed, tune).without_vectors()
    if not prompt.weights:
        raise PromptError("prompt.tune", "'none'", "tensors to train", "use head_only for a head alone")
    return prompt


@method("head_only", training=TrainingDefaults(HEAD_RATE))
def head_only(backbone: "Observable", *, head: "HeadCard | None" = None, seed: int = 0) -> "Prompt":
    """A head on the untouched backbone: the baseline that shows what a prompt adds.

    Args:
        backbone: the frozen model.
        head: read off the states, see `softprompt.head`.
        seed: of the head's random numbers.

    Raises:
        PromptError: no head.
    """
    from softprompt.prompts.methods.builder import PromptBuilder

    if head is None:
        raise PromptError(
            "head_only", "no head", "a head, since nothing else is trained", "pass head=softprompt.head(...)"
        )
    return PromptBuilder("head_only", backbone, head, seed).without_vectors()


@method("in_context", recipe={"examples": (Count, _EXAMPLES)}, given=["template"])
def in_context(
    backbone: "Observable",
    examples: Sequence[Sequence[int]] | None = None,
    *,
    max_tokens: Count = 512,
    template: str | None = None,
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """Examples that stand before every text, with nothing trained.

    A decoder's keys and values on the examples do not depend on what follows, so they are computed once and
    kept: exactly what reading the examples before each text would give. An encoder reads both ways; there
    the examples are words of the template.

    Source: the in-context learning that Prefix-Tuning (arXiv 2101.00190) §6 and null prompts (2106.13353) §3
    compare with.

    Args:
        backbone: the frozen model.
        examples: token ids of whole examples, answers included, in their order (decoders).
        max_tokens: examples that would make the whole longer are left out.
        template: with the examples written into it (encoders).
        head: an affine map of the labels' scores, if the task has one.
        seed: for the card.

    Raises:
        PromptError: no example, none that fits, or an encoder-decoder.
    """
    from softprompt.prompts.methods.builder import PromptBuilder

    builder = PromptBuilder("in_context", backbone, head, seed, template=template)
    sites = {site for site, _ in backbone.attentions}
    if "cross" in sites:
        got = f"{backbone.card.name}, an encoder-decoder"
        raise PromptError("in_context", got, "a decoder, or an encoder with a template")
    if "encoder" in sites:
        if template is None:
            got = f"{backbone.card.name}, which reads both ways, without a template"
            raise PromptError("in_context.template", got, "a template with the examples in it")
        return builder.without_vectors()
    kept = fitting(examples or [], max_tokens)
    shapes = builder.key_values(["decoder"])
    prompt = builder.with_vectors(shapes, f"examples:{len(kept)}", examples=kept, positions="shifted")
    prompt.blocks.requires_grad_(False)
    return prompt


def fitting(examples: Sequence[Sequence[int]], max_tokens: Count) -> list[Sequence[int]]:
    """The examples that fit, in their order; a longer one is passed over.

    Raises:
        PromptError: no example fits.
    """
    kept: list[Sequence[int]] = []
    room = max_tokens
    for example in examples:
        if len(example) <= room:
            kept.append(example)
            room -= len(example)
    if not kept:
        shortest = min((len(example) for example in examples), default=None)
        got = "no examples" if shortest is None else f"examples of {counted(shortest, 'token')} and more"
        raise PromptError(
            "in_context.examples", got, f"at least one of at most {counted(max_tokens, 'token')}"
        )
    return kept
