"""A worker of a search as a process.

Its words are ``python -m cluster.search_worker FOLDER TRIALS DEVICE [PRECISION [compile]]``.

``cluster.local_search`` starts it. When its standard input ends, the starter is gone: it
checkpoints and stops.

Exit status: 0 nothing is left to do, 1 it cannot work (the last line says why), 3 stopped by a
signal.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from echolm.arithmetic import Arithmetic, Precision
from echolm.errors import EchoLMError
from echolm.garbage import look_for_garbage_seldom
from grid.search.worker import run_worker


def main(
    folder: str, trials: str, device: str, precision: Precision = "fp32", *compiled: str
) -> int:
    """Run trials of the search in ``folder``. Returns the exit status."""
    look_for_garbage_seldom()
    import torch

    from echolm.training.cohorts import Compute

    now = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"{now} worker {os.getpid()} on {device}", file=sys.stderr, flush=True)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    threading.Thread(target=_watch_input, daemon=True).start()
    compute = Compute(arithmetic=Arithmetic(precision, bool(compiled)))
    try:
        nothing_left = run_worker(Path(folder), int(trials), device, compute)
        return 0 if nothing_left else 3
    except (EchoLMError, OSError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


def _watch_input() -> None:
    """Wait for the end of standard input, and stop this process then."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))  # type: ignore[arg-type]
