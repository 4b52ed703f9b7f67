"""What a case of the corpus is, short ways to write one, and what commands may leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from bad_input_support import Make, config, remove


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: what is bad.
        make: makes it of the good inputs.
        command: what is typed.
        says: fragments of exactly one line that is printed.
        status: the exit status.
        leaves: patterns of the only paths that the command may make or change, relative to the
            root. Folders on the way to them are implied.
    """

    name: str
    make: Make
    command: str
    says: tuple[str, ...]
    status: int
    leaves: tuple[str, ...]


PARTS = ("plan.json", "lock", "part-00000.bin", "part-00000.json")
PARTIAL = tuple(f"workspace/data/new/partial/{name}" for name in PARTS)
"""A preparation that the same command continues."""
STORE_FILES = ("frames.bin", "index.parquet", "problems.csv", "store.json")
STORE = tuple(f"workspace/data/new/{name}" for name in STORE_FILES)
ATTEMPT = ("holder.json", "heartbeat", "events.jsonl", "log.txt")
FAILED = (
    "workspace/runs/*/config.json",
    *(f"workspace/runs/*/attempts/1/{name}" for name in ATTEMPT),
)
"""The record of an attempt that failed; its last event says so."""
FAILED_OWN = (*FAILED, "workspace/cache/sha256.json")
COMPLETE = ("workspace/runs/*/attempts/2/*", "workspace/runs/*/summary.json")
COLLECTED = (
    "workspace/mlflow/*",
    "workspace/results/grid/runs.parquet",
    "workspace/results/grid/predictions",
    "workspace/results/.grid.lock*",
)

VIDEO = "{source}/Videos/{sample}.avi"
FILES, TRACINGS = "FileList.csv", "VolumeTracings.csv"
CHECK = "echolm data check echonet-dynamic {source}"
PREPARE = "echolm data prepare echonet-dynamic {source} --name new --workers 1"
TRAIN = "echolm train {run} --quiet"
SHOW = "echolm grid show {grid}"
PREDICT = (
    "echolm predict {cell} {source}/Videos/{sample}.avi --ed 5 --es 12 --out {root}/picture.png"
)
GOOD = ("12 videos usable (8 train, 2 val, 2 test), problems: 0",)
NEW = config(seed=7)
"""A run that has not been trained yet."""
UNSUMMED = remove("{record}/summary.json")


def refused(
    name: str,
    make: Make,
    command: str,
    *says: str,
    status: int = 1,
    leaves: tuple[str, ...] = (),
) -> Case:
    """The command cannot do its work."""
    return Case(name, make, command, says, status, leaves)


def accepted(name: str, make: Make, command: str, *says: str, leaves: tuple[str, ...] = ()) -> Case:
    """The command does its work, and says what it leaves out."""
    return Case(name, make, command, says, 0, leaves)


def bad_row(name: str, make: Make, reason: str) -> Case:
    """The row of the sample in the file list cannot be used; the other videos can."""
    return accepted(name, make, CHECK, f"{FILES}:3: {{sample}}: {reason}")


def bad_tracing(name: str, make: Make, line: int, reason: str, *more: str) -> Case:
    """The tracing of the sample cannot be used, as a line shows; the other videos can."""
    return accepted(name, make, CHECK, f"{TRACINGS}:{line}: {{sample}}: {reason}", *more)


def bad_video(name: str, make: Make, reason: str, *more: str) -> Case:
    """The video of the sample does not decode; the others are decoded."""
    first = f"Error: Videos/{{sample}}.avi: {{sample}}: {reason}"
    return refused(name, make, PREPARE, first, *more, leaves=PARTIAL)


def bad_run(name: str, make: Make, reason: str, *more: str) -> Case:
    """The configuration of a run cannot be used."""
    return refused(name, make, TRAIN, f"Error: {{run}}: {reason}", *more)


def failed_run(name: str, make: Make, *says: str, leaves: tuple[str, ...] = FAILED) -> Case:
    """The run begins and fails, which its record says."""
    return refused(name, make, TRAIN, "failed: ", *says, leaves=leaves)


def bad_grid(name: str, make: Make, reason: str, *more: str) -> Case:
    """The file of a grid cannot be used."""
    return refused(name, make, SHOW, f"Error: {{grid}}: {reason}", *more)
