"""The time during which prompts are active in a model: what is put on it, and its exact undoing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import put
from softprompt.backbones.front import SoftFront
from softprompt.backbones.glance import unmasked
from softprompt.backbones.inserted import Inserted
from softprompt.backbones.placing import has_slots, occupied, reaches, shift, stands_in_text
from softprompt.backbones.positions import PositionHook, biased, first_biased
from softprompt.backbones.prefixes import Depths, Lowered, Prefix, standing
from softprompt.backbones.routing import routed
from softprompt.backbones.sites import AttentionSite
from softprompt.backbones.slots import SlotHook
from softprompt.backbones.tables import make_tables
from softprompt.backbones.vision import Vision
from softprompt.backbones.visual_hooks import VisualHooks, plan_of
from softprompt.backbones.visual_parts import VisualParts, VisualTables, prefix_layers, tabulate, token_layers
from softprompt.backbones.weights import Weights
from softprompt.backbones.windows import WindowTokens
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts.placements import KeyValues, SlotEmbeddings
from softprompt.prompts.prompt import Prompt

Lower = Callable[[Prompt], tuple[KeyValues, ...] | SlotEmbeddings | VisualParts]


class Session:
    """Prompts at work in a model. Enter it through `Backbone.prompted`.

    Args:
        model: the frozen model.
        attentions: the attentions that can be reached.
        stacks: for `encoder` and `decoder`, the module that takes that text.
        max_positions: longest input in tokens, or None.
        first_position: number of a text's first position.
        name: of the backbone, for errors.
        prompts: one or several; None stands for no prompt.
        rows: for each batch row, which prompt; None when one prompt serves all rows.
        lower: makes a prompt's placement into key/values where that is exact.
        dtype: the backbone's precision.
        vision: the model where it reads pictures.
        as_tokens: run deep visual prompts as tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attentions: Sequence[AttentionSite],
        stacks: dict[str, nn.Module],
        max_positions: int | None,
        first_position: int,
        name: str,
        prompts: Sequence[Prompt | None],
        rows: Sequence[int] | None,
        lower: Lower,
        dtype: torch.dtype,
        vision: Vision | None = None,
        as_tokens: bool = False,
    ):
        self.model = model
        self.stacks = stacks
        self.prompts = prompts
        self.rows = None if rows is None else torch.tensor(rows, dtype=torch.long)
        self.lower = lower
        self.dtype = dtype
        self.active = False
        self.paused = False
        self.generating = False
        self.current: Lowered | None = None
        self._version: Any = None
        self._depth = 0
        self._undo = ExitStack()
        in_front = "encoder" in stacks and any(map(has_slots, prompts))
        self.front: SoftFront | None = None
        if in_front:
            modules = [a.module for a in attentions if a.site == "encoder"]
            self.front = SoftFront(stacks["encoder"], stacks.get("decoder"), modules, self.rows_for)
        methods = [None if prompt is None else prompt.card.method for prompt in prompts]
        self.slots = [
            SlotHook(stack, self.rows_for, methods, takes=site == "encoder" or "encoder" not in stacks)
            for site, stack in stacks.items()
        ]
        self.attentions = attentions
        self.positions = {
            site: PositionHook(
                stack,
                self._by_row(torch.tensor([shift(prompt, site, in_front) for prompt in prompts])),
                max(occupied(prompt, site, in_front) for prompt in prompts),
                max_positions,
                first_position,
                name,
                self._columns_before if site == "encoder" else None,
            )
            for site, stack in stacks.items()
        }
        self.vision, self.as_tokens = vision, as_tokens
        self.visual: VisualHooks | None = None
        self.windows: WindowTokens | None = None
        if vision is not None:
            plan = plan_of([self._plan(prompt) for prompt in self._used()])
            self.visual = VisualHooks(vision, plan, self.rows_for, self._tables)
            if vision.windowed and plan is not None:
                self.windows = WindowTokens(vision, plan, self.rows_for, self._tables)
        self.weights = Weights(model, self._trained_weights(), name)
        self.inserted = Inserted(model, prompts, rows, self.active_rows, name)
        self.depths: list[Depths] = []
        self._shared_bias: dict[str, nn.Module | None] = {}
        self._checkpointable: list[nn.Module] = []

    def __enter__(self) -> "Session":
        try:
            self._enter()
        except BaseException:
            self._undo.close()
            raise
        self.active = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.active = False
        self._undo.close()

    def _enter(self) -> None:
        undo = self._undo
        # One walk for everybody: a step opens a session, and on a GPU it would wait for many walks.
        modules = list(self.model.modules())
        undo.enter_context(routed(self.model, modules))
        if self.visual is not None:
            undo.enter_context(unmasked(self.model))
        for slots in self.slots:  # first, so that the others see embeddings
            self._add(*slots.install())
        if self.front is not None:
            self._add(*self.front.install())
        for hook in self.positions.values():
            self._add(*hook.install())
        if any(map(biased, modules)):
            self._shared_bias = {site: first_biased(at.stack) for site, at in self.positions.items()}
        self._checkpointable = [module for module in modules if hasattr(module, "gradient_checkpointing")]
        for module, interception in standing([(a, self._prefix(a)) for a in self.attentions]):
            put(module, interception)
            undo.callback(put, module, None)
            if isinstance(interception, Depths):
                self.depths.append(interception)
        for module, interception in self._beside():
            put(module, interception)
            undo.callback(put, module, None)
        undo.callback(self.weights.lift)
        self._add(*self.inserted.install())
        if self.visual is not None:
            self._add(*self.visual.install(self._added()))
        if self.windows is not None:
            self._add(*self.windows.install())
        # A call may begin at the model, at its base or at its encoder (as `generate` does).
        for module in {self.model, self.model.base_model, *self.stacks.values()}:
            self._add(
                module.register_forward_pre_hook(self._begin, prepend=True),
                module.register_forward_hook(self._end, always_call=True),
            )
        for stack in self.stacks.values() or [self.model.base_model]:
            self._add(stack.register_forward_hook(self._guard))
        self._wrap_generate()

    def _add(self, *handles: Any) -> None:
        for handle in handles:
            self._undo.callback(handle.remove)

    def _wrap_generate(self) -> None:
        # Beam search and several returned sequences multiply the rows inside `generate`, and only there.
        if not hasattr(self.model, "generate"):
            return
        stock: Callable[..., Any] = self.model.generate  # type: ignore[assignment]

        def generate(*args: Any, **kwargs: Any) -> Any:
            self.generating = True
            try:
                return stock(*args, **kwargs)
            finally:
                self.generating = False

        self.model.__dict__["generate"] = generate
        self._undo.callback(self.model.__dict__.pop, "generate")

    # -- one forward pass ------------------------------------------------------------------------

    def _begin(self, module: nn.Module, args: Any) -> None:
        if self.paused:
            return
        self._depth += 1
        if self._depth == 1:
            for depths in self.depths:
                depths.calls = 0
            self._refresh()

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        if not self.paused:
            self._depth = max(0, self._depth - 1)

    def _refresh(self) -> None:
        """Compute the prompts' key/values: once per pass while they learn, else once."""
        present = [prompt for prompt in self.prompts if prompt is not None]
        learning = torch.is_grad_enabled() and any(p.requires_grad for m in present for p in m.parameters())
        dropping = any(m.training and m.dropout.p > 0 for m in present)
        version = [(id(p), p._version) for m in present for p in m.parameters()]
        if self.current is not None and not learning and not dropping and version == self._version:
            self.current.widened.clear()
            return
        weights = self.weights.cast(self._trained_weights())
        self.weights.lay(weights)  # before lowering, which runs the model
        self._pause(True)
        try:
            lowered = [() if prompt is None else self._lower_alone(prompt) for prompt in self.prompts]
        finally:
            self._pause(False)
        vectors = [entry.vectors if isinstance(entry, SlotEmbeddings) else None for entry in lowered]
        if self.front is not None:
            self.front.set([v if has_slots(m) else None for v, m in zip(vectors, self.prompts, strict=True)])
        for slots in self.slots:
            slots.set([v if stands_in_text(m) else None for v, m in zip(vectors, self.prompts, strict=True)])
        placed = [_key_values(entry) for entry in lowered]
        parts = [entry if isinstance(entry, VisualParts) else VisualParts() for entry in lowered]
        used = [parts[self.prompts.index(prompt)] for prompt in self._used()]
        visual = VisualTables() if self.vision is None else tabulate(parts, used)
        self.current = Lowered(make_tables(placed, self.dtype), weights, visual)
        self._version = None if learning or dropping else version

    def _lower_alone(self, prompt: Prompt) -> tuple[KeyValues, ...] | SlotEmbeddings | VisualParts:
        with self.inserted.alone(prompt):
            return self.lower(prompt)

    def _pause(self, paused: bool) -> None:
        """Let the hooks rest while a prompt is lowered, which runs the model itself."""
        self.paused = paused
        for hook in self.positions.values():
            hook.paused = paused

    @contextmanager
    def below(self, rows: Tensor) -> Iterator[None]:
        """Some rows of the batch run through layers below every prompt, which ask for positions alone."""
        whole = self.rows
        self.rows = None if whole is None else whole[rows]
        self.paused = True
        if self.visual is not None:
            self.visual.paused = True
        try:
            yield
        finally:
            self.rows, self.paused = whole, False
            if self.visual is not None:
                self.visual.paused = False

    def _guard(self, stack: nn.Module, args: Any, output: Any) -> None:
        """Make gradient checkpointing exact, or refuse it.

        Checkpointed layers run again inside `backward`; they must then find the prompts of their own
        forward pass.
        """
        layers = [m for m in self._checkpointable if m.gradient_checkpointing and m.training]
        if self.paused or not layers or not torch.is_grad_enabled():
            return
        if self.depths:
            raise BackboneError(
                "gradient checkpointing",
                "layers that share one module",
                "a module for every layer, since shared ones that run again would not know their prompts",
            )
        options = getattr(getattr(layers[0], "_gradient_checkpointing_func", None), "keywords", {})
        if options.get("use_reentrant"):
            raise BackboneError(
                "gradient checkpointing",
                "the reentrant kind",
                "the non-reentrant kind, which can pass gradients to a prompt",
                "enable it with {'use_reentrant': False}, or use backbone.training_mode",
            )
        first = output[0] if not isinstance(output, Tensor) else output
        if not first.requires_grad:
            return
        mine = self.current

        def before_backward(grad: Tensor) -> None:
            if not self.active:
                raise BackboneError(
                    "backward",
                    "a call outside `with backbone.prompted(...)`",
                    "a call inside it, because checkpointed layers run again in it",
                )
            self.current = mine
            assert mine is not None
            self.weights.lay(mine.weights)

        first.register_hook(before_backward)

    # -- rows ------------------------------------------------------------------------------------

    def rows_for(self, batch: int) -> Tensor | None:
        """Which prompt each row of a batch has; None when one prompt serves all."""
        if self.rows is None or len(self.rows) == batch:
            return self.rows
        windowed = self.vision is not None and self.vision.windowed  # windows follow picture by picture
        if (self.generating or windowed) and batch % len(self.rows) == 0:
            return self.rows.repeat_interleave(batch // len(self.rows))
        raise PromptError(
            "prompted.rows", f"{len(self.rows)} rows for a batch of {batch}", "one row per batch row"
        )

    def active_rows(self, batch: int) -> list[tuple[Prompt | None, Tensor | None]]:
        """Each prompt that has rows in a batch, with their indices (None: all rows)."""
        rows = self.rows_for(batch)
        if rows is None:
            return [(self.prompts[0], None)]
        indices = [(rows == i).nonzero()[:, 0] for i in range(len(self.prompts))]
        return [
            (prompt, None if len(index) == batch else index)
            for prompt, index in zip(self.prompts, indices, strict=True)
            if len(index)
        ]

    def text_shifts(self, batch: int) -> Tensor:
        """By how much the positions of each row's text are moved, `[batch]`; of a model with one text."""
        shifts = next(iter(self.positions.values())).shifts(batch)
        return shifts.expand(batch)

    def _by_row(self, per_prompt: Tensor) -> Callable[[int], Tensor]:
        def pick(batch: int) -> Tensor:
            rows = self.rows_for(batch)
            return per_prompt if rows is None else per_prompt[rows]

        return pick

    # -- what stands where -----------------------------------------------------------------------

    def _prefix(self, target: AttentionSite) -> Prefix | None:
        """What stands on an attention, or None where no prompt reaches it."""
        if self.vision is not None:
            there = any(target.layer in self._prefixed(prompt) for prompt in self.prompts)
        else:
            there = any(reaches(prompt, target, self.front is not None) for prompt in self.prompts)
        if not there:
            return None
        shifted = [prompt is not None and prompt.card.positions == "shifted" for prompt in self.prompts]
        at = self.positions.get(target.site)  # none for cross-attention, which has no positions
        owner = None
        if at is not None:
            owner = target.module if biased(target.module) else self._shared_bias.get(target.site)
        return Prefix(
            target, owner, torch.tensor(shifted), self._now, self.rows_for,
            lambda: None if at is None else at.text_positions,
        )  # fmt: skip

    def _prefixed(self, prompt: Prompt | None) -> Sequence[int]:
        """The layers of a model that reads pictures where a prompt is key/values."""
        assert self.vision is not None
        if prompt is None:
            return ()
        own = prefix_layers(prompt, len(self.vision.layers), self.as_tokens)
        return own or prompt.card.sites.get("encoder", [])

    def _plan(self, prompt: Prompt | None) -> Any:
        assert self.vision is not None
        return None if prompt is None else token_layers(prompt, len(self.vision.layers), self.as_tokens)

    def _used(self) -> list[Prompt | None]:
        """The prompts that rows have."""
        if self.rows is None:
            return [self.prompts[0]]
        return [self.prompts[i] for i in sorted(set(self.rows.tolist()))]

    def _added(self) -> list[int]:
        """Layers before which a prompt adds to the tokens."""
        cards = [prompt.card for prompt in self.prompts if prompt is not None]
        return sorted({i for c in cards if c.location in ("add", "add-shared") for i in c.layers})

    def _beside(self) -> list[tuple[nn.Module, Any]]:
        """What stands on attentions that have a visual prompt's tokens among their own."""
        hooks = self.windows or self.visual
        return [] if hooks is None else list(hooks.interceptions().items())

    def _tables(self) -> VisualTables:
        return self._now().visual

    @property
    def own_states(self) -> Tensor | None:
        """What the last layer made of the prompts' own tokens, where a head reads it."""
        hooks = self.windows or self.visual
        return None if hooks is None or hooks.plan is None or not hooks.plan.kept else hooks.own_states

    def _columns_before(self) -> int:
        """Soft tokens in the input of the current pass."""
        return 0 if self.front is None else self.front.n_columns

    def _now(self) -> Lowered:
        assert self.current is not None
        return self.current

    def _trained_weights(self) -> Mapping[str, Tensor]:
        """The tensors that stand in place of the backbone's own: one prompt's, for all rows."""
        used = [prompt for prompt, _ in self.active_rows(1 if self.rows is None else len(self.rows))]
        tuned = [prompt for prompt in used if prompt is not None and prompt.weights]
        if not tuned:
            return {}
        # Views of one prompt under several heads have the very same tensors.
        own = [list(map(id, prompt.weights.values())) if prompt is not None else [] for prompt in used]
        if any(tensors != own[used.index(tuned[0])] for tensors in own):
            raise PromptError(
                "prompted",
                f"a prompt with weights of its own ({tuned[0].card.method}) beside others",
                "such a prompt alone, since weights are the same for all rows of a batch",
                "give its rows a batch of their own",
            )
        return tuned[0].weights


def _key_values(entry: Any) -> tuple[KeyValues, ...]:
    if isinstance(entry, VisualParts):
        return entry.key_values
    return () if isinstance(entry, SlotEmbeddings) else entry
