"""A worker that trains nothing: bleu is the length; a length of 2 dies, 3 waits until it is told to stop."""

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
    note = {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
    print(json.dumps({"name": settings["name"], **note}), file=sys.stderr, flush=True)
    print(json.dumps(outcome), flush=True)
