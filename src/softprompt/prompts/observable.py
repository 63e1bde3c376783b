"""What prompts and methods need of a backbone."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.files import BackboneCard
from softprompt.prompts.inserts import LayerLinears
from softprompt.prompts.placements import AttentionShape, KeyValues, States
from softprompt.prompts.visual import PictureFacts


class Observable(Protocol):
    """What prompts and methods need of a backbone; `softprompt.Backbone` has all of it."""

    @property
    def card(self) -> BackboneCard:
        """Name, fingerprint and record, as stored with a prompt."""
        ...

    def known_as(self) -> frozenset[str]:
        """Fingerprints that files without a record may have for this backbone."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the inputs lie; prompts are made and loaded there."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which the backbone computes."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The backbone's tokenizer; a BackboneError if there is none."""
        ...

    @property
    def hidden(self) -> int:
        """Width of the input embeddings."""
        ...

    @property
    def max_positions(self) -> int | None:
        """The largest number of positions of a text with its prompt; None where there is no limit."""
        ...

    @property
    def state_size(self) -> int:
        """Width of the states that a head reads."""
        ...

    @property
    def stacks(self) -> frozenset[str]:
        """Which stacks take texts: `encoder`, `decoder` or both; none for a backbone that reads pictures."""
        ...

    @property
    def attentions(self) -> dict[tuple[str, int], AttentionShape]:
        """Key/value sizes of every (site, layer) that a prompt can enter."""
        ...

    @property
    def recurrences(self) -> dict[int, tuple[int, ...]]:
        """By layer, the size of the recurrent state that a prompt can set, without the batch.

        A BackboneError where there is no such layer.
        """
        ...

    def output_vectors(
        self, ids: Sequence[int]
    ) -> tuple[Float[Tensor, "token output"], Float[Tensor, " token"]]:
        """The vocabulary matrix's rows of tokens, `[token, output]`, and their biases, `[token]`."""
        ...

    @property
    def layers(self) -> Sequence[LayerLinears]:
        """Every layer, with its linear layers."""
        ...

    @property
    def reads(self) -> Literal["texts", "pictures", "sounds"]:
        """What its encoder reads, or its only stack."""
        ...

    @property
    def pictures(self) -> PictureFacts | None:
        """Facts of the pictures that the backbone reads; None where it reads texts."""
        ...

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        """The model's own tensors; one that has several names is there under each."""
        ...

    def tuned_tensors(self, tune: str, *, lm_head: bool = True) -> tuple[str, ...]:
        """Names of the tensors that a choice such as `bitfit` means, each tensor once."""
        ...

    def token_ids(self, text: str) -> list[int]:
        """The text's tokens, without special ones."""
        ...

    def sample_tokens(self, n: int, generator: torch.Generator) -> list[int]:
        """Random ordinary tokens."""
        ...

    def embed(self, ids: Sequence[int]) -> Float[Tensor, "slot hidden"]:
        """Input vectors of tokens, `[slot, hidden]`."""
        ...

    def observe(self, ids: Sequence[int]) -> tuple[KeyValues, ...]:
        """The frozen model's own key/values on tokens, for every site and layer."""
        ...

    def observe_states(self, ids: Sequence[int]) -> tuple[States, ...]:
        """The frozen model's own recurrent states behind tokens, for every recurrent layer."""
        ...
