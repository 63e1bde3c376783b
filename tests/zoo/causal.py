"""What a causal model gives under a prompt, against the same written with plain transformers calls.

The reference never uses softprompt: soft tokens are embeddings in front of the text's own, a prefix is a
cache that was filled by hand. Both read one row at a time, without padding.
"""

import copy
import inspect
import itertools
import sys
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.errors import SoftpromptError
from softprompt.prompts.prompt import Prompt
from zoo.comparison import TOLERANCE, Wrong, equal, noise
from zoo.configurations import IMAGE
from zoo.outcomes import Kind, reason_of
from zoo.states import slopes, states_by_hand

PROMPT = 5
NAME = "zoo"


def rows_of_text() -> list[Tensor]:
    """Three texts of different lengths, `[seq]` each."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(6, IMAGE, (length,), generator=generator) for length in (9, 4, 7)]


def prefix(backbone: Backbone, length: int = PROMPT, seed: int = 1) -> Prompt:
    return noise(
        softprompt.prefix_tuning(backbone, length, initialization="random", reparameterization=None), seed
    )


def soft(backbone: Backbone, length: int = PROMPT, seed: int = 1) -> Prompt:
    return noise(softprompt.prompt_tuning(backbone, length, initialization="random"), seed)


def states(backbone: Backbone, length: int = PROMPT, seed: int = 1) -> Prompt:
    """Initial states of all recurrent layers; with the lower `length`, of the first of them alone."""
    layers = "all" if length == PROMPT else "first:1"
    return noise(softprompt.prefix_tuning(backbone, layers=layers, sites="recurrent"), seed)


METHODS = {"soft tokens": soft, "prefix": prefix, "states": states}


def soft_by_hand(model: PreTrainedModel, prompt: Prompt, ids: Tensor) -> Tensor:
    """Logits of a text behind soft tokens that are words of the vocabulary, `[seq, vocab]`."""
    placed: Any = prompt()
    vectors = placed.vectors
    embeds = torch.cat([vectors, model.get_input_embeddings()(ids)])[None]
    options: dict[str, Any] = _no_cache(model)
    stack: Any = next((m for m in model.modules() if hasattr(m, "get_per_layer_inputs")), None)
    if stack is not None and stack.hidden_size_per_layer_input:
        # Both families give positions without a token, those of pictures, the padding token's.
        tokens = torch.cat([torch.full((len(vectors),), stack.config.pad_token_id), ids])[None]
        options["per_layer_inputs"] = stack.get_per_layer_inputs(tokens)
    return model(inputs_embeds=embeds, **options).logits[0, len(vectors) :]


def soft_by_exchange(model: PreTrainedModel, prompt: Prompt, ids: Tensor) -> Tensor:
    """The same where a model asks for words beside their vectors: the vectors of padding words in front are
    exchanged behind the table, `[seq, vocab]`.
    """
    placed: Any = prompt()
    vectors = placed.vectors
    words = torch.cat([ids.new_zeros(len(vectors)), ids])[None]

    def exchanged(module: Any, args: Any, output: Tensor) -> Tensor:
        return torch.cat([vectors[None].to(output), output[:, len(vectors) :]], dim=1)

    handle = model.get_input_embeddings().register_forward_hook(exchanged)
    try:
        call = {"input_ids": words, "attention_mask": torch.ones_like(words)}
        return model(**call, **_no_cache(model)).logits[0, len(vectors) :]
    finally:
        handle.remove()


def prefix_by_hand(model: PreTrainedModel, prompt: Prompt, ids: Tensor) -> Tensor:
    """Logits of a text behind a cache that holds the prompt's keys and values, `[seq, vocab]`."""
    placed: Any = prompt()
    cache = DynamicCache(config=model.config)
    for block in placed:
        for index, layer in enumerate(block.layers):
            cache.update(block.keys[index][None], block.values[index][None], layer)
    mask = torch.ones(1, prompt.length + len(ids), dtype=torch.long)
    options: dict[str, Any] = {}
    if _numbers_by_ids(model):
        options["position_ids"] = torch.arange(len(ids))[None] + prompt.length + _first_position(model)
    return model(input_ids=ids[None], attention_mask=mask, past_key_values=cache, **options).logits[0]


def prefix_by_attention(model: PreTrainedModel, prompt: Prompt, ids: Tensor) -> Tensor:
    """The same by the family's own attention function, whose keys and values begin with the prompt's, `[seq,
    vocab]`.

    For families whose caches hold something else than keys and values (latent attention), or share them.
    """
    placed: Any = prompt()
    own = {}
    for block in placed:
        for index, layer in enumerate(block.layers):
            own[layer] = (block.keys[index][None], block.values[index][None])
    turns = itertools.cycle(sorted(own))  # some attentions have no index, and some call the function twice
    modules = [m for m in model.modules() if isinstance(getattr(m, "layer_idx", None), int)]
    by_index = set(own) <= {m.layer_idx for m in modules}

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        keys, values = own[module.layer_idx if by_index else next(turns)]
        if mask is not None:
            mask = torch.nn.functional.pad(mask, (keys.shape[2], 0), value=0.0)
        family: Any = sys.modules[type(module).__module__]
        key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return family.eager_attention_forward(module, query, key, value, mask, *args, **kwargs)

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    model.set_attn_implementation(NAME)
    options: dict[str, Any] = _no_cache(model)
    if _numbers_by_ids(model):
        options["position_ids"] = torch.arange(len(ids))[None] + prompt.length + _first_position(model)
    return model(input_ids=ids[None], **options).logits[0]


def _numbers_by_ids(model: PreTrainedModel) -> bool:
    modules = (model, model.base_model)
    return all(
        "position_ids" in (names := inspect.signature(module.forward).parameters) or "kwargs" in names
        for module in modules
    ) and any("position_ids" in inspect.signature(module.forward).parameters for module in modules)


def _first_position(model: PreTrainedModel) -> int:
    """RoBERTa's positions begin behind the row of the padding token."""
    table = next((m for name, m in model.named_modules() if name.endswith("position_embeddings")), None)
    padding: int | None = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1


def _no_cache(model: PreTrainedModel) -> dict[str, bool]:
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


BY_HAND = {
    "soft tokens": [soft_by_hand, soft_by_exchange],
    "prefix": [prefix_by_hand, prefix_by_attention],
    "states": [states_by_hand],
}


def check(model: PreTrainedModel, backbone: Backbone, method: str) -> list[str]:
    """Compares all ways of a call with the reference; gives what could not be compared.

    Raises:
        Wrong: naming the first way that differs, and by how much.
    """
    make = METHODS[method]
    one, other = make(backbone), make(backbone, 3, seed=2)
    texts = rows_of_text()
    plain = copy.deepcopy(model)
    notes = []
    bare = [_logits(plain, text) for text in texts]
    for by_hand in BY_HAND[method]:
        try:
            with torch.no_grad():
                wanted = [by_hand(copy.deepcopy(model), one, text) for text in texts]
                wanted_other = [by_hand(copy.deepcopy(model), other, text) for text in texts]
            break
        except Exception as error:
            reason = f"{by_hand.__name__}: {type(error).__name__}: {' '.join(str(error).split())[:80]}"
    else:
        notes.append(f"no reference: {reason}")
        with backbone.prompted(one):
            wanted = [_logits(model, text) for text in texts]
        with backbone.prompted(other):
            wanted_other = [_logits(model, text) for text in texts]
    for text, expected in zip(texts, wanted, strict=True):
        with backbone.prompted(one):
            equal("one row", _logits(model, text), expected)
    if (wanted[0] - bare[0]).abs().max() < 1e-4:
        raise Wrong("the prompt has no effect")
    for side in ("right", "left"):
        ids, mask, spans = padded(texts, side)
        out = model_call(plain, ids, mask)
        drift = max(float((out[i, span] - bare[i]).abs().max()) for i, span in enumerate(spans))
        with backbone.prompted(one):
            out = model_call(model, ids, mask)
        if drift > TOLERANCE:
            notes.append(f"padded {side} differs without a prompt by {drift:.0e}")
        else:
            for i, span in enumerate(spans):
                equal(f"padded {side}", out[i, span], wanted[i])
        try:
            with backbone.prompted([one, other, None], rows=[0, 1, 2]):
                out = model_call(model, ids, mask)
        except SoftpromptError as error:
            notes.append(f"mixed rows refused: {reason_of(error)}")
            continue
        if drift <= TOLERANCE:
            for i, expected in enumerate((wanted[0], wanted_other[1], bare[2])):
                equal(f"mixed, padded {side}", out[i, spans[i]], expected)
    _cached(model, plain, backbone, one, texts[0], by_hand, notes)
    if not any(note.startswith("no reference") for note in notes):
        notes += _gradients(model, plain, backbone, one, texts[0], by_hand)
    again = _logits(model, texts[0])
    equal("the bare model afterwards", again, bare[0])
    return notes


def padded(texts: list[Tensor], side: str) -> tuple[Tensor, Tensor, list[slice]]:
    width = max(map(len, texts))
    ids, mask = torch.zeros(2, len(texts), width, dtype=torch.long)
    spans = []
    for row, text in enumerate(texts):
        span = slice(0, len(text)) if side == "right" else slice(width - len(text), width)
        ids[row, span], mask[row, span] = text, 1
        spans.append(span)
    return ids, mask, spans


@torch.no_grad()
def _logits(model: PreTrainedModel, text: Tensor) -> Tensor:
    return model(input_ids=text[None], **_no_cache(model)).logits[0]


@torch.no_grad()
def model_call(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    return model(input_ids=ids, attention_mask=mask, **_no_cache(model)).logits


@torch.no_grad()
def _cached(
    model: PreTrainedModel, plain: PreTrainedModel, backbone: Backbone, prompt: Prompt, text: Tensor, by_hand:
    Any, notes: list[str],
) -> None:  # fmt: skip
    """The scores of each generated token equal the uncached logits of the text so far."""
    options = {
        "max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True,
        "output_logits": True, "pad_token_id": 0,
    }  # fmt: skip
    try:
        bare = plain.generate(input_ids=text[None], use_cache=True, **options)
    except Exception as error:
        notes.append(f"does not generate: {type(error).__name__}")
        return
    drift = max(
        float((scores[0] - _logits(plain, bare.sequences[0, : len(text) + step])[-1]).abs().max())
        for step, scores in enumerate(bare.logits)
    )
    if drift > TOLERANCE:
        notes.append(f"cached differs from uncached without a prompt by {drift:.0e}")
        return
    try:
        with backbone.prompted(prompt):
            out = model.generate(input_ids=text[None], use_cache=True, **options)
    except SoftpromptError as error:
        notes.append(f"a cache is refused: {reason_of(error)}")
        return
    for step, scores in enumerate(out.logits):
        so_far = out.sequences[0, : len(text) + step]
        try:
            one_by_one = {"n_at_once": len(text)} if by_hand is states_by_hand else {}
            expected = by_hand(copy.deepcopy(plain), prompt, so_far, **one_by_one)[-1]
        except Exception:
            with backbone.prompted(prompt):
                expected = _logits(model, so_far)[-1]
        equal(f"cached, token {step}", scores[0], expected)


def _gradients(
    model: PreTrainedModel,
    plain: PreTrainedModel,
    backbone: Backbone,
    prompt: Prompt,
    text: Tensor,
    by_hand: Any,
) -> list[str]:
    """The prompt's gradients equal those of the reference."""
    parameters = [p for p in prompt.parameters() if p.requires_grad]

    def gradients(logits: Tensor) -> list[Tensor]:
        loss = logits.float().log_softmax(-1)[:, 7].mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True) if loss.requires_grad else [None]
        return [gradient for gradient in found if gradient is not None]

    try:
        with backbone.prompted(prompt):
            came = gradients(model(input_ids=text[None], **_no_cache(model)).logits[0])
        expected = gradients(by_hand(copy.deepcopy(plain), prompt, text))
    except RuntimeError:  # the reference writes into its states, which ends the gradients
        came, expected = slopes(copy.deepcopy(plain), by_hand, prompt, text, came)
    except AssertionError as error:  # Reformer's layers have no backward pass in evaluation mode
        return [f"has no backward pass: {' '.join(str(error).split())[:80]}"]
    if not expected:
        return ["passes no gradient to its inputs"]
    for one, other in zip(came, expected, strict=True):
        if not float((one - other).abs().max()) <= 1e-3 * float(other.abs().max()) + 1e-6:
            gap = float((one - other).abs().max() / other.abs().max())
            raise Wrong(f"gradients differ by {gap:.0e} of the largest")
    return []


KIND = Kind(
    classes=MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    methods=tuple(METHODS),
    sample=(
        "bloom", "blenderbot", "ctrl", "deepseek_v3", "doge", "fuyu", "gemma3", "hrm_text", "jamba", "lfm2",
        "mamba", "prophetnet", "qwen3_5_text",
    ),
    bare=lambda model: model(input_ids=torch.arange(6, 15)[None]).logits,
    check=check,
)  # fmt: skip
