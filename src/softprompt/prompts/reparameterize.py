"""What a prompt's flat vectors are computed from while it is trained."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Direct(nn.Module):
    """The vectors themselves are the parameters."""

    def __init__(self, flat: Float[Tensor, "prompt width"]):
        super().__init__()
        self.flat = nn.Parameter(flat.detach().clone().float())

    def forward(self) -> Float[Tensor, "prompt width"]:
        """The parameter."""
        return self.flat


class MLP(nn.Module):
    """Vectors through a small network: P[i] = start[i] + MLP(P'[i]).

    Source: Prefix-Tuning (arXiv 2101.00190) §4.3 and its code: P' is `prompt` x `hidden` and N(0, 1),
    the network is Linear, Tanh, Linear. Deviation: with a `start` (real activations, say) the last
    layer begins at zero, so that step 0 *is* the start, exactly; the official code fits the network
    to the activations by 500 steps of regression and only comes near.

    Args:
        length: prompt vectors.
        hidden: width of P' (the backbone's hidden size in the official code).
        width: width of the hidden layers.
        depth: number of hidden layers.
        out: numbers per prompt vector.
        start: where training begins, `prompt` x `out`; None begins at the network's own output.
        generator: source of the random numbers.
        activation: between the layers; P-Tuning's MLP has ReLU.
    """

    start: Tensor | None

    def __init__(
        self,
        length: int,
        hidden: int,
        width: int,
        depth: int,
        out: int,
        start: Float[Tensor, "prompt out"] | None,
        generator: torch.Generator,
        activation: type[nn.Module] = nn.Tanh,
    ):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(length, hidden, generator=generator))
        sizes = [hidden] + [width] * depth
        layers: list[nn.Module] = []
        for a, b in zip(sizes, sizes[1:], strict=False):
            layers += [_linear(a, b, generator), activation()]
        last = _linear(sizes[-1], out, generator)
        if start is not None:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.network = nn.Sequential(*layers, last)
        self.register_buffer("start", None if start is None else start.detach().clone().float())

    def forward(self) -> Float[Tensor, "prompt out"]:
        """The vectors, differentiable in P' and the network."""
        flat = self.network(self.embedding)
        return flat if self.start is None else self.start + flat


class Projection(nn.Module):
    """Vectors of another width through one linear map, the same for every layer.

    Source: visual prompt tuning (arXiv 2203.12119), `PROJECT` of its code: Kaiming's normal numbers by
    fan-out, a bias of 0, and the vectors uniform within a bound.

    Args:
        length: prompt vectors.
        n_layers: of each vector.
        width: of what is trained.
        out: of what comes out, per layer.
        bound: of the vectors' uniform start.
        generator: source of the random numbers.
    """

    def __init__(
        self, length: int, n_layers: int, width: int, out: int, bound: float, generator: torch.Generator
    ):
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(length, n_layers, width))
        self.weight = nn.Parameter(torch.empty(out, width))
        self.bias = nn.Parameter(torch.zeros(out))
        with torch.no_grad():
            self.embedding.uniform_(-bound, bound, generator=generator)
            self.weight.normal_(0, (2 / out) ** 0.5, generator=generator)

    def forward(self) -> Float[Tensor, "prompt out"]:
        """The vectors, layer after layer."""
        return nn.functional.linear(self.embedding, self.weight, self.bias).flatten(1)


class LSTM(nn.Module):
    """Vectors through a bidirectional LSTM and a small network: h = start + MLP(BiLSTM(E)).

    Source: P-Tuning (arXiv 2103.10385) §3.2 and its LAMA code: E is `prompt` x `hidden` and N(0, 1), two
    layers of width / 2 per direction, then Linear, ReLU, Linear. Its few-shot code has a `width` of twice
    `hidden`. Deviation: with a `start` the last layer begins at zero, so that step 0 is the start, exactly.

    Args:
        length: prompt vectors.
        hidden: width of E.
        width: of what the LSTM gives, both directions together; even.
        depth: layers of the LSTM.
        out: numbers per prompt vector.
        start: where training begins, `prompt` x `out`; None begins at the network's own output.
        generator: source of the random numbers; torch's global one is not touched.
    """

    start: Tensor | None

    def __init__(
        self,
        length: int,
        hidden: int,
        width: int,
        depth: int,
        out: int,
        start: Float[Tensor, "prompt out"] | None,
        generator: torch.Generator,
    ):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(length, hidden, generator=generator))
        # Without memory at first, since torch would fill it from its global generator.
        self.lstm = nn.LSTM(
            hidden, width // 2, num_layers=depth, bidirectional=True, batch_first=True, device="meta"
        ).to_empty(device="cpu")
        bound = (width // 2) ** -0.5  # torch's own default for LSTM
        with torch.no_grad():
            for weight in self.lstm.parameters():
                weight.uniform_(-bound, bound, generator=generator)
        last = _linear(out, out, generator)
        if start is not None:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.network = nn.Sequential(_linear(width, out, generator), nn.ReLU(), last)
        self.register_buffer("start", None if start is None else start.detach().clone().float())

    def forward(self) -> Float[Tensor, "prompt out"]:
        """The vectors, differentiable in E and both networks."""
        states, _ = self.lstm(self.embedding[None])
        flat = self.network(states[0])
        return flat if self.start is None else self.start + flat


def _linear(a: int, b: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, a, b)
    assert isinstance(layer, nn.Linear)
    bound = a**-0.5  # torch's own default for Linear, drawn from the seeded generator
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
