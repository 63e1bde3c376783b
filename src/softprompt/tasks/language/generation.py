"""Generation: a source text in, a target text out."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from softprompt.data import Conversation, PicturedText, Record
from softprompt.errors import (
    BackboneError,
    ConfigError,
    DataError,
    SoftpromptError,
    counted,
    shortened,
    with_article,
)
from softprompt.tasks.base import Task
from softprompt.tasks.batching import longest_first, pad
from softprompt.tasks.examples import IGNORED, Example, ScoreRow, drawn
from softprompt.tasks.language.chat import ChatForm
from softprompt.tasks.language.decoding import check_decoding, generate_arguments, newline_tokens, seeded
from softprompt.tasks.language.encoding import DecoderForm, TemplateForm
from softprompt.tasks.language.forms import form_of
from softprompt.tasks.language.pictured import PicturedExample, PicturedSources, check_pictures
from softprompt.tasks.language.text_scores import score_texts
from softprompt.text import Template

_MOST_TRIED = 1000
"""References that are tried out on the tokenizer."""

UNKNOWN_LIMIT = 100
"""Longest answer in tokens where neither a setting nor training targets say one."""


class GenerationTask(Task):
    """Learn and decode `source -> target` with a decoder or an encoder-decoder.

    Source:
        Prefix-Tuning (2101.00190) §3.1 and its released code: labels are the target and the end token
        only, and begin behind the separator. Deviations: no space before the source and before the
        end token, and a target that was cut has no end token.

    Raises:
        ConfigError: settings that contradict each other or the backbone.
        BackboneError: the tokenizer has no end token.
    """

    def _set_up(self) -> None:
        super()._set_up()
        backbone, settings = self.backbone, self.settings
        check_decoding(self.decoding)
        self._is_encoder_decoder = backbone.spec.is_encoder_decoder
        self._form = form_of(backbone, settings)
        padding: Any = backbone.tokenizer.pad_token_id
        # Padding is masked everywhere, so that any token will do for a tokenizer without a padding token.
        self._pad: int = self._form.eos if padding is None else padding

    @property
    def template(self) -> Template | None:
        """The words and slots around the source, if the settings have a template."""
        return self._form.template if isinstance(self._form, TemplateForm) else None

    @property
    def resolved(self) -> dict[str, Any]:
        """The form of the texts, which the recipe may have left to the tokenizer."""
        form = self._form
        made: dict[str, Any] = {"chat": isinstance(form, ChatForm)}
        made["end"] = self.backbone.tokenizer.convert_ids_to_tokens(form.eos)
        if type(form) is DecoderForm:
            made["bos"] = bool(form.beginning)
        return made

    @property
    def form_note(self) -> str:
        """That a chat was chosen by itself."""
        if self.settings.chat != "auto" or not isinstance(self._form, ChatForm):
            return ""
        return "texts are turns of a chat in the backbone's own template (task.chat=false: plain texts)"

    def settle(self, records: Sequence[Any]) -> None:
        """Limit answers to the longest target of these training records, unless the settings have a limit.

        Raises:
            ConfigError: `decoding.min_new_tokens` is more.
        """
        if self.decoding.max_new_tokens is not None:
            return
        targets = dict.fromkeys(target for record in records for target in record.targets)
        longest = max((len(self._form.target(target)) for target in targets), default=UNKNOWN_LIMIT)
        self.decoding = self.decoding.model_copy(update={"max_new_tokens": longest})
        check_decoding(self.decoding)

    @property
    def most_written(self) -> int:
        """Tokens after which an answer is cut."""
        return self.decoding.max_new_tokens or UNKNOWN_LIMIT

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        return tuple(self._form.ends)

    @property
    def cut_note(self) -> str:
        """How many sources and targets were cut so far."""
        return self._form.cut_note

    def answer_note(self, n: int) -> str:
        """That so many answers were cut, and by what."""
        were = "1 answer was" if n == 1 else f"{n} answers were"
        note = f"{were} cut at {counted(self.most_written, 'token')}, before an end (decoding.max_new_tokens)"
        return note if n else ""

    @property
    def n_cut(self) -> int:
        """Sources and targets that were longer than the settings allow, and were cut, so far."""
        return self._form.n_cut

    def encode(self, record: Record) -> Example:
        """The token ids of one (source, target) pair.

        Raises:
            DataError: a record with several targets or none (`softprompt.data.pairs` splits records).
        """
        if len(record.targets) != 1:
            raise DataError(
                f"record {record.id}",
                counted(len(record.targets), "target"),
                "one (source, target) pair to train on",
                "split the records with softprompt.data.records.pairs",
            )
        context, target = self.context(record), self._form.target(record.targets[0])
        if self._is_encoder_decoder:
            return Example(record.id, tuple(context), tuple(target), len(context) + len(target), len(target))
        ids = (*context, *target)
        # The first token of a sequence is predicted from nothing, so it cannot be a label.
        n_unlabelled = max(len(context), 1)
        labels = (IGNORED,) * n_unlabelled + ids[n_unlabelled:]
        if isinstance(record, PicturedText):
            return PicturedExample(record.id, ids, labels, len(ids), len(ids) - n_unlabelled, record=record)
        return Example(record.id, ids, labels, len(ids), len(ids) - n_unlabelled)

    def context(self, record: Record) -> list[int]:
        """The tokens before the target, as the prompt reads the record's source."""
        if isinstance(record, PicturedText):
            return self._pictured.context(record)
        try:
            return self._form.context(record.source, _earlier(record))
        except SoftpromptError as error:
            raise error.inside(f"record {record.id}") from None

    @cached_property
    def _pictured(self) -> PicturedSources:
        assert isinstance(self._form, DecoderForm)
        return PicturedSources(self.backbone, self._form)

    def _beside(
        self, records: Sequence[Any], n_written: Sequence[int], ids: torch.Tensor, mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """What a batch needs beside its token ids: the pictures of its records."""
        if not any(isinstance(record, PicturedText) for record in records):
            return {}
        return self._pictured.beside(records, n_written, ids, mask)

    def check(self, records: Sequence[Any], labelled: bool = True) -> None:
        """As every task; of records with pictures, each picture and text is read once."""
        super().check(records, labelled)
        check_pictures(records, self.backbone, self._form)

    def loss(self, examples: Sequence[Example]) -> torch.Tensor:
        """Summed negative log-likelihood of the labelled tokens; the call belongs inside `backbone.prompted`.

        Returns:
            A float32 scalar, differentiable.
        """
        return self.losses(examples).sum()

    def losses(self, examples: Sequence[Example]) -> torch.Tensor:
        """As `loss`, by example: `[example]`."""
        device = self.backbone.device
        ids, mask = pad([example.input_ids for example in examples], self._pad, "right", device)
        labels, _ = pad([example.labels for example in examples], IGNORED, "right", device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        pictured = [example.record for example in examples if isinstance(example, PicturedExample)]
        inputs |= self._beside(pictured, [example.n_targets for example in examples], ids, mask)
        if self._is_encoder_decoder:
            labelled = labels != IGNORED
            inputs["decoder_input_ids"] = self._decoder_inputs(labels)
        else:
            labelled = torch.zeros_like(labels, dtype=torch.bool)
            # The output at a position predicts the next token.
            labelled[:, :-1] = labels[:, 1:] != IGNORED
        is_target = labels != IGNORED
        by_token = self.backbone.labelled_losses(inputs, labelled, labels[is_target])
        owner = torch.arange(len(examples), device=device)[:, None].expand_as(labels)[is_target]
        return by_token.new_zeros(len(examples)).index_add(0, owner, by_token)

    @torch.no_grad()
    def predict(
        self, records: Sequence[Record], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[str]:
        """Write one output per record, in their order; the call belongs inside `backbone.prompted`.

        Args:
            records: with the sources; their targets are not used.
            progress: called after every batch with the number of records in it.
            seed: of the draws with the strategy `sample`.

        Raises:
            DataError: a record without a token to start from.
        """
        contexts = [self.context(record) for record in records]
        for record, context in zip(records, contexts, strict=True):
            if not context:
                raise DataError(
                    f"record {record.id}", "an empty source", "a text or a separator to start from"
                )
        device = self.backbone.device
        side = "right" if self._is_encoder_decoder else "left"
        limit, ends, cut = self.most_written, self._form.ends, list[int]()
        arguments = generate_arguments(self.decoding, limit, ends, self._pad, self._banned)
        generate: Any = self.backbone.model.generate
        outputs = [""] * len(records)
        with seeded(seed, device):
            for batch in longest_first([len(context) for context in contexts], self.decoding.batch_size):
                ids, mask = pad([contexts[i] for i in batch], self._pad, side, device)
                beside = self._beside([records[i] for i in batch], [0] * len(batch), ids, mask)
                written = generate(input_ids=ids, attention_mask=mask, **beside, **arguments)
                # A decoder's output begins with its input, an encoder-decoder's with a start token.
                written = written[:, 1 if self._is_encoder_decoder else ids.shape[1] :]
                for i, row in zip(batch, written.tolist(), strict=True):
                    outputs[i] = self._form.text(row)
                    if len(row) >= limit and not set(ends) & set(row):
                        cut.append(i)
                if progress is not None:
                    progress(len(batch))
        self.cut_answers = tuple(sorted(cut))
        return outputs

    def demonstrations(self, records: Sequence[Record], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` whole examples drawn by `seed`, each as training shows it.

        Raises:
            DataError: there are fewer than `k` records.
        """
        if any(isinstance(record, PicturedText) for record in records):
            return super().demonstrations(records, k, seed)
        chosen, draw = drawn(records, k, seed)
        return [self.context(record) + self._form.target(draw.choice(record.targets)) for record in chosen]

    def score(
        self, records: Sequence[Record], outputs: Sequence[str], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """As `score_texts`, with a note where this tokenizer cannot write the references as they are."""
        rows = score_texts(records, outputs, metrics, self.settings.language)
        golds = list(dict.fromkeys(record.targets[0] for record in records if record.targets))
        if changed := self._form.changed(golds[:_MOST_TRIED]):
            text, written = (shortened(side, 40) for side in changed[0])
            note = (
                f"{len(changed)} of {len(golds[:_MOST_TRIED])} references cannot be written by the tokenizer "
                f"of {self.backbone.spec.name}: {text!r} becomes {written!r}"
            )
            rows[-1]["notes"].append(note)
        return rows

    def check_positions(self, records: Sequence[Record], prompt_positions: int, training: bool) -> None:
        """Refuse texts that, with the prompt, need more positions than the backbone has.

        Args:
            records: every one that will be read.
            prompt_positions: positions that the prompt takes up (0 where it shifts nothing).
            training: whether the targets are read (training), or new tokens are written (decoding).

        Raises:
            ConfigError: the longest does not fit.
        """
        limit = self.backbone.spec.max_positions
        if limit is None:
            return
        # The texts cut here are not to be counted in `n_cut`, so that the task's own form is not used.
        form = form_of(self.backbone, self.settings)
        most_read = form.longest_context
        most_written = self.settings.max_target_tokens + len(form.target(""))
        most_written = most_written if training else self.most_written
        # If even the longest texts fit, nothing needs to be tokenised.
        pictured = any(isinstance(record, PicturedText) for record in records)
        known = None if pictured else most_read
        if known is not None and prompt_positions + known + most_written <= limit:
            return
        for record in records:
            n_read = len(self.context(record) if pictured else form.context(record.source, _earlier(record)))
            n_written = self.most_written
            if training:
                n_written = max(len(form.target(target)) for target in record.targets)
            n_text = max(n_read, n_written) if self._is_encoder_decoder else n_read + n_written
            if prompt_positions + n_text > limit:
                written = "target tokens" if training else "new tokens"
                setting = "task.max_target_tokens" if training else "decoding.max_new_tokens"
                raise ConfigError(
                    f"record {record.id}",
                    f"{prompt_positions} prompt positions, {n_read} source tokens and {n_written} {written}",
                    f"at most {counted(limit, 'position')} together ({self.backbone.spec.name} has no more)",
                    f"lower task.max_source_tokens, {setting} or the prompt's length",
                )

    @cached_property
    def _banned(self) -> list[int]:
        if not self.decoding.ban_newlines:
            return []
        return newline_tokens(self.backbone.tokenizer, self.backbone.spec.vocab, self._form.ends)

    def _decoder_inputs(self, labels: torch.Tensor) -> torch.Tensor:
        shift = getattr(self.backbone.model, "prepare_decoder_input_ids_from_labels", None)
        if shift is None:
            raise BackboneError(
                f"backbone {self.backbone.spec.name}",
                with_article(type(self.backbone.model).__name__),
                "an encoder-decoder that makes decoder inputs from labels",
                "use a model that transformers loads for conditional generation",
            )
        return shift(labels=labels)


def _earlier(record: Any) -> tuple[tuple[str, str], ...]:
    return record.earlier if isinstance(record, Conversation) else ()
