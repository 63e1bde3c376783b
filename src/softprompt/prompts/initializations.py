"""Where a prompt's vectors begin: one row for each initialisation.

Sources: Prefix-Tuning §7.4, where real activations beat random ones in low-data settings; and PEFT's own
benchmark, where the same method comes to 18.6 from random vectors and to 41.6 from a text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from softprompt.errors import ConfigError, PromptError, counted, kind_of, nearest, with_article
from softprompt.prompts.prompt import Prompt
from softprompt.prompts.start_request import Start, StartRequest
from softprompt.registry import Registry, check_parameters


@dataclass(frozen=True)
class Initialization:
    """A row: what a form of `initialization` means."""

    function: Callable[[StartRequest, str], Start]
    argument: str
    form: str


INITIALIZATIONS: Registry[Initialization] = Registry(
    "initialization", "method.initialization", "softprompt.initializations", PromptError
)
"""Every initialisation by the word that it begins with."""


def initialization(
    name: str, argument: str = "", form: str = ""
) -> Callable[[Callable[[StartRequest, str], Start]], Callable[[StartRequest, str], Start]]:
    """Make a function an initialisation, which `initialization` then names: `name`, or `name: argument`.

    Args:
        name: letters, digits and `_`.
        argument: a regular expression for what follows the colon; nothing where no colon may follow.
        form: how it is written, for errors; by default the name, with `: ...` where something follows.

    Raises:
        ConfigError: a name that is taken, or a function that does not take a `StartRequest` and a text (empty
            where no colon follows the name).
    """

    INITIALIZATIONS.check_name(name)
    try:
        re.compile(argument)
    except (re.error, TypeError) as error:
        got, where = f"{argument!r} ({error})", f"initialization '{name}': argument"
        raise ConfigError(where, got, "a regular expression") from None

    def decorate(function: Callable[[StartRequest, str], Start]) -> Callable[[StartRequest, str], Start]:
        written = form or (f"{name}: ..." if argument else name)
        check_parameters(
            f"initialization '{name}'", function, ("a StartRequest", "the text behind the colon"), ()
        )
        INITIALIZATIONS.add(name, Initialization(function, argument, written), function)
        return function

    return decorate


def start(initialization: str | Prompt, request: StartRequest) -> Start:
    """Flat start vectors for each block.

    Args:
        initialization: one of the forms of `INITIALIZATIONS`, or a prompt to begin from.
        request: what for.

    Raises:
        PromptError: an unknown form, missing examples, or a length that contradicts the text.
        ConfigError: an initialisation of another package that cannot be imported.
    """
    if isinstance(initialization, Prompt):
        return request.from_prompt(initialization)
    if not isinstance(initialization, str):
        got = with_article(type(initialization).__name__)
        hint = "pass vectors through a Prompt, or name a file: 'prompt: FOLDER'"
        raise PromptError("method.initialization", got, "a text or a Prompt", hint)
    row, argument = find_initialization(initialization)
    name = initialization.partition(":")[0]
    with INITIALIZATIONS.naming(name):
        made = row.function(request, argument)
    _check_start(f"initialization '{name}'", made, request)
    return made


def _check_start(where: str, made: object, request: StartRequest) -> None:
    """Raises PromptError for anything but a start with finite vectors for every block."""
    if not isinstance(made, Start):
        do = "return request.from_vectors(...) or request.from_tokens(...)"
        raise PromptError(where, kind_of(made), "a softprompt.prompts.Start", do)
    if made.flats is None:
        return
    for shape in request.shapes:
        flat = made.flats.get(shape.name)
        if not isinstance(flat, torch.Tensor) or flat.shape != (made.length, shape.width):
            got = f"shape {list(flat.shape)}" if isinstance(flat, torch.Tensor) else kind_of(flat)
            raise PromptError(f"{where}: vectors of {shape.name}", got, f"shape {[made.length, shape.width]}")
        if not flat.isfinite().all():
            raise PromptError(f"{where}: vectors of {shape.name}", "NaN or infinity", "finite numbers")


def find_initialization(text: str) -> tuple[Initialization, str]:
    """The row that a text such as `examples:4` names, and what follows the colon.

    Raises:
        PromptError: an unknown form.
        ConfigError: an initialisation of another package that cannot be imported.
    """
    name, colon, argument = text.partition(":")
    argument = argument.strip()
    if name in INITIALIZATIONS:
        row = INITIALIZATIONS[name]
        if bool(colon) == bool(row.argument) and re.fullmatch(row.argument, argument):
            return row, argument
        hint = f"write '{row.form}'"
    else:
        hint = nearest(name, INITIALIZATIONS)
    rows = {name: INITIALIZATIONS.get(name) for name in INITIALIZATIONS}
    forms = [f"'{name if row is None else row.form}'" for name, row in rows.items()]
    raise PromptError("method.initialization", repr(text), f"{', '.join(forms[:-1])} or {forms[-1]}", hint)


@initialization("examples", r"[1-9]\d*", "examples:k")
def _examples(request: StartRequest, count: str) -> Start:
    examples, k = request.examples or [], int(count)
    if len(examples) < k:
        raise PromptError(
            "method.initialization",
            f"'examples:{count}' with {counted(len(examples), 'example')}",
            f"{k} examples as token ids",
            "pass examples=[...], or choose 'vocabulary' or 'text: ...'",
        )
    return request.from_tokens([token for ids in examples[:k] for token in ids], counted(k, "example"))


@initialization("text", "(?s).+")
def _text(request: StartRequest, text: str) -> Start:
    return request.from_tokens(request.backbone.token_ids(text), "the text")


@initialization("vocabulary")
def _vocabulary(request: StartRequest, _: str) -> Start:
    return request.from_tokens(request.backbone.sample_tokens(request.n_vectors, request.generator))


@initialization("random")
def _random(request: StartRequest, _: str) -> Start:
    n, scale, generator = request.n_vectors, request.random_scale, request.generator
    return request.from_vectors(
        {shape.name: scale * torch.randn(n, shape.width, generator=generator) for shape in request.shapes}
    )


@initialization("zero")
def _zero(request: StartRequest, _: str) -> Start:
    return request.from_vectors(
        {shape.name: torch.zeros(request.n_vectors, shape.width) for shape in request.shapes}
    )


@initialization("prompt", ".+", "prompt: FOLDER")
def _prompt(request: StartRequest, folder: str) -> Start:
    from softprompt.prompts.loading import load_prompt  # which imports the methods, and they this file

    return request.from_prompt(load_prompt(Path(folder), request.backbone))
