"""The report of `profile_step.py`, as markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST = 30
"""Lines of a table."""


def written(report: Mapping[str, Any]) -> str:
    """Everything that was measured so far."""
    steps: Mapping[str, Any] = report["steps"]
    seen = {name: step for name, step in steps.items() if "by_kernel" in step}
    parts = [head(report), summary(steps)]
    if seen:
        parts += [stages(seen), beside(seen, "by_operator", "operator"), beside(seen, "by_kernel", "kernel")]
        parts += [waits(name, step) for name, step in seen.items() if step["waits"]]
    parts += [functions(name, step) for name, step in steps.items() if step.get("functions")]
    return "\n\n".join(parts)


def head(report: Mapping[str, Any]) -> str:
    """What was measured."""
    batch, seq = report["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return (
        f"# One prefix training step\n\n{report['model']}, {report['layers']} layers, {report['dtype']}, "
        f"{report['device']}; {batch} rows of {seq} tokens and fewer, prefix {report['prefix']}; {versions}. "
        "Every number is of one step, times in milliseconds."
        + "".join(f"\n\nLeft out, {name}: {why}" for name, why in report["left_out"].items())
    )


def summary(steps: Mapping[str, Any]) -> str:
    """A line for each contender: without a profiler, then traced."""
    what = next((step["kernels_are"] for step in steps.values() if "kernels_are" in step), "kernels")
    peer = steps.get("peft", {}).get("wall_ms")
    lines = []
    for name, step in steps.items():
        rate = "" if peer is None else f"{peer / step['wall_ms']:.2f}"
        rest = ("device_busy_ms", "idle_ms", "kernels", "kernels_per_layer", "traced_host_ms")
        lines.append([name, ms(step["wall_ms"]), rate, ms(step["host_ms"]), *(ms(step.get(k)) for k in rest)])
    columns = ["step", "wall", "rate / PEFT's", "host", "busy", "idle", what, "a layer", "host, traced"]
    return table(columns, lines)


def stages(seen: Mapping[str, Any]) -> str:
    """Forward, backward, optimizer."""
    lines = [
        [f"{name}: {stage}", *(ms(values[key]) for key in values)]
        for name, step in seen.items()
        for stage, values in step["stages"].items()
    ]
    columns = ["stage", "host, traced", "of it outside of operators", "kernels", "device"]
    return "## Stages\n\n" + table(columns, lines)


def beside(seen: Mapping[str, Any], key: str, what: str) -> str:
    """Kernels and device time by name, side by side; where ours and PEFT's differ most comes first."""
    names = dict.fromkeys(name for step in seen.values() for name in step[key])

    def of(who: str, name: str, value: str) -> float:
        return seen.get(who, {}).get(key, {}).get(name, {}).get(value, 0.0)

    who = list(seen)
    mine, peer = who[0], "peft" if "peft" in seen else who[-1]

    def distance(name: str) -> tuple[float, float]:
        return (
            abs(of(mine, name, "device_ms") - of(peer, name, "device_ms")),
            abs(of(mine, name, "kernels") - of(peer, name, "kernels")),
        )

    ordered = sorted(names, key=distance, reverse=True)[:MOST]
    lines = [
        [
            f"`{name[:90]}`",
            *(f"{of(one, name, 'kernels'):.0f} / {of(one, name, 'device_ms'):.3f}" for one in who),
            f"{of(mine, name, 'device_ms') - of(peer, name, 'device_ms'):+.3f}",
        ]
        for name in ordered
    ]
    title = f"## By {what}: kernels / device time, where {mine} and {peer} differ most first"
    return f"{title}\n\n" + table([what, *who, f"{mine} less {peer}"], lines)


def waits(name: str, step: Mapping[str, Any]) -> str:
    """Waiting and copying."""
    lines = [
        [f"`{where[:100]}`", ms(v["calls"]), ms(v["host_ms"])]
        for where, v in list(step["waits"].items())[:MOST]
    ]
    return f"## {name}: waiting and copying\n\n" + table(["call", "calls", "host"], lines)


def functions(name: str, step: Mapping[str, Any]) -> str:
    """Python's own functions."""
    lines = [
        [f"`{one['function']}`", ms(one["calls"]), ms(one["own_ms"]), ms(one["with_what_it_calls_ms"])]
        for one in step["functions"]
    ]
    columns = ["function", "calls", "own", "with what it calls"]
    return f"## {name}: Python's functions\n\n" + table(columns, lines)


def ms(value: float | None) -> str:
    """A number, or nothing where it was not measured yet."""
    return "" if value is None else f"{value:,.2f}".removesuffix(".00")


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """In markdown."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *lines))
