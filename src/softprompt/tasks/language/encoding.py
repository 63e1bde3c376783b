"""Token ids of a source and a target, in a form for decoders and a form for encoder-decoders."""

from abc import ABC, abstractmethod
from typing import Any

from softprompt.config import GenerationSettings
from softprompt.errors import BackboneError, ConfigError
from softprompt.text import Template


class PairForm(ABC):
    """The token ids of sources and targets, with a count of the texts that were cut.

    Args:
        tokenizer: of the backbone.
        settings: separator and longest texts.
        name: of the backbone, for messages.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        self.n_cut = 0
        self._tokenizer = tokenizer
        self._settings = settings
        self.eos = end_token(tokenizer, name)

    @abstractmethod
    def context(self, source: str) -> list[int]:
        """The tokens before the target."""

    @property
    def longest_context(self) -> int:
        """The largest number of tokens that `context` can give."""
        return self._settings.max_source_tokens + len(self.context(""))

    @abstractmethod
    def target(self, text: str) -> list[int]:
        """The tokens of a target, with the end token unless the text was cut."""

    def text(self, ids: list[int]) -> str:
        """The text of tokens up to the end token, without special tokens."""
        ids = ids[: ids.index(self.eos)] if self.eos in ids else ids
        text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()


class DecoderForm(PairForm):
    """`source · separator · target · end`, Prefix-Tuning's form for GPT-2.

    The separator is the tokenizer's BOS unless the settings name a text. A space precedes the target, so that
    the token of its first word is that of a word inside a sentence; a separator text that ends in white space
    needs no further space.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        super().__init__(tokenizer, settings, name)
        self._shortened: set[str] = set()
        self._separator = self._separator_ids()
        self._lead = self._leading_text()

    def context(self, source: str) -> list[int]:
        """The source and the separator."""
        return self._cut(self._ids(source), self._settings.max_source_tokens)[0] + self._separator

    def target(self, text: str) -> list[int]:
        """The target behind its leading space, and the end token."""
        ids, cut = self._cut(self._ids(self._lead + text.strip()), self._settings.max_target_tokens)
        # An end token behind a cut text would train the prompt to stop in the middle of a sentence.
        return ids if cut else [*ids, self.eos]

    @property
    def separator(self) -> list[int]:
        """The tokens between source and target."""
        return self._separator

    def shortened(self, source: str) -> str:
        """A source without the characters that no token of `max_source_tokens` holds; counted if cut."""
        longest = self._settings.max_source_tokens
        ids = self._ids(source)
        if len(ids) <= longest:
            return source
        if source not in self._shortened:  # each is read several times
            self._shortened.add(source)
            self.n_cut += 1
        if not self._tokenizer.is_fast:
            return self._tokenizer.decode(ids[:longest], clean_up_tokenization_spaces=False)
        made = self._tokenizer(source, add_special_tokens=False, return_offsets_mapping=True)
        return source[: made["offset_mapping"][longest - 1][1]]

    def _cut(self, ids: list[int], longest: int) -> tuple[list[int], bool]:
        cut = len(ids) > longest
        self.n_cut += cut
        return ids[:longest], cut

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _separator_ids(self) -> list[int]:
        if self._settings.separator is not None:
            return self._ids(self._settings.separator)
        if self._tokenizer.bos_token_id is None:
            raise ConfigError(
                "task.separator",
                "no separator for a tokenizer without a BOS token to stand in",
                "a text between source and target",
                "set one, e.g. task.separator=' ->'",
            )
        return [self._tokenizer.bos_token_id]

    def _leading_text(self) -> str:
        separator = self._settings.separator
        if separator is not None and separator[-1:].isspace():
            return ""
        # Some tokenizers put a space before every text; a second space would be one more token.
        twice = self._tokenizer.decode(self._ids("a") * 2, clean_up_tokenization_spaces=False)
        return "" if " " in twice.strip() else " "


class TemplateForm(DecoderForm):
    """`template with the source · target · end`, with the target in the template's blank.

    Source: the infix of Prefix-Tuning (2101.00190) §7.3, trained vectors between source and target, is
    `{source} [soft*10] [blank]`. Of a text that is too long, the source is cut.
    """

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        assert settings.template is not None
        self.template = Template.parse(settings.template, "task.template")
        self.template.check(tokenizer, causal=True, where="task.template")
        super().__init__(tokenizer, settings, name)

    def context(self, source: str) -> list[int]:
        """The template around the source."""
        filled = self.template.encode(
            self._tokenizer,
            {"source": source},
            self._settings.max_source_tokens,
            causal=True,
            where="task.template",
        )
        self.n_cut += filled.n_cut > 0
        return list(filled.ids)

    @property
    def longest_context(self) -> int:
        """The limit of the settings, which holds for the template and the source together."""
        return self._settings.max_source_tokens

    def _separator_ids(self) -> list[int]:
        return []

    def _leading_text(self) -> str:
        return super()._leading_text() if self.template.spaced else ""


class EncoderDecoderForm(PairForm):
    """Source and target, each in the tokenizer's own form of a text, with the end token last."""

    def __init__(self, tokenizer: Any, settings: GenerationSettings, name: str):
        super().__init__(tokenizer, settings, name)
        if settings.separator is not None:
            raise ConfigError(
                "task.separator",
                repr(settings.separator),
                f"no separator, since {name} has the source in its encoder and the target in its decoder",
                "leave task.separator out",
            )

    def context(self, source: str) -> list[int]:
        """The tokens of the source, for the encoder."""
        return self._encoded(source, self._settings.max_source_tokens)[0]

    def target(self, text: str) -> list[int]:
        """The tokens of the target, for the decoder."""
        ids, cut = self._encoded(text.strip(), self._settings.max_target_tokens)
        return ids[:-1] if cut else ids

    def _encoded(self, text: str, longest: int) -> tuple[list[int], bool]:
        ids = list(self._tokenizer(text)["input_ids"])
        limit = longest + self._tokenizer.num_special_tokens_to_add()
        cut = len(ids) > limit
        if cut:
            self.n_cut += 1
            ids = list(self._tokenizer(text, truncation=True, max_length=limit)["input_ids"])
        return (ids if ids and ids[-1] == self.eos else [*ids, self.eos]), cut


def end_token(tokenizer: Any, name: str) -> int:
    """The end-of-sequence token of a tokenizer.

    Raises:
        BackboneError: a tokenizer without one.
    """
    if tokenizer.eos_token_id is None:
        raise BackboneError(
            f"backbone {name}",
            "a tokenizer without an end-of-sequence token",
            "a tokenizer with one, since every target ends with it",
            "set tokenizer.eos_token",
        )
    return tokenizer.eos_token_id
