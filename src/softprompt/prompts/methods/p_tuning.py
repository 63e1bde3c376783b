"""P-Tuning: soft slots in a template; templates are `softprompt.text.template`'s."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from softprompt.errors import PromptError, counted
from softprompt.prompts.methods.options import Count, Probability, Tune
from softprompt.prompts.methods.registry import method
from softprompt.prompts.methods.training_defaults import HEAD_RATE, TrainingDefaults

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.methods.builder import Network
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt
    from softprompt.text import Template

_FORMS = "'random', 'vocabulary', 'text: ...', 'zero', 'prompt: FOLDER' or a prompt"


@method(
    "p_tuning",
    recipe={"template": None},
    training=[
        TrainingDefaults(1e-3, HEAD_RATE, when={"encoder": ("lstm", "mlp")}),
        TrainingDefaults(5e-2, HEAD_RATE),
    ],
)
def p_tuning(
    backbone: "Observable",
    template: "Annotated[int, Field(ge=1, strict=True)] | str | Template",
    *,
    encoder: Literal["lstm", "mlp"] | None = "lstm",
    width: Count | None = None,
    depth: Count | None = None,
    dropout: Probability = 0.0,
    initialization: "str | Prompt" = "random",
    tune: Tune | None = None,
    head: "HeadCard | None" = None,
    seed: int = 0,
) -> "Prompt":
    """Soft slots anywhere in the text, computed by a prompt encoder that is dropped after training.

    In `input_ids`, slot k stands as the id -(k + 1), as often as it likes.

    Source: P-Tuning (arXiv 2103.10385) §3.2 and its LAMA code: pseudo tokens E through a BiLSTM of two
    layers and an MLP; `mlp` is its few-shot code's other encoder, None trains the slots' vectors. Deviations:
    with a start the encoder begins exactly at it (see `LSTM`); the MLP encoder takes more than one slot,
    which the official one does not; the backbone is frozen unless `tune` says otherwise (the paper's
    SuperGLUE runs tune all of it).

    Args:
        backbone: the frozen model.
        template: with `[soft]` slots (`softprompt.text.template`), or how many slots there are. Slots that
            the template begins from words begin there, whatever `initialization` says of the others.
        encoder: `lstm`, `mlp` or None.
        width: hidden width of the encoder, for `lstm` of both directions together; None is that of the
            input embeddings, as in the LAMA code (the few-shot code has twice that).
        depth: layers of the LSTM (None: 2), or hidden layers of the MLP (None: 1).
        dropout: on the vectors while training.
        initialization: `random` (the paper's: the encoder's own output; without one, or beside words of the
            template, N(0, 1)), `vocabulary`, `text: ...` with a token per slot, `zero`, `prompt: FOLDER` or
            a prompt.
        tune: backbone tensors trained beside the vectors, as in `fine_tuning`; None is none.
        head: read off the states, see `softprompt.head`; None where the answer is a word.
        seed: of every random number here.

    Raises:
        PromptError: no slot, or an encoder, start or choice that cannot be.
        ConfigError: a template that does not follow the language.
    """
    from softprompt.prompts.methods.builder import PromptBuilder, needs_texts

    needs_texts(backbone, "p_tuning", "use visual_prompt_tuning")
    parsed = None if isinstance(template, int) else parsed_template(template, "p_tuning.template")
    n_slots = parsed.n_slots if parsed is not None else int(template)  # type: ignore[arg-type]
    if n_slots < 1:
        raise PromptError(
            "p_tuning.template", repr(str(template)), "[soft] in a template, or a count of slots from 1",
            "use null_prompt for a template without slots",
        )  # fmt: skip
    if isinstance(initialization, str):
        _check_start(backbone, initialization, n_slots)
    words = {} if parsed is None else _start_words(backbone, parsed)
    if words and (not isinstance(initialization, str) or ":" in initialization):
        raise PromptError(
            "method.initialization",
            "both a start of all slots and words for some in the template",
            "one of the two",
        )
    vectors = {number: backbone.embed([token])[0] for number, token in words.items()}
    text = None if parsed is None else str(parsed)
    builder = PromptBuilder("p_tuning", backbone, head, seed, tune, text)
    return builder.with_vectors(
        builder.soft_tokens(),
        initialization,
        n_slots,
        network=_encoder(backbone, encoder, width, depth),
        positions="unshifted",
        dropout=dropout,
        in_place=True,
        fixed=vectors,
    )


def parsed_template(template: "str | Template", where: str) -> "Template":
    """A template out of a text, or as it is.

    Raises:
        PromptError: neither of the two.
        ConfigError: a text that does not follow the language.
    """
    from softprompt.text import Template

    parsed = Template.parse(template, where) if isinstance(template, str) else template
    if not isinstance(parsed, Template):
        raise PromptError(where, repr(template), "a template")
    return parsed


def _start_words(backbone: "Observable", template: "Template") -> dict[int, int]:
    """The token that each slot begins from; only then is a tokenizer needed."""
    if not any(getattr(piece, "start", "") for piece in template.pieces):
        return {}
    return template.start_ids(backbone.tokenizer)


def _encoder(
    backbone: "Observable", kind: Literal["lstm", "mlp"] | None, width: int | None, depth: int | None
) -> "Network | None":
    from torch import nn

    from softprompt.prompts.methods.builder import Network
    from softprompt.prompts.reparameterize import LSTM, MLP

    hidden = backbone.hidden
    if kind is None:
        if width is not None or depth is not None:
            raise PromptError(
                "p_tuning.width" if width is not None else "p_tuning.depth",
                width if width is not None else depth,
                "None, since there is no network without an encoder",
                "choose encoder='lstm' or 'mlp'",
            )
        return None
    wide = hidden if width is None else width
    if kind == "mlp":
        return Network(
            "mlp", lambda n, out, start, g: MLP(n, hidden, wide, depth or 1, out, start, g, nn.ReLU)
        )
    if wide % 2:
        raise PromptError("p_tuning.width", wide, "an even number, half for each direction of the LSTM")
    return Network("lstm", lambda n, out, start, g: LSTM(n, hidden, wide, depth or 2, out, start, g))


def _check_start(backbone: "Observable", initialization: str, n_slots: int) -> None:
    kind, _, text = initialization.partition(":")
    if kind == "examples":
        raise PromptError("method.initialization", repr(initialization), _FORMS)
    if kind == "text" and text.strip():
        n_tokens = len(backbone.token_ids(text.strip()))
        if n_tokens != n_slots:
            raise PromptError(
                "method.initialization",
                f"a text of {counted(n_tokens, 'token')}",
                f"{n_slots}, one for each slot",
            )
