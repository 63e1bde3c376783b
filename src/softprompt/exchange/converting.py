"""A prompt of one library as one of another, by what lies at a path."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone
from softprompt.errors import PromptError
from softprompt.exchange.adapter_folder import CONFIG, is_adapter_folder
from softprompt.exchange.cartridge_files import load_cartridge, save_cartridge
from softprompt.exchange.forms import Form
from softprompt.exchange.peft_reading import load_peft
from softprompt.exchange.peft_writing import save_peft
from softprompt.exchange.saving import saved
from softprompt.exchange.vllm_requests import vllm_request
from softprompt.files import is_prompt_folder
from softprompt.prompts import Prompt, load_prompt

_CARTRIDGES = (".pt", ".pth")


def form_of(path: Path) -> Form | None:
    """Which form a path holds; None where it holds none that is read."""
    if is_prompt_folder(path):
        return "softprompt"
    if is_adapter_folder(path):
        return "peft"
    return "cartridge" if path.is_file() and path.suffix in _CARTRIDGES else None


def found(source: Path) -> list[Path]:
    """What is to be converted: the path itself, or what a folder has in it, by name.

    Raises:
        PromptError: nothing that is read.
    """
    if form_of(source) is not None:
        return [source]
    inside = sorted(path for path in source.iterdir() if form_of(path) is not None) if source.is_dir() else []
    if not inside:
        got = "nothing that is read" if source.exists() else "no such file or directory"
        expected = f"a prompt folder, one of PEFT's ({CONFIG}), a cartridge (.pt), or a folder of such"
        raise PromptError(str(source), got, expected)
    return inside


def read(source: Path, backbone: Backbone, task: int | None = None, any_backbone: bool = False) -> Prompt:
    """The prompt at a path, whatever form it has.

    Args:
        source: one of `found`.
        backbone: that it is for.
        task: of a multi-task prompt of PEFT's.
        any_backbone: accept a backbone of another name, or other weights of the same sizes.
    """
    form = form_of(source)
    if form == "peft":
        return load_peft(source, backbone, task=task, any_backbone=any_backbone)
    if task is not None:
        raise PromptError(f"{source}: task", task, "none, which only PEFT's multi-task prompts have")
    if form == "cartridge":
        return load_cartridge(source, backbone)
    return load_prompt(source, backbone, any_backbone=any_backbone)


def write(prompt: Prompt, out: Path, to: Form, backbone: Backbone, texts: Sequence[str] = ()) -> Path:
    """Write a prompt in a form; returns the folder or file.

    Args:
        prompt: to be written.
        out: a folder; of a cartridge or of requests a file.
        to: the form.
        backbone: of the prompt.
        texts: of requests, one for each line of the file; needed for `vllm` alone.

    Raises:
        PromptError: what the form cannot say, with the reason, or a place that cannot be written.
    """
    if to == "peft":
        return save_peft(prompt, out, backbone)
    if to == "cartridge":
        return save_cartridge(prompt, out, backbone)
    if to == "softprompt":
        return prompt.save(out)
    if not texts:
        raise PromptError("text", "none", "the text of the request", "add --text 'THE TEXT'")
    lines: list[dict[str, Any]] = [vllm_request(prompt, text, backbone) for text in texts]
    return saved(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
