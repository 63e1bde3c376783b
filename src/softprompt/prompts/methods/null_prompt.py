"""Null prompts: a template alone; templates are `softprompt.text.template`'s."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.errors import PromptError
from softprompt.prompts.methods.options import FittingTune
from softprompt.prompts.methods.p_tuning import parsed_template
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import tuned_defaults

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt
    from softprompt.text import Template


@method("null_prompt", recipe={"template": None}, training=tuned_defaults(auto=True))
def null_prompt(
    backbone: "Observable",
    template: "str | Sequence[str] | Template",
    *,
    tune: FittingTune = "auto",
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """Nothing written and no vectors: the fields, a blank, and a few of the backbone's own tensors.

    Source: Cutting Down on Prompts and Parameters (arXiv 2106.13353) §4-5. A template with words in it is
    the paper's manual prompt. Deviation: tensors are chosen by module type and place, shared ones once.

    Args:
        backbone: the model.
        template: a template without slots, or the names of its fields in their order.
        tune: which of the backbone's tensors are trained, as in `fine_tuning`; `none` trains nothing. `auto`
            is the paper's choice, `bitfit`, and on backbones without biases (Llama's) its `layernorm`.
        head: read off the states, see `softprompt.head`; None where the answer is a word.
        seed: of the head's random numbers.

    Raises:
        PromptError: a template with slots, or a choice that the backbone does not have.
        ConfigError: a template that does not follow the language.
    """
    from softprompt.prompts.methods.builder import PromptBuilder, needs_texts

    needs_texts(backbone, "null_prompt", "use fine_tuning")
    if isinstance(template, Sequence) and not isinstance(template, str):
        from softprompt.text import null_template

        parsed = null_template(list(template), causal=backbone.stacks == {"decoder"})
    else:
        parsed = parsed_template(template, "null_prompt.template")
    if parsed.n_slots:
        raise PromptError(
            "null_prompt.template",
            f"{parsed.n_slots} slots",
            "no slots, since a null prompt has no vectors",
            "use p_tuning",
        )
    if tune == "auto":
        tune = _fitting(backbone, head)
    return PromptBuilder("null_prompt", backbone, head, seed, tune, str(parsed)).without_vectors()


def _fitting(backbone: "Observable", head: "HeadCard | None") -> str:
    """`bitfit` where the backbone has biases to train, else `layernorm`."""
    from softprompt.prompts.heads import uses_output_layer

    try:
        backbone.tuned_tensors("bitfit", lm_head=uses_output_layer(head))
    except PromptError:
        return "layernorm"
    return "bitfit"
