"""Loads thousands of damaged files, and counts what came of them.

    python tools/fuzz.py [--seed N] [--count N] [--kinds folders,recipes,data] [--write docs/promises.md]
    python tools/fuzz.py --again recipes:17

Inputs are made by `tests/faults/fuzz`, each from its kind and a number, by which `--again` makes it again. An
input may be loaded or refused. The exit status is 1 if one was loaded as something that it does not say
(`wrong`), if another error than the library's own came of it, as when it needs more than a gigabyte of memory
(`foreign`), or if it took more than 2 seconds of a processor or 30 seconds of waiting (`hang`).
"""

import argparse
import collections
import contextlib
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

COUNTS = {"folders": 10_000, "recipes": 5_000, "data": 5_000}
OUTCOMES = ("taken", "refused", "wrong", "foreign", "hang")
SECONDS, PATIENCE, MEMORY, BATCH = 2, 30, 1 << 30, 500
BEGIN, END = "<!-- make fuzz -->", "<!-- end of make fuzz -->"


@dataclass(frozen=True)
class Case:
    """One input: what came of it."""

    kind: str
    number: int
    mutation: str
    outcome: str
    seconds: float
    said: str = ""

    @property
    def again(self) -> str:
        """What makes the input once more."""
        return f"python tools/fuzz.py --again {self.kind}:{self.number}"


class _TooLong(BaseException):
    """The time of a case is over; no `except Exception` catches it."""


def main() -> int:
    """Run the command and give its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="added to every number, in millions")
    parser.add_argument("--count", type=int, help="inputs of each kind, instead of 10,000, 5,000 and 5,000")
    parser.add_argument("--kinds", default=",".join(COUNTS), help="which, with commas")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--write", type=Path, help="a file to put the table into, between its markers")
    parser.add_argument("--again", help="KIND:NUMBER, one input, with its traceback")
    given = parser.parse_args()
    os.environ.update({"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"})
    if given.again:
        return _again(*given.again.split(":"))
    cases: list[Case] = []
    began = time.monotonic()
    for kind in given.kinds.split(","):
        if (module := _module(kind)) is None:
            print(f"{kind}: passed over, since tests/faults/fuzz/{kind}.py is not there")
            continue
        first = given.seed * 1_000_000
        cases += _all_cases(kind, module, range(first, first + (given.count or COUNTS[kind])), given.jobs)
    _show(cases, time.monotonic() - began)
    if given.write:
        _write(given.write, cases, given.seed)
    return int(any(case.outcome in OUTCOMES[2:] for case in cases) or not cases)


def _module(kind: str) -> ModuleType | None:
    if not (ROOT / "tests" / "faults" / "fuzz" / f"{kind}.py").is_file():
        return None
    module = importlib.import_module(f"faults.fuzz.{kind}")
    # What is imported and made at the first attempt is there before processes are forked and timed.
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
        module.attempt(random.Random(0), Path(folder))
    return module


def _again(kind: str, number: str) -> int:
    module = importlib.import_module(f"faults.fuzz.{kind}")
    with tempfile.TemporaryDirectory() as folder:
        print(
            _mutation(module, int(number)), module.attempt(random.Random(int(number)), Path(folder)), sep=": "
        )
    return 0


def _mutation(module: ModuleType, number: int) -> str:
    choose = getattr(module, "choose", None)
    return "" if choose is None else choose(random.Random(number))


def _all_cases(kind: str, module: ModuleType, numbers: range, jobs: int) -> Iterator[Case]:
    """Every case, from processes that each do a batch of their share and are followed by the next."""
    from rich.progress import Progress

    waiting = [list(numbers[first::jobs]) for first in range(jobs)]
    workers = [_Worker(kind, module, share) for share in waiting if share]
    with Progress(transient=True) as progress:
        task = progress.add_task(kind, total=len(numbers))
        while workers:
            for worker in list(workers):
                done = worker.poll()
                progress.advance(task, len(done))
                yield from done
                if worker.ended:
                    workers.remove(worker)
                    workers += [_Worker(kind, module, worker.left)] * bool(worker.left)
            time.sleep(0.02)


class _Worker:
    """A forked process that works through a batch of numbers and reports each case in a line."""

    def __init__(self, kind: str, module: ModuleType, numbers: Sequence[int]):
        self.kind, self.module, self.left, self.ended = kind, module, list(numbers), False
        batch = self.left[:BATCH]
        self._since, self._rest = time.monotonic(), b""
        self._pipe, end = os.pipe()
        sys.stdout.flush()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._pipe)
            _work(module, batch, end)
        os.close(end)
        os.set_blocking(self._pipe, False)

    def poll(self) -> list[Case]:
        """The cases that are newly done; one that takes too long ends the process."""
        cases = []
        try:
            content = os.read(self._pipe, 1 << 20)
        except BlockingIOError:
            if time.monotonic() - self._since > PATIENCE:
                os.kill(self._process, signal.SIGKILL)
                self._since = float("inf")
            return []
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            outcome, seconds, said = line.decode().split("\t", 2)
            cases.append(self._case(outcome, float(seconds), said))
        if not content:
            os.close(self._pipe)
            status = os.waitpid(self._process, 0)[1]
            self.ended = True
            if status:
                waited = self._since == float("inf")
                said = f"no answer for {PATIENCE} s" if waited else f"the process ended with status {status}"
                cases.append(self._case("hang" if waited else "foreign", PATIENCE if waited else 0, said))
        self._since = time.monotonic() if self._since != float("inf") else self._since
        return cases

    def _case(self, outcome: str, seconds: float, said: str) -> Case:
        number = self.left.pop(0)
        return Case(self.kind, number, _mutation(self.module, number), outcome, seconds, said)


def _work(module: ModuleType, numbers: Sequence[int], end: int) -> None:
    """All cases, in the forked process, which ends here."""
    status = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        signal.signal(signal.SIGPROF, _over)
        warnings.simplefilter("error")
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
        most = pages * resource.getpagesize() + MEMORY
        if pages:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for number in numbers:
            outcome, said = "foreign", ""
            began = time.process_time()
            with tempfile.TemporaryDirectory(prefix="softprompt-fuzz-", ignore_cleanup_errors=True) as folder:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                try:
                    outcome = module.attempt(random.Random(number), Path(folder))
                    outcome = "refused" if outcome == "refused" else "taken"
                except _TooLong:
                    outcome, said = "hang", _place(sys.exc_info()[1])
                except AssertionError as error:
                    outcome, said = "wrong", f"{error}"
                except BaseException as error:
                    said = f"{type(error).__name__}: {error} ({_place(error)})"
                signal.setitimer(signal.ITIMER_PROF, 0)
                seconds = time.process_time() - began
            line = f"{outcome}\t{seconds:.3f}\t{said[:500]!a}\n"
            os.write(end, line.encode())
        status = 0
    finally:
        os._exit(status)


def _over(*_: Any) -> None:
    raise _TooLong


def _place(error: BaseException | None) -> str:
    """The last lines of the library that an error came through."""
    frames = traceback.extract_tb(error.__traceback__ if error else None)
    ours = [frame for frame in frames if "softprompt" in frame.filename.replace(str(ROOT), "")] or frames
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[-3:][::-1])


def _rows(cases: Sequence[Case], by: str) -> Iterator[tuple[str, ...]]:
    """Per kind, or per kind and mutation: the number of every outcome, and the longest time."""
    groups: dict[tuple[str, str], list[Case]] = collections.defaultdict(list)
    for case in cases:
        groups[case.kind, case.mutation if by == "mutation" else ""].append(case)
    for (kind, mutation), group in sorted(groups.items()):
        numbers = collections.Counter(case.outcome for case in group)
        longest = max(case.seconds for case in group)
        name = f"{kind}: {mutation}" if mutation else kind
        yield name, f"{len(group):,}", *(f"{numbers[one]:,}" for one in OUTCOMES), f"{longest:.1f}"


def _show(cases: Sequence[Case], seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in _HEAD:
        table.add_column(name, justify="left" if name == _HEAD[0] else "right", no_wrap=True)
    for by in ("mutation", "kind"):
        for row in _rows(cases, by):
            table.add_row(*row)
        table.add_section()
    console = Console(markup=False)
    console.width = max(console.width, 110)
    console.print(table)
    for case in cases:
        if case.outcome in OUTCOMES[2:]:
            print(f"{case.outcome}: {case.again}  # {case.mutation}: {case.said}")
    print(f"{len(cases):,} inputs in {seconds / 60:.1f} minutes")


_HEAD = ("input", "n", *OUTCOMES, "s")


def _write(path: Path, cases: Sequence[Case], seed: int) -> None:
    """Put the table per kind and mutation between the markers of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path}: expected the lines {BEGIN} and {END}")
    table = [_HEAD, ("---",) + ("---:",) * (len(_HEAD) - 1), *_rows(cases, "kind"), *_rows(cases, "mutation")]
    lines = [f"| {' | '.join(row)} |" for row in table]
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    made = (
        f"{BEGIN}\n`make fuzz` with seed {seed}; `s` is the longest time of a processor, in seconds.\n\n"
        + "\n".join(lines)
    )
    path.write_text(f"{before}{made}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
