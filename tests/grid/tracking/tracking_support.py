"""Run records made through the real Attempt interface, and all that a tracking store holds."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echolm.attempt import Attempt
from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.identity import protocols
from echolm.record import RunRecord
from grid.tracking import client_reader, sqlite_reader
from grid.tracking.address import sqlite_path
from grid.tracking.export import export
from grid.tracking.reader import TrackedRun

CONFIG = {
    "kind": "finetune",
    "data": {"name": "phantom", "fraction": 1.0, "subset_seed": 0},
    "task": {"name": "landmarks"},
    "encoder": {"name": "tiny-r3d"},
    "weights": {"source": "random", "value": ""},
    "augmentation": {"name": "none"},
    "optimizer": {"name": "adam", "lr": 0.0005},
    "batch_size": 4,
    "epochs": 3,
    "trainable": {"blocks": 0, "stem": False, "readout": False},
    "fusion": {"name": "pooled"},
    "head": {"name": "gcn", "channels": [16, 32]},
    "seed": 0,
}


@dataclass
class Records:
    """Makes run records under ``runs``; nothing in them is drawn from the clock except times."""

    runs: Path

    def start(self, head: str = "gcn", seed: int = 0, **changes: Any) -> Attempt:
        """An attempt that has run its epochs and written its predictions, and is not complete."""
        patients, epochs = changes.pop("patients", 6), changes.pop("epochs", 3)
        config = {**CONFIG, "head": {"name": head}, "seed": seed, **changes}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
        identity = {"cell": digest[:16], "fingerprint": digest[::-1], "config": config}
        record = RunRecord.at(self.runs, identity["cell"], identity["fingerprint"])
        try:
            numbers = protocols(parse_config(config))
        except EchoLMError:  # of a configuration that is made up
            numbers = {"data": 1}
        record.create({**identity, "protocols": numbers, "data": "d" * 64, "weights": "random"})
        attempt = Attempt.acquire(record, heartbeat_s=60)
        random = np.random.default_rng(int(digest[:8], 16))
        attempt.event("started")
        for epoch in range(epochs):
            losses = {
                "train/loss": 1 / (epoch + 1),
                "val/loss": 1.1 / (epoch + 1),
                "val/dice/ED": 60.0 + epoch,
            }
            attempt.event("epoch", epoch=epoch, step=3 * epoch, metrics=losses, seconds=0.1)
        attempt.write("predictions.parquet", predictions(random, patients))
        return attempt

    def publish(
        self, attempt: Attempt, metrics: dict[str, float] | None = None, **changes: Any
    ) -> RunRecord:
        """Make the run complete."""
        provenance = {
            "commit": "abc1234",
            "host": "node7",
            "device": "cpu",
            "versions": {"torch": "2"},
        }
        final = {
            "test/dice/ED": 91.25,
            "test/dice/ES": 88.5,
            "val/dice/ED": 61.5,
            **(metrics or {}),
        }
        summary = {
            "metrics": final,
            "best_epoch": 1,
            "epochs": 3,
            "seconds": 2.0,
            "provenance": provenance,
        }
        counts = {"train": 8, "val": 2, "test": 6}
        attempt.publish(
            {**summary, "counts": counts, "synthetic": True, **changes}, ["predictions.parquet"]
        )
        attempt.release()
        return attempt.record

    def __call__(self, head: str = "gcn", seed: int = 0, **changes: Any) -> RunRecord:
        """A complete record."""
        metrics = changes.pop("metrics", None)
        return self.publish(self.start(head, seed, **changes), metrics)


def predictions(random: np.random.Generator, patients: int) -> bytes:
    """Landmark predictions of a test and a val split as a Parquet file."""
    rows = []
    for number in range(patients + 2):
        split = "test" if number < patients else "val"
        for slot in ("ED", "ES"):
            truth = random.random(8)
            row = {
                "sample": f"clip{number}",
                "patient": f"patient{number}",
                "study": f"study{number}",
                "split": split,
            }
            row |= {
                "target": "landmarks",
                "slot": slot,
                "truth": truth,
                "prediction": truth + 0.01,
                "score": [],
            }
            rows.append({**row, "dice": random.uniform(60, 95), "mke": random.uniform(1, 8)})
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def tracked(uri: str, grid: str = "smoke", readers: Any = None) -> list[TrackedRun]:
    """The runs of a grid with all they hold, by run id."""
    readers = readers or (client_reader if sqlite_path(uri) is None else sqlite_reader)
    with readers.opened(uri) as reader:
        return [run for chunk in reader.runs(reader.listed(grid)) for run in chunk]


def exported(records: Records, uri: str, seeds: Iterable[int], **changes: Any) -> list[RunRecord]:
    """Complete runs of these seeds, in the store; their records."""
    made = [records(seed=seed, **changes) for seed in seeds]
    assert export([(record, "smoke") for record in made], uri).problems == []
    return made
