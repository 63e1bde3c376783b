"""The errors that a user can correct.

Every message has the place, what was given, what was expected and what to do:
`prompt.layers: got layer 14, expected layers 0-11. Choose a subset of those.`
"""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

_PLAIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?[,:;.!?]?(?!\S)")
"""A first word that may be capitalised: not code, a quoted value, a dotted key or a --flag."""

_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control and direction characters, and surrogates; a carriage return too, which would write over a line."""

_COMMANDS = ("accelerate", "pip", "softprompt", "torchrun")
"""Commands, which keep their lower case also at the beginning of a sentence."""

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
    """One mistake: a sentence and its parts.

    Attributes:
        where: the setting, argument, file or record.
        got: what was given; None leaves it out.
        expected: what is allowed.
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
        """The same mistake with a file before its place: `recipe.yaml: training.steps: got ...`."""
        return self.at(": ".join(part for part in (place, self.where) if part))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as `did you mean 'layers'?`, or an empty text when nothing is close."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def kind_of(value: object) -> str:
    """The kind of a value from a file, in words: `a number`, `a list`, `nothing`."""
    name = type(value).__name__
    return _KINDS.get(name) or with_article(name)


def in_its_words(error: Exception) -> str:
    """What another library says of its failure, as a quotation for one of our own errors."""
    said = str(error).strip().partition("\n")[0]
    return f"it says {said!r}" if said else f"it fails with {with_article(type(error).__name__)}"


def with_article(noun: str) -> str:
    """A noun with *a* or *an* before it: `an AlbertAttention`."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def in_yaml(name: str) -> str:
    """A name as a recipe has it: in quotes where it is more than a word."""
    return name if re.fullmatch(r"[^\W\d][\w-]*", name) else json.dumps(name, ensure_ascii=False)


def counted(n: int, what: str, several: str = "") -> str:
    """How many of something, in words: `1 bad row`, `1,200 bad rows`.

    Args:
        n: how many.
        what: one of them.
        several: more of them, where that is not `what` with an s.
    """
    return f"{n:,} {what if n == 1 else several or what + 's'}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and a final *and*: `choice, cloze and tagging`."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def system_says(error: OSError) -> str:
    """The system's message in lower case, for use within a sentence: `no such file or directory`."""
    text = error.strerror or str(error) or "an unknown error"
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class if the message is empty."""
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
    """An error that the user can correct. The command line prints it without a traceback.

    The text is made of the fields, which are attributes too. An error survives pickling and copying.

    Args:
        where: the setting, argument, file or record.
        got: what was given. A text, a number, a truth value, None or a tuple of these is kept as it is;
            anything else is kept as its text.
        expected: what is allowed.
        hint: what to do.

    Attributes:
        problems: the mistakes that the error reports: one, or several if made by `several`.
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
        """One error that reports several problems, one on each line, so that all can be corrected at once.

        Args:
            problems: errors or lines, kept in `problems`. The four fields are those of a single problem, and
                empty for several.
        """
        error = cls.__new__(cls)
        error._report(list(problems))
        return error

    def inside(self, place: str) -> Self:
        """The same error with the file or folder before the place of every problem."""
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
    """The frozen model cannot be loaded, or does not support a request."""


class PromptError(SoftpromptError):
    """A prompt or a prompt file does not suit the model or the request."""


class DataError(SoftpromptError):
    """A data file is missing, empty or malformed."""


class TrainingError(SoftpromptError):
    """Training stopped: the loss is not a number, or a checkpoint cannot be used."""


def _sentence(where: str, got: object, expected: str, hint: str) -> str:
    """*Where: got this, expected that. What to do.*, without empty parts."""
    where, expected, hint = (shortened(printable(part)) for part in (where, expected, hint))
    given = "" if got is None else shortened(printable(str(got)))
    clauses = [f"got {_indented(given)}"] if given.strip() else []
    if expected:
        clauses.append(f"expected {_indented(expected)}")
    sentences = [_stopped(text) for text in (", ".join(clauses), _capital(hint)) if text]
    return ": ".join(part for part in (where, " ".join(sentences)) if part)


def _indented(text: str) -> str:
    """A text whose lines after the first are indented."""
    return "\n    ".join(line.rstrip() for line in text.strip().splitlines()) if "\n" in text else text


def _stopped(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _capital(text: str) -> str:
    word = _PLAIN_WORD.match(text)
    return text[0].upper() + text[1:] if word and word[0].rstrip(",:;.!?") not in _COMMANDS else text


def _plain(value: object) -> Any:
    """A value that any process can unpickle: the value itself if it is plain, else its text."""
    if type(value) is tuple:
        return value if all(_plain(part) is part for part in value) else str(value)
    return value if value is None or type(value) in (str, int, float, bool) else str(value)


def _inside(problem: "Problem | SoftpromptError | str", place: str) -> "Problem | SoftpromptError | str":
    if isinstance(problem, Problem | SoftpromptError):
        return problem.inside(place)
    return f"{place}: {problem}" if place else problem


def _restored(kind: type[SoftpromptError], text: str) -> SoftpromptError:
    """An unpickled error; pickle then restores its fields."""
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error
