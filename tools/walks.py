"""How far one has to read: the files that a training step, a `generate` and a prompt's loading pass through.

    python tools/walks.py

For each walk: the files entered, the functions, how often it crosses from file to file, and the pairs of
files that call each other. A training step is to pass at most 20 files, no two of which call each other; the
last line says whether that holds, and the exit status too. Files that only run what their callers give them,
as the standard library's contextlib does, are not counted.
"""

import collections
import sys
import tempfile
import warnings
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import softprompt  # noqa: E402
from softprompt.backbones import gradients_by_hand  # noqa: E402
from softprompt.config import parse_run  # noqa: E402
from softprompt.training.distributed import Processes  # noqa: E402
from softprompt.training.loop.interrupt import Interrupt  # noqa: E402
from softprompt.training.loop.loop import Loop  # noqa: E402
from softprompt.training.loop.objective import Objective, OneTask  # noqa: E402
from softprompt.training.progress import RunProgress  # noqa: E402
from softprompt.training.run_folder.checkpoint import Checkpoints  # noqa: E402
from softprompt.training.setup.components import build_run  # noqa: E402
from support.tokenizer import byte_level  # noqa: E402

MOST_FILES = 20
LIKE_CONTEXTLIB = ("backbones/dispatch/undoing.py", "front_door.py")
SOURCE = str(ROOT / "src" / "softprompt") + "/"


class Walk:
    """Notes which file calls which while it is entered."""

    def __init__(self, title: str):
        self.title = title
        self.files: list[str] = []
        self.functions: set[tuple[str, str]] = set()
        self.edges: collections.Counter[tuple[str, str]] = collections.Counter()
        self._stack: list[str | None] = []

    def __enter__(self) -> "Walk":
        sys.setprofile(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            path = frame.f_code.co_filename.replace("\\", "/")
            name = path.removeprefix(SOURCE.replace("\\", "/")) if "/softprompt/" in path else None
            name = None if name == path or name in LIKE_CONTEXTLIB else name
            if name is not None:
                above = next((other for other in reversed(self._stack) if other), None)
                self.functions.add((name, frame.f_code.co_qualname))
                if above not in (None, name):
                    self.edges[above, name] += 1  # type: ignore[index]
                if name not in self.files:
                    self.files.append(name)
            self._stack.append(name)
        elif event == "return" and self._stack:
            self._stack.pop()

    @property
    def mutual(self) -> list[tuple[str, str]]:
        """Pairs of files that call each other."""
        return sorted({(a, b) for a, b in self.edges if a < b and (b, a) in self.edges})

    def tell(self) -> None:
        """Print what was seen."""
        crossings = sum(self.edges.values())
        print(
            f"{self.title}: {len(self.files)} files, {len(self.functions)} functions, {crossings} crossings, "
            f"{len(self.mutual)} pairs of files that call each other"
        )
        print("  " + " ".join(self.files))
        for a, b in self.mutual:
            print(f"  both ways: {a} <-> {b}")


def tiny_backbone(tokenizer: PreTrainedTokenizerFast) -> softprompt.Backbone:
    """A Llama of three small layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return softprompt.load_backbone(LlamaForCausalLM(config), tokenizer, device="cpu")


def walks() -> list[Walk]:
    """The three walks, the training step first."""
    backbone = tiny_backbone(byte_level())
    with tempfile.TemporaryDirectory() as folder:
        settings = parse_run(
            {
                "name": "walk",
                "output": folder,
                "backbone": {"name": "tiny", "device": "cpu"},
                "method": {"name": "prefix_tuning", "length": 4, "initialization": "vocabulary"},
                "data": {"format": "restaurants", "train_size": 16, "dev_size": 2, "test_size": 2},
                "decoding": {"strategy": "greedy", "max_new_tokens": 4},
                "training": {"steps": 2, "batch_size": 4, "checkpoint_every": None},
            }
        )
        processes = Processes("cpu")
        parts = build_run(settings, processes, backbone)
        examples = [parts.task.encode(record) for record in parts.splits.train]
        checkpoints = Checkpoints(Path(folder) / "checkpoints")
        training, trained = parts.settings.training, OneTask(backbone, parts.task, parts.prompt)
        loop = Loop(Objective(trained, examples, training), checkpoints, processes)
        with (
            RunProgress(None).counter("walk", 2) as counter,
            Interrupt() as interrupt,
            backbone.training_mode(training.backbone_dropout, training.gradient_checkpointing),
            gradients_by_hand(),
            trained.throughout(),
        ):
            loop._step(interrupt, counter)  # what is made once is made
            with Walk("one training step (prefix, MLP)") as step:
                loop._step(interrupt, counter)
        prompt = softprompt.prefix_tuning(backbone, length=4, reparameterization=None).eval()
        ids = torch.randint(3, 300, (2, 5))
        options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 3, "do_sample": False}
        with (
            Walk("generate of three tokens under a prefix") as generate,
            backbone.prompted(prompt) as prompted,
        ):
            prompted.generate(ids, **options)
        prompt.save(Path(folder) / "prompt")
        with Walk("load a prompt file") as load:
            softprompt.load_prompt(Path(folder) / "prompt", backbone)
    return [step, generate, load]


def main() -> int:
    """Walk, tell, and say whether the step is short enough."""
    warnings.simplefilter("ignore")
    found = walks()
    for walk in found:
        walk.tell()
    step = found[0]
    short = len(step.files) <= MOST_FILES and not step.mutual
    print(f"a step in at most {MOST_FILES} files, none of which call each other: {'yes' if short else 'no'}")
    return 0 if short else 1


if __name__ == "__main__":
    sys.exit(main())
