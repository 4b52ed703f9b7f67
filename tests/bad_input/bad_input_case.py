"""What a case of the corpus is, and what commands may leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from bad_input_support import Make


@dataclass(frozen=True)
class Case:
    """``says``: fragments of exactly one line. ``leaves``: patterns of the only paths that the command may make or
    change, relative to the root; folders on the way to them are implied."""

    name: str
    made: Make
    typed: str
    says: tuple[str, ...]
    status: int = 1
    leaves: tuple[str, ...] = ()


PARTS = ("plan.json", "lock", "part-00000.bin", "part-00000.json")
PARTIAL = tuple(f"workspace/data/new/partial/{name}" for name in PARTS)
"""A preparation that the same command continues."""
STORE = tuple(f"workspace/data/new/{name}" for name in ("frames.bin", "index.parquet", "problems.csv", "store.json"))
ATTEMPT = ("holder.json", "heartbeat", "events.jsonl", "log.txt")
FAILED = ("workspace/runs/*/config.json", *(f"workspace/runs/*/attempts/1/{name}" for name in ATTEMPT))
"""The record of an attempt that failed; its last event says so."""
FAILED_OWN = (*FAILED, "workspace/cache/sha256.json")
COMPLETE = ("workspace/runs/*/attempts/2/*", "workspace/runs/*/summary.json")
COLLECTED = ("workspace/mlflow/*", "workspace/results/grid/runs.parquet", "workspace/results/grid/predictions")

VIDEO = "{source}/Videos/{sample}.avi"
FILES, TRACINGS = "FileList.csv", "VolumeTracings.csv"
CHECK = "echolm data check echonet-dynamic {source}"
PREPARE = "echolm data prepare echonet-dynamic {source} --name new --workers 1"
GOOD = ("12 videos usable (8 train, 2 val, 2 test), problems: 0",)
