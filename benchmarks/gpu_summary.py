"""For gpu.sh: what the machine is, and the table of its parts. Needs nothing but Python.

python benchmarks/gpu_summary.py PARTS OUT            summary.md and summary.json in OUT, of PARTS's files
python benchmarks/gpu_summary.py --environment cuda   one JSON line
"""

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

COLUMNS = ("part", "state", "exit", "seconds", "budget", "why")
PACKAGES = ("torch", "transformers", "peft", "tokenizers", "accelerate", "numpy", "triton", "pydantic")
SYSTEM = "name,driver_version,memory.total,memory.used,utilization.gpu,clocks.sm,clocks.max.sm,power.limit"


def environment(device: str) -> dict[str, Any]:
    """The machine and the versions; an item that cannot be had says why."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "packages": {name: installed(name) for name in PACKAGES},
        "nvidia_smi": output("nvidia-smi", f"--query-gpu={SYSTEM}", "--format=csv"),
        "commit": output("git", "rev-parse", "HEAD"),
    }
    try:
        import torch
    except ImportError as error:
        return {**found, "torch": f"not importable: {error}"}
    found["threads"] = torch.get_num_threads()
    found["cuda_of_torch"] = torch.version.cuda
    found["cuda_available"] = torch.cuda.is_available()
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found["gpu"] = {
            "name": about.name,
            "capability": list(torch.cuda.get_device_capability(0)),
            "memory_bytes": about.total_memory,
            "multiprocessors": about.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
        }
    elif device != "cpu":
        found["missing"] = "torch sees no GPU here; what asks for one will fail"
    return found


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def output(*command: str) -> str:
    """What a command prints, or why it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    return (done.stdout or done.stderr).strip()


def parts_of(folder: Path) -> list[dict[str, Any]]:
    """What gpu.sh recorded of each part, with what its files say."""
    found = []
    for line in (folder / "parts.tsv").read_text(encoding="utf-8").splitlines():
        part: dict[str, Any] = dict(zip(COLUMNS, line.split("\t"), strict=True))
        for number in ("exit", "seconds", "budget"):
            part[number] = int(part[number]) if part[number] else None
        part["said"] = said(folder, part["part"])
        log = folder / f"{part['part']}.txt"
        if part["state"] not in ("done", "skipped") and log.exists():
            part["end"] = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        found.append(part)
    return found


def said(folder: Path, name: str) -> dict[str, Any]:
    """The numbers of a part that a summary wants: counts of tests, or a result's own."""
    tests = folder / f"{name}.xml"
    if tests.exists():
        try:
            suite = next(ElementTree.parse(tests).getroot().iter("testsuite"))
        except (ElementTree.ParseError, StopIteration):
            return {}
        return {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    try:
        result = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if "ratios" in result:
        return result["ratios"]
    if "found" in result:
        found = {}
        for row in result["found"]:
            where = f"{row['backbone']}, {row['seq']} tokens, {row['measured']}"
            found[f"{where}: many / one"] = row["ratio"]
            if "alone_s" in row:
                found[f"{where}: one after another / many"] = round(row["alone_s"] / row["many_s"], 3)
        return found
    if "steps" in result:
        return {
            f"{who}: {key}": round(step[key], 3)
            for who, step in result["steps"].items()
            for key in ("wall_ms", "host_ms", "device_busy_ms", "kernels")
            if key in step
        }
    if "packages" in result:
        gpu = result.get("gpu", {}).get("name", "no GPU")
        return {"gpu": gpu, **{k: v for k, v in result["packages"].items() if k in PACKAGES[:3]}}
    return {}


def written(parts: list[dict[str, Any]]) -> str:
    """As markdown."""
    lines = ["# Ten minutes of a GPU", "", "| part | state | exit | seconds | budget | |"]
    lines.append("| --- | --- | ---: | ---: | ---: | --- |")
    for part in parts:
        exit_status = "" if part["exit"] is None else part["exit"]
        row = (part["part"], part["state"], exit_status, part["seconds"], part["budget"], part["why"])
        lines.append(f"| {' | '.join(map(str, row))} |")
    for part in parts:
        if part["said"]:
            lines += ["", f"## {part['part']}", "", *(f"- {k}: {v}" for k, v in part["said"].items())]
        if "end" in part:
            fence = "```" + "`" * max(map(len, re.findall("`{3,}", "\n".join(part["end"]))), default=0)
            lines += ["", f"## {part['part']}: the end of what it printed", "", fence, *part["end"], fence]
    return "\n".join(lines) + "\n"


def replace(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    whole = path.with_name(path.name + ".part")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)


def main(arguments: list[str]) -> None:
    """See above."""
    if arguments[0] == "--environment":
        print(json.dumps(environment(arguments[1])))
        return
    folder, out = map(Path, arguments)
    parts = parts_of(folder)
    replace(out / "summary.json", json.dumps(parts, indent=1) + "\n")
    replace(out / "summary.md", written(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
