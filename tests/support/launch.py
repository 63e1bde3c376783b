"""Several processes of one run on the CPU (gloo), as `accelerate launch` starts them."""

import socket
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack

from support.processes import Running, running


def launch(code: str, *arguments: object, n: int = 2) -> None:
    """Run code in n processes that know of each other; all must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with ThreadPoolExecutor(n) as pool, ExitStack() as stack:
        workers = [
            stack.enter_context(
                running(code, *arguments, environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            )
            for rank in range(n)
        ]
        # Whichever ends first is looked at first: one that fails leaves the others waiting for it.
        for ended in as_completed([pool.submit(_end, worker) for worker in workers]):
            code_of_exit, errors = ended.result()
            assert code_of_exit == 0, errors


def _end(worker: Running) -> tuple[int | None, str]:
    return worker.ended(), worker.errors
