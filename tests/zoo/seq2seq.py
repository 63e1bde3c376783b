"""What an encoder-decoder gives under a prompt, against the same written with plain transformers calls.

Models of the same tables that have no encoder of texts beside a decoder are called like causal ones.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from zoo import causal
from zoo.causal import padded, rows_of_text
from zoo.comparison import TOLERANCE, Wrong, equal, noise
from zoo.configurations import VOCAB
from zoo.outcomes import Kind
from zoo.seq2seq_inputs import sounds
from zoo.seq2seq_references import PrefixByHand, ShiftedByHand, SoftByHand

Reference = SoftByHand | PrefixByHand
LENGTHS = (5, 3)
GREEDY: dict[str, Any] = {
    "max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True,
    "output_logits": True, "output_scores": True, "use_cache": True,
}  # fmt: skip
SITES = ("encoder", "decoder", "cross")


def soft(backbone: Backbone, length: int, seed: int) -> Prompt:
    return noise(softprompt.prompt_tuning(backbone, length, initialization="random"), seed)


def prefix_in(site: str, **options: Any) -> Callable[[Backbone, int, int], Prompt]:
    def make(backbone: Backbone, length: int, seed: int) -> Prompt:
        prompt = softprompt.prefix_tuning(
            backbone, length, sites=[site], initialization="random", reparameterization=None, **options
        )
        return noise(prompt, seed)

    return make


METHODS: dict[str, tuple[Callable[[Backbone, int, int], Prompt], type[Reference]]] = {
    "soft tokens": (soft, SoftByHand),
    **{f"prefix, {site}": (prefix_in(site, positions="unshifted"), PrefixByHand) for site in SITES},
    "prefix, decoder, shifted": (prefix_in("decoder", positions="shifted"), ShiftedByHand),
}


def bare(model: PreTrainedModel) -> Tensor:
    """Logits of one text, or of a sound."""
    if not model.config.is_encoder_decoder:
        return causal.KIND.bare(model)
    return model(**read_by(model, rows_of_text()[:1]), decoder_input_ids=written()[0][None]).logits


def written() -> list[Tensor]:
    """Three decoder's texts of different lengths, `[seq]` each."""
    generator = torch.Generator().manual_seed(4)
    return [torch.randint(6, VOCAB, (length,), generator=generator) for length in (6, 3, 5)]


def read_by(model: PreTrainedModel, texts: list[Tensor], side: str = "right") -> dict[str, Tensor]:
    """What the encoder reads: texts of any lengths, padded; sounds in their place, of one length."""
    found = sounds(model, [len(text) for text in texts])
    if found is not None:
        return found
    ids, mask, _ = padded(texts, side)
    return {"input_ids": ids, "attention_mask": mask}


def check(model: PreTrainedModel, backbone: Backbone, method: str) -> list[str]:
    """Compares all ways of a call with the reference; gives what could not be compared.

    Raises:
        Wrong: naming the first way that differs, and by how much.
    """
    if not model.config.is_encoder_decoder:
        names = {
            "soft tokens": "soft tokens",
            "prefix, decoder": "prefix",
            "prefix, decoder, shifted": "prefix",
        }
        name = names.get(method)
        if name is not None:
            return causal.check(model, backbone, name)
    return Comparison(model, backbone, method).run()


class Comparison:
    """One method on one model.

    Args:
        model: the model.
        backbone: it again.
        method: a key of `METHODS`.
    """

    def __init__(self, model: PreTrainedModel, backbone: Backbone, method: str):
        make, self.by_hand = METHODS[method]
        self.model, self.backbone, self.plain = model, backbone, copy.deepcopy(model)
        self.one, self.other = make(backbone, LENGTHS[0], 1), make(backbone, LENGTHS[1], 2)
        self.rows = list(zip(rows_of_text(), written(), strict=True))
        self.notes: list[str] = []
        takes = "use_cache" in inspect.signature(model.forward).parameters
        self.uncached = {"use_cache": False} if takes else {}  # FSMT is causal only so

    def run(self) -> list[str]:
        """Every way of a call."""
        with torch.no_grad():
            bare = [self._logits(self.plain, *row) for row in self.rows]
            with self.backbone.prompted(self.one):  # refusals come before anything is compared
                self._logits(self.model, *self.rows[0])
            try:
                by_hand = self.by_hand(self.plain, self.one)
                wanted = [self._by_hand(by_hand, *row).logits[0] for row in self.rows]
            except Exception as error:
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
                raise Wrong(f"no reference: {reason}") from error
            other = self._by_hand(self.by_hand(self.plain, self.other), *self.rows[1]).logits[0]
            if (wanted[0] - bare[0]).abs().max() < 1e-4:
                raise Wrong("the prompt has no effect")
            for row, expected in zip(self.rows, wanted, strict=True):
                with self.backbone.prompted(self.one):
                    equal("one row", self._logits(self.model, *row), expected)
            for side, side_written in (("right", "right"), ("left", "right"), ("right", "left")):
                self._padded(side, side_written, wanted, other, bare)
            self._outputs(by_hand)
            self._generated(by_hand)
        self._gradients()
        with torch.no_grad():
            equal("the bare model afterwards", self._logits(self.model, *self.rows[0]), bare[0])
        return self.notes

    def _logits(self, model: PreTrainedModel, text: Tensor, answer: Tensor) -> Tensor:
        options = {"decoder_input_ids": answer[None], **self.uncached}
        return model(**read_by(model, [text]), **options).logits[0]

    def _by_hand(self, by_hand: Reference, text: Tensor, answer: Tensor, **options: Any) -> Any:
        given = {
            name: value for name, value in read_by(self.plain, [text]).items() if name != "attention_mask"
        }
        options = {"decoder_input_ids": answer[None], **self.uncached} | options
        return by_hand(**given, **options)

    def _padded(
        self, side: str, side_written: str, wanted: list[Tensor], other: Tensor, bare: list[Tensor]
    ) -> None:
        read = read_by(self.model, [text for text, _ in self.rows], side)
        ids, mask, spans = padded([answer for _, answer in self.rows], side_written)
        given = {**read, **self.uncached, "decoder_input_ids": ids, "decoder_attention_mask": mask}
        what = f"padded {side}" if side_written == "right" else f"decoder padded {side_written}"
        out = self.plain(**given).logits
        drift = max(float((out[i, span] - bare[i]).abs().max()) for i, span in enumerate(spans))
        if not drift <= TOLERANCE:
            self.notes.append(f"{what} differs without a prompt")
        with self.backbone.prompted(self.one):
            together = self.model(**given).logits
        with self.backbone.prompted([self.one, self.other, None], rows=[0, 1, 2]):
            mixed = self.model(**given).logits
        if drift <= TOLERANCE:
            for i, span in enumerate(spans):
                equal(what, together[i, span], wanted[i])
            for i, expected in enumerate((wanted[0], other, bare[2])):
                equal(f"mixed, {what}", mixed[i, spans[i]], expected)

    def _outputs(self, by_hand: Reference) -> None:
        """Losses of labels, and states of the text's own length."""
        text, answer = self.rows[0]
        given, options = read_by(self.model, [text]), {"decoder_input_ids": None, "labels": answer[None]}
        try:
            plain = self.plain(**given, **options, output_hidden_states=True)
        except Exception as error:
            self.notes.append(f"takes no labels alone: {type(error).__name__}")
            options["decoder_input_ids"] = answer[None]
            plain = self.plain(**given, **options, output_hidden_states=True)
        expected = self._by_hand(by_hand, text, answer, **options)
        with self.backbone.prompted(self.one):
            came = self.model(**given, **options, output_hidden_states=True)
        equal("loss", came.loss, expected.loss)
        states = expected.encoder_last_hidden_state
        if states is not None:
            states = by_hand.cut(states)
            equal("encoder_last_hidden_state", came.encoder_last_hidden_state, states)
        for name in ("encoder_hidden_states", "decoder_hidden_states"):
            if _shapes(came.get(name)) != _shapes(plain.get(name)):
                raise Wrong(f"{name} are not of the text's own length")
        self._weights(given, answer)

    def _weights(self, given: dict[str, Tensor], answer: Tensor) -> None:
        """Attention weights have the text's own queries."""
        asked = {**given, "decoder_input_ids": answer[None], "output_attentions": True}
        plain = self.plain(**asked)
        with self.backbone.prompted(self.one):
            came = self.model(**asked)
        for name in ("encoder_attentions", "decoder_attentions", "cross_attentions"):
            if _queries(came.get(name)) != _queries(plain.get(name)):
                raise Wrong(f"{name} are not of the text's own queries")

    def _generated(self, by_hand: Reference) -> None:
        """What `generate` gives with a cache, greedily and by beams, equals what the reference gives."""
        text = self.rows[0][0]
        given = read_by(self.model, [text])
        try:
            bare = self.plain.generate(**given, **GREEDY)  # type: ignore[operator]
            self.plain.generate(**given, **GREEDY, num_beams=2)  # type: ignore[operator]
        except Exception as error:
            self.notes.append(f"does not generate: {type(error).__name__}")
            return
        if self.by_hand is ShiftedByHand:
            self._steps(bare, by_hand, text)
            return
        for name, further in (("greedy", {}), ("beams", {"num_beams": 2})):
            with self.backbone.prompted(self.one):
                out = self.model.generate(**given, **GREEDY, **further)  # type: ignore[operator]
            read = {key: value for key, value in given.items() if key != "attention_mask"}
            expected = by_hand.generate(**read, **GREEDY, **further)
            if not torch.equal(out.sequences, expected.sequences):
                raise Wrong(f"{name}: other tokens than the reference's")
            for step, (one, other) in enumerate(zip(out.scores, expected.scores, strict=True)):
                seen = torch.isfinite(other)  # the end of the text is forbidden
                equal(f"{name}, scores of token {step}", one[seen], other[seen])

    def _steps(self, bare: Any, by_hand: Reference, text: Tensor) -> None:
        """Greedy scores equal uncached logits of the text so far."""
        drift = self._drift(bare, lambda written: self._logits(self.plain, text, written))
        if not drift <= TOLERANCE:
            self.notes.append(f"cached differs from uncached without a prompt by {drift:.0e}")
            return
        with self.backbone.prompted(self.one):
            out = self.model.generate(**read_by(self.model, [text]), **GREEDY)  # type: ignore[operator]
        gap = self._drift(out, lambda written: self._by_hand(by_hand, text, written).logits[0])
        if not gap <= TOLERANCE:
            raise Wrong(f"cached differs by {gap:.0e}")

    @staticmethod
    def _drift(out: Any, uncached: Callable[[Tensor], Tensor]) -> float:
        first = out.sequences.shape[1] - len(out.logits)
        gaps = []
        for step, scores in enumerate(out.logits):
            expected = uncached(out.sequences[0, : first + step])[-1]
            gaps.append(float((scores[0] - expected).abs().max() / max(1.0, float(expected.abs().max()))))
        return max(gaps)

    def _gradients(self) -> None:
        """The prompt's gradients equal those of the reference."""
        parameters = [p for p in self.one.parameters() if p.requires_grad]

        def gradients(logits: Tensor) -> list[Tensor]:
            loss = logits.float().log_softmax(-1)[..., 7].mean()
            return list(torch.autograd.grad(loss, parameters))

        by_hand = self.by_hand(self.plain, self.one)
        expected = gradients(self._by_hand(by_hand, *self.rows[0]).logits[0])
        with self.backbone.prompted(self.one):
            came = gradients(self._logits(self.model, *self.rows[0]))
        for one, other in zip(came, expected, strict=True):
            gap = float((one - other).abs().max() / other.abs().max())
            if not gap <= 1e-3:
                raise Wrong(f"gradients differ by {gap:.0e} of the largest")


def _shapes(states: Any) -> list[tuple[int, ...]]:
    """Of every layer's states; Pegasus-X gives its global tokens beside them."""
    return [tuple((state if isinstance(state, Tensor) else state[0]).shape) for state in states or ()]


def _queries(weights: Any) -> list[tuple[int, ...]]:
    """Rows, heads and queries of every layer's weights, where they are one table for each head."""
    return [tuple(one.shape[:3]) for one in weights or () if isinstance(one, Tensor) and one.ndim == 4]


KIND = Kind(
    classes={
        **MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        **{
            name if name not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES else f"{name}, of speech": model
            for name, model in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES.items()
            if model != MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.get(name)
        },
    },
    methods=tuple(METHODS),
    sample=("bart", "encoder-decoder", "led", "m2m_100", "t5", "whisper"),
    bare=bare,
    check=check,
)
