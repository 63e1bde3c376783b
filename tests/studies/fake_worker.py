"""What a worker does that trains nothing: a length of 2 dies, 3 waits until it is told to stop, 4 fails, and
9 waits until its parent is killed, and is done the next time; 11 dies while it answers."""

import json
import os
import sys
import time
from pathlib import Path

from softprompt.studies.running.worker import Outcome


class _Dies(Outcome):
    def __reduce__(self):
        os._exit(9)


def work():
    return _answer


def _answer(job):
    length = job["method"]["length"]
    if length == 2:
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(9)
    outcome = Outcome(f"length {length}" if length == 4 else "")
    folder = Path(job["output"])
    folder.mkdir(parents=True, exist_ok=True)
    if length == 3:
        (folder / "begun").touch()
        outcome = _interrupted()
    if length == 9 and not (folder / "killed").exists():
        print("waits", file=sys.stderr, flush=True)
        (folder / ".waits").write_text(str(os.getppid()))
        (folder / ".waits").rename(folder / "waits")
        return _interrupted()
    note = {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
    print(json.dumps({"name": job["name"], **note}), file=sys.stderr, flush=True)
    return _Dies() if length == 11 else outcome


def _interrupted():
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        return Outcome(interrupted=True)
