"""A run's texts have one form, which its files keep: on chats, in older runs, with cuts that are said."""

import json
import shutil

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from support.chats import CHATML, chatting

ROWS = [
    {"source": "name : The Mill | area : riverside", "target": "- mill\n- riverside"},
    {"source": "name : Blue Spice | food : Chinese | area : city centre", "target": "- food"},
]


@pytest.fixture(scope="module")
def chat_folder(tmp_path_factory):
    """A random Llama whose tokenizer has a chat template."""
    folder = tmp_path_factory.mktemp("chat")
    torch.manual_seed(0)
    tokenizer = chatting(CHATML)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run_of(softprompt, tmp_path, chat_folder):
    """Trains on the rows; gives the run's folder and what was printed."""

    def made(**task):
        lines = "".join(json.dumps(row) + "\n" for row in ROWS)
        (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
        rows = str(tmp_path / "rows.jsonl")
        recipe = {
            "output": str(tmp_path), "backbone": {"name": str(chat_folder), "device": "cpu"},
            "method": {"name": "fine_tuning"}, "data": {"format": "jsonl", "train": rows, "test": rows},
            "decoding": {"strategy": "greedy"}, "metrics": ["bleu"], "task": task,
            "training": {"steps": 60, "batch_size": 2, "learning_rate": 5e-3, "checkpoint_every": None},
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        result = softprompt("train", tmp_path / "recipe.yaml")
        assert result.code == 0, result.err
        return tmp_path / "run", " ".join((result.out + result.err).split())

    return made


def outputs(run):
    lines = (run / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["output"] for line in lines]


def test_a_chat_is_learned_with_its_line_breaks_and_written_the_same_from_the_files(softprompt, run_of):
    run, said = run_of()
    assert "note: texts are turns of a chat in the backbone's own template" in said
    assert outputs(run) == [row["target"] for row in ROWS]
    settings = yaml.safe_load((run / "settings.yaml").read_text(encoding="utf-8"))
    card = json.loads((run / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    for stored in (settings, {**card["training"], "task": card["task"]}):
        assert (stored["task"]["chat"], stored["task"]["end"]) == (True, "<|im_end|>")
        n = len(chatting(CHATML)(ROWS[0]["target"])["input_ids"]) + 1
        assert stored["decoding"]["max_new_tokens"] == n
    shutil.copytree(run, run.parent / "copy")
    result = softprompt("generate", run.parent / "copy", *[row["source"] for row in ROWS])
    assert result.out.split() == " ".join(outputs(run)).split()
    assert softprompt("evaluate", run).code == 0
    kept = json.loads((run / "evaluation-test.json").read_text(encoding="utf-8"))
    assert (kept["cut_answers"], round(kept["scores"][0]["values"]["bleu"], 6)) == (0, 100)


def test_a_run_from_before_there_were_chats_goes_on_as_plain_texts(softprompt, run_of):
    run, _ = run_of(chat=False)
    assert outputs(run) == [row["target"] for row in ROWS]
    for path in (run / "settings.yaml", run / "asked.yaml"):
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name in ("chat", "system", "bos", "end"):
            del settings["task"][name]
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert softprompt("evaluate", run).code == 0
    again = (run / "outputs-test.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["output"] for line in again] == outputs(run)
    result = softprompt("generate", run, ROWS[0]["source"])
    assert result.out.split() == ROWS[0]["target"].split()
    resumed = softprompt("train", run.parent / "recipe.yaml", "--resume")
    assert resumed.code == 0, resumed.err
    today = softprompt("train", run.parent / "recipe.yaml", "--resume", "--set", "task.chat=auto")
    assert "task.chat (False there, auto now)" in " ".join(today.err.split())


def test_what_is_cut_is_said_and_counted(softprompt, run_of):
    run, said = run_of(chat=False, max_source_tokens=7, max_target_tokens=2)
    of_sources = "note: cut 2 sources to 7 tokens (task.max_source_tokens)"
    assert f"{of_sources} and 2 targets to 2 tokens (task.max_target_tokens)" in said
    assert "2 answers were cut at 2 tokens, before an end (decoding.max_new_tokens)" in said
    counts = json.loads((run / "result.json").read_text(encoding="utf-8"))["counts"]
    assert (counts["cut_texts"], counts["cut_answers"]) == (4, 2)
    said = " ".join(softprompt("evaluate", run).out.split())
    assert of_sources in said and "2 answers were cut at 2 tokens" in said
    kept = json.loads((run / "evaluation-test.json").read_text(encoding="utf-8"))
    assert (kept["cut_texts"], kept["cut_answers"]) == (2, 2)
    result = softprompt("generate", run, ROWS[0]["source"])
    assert "note: cut 1 source to 7 tokens" in result.err and "note: 1 answer was cut at 2" in result.err
