"""Where hidden states are kept: copies, under a limit."""

import pytest
import torch

from softprompt.backbones.activation_cache import ActivationStore


def key(n: int) -> bytes:
    return n.to_bytes(16, "little")


def rows(n_tokens: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n_tokens, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_put_in_comes_out(dtype):
    states = ActivationStore(10**6)
    for i in range(5):
        assert states.get(key(i)) is None
        assert states.put(key(i), rows(i + 1, i, dtype))
    for i in (3, 0, 4, 1, 2):
        found = states.get(key(i))
        assert found is not None
        assert found.dtype == dtype
        assert torch.equal(found, rows(i + 1, i, dtype))
    assert states.n_rows == 5


def test_what_is_kept_is_a_copy():
    states, batch = ActivationStore(10**6), torch.ones(3, 5, 4)
    states.put(key(0), batch[1, :2])
    batch.zero_()
    found = states.get(key(0))
    assert found is not None
    assert torch.equal(found, torch.ones(2, 4))
    assert found.untyped_storage().nbytes() == 2 * 4 * 4


def test_the_limit():
    states = ActivationStore(100)
    assert states.put(key(0), rows(4))  # 64 bytes
    assert not states.put(key(1), rows(3))  # 48 more would be too many
    assert states.put(key(2), rows(2))
    assert states.n_bytes == 96
    assert states.get(key(1)) is None
    assert states.get(key(0)) is not None
