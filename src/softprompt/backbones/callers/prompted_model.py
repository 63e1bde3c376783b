"""A prompt and its frozen model as one module, for programs that train or use modules."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Self

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.callers.model_parts import under_prompt
from softprompt.backbones.callers.model_surface import ModelSurface
from softprompt.backbones.callers.prompted_class import class_for
from softprompt.backbones.callers.prompted_heads import read_head
from softprompt.backbones.runtime import gradients_by_hand, layers_in_training
from softprompt.backbones.view import PromptedView
from softprompt.errors import BackboneError, PromptError, counted, with_article
from softprompt.prompts import Prompt

_RUNNING: "ContextVar[tuple[PromptedModel, ...]]" = ContextVar("running", default=())


class PromptedModel(ModelSurface):
    """A frozen model under a prompt, as the module that Trainer, TRL, accelerate and pipelines take.

    Parameters, `state_dict` and the folder written by `save_pretrained` contain only the prompt: the frozen
    model is not a submodule. `forward` and `generate` run those of the frozen model under the prompt; the
    base model, the stacks and other methods of the frozen model are attributes, and run under the prompt too.
    Setting `config` or `generation_config` sets that of the frozen model.

    `train()` and `eval()` act on the prompt (its dropout). The frozen model keeps its own mode, which is
    evaluation unless `backbone.model.train()` is called. A move (`.to`, `.cuda`) is possible only to the
    device of the backbone; a cast (`.half`, `.to(dtype)`) is always refused. `copy.deepcopy` copies the
    prompt and shares the frozen model.

    The class of an instance is a subclass with the name and the signature of the frozen model's class, from
    which transformers' Trainer learns the labels that a model takes and how its loss is computed. With a
    prompt that has a head, `labels` are those of the head, see `prompted_heads`.

    Args:
        backbone: the frozen model, from `load_backbone`.
        prompt: one prompt for all rows, None for the bare model, or several of them.
        rows: for each batch row the index of its prompt, as in `Backbone.prompted`.

    Raises:
        PromptError: a prompt for another backbone, a row without a prompt, or a head among several prompts.
        BackboneError: an argument that is not a backbone.
    """

    def __new__(
        cls,
        backbone: Backbone,
        prompt: Prompt | None | Sequence[Prompt | None],
        rows: Sequence[int] | Tensor | None = None,
    ) -> Self:
        """An instance of the subclass for this backbone's class."""
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
        backbone.prompted(prompt, rows)  # checks the arguments; opens no session
        self.backbone = backbone
        self.rows = rows
        given = [prompt] if isinstance(prompt, Prompt) or prompt is None else list(prompt)
        self._several = not (isinstance(prompt, Prompt) or prompt is None) or rows is not None
        different = list(dict.fromkeys(one for one in given if one is not None))
        self.prompts = nn.ModuleList(different)
        self._order = tuple(None if one is None else different.index(one) for one in given)
        if self._several and any(one is not None and one.head is not None for one in given):
            raise PromptError(
                "PromptedModel",
                "a prompt with a head among several, or with rows",
                "one prompt with a head for all rows",
                "train several at once with backbone.prompted and backbone.active_rows",
            )
        self.training = any(one.training for one in self.prompts) or not len(self.prompts)

    # -- calls -----------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the frozen model under the prompt; a prompt with a head returns the head's outputs.

        Raises:
            BackboneError: labels for a model without a loss, or a call inside a session of other prompts.
            PromptError: an argument that a head does not take.
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
        """Run the frozen model's `generate` under the prompt."""
        # The session replaces `generate`, so it is looked up within the session.
        return self.run(lambda: self.backbone.model.generate(*args, **kwargs))  # type: ignore[operator]

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function that calls the frozen model under the prompt.

        Args:
            function: called in this thread.
            args: its arguments.
            kwargs: its keywords.

        Raises:
            BackboneError: a call inside a session of other prompts.
        """
        with self.prompted() as view:
            return function(*args, **kwargs) if view is None else view.run(function, *args, **kwargs)

    def learn(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As `run`, for one forward pass, which recomputes activations if gradient checkpointing is on.

        Args:
            function: called in this thread.
            args: its arguments.
            kwargs: its keywords.

        Raises:
            BackboneError: a call inside a session of other prompts.
        """
        with ExitStack() as stack:
            if self.training and torch.is_grad_enabled() and self.is_activation_checkpointing:
                stack.enter_context(layers_in_training(self.backbone.model))
            return self.run(function, *args, **kwargs)

    @contextmanager
    def prompted(self) -> Iterator[PromptedView | None]:
        """A session of the backbone under the prompt; None within one of this module's own calls.

        Raises:
            BackboneError: a call inside a session of other prompts.
        """
        if self in _RUNNING.get():  # such as a logits processor that calls the model
            yield None
            return
        if self.backbone.in_session:
            raise BackboneError(
                "PromptedModel",
                "a call inside `with backbone.prompted(...)`, or inside a call of another PromptedModel",
                "a call outside, since a PromptedModel opens a session of its own",
                "leave that block, or call backbone.model in it",
            )
        prompts = [None if i is None else self.prompts[i] for i in self._order]
        given: Any = prompts if self._several else prompts[0]
        # In several processes the trainer wraps this module, and so synchronises its gradients.
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
            PromptError: no prompt, or several.
        """
        if self._several or not len(self.prompts):
            n = counted(len(self.prompts), "prompt") if len(self.prompts) else "no prompt"
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
                "float32, in which a prompt is trained whatever the precision of the model",
                "for another precision load the backbone with dtype=..., or use bf16=True (autocast)",
            )
        if moved.device != here:
            raise BackboneError(
                "PromptedModel.to",
                str(moved.device),
                f"{here}, the device of the backbone, which is not moved with the prompt",
                "load the backbone on the device that the trainer uses, load_backbone(..., device=...), or "
                "keep the trainer on this one (use_cpu=True)",
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
        return under_prompt(self, getattr(own["backbone"].model, name), name)

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
