"""What does a step cost the host alone: Python and the calls of operators, where arithmetic costs nothing?

    python benchmarks/host_time.py

A GPU waits for its host where the operators of a step are small. A Llama of 16 layers, as deep as that of
`--backbone llama-1b` elsewhere but 32 numbers wide, leaves nothing but the host's part: 4 rows of 16 tokens,
one thread, float32, in turns. Operators are those that would start a kernel; views are not counted.
`many` is one step of 16 prompts, a row each, beside 16 steps of one row. The last line is JSON; `--save` also
writes it to benchmarks/results/.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch
from common import bare, finish, generation, made_up, medians, ours, peer
from frozen import thin
from many_prompts import alternate, contenders
from many_prompts import generation as sixteen
from torch.utils._python_dispatch import TorchDispatchMode

ROWS, SEQ, LENGTH = 4, 16, 20
VIEWS = frozenset(
    "view _unsafe_view transpose t unsqueeze expand slice detach alias permute squeeze select split "
    "as_strided lift_fresh unbind split_with_sizes reshape".split()
)


class Operators(TorchDispatchMode):
    """Counts the operators that would start a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += func.overloadpacket.__name__ not in VIEWS
        return func(*args, **(kwargs or {}))


def operators(step: Callable[[], None]) -> int:
    """Of one step, forwards and backwards."""
    with Operators() as found:
        step()
    return found.n


def compared(steps: Mapping[str, Callable[[], None]], n: int) -> dict[str, dict[str, float]]:
    """Milliseconds and operators of each."""
    times = medians(alternate(dict(steps), n))
    return {name: {"ms": 1e3 * times[name], "operators": operators(step)} for name, step in steps.items()}


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each contender")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    backbone = thin()
    task, rows = generation(backbone), made_up(backbone, ROWS, SEQ)
    found: dict[str, Any] = {}
    print(f"{'question':<10} {'who':<11} {'host ms':>8} {'operators':>10} {'time / ours':>12}")
    for question, method in (("prefix", "prefix"), ("tokens", "tokens"), ("p_tuning", "p_tuning")):
        steps = {
            "softprompt": ours(backbone, task, method, LENGTH),
            "peft": peer(thin(), method, LENGTH),
            "bare": bare(backbone, task),
        }
        found[question] = compared({name: lambda s=s: s(rows) for name, s in steps.items()}, options.steps)
        report(question, found[question], "softprompt")
    many_task, examples, prompts = sixteen(backbone, SEQ)
    found["many"] = compared(contenders(backbone, many_task, examples, prompts, False), options.steps)
    report("many", found["many"], "many")
    finish("host_time", {"steps": options.steps, "found": found}, "float32", options.save)


def report(question: str, found: Mapping[str, Mapping[str, float]], mine: str) -> None:
    """A line for each contender."""
    for name, values in found.items():
        ratio = values["ms"] / found[mine]["ms"]
        print(f"{question:<10} {name:<11} {values['ms']:8.1f} {values['operators']:10.0f} {ratio:12.2f}")


if __name__ == "__main__":
    main()
