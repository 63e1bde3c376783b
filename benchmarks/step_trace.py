"""What a trace of torch.profiler says of a step: its kernels, its operators, who waited for whom.

The trace is what `export_chrome_trace` writes. Stages of the step are annotations whose names begin with
`stage:`. Times in are microseconds, out milliseconds; every count and time is of one step.

On a processor no kernel is started: there, operators that would start one, and call no other that would, take
their place, and their time stands for the device's.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STAGE = "stage:"
DEVICE = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
RUNTIME = frozenset({"cuda_runtime", "cuda_driver"})
NO_KERNEL = frozenset(
    "view _unsafe_view transpose t unsqueeze expand slice detach detach_ alias permute squeeze select split "
    "as_strided lift_fresh unbind split_with_sizes reshape empty empty_like empty_strided resolve_conj "
    "resolve_neg expand_as view_as numpy_T narrow chunk result_type is_nonzero item requires_grad_ set_ "
    "new_empty new_empty_strided _reshape_alias _reshape_copy is_same_size broadcast_tensors to "
    "contiguous dropout dropout_ linear matmul flatten resize_ resize_as_ as_strided_ type_as "
    "cross_entropy_loss zeros ones zeros_like ones_like new_zeros new_ones full new_full clone "
    "_to_copy".split()
)
"""Operators that start nothing by themselves: views, allocations, and those that leave the work to others."""
Event = Mapping[str, Any]


def events_of(trace: Mapping[str, Any]) -> list[Event]:
    """Those with a beginning and a length, by beginning; of two that begin together, the longer first."""
    whole = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
    return sorted(whole, key=lambda event: (event["ts"], -event.get("dur", 0)))


def step_of(events: Sequence[Event], steps: int, layers: int) -> dict[str, Any]:
    """One step, on average.

    Args:
        events: as `events_of` gives them.
        steps: how many were traced.
        layers: of the backbone, for counts per layer.
    """
    stages = [e for e in events if e.get("cat") == "user_annotation" and e["name"].startswith(STAGE)]
    within = [(s["ts"], s["ts"] + s["dur"]) for s in stages]
    operators = [o for o in nested(e for e in events if e.get("cat") == "cpu_op") if inside(within, o["ts"])]
    kernels = [k for k in started(events, operators) if inside(within, k["started"])]
    on_device = any(event.get("cat") in DEVICE for event in events)
    host = sum(stage["dur"] for stage in stages)
    busy = covered((k["ts"], k["ts"] + k["dur"]) for k in kernels)
    by_stage = {}
    for name in dict.fromkeys(stage["name"] for stage in stages):
        spans = [(s["ts"], s["ts"] + s["dur"]) for s in stages if s["name"] == name]
        mine = [k for k in kernels if inside(spans, k["started"])]
        calls = covered(
            (o["ts"], o["ts"] + o["dur"]) for o in operators if o["outermost"] and inside(spans, o["ts"])
        )
        length = sum(end - start for start, end in spans)
        by_stage[name.removeprefix(STAGE)] = {
            "host_ms": length / steps / 1e3,
            "host_outside_operators_ms": max(0.0, length - calls) / steps / 1e3,
            "kernels": len(mine) / steps,
            "device_ms": sum(k["dur"] for k in mine) / steps / 1e3,
        }
    return {
        "kernels_are": "kernels" if on_device else "operators",
        "traced_host_ms": host / steps / 1e3,
        "device_ms": sum(k["dur"] for k in kernels) / steps / 1e3,
        "device_busy_ms": busy / steps / 1e3,
        "kernels": len(kernels) / steps,
        "kernels_per_layer": len(kernels) / steps / layers,
        "stages": by_stage,
        "by_kernel": table(kernels, "name", steps, layers),
        "by_operator": with_host(table(kernels, "operator", steps, layers), operators, steps, layers),
        "waits": waits(events, stages, operators, steps),
    }


def nested(operators: Iterable[Event]) -> list[dict[str, Any]]:
    """Operators with their own time, thread by thread.

    `outermost` is said of those that no other calls, `works` of those that would start a kernel and call no
    other that would.
    """
    found: list[dict[str, Any]] = []
    open_ones: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in operators:
        above = open_ones[event.get("tid")]
        while above and event["ts"] >= above[-1]["ts"] + above[-1]["dur"]:
            above.pop()
        name = event["name"]
        works = name.startswith("aten::") and name[6:] not in NO_KERNEL
        one = {**event, "own": event["dur"], "works": works, "outermost": not above}
        if above:
            above[-1]["own"] -= event["dur"]
        if works:
            for caller in above:
                caller["works"] = False
        above.append(one)
        found.append(one)
    return found


def started(events: Sequence[Event], operators: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every kernel, with the operator and the moment that started it."""
    by_id = {o["args"]["External id"]: o["name"] for o in operators if "External id" in o.get("args", {})}
    launches = {
        e["args"]["correlation"]: e["ts"]
        for e in events
        if e.get("cat") in RUNTIME and "correlation" in e.get("args", {})
    }
    found = []
    for event in events:
        if event.get("cat") in DEVICE:
            said = event.get("args", {})
            found.append(
                {
                    "name": event["name"],
                    "operator": by_id.get(said.get("External id"), "(no operator)"),
                    "ts": event["ts"],
                    "dur": event["dur"],
                    "started": launches.get(said.get("correlation"), event["ts"]),
                }
            )
    if found:
        return found
    return [
        {"name": o["name"], "operator": o["name"], "ts": o["ts"], "dur": o["dur"], "started": o["ts"]}
        for o in operators
        if o["works"]
    ]


def table(
    kernels: Iterable[Mapping[str, Any]], column: str, steps: int, layers: int
) -> dict[str, dict[str, float]]:
    """Calls and device time by the values of a column, the longest time first."""
    calls: Counter[str] = Counter()
    time: Counter[str] = Counter()
    for kernel in kernels:
        calls[kernel[column]] += 1
        time[kernel[column]] += kernel["dur"]
    return {
        name: {
            "kernels": calls[name] / steps,
            "per_layer": calls[name] / steps / layers,
            "device_ms": spent / steps / 1e3,
        }
        for name, spent in time.most_common()
    }


def with_host(
    found: dict[str, dict[str, float]], operators: Iterable[Mapping[str, Any]], steps: int, layers: int
) -> dict[str, dict[str, float]]:
    """The same with the calls of each operator and the host's time in it alone; those without kernels too."""
    calls: Counter[str] = Counter()
    own: Counter[str] = Counter()
    for operator in operators:
        calls[operator["name"]] += 1
        own[operator["name"]] += operator["own"]
    none = {"kernels": 0.0, "per_layer": 0.0, "device_ms": 0.0}
    return {
        name: {
            **found.get(name, none),
            "calls": calls[name] / steps,
            "calls_per_layer": calls[name] / steps / layers,
            "host_own_ms": own[name] / steps / 1e3,
        }
        for name in [*found, *(name for name in calls if name not in found)]
    }


def waits(
    events: Iterable[Event], stages: Sequence[Event], operators: Sequence[Mapping[str, Any]], steps: int
) -> dict[str, dict[str, float]]:
    """Where the host waits for the device within a step, or copies between the two."""
    spans = [(s["ts"], s["ts"] + s["dur"]) for s in stages]
    by_thread: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for operator in operators:
        by_thread[operator.get("tid")].append(operator)
    begins = {thread: [o["ts"] for o in some] for thread, some in by_thread.items()}
    n: Counter[str] = Counter()
    time: Counter[str] = Counter()
    for event in events:
        name = event["name"]
        if event.get("cat") not in RUNTIME or not ("Synchronize" in name or "Memcpy" in name):
            continue
        if not inside(spans, event["ts"]):
            continue
        # The innermost operator around it began last of those that have not ended.
        some, owner = by_thread[event.get("tid")], "(no operator)"
        for i in range(bisect_right(begins.get(event.get("tid"), []), event["ts"]) - 1, -1, -1):
            if some[i]["ts"] + some[i]["dur"] >= event["ts"]:
                owner = some[i]["name"]
                break
            if some[i]["outermost"]:
                break
        n[f"{name} in {owner}"] += 1
        time[f"{name} in {owner}"] += event["dur"]
    return {
        name: {"calls": n[name] / steps, "host_ms": spent / steps / 1e3} for name, spent in time.most_common()
    }


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of them lasts."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def inside(spans: Iterable[tuple[float, float]], moment: float) -> bool:
    """Whether a moment is within one of them."""
    return any(start <= moment < end for start, end in spans)
