"""Batches and claims: one job at a time has a unit, and keeps it until its claim is over."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.batch import Claim, JobBatch, batches, end_claim, new_batch_name, new_batch_path
from echolm import liveness
from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.units import Resources, Unit

TAKE = """
import sys
from pathlib import Path
from cluster.batch import Claim, JobBatch
batch = JobBatch.read(Path(sys.argv[1]))
assert Claim.take(batch, batch.units[0])
"""
UNITS = (Unit(("a1", "a2")), Unit(("b1",)), Unit(("c1",)))


@pytest.fixture
def batch(tmp_path: Path) -> JobBatch:
    workspace = Workspace(tmp_path)
    made = JobBatch(
        new_batch_path(workspace, "toy"),
        tmp_path,
        "toy",
        UNITS,
        Resources(gpus=4, ranks=4, micro_batch=5),
        "code",
        {"patience_s": 3.0},
    )
    made.write()
    return made


def test_a_batch_is_read_as_it_was_written(batch: JobBatch, tmp_path: Path) -> None:
    batch.note_submitted("12", 3, 2)
    assert batches(Workspace(tmp_path), "toy") == [batch]
    [array] = batch.submitted()
    assert (array["job"], array["count"], array["at_once"]) == ("12", 3, 2)
    batch.note_throttle("12", 3)
    batch.note_throttle("13", 3)  # whose own line was lost
    assert [(array["job"], array["count"], array["at_once"]) for array in batch.submitted()] == [
        ("12", 3, 3)
    ]
    assert batches(Workspace(tmp_path), "other") == []


def test_a_batch_carries_the_configurations_of_its_cells(tmp_path: Path) -> None:
    """A batch that an earlier version wrote holds none."""
    units = (Unit(("a1", "a2"), {"a1": '{"seed": 1}', "a2": '{"seed": 2}'}),)
    batch = JobBatch(tmp_path / "jobs" / "one", tmp_path, "toy", units)
    batch.write()
    [unit] = JobBatch.read(batch.path).units
    assert unit.configs == units[0].configs
    assert unit.only(["a2"]).configs == {"a2": '{"seed": 2}'}
    content = json.loads((batch.path / "batch.json").read_text())
    del content["configs"]
    (batch.path / "batch.json").write_text(json.dumps(content))
    [unit] = JobBatch.read(batch.path).units
    assert (unit.cells, unit.configs) == (("a1", "a2"), {})


def test_a_folder_without_its_file_is_passed_over_and_a_damaged_file_is_named(
    batch: JobBatch, tmp_path: Path
) -> None:
    new_batch_path(Workspace(tmp_path), "toy").mkdir()
    assert len(batches(Workspace(tmp_path), "toy")) == 1
    (batch.path / "batch.json").write_text('{"workspace": ')
    with pytest.raises(EchoLMError, match=r"batch\.json: damaged"):
        batches(Workspace(tmp_path), "toy")


def test_a_unit_is_claimed_once_until_its_claim_is_over(batch: JobBatch) -> None:
    first = Claim.take(batch, UNITS[0])
    assert first and Claim.take(batch, UNITS[0]) is None
    assert Claim.take(batch, UNITS[1]), "another unit is free"
    first.end("done")
    again = Claim.take(batch, UNITS[0])
    assert again and again.path.name == "2"
    first.end("interrupted")
    assert [claim["over"] for claim in batch.claims()["a1"]] == ["done", None], (
        "the first word about a claim stays"
    )


def claim_all(path: str, start: object, mine: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    batch = JobBatch.read(Path(path))
    taken = [unit.id for unit in batch.units if Claim.take(batch, unit)]
    mine.put(taken)  # type: ignore[attr-defined]
    start.wait()  # type: ignore[attr-defined]  (alive until all have looked)


def test_of_many_processes_one_gets_each_unit(batch: JobBatch) -> None:
    context = multiprocessing.get_context("fork")
    start, mine = context.Barrier(6), context.Queue()
    workers = [
        context.Process(target=claim_all, args=(str(batch.path), start, mine)) for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    taken = [id for _ in workers for id in mine.get(timeout=300)]
    for worker in workers:
        worker.join()
    assert sorted(taken) == ["a1", "b1", "c1"]


def test_a_claim_of_a_process_that_is_gone_stays_with_its_job(batch: JobBatch) -> None:
    """SLURM may start that job again, or somebody has cancelled it.

    The job beside it on the node knows neither.
    """
    subprocess.run(
        [sys.executable, "-c", TAKE, str(batch.path)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    [claim] = batch.claims()["a1"]
    assert (
        claim["over"] is None
        and liveness.known_dead(claim["path"])
        and Claim.take(batch, UNITS[0]) is None
    )
    end_claim(claim["path"], "cancelled")
    assert Claim.take(batch, UNITS[0])


def test_a_requeued_job_takes_back_what_its_earlier_start_had(
    batch: JobBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that earlier start ran: SLURM does not start a job again before it has ended."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    claim = Claim.take(batch, UNITS[0])
    assert claim
    holder = json.loads((claim.path / "holder.json").read_text())
    (claim.path / "holder.json").write_text(json.dumps({**holder, "boot": "another host's"}))
    assert Claim.take(batch, UNITS[0]) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert Claim.take(batch, UNITS[0])


def test_a_full_or_read_only_folder_is_one_error(
    batch: JobBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch.path / "claims").write_text("not a folder")
    with pytest.raises(EchoLMError, match="claims"):
        Claim.take(batch, UNITS[0])


def test_names_of_batches_sort_by_time() -> None:
    names = [new_batch_name() for _ in range(200)]
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", name) for name in names)
    assert [name[:-1] for name in names] == sorted(name[:-1] for name in names)
