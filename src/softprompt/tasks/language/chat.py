"""Chats in a tokenizer's own chat template: the source is the user's turn, the target the assistant's."""

from collections.abc import Sequence
from typing import Any

from softprompt.config import GenerationSettings
from softprompt.errors import ConfigError, DataError, SoftpromptError, in_its_words
from softprompt.tasks.language.encoding import PairForm, Turns

_USER, _ASSISTANT, _SYSTEM = "Softprompt asks.", "Softprompt answers.", "Softprompt rules."
"""Texts of turns that show what a template writes around any turn."""


class ChatForm(PairForm):
    """`apply_chat_template(turns, add_generation_prompt=True) · target · end of turn`.

    Source: transformers' chat templates, https://huggingface.co/docs/transformers/chat_templating. The target
    is tokenised by itself, behind the white space that the template has before an answer, if it has any.

    Args:
        tokenizer: with a chat template.
        settings: the system turn and the longest texts.
        name: of the backbone, for messages.
        ends: further tokens at which answers end, e.g. those of the model's generation file.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str, ends: Sequence[int] = ()):
        self._tokenizer, self._settings, self._name = tokenizer, settings, name
        self._lead, end = self._around_answers()
        eos = tokenizer.eos_token_id
        super().__init__(tokenizer, settings.model_copy(update={"end": settings.end or end}), name)
        # The limits and the end of turn are known; the model's own ends may be others.
        further = [*ends, *([] if eos is None else [eos])]
        self._ends = tuple(dict.fromkeys([self.eos, *further]))

    @property
    def ends(self) -> tuple[int, ...]:
        """The end of a turn, and what else ends an answer of this backbone."""
        return self._ends

    @property
    def longest_context(self) -> None:
        """Unknown, since the template's own tokens depend on the turns."""
        return None

    def context(self, source: str, earlier: Turns = ()) -> list[int]:
        """All turns in the template, and the beginning of the assistant's."""
        source, earlier = self._cut_turns(source, earlier)
        system = [("system", self._settings.system)] if self._settings.system is not None else []
        if earlier and earlier[0][0] == "system":
            system = []
        turns = [*system, *earlier, ("user", source)]
        return self._ids(self._written(turns))

    def target(self, text: str) -> list[int]:
        """The answer and the end of the turn."""
        return self._target(self._lead + text.strip())

    def _cut_turns(self, source: str, earlier: Turns) -> tuple[str, Turns]:
        """Source and earlier turns within `max_source_tokens`: the oldest go first, then the source's end."""
        longest = self._settings.max_source_tokens
        if not earlier:
            return self.shortened(source), ()
        n_system = int(earlier[0][0] == "system")
        kept = list(earlier[n_system:])
        lengths = [len(self._ids(text)) for _, text in kept]
        n_source = min(len(self._ids(source)), longest)
        while kept and n_source + sum(lengths) > longest:
            self._cut_sources.add(repr((earlier, source)))
            # A question goes with its answer, so that the turns still begin with the user's.
            n_gone = 2 if len(kept) > 1 and kept[1][0] == "assistant" else 1
            del kept[:n_gone], lengths[:n_gone]
        return self.shortened(source), [*earlier[:n_system], *kept]

    def _written(self, turns: Turns) -> str:
        """The turns in the template, checked to say what was said.

        Raises:
            DataError: the template refuses the turns, or changes more than the white space around a text.
        """
        written = self._apply(turns, True)
        marks = {"user": _USER, "system": _SYSTEM}
        marked = [
            (role, f"{marks[role]}{i}." if role in marks else text) for i, (role, text) in enumerate(turns)
        ]
        rest, place = self._apply(marked, True), 0
        for (role, text), (_, mark) in zip(turns, marked, strict=True):
            if role not in marks:
                continue
            before, found, rest = rest.partition(mark)
            place = place + len(before) if found and written.startswith(before, place) else -1
            forms = (text, text.strip(), text.lstrip(), text.rstrip())
            # What follows tells how much of the white space around the text the template kept.
            fitting = [form for form in forms if place >= 0 and written.startswith(form, place)]
            fitting = [form for form in fitting if _goes_on(written[place + len(form) :], rest)]
            if not fitting:
                who = "the system turn" if role == "system" else "what the user said"
                raise DataError(
                    f"chat template of {self._name}",
                    f"{who} rewritten or left out ({text[:60]!r})",
                    "a template that keeps every text as it is",
                    "set task.chat=false"
                    + (", or leave task.system out" if role == "system" else ", or take the text out"),
                )
            place += len(fitting[0])
        return written

    def _around_answers(self) -> tuple[str, str | None]:
        """The white space before an answer, and the special token that ends it if there is one.

        Raises:
            ConfigError: a template that cannot write a question and an answer.
        """
        asked, answered = ("user", _USER), ("assistant", _ASSISTANT)
        try:
            whole, question = self._apply([asked, answered], False), self._apply([asked], True)
            if self._settings.system is not None:
                self._written([("system", self._settings.system), asked])
        except SoftpromptError as error:
            raise ConfigError("task.chat", str(error)) from None
        before, found, behind = whole.rpartition(_ASSISTANT)
        if not found or _USER not in question:
            raise ConfigError(
                "task.chat",
                f"a chat template of {self._name} that does not write what is said",
                "a template that keeps every text as it is",
                "set task.chat=false",
            )
        lead = before.removeprefix(question) if before.startswith(question) else ""
        added = {*self._tokenizer.all_special_ids, *self._tokenizer.added_tokens_decoder}
        ends = [token for token in self._ids(behind) if token in added]
        end = self._tokenizer.convert_ids_to_tokens(ends[0]) if ends else None
        return lead if lead.isspace() else "", end

    def _apply(self, turns: Turns, ask: bool) -> str:
        """The text of the turns in the template, with the beginning of an answer if `ask`."""
        messages = [{"role": role, "content": text} for role, text in turns]
        try:
            return self._tokenizer.apply_chat_template(messages, add_generation_prompt=ask, tokenize=False)
        except Exception as error:
            # A template is a program of its authors', and may raise anything.
            roles = ", ".join(role for role, _ in turns)
            raise DataError(
                f"chat template of {self._name}",
                f"the turns {roles}, which it refuses: {in_its_words(error)}",
                "turns that it takes",
                "set task.chat=false" + (", or leave task.system out" if roles.startswith("system") else ""),
            ) from None


def _goes_on(written: str, rest: str) -> bool:
    """Whether a written text goes on as a marked one up to its next mark."""
    ends = [place for mark in (_USER, _SYSTEM) if (place := rest.find(mark)) >= 0]
    return written.startswith(rest[: min(ends)]) if ends else written == rest


def has_chat(tokenizer: Any) -> bool:
    """Whether a tokenizer has a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))
