import pytest
import torch

from softprompt.backbones.attention.kernels import without_plans


@pytest.fixture(autouse=True)
def as_before():
    before = torch.backends.cuda.cudnn_sdp_enabled()
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


def allowed():
    return torch.backends.cuda.cudnn_sdp_enabled()


def test_on_a_gpu_cudnn_is_left_out_and_comes_back():
    torch.backends.cuda.enable_cudnn_sdp(True)
    with without_plans(torch.device("cuda")):
        assert not allowed()
    assert allowed()
    with pytest.raises(RuntimeError), without_plans(torch.device("cuda")):
        raise RuntimeError
    assert allowed()


def test_a_users_own_choice_stays():
    torch.backends.cuda.enable_cudnn_sdp(False)
    with without_plans(torch.device("cuda")):
        assert not allowed()
    assert not allowed()


def test_elsewhere_nothing_is_touched():
    torch.backends.cuda.enable_cudnn_sdp(True)
    with without_plans(torch.device("cpu")):
        assert allowed()
