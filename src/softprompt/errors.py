"""The errors a user can meet.

Every message says where it happened, what came, what was expected and what to do:
`prompt.layers: got layer 14, expected layers 0-11. Choose a subset of those.`
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

_PLAIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?[,:;.!?]?(?!\S)")
"""A first word that may get a capital letter: no code, no quoted value, no dotted key and no --flag."""

_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control and direction characters, and surrogates; a carriage return too, which would write over a line."""

_COMMANDS = ("accelerate", "pip", "softprompt", "torchrun")
"""Words that are typed as they stand, also at the beginning of a sentence."""

_MOST_PROBLEMS = 100
"""The most problems of one error that its text lists."""

_KINDS = {
    "NoneType": "nothing",
    "bool": "a truth value",
    "dict": "an object",
    "float": "a number",
    "int": "a number",
    "list": "a list",
    "str": "a text",
    "tuple": "a tuple",
}


class Problem(str):
    """One mistake: a sentence, and the parts that it is made of.

    Attributes:
        where: the setting, argument, file or record.
        got: what came; None where nothing is said of it.
        expected: what may stand there.
        hint: what to do, without a full stop.
    """

    where: str
    got: Any
    expected: str
    hint: str

    def __new__(cls, where: str, got: object = None, expected: str = "", hint: str = "") -> "Problem":
        made = super().__new__(cls, _sentence(str(where), got, str(expected), str(hint)))
        made.where, made.got = str(where), _plain(got)
        made.expected, made.hint = str(expected), str(hint)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Problem, (self.where, self.got, self.expected, self.hint)

    def at(self, where: str) -> "Problem":
        """The same mistake at another place."""
        return Problem(where, self.got, self.expected, self.hint)

    def inside(self, place: str) -> "Problem":
        """The same mistake, seen from a place that holds it: `recipe.yaml: training.steps: got ...`."""
        return self.at(": ".join(part for part in (place, self.where) if part))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as `did you mean 'layers'?`, or an empty text when nothing is close."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def kind_of(value: object) -> str:
    """What a value out of a file is, as one says it: `a number`, `a list`, `nothing`."""
    name = type(value).__name__
    return _KINDS.get(name) or with_article(name)


def with_article(noun: str) -> str:
    """A noun with *a* or *an* before it, as the noun's first letter sounds: `an AlbertAttention`."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def listed(words: Sequence[str]) -> str:
    """Words in a row, as one says them: `choice, cloze and tagging`."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def system_says(error: OSError) -> str:
    """What the system said of a file, as it stands within a sentence: `no such file or directory`."""
    text = error.strerror or str(error) or "an unknown error"
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def first_line(error: BaseException) -> str:
    """The first line of what a foreign error says, or the name of its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def printable(text: str) -> str:
    r"""A text as a terminal may show it: what would steer the terminal is written out, as `\x1b`.

    Control characters other than line ends and tabs, characters that turn the direction of writing, and
    halves of surrogate pairs.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, most: int = 1000) -> str:
    """A text, or its beginning and its end where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 5
    return f"{text[:head]} ... {text[-tail:]} ({len(text):,} characters)"


class SoftpromptError(Exception):
    """Anything that the user can put right. The command line prints it without a traceback.

    The text is made of the fields, which stay as attributes. An error survives pickling and copying.

    Args:
        where: the setting, argument, file or record.
        got: what came. Kept as it is when it is a text, a number, a truth value, None or a tuple of such,
            else as its text.
        expected: what may stand there.
        hint: what to do.

    Attributes:
        problems: the mistakes that the error reports: one, unless it was made by `several`.
    """

    where: str
    got: Any
    expected: str
    hint: str
    problems: tuple["Problem | SoftpromptError | str", ...]

    def __init__(self, where: str, got: object = None, expected: str = "", hint: str = ""):
        self._report([Problem(where, got, expected, hint)])

    @classmethod
    def several(cls, problems: Iterable["Problem | SoftpromptError | str"]) -> Self:
        """One error that reports several problems, a line each, so that all are mended at once.

        Args:
            problems: errors or lines, kept in `problems`. The four fields are those of a single problem;
                of more than one they are empty.
        """
        error = cls.__new__(cls)
        error._report(list(problems))
        return error

    def inside(self, place: str) -> Self:
        """The same error with every problem seen from a place that holds it."""
        return type(self).several(_inside(one, place) for one in self.problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), str(self)), self.__dict__

    def _report(self, problems: Sequence["Problem | SoftpromptError | str"]) -> None:
        lines = [str(problem) for problem in problems[:_MOST_PROBLEMS]]
        if len(problems) > len(lines):
            lines.append(f"... and {len(problems) - len(lines):,} more of the kind")
        Exception.__init__(self, "\n".join(lines))
        self.problems = tuple(problems)
        one = problems[0] if len(problems) == 1 else None
        if isinstance(one, Problem | SoftpromptError):
            self.where, self.got, self.expected, self.hint = one.where, one.got, one.expected, one.hint
        else:
            self.where, self.got, self.expected, self.hint = "", None, "", ""


class ConfigError(SoftpromptError):
    """A setting is unknown, of the wrong kind, or contradicts another."""


class BackboneError(SoftpromptError):
    """The frozen model cannot be loaded, or cannot do what was asked of it."""


class PromptError(SoftpromptError):
    """A prompt, or a prompt file, does not fit."""


class DataError(SoftpromptError):
    """A data file is missing, empty or malformed."""


class TrainingError(SoftpromptError):
    """Training stopped: the loss is no number, or a checkpoint cannot be used."""


def _sentence(where: str, got: object, expected: str, hint: str) -> str:
    """*Where: got this, expected that. What to do.*, without the parts that are empty."""
    came = "" if got is None else shortened(printable(str(got)))
    said = [f"got {_indented(came)}"] if came.strip() else []
    if expected:
        said.append(f"expected {_indented(shortened(printable(expected)))}")
    sentences = [_stopped(text) for text in (", ".join(said), _capital(shortened(printable(hint)))) if text]
    return ": ".join(part for part in (shortened(printable(where)), " ".join(sentences)) if part)


def _indented(text: str) -> str:
    """A text of several lines, in which the later ones stand further to the right."""
    return "\n    ".join(line.rstrip() for line in text.strip().splitlines()) if "\n" in text else text


def _stopped(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _capital(text: str) -> str:
    word = _PLAIN_WORD.match(text)
    return text[0].upper() + text[1:] if word and word[0].rstrip(",:;.!?") not in _COMMANDS else text


def _plain(value: object) -> Any:
    """What survives pickling anywhere: the value if it is plain, else its text."""
    if type(value) is tuple:
        return value if all(_plain(part) is part for part in value) else str(value)
    return value if value is None or type(value) in (str, int, float, bool) else str(value)


def _inside(one: "Problem | SoftpromptError | str", place: str) -> "Problem | SoftpromptError | str":
    return (
        one.inside(place)
        if isinstance(one, Problem | SoftpromptError)
        else f"{place}: {one}"
        if place
        else one
    )


def _restored(kind: type[SoftpromptError], text: str) -> SoftpromptError:
    """An error as it was; its fields follow as its state."""
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error
