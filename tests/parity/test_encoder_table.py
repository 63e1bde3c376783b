"""The table in docs/compatibility.md says what the models here do, and nothing else.

`python tests/parity/test_encoder_table.py` prints the table.
"""

from itertools import takewhile
from pathlib import Path

import pytest
import torch

from softprompt.backbones.backbone import Backbone
from softprompt.errors import BackboneError
from softprompt.prompts.prompt import Prompt
from support.prompts import random_prefix, soft_tokens, text_for
from support.tiny import DECODERS, ENCODER_DECODERS, ENCODERS, FAMILIES, tiny_backbone

_FILE = Path(__file__).parents[2] / "docs" / "compatibility.md"
_NAMES = {
    "gpt2": "GPT-2", "llama": "Llama", "qwen2": "Qwen 2", "qwen3": "Qwen 3", "mistral": "Mistral",
    "gemma3": "Gemma 3", "t5": "T5", "bart": "BART", "bert": "BERT",
    "roberta": "RoBERTa, XLM-R", "electra": "ELECTRA", "distilbert": "DistilBERT",
    "albert": "ALBERT", "albert_groups": "ALBERT, several groups", "modernbert": "ModernBERT",
    "mpnet": "MPNet", "deberta": "DeBERTa", "deberta_v2": "DeBERTa v2", "deberta_v3": "DeBERTa v3",
}  # fmt: skip
HEADER = (
    "| family | prefix in | depths | soft tokens are | positions shift | gradient checkpointing |",
    "|---|---|---|---|---|---|",
)


def line(family: str) -> str:
    """One family's row, from what it does."""
    backbone = tiny_backbone(family)
    sites = list(dict.fromkeys(site for site, _ in backbone.attentions))
    modules = len({id(a.module) for a in backbone.sites})
    cells = [
        _NAMES[family],
        ", ".join(site for site in sites if _acts(backbone, random_prefix(backbone, sites=[site]))),
        "shared" if modules < len(backbone.attentions) else "own",
        _soft_tokens(backbone),
        _shift(backbone),
        _checkpointing(backbone),
    ]
    return "| " + " | ".join(cells) + " |"


def _run(backbone: Backbone, prompt: Prompt | None) -> torch.Tensor:
    inputs = text_for(backbone)
    if backbone.spec.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    with backbone.prompted(prompt):
        return backbone.model(**inputs)[0]


def _acts(backbone: Backbone, prompt: Prompt) -> bool:
    return not torch.allclose(_run(backbone, prompt), _run(backbone, None), atol=1e-3)


def _soft_tokens(backbone: Backbone) -> str:
    prompt = soft_tokens(backbone)
    assert _acts(backbone, prompt)
    longest: list[int] = []
    handle = backbone.sites[0].module.register_forward_pre_hook(
        lambda module, args, kwargs: longest.append((*args, *kwargs.values())[0].shape[1]), with_kwargs=True
    )
    inputs = text_for(backbone)
    with backbone.prompted(prompt):
        backbone.read(inputs)
    handle.remove()
    return "key/values" if max(longest) == inputs["input_ids"].shape[1] else "input"


def _shift(backbone: Backbone) -> str:
    both = [_run(backbone, random_prefix(backbone, positions=p)) for p in ("shifted", "unshifted")]
    return "no positions to shift" if torch.equal(*both) else "yes"


def _checkpointing(backbone: Backbone) -> str:
    try:
        with backbone.training_mode(gradient_checkpointing=True):
            return "yes"
    except BackboneError:
        return "refused"


def test_the_table_covers_every_family():
    assert set(_NAMES) == set(FAMILIES) == {*DECODERS, *ENCODER_DECODERS, *ENCODERS}
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    table = [*takewhile(lambda text: text.startswith("|"), lines[lines.index(HEADER[0]) :])]
    assert len(table) == len(HEADER) + len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_says_what_the_family_does(family):
    assert line(family) in _FILE.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    print("\n".join([*HEADER, *map(line, FAMILIES)]))
