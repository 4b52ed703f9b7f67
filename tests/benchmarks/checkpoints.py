"""What a checkpoint of 1.1 GB adds to memory, and for how long a step waits for it.

``python -m tests.benchmarks.checkpoints``. The peer makes the file in memory, as ``torch.save`` to
a buffer does, and hashes, writes and flushes it before the step goes on. Each way has a process of
its own. 1.1 GB is a masked autoencoder on ViT-B with Adam.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from echolm.attempt import Attempt
from echolm.record import RunRecord
from echolm.text import file_size
from echolm.training import checkpoint
from tests.benchmarks.measure import circumstances
from tests.benchmarks.report import RESULTS, write

MEGABYTES, TINY_MEGABYTES = 1130, 60
LAYERS = 36
KIB = 1024
Save = Callable[[Attempt, dict[str, Any]], float]
"""Saves a state, and returns for how many seconds a step would wait."""


def synthetic_state(megabytes: int) -> dict[str, Any]:
    """Return a state like that of Adam: weights, and twice as many numbers of the optimiser."""
    numbers = megabytes * 1_000_000 // 4 // 3 // LAYERS
    tensors = {}
    for name in ("weight", "first", "second"):
        for layer in range(LAYERS):
            tensors[f"{name}.{layer}"] = torch.ones(numbers)
    return {"epoch": 3, "step": 5, "tensors": tensors}


def streamed(attempt: Attempt, state: dict[str, Any]) -> float:
    """Save as training does. The thread's part is done after the clock has stopped."""
    began = time.perf_counter()
    written = checkpoint.write(attempt, state)
    waited = time.perf_counter() - began
    written.finish()
    return waited


def in_memory(attempt: Attempt, state: dict[str, Any]) -> float:
    """Make the file in memory, hash, write and flush it."""
    began = time.perf_counter()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    hashlib.sha256(content).hexdigest()
    with open(attempt.path / "peer.pt", "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began


def measure(way: str, megabytes: int) -> dict[str, float]:
    """Save a state once, and return what that added to the peak of memory, and the wait."""
    ways: dict[str, Save] = {"streamed": streamed, "in memory": in_memory}
    with tempfile.TemporaryDirectory() as folder:
        record = RunRecord.at(Path(folder), "cell", "f" * 64)
        record.create({"cell": "cell", "fingerprint": "f" * 64})
        attempt = Attempt.acquire(record)
        checkpoint.save(attempt, synthetic_state(1))  # what torch imports late is there
        state = synthetic_state(megabytes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        waited = ways[way](attempt, state)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        attempt.release()
    return {"added": (after - before) * KIB, "waited": waited}


def main() -> None:
    """Measure both ways, print, and keep what was printed unless tiny."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small state, which is not kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    options = parser.parse_args()
    megabytes = TINY_MEGABYTES if options.tiny else MEGABYTES
    facts = {}
    for way in ("streamed", "in memory"):
        with get_context("spawn").Pool(1) as pool:
            facts[way] = pool.apply(measure, (way, megabytes))
    lines = []
    for way, measured in facts.items():
        lines.append(
            f"{way}: adds {file_size(measured['added'])} to the peak of memory, and the step waits "
            f"{measured['waited']:.2f} s"
        )
    ratio = facts["in memory"]["waited"] / facts["streamed"]["waited"]
    lines.append(f"the step waits {ratio:.1f} times longer for the file in memory")
    title = f"A checkpoint of {file_size(megabytes * 1_000_000)}"
    print("\n  ".join([title, *lines]), flush=True)
    if not options.tiny:
        content = {"circumstances": circumstances(), "sections": {title: lines}}
        write(options.out, "checkpoints", content)


if __name__ == "__main__":
    main()
