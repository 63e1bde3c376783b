"""Infix prompts: slots between source and target are vectors put there by hand, in training and decoding."""

import pytest
import torch

import softprompt
from softprompt.config import DecodingSettings, GenerationSettings
from softprompt.data.records import Record
from softprompt.errors import ConfigError
from softprompt.tasks import build_task
from support.prompts import close
from support.reading import gpt2, llama, t5

TEMPLATE = "{source} [soft*3] [blank]"
RECORDS = [
    Record("a", "name : Blue Spice", ("the mill",)),
    Record("b", "food : Chinese | area", ("cheap food",)),
]
BACKBONES = pytest.mark.parametrize("made", [gpt2, llama], ids=["gpt2", "llama"])


def task_of(backbone, template=TEMPLATE):
    decoding = DecodingSettings(strategy="greedy", beams=1, max_new_tokens=4, batch_size=2)
    return build_task(backbone, GenerationSettings(template=template), decoding)


def infix(backbone):
    prompt = softprompt.p_tuning(backbone, TEMPLATE, encoder=None, seed=3)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.mul_(3)
    return prompt.eval()


@BACKBONES
def test_the_loss_is_that_of_vectors_between_source_and_target(made):
    backbone = made()
    task, prompt = task_of(backbone), infix(backbone)
    table = backbone.model.get_input_embeddings()
    by_hand = torch.zeros(())
    for record in RECORDS:
        source = backbone.tokenizer(record.source)["input_ids"]
        target = [*backbone.token_ids(f" {record.targets[0]}"), backbone.tokenizer.eos_token_id]
        words = [table(torch.tensor(ids)) for ids in (source, target)]
        embeds = torch.cat([words[0], prompt().vectors, words[1]])[None]
        with torch.no_grad():
            logits = backbone.model(inputs_embeds=embeds).logits[0, len(source) + 2 : -1]
        by_hand = by_hand - logits.log_softmax(-1)[range(len(target)), target].sum()
    examples = [task.encode(record) for record in RECORDS]
    with torch.no_grad(), backbone.prompted(prompt):
        close(task.loss(examples), by_hand, 1e-4)
        alone = [task.predict([record])[0] for record in RECORDS]
        assert task.predict(RECORDS) == alone
    assert not task.answers_bare and task_of(backbone, "{source} -> [blank]").answers_bare


@BACKBONES
def test_without_slots_it_is_the_separator(made):
    backbone = made()
    separated = build_task(backbone, GenerationSettings(separator=" ->"), DecodingSettings())
    written = task_of(backbone, "{source} -> [blank]")
    for record in RECORDS:
        one, other = separated.encode(record), written.encode(record)
        assert one.input_ids == other.input_ids
        assert one.labels == other.labels


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"task\.template: got a template for .*, an encoder-decoder"):
        task_of(t5())
    with pytest.raises(ConfigError, match=r"got \{source\} after \[blank\]"):
        task_of(gpt2(), "[blank] {source}")


def test_a_long_source_loses_its_end_and_no_slot():
    backbone = gpt2()
    task = build_task(
        backbone, GenerationSettings(template=TEMPLATE, max_source_tokens=8), DecodingSettings()
    )
    example = task.encode(Record("a", "name : Blue Spice | food : Chinese | area : riverside", ("x",)))
    assert [i for i in example.input_ids if i < 0] == [-1, -2, -3] and task.n_cut == 1
    assert example.input_ids.index(-3) == 7
