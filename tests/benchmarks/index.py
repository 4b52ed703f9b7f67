"""Time and peak memory of a store's index: ``python -m tests.benchmarks.index --items 525328``.

Each step runs in a process of its own, so that its peak is its own. A plain read of the same file
by pyarrow is the peer, in the same run. MIMIC-IV-ECHO lists 525,328 files.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.scan import SourceItem
from echolm.stores.clips import FRAMES, SCHEMA, ClipStore
from echolm.stores.sampling import ed_to_es
from echolm.stores.writer import StoredItem, fingerprint, write_index, write_info

ITEMS = 525_328
"""Files of MIMIC-IV-ECHO."""
HELD = 16
"""Frames of an item."""
STUDIES = 7_243
PATIENTS = 4_579
VIEWS = ("2CH", "4CH", "PLAX", "PSAX", None)
LOOKED_AT = 1_000
"""Items that are looked at in any order."""
MOST_SECONDS = 4.0
MOST_BYTES = 1.5e9
"""What opening may take."""


@dataclass(frozen=True)
class Step:
    """What a step took: seconds, and bytes of memory at its peak and before it began."""

    name: str
    seconds: float
    peak: int
    before: int

    def line(self, peer: Step | None = None) -> str:
        """Spell the step, and its multiples of a peer."""
        text = f"{self.name}: {self.seconds:.2f} s, peak {self.peak / 1e9:.2f} GB"
        text += f" ({(self.peak - self.before) / 1e9:.2f} GB above the start)"
        if peer is not None:
            seconds = self.seconds / peer.seconds
            text += (
                f"; {seconds:.1f} x the time and {self.peak / peer.peak:.1f} x the peak of pyarrow"
            )
        return text


def synthetic(count: int) -> list[StoredItem]:
    """Make items with the ids and values of a large archive, of 16 frames of one pixel."""
    rng = np.random.default_rng(0)
    content = frames_of(count)
    lengths = rng.integers(30, 120, count).tolist()
    fractions = rng.normal(55, 12, count).tolist()
    items = []
    for number, (length, fraction) in enumerate(zip(lengths, fractions, strict=True)):
        study = number * STUDIES // count
        patient = study * PATIENTS // STUDIES
        values: dict[str, Any] = {"fps": 30.0, "view": VIEWS[number % len(VIEWS)]}
        if study % 2:
            values["ef"] = fraction
        start = number * HELD
        digest = hashlib.sha256(content[start : start + HELD]).hexdigest()
        sample = f"p{10_000_000 + patient}/s{90_000_000 + study}/{number:07d}"
        source = SourceItem(
            sample=sample,
            patient=f"p{10_000_000 + patient}",
            study=f"s{90_000_000 + study}",
            split=("train", "train", "train", "val", "test")[patient % 5],
            path=Path(sample),
            frame_count=length,
            values=values,
        )
        items.append(StoredItem(source, ed_to_es(0, length - 1, HELD), 1, 1, digest))
    return items


def frames_of(count: int) -> bytes:
    """Return the frames of all items, one after another."""
    return np.random.default_rng(1).bytes(count * HELD)


def write(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Write the index and what the store says of itself."""
    items = synthetic(count)
    (folder / FRAMES).write_bytes(frames_of(count))
    info = {"schema": SCHEMA, "fingerprint": "0" * 64, "clips": "uniform-16", "reader": "synthetic"}

    def run() -> None:
        digest = write_index(folder, items)
        write_info(folder, info | {"index_sha256": digest}, items)

    return "write", run


def hash_items(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Make the fingerprint."""
    items = synthetic(count)
    return "fingerprint", lambda: fingerprint(items, "decoder", "rule")


def read_plainly(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Read the file by pyarrow alone."""
    import pyarrow.parquet as pq

    return "pyarrow, the table alone", lambda: pq.read_table(folder / "index.parquet")


def open_first(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Open the store, whose frames nobody has checked yet."""
    return "open the first time (all frames hashed)", lambda: _open(folder)


def open_again(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Open the store as every later process does."""
    return "open", lambda: _open(folder)


def open_and_look(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Open the store, list a split and all samples, and look at 1,000 items."""

    def run() -> None:
        store = _open(folder)
        store.split("train")
        store.column("sample")
        for row in np.random.default_rng(0).integers(0, count, LOOKED_AT):
            store.read(int(row), store.items[row].frames[:4])

    return f"open, a split, all samples, {LOOKED_AT:,} items read", run


def open_and_iterate(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Open the store and go through all items."""
    return "open, all items in turn", lambda: sum(1 for _ in _open(folder).items)


STEPS = (
    write,
    hash_items,
    read_plainly,
    open_first,
    open_again,
    open_and_look,
    open_and_iterate,
)


def _open(folder: Path) -> ClipStore:
    return ClipStore.open(folder, folder / "cache")


def measure(step: Callable[..., Any], folder: Path, count: int) -> Step:
    """Prepare a step and measure it, in this process."""
    name, run = step(folder, count)
    before = _peak()
    began = time.perf_counter()
    kept = run()
    seconds = time.perf_counter() - began
    del kept
    return Step(name, seconds, _peak(), before)


def _peak() -> int:
    """Return the most bytes that this process had in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def main() -> None:
    """Measure and print each step."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.index")
    parser.add_argument("--items", type=int, default=ITEMS)
    options = parser.parse_args()
    peer = None
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            with get_context("spawn").Pool(1) as pool:
                measured = pool.apply(measure, (step, Path(folder), options.items))
            print(measured.line(peer), flush=True)
            if step is read_plainly:
                size = (Path(folder) / "index.parquet").stat().st_size
                print(f"  the index has {size / 1e6:.0f} MB", flush=True)
                peer = measured
            if step is open_again:
                met = measured.seconds < MOST_SECONDS and measured.peak < MOST_BYTES
                wanted = f"under {MOST_SECONDS:g} s and {MOST_BYTES / 1e9:g} GB"
                print(f"  {wanted}: {'met' if met else 'NOT MET'}", flush=True)


if __name__ == "__main__":
    main()
