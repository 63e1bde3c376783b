"""Several processes of one run on the CPU (gloo), as `accelerate launch` starts them."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed


def launch(command: Sequence[str], n: int = 2) -> None:
    """Run a command in n processes that know of each other; all must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    workers = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n)
    ]
    with ThreadPoolExecutor(n) as pool:
        try:
            # Whichever ends first is looked at first: one that fails leaves the others waiting for it.
            for ended in as_completed([pool.submit(_end, worker) for worker in workers]):
                code, errors = ended.result()
                assert code == 0, errors
        finally:
            for worker in workers:
                worker.kill()


def _end(worker: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = worker.communicate(timeout=900)
    return worker.returncode, errors
