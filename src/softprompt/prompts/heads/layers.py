"""The trained layers of a head."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.files import HeadCard
from softprompt.prompts.heads.kinds import KINDS, OutputSizes, head_width
from softprompt.prompts.heads.pooling import pool_picture, pool_text


class Head(nn.Module):
    """A linear layer on hidden states, in float32 whatever the backbone's precision is.

    A picture's head may have hidden layers before it, as wide as the states, with ReLU.

    Source: P-Tuning v2 (2110.07602) §3.2: a randomly initialised linear head. Its weights begin at
    N(0, 0.02) and its biases at 0, as the official code's do through transformers. Deviations: no frozen
    pooler between state and head (the official RoBERTa runs read through one), and it begins from a
    generator of its own. Visual prompt tuning (2203.12119) §3.1 and its MLP-k baseline: its code begins at
    Kaiming's N(0, 2 / labels), which training would leave in directions that no picture has, and at equal
    biases, which change no softmax; and the code has batch norm between hidden layers, with which an answer
    would depend on the batch. Both are left out.

    Args:
        card: what the head reads and its outputs, with `pooling` resolved.
        width: numbers that the first layer reads.
        generator: source of the random numbers; None leaves zeros, for tensors of a file.
    """

    def __init__(self, card: HeadCard, width: int, generator: torch.Generator | None = None):
        super().__init__()
        self.card = card
        self.dropout = nn.Dropout(card.dropout)
        self.hidden = nn.ModuleList(_hidden(width, generator) for _ in range(card.hidden_layers))
        self.weight = nn.Parameter(torch.zeros(card.n_outputs, width))
        self.bias = nn.Parameter(torch.zeros(card.n_outputs))
        if generator is not None:
            with torch.no_grad():
                self.weight.normal_(0, 0.02, generator=generator)

    def forward(
        self, states: Float[Tensor, "row seq hidden"], mask: Int[Tensor, "row seq"]
    ) -> Float[Tensor, "row ..."]:
        """The outputs: `[row, output]`, or `[row, seq, output]` where every token is read.

        Args:
            states: of the text alone; of a picture, with the prompt's own outputs where the head reads them.
            mask: 1 on real tokens, with the padding on either side; of a picture, the kinds of its tokens.

        Raises:
            PromptError: a picture without tokens of the kinds that `pooling` means.
        """
        if KINDS[self.card.kind].of_pictures:
            states = pool_picture(states, mask, self.card.pooling or "cls")
        elif self.card.pooling is not None:
            states = pool_text(states, mask, self.card.pooling)
        return self.outputs(states)

    def outputs(self, read: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch output"]:
        """The layers alone, on pooled states or whatever else the head reads."""
        for layer in self.hidden:
            read = nn.functional.relu(layer(self.dropout(read.float())))
        return nn.functional.linear(self.dropout(read.float()), self.weight, self.bias)


def empty_head(card: HeadCard, backbone: OutputSizes, generator: torch.Generator) -> Head:
    """A head of the width that its kind reads, where training begins."""
    values = KINDS[card.kind].start(card, backbone)
    if values is None:
        return Head(card, head_width(card, backbone), generator)
    weight, bias = values
    head = Head(card, weight.shape[1])
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return head


def _hidden(width: int, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, width, width)
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight.zero_()
        if generator is not None:
            layer.weight.normal_(0, (2 / width) ** 0.5, generator=generator)  # Kaiming's, for ReLU
    return layer
