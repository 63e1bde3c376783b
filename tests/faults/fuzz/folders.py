"""Prompt folders: damaged ones load the same prompt or are refused, forged ones load what is in them."""

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import softprompt
from faults.fuzz.folder_mutations import CARD, MUTATIONS, TENSORS, are_plain, sign
from softprompt import Backbone, Prompt
from softprompt.errors import SoftpromptError
from support.prompts import disturb
from support.tiny import tiny_backbone
from support.tiny_vision import tiny_vision


@dataclass(frozen=True)
class Original:
    """A prompt folder as it was saved: its two files, and what they hold."""

    files: Mapping[str, bytes]
    backbone: Backbone
    card: str
    tensors: Mapping[str, Tensor]


@functools.cache
def originals() -> tuple[Original, ...]:
    """One folder of each method, on tiny backbones; made once in a process."""
    llama, bert, pictures = tiny_backbone("llama"), tiny_backbone("bert"), tiny_vision("vit")
    labels = softprompt.head("sequence", ["no", "yes"])
    seen = softprompt.head("picture", ["cat", "dog"], hidden_layers=1)
    plain: Any = {"initialization": "random", "reparameterization": None}
    prompts = [
        (llama, softprompt.prefix_tuning(llama, 2, **plain)),
        (llama, softprompt.prefix_tuning(llama, 3, seed=1, **plain)),
        (llama, softprompt.prompt_tuning(llama, 2, initialization="random")),
        (llama, softprompt.lora(llama, rank=2)),
        (bert, softprompt.p_tuning_v2(bert, length=2, head=labels)),
        (bert, softprompt.adapter(bert, width=2, head=labels)),
        (bert, softprompt.fine_tuning(bert, tune="layernorm", head=softprompt.head("value"))),
        (pictures, softprompt.visual_prompt_tuning(pictures, length=2, head=seen)),
    ]
    made = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, (backbone, prompt) in enumerate(prompts):
            disturb(prompt)
            folder = prompt.describe(task={"separator": " ->"}, metrics={"bleu": 3.5}).save(
                Path(scratch, str(number))
            )
            files = {name: (folder / name).read_bytes() for name in (CARD, TENSORS)}
            loaded = softprompt.load_prompt(folder, backbone)
            made.append(Original(files, backbone, _card(loaded), prompt.tensors()))
    return tuple(made)


def choose(random: Random) -> str:
    """The name of the first mutation, which `attempt` draws first."""
    return random.choice(list(MUTATIONS))


def attempt(random: Random, scratch: Path) -> str:
    """Change a prompt folder in one to three ways and load it; `same` or `refused`.

    Half of the changed folders get checksums that fit, as their author could have written them; such a folder
    must load as exactly what its files hold.

    Raises:
        AssertionError: another prompt was loaded, or a message does not name the folder.
    """
    names = [choose(random)]
    names += random.choices(list(MUTATIONS), k=random.choice((0, 0, 1, 2)))
    made = originals()
    original, other = random.choice(made), random.choice(made)
    folder = scratch / "prompt"
    for place, one in ((folder, original), (scratch / "other", other)):
        place.mkdir(parents=True)
        for name, content in one.files.items():
            (place / name).write_bytes(content)
    forged = random.random() < 0.5
    try:
        for name in names:
            # A folder that an earlier change took apart may leave nothing to change.
            if are_plain(folder):
                MUTATIONS[name](random, folder, scratch / "other")
        forged = forged and sign(folder)
        return _outcome(folder, original.backbone, forged, any_backbone=random.random() < 0.3)
    finally:
        shutil.rmtree(scratch / "other", ignore_errors=True)


def _outcome(folder: Path, backbone: Backbone, forged: bool, any_backbone: bool) -> str:
    try:
        prompt = softprompt.load_prompt(folder, backbone, any_backbone=any_backbone)
    except SoftpromptError as error:
        message = str(error)
        assert folder.name in message and len(message) < 2000, f"an unclear message: {message[:3000]}"
        return "refused"
    tensors = prompt.tensors()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()), "wrong load: not finite"
    if forged:
        stored = load_file(os.path.realpath(folder / TENSORS))
        stored.pop("backbone.samples", None)
        assert _equal(tensors, stored), "wrong load: tensors that the file does not hold"
        again = softprompt.load_prompt(prompt.save(folder.parent / "again"), backbone, any_backbone=True)
        assert _equal(tensors, again.tensors()), "wrong load: other tensors after saving again"
        return "same"
    known = [one for one in originals() if one.card == _card(prompt)]
    assert any(_equal(tensors, one.tensors) for one in known), "wrong load: another prompt"
    return "same"


def _card(prompt: Prompt) -> str:
    return json.dumps(prompt.card.model_dump(), sort_keys=True)


def _equal(tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return tensors.keys() == others.keys() and all(torch.equal(tensors[k], others[k]) for k in tensors)
