"""Examples in the context: the comparison that trains nothing."""

from collections.abc import Sequence

from softprompt.errors import PromptError
from softprompt.prompts.assemble import assemble, assemble_bare
from softprompt.prompts.placements import key_value_shapes
from softprompt.prompts.prompt import Observable, Prompt
from softprompt.store.card import HeadCard


def in_context(
    backbone: Observable,
    examples: Sequence[Sequence[int]] | None = None,
    *,
    max_tokens: int = 512,
    template: str | None = None,
    head: HeadCard | None = None,
    seed: int = 0,
) -> Prompt:
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
    there = {site for site, _ in backbone.attentions}
    if "cross" in there:
        got = f"{backbone.card.name}, an encoder-decoder"
        raise PromptError("in_context", got, "a decoder, or an encoder with a template")
    if "encoder" in there:
        if template is None:
            got = f"{backbone.card.name}, which reads both ways, without a template"
            raise PromptError("in_context.template", got, "a template with the examples in it")
        return assemble_bare("in_context", backbone, {}, head, seed, template=template)
    kept = fitting(examples or [], max_tokens)
    shapes = key_value_shapes(backbone.attentions, ["decoder"], "all")
    begin = f"examples:{len(kept)}"
    prompt = assemble(
        "in_context", backbone, shapes, None, 0, None, begin, 1.0, None, "shifted", 0.0, kept, None, head,
        seed, template=template,
    )  # fmt: skip
    prompt.blocks.requires_grad_(False)
    return prompt


def fitting(examples: Sequence[Sequence[int]], max_tokens: int) -> list[Sequence[int]]:
    """The examples that fit, in their order; one that does not is passed over.

    Raises:
        PromptError: none does.
    """
    kept: list[Sequence[int]] = []
    room = max_tokens
    for example in examples:
        if len(example) <= room:
            kept.append(example)
            room -= len(example)
    if not kept:
        shortest = min((len(example) for example in examples), default=None)
        got = "no examples" if shortest is None else f"examples of {shortest} tokens and more"
        raise PromptError("in_context.examples", got, f"at least one of at most {max_tokens} tokens")
    return kept
