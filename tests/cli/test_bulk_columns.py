"""Which columns of a file a prompt answers: texts of several columns, chats, and what lacks."""

import csv
import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cli.conftest import recipe_of
from softprompt.backbones.load import load_backbone
from softprompt.prompts import load_prompt
from support.chats import CHATML, chatting


def write_lines(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def write_csv(file: Path, rows: list[dict]) -> Path:
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def trained_on(softprompt, folder: Path, backbone: Path, rows: list[dict], **data) -> Path:
    """The run of a prompt for generation that is trained on some rows."""
    file = write_lines(folder / "own.jsonl", rows)
    recipe = recipe_of(
        folder,
        backbone,
        method={"name": "prefix_tuning", "reparameterization": None},
        data={"train": str(file), "test": str(file), **data},
        metrics=["bleu"],
    )
    result = softprompt("train", recipe)
    assert result.code == 0, result.err
    return folder / "runs" / "small"


ALPACA = [{"instruction": f"do {i}", "input": "it " * (i % 3), "output": f"done {i}"} for i in range(6)]


@pytest.mark.parametrize("named", [False, True])
def test_texts_of_several_columns(softprompt, tiny_folder, tmp_path, named):
    """A prompt that was trained on a text of several columns reads them, or says which is not there."""
    data = {"source": "{instruction}\n{input}", "target": "output"} if named else {}
    run = trained_on(softprompt, tmp_path, tiny_folder, ALPACA, **data)
    asked = [
        {"id": i, "instruction": row["instruction"], "input": row["input"]} for i, row in enumerate(ALPACA)
    ]
    out = tmp_path / "out.jsonl"
    result = softprompt("generate", run, "--input", write_csv(tmp_path / "a.csv", asked), "--output", out)
    assert result.code == 0, result.err
    said = [json.loads(line)["prediction"] for line in out.read_text(encoding="utf-8").splitlines()]
    prompt = load_prompt(run / "prompt", load_backbone(tiny_folder))
    texts = [f"{row['instruction']}\n{row['input']}".strip() for row in ALPACA]
    assert said == prompt.generate(texts) == prompt.generate(asked)
    assert said != prompt.generate([row["instruction"] for row in ALPACA])
    lacking = write_csv(tmp_path / "b.csv", [{"instruction": "do", "note": "x"}])
    result = softprompt("generate", run, "--input", lacking)
    assert result.code == 2 and "no column 'input'" in result.err
    assert "the file has 'instruction', 'note'" in result.err and "--column" in result.err
    assert softprompt("generate", run, "--input", lacking, "--column", "instruction").code == 0
    with pytest.raises(Exception, match=r"no column 'input'"):
        prompt.generate({"instruction": "do"})


def test_a_column_in_place_of_the_own_one_is_told(softprompt, tiny_folder, tmp_path):
    rows = [{"query": f"who {i}", "response": f"me {i}"} for i in range(6)]
    run = trained_on(softprompt, tmp_path, tiny_folder, rows)
    result = softprompt("generate", run, "--input", write_csv(tmp_path / "a.csv", [{"text": "a", "id": 1}]))
    assert result.code == 0 and "source from column 'text' (the prompt was trained on 'query')" in result.err
    result = softprompt(
        "generate", run, "--input", write_csv(tmp_path / "b.csv", [{"query": "a", "text": 1}])
    )
    assert result.code == 0 and "from column" not in result.err


def chat(*turns: str, system: str | None = None) -> list[dict]:
    made = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return [{"role": "system", "content": system}] * (system is not None) + made


CHATS = [
    chat("hi", "ho", "and the mill", system="be kind"),
    chat("is it blue"),
    chat("is it", "no", "is it cheap", "yes", "who says so"),
]


@pytest.fixture(scope="module")
def chatter(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("chatter") / "tiny-chat"
    torch.manual_seed(3)
    tokenizer = chatting(CHATML)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.4,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def by_hand(backbone, prompt, turns: list[dict]) -> str:
    """The answer to a chat by the tokenizer's template and transformers' generate."""
    tokenizer = backbone.tokenizer
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")
    ids = ids if isinstance(ids, torch.Tensor) else ids["input_ids"]
    with backbone.prompted(prompt):
        made = backbone.model.generate(ids, max_new_tokens=6, do_sample=False)
    return tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_chats_are_answered_at_their_last_question(softprompt, chatter, tmp_path):
    """The user's last turn, behind the turns before it; an assistant's turn at the end is answered anew."""
    rows = [{"messages": [*turns, {"role": "assistant", "content": "so be it"}]} for turns in CHATS * 2]
    run = trained_on(softprompt, tmp_path, chatter, rows)
    backbone = load_backbone(chatter)
    prompt = load_prompt(run / "prompt", backbone)
    wanted = [by_hand(backbone, prompt, turns) for turns in CHATS]
    assert len(set(wanted)) == 3 and wanted[0] != by_hand(backbone, prompt, CHATS[0][-1:])
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    shared = [[{"from": names[turn["role"]], "value": turn["content"]} for turn in turns] for turns in CHATS]
    files = [
        write_lines(tmp_path / "open.jsonl", [{"id": 1, "messages": turns} for turns in CHATS]),
        write_lines(tmp_path / "ended.jsonl", rows[:3]),
        write_lines(tmp_path / "shared.jsonl", [{"conversations": turns, "id": 2} for turns in shared]),
        write_csv(tmp_path / "chats.csv", [{"messages": json.dumps(turns)} for turns in CHATS]),
    ]
    for file in files:
        out = file.with_suffix(".out.jsonl")
        result = softprompt("generate", run, "--input", file, "--output", out)
        assert result.code == 0, result.err
        lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert [line["prediction"].strip() for line in lines] == wanted, file.name
        assert [line["problem"] for line in lines] == [None] * 3
    for given in (CHATS, [{"messages": turns} for turns in CHATS], rows[:3]):
        assert [text.strip() for text in prompt.generate(given)] == wanted
    named = softprompt("generate", run, "--input", files[0], "--column", "messages")
    assert [json.loads(line)["prediction"].strip() for line in named.out.splitlines()] == wanted
    # Scores are those of every turn of the assistant, as training and evaluation count them.
    scored = prompt.score(rows)
    assert scored[0]["values"] == json.loads((run / "result.json").read_text())["scores"][0]["values"]
    bad = write_lines(tmp_path / "bad.jsonl", [{"messages": chat("a")}, {"messages": []}, {"messages": 3}])
    result = softprompt("generate", run, "--input", bad)
    lines = [json.loads(line)["problem"] for line in result.out.splitlines()]
    assert lines[0] is None and lines[1] == "no text" and "a number as messages" in lines[2]
