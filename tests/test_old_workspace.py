"""A workspace that an earlier EchoLM made is read, continued, collected and tabulated.

``old_workspace/workspace.tar.xz`` was made at commit 1d57090. It holds a store of 8 small clips. Of
the six cells of the grid ``old.yaml`` three are complete and collected, one was interrupted after 3
of 30 epochs, one is pending and one cancelled. Beside them lie a SLURM batch that was submitted, a
failure of its job, and a search of two trials. ``tables.txt`` is the table as printed then.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cluster.batch import JobBatch
from cluster.failures import failures
from echolm.record import find_records
from echolm.workspace import Workspace
from grid.definition.grid import load_grid
from tests import warm

HERE = Path(__file__).parent / "old_workspace"
WAS_AT = Path("/tmp/oldws/workspace")
"""Where the workspace was made: MLflow and cells.json keep absolute paths."""
INTERRUPTED = "1bd4d27a470e8f6d"
METRICS = {"test/dice/ED": 9.178164367126575, "test/dice/ES": 15.34670890531503}
"""What the earlier EchoLM reached when it continued the interrupted cell itself."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with ``old.yaml``, ``space.yaml`` and ``workspace``."""
    with tarfile.open(HERE / "workspace.tar.xz") as archive:
        # The argument ``filter`` came with Python 3.11.4, and Debian 12 has 3.11.2.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    database = sqlite3.connect(tmp_path / "workspace" / "mlflow" / "mlflow.db")
    with database:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            moved = f"replace({column}, '{WAS_AT}', '{tmp_path / 'workspace'}')"
            database.execute(f"update {table} set {column} = {moved}")
    database.close()
    return tmp_path


def echolm(folder: Path, *words: str) -> str:
    """Type a command in a folder and return what it prints; it must not end with an error."""
    done = subprocess.run(
        [warm.python(), "-m", "echolm.cli", *words],
        cwd=folder,
        env={**os.environ, "ECHOLM_WORKSPACE": "workspace"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def states(folder: Path) -> dict[str, str]:
    """Cell -> state, as ``status`` tells."""
    told: Any = json.loads(echolm(folder, "status", "old.yaml", "--json"))
    return {cell["cell"]: cell["state"] for cell in told["cells"]}


def test_its_cells_stand_where_they_stood(old: Path) -> None:
    by_cell = states(old)
    assert sorted(by_cell.values()) == [
        "cancelled",
        "complete",
        "complete",
        "complete",
        "interrupted",
        "pending",
    ]
    assert by_cell[INTERRUPTED] == "interrupted"
    assert {cell.id for cell in load_grid(str(old / "old.yaml")).cells} == set(by_cell)


def rows(printed: str) -> list[list[str]]:
    """The values of a printed table's rows, without marks: what is marked may be more by now."""
    marks = str.maketrans("", "", "*§†‡¶‖")
    lines = [line.translate(marks) for line in printed.splitlines() if line.startswith("| ")]
    return [[value.strip() for value in line.split("|")] for line in lines if "---" not in line]


def test_the_numbers_of_its_table_are_printed_as_they_were(old: Path) -> None:
    """Since then they are held against the constant prediction, which is fitted unasked."""
    printed = echolm(old, "tables", "old.yaml")
    assert rows(printed) == rows((HERE / "tables.txt").read_text(encoding="utf-8"))
    assert "not better than the mean contour" in printed
    assert "to be launched" not in printed and "no longer counts" not in printed


def test_nothing_of_it_is_collected_again(old: Path) -> None:
    assert "old: 3 runs, 0 new or changed, 0 new predictions" in echolm(old, "collect", "old.yaml")


def test_its_interrupted_cell_goes_on_and_enters_the_table(old: Path) -> None:
    echolm(old, "launch", "old.yaml", "--slots", "1", "--where", "seed=2")
    (record,) = find_records(Workspace(old / "workspace").runs, INTERRUPTED)
    first, second = record.attempts()
    epochs = [event["epoch"] for event in record.events(second) if event["event"] == "epoch"]
    assert epochs == list(range(3, 30))
    summary = record.summary()
    assert summary is not None
    for name, value in METRICS.items():
        assert summary["metrics"][name] == pytest.approx(value, rel=0.05)
    table = echolm(old, "tables", "old.yaml", "--format", "csv")
    assert f"{INTERRUPTED}" in table and "old: 4 runs" not in table


def test_its_batch_and_the_failure_of_its_job_are_read(old: Path) -> None:
    workspace = Workspace(old / "workspace")
    (folder,) = (workspace.grids / "old" / "jobs").iterdir()
    batch = JobBatch.read(folder)
    assert len(batch.units) == 2 and batch.resources.minutes == 30
    assert [(line["job"], line["count"]) for line in batch.submitted()] == [("4711", 2)]
    (failure,) = failures(workspace, "old")
    assert (failure.kind, failure.node, failure.place) == ("node-failure", "n1", (2, 4))


def test_its_search_goes_on(old: Path) -> None:
    shown = json.loads(echolm(old, "search", "space.yaml", "--show", "--json"))
    assert [trial["state"] for trial in shown["trials"]] == ["complete", "complete"]
    echolm(old, "search", "space.yaml", "--trials", "3")
    shown = json.loads(echolm(old, "search", "space.yaml", "--show", "--json"))
    assert {trial["trial"] for trial in shown["trials"]} == {0, 1, 2}
