"""Token ids of a source and a target, in a form for decoders and a form for encoder-decoders."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from softprompt.config import GenerationSettings
from softprompt.errors import ConfigError, DataError, counted
from softprompt.tasks.language.special_tokens import end_token, own_beginning
from softprompt.text import Template, spaces_characters, without_spaces

Turns = Sequence[tuple[str, str]]
"""Turns of a chat, each (role, text)."""


class PairForm(ABC):
    """The token ids of sources and targets, with a count of the texts that were cut.

    Args:
        tokenizer: of the backbone.
        settings: separator and longest texts.
        name: of the backbone, for messages.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        self._tokenizer = tokenizer
        self._settings = settings
        self._cut_sources: set[str] = set()
        self._cut_targets: set[str] = set()
        self.eos = end_token(tokenizer, name, settings.end)

    @abstractmethod
    def context(self, source: str, earlier: Turns = ()) -> list[int]:
        """The tokens before the target.

        Args:
            source: the text, of a chat the user's last turn.
            earlier: the turns before it.

        Raises:
            DataError: earlier turns in a form without turns, or turns that a chat template refuses.
        """

    @property
    def longest_context(self) -> int | None:
        """The largest number of tokens that `context` can give; None where only the texts tell."""
        return self._settings.max_source_tokens + len(self.context(""))

    @abstractmethod
    def target(self, text: str) -> list[int]:
        """The tokens of a target, with the end token unless the text was cut."""

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens at which an answer ends, of which `eos` is the first."""
        return (self.eos,)

    @property
    def n_cut_sources(self) -> int:
        """Sources that were too long; one that is read several times counts once."""
        return len(self._cut_sources)

    @property
    def n_cut_targets(self) -> int:
        """Targets that were too long, counted alike."""
        return len(self._cut_targets)

    @property
    def n_cut(self) -> int:
        """Sources and targets that were too long."""
        return self.n_cut_sources + self.n_cut_targets

    @property
    def cut_note(self) -> str:
        """How many sources and targets were cut so far, a sentence; empty where none was."""
        parts = [
            f"{counted(n, what)} to {counted(longest, 'token')} (task.max_{what}_tokens)"
            for n, what, longest in (
                (self.n_cut_sources, "source", self._settings.max_source_tokens),
                (self.n_cut_targets, "target", self._settings.max_target_tokens),
            )
            if n
        ]
        return f"cut {' and '.join(parts)}" if parts else ""

    def text(self, ids: list[int]) -> str:
        """The text of tokens up to the first that ends an answer, without special tokens."""
        ids = ids[: next((place for place, token in enumerate(ids) if token in self.ends), len(ids))]
        text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return (without_spaces(text) if self._spaced else text).strip()

    @cached_property
    def _spaced(self) -> bool:
        """Whether decoding puts spaces between Chinese characters (BERT's tokenizers)."""
        return spaces_characters(self._tokenizer)

    def changed(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Texts that this tokenizer cannot write, beside what it makes of them, apart from spaces."""
        found = []
        for text in texts:
            ids = list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            written = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            if "".join(written.split()) != "".join(text.split()):
                found.append((text, written))
        return found

    def shortened(self, source: str, longest: int | None = None) -> str:
        """A source without the characters that no token of the longest source holds; counted if cut.

        Args:
            source: the text.
            longest: of its tokens; None is `max_source_tokens`.
        """
        longest = self._settings.max_source_tokens if longest is None else longest
        ids = self._ids(source)
        if len(ids) <= longest:
            return source
        self._cut_sources.add(source)
        if not self._tokenizer.is_fast:
            return self._tokenizer.decode(ids[:longest], clean_up_tokenization_spaces=False)
        made = self._tokenizer(source, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return source[: made["offset_mapping"][longest - 1][1]] if longest else ""

    def _ids(self, text: str) -> list[int]:
        # `verbose`, since transformers would warn of a length that is cut or checked here.
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _target(self, text: str) -> list[int]:
        """The tokens of a text and the end token."""
        ids, longest = self._ids(text), self._settings.max_target_tokens
        if len(ids) <= longest:
            return [*ids, self.eos]
        self._cut_targets.add(text)
        # An end token behind a cut text would train the prompt to stop in the middle of a sentence.
        return ids[:longest]


class DecoderForm(PairForm):
    """`beginning · source · separator · target · end`, Prefix-Tuning's form for GPT-2.

    The beginning is what the tokenizer itself puts before a text: nothing for GPT-2, BOS for Llama and Gemma.
    The separator is the tokenizer's BOS unless the settings name a text, and a line break behind a beginning
    with BOS. A space precedes the target, so that
    the token of its first word is that of a word inside a sentence; a separator text that ends in white space
    needs no further space.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        super().__init__(tokenizer, settings, name)
        self.beginning = self._beginning_ids(name)
        self._separator = self._separator_ids()
        self._lead = self._leading_text()

    def context(self, source: str, earlier: Turns = ()) -> list[int]:
        """The source behind its beginning, and the separator."""
        refuse_turns(earlier)
        ids, longest = self._ids(source), self._settings.max_source_tokens
        if len(ids) > longest:
            self._cut_sources.add(source)
        return [*self.beginning, *ids[:longest], *self._separator]

    def target(self, text: str) -> list[int]:
        """The target behind its leading space, and the end token."""
        return self._target(self._lead + text.strip())

    @property
    def separator(self) -> list[int]:
        """The tokens between source and target."""
        return self._separator

    def _beginning_ids(self, name: str) -> list[int]:
        if self._settings.bos is False:
            return []
        own = own_beginning(self._tokenizer)
        if own or not self._settings.bos:
            return own
        if self._tokenizer.bos_token_id is None:
            got = f"true for {name}, whose tokenizer has no BOS token"
            raise ConfigError("task.bos", got, "a tokenizer with one", "leave task.bos out")
        return [self._tokenizer.bos_token_id]

    def _separator_ids(self) -> list[int]:
        if self._separator_text is not None:
            return self._ids(self._separator_text)
        for between in (self._tokenizer.bos_token_id, self._tokenizer.sep_token_id):
            if between is not None:
                return [between]
        raise ConfigError(
            "task.separator",
            "no separator for a tokenizer without a BOS token to stand in",
            "a text between source and target",
            "set one, e.g. task.separator=' ->'",
        )

    @property
    def _separator_text(self) -> str | None:
        """The text between source and target; None where it is a token."""
        # A model that learned that BOS begins a text reads nothing before a second one.
        begins = self._tokenizer.bos_token_id in self.beginning
        return "\n" if self._settings.separator is None and begins else self._settings.separator

    def _leading_text(self) -> str:
        separator = self._separator_text
        if separator is not None and separator[-1:].isspace():
            return ""
        # Some tokenizers put a space before every text; a second space would be one more token.
        twice = self._tokenizer.decode(self._ids("a") * 2, clean_up_tokenization_spaces=False)
        return "" if " " in twice.strip() else " "


class TemplateForm(DecoderForm):
    """`template with the source · target · end`, with the target in the template's blank.

    It begins as the tokenizer begins every text.

    Source: the infix of Prefix-Tuning (2101.00190) §7.3, trained vectors between source and target, is
    `{source} [soft*10] [blank]`. Of a text that is too long, the source is cut.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        assert settings.template is not None
        self.template = Template.parse(settings.template, "task.template")
        self.template.check(tokenizer, causal=True, where="task.template")
        super().__init__(tokenizer, settings, name)

    def context(self, source: str, earlier: Turns = ()) -> list[int]:
        """The template around the source."""
        refuse_turns(earlier)
        filled = self.template.encode(
            self._tokenizer,
            {"source": source},
            self._settings.max_source_tokens,
            causal=True,
            where="task.template",
        )
        if filled.n_cut:
            self._cut_sources.add(source)
        return list(filled.ids)

    @property
    def longest_context(self) -> int:
        """The limit of the settings, which holds for the template and the source together."""
        return self._settings.max_source_tokens

    def _beginning_ids(self, name: str) -> list[int]:
        return []

    def _separator_ids(self) -> list[int]:
        return []

    def _leading_text(self) -> str:
        return super()._leading_text() if self.template.spaced else ""


class EncoderDecoderForm(PairForm):
    """Source and target, each in the tokenizer's own form of a text, with the end token last."""

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        super().__init__(tokenizer, settings, name)
        for setting, got in (
            ("separator", None if settings.separator is None else repr(settings.separator)),
            ("chat", "true" if settings.chat is True else None),
            ("system", None if settings.system is None else repr(settings.system)),
            ("bos", "true" if settings.bos else None),
        ):
            if got is not None:
                raise ConfigError(
                    f"task.{setting}",
                    got,
                    f"no {setting}, since {name} has the source in its encoder and the target in its decoder",
                    f"leave task.{setting} out",
                )

    def context(self, source: str, earlier: Turns = ()) -> list[int]:
        """The tokens of the source, for the encoder."""
        refuse_turns(earlier)
        ids, cut = self._encoded(source, self._settings.max_source_tokens)
        if cut:
            self._cut_sources.add(source)
        return ids

    def target(self, text: str) -> list[int]:
        """The tokens of the target, for the decoder."""
        ids, cut = self._encoded(text.strip(), self._settings.max_target_tokens)
        if cut:
            self._cut_targets.add(text)
        return ids[:-1] if cut else ids

    def _encoded(self, text: str, longest: int) -> tuple[list[int], bool]:
        ids = list(self._tokenizer(text, verbose=False)["input_ids"])
        limit = longest + self._tokenizer.num_special_tokens_to_add()
        cut = len(ids) > limit
        if cut:
            made = self._tokenizer(text, truncation=True, max_length=limit, verbose=False)
            ids = list(made["input_ids"])
        return (ids if ids and ids[-1] == self.eos else [*ids, self.eos]), cut


def refuse_turns(earlier: Turns) -> None:
    """Refuse earlier turns in a form that has none.

    Raises:
        DataError: there are some.
    """
    if earlier:
        raise DataError(
            "earlier turns",
            f"{len(earlier)} before the last question, for a backbone or a setting without a chat template",
            "a backbone with a chat template, or records of one question and one answer",
            "use an instruct model, set task.chat=true, or take the earlier turns out of the data",
        )
