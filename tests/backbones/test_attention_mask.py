"""Every convention that attention masks follow in transformers, against softmax written by hand.

The table says for each kind of call which keys a query sees. The stock functions are held against it first,
so that it is transformers' convention and not ours; then everything that reads, widens or converts a mask.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.llama.modeling_llama import eager_attention_forward

from softprompt.backbones.attention import families
from softprompt.backbones.attention.interface import AttentionCall
from softprompt.backbones.attention.mask import AttentionMask, is_causal
from softprompt.backbones.attention.prefix import attend_with_prefix
from support.prompts import close

BATCH, HEADS, KV_HEADS, DIM, SCALE, PROMPT = 2, 4, 2, 8, 0.3, 3
LEAST = torch.finfo(torch.float32).min
VALID = torch.tensor([[False, True, True], [True, True, True]])


@dataclass(frozen=True)
class Case:
    """A call of an attention function, and what its queries see.

    Args:
        kernel: of the call.
        causal: whether the attention is.
        mask: what comes with it: none, boolean (for every query and key, or for keys or queries alone),
            additive, a bias of every head's own, or one number for each query.
        q_len: number of queries.
        n_keys: number of keys.
        sees: whether query i sees key j where no mask comes.
    """

    kernel: str
    causal: bool
    mask: str
    q_len: int
    n_keys: int
    sees: Callable[[int, int], bool] = lambda i, j: True


def _before(i, j):
    return j <= i


CASES = {
    "sdpa, causal, no mask": Case("sdpa", True, "none", 4, 4, _before),
    "sdpa, causal, no mask, empty places of a static cache": Case("sdpa", True, "none", 4, 7, _before),
    "sdpa, causal, no mask, one query": Case("sdpa", True, "none", 1, 6),
    "sdpa, not causal, no mask": Case("sdpa", False, "none", 4, 4),
    "sdpa, not causal, no mask, keys of another text": Case("sdpa", False, "none", 3, 6),
    "sdpa, causal, boolean": Case("sdpa", True, "boolean", 4, 4),
    "sdpa, causal, boolean, static cache": Case("sdpa", True, "boolean", 4, 7),
    "sdpa, causal, boolean, one query": Case("sdpa", True, "boolean", 1, 6),
    "sdpa, not causal, boolean, one row for all queries": Case("sdpa", False, "keys", 4, 6),
    "sdpa, not causal, boolean, one column for all keys": Case("sdpa", False, "queries", 4, 6),
    "sdpa, not causal, one number for all keys": Case("sdpa", False, "number", 4, 6),
    "sdpa, causal, additive": Case("sdpa", True, "additive", 4, 6),
    "sdpa, causal, additive, one query": Case("sdpa", True, "additive", 1, 6),
    "sdpa, not causal, bias of every head": Case("sdpa", False, "bias", 4, 4),
    "eager, causal, no mask": Case("eager", True, "none", 4, 4),
    "eager, causal, no mask, more keys": Case("eager", True, "none", 4, 7),
    "eager, one query, no mask": Case("eager", True, "none", 1, 6),
    "eager, causal, additive": Case("eager", True, "additive", 4, 4),
    "eager, causal, additive, static cache": Case("eager", True, "additive", 4, 7),
    "eager, not causal, bias of every head": Case("eager", False, "bias", 4, 4),
    "computed by the family, boolean": Case("eager", False, "boolean", 4, 4),
    "computed by the family, no mask": Case("eager", False, "none", 4, 4),
}
ALL = pytest.mark.parametrize("name", CASES)


class Attention(nn.Module):
    """What the stock functions ask of a module."""

    def __init__(self, causal):
        super().__init__()
        self.is_causal = causal
        self.num_key_value_groups = HEADS // KV_HEADS
        self.dropout = nn.Identity()


class Given:
    """Random queries, keys and values of a case, the mask that comes, and the numbers it stands for."""

    def __init__(self, name):
        case, draw = CASES[name], torch.Generator().manual_seed(len(name))

        def random(*shape):
            return torch.randn(*shape, generator=draw)

        self.case, q_len, n_keys = case, CASES[name].q_len, CASES[name].n_keys
        self.by_family = name.startswith("computed by the family")
        kv_heads = HEADS if self.by_family else KV_HEADS
        self.query = random(BATCH, HEADS, q_len, DIM)
        self.key, self.value = random(BATCH, kv_heads, n_keys, DIM), random(BATCH, kv_heads, n_keys, 6)
        self.prefix = random(1, kv_heads, PROMPT, DIM), random(1, kv_heads, PROMPT, 6)
        seen = random(BATCH, 1, 1 if case.mask == "keys" else q_len, n_keys) > -0.3
        seen[..., 1] = True
        self.mask, self.added = None, torch.zeros(BATCH, HEADS, q_len, n_keys)
        if case.mask == "none":
            for i in range(q_len):
                for j in range(n_keys):
                    if not case.sees(i, j):
                        self.added[:, :, i, j] = -math.inf
        elif case.mask == "queries":
            self.mask = torch.ones(BATCH, 1, q_len, 1, dtype=torch.bool)
        elif case.mask == "number":
            self.mask = random(BATCH, 1, q_len, 1)
            self.added = self.added + self.mask
        elif case.mask == "bias":
            self.mask = random(1, HEADS, q_len, n_keys)
            self.added = self.added + self.mask
        else:
            self.added = self.added.masked_fill(~seen, -math.inf)
            additive = torch.zeros(seen.shape).masked_fill(~seen, LEAST)
            self.mask = additive if case.mask == "additive" else seen
        self.module = Attention(case.causal)

    def stock(self, module, query, key, value, mask, **kwargs):
        kwargs = {"dropout": 0.0, "scaling": SCALE, **kwargs}
        if self.by_family:
            kwargs.pop("dropout")
            kwargs = {"position_bias": None, "is_causal": False, **kwargs}
            return families._attend(module, query, key, value, mask, **kwargs)
        function = sdpa_attention_forward if self.case.kernel == "sdpa" else eager_attention_forward
        return function(module, query, key, value, mask, **kwargs)

    def call(self):
        kwargs = {"scaling": SCALE, "position_bias": None} if self.by_family else {"scaling": SCALE}
        parts = self.module, self.query, self.key, self.value, self.mask
        return AttentionCall(self.stock, self.case.kernel, *parts, kwargs)

    def read(self):
        return self.call().read_mask()

    def prefixed(self, valid):
        """Keys, values and what is added, with the prompt's in front."""
        shown = torch.ones(BATCH, PROMPT, dtype=torch.bool) if valid is None else valid
        before = torch.zeros(BATCH, PROMPT).masked_fill(~shown, -math.inf)
        before = before[:, None, None].expand(BATCH, HEADS, self.case.q_len, PROMPT)
        keys, values = (
            torch.cat([part.expand(BATCH, -1, -1, -1), own], 2)
            for part, own in zip(self.prefix, (self.key, self.value), strict=True)
        )
        return keys, values, torch.cat([before, self.added], -1)


def by_hand(query: Tensor, key: Tensor, value: Tensor, added: Tensor) -> Tensor:
    """Softmax attention, one query after another, `[batch, seq, head, value_dim]`."""
    group = query.shape[1] // key.shape[1]
    out = torch.zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[-1])
    for row in range(query.shape[0]):
        for head in range(query.shape[1]):
            for i in range(query.shape[2]):
                scores = [
                    SCALE * float(query[row, head, i] @ key[row, head // group, j])
                    + float(added[row, head, i, j])
                    for j in range(key.shape[2])
                ]
                parts = [math.exp(score) for score in scores]
                for j, part in enumerate(parts):
                    out[row, i, head] += part / sum(parts) * value[row, head // group, j]
    return out


@ALL
def test_the_stock_functions_follow_the_table(name):
    given = Given(name)
    out, _ = given.stock(given.module, given.query, given.key, given.value, given.mask)
    close(out, by_hand(given.query, given.key, given.value, given.added))


@ALL
def test_scores_under_the_mask(name):
    given = Given(name)
    group = HEADS // given.key.shape[1]
    keys, values = (part.repeat_interleave(group, 1) for part in (given.key, given.value))
    weights = given.read().apply(SCALE * given.query @ keys.transpose(2, 3)).softmax(-1)
    close((weights @ values).transpose(1, 2), by_hand(given.query, given.key, given.value, given.added))


@ALL
@pytest.mark.parametrize("n", [1, 3])
def test_the_first_queries_alone(name, n):
    given = Given(name)
    n = min(n, given.case.q_len)
    scores = torch.zeros(BATCH, HEADS, n, given.case.n_keys)
    close(given.read().first_queries(n).apply(scores).softmax(-1), given.added[:, :, :n].softmax(-1), 1e-6)


@ALL
def test_as_boolean_and_as_numbers(name):
    given = Given(name)
    hides = bool((given.added == -math.inf).any())
    shown, added = given.read().boolean(), given.read().additive(torch.bfloat16)
    if given.case.mask in ("additive", "bias", "number"):
        assert shown is None  # numbers can be biases
    elif given.case.mask == "none" and not hides:
        assert shown is None and added is None
    else:
        assert torch.equal(shown.expand_as(given.added), given.added > -math.inf)
    if added is not None:
        assert added.dtype == torch.bfloat16
        least = torch.finfo(torch.bfloat16).min
        expected = given.added.bfloat16().clamp(min=least)
        # The least number of float32 becomes the infinity of bfloat16, which hides just as well.
        assert torch.equal(added.expand_as(expected).clamp(min=least), expected)


@ALL
@pytest.mark.parametrize("valid", [None, VALID], ids=["all", "some"])
def test_with_a_prompt_in_front(name, valid):
    given = Given(name)
    keys, values, added = given.prefixed(valid)
    expected = by_hand(given.query, keys, values, added)
    read = given.read()
    wide = read.with_prefix(valid, PROMPT)
    n = PROMPT + read.n_visible
    assert wide.n_keys == n
    assert wide.values is None or wide.values.shape[-1] == n
    stock = given.stock(
        given.module, given.query, keys[:, :, :n], values[:, :, :n], wide.values, is_causal=False
    )[0]
    close(stock, expected)
    close(attend_with_prefix(given.call(), *given.prefix, valid, None, {})[0], expected)
    # Rows with keys of their own.
    each = [part.expand(BATCH, -1, -1, -1) for part in given.prefix]
    close(attend_with_prefix(given.call(), *each, valid, None, {})[0], expected)


def test_a_static_cache_shows_as_many_keys_as_there_are_queries():
    found = {name: Given(name).read().n_visible for name in CASES}
    short = "sdpa, causal, no mask, empty places of a static cache"
    assert found.pop(short) == 4
    assert found == {name: CASES[name].n_keys for name in found}


@ALL
def test_heads_of_a_group_as_further_queries(name):
    given = Given(name)
    read = given.read()
    if not read.same_for_heads:
        assert given.case.mask == "bias"
        return
    group = HEADS // KV_HEADS
    packed = read.for_groups(group)
    assert packed.q_len == group * given.case.q_len
    scores = torch.zeros(BATCH, KV_HEADS, group * given.case.q_len, given.case.n_keys)
    expected = given.added.reshape(scores.shape).softmax(-1)
    close(packed.apply(scores).softmax(-1), expected, 1e-6)


@ALL
@pytest.mark.parametrize("size", [1, 2, 100])
def test_blocks_hold_all_that_their_queries_see(name, size):
    given = Given(name)
    blocks = given.read().blocks(size)
    starts = range(0, given.case.q_len, size)
    assert [block[:2] for block in blocks] == [(i, min(i + size, given.case.q_len)) for i in starts]
    hides = given.case.mask == "boolean" or given.read().causal
    for first, end, seen in blocks:
        columns = (given.added[:, :, first:end] > -math.inf).flatten(0, 2).any(0).nonzero()
        last = int(columns[-1]) + 1 if hides and given.case.q_len > 1 else given.case.n_keys
        assert seen == last


@pytest.mark.parametrize("n_keys", [3, 5])
def test_a_mask_that_does_not_fit_the_keys_is_not_made_to_fit(n_keys):
    given = Given("sdpa, not causal, no mask")
    given.mask = torch.ones(BATCH, 1, 4, n_keys, dtype=torch.bool)
    with pytest.raises(RuntimeError):
        attend_with_prefix(given.call(), *given.prefix, None, None, {})


def test_a_query_without_keys_is_noticed():
    seen = torch.ones(BATCH, 1, 3, 4, dtype=torch.bool)
    query = torch.zeros(BATCH, HEADS, 3, DIM)

    def leaves(values):
        mask = AttentionMask.read(values, kernel="sdpa", causal=True, query=query, n_keys=4)
        return mask.leaves_every_query_a_key

    assert leaves(seen) and leaves(None)
    seen[1, 0, 2] = False
    assert not leaves(seen)
    assert leaves(torch.zeros(seen.shape).masked_fill(~seen, LEAST))


@pytest.mark.parametrize("kind", ["boolean", "bias"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_further_tokens_among_the_others(kind, place):
    """Two tokens before the token that was number `place`, with nothing added.

    All see them, and they see each other and what some token sees: padding is seen by none.
    """
    draw = torch.Generator().manual_seed(3)
    values = torch.randn(1, HEADS, 3, 3, generator=draw)
    values = values > 0 if kind == "boolean" else values
    query = torch.zeros(BATCH, HEADS, 5, DIM)

    def read(given):
        return AttentionMask.read(given, kernel="sdpa", causal=False, query=query, n_keys=5)

    wide = read(values).with_tokens(place, 5)
    assert (wide.q_len, wide.n_keys) == (5, 5)
    assert wide.values is not None
    names = list(range(3))
    names[place:place] = [None, None]
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            ours = a is None or b is None
            if not ours:
                expected = values[0, :, a, b].float()
            elif kind == "boolean" and b is not None:
                expected = values[0, :, :, b].any(1).float()
            else:
                expected = torch.full((HEADS,), float(kind == "boolean"))
            assert torch.equal(wide.values[0, :, i, j].float(), expected)
    whole = torch.zeros(1, HEADS, 5, 5)
    assert read(whole).with_tokens(place, 5).values is whole
    assert read(None).with_tokens(place, 5).values is None


@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize("of_module", [None, True, False])
def test_who_says_whether_attention_is_causal(said, of_module):
    """The call, else the module, else it is."""
    module = nn.Module()
    if of_module is not None:
        module.is_causal = of_module
    query = torch.randn(1, 1, 3, 4)
    kwargs = {} if said is None else {"is_causal": said}
    expected = said if said is not None else of_module is not False
    assert is_causal(module, kwargs) is expected
    out, _ = sdpa_attention_forward(module, query, query, query, None, scaling=SCALE, **kwargs)
    added = torch.zeros(3, 3)
    if expected:
        added = added.masked_fill(torch.ones(3, 3).triu(1) > 0, -math.inf)
    close(out, by_hand(query, query, query, added[None, None]))


def test_layers_share_a_widened_mask_and_other_calls_do_not():
    given, widened = Given("sdpa, causal, additive"), {}
    kept = []

    def stock(module, query, key, value, mask, **kwargs):
        kept.append(mask)
        return given.stock(module, query, key, value, mask, **kwargs)

    def attend(mask, valid=None, kernel="eager", dtype=torch.float32):
        given.case = Case(kernel, False, "none", 4, 6)
        parts = [part.to(dtype) for part in (given.query, given.key, given.value)]
        call = AttentionCall(
            stock, kernel, given.module, *parts, mask, {"scaling": SCALE, "is_causal": False}
        )
        attend_with_prefix(call, *given.prefix, valid, None, widened)
        return kept[-1]

    first = attend(given.mask)
    assert attend(given.mask) is first
    assert attend(given.mask.clone()) is not first
    some = attend(given.mask, VALID)
    assert some is not first and attend(given.mask, VALID) is some
    # Where no mask comes, one is made in the precision of the layer that it is added in.
    assert attend(None, VALID).dtype == torch.float32
    assert attend(None, VALID, dtype=torch.bfloat16).dtype == torch.bfloat16
