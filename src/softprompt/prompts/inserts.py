"""Small trained modules beside a backbone's linear layers: each changes its layer's output."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.extras import require
from softprompt.files import AdaptersCard, InsertsCard, LoraCard

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}
"""The functions between an adapter's two projections."""

_NAME = "default"  # PEFT's name for the only adapter of a layer


@dataclass(frozen=True)
class LayerLinears:
    """The linear layers inside one layer of a backbone.

    Layers that share their modules (ALBERT's) name the same ones.
    """

    site: str
    """`encoder` or `decoder`."""
    number: int
    sizes: Mapping[str, tuple[int, int]]
    """Widths of input and output by the module's name, in the order of the model's own modules."""
    attention_output: str | None
    """The projection that runs right after the self-attention; None where there is none."""
    output: str | None
    """The projection that ends the feed-forward; None where there is none."""


class Insert(Protocol):
    """A trained module beside one linear layer."""

    def __call__(
        self, inputs: Float[Tensor, "*axis in"], output: Float[Tensor, "*axis out"]
    ) -> Float[Tensor, "*axis out"]:
        """What takes the place of the layer's output, in the output's precision.

        Args:
            inputs: of the layer.
            output: of the layer.
        """
        ...

    def stored(self) -> dict[str, nn.Parameter]:
        """The parameters by their names in files."""
        ...


class Adapter(nn.Module):
    """A bottleneck with a skip connection: `y + up(activation(down(y)))`, in float32.

    Source: Houlsby et al. (arXiv 1902.00751) §2.1. Deviation: it begins exactly as the identity, with the
    up projection and the biases at 0 and the down projection at N(0, 0.02); the paper draws both
    projections from a truncated N(0, 0.01).

    Args:
        hidden: width of the layer's output.
        width: of the bottleneck.
        activation: a row of `ACTIVATIONS`.
        generator: source of the random numbers; None leaves zeros to be loaded over.
    """

    def __init__(self, hidden: int, width: int, activation: str, generator: torch.Generator | None = None):
        super().__init__()
        self.down: Any = nn.utils.skip_init(nn.Linear, hidden, width, dtype=torch.float32)
        self.activation = ACTIVATIONS[activation]()
        self.up: Any = nn.utils.skip_init(nn.Linear, width, hidden, dtype=torch.float32)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            if generator is not None:
                self.down.weight.normal_(0, 0.02, generator=generator)

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """See `Insert`; reads the output alone."""
        change = self.up(self.activation(self.down(output.to(self.down.weight.dtype))))
        return output + change.to(output.dtype)

    def stored(self) -> dict[str, nn.Parameter]:
        """See `Insert`: `down.weight` `[width, hidden]`, `up.weight` `[hidden, width]`, and both biases."""
        return dict(self.named_parameters())


class LowRank(nn.Module):
    """LoRA (arXiv 2106.09685) as PEFT computes it: `y + B(A(dropout(x))) * alpha / rank`.

    The module, its parameters, its start and its arithmetic are PEFT's. Where PEFT has the frozen layer,
    there is a `_Given`, which returns the output that the frozen layer has just computed.

    Args:
        layer: PEFT's, around a `_Given`.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer: Any = layer

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """See `Insert`."""
        token = _OUTPUT.set(output)
        try:
            return self.layer(inputs)
        finally:
            _OUTPUT.reset(token)

    def stored(self) -> dict[str, nn.Parameter]:
        """See `Insert`: `lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]`."""
        return {
            "lora_A.weight": self.layer.lora_A[_NAME].weight,
            "lora_B.weight": self.layer.lora_B[_NAME].weight,
        }


def make_inserts(
    card: InsertsCard, sizes: Mapping[str, tuple[int, int]], seed: int | None
) -> list[Adapter] | list[LowRank]:
    """The modules that a card describes, in its order.

    Args:
        card: kind, sizes and the backbone's linear layers.
        sizes: widths of input and output of those layers, by name.
        seed: of the random numbers; None where tensors are loaded over them.

    Raises:
        PromptError: LoRA, and PEFT is not installed.
    """
    if isinstance(card, AdaptersCard):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return [Adapter(sizes[name][1], card.width, card.activation, generator) for name in card.modules]
    return _low_ranks(card, sizes, seed or 0)


def stored_sizes(card: InsertsCard, inner: int, outer: int) -> dict[str, tuple[int, int] | tuple[int]]:
    """The sizes of a module's tensors by their names in files.

    Args:
        card: kind and sizes.
        inner: width of the linear layer's input.
        outer: width of its output.
    """
    if isinstance(card, AdaptersCard):
        return {
            "down.weight": (card.width, outer), "down.bias": (card.width,),
            "up.weight": (outer, card.width), "up.bias": (outer,),
        }  # fmt: skip
    return {"lora_A.weight": (card.rank, inner), "lora_B.weight": (outer, card.rank)}


def peft() -> Any:
    """The package PEFT.

    Raises:
        PromptError: it is not installed.
    """
    require("compare", "lora", error=PromptError)
    import peft as package

    return package


# Of the call that runs here: several threads may run under one prompt at once.
_OUTPUT: ContextVar[Tensor | None] = ContextVar("output", default=None)


class _Given(nn.Linear):
    """Takes the place of the frozen layer inside PEFT's, and returns the output that is already computed."""

    def forward(self, input: Tensor) -> Tensor:
        output = _OUTPUT.get()
        assert output is not None
        return output


def _low_ranks(card: LoraCard, sizes: Mapping[str, tuple[int, int]], seed: int) -> list[LowRank]:
    package = peft()
    # PEFT reads sizes, device and precision of these weights, which are never filled, and removed below.
    frozen = nn.ModuleList(
        nn.utils.skip_init(_Given, *sizes[name], bias=False, dtype=torch.float32) for name in card.modules
    )
    config = package.LoraConfig(
        r=card.rank, lora_alpha=card.alpha, lora_dropout=card.dropout, target_modules=r"\d+"
    )
    # PEFT draws from torch's global generator, whose state is put back for other code.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        package.inject_adapter_in_model(config, frozen)
    layers = []
    for layer in frozen:
        layer.base_layer.register_parameter("weight", None)  # type: ignore[union-attr]
        layers.append(LowRank(layer))
    return layers
