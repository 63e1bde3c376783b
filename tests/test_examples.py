"""The examples run as they stand, here on a tiny random model."""

import importlib.util
import re
from pathlib import Path

import pytest

from support.tiny import worded_llama
from support.tokenizer import byte_level

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def folder(tmp_path):
    """A checkpoint folder of a tiny Llama with a tokenizer."""
    tokenizer = byte_level()
    worded_llama(tokenizer).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plain_loop(folder, capsys):
    text = example("plain_loop").main(folder, steps=8)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert losses[-1] < losses[0]
    assert isinstance(text, str)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_trainer(folder, capsys):
    losses = example("trainer").main(folder, steps=6)
    assert len(losses) == 6
    assert sum(losses[-3:]) < sum(losses[:3])  # two epochs of three sentences
    said = capsys.readouterr().out
    before = re.search(r"evaluated before: ([\d.]+)", said)
    shown = re.search(r"checkpoint: ([\d,]+) bytes; evaluated after: ([\d.]+)\n(.+)", said)
    assert before and shown and int(shown[1].replace(",", "")) < 200_000
    assert float(shown[2]) < float(before[1])
    assert shown[3].startswith("The Red Barn serves")
