"""Save a synthetic state, and print by how much that raised the peak of memory.

``python saving_worker.py FOLDER MEGABYTES``
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from echolm.attempt import Attempt
from echolm.record import RunRecord
from echolm.training import checkpoint

KIB = 1024


def synthetic_state(megabytes: int) -> dict[str, Any]:
    """Return a state like that of Adam: weights, and twice as many numbers of the optimiser."""
    size = (megabytes << 20) // 4 // 3 // 8
    names = ("weight", "first", "second")
    tensors = {f"{name}.{layer}": torch.ones(size) for name in names for layer in range(8)}
    return {"epoch": 3, "step": 5, "tensors": tensors}


def main() -> None:
    """Save once small, so that what torch imports late is there, then save what is asked for."""
    record = RunRecord.at(Path(sys.argv[1]), "cell", "f" * 64)
    record.create({"cell": "cell", "fingerprint": "f" * 64})
    attempt = Attempt.acquire(record)
    state = synthetic_state(int(sys.argv[2]))
    checkpoint.save(attempt, {"epoch": 0, "step": 0, "tensors": {"small": torch.ones(10)}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    written = checkpoint.write(attempt, state)
    handed_over = time.perf_counter()
    path = written.finish()
    ended = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attempt.release()
    facts = {
        "bytes": path.stat().st_size,
        "added": (after - before) * KIB,
        "step_waits_s": handed_over - began,
        "thread_s": ended - handed_over,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
