"""A worker that trains nothing: a length of 2 dies, 3 waits until it is told to stop, 4 fails, and 9 waits
until its parent is killed, and is done the next time; 11 dies while it answers."""

import json
import os
import sys
from pathlib import Path

for job in sys.stdin:
    settings = json.loads(job)
    length = settings["method"]["length"]
    if length == 2:
        print("out of memory", file=sys.stderr)
        os._exit(9)
    outcome = {"error": f"length {length}" if length == 4 else "", "trace": "", "interrupted": False}
    if length == 3:
        Path(settings["output"], "begun").parent.mkdir(parents=True, exist_ok=True)
        Path(settings["output"], "begun").touch()
        sys.stdin.read()
        outcome["interrupted"] = True
    killed = Path(settings["output"], "killed")
    if length == 9 and not killed.exists():
        print("waits", file=sys.stderr, flush=True)
        killed.parent.mkdir(parents=True, exist_ok=True)
        killed.with_name(".waits").write_text(str(os.getppid()))
        killed.with_name(".waits").rename(killed.with_name("waits"))
        sys.stdin.read()
        break
    note = {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
    print(json.dumps({"name": settings["name"], **note}), file=sys.stderr, flush=True)
    if length == 11:
        print(json.dumps(outcome)[:-5], end="", flush=True)
        os._exit(9)
    print(json.dumps(outcome), flush=True)
