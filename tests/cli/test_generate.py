import json


def test_outputs_are_those_of_training_one_a_line(softprompt, trained):
    run = trained / "runs" / "small"
    lines = (run / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    sources = [row["source"] for row in rows]
    for folder in (run, run / "prompt"):
        result = softprompt("generate", folder, *sources)
        assert result.code == 0
        assert result.out.splitlines() == [" ".join(row["output"].split()) for row in rows]


def test_sources_from_standard_input(softprompt, trained, standard_input):
    prompt = trained / "runs" / "small" / "prompt"
    expected = softprompt("generate", prompt, "name : Café", "b").out
    standard_input("\ufeffname : Café\r\n\nb\n".encode())
    result = softprompt("generate", prompt)
    first, second = expected.splitlines()
    # The blank line keeps its place, so that answers stand beside their sources.
    assert (result.code, result.out) == (0, f"{first}\n\n{second}\n")
    assert "no answer: standard input, line 2: no text" in result.err


def test_standard_input_must_be_text(softprompt, trained, standard_input):
    prompt = trained / "runs" / "small" / "prompt"
    standard_input(b"\n  \n")
    result = softprompt("generate", prompt)
    assert (result.code, "standard input: got no text" in result.err) == (1, True)
    standard_input(b"\xff\xfe\xfa")
    result = softprompt("generate", prompt)
    assert (result.code, "bytes that are not UTF-8" in result.err) == (1, True)


def test_decoding_can_be_changed_and_nothing_else(softprompt, trained):
    prompt = trained / "runs" / "small" / "prompt"
    long = softprompt("generate", prompt, "a").out
    short = softprompt("generate", prompt, "a", "--set", "decoding.max_new_tokens=1").out
    assert len(short) < len(long)
    result = softprompt("generate", prompt, "a", "--set", "training.steps=2")
    assert (result.code, "--set: got training.steps" in result.err) == (2, True)


def test_another_backbone_is_refused(softprompt, trained, tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from support.tokenizer import byte_level

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(byte_level()), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    result = softprompt("generate", trained / "runs" / "small", "a", "--backbone", tmp_path)
    assert result.code == 1
    assert "which the prompt was trained on" in result.err


def test_a_folder_without_a_prompt_is_refused(softprompt, tmp_path):
    result = softprompt("generate", tmp_path, "a")
    assert (result.code, "no prompt.json in it" in result.err) == (1, True)
    result = softprompt("generate", tmp_path / "none", "a")
    assert (result.code, "got no such folder" in result.err) == (1, True)


def test_a_prompt_made_by_hand_works_with_the_defaults(softprompt, tiny_folder, tmp_path):
    from softprompt.backbones.load import load_backbone
    from softprompt.prompts.methods import prompt_tuning

    prompt_tuning(load_backbone(tiny_folder), 3).save(tmp_path / "p")
    result = softprompt(
        "generate", tmp_path / "p", "a", "--backbone", tiny_folder, "--set", "decoding.max_new_tokens=4"
    )
    assert result.code == 0
    assert len(result.out.splitlines()) == 1


def test_cut_sources_are_told(softprompt, trained):
    prompt = trained / "runs" / "small"
    result = softprompt("generate", prompt, "a b c d", "--set", "task.max_source_tokens=2")
    assert result.code == 0
    assert "note: cut 1 source to 2 tokens (task.max_source_tokens)" in result.err
