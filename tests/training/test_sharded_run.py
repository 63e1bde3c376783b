"""Whole runs whose frozen layers are shared out over two processes (gloo, on the CPU)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from softprompt.config import MixtureSettings, TrainingSettings, parse_run
from softprompt.errors import ConfigError
from softprompt.prompts.loading import load_prompt
from softprompt.training.distributed import Processes
from softprompt.training.loop.schedule import idle_passes, passes
from softprompt.training.run import train
from softprompt.training.setup import load_frozen
from support.launch import launch
from support.reading import bert_model
from support.tokenizer import byte_level, word_piece
from training.test_loop import Setup

WORKER = """
import json, os, pathlib, sys
import torch
from rich.console import Console
torch.set_num_threads(1)
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.runtime.fsdp import n_kept
from softprompt.config import parse_run
from softprompt.training.run import train

kept = []
plain = Backbone.shard
def shard(self, device):
    whole = n_kept(self.model)
    plain(self, device)
    kept.append([whole, n_kept(self.model)])
Backbone.shard = shard
given = parse_run(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))
rank = int(os.environ["RANK"])
with open(pathlib.Path(sys.argv[1]).with_suffix(f".{rank}.txt"), "w", encoding="utf-8") as said:
    train(given, console=Console(file=said, width=200))
pathlib.Path(sys.argv[1]).with_suffix(f".{rank}").write_text(json.dumps(kept))
torch.distributed.destroy_process_group()
"""


def llama(path: Path) -> dict[str, Any]:
    tokenizer = byte_level()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return {
        "data": {"format": "restaurants", "train_size": 11, "dev_size": 5, "test_size": 3},
        "decoding": {"strategy": "beam", "beams": 2, "max_new_tokens": 6, "batch_size": 1},
        "method": {"name": "prompt_tuning", "length": 4},
        "training": {"max_tokens_per_pass": 90},
    }


def bert(path: Path) -> dict[str, Any]:
    bert_model(len(word_piece())).save_pretrained(path)
    word_piece().save_pretrained(path)
    files = {}
    for name, n in {"train": 11, "dev": 5, "test": 7}.items():
        rows = [{"text": "the mill " * (1 + i % 4), "label": ["no", "yes"][i % 2]} for i in range(n)]
        files[name] = str(path / f"{name}.jsonl")
        Path(files[name]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {
        "data": {"format": "labelled_jsonl", **files},
        "decoding": {"batch_size": 2},
        "task": {"name": "classification", "head_dropout": 0.0},
        "method": {"name": "p_tuning_v2", "length": 3},
        "training": {"gradient_checkpointing": True},
    }


def settings(tmp_path: Path, given: dict[str, Any], name: str, shard: bool) -> dict[str, Any]:
    training = {"steps": 5, "batch_size": 5, "learning_rate": 0.03, "checkpoint_every": 3}
    return {
        **given,
        "name": name,
        "output": str(tmp_path),
        "backbone": {"name": str(tmp_path / "model"), "dtype": "float32", "shard": shard},
        "training": {**training, **given["training"]},
    }


@pytest.mark.curves
@pytest.mark.parametrize("kind", [llama, bert])
def test_a_sharded_run_leaves_what_a_run_of_one_process_leaves(kind, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    from safetensors.torch import load_file

    # Steps of 5, and at the end of 1, over 2 processes; 5, 3 and 7 records: nothing comes out even.
    given = kind(tmp_path / "model")
    alone = parse_run(settings(tmp_path, given, "alone", False))
    ours = train(alone)
    recipe = tmp_path / "run.json"
    recipe.write_text(json.dumps(settings(tmp_path, given, "sharded", True)), encoding="utf-8")
    launch(WORKER, recipe)
    sharded = tmp_path / "sharded"

    for rank in range(2):
        ((whole, kept),) = json.loads(recipe.with_suffix(f".{rank}").read_text("utf-8"))
        backbone = load_frozen(alone.backbone, "cpu")
        layers = [m for m in backbone.model.modules() if isinstance(m, torch.nn.ModuleList)]
        inside = sum(p.numel() for layer in layers for p in layer.parameters())
        told = f"layers shared out over 2 processes: this one keeps {kept:,} of {whole:,} numbers\n"
        assert (told in recipe.with_suffix(f".{rank}.txt").read_text("utf-8")) is (rank == 0)
        assert whole == backbone.spec.n_parameters and abs(whole - kept - inside / 2) < 0.01 * inside

    expected = load_file(ours.folder / "prompt" / "prompt.safetensors")
    found = load_file(sharded / "prompt" / "prompt.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)
    facts = json.loads((sharded / "result.json").read_text("utf-8"))
    assert facts["scores"] == ours.scores and facts["backbone"] == ours.facts["backbone"]
    assert facts["best"]["step"] == ours.facts["best"]["step"]
    said = [(folder / "outputs.jsonl").read_text("utf-8") for folder in (sharded, ours.folder)]
    assert said[0] == said[1]
    assert sorted(p.name for p in sharded.iterdir()) == sorted(p.name for p in ours.folder.iterdir())
    # One process loads what two have trained with, whole.
    backbone = load_frozen(parse_run(settings(tmp_path, given, "sharded", True)).backbone, "cpu")
    assert not backbone.sharded
    load_prompt(sharded / "prompt", backbone)


def test_one_process_is_refused(tmp_path):
    given = parse_run(settings(tmp_path, llama(tmp_path / "model"), "one", True))
    with pytest.raises(ConfigError) as caught:
        train(given)
    assert str(caught.value) == (
        "backbone.shard: got true in a single process, expected several processes to share the "
        "layers out to. Start the run with `accelerate launch -m softprompt.cli.app train ...`, "
        "or leave shard out."
    )
    backbone = load_frozen(given.backbone, "cpu")
    backbone.sharded = True
    whole = parse_run(settings(tmp_path, llama(tmp_path / "model"), "two", False))
    with pytest.raises(ConfigError, match=r"backbone.shard: got false for a backbone that is shared out"):
        train(whole, backbone=backbone)


def test_a_trunk_cache_and_several_tasks_are_refused(tmp_path):
    given = settings(tmp_path, llama(tmp_path / "model"), "cached", True)
    given["training"] = {**given["training"], "trunk_cache": {"store": "memory", "limit": "1 MB"}}
    with pytest.raises(
        ConfigError, match=r"training.trunk_cache: got a trunk cache with backbone\.shard, where"
    ):
        parse_run(given)
    with pytest.raises(ValueError, match=r"backbone.shard: got true with several tasks, where the prompts"):
        MixtureSettings.model_validate(
            {
                "backbone": given["backbone"],
                "parts": {"a": {"data": given["data"], "task": {"name": "generation"}}},
                "prompts": "shared",
                "method": {"name": "prefix_tuning", "initialization": "random"},
                "training": {"steps": 1},
            }
        )


def test_processes_with_fewer_passes_run_along(tmp_path):
    given = TrainingSettings(steps=1, batch_size=7, max_tokens_per_pass=12)
    lengths = [example.length for example in Setup(tmp_path).examples]
    batch = list(range(7))
    for sharded in (False, True):
        turns = [passes(batch, lengths, given, rank, 3, together=sharded) for rank in range(3)]
        counted = [i for turn in turns for part, counts in turn if counts for i in part]
        assert sorted(counted) == batch
        assert (len({len(turn) for turn in turns}) == 1) is sharded
        idle = [part for turn in turns for part, counts in turn if not counts]
        assert bool(idle) is sharded
        shortest = min(lengths[i] for i in batch)
        assert all(lengths[i] == shortest for (i,) in idle)


@pytest.mark.parametrize(("n", "size", "count"), [(0, 2, 2), (1, 2, 3), (5, 2, 2), (7, 3, 4), (9, 1, 2)])
def test_idle_passes_bring_every_process_to_the_same_number(n, size, count):
    own = [-(-len(range(rank, n, count)) // size) for rank in range(count)]
    idle = [idle_passes(n, size, rank, count) for rank in range(count)]
    assert [a + b for a, b in zip(own, idle, strict=True)] == [max(own)] * count


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_a_launch_that_would_wrap_the_prompt_is_refused(monkeypatch, kind):
    import accelerate

    class Wrapping:
        num_processes, process_index, device = 2, 0, torch.device("cpu")
        distributed_type = f"DistributedType.{kind}"

        def __init__(self, **options: Any):
            pass

    monkeypatch.setattr(accelerate, "Accelerator", Wrapping)
    with pytest.raises(ConfigError) as caught:
        Processes()
    assert str(caught.value) == (
        f"accelerate launch: got {kind}, which wraps what is trained, expected plain processes, since "
        "only the frozen layers are shared out and the prompt stays whole. Leave that out of the launch, "
        "and set backbone.shard=true."
    )
