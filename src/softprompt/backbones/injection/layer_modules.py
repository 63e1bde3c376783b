"""Modules of prompts (adapters, LoRA) beside a model's linear layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Forward, Override, overriding
from softprompt.backbones.injection.injector import PassContext, used_prompts
from softprompt.backbones.inspection import is_linear
from softprompt.errors import PromptError
from softprompt.prompts import Insert, Prompt


class LayerModuleInjector:
    """Changes the outputs of linear layers by the modules that prompts have for them.

    Args:
        model: the frozen model.
        prompts: those that rows can have; None stands for no prompt.
        name: of the backbone, for errors.

    Raises:
        PromptError: a module for a linear layer that the model does not have.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Prompt | None], name: str):
        self.places: dict[str, tuple[nn.Module, dict[int, Insert]]] = {}
        modules = dict(model.named_modules()) if any(p is not None and p.inserts for p in prompts) else {}
        for prompt in prompts:
            for key, insert in ({} if prompt is None else prompt.inserts).items():
                if key not in modules or not is_linear(modules[key]):
                    raise PromptError("prompt.inserts", f"'{key}'", f"names of linear layers of {name}")
                self.places.setdefault(key, (modules[key], {}))[1][id(prompt)] = insert

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The linear layers."""
        return [module for module, _ in self.places.values()]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Change each row by its own prompt's module."""
        used = used_prompts(context.prompts, context.rows)
        return {m: self._changed(context, key, inserts, used) for key, (m, inserts) in self.places.items()}

    @contextmanager
    def alone(self, prompt: Prompt) -> Iterator[None]:
        """Within this context one prompt's modules change the layers for every input."""
        only: dict[nn.Module, Override] = {
            module: _by_one(inserts[id(prompt)])
            for module, inserts in self.places.values()
            if id(prompt) in inserts
        }
        with overriding(only):
            yield

    def _changed(
        self, context: PassContext, key: str, inserts: dict[int, Insert], used: Sequence[Prompt | None]
    ) -> Override:
        here = [inserts.get(id(prompt)) for prompt in used]
        # One module for all rows also serves inputs that belong to no row.
        if all(insert is here[0] for insert in here):
            return _by_one(here[0])

        def changed(below: Forward, *args: Any, **kwargs: Any) -> Tensor:
            output = below(*args, **kwargs)
            inputs = args[0] if args else kwargs["input"]
            for prompt, rows in self._rows(context, key, len(output), output.device):
                insert = inserts.get(id(prompt))
                if insert is None:
                    continue
                if rows is None:
                    output = insert(inputs, output)
                else:
                    output = output.index_copy(0, rows, insert(inputs[rows], output[rows]))
            return output

        return changed

    def _rows(
        self, context: PassContext, path: str, batch: int, device: torch.device
    ) -> list[tuple[Prompt | None, Tensor | None]]:
        """Each prompt that has rows, with their indices; all layers share them."""
        key = (self, batch, device)
        if key in context.notes:
            return context.notes[key]
        try:
            by_prompt = [
                (p, rows if rows is None else rows.to(device)) for p, rows in context.active_rows(batch)
            ]
        except PromptError:
            raise PromptError(
                "prompted.rows",
                f"several prompts where '{path}', which one of them changes, runs on {batch} rows of its own",
                "a layer that runs on the rows of the batch alone",
                "give the prompts batches of their own",
            ) from None
        context.notes[key] = by_prompt
        return by_prompt


def _by_one(insert: Insert | None) -> Override:
    def changed(below: Forward, *args: Any, **kwargs: Any) -> Tensor:
        output = below(*args, **kwargs)
        return output if insert is None else insert(args[0] if args else kwargs["input"], output)

    return changed
