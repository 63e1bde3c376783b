"""A prompt and its frozen model as one module, for programs that train or use a module."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Self

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.callers.model_surface import ModelSurface
from softprompt.backbones.callers.prompted_class import PromptedPart, class_for
from softprompt.backbones.callers.prompted_heads import read_head
from softprompt.backbones.runtime import (
    gradients_by_hand,
    layers_in_training,
)
from softprompt.backbones.view import PromptedView
from softprompt.errors import BackboneError, PromptError, with_article
from softprompt.prompts import Prompt

_RUNNING: "ContextVar[tuple[PromptedModel, ...]]" = ContextVar("running", default=())

_WITHOUT_A_PASS = frozenset({
    "add_memory_hooks", "disable_input_require_grads", "enable_input_require_grads", "estimate_tokens",
    "floating_point_ops", "get_input_embeddings", "get_memory_footprint", "get_position_embeddings",
    "is_backend_compatible", "resize_token_embeddings", "set_attn_implementation", "set_input_embeddings",
    "set_output_embeddings", "tie_weights",
})  # fmt: skip
"""Methods of a model that are called as they are; every other one runs under the prompt."""


class PromptedModel(ModelSurface):
    """A frozen model under a prompt, as the module that Trainer, TRL, accelerate and pipelines take.

    Its parameters, its `state_dict` and what `save_pretrained` writes are the prompt's and nothing else's:
    the frozen model is no submodule of it. `forward` and `generate` are the frozen model's own, run under
    the prompt; so are its base model, its stacks and its other methods, which are asked for by their names.
    What is set here as `config` or `generation_config` is set on the frozen model.

    `train()` and `eval()` act on the prompt (its dropout). The frozen model stays as it is, in evaluation
    mode unless somebody calls `backbone.model.train()`. A move (`.to`, `.cuda`) takes the prompt to where the
    backbone lies and is refused anywhere else; a cast (`.half`, `.to(dtype)`) is always refused. A copy made
    by `copy.deepcopy` has a prompt of its own and shares the frozen model.

    The class of an instance has the name and the signature of the frozen model's class, by which
    transformers' Trainer tells which labels a model takes and how its loss is computed; it is a subclass of
    this one. A prompt with a head is another model: it takes `labels` of the head's, see `prompted_heads`.

    Args:
        backbone: the frozen model, as `load_backbone` gives it.
        prompt: one prompt for all rows, None for the bare model, or several of them.
        rows: for each batch row the index of its prompt, as `Backbone.prompted` takes them.

    Raises:
        PromptError: a prompt for another backbone, rows that name no prompt, or a head among several prompts.
        BackboneError: something that is no backbone.
    """

    def __new__(
        cls,
        backbone: Backbone,
        prompt: Prompt | None | Sequence[Prompt | None],
        rows: Sequence[int] | Tensor | None = None,
    ) -> Self:
        """An instance of the class that stands for this backbone's."""
        if not isinstance(backbone, Backbone):
            raise BackboneError(
                "PromptedModel",
                with_article(type(backbone).__name__),
                "a backbone",
                "load it with softprompt.load_backbone, which takes live models too",
            )
        headed = isinstance(prompt, Prompt) and prompt.head is not None
        return nn.Module.__new__(class_for(cls, type(backbone.model), headed))  # type: ignore[return-value]

    def __init__(
        self,
        backbone: Backbone,
        prompt: Prompt | None | Sequence[Prompt | None],
        rows: Sequence[int] | Tensor | None = None,
    ):
        super().__init__()
        backbone.prompted(prompt, rows)  # checks them, and opens nothing
        self.backbone = backbone
        self.rows = rows
        several = [prompt] if isinstance(prompt, Prompt) or prompt is None else list(prompt)
        self._several = not (isinstance(prompt, Prompt) or prompt is None) or rows is not None
        different = list(dict.fromkeys(one for one in several if one is not None))
        self.prompts = nn.ModuleList(different)
        self._order = tuple(None if one is None else different.index(one) for one in several)
        if self._several and any(one is not None and one.head is not None for one in several):
            raise PromptError(
                "PromptedModel",
                "a prompt with a head among several, or with rows",
                "one prompt with a head for all rows",
                "train several at once with backbone.prompted and backbone.active_rows",
            )
        self.training = any(one.training for one in self.prompts) or not len(self.prompts)

    # -- calls -----------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The frozen model's own call, under the prompt; with a head, the head's answer.

        Raises:
            BackboneError: labels for a model without a loss, or a call inside a session of other prompts.
            PromptError: what a head does not take.
        """
        if self._single_head is not None:
            return read_head(self, args, kwargs)
        if kwargs.get("labels") is not None and not self._takes_labels:
            raise BackboneError(
                "PromptedModel",
                f"labels for {self.backbone.spec.name} ({type(self).__name__}), which has no loss",
                "a model with one, or a prompt with a head",
                "build the prompt with head=softprompt.head(...), or compute the loss from last_hidden_state",
            )
        return self.learn(self.backbone.model, *args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The frozen model's own `generate`, under the prompt."""
        # Looked up inside, where the session is known.
        return self.run(lambda: self.backbone.model.generate(*args, **kwargs))  # type: ignore[operator]

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Any function that calls the frozen model, under the prompt.

        Args:
            function: called in this thread.
            args: its arguments.
            kwargs: its keywords.

        Raises:
            BackboneError: inside a session of other prompts.
        """
        with self.prompted() as view:
            return function(*args, **kwargs) if view is None else view.run(function, *args, **kwargs)

    def learn(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As `run`, for one pass: while this module is in training, activations are recomputed if that is on.

        Args:
            function: called in this thread.
            args: its arguments.
            kwargs: its keywords.

        Raises:
            BackboneError: inside a session of other prompts.
        """
        with ExitStack() as stack:
            if self.training and torch.is_grad_enabled() and self.is_activation_checkpointing:
                stack.enter_context(layers_in_training(self.backbone.model))
            return self.run(function, *args, **kwargs)

    @contextmanager
    def prompted(self) -> Iterator[PromptedView | None]:
        """A session of the backbone under the prompt; None inside one of this module's own calls.

        Raises:
            BackboneError: inside a session of other prompts.
        """
        if self in _RUNNING.get():  # a logits processor, say, that calls the model
            yield None
            return
        if self.backbone.in_session:
            raise BackboneError(
                "PromptedModel",
                "a call inside `with backbone.prompted(...)`, or inside a call of another PromptedModel",
                "one outside: the module brings its prompt itself",
                "leave that block, or call backbone.model in it",
            )
        prompts = [None if i is None else self.prompts[i] for i in self._order]
        given: Any = prompts if self._several else prompts[0]
        # Whoever trains this module in several processes wraps it, or its parameters, as any module's.
        with gradients_by_hand(), self.backbone.prompted(given, self.rows) as view:
            token = _RUNNING.set((*_RUNNING.get(), self))
            try:
                yield view
            finally:
                _RUNNING.reset(token)

    # -- the prompt ------------------------------------------------------------------------------

    @property
    def prompt(self) -> Prompt:
        """The one prompt.

        Raises:
            PromptError: there is none, or there are several.
        """
        if self._several or not len(self.prompts):
            n = f"{len(self.prompts)} prompts" if len(self.prompts) else "no prompt"
            raise PromptError("PromptedModel", n, "one", "use its `prompts`, each of which has a `save`")
        return self.prompts[0]  # type: ignore[return-value]

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _single_head(self) -> Any:
        return None if self._several or not len(self.prompts) else self.prompt.head

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        here = self.backbone.device
        moved = fn(torch.zeros(1, device=here))
        if moved.dtype != torch.float32:
            raise BackboneError(
                "PromptedModel.to",
                str(moved.dtype).removeprefix("torch."),
                "float32, in which a prompt is trained whatever the model computes in",
                "for another precision load the backbone with dtype=..., or use bf16=True (autocast)",
            )
        if moved.device != here:
            raise BackboneError(
                "PromptedModel.to",
                str(moved.device),
                f"{here}, where the backbone lies: it is not moved with the prompt",
                "load the backbone on the device that the trainer uses, load_backbone(..., device=...), or "
                "tell the trainer to stay here (use_cpu=True)",
            )
        return super()._apply(fn, recurse)

    def _replicate_for_data_parallel(self) -> Any:
        raise BackboneError(
            "PromptedModel",
            "torch.nn.DataParallel on several GPUs, which Trainer uses where one process sees them",
            "one process for each GPU",
            "start with torchrun or accelerate launch, or show one GPU (CUDA_VISIBLE_DEVICES=0)",
        )

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for group in ("_parameters", "_buffers", "_modules"):
            if name in own.get(group, ()):
                return own[group][name]
        if "backbone" not in own or name.startswith("__"):
            raise AttributeError(f"'PromptedModel' has no attribute '{name}'")
        return self._handed(getattr(own["backbone"].model, name), name)

    def _handed(self, found: Any, name: str = "") -> Any:
        """Something of the frozen model, so that its calls run under the prompt."""
        entries = self.backbone.map.entries
        if isinstance(found, nn.Module) and any(found is entry for entry in entries):
            return PromptedPart(self, found)
        bound = getattr(found, "__self__", None)
        if name in _WITHOUT_A_PASS or not any(bound is entry for entry in entries):
            return found
        return _method(self, found)

    def __deepcopy__(self, memo: dict[int, Any]) -> "PromptedModel":
        memo[id(self.backbone)] = self.backbone
        copied = self.__class__.__new__(self.__class__, self.backbone, None)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        return _blank, (kind.made_from, kind.stands_for, kind.headed), self.__dict__  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        methods = ", ".join(one.card.method for one in self.prompts) or "no prompt"  # type: ignore[union-attr]
        return f"PromptedModel({self.backbone.spec.name}, {methods})"


def _blank(kind: type, model_class: type, headed: bool) -> PromptedModel:
    made = class_for(kind, model_class, headed)
    return nn.Module.__new__(made)


def _method(owner: PromptedModel, method: Callable[..., Any]) -> Callable[..., Any]:
    def under_the_prompt(*args: Any, **kwargs: Any) -> Any:
        return owner._handed(owner.run(method, *args, **kwargs))

    under_the_prompt.__name__ = getattr(method, "__name__", "method")
    under_the_prompt.__wrapped__ = method  # type: ignore[attr-defined]
    return under_the_prompt
