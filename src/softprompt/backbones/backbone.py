"""The frozen model and the one way in: `prompted`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from softprompt.backbones.checks import check_prompt, prompt_of_row
from softprompt.backbones.compiled import CompiledLayers
from softprompt.backbones.describe import describe, input_weight
from softprompt.backbones.glance import native_size, reads_pictures, unmasked
from softprompt.backbones.kernels import without_plans
from softprompt.backbones.layers import find_layers
from softprompt.backbones.pixels import PixelForm
from softprompt.backbones.placing import stands_in_text
from softprompt.backbones.positions import PositionHook
from softprompt.backbones.session import Session
from softprompt.backbones.sharded import shard
from softprompt.backbones.sites import AttentionSite, find_attentions, find_stack, observe
from softprompt.backbones.slots import SlotHook, refuse_slots
from softprompt.backbones.training_mode import training_mode
from softprompt.backbones.trunk_cache import TrunkCache
from softprompt.backbones.tuned import absent_biases, tuned_tensors
from softprompt.backbones.vision import Vision
from softprompt.backbones.visual_parts import VisualParts, lower
from softprompt.backbones.vocabulary_loss import cross_entropy, finish_of, is_alone, is_frozen
from softprompt.errors import BackboneError
from softprompt.prompts.heads import CLASS, PATCH, PROMPT, SPECIAL
from softprompt.prompts.inserts import LayerLinears
from softprompt.prompts.placements import AttentionShape, KeyValues, SlotEmbeddings
from softprompt.prompts.prompt import Prompt
from softprompt.prompts.visual_placements import PictureFacts
from softprompt.store.card import BackboneCard


class Backbone:
    """A frozen transformers model that prompts can work in. Make one with `load_backbone`.

    Args:
        model: a live transformers model; its parameters are frozen here.
        tokenizer: its tokenizer; without one, texts cannot be used, token ids can.
        name: for cards and messages.
        pixels: how pictures become pixels; without it, pictures cannot be used, pixels can.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        name: str,
        pixels: PixelForm | None = None,
    ):
        self.model = model.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        self._pixels = pixels
        size = None if pixels is None else pixels.size
        self.spec = describe(model, name, size)
        self._sites = find_attentions(model, size)
        self._finish = finish_of(model)
        self.vision: Vision | None = None
        """What a model that reads pictures is made of; None where texts are read."""
        if reads_pictures(model):
            self.vision = Vision(model, self._sites, size or native_size(model))
        self.compiled: CompiledLayers | None = None
        """The layers as they run compiled inside `prompted`; None where they run as they are."""
        self.sharded = False
        """Whether the layers are shared out over several processes, which then run the same passes."""
        self.deep_as_tokens = False
        """Run deep visual prompts as tokens, the paper's own formulation, for comparisons."""
        self._session: Session | None = None
        self._bare = False
        self._trunk: TrunkCache | None = None

    def compile(self) -> None:
        """Run the layers through torch.compile inside `prompted`; `compiled.py` says which run as they are.

        Raises:
            BackboneError: layers that cannot be compiled, or no compiler.
        """
        if self.sharded:
            raise BackboneError(
                "backbone.compile",
                f"compile=True for {self.spec.name}, whose layers are shared out over processes",
                "one of the two",
                "leave one out",
            )
        size = None if self.vision is None else self.vision.size
        self.compiled = CompiledLayers(self.model, self._sites, self.vision, size, self.spec.name)

    def shard(self, device: str | torch.device) -> None:
        """Keep this process's share of every layer only; `sharded.py` says what that asks of the processes.

        Args:
            device: this process's, where everything lies afterwards.

        Raises:
            BackboneError: one process, or a model that cannot be shared out.
        """
        shard(self.model, self._sites, self.spec.name, device)
        self.sharded = True

    # -- facts -----------------------------------------------------------------------------------

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
    def pixels(self) -> PixelForm:
        """How pictures become pixels; BackboneError if that is not known."""
        if self._pixels is None:
            raise BackboneError(
                "backbone.processor",
                "a backbone without an image processor",
                "an image processor",
                "pass processor=... to load_backbone, or put preprocessor_config.json beside the weights",
            )
        return self._pixels

    @property
    def pictures(self) -> PictureFacts | None:
        """What a prompt needs to know of a model that reads pictures; None where texts are read."""
        vision, form = self.vision, self._pixels
        if vision is None:
            return None
        channels = vision.conv.in_channels
        return PictureFacts(
            vision.size[0],
            vision.size[1],
            channels,
            vision.patch[0],
            tuple(layer.n_tokens for layer in vision.layers),
            tuple(layer.width for layer in vision.layers),
            vision.n_special,
            (0.0,) * channels if form is None else form.mean,
            (1.0,) * channels if form is None else form.std,
            vision.conv_tensors,
        )

    @property
    def card(self) -> BackboneCard:
        """Name and fingerprint, as stored with a prompt."""
        return self.spec.card

    @property
    def hidden(self) -> int:
        """Width of the input embeddings, or of the first layer's tokens."""
        return self.spec.hidden

    @property
    def state_size(self) -> int:
        """Width of the hidden states that `read` gives."""
        return self.spec.state_size

    @property
    def device(self) -> torch.device:
        """Where the input embeddings lie."""
        return input_weight(self.model).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the input embeddings, in which the model computes."""
        return input_weight(self.model).dtype

    @property
    def attentions(self) -> dict[tuple[str, int], AttentionShape]:
        """Key/value sizes of every (site, layer) that a prefix can reach.

        Raises:
            BackboneError: the architecture computes attention on its own, out of a prefix's reach.
        """
        if not self._sites:
            raise BackboneError(
                "backbone",
                f"{self.spec.name} ({self.spec.family}), whose attention never calls the registered function",
                "a family whose attention goes through transformers' AttentionInterface",
            )
        return {(a.site, a.layer): a.shape for a in self._sites}

    @property
    def sites(self) -> Sequence[AttentionSite]:
        """Every attention that can be reached, with its module."""
        return self._sites

    @property
    def layers(self) -> tuple[LayerLinears, ...]:
        """Every layer with a self-attention, and the linear layers in it.

        Raises:
            BackboneError: attentions out of reach, or layers that stand in no list.
        """
        assert self.attentions  # refuses by name
        return self._layers

    # -- what initialisation needs ---------------------------------------------------------------

    def token_ids(self, text: str) -> list[int]:
        """The text's tokens, without special ones."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        """The model's own tensors by every name that they have; a shared one has several.

        Biases that its linear layers do not have are there too, as zeros.
        """
        return {**absent_biases(self.model), **dict(self.model.named_parameters(remove_duplicate=False))}

    def tuned_tensors(self, tune: str, *, lm_head: bool = True) -> tuple[str, ...]:
        """Names of the model's tensors that a choice means, each tensor once.

        Args:
            tune: `all`, `bitfit`, `biases`, `layernorm`, `head`, `last:k` or `none`, see `tuned.py`.
            lm_head: whether states are turned into words; if not, what does it is left out.

        Raises:
            PromptError: a choice that is none, or of which the model has nothing.
        """
        return tuned_tensors(self.model, self._sites, self.spec.name, tune, lm_head)

    def sample_tokens(self, n: int, generator: torch.Generator) -> list[int]:
        """Random tokens of the vocabulary, special ones left out (repeats only if n is larger)."""
        self._needs_texts("vocabulary")
        special = set(self._tokenizer.all_special_ids) if self._tokenizer is not None else set()
        ordinary = [i for i in range(min(self.spec.vocab, self._n_tokens())) if i not in special]
        order = torch.randperm(len(ordinary), generator=generator).tolist()
        return [ordinary[order[i % len(order)]] for i in range(n)]

    @torch.no_grad()
    def embed(self, ids: Sequence[int]) -> Tensor:
        """Input vectors of tokens, `[slot, hidden]`."""
        self._needs_texts("tokens")
        return self.model.get_input_embeddings()(torch.tensor(ids, device=self.device)).clone()

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
        return tuple(observe(self.model, self._sites, inputs))

    # -- the way in ------------------------------------------------------------------------------

    def prompted(
        self, prompts: Prompt | None | Sequence[Prompt | None], rows: Sequence[int] | Tensor | None = None
    ) -> AbstractContextManager[Any]:
        """Within this context, plain transformers calls run under the prompts; undone exactly.

        Args:
            prompts: one prompt for all rows, or several (None stands for no prompt).
            rows: for each batch row the index of its prompt; without it, several prompts are one per row.

        Raises:
            PromptError: a prompt for another backbone, or rows that name no prompt.
            BackboneError: a layer that cannot be reached, or prompts already active.
        """
        several = [prompts] if isinstance(prompts, Prompt) or prompts is None else list(prompts)
        single = isinstance(prompts, Prompt) or prompts is None
        index = None if single and rows is None else prompt_of_row(several, rows)
        for prompt in several:
            if prompt is not None:
                check_prompt(prompt, self.spec, self._attentions_for(prompt))
        if self._trunk is not None:
            self._trunk.check(several)
        if all(prompt is None for prompt in several):
            return self._unprompted()
        return self._active(several, index)

    @contextmanager
    def cached(self, cache: TrunkCache) -> Iterator[None]:
        """Within this context, `read`, `look` and labelled logits and states under prompts use a trunk cache.

        Raises:
            BackboneError: another cache is in use.
        """
        if self._trunk is not None:
            raise BackboneError(
                "cached",
                "a second trunk cache inside the first",
                "one trunk cache at a time",
                "leave the first session before the next",
            )
        self._trunk = cache
        try:
            yield
        finally:
            self._trunk = None

    @contextmanager
    def _unprompted(self) -> Iterator["Backbone"]:
        """No prompt at all: nothing is put on the model but a look at the ids, for slots."""
        self._one_at_a_time()
        self._bare = True
        hooks = [SlotHook(stack, lambda _: None, [None]) for stack in self._stacks.values()]
        handles = [handle for hook in hooks for handle in hook.install()]
        try:
            with self._at_work():
                yield self
        finally:
            self._bare = False
            for handle in handles:
                handle.remove()

    def _one_at_a_time(self) -> None:
        if self._session is not None or self._bare:
            raise BackboneError(
                "prompted",
                "a second session inside the first",
                "one session at a time",
                "pass a list of prompts with rows=...",
            )

    @contextmanager
    def _active(self, prompts: list[Prompt | None], rows: list[int] | None) -> Iterator["Backbone"]:
        self._one_at_a_time()
        session = Session(
            self.model, self._sites, self._stacks, self.spec.max_positions, self.spec.first_position,
            self.spec.name, prompts, rows, self._lower, self.dtype, self.vision, self.deep_as_tokens,
        )  # fmt: skip
        self._session = session
        try:
            with session, self._at_work():
                yield self
        finally:
            self._session = None

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """The kernels and the layers that run while prompts can be active."""
        with without_plans(self.device), nullcontext() if self.compiled is None else self.compiled.at_work():
            yield

    def active_rows(self, batch: int) -> list[tuple[Prompt | None, Tensor | None]]:
        """The prompts that are active now, in the order given, each with its rows of a batch.

        Args:
            batch: rows of the batch.

        Returns:
            A pair for each prompt that has rows (None is no prompt): the prompt and the indices of its
            rows, `[row]`, ascending; None in place of indices means all rows.

        Raises:
            BackboneError: outside `prompted`.
        """
        if self._session is not None:
            return self._session.active_rows(batch)
        if self._bare:
            return [(None, None)]
        raise BackboneError(
            "active_rows",
            "a call outside `with backbone.prompted(...)`",
            "a call inside it",
            "enter the session first",
        )

    def look(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """The last states of pictures under the active prompts, with the kind of every token.

        Args:
            pixel_values: `[batch, channel, height, width]`, as `pixels` makes them.

        Returns:
            States, `[batch, seq, hidden]`, in the model's precision and behind its last norm: the picture's
            own tokens, and behind them what the last layer made of the prompts' tokens where a head reads
            that; and kinds, `[seq]` for every row `[batch, seq]`, see `softprompt.prompts.heads`.

        Raises:
            BackboneError: the backbone reads texts.
        """
        vision = self._needs_pictures()
        inputs = {"pixel_values": pixel_values.to(self.device, self.dtype)}
        options = vision.options(pixel_values)
        with unmasked(self.model), self._above(inputs, options):
            output = self.model.base_model(**inputs, **options)
        states = vision.finished(output.last_hidden_state)
        kinds = [CLASS] * min(vision.n_special, 1) + [SPECIAL] * (vision.n_special - 1)
        kinds += [PATCH] * (states.shape[1] - vision.n_special)
        own = None if self._session is None else self._session.own_states
        if own is not None:
            states = torch.cat([states, own], dim=1)
            kinds += [PROMPT] * own.shape[1]
        return states, torch.tensor(kinds, device=states.device).expand(len(states), -1)

    def read(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The last hidden states, under the active prompts, without any of the model's own heads.

        An encoder-decoder reads with its encoder alone.

        Args:
            inputs: of the text: `input_ids` or `inputs_embeds`, `attention_mask`, and what else the family
                takes (`token_type_ids`); of pictures: `pixel_values`.

        Returns:
            `[batch, seq, hidden]` in the model's precision, where seq is the text's own length, or the number
            of a picture's own tokens: prompts take no places in it.
        """
        if self.vision is not None:
            states, kinds = self.look(inputs["pixel_values"])
            return states[:, : int((kinds[0] != PROMPT).sum())]
        self._refuse_slots(inputs)
        with self._counted():
            if self.spec.is_encoder_decoder:
                output = self.model.get_encoder()(**inputs)
                if self._session is not None and self._session.front is not None:
                    output = self._session.front.cut(output)
                return output.last_hidden_state
            options = {"use_cache": False} if self._decodes else {}
            with self._above(inputs, options):
                return self.model.base_model(**inputs, **options).last_hidden_state

    def labelled_logits(self, inputs: Mapping[str, Tensor], labelled: Tensor) -> Tensor:
        """Vocabulary logits at chosen positions only; the head never sees the others.

        Args:
            inputs: for the model, without labels.
            labelled: boolean, `[batch, seq]`, over the positions of the text (of the decoder, where there
                are two).

        Returns:
            `[labelled, vocab]`, in row-major order, in the model's precision.

        Raises:
            BackboneError: an encoder without a vocabulary head.
        """
        with self._choosing(inputs, labelled) as options:
            return self.model(**inputs, **options).logits[0]

    def labelled_losses(self, inputs: Mapping[str, Tensor], labelled: Tensor, wanted: Tensor) -> Tensor:
        """Negative log-likelihoods at chosen positions, without ever holding all their logits.

        Where a family does something unknown to its logits, or the vocabulary matrix learns, they are
        taken from `labelled_logits`; the numbers are the same.

        Args:
            inputs: as in `labelled_logits`.
            labelled: as in `labelled_logits`.
            wanted: the token at each of them, `[labelled]`, in row-major order.

        Returns:
            `[labelled]`, float32, differentiable.

        Raises:
            BackboneError: an encoder without a vocabulary head.
        """
        matrix: Any = self.vocabulary_matrix
        if self._finish is None or not is_alone(matrix):
            logits = self.labelled_logits(inputs, labelled)
        else:
            states = self.labelled_states(inputs, labelled)
            # Only now: what a prompt lays over the matrix lies there since the pass.
            if is_frozen(matrix):
                states = states.to(matrix.weight.device)
                return cross_entropy(states, matrix, wanted.to(states.device), self._finish)
            logits = self._finish(matrix(states))
        return nn.functional.cross_entropy(logits.float(), wanted.to(logits.device), reduction="none")

    def labelled_states(self, inputs: Mapping[str, Tensor], labelled: Tensor) -> Tensor:
        """What the vocabulary matrix reads at chosen positions: `labelled_logits` before the last layer.

        Returns:
            `[labelled, output]` in the model's precision; a masked model's states have passed the layers
            that stand before its matrix.

        Raises:
            BackboneError: an encoder without a vocabulary head.
        """
        kept: list[Tensor] = []

        def keep(matrix: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
            kept.append(args[0])
            return (args[0][:, :0],)  # the logits of no position

        with self._choosing(inputs, labelled) as options:
            # Registered last, it sees what the choice has left.
            handle = self.vocabulary_matrix.register_forward_pre_hook(keep)
            try:
                self.model(**inputs, **options)
            finally:
                handle.remove()
        return kept[0][0]

    @property
    def vocabulary_matrix(self) -> nn.Module:
        """The module that turns states into logits over the vocabulary.

        Raises:
            BackboneError: there is none.
        """
        matrix = self.model.get_output_embeddings()
        if matrix is None:
            raise BackboneError(
                "backbone",
                f"{self.spec.name} ({type(self.model).__name__}) without a vocabulary head",
                "a language model",
                "load a causal, masked or encoder-decoder model, or give the prompt a head of its own",
            )
        return matrix

    @torch.no_grad()
    def output_vectors(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The vocabulary matrix's rows of tokens, `[token, output]`, and their biases, `[token]`."""
        matrix: Any = self.vocabulary_matrix
        index = torch.tensor(ids, device=matrix.weight.device)
        vectors = matrix.weight[index].clone()
        bias = getattr(matrix, "bias", None)
        return vectors, vectors.new_zeros(len(ids)) if bias is None else bias[index].clone()

    @property
    def is_causal(self) -> bool:
        """Whether the model reads from left to right (a decoder without an encoder)."""
        return self._decodes and not self.spec.is_encoder_decoder

    def training_mode(
        self, dropout: bool = False, gradient_checkpointing: bool = False
    ) -> AbstractContextManager[None]:
        """Set the frozen model's dropout and gradient checkpointing; undone on leaving."""
        return training_mode(self.model, dropout, gradient_checkpointing)

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _choosing(self, inputs: Mapping[str, Tensor], labelled: Tensor) -> Iterator[dict[str, Any]]:
        """While entered, the vocabulary head sees chosen positions only, as one row."""
        matrix = self.vocabulary_matrix
        self._refuse_slots(inputs)
        options = {"use_cache": False} if self._decodes else {}
        with self._above(inputs, options):
            if self._decodes:
                handle = matrix.register_forward_pre_hook(lambda _, args: (args[0][labelled][None],))
            else:
                # A masked model's head has layers before its matrix: choose where states leave the base.
                handle = self.model.base_model.register_forward_hook(
                    lambda _, args, output: _with_states(output, output[0][labelled][None])
                )
            try:
                yield options
            finally:
                handle.remove()

    def _above(
        self, inputs: Mapping[str, Tensor], options: Mapping[str, Any]
    ) -> AbstractContextManager[None]:
        """While entered, a pass over these inputs starts where the trunk cache, if there is one, ends."""
        if self._trunk is None or self._session is None:
            return nullcontext()
        return self._trunk.serving(
            self._session, inputs, lambda some: self.model.base_model(**some, **options)
        )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Without a session too, positions are counted along the mask: left padding changes nothing."""
        handles: list[Any] = []
        if self._session is None:
            none = torch.zeros(1, dtype=torch.long)
            for stack in self._stacks.values():
                handles += PositionHook(
                    stack,
                    lambda _: none,
                    0,
                    self.spec.max_positions,
                    self.spec.first_position,
                    self.spec.name,
                ).install()
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _lower(self, prompt: Prompt) -> tuple[KeyValues, ...] | SlotEmbeddings | VisualParts:
        """A placement as key/values where that is exact: soft tokens before a decoder go through it once."""
        if prompt.card.placement == "image":
            assert self.vision is not None
            return lower(prompt, self.vision, self.deep_as_tokens)
        placed: Any = prompt()
        encodes = any(a.site == "encoder" for a in self._sites)
        if isinstance(placed, tuple) or encodes or stands_in_text(prompt):
            return placed
        vectors = placed.vectors.to(self.device, self.dtype)[None]
        return tuple(observe(self.model, self._sites, {"inputs_embeds": vectors}))

    @cached_property
    def _stacks(self) -> dict[str, nn.Module]:
        """For `encoder` and `decoder`, the module that takes that text."""
        if self.vision is not None:
            return {}
        sites = {a.site for a in self._sites}
        return {
            site: find_stack(self.model, [a for a in self._sites if a.site == site])
            for site in ("encoder", "decoder")
            if site in sites
        }

    @cached_property
    def _layers(self) -> tuple[LayerLinears, ...]:
        return find_layers(self.model, self._sites, self.spec.name)

    def _attentions_for(self, prompt: Prompt) -> dict[tuple[str, int], AttentionShape]:
        """What is there for a prompt; one without vectors asks for nothing."""
        placed = prompt.card.sites or prompt.card.placement in ("slot_embeddings", "image")
        return self.attentions if placed else {}

    def _needs_texts(self, what: str) -> None:
        if self.vision is not None:
            raise BackboneError(
                "prompt.initialization",
                f"{what} on {self.spec.name}, which reads pictures",
                "'random', 'zero', 'prompt: FOLDER' or a prompt",
            )

    def _needs_pictures(self) -> Vision:
        if self.vision is None:
            raise BackboneError(
                "backbone",
                f"{self.spec.name}, which reads texts",
                "a backbone that reads pictures",
                "use `read` for texts",
            )
        return self.vision

    @property
    def _decodes(self) -> bool:
        return any(a.site == "decoder" for a in self._sites)

    def _refuse_slots(self, inputs: Mapping[str, Tensor]) -> None:
        # Inside `prompted` the hooks know which rows may have slots.
        if self._session is None and not self._bare:
            refuse_slots(inputs.get("input_ids"))

    def _fits(self, n_tokens: int) -> None:
        longest = self.spec.max_positions
        if longest is not None and n_tokens > longest:
            raise BackboneError("prompt.initialization", f"{n_tokens} tokens", f"at most {longest}")

    def _n_tokens(self) -> int:
        return self.spec.vocab if self._tokenizer is None else len(self._tokenizer)


def _with_states(output: Any, states: Tensor) -> Any:
    """A base model's output with other last hidden states."""
    if isinstance(output, tuple):
        return (states, *output[1:])
    output.last_hidden_state = states
    return output
