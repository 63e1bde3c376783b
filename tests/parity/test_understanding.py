"""Every family under every placement at every task: what the table in docs/families.md says.

`PYTHONPATH=tests python tests/parity/test_understanding.py` runs everything and writes the table.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.headed.head_task import read
from support.prompts import close
from support.questions import CASES, prompt_for, reader
from support.tiny import DECODERS, ENCODER_DECODERS, ENCODERS, FAMILIES

FILE = Path(__file__).parents[2] / "docs" / "families.md"
PLACEMENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "key/values": ("key_values", "p_tuning_v2", {"length": 3}),
    "soft tokens": ("slot_embeddings", "prompt_tuning", {"length": 2}),
    "head alone": ("none", "head_only", {}),
}
"""As the table has them: the card's placement, and a method that makes it."""

NAMES = {
    "bert": "BERT", "roberta": "RoBERTa", "albert": "ALBERT", "albert_groups": "ALBERT, several groups",
    "distilbert": "DistilBERT", "electra": "ELECTRA", "deberta": "DeBERTa", "deberta_v2": "DeBERTa v2",
    "deberta_v3": "DeBERTa v3", "modernbert": "ModernBERT", "mpnet": "MPNet", "t5": "T5", "bart": "BART",
    "gpt2": "GPT-2", "llama": "Llama", "mistral": "Mistral", "gemma3": "Gemma 3", "qwen2": "Qwen 2",
    "qwen3": "Qwen 3",
}  # fmt: skip
TASKS = {
    "classification": "classification", "pair": "pairs", "tagging": "tagging", "spans": "answers",
    "choice": "choice", "regression": "regression",
}  # fmt: skip

HEAD = """# Families

What was tried, and holds, on tiny random models of every family: placement by task. Made by
`PYTHONPATH=tests python tests/parity/test_understanding.py`; that file's tests fail where a cell is not so.

- **K**: key/values before every layer (P-Tuning v2). **S**: soft tokens before the text (prompt tuning).
  **H**: a head on the frozen backbone alone.
- A letter says: the prompt changes what the head says; the loss is finite and gives every trained tensor a
  gradient; the backbone gets none and stays as it was; each record has one answer, of its own length; and
  loss, gradients and answers of a padded batch are those of its records one by one.
- Answers are tried with contexts of several windows, tags with sentences of several.
- Generation: see the decoders and encoder-decoders in [compatibility.md](compatibility.md).

"""

ZOO = "\n## Every causal model"
"""Begin of the tables that `tools/zoo.py` writes behind this one."""


@cache
def backbone_of(family: str) -> Backbone:
    return reader(family)


def answers_have_their_lengths(name: str, records: Any, answers: list[Any]) -> None:
    assert len(answers) == len(records)
    for record, answer in zip(records, answers, strict=True):
        if name == "tagging":
            assert len(answer) == len(record.words)
        elif name == "spans":
            assert answer in record.context  # one that is empty is none
        elif name == "choice":
            assert 0 <= answer < len(record.choices)
        elif name == "regression":
            assert math.isfinite(answer)
        else:
            assert answer in CASES[name].labels


def sees_a_difference(prompt: Prompt, backbone: Backbone, task: Any, examples: list[Any]) -> bool:
    """Whether the prompt's vectors change what is read (a head alone has none)."""
    if not prompt.shapes:
        return True
    bare = prompt_for(backbone, task, "head_only")
    bare.head = prompt.head
    outputs = []
    for one in (prompt, bare):
        with torch.no_grad(), backbone.prompted(one):
            (group,) = read(backbone, examples)
            outputs.append(group.outputs)
    return not torch.allclose(*outputs, rtol=1e-3, atol=1e-3)


def works(family: str, placement: str, name: str) -> bool:
    """Try one cell; raises AssertionError where something does not hold."""
    case, backbone = CASES[name], backbone_of(family)
    stored, method, options = PLACEMENTS[placement]
    task = case.task(backbone)
    prompt = prompt_for(backbone, task, method, **options)
    assert prompt.card.placement == stored
    frozen = {n: (p, p._version) for n, p in backbone.model.named_parameters()}
    examples = [task.encode(record) for record in case.records]
    assert len({example.length for example in examples}) > 1, "nothing is padded"

    with backbone.prompted(prompt):
        loss = task.loss(examples)
        loss.backward()
    assert torch.isfinite(loss)
    gradients: dict[str, Tensor | None] = {n: p.grad for n, p in prompt.named_parameters()}
    for key, gradient in gradients.items():
        assert gradient is not None and torch.isfinite(gradient).all(), key
        # One bias for every score of a softmax changes nothing.
        assert gradient.abs().max() > 0 or (key, name) in (("head.bias", "choice"), ("head.bias", "spans")), (
            key
        )
    prompt.zero_grad()
    for n, (parameter, version) in frozen.items():
        assert parameter.grad is None and parameter._version == version, n

    alone = []
    with backbone.prompted(prompt):
        for example in examples:
            one = task.loss([example])
            one.backward()
            alone.append(one.detach())
        close(loss, torch.stack(alone).sum(), 2e-5)
        for key, parameter in prompt.named_parameters():
            close(parameter.grad, gradients[key], 5e-5)  # type: ignore[arg-type]
        answers = task.predict(case.records)
        singly = [task.predict([record])[0] for record in case.records]
    answers_have_their_lengths(name, case.records, answers)
    assert answers == (pytest.approx(singly, rel=1e-4) if name == "regression" else singly)
    return sees_a_difference(prompt, backbone, task, examples)


def line(family: str, cells: dict[str, str]) -> str:
    return f"| {NAMES[family]} | " + " | ".join(cells[name] for name in TASKS) + " |"


def table(found: dict[str, dict[str, str]]) -> str:
    """The file's text.

    Args:
        found: for each family and task the letters of the placements that work.
    """
    rows = ["| family | " + " | ".join(TASKS.values()) + " |", "|---" * (len(TASKS) + 1) + "|"]
    return HEAD + "\n".join(rows + [line(family, cells) for family, cells in found.items()]) + "\n"


def documented() -> dict[tuple[str, str], str]:
    """The letters of each family and task, as the file has them."""
    lines = [text.strip("| ").split(" | ") for text in FILE.read_text(encoding="utf-8").splitlines()]
    by_name = {name: family for family, name in NAMES.items()}
    return {
        (by_name[name], task): letters
        for name, *cells in lines
        if name in by_name
        for task, letters in zip(TASKS, cells, strict=True)
    }


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("family", NAMES)
def test_the_table_says_what_works(family, name, placement):
    assert works(family, placement, name) == (placement[0].upper() in documented()[family, name])


def test_the_table_is_made_here_and_has_every_family_and_task():
    assert set(NAMES) == set(FAMILIES) == {*DECODERS, *ENCODER_DECODERS, *ENCODERS}
    assert set(TASKS) == set(CASES)
    cells = documented()
    rows = {family: {name: cells[family, name] for name in TASKS} for family in NAMES}
    page, _, zoo = FILE.read_text(encoding="utf-8").partition(ZOO)
    assert page == table(rows)
    assert zoo
    letters = {placement[0].upper() for placement in PLACEMENTS}
    assert all(set(cell.split()) <= letters for cell in cells.values())


def make() -> str:
    """Try everything; the file's text."""
    found: dict[str, dict[str, str]] = {}
    for family in NAMES:
        found[family] = {}
        for name in TASKS:
            holding = []
            for placement in PLACEMENTS:
                try:
                    holding += [placement[0].upper()] * works(family, placement, name)
                except AssertionError as error:
                    print(f"{family}, {placement}, {name}: {error}")
            found[family][name] = " ".join(holding) or "–"
    return table(found)


if __name__ == "__main__":
    _, title, zoo = FILE.read_text(encoding="utf-8").partition(ZOO)
    FILE.write_text(make() + title + zoo, encoding="utf-8")
