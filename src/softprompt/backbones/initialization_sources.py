"""Sources of initial prompts: tokens, their vectors, the frozen model's own activations and tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from softprompt.backbones.attention import intercepting
from softprompt.backbones.injection import observe
from softprompt.backbones.inspection import (
    BackboneSpec,
    Vision,
    absent_biases,
    base_module,
    tuned_tensors,
    word_vectors,
)
from softprompt.backbones.outputs import Outputs
from softprompt.backbones.recurrence import held_state, is_cache
from softprompt.errors import BackboneError, counted
from softprompt.prompts import KeyValues, States


class InitializationSources(Outputs):
    """What initialisations of prompts read from a frozen model.

    Attributes:
        model: the frozen model.
        spec: its sizes and names.
    """

    model: PreTrainedModel
    spec: BackboneSpec
    _tokenizer: PreTrainedTokenizerBase | None

    @property
    def vision(self) -> Vision | None:
        """The parts of a model that reads pictures; None for one that reads texts."""
        return self.map.vision

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer; BackboneError if there is none."""
        if self._tokenizer is None:
            raise BackboneError(
                "backbone.tokenizer",
                "a backbone without a tokenizer",
                "a tokenizer",
                "pass tokenizer=... to load_backbone with a live model",
            )
        return self._tokenizer

    @property
    def max_positions(self) -> int | None:
        """The largest number of positions of a text with its prompt; None where there is no limit."""
        return self.spec.max_positions

    def token_ids(self, text: str) -> list[int]:
        """The text's tokens, without special ones."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        """The model's own tensors by name; a shared tensor is listed under each of its names.

        Biases that linear layers do not have are listed as zeros.
        """
        return {**absent_biases(self.model), **dict(self.model.named_parameters(remove_duplicate=False))}

    def tuned_tensors(self, tune: str, *, lm_head: bool = True) -> tuple[str, ...]:
        """Names of the model's tensors that a choice means, each tensor once.

        Args:
            tune: `all`, `bitfit`, `biases`, `layernorm`, `head`, `last:k` or `none`, see `parameters.py`.
            lm_head: whether the vocabulary head is used; its tensors are left out if not.

        Raises:
            PromptError: an unknown choice, or one of which the model has no tensor.
        """
        return tuned_tensors(self.model, self.map.attentions, self.spec.name, tune, lm_head)

    def sample_tokens(self, n: int, generator: torch.Generator) -> list[int]:
        """Random tokens of the vocabulary, special ones left out (repeats only if n is larger)."""
        self._needs_texts("vocabulary")
        special = set(self._tokenizer.all_special_ids) if self._tokenizer is not None else set()
        ordinary = [i for i in range(min(self.spec.vocab, self._n_tokens())) if i not in special]
        order = torch.randperm(len(ordinary), generator=generator).tolist()
        return [ordinary[order[i % len(order)]] for i in range(n)]

    @torch.no_grad()
    def embed(self, ids: Sequence[int]) -> Float[Tensor, "slot hidden"]:
        """Input vectors of tokens, `[slot, hidden]`."""
        self._needs_texts("tokens")
        with self._gate.calling(None):
            return word_vectors(
                self.model.get_input_embeddings(), torch.tensor(ids, device=self.device)
            ).clone()

    @torch.no_grad()
    def observe(self, ids: Sequence[int]) -> tuple[KeyValues, ...]:
        """The frozen model's own key/values on tokens, for every site and layer.

        An encoder-decoder reads the same tokens in its encoder and in its decoder.
        """
        self._needs_texts("tokens")
        self._fits(len(ids))
        row = torch.tensor([list(ids)], device=self.device)
        inputs = {"input_ids": row}
        if self.spec.is_encoder_decoder:
            inputs["decoder_input_ids"] = row
        with self._gate.turn(alone=False), self._gate.calling(None):
            return observe(self.map, inputs)

    @property
    def recurrences(self) -> dict[int, tuple[int, ...]]:
        """By layer, the size of the recurrent state that a prompt can set; found and tried once, when asked.

        Raises:
            BackboneError: no recurrent layer, or one that cannot begin from a state of ours.
        """
        if not self.map.knows_recurrences:
            # Alone, since layers are recorded and tried by themselves.
            with self._gate.turn(alone=True), self._gate.calling(None), intercepting(None):
                _ = self.map.recurrences
        return {one.layer: one.size for one in self.map.recurrences}

    @torch.no_grad()
    def observe_states(self, ids: Sequence[int]) -> tuple[States, ...]:
        """The frozen model's own recurrent states behind tokens, a block for each size of state."""
        self._fits(len(ids))
        sizes = self.recurrences
        row = torch.tensor([list(ids)], device=self.device)
        with self._gate.turn(alone=False), self._gate.calling(None), intercepting(None):
            output = base_module(self.model)(input_ids=row, use_cache=True)
        cache = next(value for value in output.values() if is_cache(value))
        groups: dict[tuple[int, ...], dict[int, Tensor]] = {}
        for layer, size in sizes.items():
            state = held_state(cache, layer)
            assert state is not None  # the layer was found by it
            groups.setdefault(size, {})[layer] = state
        return tuple(States(tuple(group), torch.cat(list(group.values()))) for group in groups.values())

    @torch.no_grad()
    def output_vectors(
        self, ids: Sequence[int]
    ) -> tuple[Float[Tensor, "token output"], Float[Tensor, " token"]]:
        """The vocabulary matrix's rows of tokens, `[token, output]`, and their biases, `[token]`."""
        matrix: Any = self.vocabulary_matrix
        index = torch.tensor(ids, device=matrix.weight.device)
        vectors = matrix.weight[index].clone()
        bias = getattr(matrix, "bias", None)
        return vectors, vectors.new_zeros(len(ids)) if bias is None else bias[index].clone()

    def _needs_texts(self, what: str) -> None:
        if self.spec.reads != "texts":
            raise BackboneError(
                "method.initialization",
                f"{what} on {self.spec.name}, which reads {self.spec.reads}",
                "'random', 'zero', 'prompt: FOLDER' or a prompt",
            )

    def _fits(self, n_tokens: int) -> None:
        longest = self.spec.max_positions
        if longest is not None and n_tokens > longest:
            raise BackboneError("method.initialization", counted(n_tokens, "token"), f"at most {longest}")

    def _n_tokens(self) -> int:
        return self.spec.vocab if self._tokenizer is None else len(self._tokenizer)
