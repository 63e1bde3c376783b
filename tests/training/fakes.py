"""A backbone, a task and a prompt of a few numbers, with the real ones' interfaces."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from softprompt.config import DecodingSettings
from softprompt.data.records import Record
from softprompt.tasks.examples import Example

HIDDEN = 4


class FakePrompt(nn.Module):
    """Trained vectors with dropout, and a frozen tensor that must stay as it is."""

    def __init__(self, seed: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.vectors = nn.Parameter(torch.randn(3, HIDDEN, generator=generator))
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(HIDDEN))
            self.mix.bias.zero_()
        self.register_buffer("fixed", torch.ones(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self) -> Tensor:
        return self.dropout(self.mix(self.vectors)).mean(0)


class FakeBackbone:
    device = torch.device("cpu")
    dtype = torch.float32
    sharded = False

    def __init__(self) -> None:
        self.model = nn.Embedding(32, HIDDEN)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            self.model.weight.copy_(torch.randn(32, HIDDEN, generator=generator))
        self.prompt: nn.Module | None = None
        self.modes: list[tuple[bool, bool]] = []

    @contextmanager
    def prompted(self, prompts: Any, rows: Any = None) -> Iterator[None]:
        assert self.prompt is None
        self.prompt = prompts
        try:
            yield
        finally:
            self.prompt = None

    @contextmanager
    def training_mode(self, dropout: bool, gradient_checkpointing: bool) -> Iterator[None]:
        self.modes.append((dropout, gradient_checkpointing))
        yield


class FakeTask:
    """Loss: squared distance between the prompt and each target token's frozen embedding."""

    n_cut = 2
    form_note = ""
    cut_note = "cut 2 texts"
    counts: ClassVar[dict[str, int]] = {}
    cut_answers = (0,)
    decoding = DecodingSettings(max_new_tokens=100)
    head = None
    answers_bare = True
    template = None
    resolved: ClassVar[dict[str, Any]] = {}

    def __init__(self, backbone: FakeBackbone, hook: Callable[[], None] = lambda: None) -> None:
        self.backbone = backbone
        self.hook = hook

    def encode(self, record: Record) -> Example:
        numbers = tuple(int(n) for n in record.source.split())
        labels = tuple(int(n) for n in record.targets[0].split())
        return Example(record.id, numbers, labels, len(numbers), len(labels))

    def loss(self, examples: Sequence[Example]) -> Tensor:
        self.hook()
        prompt = self.backbone.prompt
        vector = prompt() if prompt is not None else torch.zeros(HIDDEN)
        targets = torch.tensor([label for example in examples for label in example.labels])
        return (self.backbone.model(targets) - vector).square().sum()

    def usable(self, records: Sequence[Record]) -> list[Record]:
        return list(records)

    def check(self, records: Sequence[Record], labelled: bool = True) -> None:
        assert all(record.targets for record in records)

    def check_positions(self, records: Sequence[Record], prompt_positions: int, training: bool) -> None:
        pass

    def predict(self, records: Sequence[Record], progress: Any = None, seed: int = 0) -> list[str]:
        outputs = []
        for record in records:
            outputs.append(f"{record.source} under {'none' if self.backbone.prompt is None else 'prompt'}")
            if progress is not None:
                progress(1)
        return outputs

    def settle(self, records: Sequence[Record]) -> None:
        pass

    def answer_note(self, n: int) -> str:
        return f"cut {n} answers" if n else ""

    def demonstrations(self, records: Sequence[Record], k: int, seed: int) -> list[list[int]]:
        return [[1, 2] for _ in range(k)]

    def artefacts(self, records: Sequence[Record], outputs: Sequence[str]) -> dict[str, str | bytes]:
        return {"outputs.txt": "\n".join(outputs), "counts.bin": bytes([len(records)])}

    def score(
        self, records: Sequence[Record], outputs: Sequence[str], metrics: Sequence[str]
    ) -> list[dict[str, Any]]:
        hits = sum(output.endswith("under prompt") for output in outputs)
        values = {name: 100.0 * hits / len(outputs) for name in metrics if name != "meteor"}
        notes = ["meteor needs a Java runtime"] if "meteor" in metrics else []
        return [{"group": "all", "values": values, "notes": notes}]


def records(n: int, seed: int = 0) -> list[Record]:
    generator = torch.Generator().manual_seed(seed)

    def numbers() -> str:
        length = int(torch.randint(1, 9, (1,), generator=generator))
        return " ".join(str(int(i)) for i in torch.randint(0, 32, (length,), generator=generator))

    return [Record(f"r{i}", numbers(), (numbers(),)) for i in range(n)]
