"""What a model that reads pictures beside a text gives under a prompt, against plain transformers calls.

The reference never uses softprompt. Soft tokens are words in front of the text whose vectors were exchanged
behind the table of embeddings, so that the family itself puts the picture in, numbers positions (along time,
height and width where it does so) and makes its masks. A prefix is keys and values in front of those that the
family's own attention function is given, while its language model gets the family's positions moved on.
"""

import copy
import inspect
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from zoo import seq2seq
from zoo.causal import prefix, soft
from zoo.comparison import TOLERANCE, Wrong, equal
from zoo.outcomes import Kind
from zoo.pictures import Row, given, rows_of_text, rows_with_pictures, spans, takes

NAME = "zoo-pictures"
METHODS = {"soft tokens": soft, "prefix": prefix}


def language_model(model: PreTrainedModel) -> nn.Module:
    """The innermost module that reads the words' vectors."""
    table, found = model.get_input_embeddings(), model
    for module in model.modules():  # outer modules come first
        known = inspect.signature(module.forward).parameters
        if "inputs_embeds" in known and any(inner is table for inner in module.modules()):
            found = module
    return found


def bare(model: PreTrainedModel, row: Row, **options: Any) -> Tensor:
    """Logits of a row without a prompt, `[seq, vocab]`."""
    return model(**given(model, [row]), **_no_cache(model), **options).logits[0]


def soft_by_hand(model: PreTrainedModel, prompt: Prompt, row: Row) -> Tensor:
    """Logits of a row behind soft tokens, `[seq, vocab]`."""
    placed: Any = prompt()
    vectors = placed.vectors
    call = given(model, [row], in_front=len(vectors))

    def exchanged(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        if output.ndim != 3 or output.shape[1] != call["input_ids"].shape[1]:
            return output
        return torch.cat([vectors[None].to(output), output[:, len(vectors) :]], dim=1)

    handle = model.get_input_embeddings().register_forward_hook(exchanged)
    try:
        return model(**call, **_no_cache(model)).logits[0, len(vectors) :]
    finally:
        handle.remove()


def prefix_by_hand(model: PreTrainedModel, prompt: Prompt, row: Row) -> Tensor:
    """Logits of a row whose attentions see the prompt's keys and values too, `[seq, vocab]`."""
    placed: Any = prompt()
    own = {}
    for block in placed:
        for index, layer in enumerate(block.layers):
            own[layer] = (block.keys[index][None], block.values[index][None])
    stack = language_model(model)
    inside = set(stack.modules())
    indexed = {m.layer_idx for m in inside if isinstance(getattr(m, "layer_idx", None), int)}
    turns = itertools.cycle(sorted(own))

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        mask = attention_mask
        family: Any = sys.modules[type(module).__module__]
        if module in inside:
            keys, values = own[module.layer_idx if set(own) <= indexed else next(turns)]
            if mask is not None:
                mask = nn.functional.pad(mask, (keys.shape[2], 0), value=0.0)
            key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return family.eager_attention_forward(module, query, key, value, mask, *args, **kwargs)

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    model.set_attn_implementation(NAME)
    with _moved_on(stack, prompt.length):
        return bare(model, row)


@contextmanager
def _moved_on(stack: nn.Module, by: int) -> Iterator[None]:
    """Within this context a language model's positions are moved on."""

    def moved(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        text = kwargs.get("inputs_embeds") if kwargs.get("inputs_embeds") is not None else kwargs["input_ids"]
        positions = kwargs.get("position_ids")
        positions = torch.arange(text.shape[1])[None] if positions is None else positions
        return args, kwargs | {"position_ids": positions + by}

    if "position_ids" not in inspect.signature(stack.forward).parameters:
        yield
        return
    handle = stack.register_forward_pre_hook(moved, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


BY_HAND = {"soft tokens": soft_by_hand, "prefix": prefix_by_hand}


def check(model: PreTrainedModel, backbone: Backbone, method: str) -> list[str]:
    """Compares all ways of a call with the reference; gives what could not be compared.

    Raises:
        Wrong: naming the first way that differs, and by how much.
    """
    if model.config.is_encoder_decoder:  # Florence-2
        notes = seq2seq.check(model, backbone, {"prefix": "prefix, decoder"}.get(method, method))
        return ["no picture: compared as an encoder-decoder of texts", *notes]
    plain, reference, notes = copy.deepcopy(model), copy.deepcopy(model), []
    one, other = METHODS[method](backbone), METHODS[method](backbone, 3, seed=2)
    kinds = {}
    try:
        kinds["picture"] = rows_with_pictures(plain)
    except ValueError as error:
        notes.append(f"no picture: {error}")
    try:
        with torch.no_grad():
            bare(plain, rows_of_text()[0])
        kinds["text"] = rows_of_text()
    except Exception:
        notes.append("reads no text alone")
    if not kinds:
        raise AssertionError("nothing to compare")

    def under(prompt: Any, row: Row) -> Tensor:
        with backbone.prompted(prompt):
            return bare(model, row)

    def by_hand(prompt: Prompt, row: Row) -> Tensor:
        try:
            return BY_HAND[method](reference, prompt, row)
        except Exception as error:
            notes.append(f"no reference: {type(error).__name__}")
            return under(prompt, row)

    with torch.no_grad():
        expected = {}
        for name, rows in kinds.items():
            expected[name] = [by_hand(one, row) for row in rows], by_hand(other, rows[1])
        for name, rows in kinds.items():
            if (expected[name][0][0] - bare(plain, rows[0])).abs().max() < 1e-4:
                raise Wrong(f"the prompt has no effect on a {name}")
            equal(f"{name}, one row", under(one, rows[0]), expected[name][0][0])
        for name, rows in reversed(kinds.items()):  # nothing of earlier calls enters
            equal(f"{name}, another time", under(other, rows[1]), expected[name][1])
        for name, rows in kinds.items():
            _padded(model, plain, backbone, name, rows, expected[name], (one, other), notes)
            if name == "picture" or len(kinds) == 1:
                _generated(model, plain, backbone, one, name, rows[0], by_hand, notes)
            _continued(model, plain, backbone, one, name, rows[0], by_hand, notes)
    if not any(note.startswith("no reference") for note in notes):
        for name, rows in list(kinds.items())[:1]:
            _gradients(one, lambda row: under(one, row), lambda row: by_hand(one, row), name, rows[1])
    with torch.no_grad():
        for rows in kinds.values():
            equal("the bare model afterwards", bare(model, rows[0]), bare(plain, rows[0]))
    return notes


def _padded(
    model: PreTrainedModel, plain: PreTrainedModel, backbone: Backbone, name: str, rows: list[Row],
    expected: tuple[list[Tensor], Tensor], prompts: tuple[Prompt, Prompt], notes: list[str],
) -> None:  # fmt: skip
    """Rows padded on either side, with positions and without them, under one prompt and under several."""
    without = [bare(plain, row) for row in rows]
    for side in ("left", "right", "left, with positions"):
        call = {**given(model, rows, side.partition(",")[0]), **_no_cache(model)}
        places = spans(rows, side.partition(",")[0])
        if "positions" in side:
            positions = _positions(plain, rows, places, call["input_ids"].shape[1])
            if positions is None:
                continue
            call["position_ids"] = positions
        try:
            alone = plain(**call).logits
        except Exception as error:
            notes.append(f"{name}, padded {side}: {type(error).__name__}")
            continue
        drift = max(float((alone[i, at] - without[i]).abs().max()) for i, at in enumerate(places))
        if drift > TOLERANCE:
            notes.append(f"{name}, padded {side}, differs without a prompt by {drift:.0e}")
            continue
        if side == "left":
            with backbone.prompted(prompts[0]):
                out = model(**call).logits
            for i, at in enumerate(places):
                equal(f"{name}, padded {side}", out[i, at], expected[0][i])
        with backbone.prompted([*prompts, None], rows=[0, 1, 2]):
            out = model(**call).logits
        for i, wanted in enumerate((expected[0][0], expected[1], without[2])):
            equal(f"{name}, mixed, padded {side}", out[i, places[i]], wanted)


def _positions(model: PreTrainedModel, rows: list[Row], places: list[slice], width: int) -> Tensor | None:
    """The family's own positions of each row, where the padding leaves it; None where it takes none."""
    if not takes(model, "position_ids"):
        return None
    found: list[Tensor] = []

    def seen(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        found.append(kwargs.get("position_ids"))

    handle = language_model(model).register_forward_pre_hook(seen, with_kwargs=True)
    for row in rows:
        bare(model, row)
    handle.remove()
    each = [torch.arange(len(row.ids))[None] if p is None else p for row, p in zip(rows, found, strict=True)]
    positions = each[0].new_zeros(*each[0].shape[:-2], len(rows), width)
    for i, at in enumerate(places):
        positions[..., i, at] = each[i][..., 0, :]
    return positions


def _generated(
    model: PreTrainedModel, plain: PreTrainedModel, backbone: Backbone, prompt: Prompt, name: str, row: Row,
    by_hand: Any, notes: list[str],
) -> None:  # fmt: skip
    """The scores of each generated token equal the uncached logits of the text so far."""
    options = {
        "max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False, "return_dict_in_generate": True,
        "output_logits": True, "pad_token_id": 0, "use_cache": True,
        "suppress_tokens": list(range(90, 97)),
    }  # fmt: skip
    call = given(plain, [row])
    length = len(row.ids)
    try:
        alone = plain.generate(**call, **options)
        drift = max(
            float((scores[0] - _so_far(plain, alone.sequences[0, : length + i], row, i)).abs().max())
            for i, scores in enumerate(alone.logits)
        )
    except Exception as error:
        notes.append(f"{name}: does not generate: {type(error).__name__}")
        return
    if drift > TOLERANCE:
        notes.append(f"{name}: cached differs from uncached without a prompt by {drift:.0e}")
        return
    with backbone.prompted(prompt):
        out = model.generate(**call, **options)
    for i, scores in enumerate(out.logits):
        wanted = by_hand(prompt, Row(out.sequences[0, : length + i], row.pixels, i))[-1]
        equal(f"{name}, generated token {i}", scores[0], wanted)


def _continued(
    model: PreTrainedModel, plain: PreTrainedModel, backbone: Backbone, prompt: Prompt, name: str, row: Row,
    by_hand: Any, notes: list[str],
) -> None:  # fmt: skip
    """Two calls by hand, the second with the cache of the first."""
    more = torch.tensor([7])

    def twice(running: PreTrainedModel) -> Tensor:
        call = given(running, [row])
        first = running(**call, use_cache=True)
        cache = first.past_key_values
        return running(input_ids=more[None], past_key_values=cache).logits[0, -1]

    longer = Row(torch.cat([row.ids, more]), row.pixels, 1)
    try:
        drift = float((twice(plain) - bare(plain, longer)[-1]).abs().max())
    except Exception as error:
        notes.append(f"{name}: does not go on with its cache: {type(error).__name__}")
        return
    if drift > TOLERANCE:
        notes.append(f"{name}: a second call with the cache differs without a prompt by {drift:.0e}")
        return
    with backbone.prompted(prompt):
        came = twice(model)
    equal(f"{name}, a second call with the cache", came, by_hand(prompt, longer)[-1])


def _so_far(plain: PreTrainedModel, ids: Tensor, row: Row, n_written: int) -> Tensor:
    return bare(plain, Row(ids, row.pixels, n_written))[-1]


def _gradients(prompt: Prompt, under: Any, by_hand: Any, name: str, row: Row) -> None:
    """The prompt's gradients equal those of the reference."""
    parameters = [p for p in prompt.parameters() if p.requires_grad]

    def gradients(logits: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(logits.float().log_softmax(-1)[:, 7].mean(), parameters)

    for came, wanted in zip(gradients(under(row)), gradients(by_hand(row)), strict=True):
        if not float((came - wanted).abs().max()) <= 1e-3 * float(wanted.abs().max()) + 1e-6:
            gap = float((came - wanted).abs().max() / wanted.abs().max())
            raise Wrong(f"{name}: gradients differ by {gap:.0e} of the largest")


def _no_cache(model: PreTrainedModel) -> dict[str, bool]:
    return {"use_cache": False} if takes(model, "use_cache") else {}


def _bare(model: PreTrainedModel) -> Tensor:
    try:
        return bare(model, rows_of_text()[0])
    except Exception:
        return bare(model, rows_with_pictures(model)[0])


KIND = Kind(
    classes=MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    methods=tuple(METHODS),
    sample=("gemma4", "llava", "paligemma", "qwen2_vl", "qwen3_5"),
    bare=_bare,
    check=check,
)
