"""What an encoder gives under a prompt, against the same written with plain transformers calls.

The reference never uses softprompt: soft tokens are embeddings in front of the text's own, a prefix is the
family's own attention whose keys and values begin with the prompt's. Both read one row at a time, without
padding. Compared are the model's own outputs, the states that `read` gives, and a prompt's head on them.
"""

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.errors import SoftpromptError
from softprompt.prompts.prompt import Prompt
from zoo.causal import padded, prefix, rows_of_text, soft
from zoo.comparison import TOLERANCE, Wrong, equal
from zoo.outcomes import Kind, reason_of
from zoo.prefixed import KeyValue, prefixed

SITES = ["encoder", "decoder", "cross"]
DECODED = torch.tensor([[2, 7, 8]])
"""What the decoder of an encoder-decoder reads."""


def masked_classes() -> dict[str, str | tuple[str, ...]]:
    """Every masked language model, and the encoders of texts that are none."""
    classes: dict[str, Any] = {**MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    for family, name in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES.items():
        if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in DECODERS:
            classes.setdefault(family, name)
    for family, name in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.items():
        if family in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
            classes[f"{family} (encoder)"] = name
    return classes | OTHERS


DECODERS = ("mistral4", "qwen3_asr")
"""Families whose models tag tokens, and read from left to right."""

OTHERS = {
    "altclip_text_model": "AltCLIPTextModel",
    "bert-generation (encoder)": "BertGenerationEncoder",
    "chinese_clip_text_model": "ChineseCLIPTextModel",
    "clip_text_model": "CLIPTextModel",
    "dpr": "DPRQuestionEncoder",
    "embedding_gemma2_text": "EmbeddingGemma2TextModel",
    "siglip_text_model": "SiglipTextModel",
    "splinter": "SplinterModel",
    "tipsv2_text_model": "Tipsv2TextModel",
    "visual_bert": "VisualBertModel",
    "xlnet": "XLNetForTokenClassification",
}
"""Encoders that no table of transformers names, or only under a decoder's name."""


# -- references by hand ----------------------------------------------------------------------------


def soft_by_hand(model: PreTrainedModel, prompt: Prompt, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs and states of a text behind soft tokens that are words of the vocabulary, `[seq, ...]`."""
    placed: Any = prompt()
    vectors = placed.vectors
    words = model.get_input_embeddings()(ids)
    words = words[0] if isinstance(words, tuple) else words  # I-BERT's table gives a scale beside
    given: dict[str, Any] = {"inputs_embeds": torch.cat([vectors, words])[None]}
    given["attention_mask"] = torch.ones(1, len(vectors) + len(ids)).long()
    boxes = _beside(model, ids[None])
    given |= {name: nn.functional.pad(box, (0, 0, len(vectors), 0)) for name, box in boxes.items()}
    outputs, states = _both(model, **given)
    if decodes(model):
        return outputs, states[len(vectors) :]
    return outputs[len(vectors) :], states[len(vectors) :]


def prefix_by_hand(model: PreTrainedModel, prompt: Prompt, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The same where the keys and values of every attention begin with the prompt's."""
    placed: Any = prompt()
    own = {
        (block.site, layer): (block.keys[i][None], block.values[i][None])
        for block in placed
        for i, layer in enumerate(block.layers)
    }
    shift = prompt.length if prompt.card.positions == "shifted" else 0
    given = _text(model, ids)
    with _numbered(model, len(ids), shift):
        with prefixed(model, _turns(own, ["encoder"] if decodes(model) else SITES), shift):
            states = _states(model, **given)[0]
        with prefixed(model, _turns(own, SITES), shift):
            return _outputs(model, **given)[0], states


def _text(model: PreTrainedModel, ids: Tensor) -> dict[str, Tensor]:
    """The inputs of a single text."""
    given = {"input_ids": ids[None], "attention_mask": torch.ones(1, len(ids)).long()}
    return given | _beside(model, ids[None])


def _beside(model: PreTrainedModel, ids: Tensor) -> dict[str, Tensor]:
    """What a family reads of each token beside its id: a box on a page."""
    if "bbox" not in inspect.signature(model.forward).parameters:
        return {}
    corners = ids[..., None] + torch.tensor([0, 1, 20, 30])
    return {"bbox": corners.masked_fill(ids[..., None] == 0, 0)}


def _turns(own: dict[tuple[str, int], KeyValue], sites: list[str]) -> list[KeyValue]:
    """Keys and values in the order in which a model calls its attentions."""

    def order(place: tuple[str, int]) -> tuple[bool, int, bool]:
        site, layer = place
        return site != "encoder", layer, site == "cross"

    return [own[place] for place in sorted(own, key=order) if place[0] in sites]


@contextmanager
def _numbered(model: PreTrainedModel, length: int, shift: int) -> Iterator[None]:
    """Within this context every module that takes positions gets those behind a prompt."""
    handles = []
    positions = torch.arange(length)[None] + shift + _first_position(model)
    for module in model.modules():
        names = list(inspect.signature(module.forward).parameters)
        if shift and "position_ids" in names:

            def give(
                module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str] = names
            ) -> tuple[tuple[()], dict[str, Any]]:
                given = dict(zip(names, args, strict=False)) | kwargs
                return (), given | {"position_ids": positions}

            handles.append(module.register_forward_pre_hook(give, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first_position(model: PreTrainedModel) -> int:
    """RoBERTa's positions begin behind the row of the padding token."""
    table = next((m for name, m in model.named_modules() if name.endswith("position_embeddings")), None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1


def decodes(model: PreTrainedModel) -> bool:
    """Whether a model has an encoder and a decoder; an encoder alone may have the configuration of both."""
    takes = inspect.signature(model.forward).parameters
    return bool(model.config.is_encoder_decoder) and "decoder_input_ids" in takes


def _both(model: PreTrainedModel, **inputs: Any) -> tuple[Tensor, Tensor]:
    """The outputs of a model and the last states of its encoder, of one row, `[seq, ...]`."""
    states = _states(model, **inputs)[0]
    return _outputs(model, **inputs)[0], states


def _outputs(model: PreTrainedModel, **inputs: Any) -> Tensor:
    first = next(iter(inputs.values()))
    if decodes(model):
        inputs["decoder_input_ids"] = DECODED.expand(len(first), -1)
    if type(model).__name__ == "T5Gemma2ForTokenClassification" and "inputs_embeds" in inputs:
        base: Any = model
        return base.score(base.model(**inputs)[0])  # which refuses embeddings although its base takes them
    came = model(**inputs)
    return came.logits if getattr(came, "logits", None) is not None else came[0]


def _states(model: PreTrainedModel, **inputs: Any) -> Tensor:
    part = model.get_encoder() if decodes(model) else model.base_model
    return part(**inputs)[0]


# -- the check ----------------------------------------------------------------------------------------


METHODS: dict[str, tuple[Callable[..., Prompt], Callable[..., tuple[Tensor, Tensor]]]] = {
    "soft tokens": (soft, soft_by_hand),
    "prefix": (prefix, prefix_by_hand),
}


def check(model: PreTrainedModel, backbone: Backbone, method: str) -> list[str]:
    """Compares all ways of a call with the reference; gives what could not be compared.

    Raises:
        Wrong: naming the first way that differs, and by how much.
    """
    make, by_hand = METHODS[method]
    one, other = make(backbone), make(backbone, 3, seed=2)
    head = _head(backbone)
    texts = rows_of_text()
    plain = copy.deepcopy(model)
    notes: list[str] = []
    with torch.no_grad():
        bare = [_both(plain, **_text(plain, text)) for text in texts]
        with backbone.prompted(one):
            _outputs(model, **_text(model, texts[0]))  # what is refused, is refused here
        hand = copy.deepcopy(model)
        wanted = [by_hand(hand, one, text) for text in texts]
        wanted_other = [by_hand(hand, other, text) for text in texts[:2]]
    for text, (outputs, states) in zip(texts, wanted, strict=True):
        with backbone.prompted(one), torch.no_grad():
            equal("one row", _outputs(model, **_text(model, text))[0], outputs)
            equal("read", backbone.read(_text(model, text))[0], states)
            if _fills_blanks(model):
                at = torch.arange(len(text))[None] == 2
                equal("a blank", backbone.labelled_logits(_text(model, text), at), outputs[2:3])
    if (wanted[0][0] - bare[0][0]).abs().max() < 1e-4:
        raise Wrong("the prompt has no effect")
    mixed = partial(backbone.prompted, [one, other, None], rows=[0, 1, 2])
    sessions = [("", partial(backbone.prompted, one), wanted)]
    try:
        with mixed():
            sessions.append(("mixed, ", mixed, [wanted[0], wanted_other[1], bare[2]]))
    except SoftpromptError as error:
        notes.append(f"in one batch refused: {reason_of(error)}")
    for side in ("right", "left"):
        ids, mask, spans = padded(texts, side)
        given = {"input_ids": ids, "attention_mask": mask} | _beside(model, ids)
        shown = [slice(None)] * len(texts) if decodes(model) else spans
        with torch.no_grad():
            own, read = _outputs(plain, **given), _states(plain, **given)
        drifts = [
            max(_gap(own[i, shown[i]], bare[i][0]), _gap(read[i, spans[i]], bare[i][1])) for i in range(3)
        ]
        try:
            for what, session, expected in sessions:
                with session(), torch.no_grad():
                    own, read = _outputs(model, **given), backbone.read(given)
                said = head(read, mask)
                for i, (outputs, states) in enumerate(expected):
                    equal(f"{what}padded {side}", own[i, shown[i]], outputs)
                    equal(f"{what}padded {side}, read", read[i, spans[i]], states)
                    equal(f"{what}padded {side}, head", said[i], head.outputs(states[0]))
        except Wrong:
            if max(drifts) <= TOLERANCE:
                raise
            notes.append(f"padded {side} differs without a prompt by {max(drifts):.0e}")
    same = {name: x.expand(3, *x.shape[1:]) for name, x in _text(model, texts[0]).items()}
    of_rows = ([wanted[0]] * 3, [wanted[0], wanted_other[0], bare[0]])
    for (what, session, _), expected in zip(sessions, of_rows, strict=False):
        with session(), torch.no_grad():
            own = _outputs(model, **same)
        for row, (outputs, _) in zip(own, expected, strict=True):
            equal(f"{what}without padding", row, outputs)
    notes += _gradients(model, hand, backbone, one, texts[0], by_hand)
    for text, (outputs, _) in zip(texts, bare, strict=True):
        with torch.no_grad():
            equal("the bare model afterwards", _outputs(model, **_text(model, text))[0], outputs)
    return notes


def _fills_blanks(model: PreTrainedModel) -> bool:
    return isinstance(model.get_output_embeddings(), nn.Linear) and not decodes(model)


def _head(backbone: Backbone) -> Any:
    """A head that reads the first real token of a text."""
    labels = softprompt.head("sequence", ["a", "b", "c"], pooling="first")
    made = softprompt.head_only(backbone, head=labels).head
    assert made is not None
    return made.eval()


def _gap(came: Tensor, expected: Tensor) -> float:
    return float((came - expected).abs().max()) / max(1.0, float(expected.abs().max()))


def _gradients(
    model: PreTrainedModel, hand: PreTrainedModel, backbone: Backbone, prompt: Prompt, text: Tensor, by_hand:
    Any,
) -> list[str]:  # fmt: skip
    """The prompt's gradients equal those of the reference."""
    parameters = [p for p in prompt.parameters() if p.requires_grad]

    def gradients(outputs: Tensor) -> list[Tensor]:
        loss = outputs.log_softmax(-1)[..., 0].mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True) if loss.requires_grad else [None]
        return [gradient for gradient in found if gradient is not None]

    def apart(expected: list[Tensor], model: PreTrainedModel, backbone: Backbone) -> float:
        with backbone.prompted(prompt):
            came = gradients(_outputs(model, **_text(model, text))[0])
        pairs = zip(came, expected, strict=True)
        return max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)

    try:
        expected = gradients(by_hand(hand, prompt, text)[0])
    except Exception as error:
        return [f"has no backward pass in evaluation mode ({type(error).__name__})"]
    if not expected or not all(0 < float(gradient.abs().max()) < torch.inf for gradient in expected):
        return ["passes no gradient to its inputs"]
    gap = apart(expected, model, backbone)
    if not gap <= 1e-3:  # some families round much
        double = copy.deepcopy(model).double()
        expected = gradients(by_hand(copy.deepcopy(double), prompt, text)[0])
        gap = apart(expected, double, softprompt.load_backbone(double))
    if not gap <= 1e-3:
        raise Wrong(f"gradients differ by {gap:.0e} of the largest")
    return []


KIND = Kind(
    classes=masked_classes(),
    methods=tuple(METHODS),
    sample=(
        "albert", "bart", "clip_text_model", "deberta-v2", "esm", "fnet", "layoutlm", "longformer",
        "t5 (encoder)",
    ),
    bare=lambda model: _outputs(model, **_text(model, torch.arange(6, 15))),
    check=check,
)  # fmt: skip
