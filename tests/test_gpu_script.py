"""benchmarks/gpu.sh: what it says it would run, and how its traces and parts are read; no GPU is needed."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PARTS = (
    "environment",
    "profile",
    "device-tests",
    "step-same-batches",
    "step-own-batches",
    "many-prompts",
    "many-prompts-alone",
    "step-soft-tokens",
)
bash = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="gpu.sh is a script for bash"
)


def script(*arguments):
    command = ["bash", str(BENCHMARKS / "gpu.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def module(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def lines_of(*arguments):
    done = script("--dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()[2:]]


@bash
def test_a_dry_run_lists_the_parts_in_order_and_every_file_is_there():
    lines = lines_of()
    assert tuple(line[0] for line in lines) == PARTS
    files = re.findall(r"benchmarks/\w+\.py", " ".join(" ".join(line) for line in lines))
    assert set(files) == {f"benchmarks/{n}.py" for n in ("profile_step", "training_step", "many_prompts")}
    assert all((BENCHMARKS.parent / file).exists() for file in files)


@bash
def test_the_older_versions_come_last_and_only_when_asked_for():
    names = [line[0] for line in lines_of("--also-older")]
    assert tuple(names[: len(PARTS)]) == PARTS
    assert names[len(PARTS)] == "older-install"
    assert all(name.startswith("older-") for name in names[len(PARTS) :])


@bash
def test_on_a_processor_nothing_asks_for_a_gpu():
    assert not any("cuda" in word for line in lines_of("--cpu") for word in line)


@bash
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--quick"], "--quick is not an option"),
        (["--limit", "soon"], "--limit was 'soon', expected whole seconds"),
        (["--only"], "--only has no value behind it"),
        (["--only", "profile,steps"], "--only names 'steps', which is no part"),
        (["--wheels", "nowhere/at/all"], "which is no folder"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    done = script(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def event(cat, name, ts, dur, tid=1, **args):
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "tid": tid, "args": args}


def test_a_trace_of_a_gpu_is_read():
    """One step by hand: two kernels that overlap, a copy that the host waits for, and one kernel outside."""
    trace = module("step_trace")
    events = [
        event("user_annotation", "stage:forward", 0, 1000),
        event("user_annotation", "stage:backward", 1000, 1000),
        event("cpu_op", "aten::linear", 100, 200, **{"External id": 1}),
        event("cpu_op", "aten::mm", 150, 100, **{"External id": 2}),
        event("cuda_runtime", "cudaLaunchKernel", 200, 10, correlation=7),
        event("kernel", "gemm", 1500, 300, tid=9, correlation=7, **{"External id": 2}),
        # The backward pass has a thread of its own.
        event("cpu_op", "aten::add", 1100, 50, tid=2, **{"External id": 3}),
        event("cuda_runtime", "cudaLaunchKernel", 1120, 10, tid=2, correlation=8),
        event("kernel", "add", 1700, 300, tid=9, correlation=8, **{"External id": 3}),
        event("cpu_op", "aten::_local_scalar_dense", 1200, 700, tid=2, **{"External id": 4}),
        event("cuda_runtime", "cudaStreamSynchronize", 1300, 600, tid=2, correlation=9),
        event("cuda_runtime", "cudaLaunchKernel", 2500, 10, correlation=10),
        event("kernel", "later", 2600, 10, tid=9, correlation=10),
        {"ph": "M", "name": "process_name", "ts": 0},
    ]
    found = trace.step_of(trace.events_of({"traceEvents": events}), 1, 2)
    assert found["kernels_are"] == "kernels"
    assert (found["kernels"], found["kernels_per_layer"]) == (2, 1)
    assert found["device_ms"] == pytest.approx(0.6)
    assert found["device_busy_ms"] == pytest.approx(0.5)
    assert found["traced_host_ms"] == pytest.approx(2.0)
    forward, backward = found["stages"]["forward"], found["stages"]["backward"]
    # The forward pass's kernel ran during the backward pass, and counts where it was started.
    assert (forward["kernels"], backward["kernels"]) == (1, 1)
    assert forward["host_outside_operators_ms"] == pytest.approx(0.8)
    assert backward["host_outside_operators_ms"] == pytest.approx(0.25)
    assert found["by_kernel"]["gemm"] == {"kernels": 1, "per_layer": 0.5, "device_ms": pytest.approx(0.3)}
    assert found["by_operator"]["aten::mm"]["device_ms"] == pytest.approx(0.3)
    assert found["by_operator"]["aten::linear"]["host_own_ms"] == pytest.approx(0.1)
    assert found["waits"] == {
        "cudaStreamSynchronize in aten::_local_scalar_dense": {"calls": 1, "host_ms": pytest.approx(0.6)}
    }


def test_without_a_gpu_operators_stand_for_kernels():
    """Two equal steps: a product inside another operator counts once, a view and an allocation not at all."""
    trace = module("step_trace")
    events = []
    for start in (0, 1000):
        events += [
            event("user_annotation", "stage:forward", start, 500),
            event("cpu_op", "aten::linear", start + 10, 100),
            event("cpu_op", "aten::t", start + 20, 10),
            event("cpu_op", "aten::mm", start + 40, 60),
            event("cpu_op", "aten::empty", start + 50, 5),
        ]
    found = trace.step_of(trace.events_of({"traceEvents": events}), 2, 1)
    assert found["kernels_are"] == "operators"
    assert set(found["by_kernel"]) == {"aten::mm"}
    assert found["kernels"] == 1
    assert found["device_ms"] == pytest.approx(0.06)


def test_a_failed_part_is_in_the_summary_with_its_end(tmp_path):
    summary = module("gpu_summary")
    rows = [
        "profile\tdone\t0\t12\t110\t",
        "many-prompts\tfailed\t1\t3\t80\t",
        "late\tskipped\t\t0\t9\tno time",
    ]
    (tmp_path / "parts.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "many-prompts.txt").write_text("begun\nRuntimeError: no room\n")
    (tmp_path / "profile.json").write_text(json.dumps({"steps": {"softprompt": {"wall_ms": 40.0}}}))
    summary.main([str(tmp_path), str(tmp_path)])
    kept = json.loads((tmp_path / "summary.json").read_text())
    assert [part["state"] for part in kept] == ["done", "failed", "skipped"]
    assert kept[1]["end"] == ["begun", "RuntimeError: no room"]
    text = (tmp_path / "summary.md").read_text()
    assert "softprompt: wall_ms: 40.0" in text
    assert "RuntimeError: no room" in text
    assert "no time" in text
