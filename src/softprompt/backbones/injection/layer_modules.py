"""Prompts' own modules at work beside a model's linear layers, and their exact undoing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from softprompt.backbones.inspection.layers import is_linear
from softprompt.errors import PromptError
from softprompt.prompts.inserts import Insert
from softprompt.prompts.prompt import Prompt

Parts = list[tuple[Prompt | None, Tensor | None]]


class Inserted:
    """Hooks on the linear layers that prompts have modules for; without such prompts, nothing at all.

    Args:
        model: the frozen model.
        prompts: those that rows can have; None stands for no prompt.
        rows: for each batch row, which prompt; None when one serves all rows.
        active_rows: the prompts that have rows in a batch of some size, with those rows.
        name: of the backbone, for errors.

    Raises:
        PromptError: a module for a linear layer that the model does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        prompts: Sequence[Prompt | None],
        rows: Sequence[int] | None,
        active_rows: Callable[[int], Parts],
        name: str,
    ):
        self.places: dict[str, tuple[nn.Module, dict[int, Insert]]] = {}
        self.active_rows = active_rows
        self.used = [prompts[i] for i in ([0] if rows is None else sorted(set(rows)))]
        self.lowered: Prompt | None = None
        modules = dict(model.named_modules()) if any(p is not None and p.inserts for p in prompts) else {}
        for prompt in prompts:
            for key, insert in ({} if prompt is None else prompt.inserts).items():
                if key not in modules or not is_linear(modules[key]):
                    raise PromptError("prompt.inserts", f"'{key}'", f"names of linear layers of {name}")
                self.places.setdefault(key, (modules[key], {}))[1][id(prompt)] = insert

    def install(self) -> list[Any]:
        """Put the hooks on; gives their handles."""
        return [
            module.register_forward_hook(partial(self._changed, key, inserts))
            for key, (module, inserts) in self.places.items()
        ]

    @contextmanager
    def alone(self, prompt: Prompt) -> Iterator[None]:
        """One prompt serves whatever runs meanwhile."""
        self.lowered = prompt
        try:
            yield
        finally:
            self.lowered = None

    def _changed(
        self, key: str, inserts: dict[int, Insert], module: nn.Module, args: Any, output: Tensor
    ) -> Tensor:
        inputs = args[0]
        here = [inserts.get(id(p)) for p in (self.used if self.lowered is None else [self.lowered])]
        # One for all rows also changes what the layer makes of inputs that belong to no row.
        if all(insert is here[0] for insert in here):
            return output if here[0] is None else here[0](inputs, output)
        for prompt, rows in self._parts(key, len(output)):
            insert = inserts.get(id(prompt))
            if insert is not None:
                assert rows is not None  # several prompts have rows
                rows = rows.to(output.device)
                output = output.index_copy(0, rows, insert(inputs[rows], output[rows]))
        return output

    def _parts(self, key: str, batch: int) -> Parts:
        try:
            return self.active_rows(batch)
        except PromptError:
            raise PromptError(
                "prompted.rows",
                f"several prompts where '{key}', which one of them changes, runs on {batch} rows of its own",
                "a layer that runs on the rows of the batch alone",
                "give the prompts batches of their own",
            ) from None
