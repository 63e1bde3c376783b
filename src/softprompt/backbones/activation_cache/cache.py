"""The trunk cache: the states of each input below the first prompted layer, computed once."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol
from weakref import WeakSet

import torch
from torch import Tensor, nn

from softprompt.backbones.activation_cache.depth import first_injected_layer
from softprompt.backbones.activation_cache.skip import LayerSkipper, model_layers
from softprompt.backbones.activation_cache.store import ActivationStore
from softprompt.backbones.injection import PassContext, input_weight
from softprompt.backbones.inspection import ModelMap, described_again
from softprompt.errors import BackboneError
from softprompt.prompts import Prompt


class Mapped(Protocol):
    """What a cache needs of a backbone."""

    @property
    def map(self) -> ModelMap:
        """Where things are in its model."""
        ...


_READ = {"input_ids", "attention_mask", "token_type_ids"}
"""Of a text: what a key is made of. Rows with more are computed every time."""


@dataclass
class CacheCounts:
    """What a cache has done, in rows of batches.

    Args:
        found: rows whose states were there.
        computed: rows whose states were computed.
        unkept: those of them that were not kept because the cache was full.
        seconds_found: time spent to find rows.
        seconds_computed: time spent to compute rows.
        tokens_found: tokens of the rows found.
        tokens_computed: tokens of the rows computed.
    """

    found: int = 0
    computed: int = 0
    unkept: int = 0
    seconds_found: float = 0.0
    seconds_computed: float = 0.0
    tokens_found: int = 0
    tokens_computed: int = 0

    @property
    def seconds_saved(self) -> float | None:
        """What the rows found would have taken at the rate of those computed, less finding them."""
        if self.tokens_computed == 0:
            return None
        rate = self.seconds_computed / self.tokens_computed
        return self.tokens_found * rate - self.seconds_found


class ActivationCache:
    """The states that enter a layer, kept for each input; later passes start at that layer.

    The prompts act in that layer or above, so the layers below depend on the input alone: on its tokens,
    their types and positions, or on its pixels. States are kept in the backbone's own
    precision, without padding. Active inside `backbone.cached(cache)`, for `read`, `look`, `labelled_logits`
    and `labelled_states` under prompts; generating runs all layers.

    Args:
        backbone: the frozen model.
        prompts: that will be active; the lowest layer that any acts in is where passes start.
        states: where they are kept.
        when_full: called once, when the first row finds no room.

    Raises:
        PromptError: a prompt that acts before or in the first layer.
        BackboneError: a family whose layers cannot be left out.
    """

    def __init__(
        self,
        backbone: Mapped,
        prompts: Iterable[Prompt],
        states: ActivationStore,
        when_full: Callable[[], None] = lambda: None,
    ):
        self._map = where = backbone.map
        self._layers = model_layers(where.model, where.attentions, where.vision, where.spec.name)
        self._known: WeakSet[Prompt] = WeakSet()
        prompts = list(prompts)
        self.n_below = self._lowest(prompts)
        """How many layers are left out: their number where only a head is trained."""
        self._known.update(prompts)
        modules = list(self._layers.values())[: self.n_below]
        self._skipper = LayerSkipper(where.model, modules, where.vision, where.spec.name)
        self.states = states
        self.counts = CacheCounts()
        self._when_full = when_full
        self._said_full = False
        self._context = self._of_backbone()

    @property
    def n_layers(self) -> int:
        """Layers of the backbone."""
        return len(self._layers)

    def check(self, prompts: Iterable[Prompt | None]) -> None:
        """Refuse prompts that act below the layer where passes start.

        Raises:
            BackboneError: there is one.
        """
        new = [prompt for prompt in prompts if prompt is not None and prompt not in self._known]
        lowest = self._lowest(new) if new else self.n_below
        if lowest < self.n_below:
            raise BackboneError(
                "prompted",
                f"a prompt that acts in layer {lowest}",
                f"prompts that act in layer {self.n_below} or above, where the trunk cache starts",
                "make the cache for all prompts that it will see",
            )
        self._known.update(new)

    @contextmanager
    def serving(
        self, context: PassContext, inputs: Mapping[str, Tensor], call: Callable[[dict[str, Tensor]], object]
    ) -> Iterator[None]:
        """While entered, a pass over these inputs starts at the cache's layer.

        Args:
            context: the outermost call under the active prompts.
            inputs: of the pass.
            call: runs the base model on some rows of them.
        """
        rows = self._rows(context, inputs)
        if rows is None:
            yield
            return
        keys, masks = rows
        with self._skipper.left_out(self._states(context, inputs, call, keys, masks)):
            yield

    @torch.no_grad()
    def _states(
        self,
        context: PassContext,
        inputs: Mapping[str, Tensor],
        call: Callable[[dict[str, Tensor]], object],
        keys: list[bytes],
        masks: Tensor | None,
    ) -> Tensor:
        """The states of a batch, `[batch, seq, hidden]`; zeros at padding, which nothing reads."""
        counts, started = self.counts, time.perf_counter()
        found = [self.states.get(key) for key in keys]
        missing = [i for i, states in enumerate(found) if states is None]
        counts.found += len(keys) - len(missing)
        counts.tokens_found += sum(len(states) for states in found if states is not None)
        counts.seconds_found += time.perf_counter() - started
        fresh: Tensor | None = None
        if missing:
            started = time.perf_counter()
            index = torch.tensor(missing)
            some = dict(inputs)
            if len(missing) < len(keys):
                some = {name: tensor[index.to(tensor.device)] for name, tensor in inputs.items()}
            assert context.below is not None
            with context.below(index):
                fresh = self._skipper.run(lambda: call(some))
            counts.computed += len(missing)
            for i, states in zip(missing, fresh, strict=True):
                own = states if masks is None else states[masks[i].to(states.device)]
                found[i] = own
                counts.tokens_computed += len(own)
                if not self.states.put(keys[i], own):
                    self._full()
            counts.seconds_computed += time.perf_counter() - started
        started = time.perf_counter()
        rows = [states for states in found if states is not None]
        # Where all rows were found they are on the CPU, and the whole batch moves at once.
        where = rows[0].device if fresh is None else fresh.device
        if masks is None or bool(masks.all()):
            whole = torch.stack([states.to(where) for states in rows])
        else:
            whole = torch.zeros(*masks.shape, rows[0].shape[1], dtype=rows[0].dtype, device=where)
            # The real tokens of a row are contiguous.
            for row, start, states in zip(whole, masks.int().argmax(1).tolist(), rows, strict=True):
                row[start : start + len(states)] = states
        self._device = self._device if fresh is None else fresh.device
        whole = whole.to(self._device)
        counts.seconds_found += time.perf_counter() - started
        return whole

    def _rows(
        self, context: PassContext, inputs: Mapping[str, Tensor]
    ) -> tuple[list[bytes], Tensor | None] | None:
        """A key for each row and which of its places are its own, `[batch, seq]`; None: not for the cache."""
        if set(inputs) == {"pixel_values"}:
            pixels = inputs["pixel_values"].detach().cpu().contiguous()
            shape = f"pixels {tuple(pixels.shape[1:])}".encode()
            return [self._key(shape, row.view(torch.uint8).numpy()) for row in pixels], None
        if "input_ids" not in inputs or set(inputs) - _READ:
            return None
        ids = inputs["input_ids"].detach().cpu()
        mask = inputs.get("attention_mask")
        masks = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.detach().cpu().bool()
        edges = nn.functional.pad(masks.int(), (1, 0)).diff(dim=1)
        if ids.ndim != 2 or masks.shape != ids.shape or bool(((edges > 0).sum(1) != 1).any()):
            return None
        types = inputs.get("token_type_ids")
        types = torch.zeros_like(ids) if types is None else types.detach().cpu()
        both = torch.stack([ids, types], dim=-1).long()
        assert context.text_shifts is not None
        shifts = context.text_shifts(len(ids)).tolist()
        keys = [
            self._key(f"tokens from {shift}".encode(), row[own].numpy())
            for row, own, shift in zip(both, masks, shifts, strict=True)
        ]
        return keys, masks

    def _key(self, kind: bytes, content: object) -> bytes:
        digest = hashlib.blake2b(self._context, digest_size=16)
        digest.update(kind)
        digest.update(content)  # type: ignore[arg-type]
        return digest.digest()

    def _of_backbone(self) -> bytes:
        """All that determines the states besides the input."""
        config, weight = self._map.model.config, input_weight(self._map)
        facts = {
            # Exactly: a fine-tuning may round to the same bfloat16.
            "weights": described_again(self._map.model, self._map.spec).card.key,
            "below": self.n_below,
            "dtype": weight.dtype,
            "attention": config._attn_implementation,
            "quantization": getattr(config, "quantization_config", None),
            "device": weight.device.type,
            "torch": torch.__version__,
            "transformers": version("transformers"),
        }
        self._device = weight.device
        return repr(sorted((key, str(value)) for key, value in facts.items())).encode("utf-8")

    def _lowest(self, prompts: Iterable[Prompt]) -> int:
        return first_injected_layer(self._map, self._layers, prompts)

    def _full(self) -> None:
        self.counts.unkept += 1
        if not self._said_full:
            self._said_full = True
            self._when_full()
