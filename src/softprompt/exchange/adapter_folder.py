"""PEFT's adapter folders: `adapter_config.json`, and `adapter_model.safetensors` or an older `.bin`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from softprompt.errors import PromptError, shortened
from softprompt.exchange.pickles import read_pickled
from softprompt.exchange.saving import saved
from softprompt.files import Shapes, read_foreign_tensors, serialised
from softprompt.untrusted import Unreadable, at_home, read_json

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"

_MOST_CONFIG = 1 << 20
_EXPECTED = f"a folder as PEFT saves it ({CONFIG} and {TENSORS})"

KEY_VALUE_TYPES = ("PREFIX_TUNING", "CARTRIDGE")
SOFT_TOKEN_TYPES = ("PROMPT_TUNING", "P_TUNING", "CPT", "MULTITASK_PROMPT_TUNING")


class AdapterConfig(BaseModel):
    """What of `adapter_config.json` says which numbers are where. PEFT writes more, which is left."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    peft_type: str
    task_type: str | None = None
    base_model_name_or_path: str | None = None
    num_virtual_tokens: int = Field(ge=1)
    token_dim: int = Field(ge=1)
    """Width of a soft token; of keys and values, heads times the width of a head."""
    num_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    """Of key/value prompts the key/value heads."""
    num_transformer_submodules: int = Field(default=1, ge=1, le=2)
    """2 where PEFT holds the model for an encoder-decoder."""
    num_tasks: int = Field(default=1, ge=1)
    num_ranks: int = Field(default=1, ge=1)
    prefix_projection: bool = False
    encoder_reparameterization_type: str | None = None
    modules_to_save: list[str] | None = None
    peft_version: str | None = None

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Names and sizes of the prompt's own tensors."""
        n = self.num_virtual_tokens
        if self.peft_type in KEY_VALUE_TYPES:
            return {"prompt_embeddings": (n, 2 * self.num_layers * self.token_dim)}
        n *= self.num_transformer_submodules
        sizes: dict[str, tuple[int, ...]] = {"prompt_embeddings": (n, self.token_dim)}
        if self.peft_type == "MULTITASK_PROMPT_TUNING":
            sizes["prefix_task_cols"] = (self.num_tasks, n, self.num_ranks)
            sizes["prefix_task_rows"] = (self.num_tasks, self.num_ranks, self.token_dim)
        return sizes


def is_adapter_folder(folder: Path) -> bool:
    """Whether PEFT may have written it."""
    return (folder / CONFIG).is_file()


def read_adapter(folder: Path | str) -> tuple[AdapterConfig, dict[str, Tensor], dict[str, Tensor]]:
    """A folder's config, the prompt's own tensors, and those of modules that were trained beside it.

    Nothing is unpickled but tensors, and nothing that the folder names is imported.

    Args:
        folder: as PEFT's `save_pretrained` leaves it.

    Raises:
        PromptError: missing, damaged, of a kind that is no soft prompt, or tensors other than the config's.
    """
    folder = at_home(str(folder))
    config = _config(folder)
    expected = config.sizes()

    def fits(sizes: Shapes) -> None:
        for name, size in expected.items():
            if name not in sizes:
                raise PromptError(f"{path}: {name}", "no such tensor", f"a tensor of shape {list(size)}")
            if tuple(sizes[name]) != size:
                got, says = f"shape {list(sizes[name])}", f"shape {list(size)}, as {CONFIG} says"
                raise PromptError(f"{path}: {name}", got, says)

    path = folder / TENSORS
    if path.exists() or not (folder / PICKLED).exists():
        tensors = _safetensors(path, fits)
    else:
        path = folder / PICKLED
        tensors = _pickled(path, fits)
    own = {name: tensors.pop(name) for name in expected}
    return config, own, _of_backbone(tensors, path)


def write_adapter(folder: Path | str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write a folder as PEFT's `save_pretrained` would, beside whatever else is in it.

    Raises:
        PromptError: the disk is full, or the place cannot be written.
    """
    folder = at_home(str(folder))
    saved(folder / TENSORS, serialised(tensors))
    saved(folder / CONFIG, json.dumps(dict(config), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return folder


def _config(folder: Path) -> AdapterConfig:
    path = folder / CONFIG
    if not path.exists():
        raise PromptError(str(folder), f"no {CONFIG} in it", _EXPECTED)
    try:
        values = read_json(path, _MOST_CONFIG)
    except Unreadable as error:
        raise PromptError(error.inside(path), str(error), "a JSON object of PEFT's settings") from None
    kind = values.get("peft_type") if isinstance(values, dict) else None
    if not isinstance(kind, str):
        raise PromptError(str(path), "no peft_type", "a JSON object of PEFT's settings")
    if kind not in KEY_VALUE_TYPES + SOFT_TOKEN_TYPES:
        raise PromptError(
            f"{path}: peft_type",
            f"'{shortened(kind, 40)}', which is no soft prompt",
            f"one of {', '.join(KEY_VALUE_TYPES + SOFT_TOKEN_TYPES)}",
        )
    try:
        return AdapterConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        got = "nothing" if first["type"] == "missing" else shortened(repr(first["input"]), 80)
        raise PromptError(f"{path}: {name}", got, "as PEFT writes it", "copy the file again") from None


def _safetensors(path: Path, fits: Callable[[Shapes], object]) -> dict[str, Tensor]:
    if not path.exists():
        raise PromptError(str(path), "no such file", _EXPECTED, "copy the tensors as well")
    return read_foreign_tensors(path, fits)


def _pickled(path: Path, fits: Callable[[Shapes], object]) -> dict[str, Tensor]:
    tensors = read_pickled(path)
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise PromptError(str(path), "no tensors by name", _EXPECTED)
    fits({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    return dict(tensors)


def _of_backbone(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of modules that PEFT saved beside the prompt, by the backbone's own names for them."""
    named = {}
    for name, tensor in tensors.items():
        if not name.startswith("base_model."):
            got = f"'{shortened(name, 200)}', which is neither the prompt nor of a saved module"
            raise PromptError(f"{path}: tensors", got, "the tensors that PEFT saves")
        named[name.removeprefix("base_model.")] = tensor
    return named
