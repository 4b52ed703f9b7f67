"""Reading squeue and sacct, from stand-ins on the PATH that print true lines (the true programs are
asked in tests/slurm).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.slurm.commands import as_environment
from cluster.slurm.submit.queue import QueuedJob, ask_sacct, ask_squeue
from echolm.errors import EchoLMError

SQUEUE = """\
41|0|RUNNING|None|n1|20261124-1|echolm-demo|2026-11-24T12:00:00|41
41|1|PENDING|Resources|(null)|20261124-1|echolm-demo|2026-11-24T12:00:00|42
43|N/A|CANCELLED|None|n[1-2]|(null)|echolm-demo|2026-11-24T12:00:00|43
"""
SACCT = """\
41_0|NODE_FAIL|n1||echolm-demo|2026-11-24T12:00:00
41_[2-9]|PENDING|None assigned||echolm-demo|2026-11-24T12:00:00
43|CANCELLED by 0|n1|20261124-1|echolm-demo|2026-11-24T12:00:00
44_3|OUT_OF_MEMORY|n2|20261124-1|echolm-demo|Unknown
45_[0-2,4,8-12:2%2]|CANCELLED by 0|None assigned||echolm-demo|2026-11-24T12:00:00
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(
        "PATH",
        f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin"
        if not (Path("/usr/bin/squeue")).exists()
        else str(tmp_path),
    )
    return tmp_path


def stand_in(folder: Path, name: str, out: str, status: int = 0, error: str = "") -> None:
    (folder / f"{name}.out").write_text(out)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "$@" > {folder}/{name}.args\n/bin/cat '
        f"{folder}/{name}.out\necho '{error}' >&2\nexit {status}\n"
    )
    path.chmod(0o755)


def test_squeue(programs: Path) -> None:
    stand_in(programs, "squeue", SQUEUE)
    one, two, three = ask_squeue()
    assert (one.array, one.task, one.state, one.node, one.alive, one.comment) == (
        "41",
        "0",
        "RUNNING",
        "n1",
        True,
        "20261124-1",
    )
    assert (two.state, two.reason, two.node, two.alive) == ("PENDING", "Resources", "", True)
    assert (three.array, three.task, three.alive, three.comment) == ("43", "0", False, "")
    assert [(job.id, job.number) for job in (one, two, three)] == [
        ("41_0", "41"),
        ("41_1", "42"),
        ("43", "43"),
    ]
    assert "--states=all" in (programs / "squeue.args").read_text()


def test_sacct(programs: Path) -> None:
    stand_in(programs, "sacct", SACCT)
    found, why = ask_sacct(["41", "43", "44", "41"], since=1.8e9)
    assert why == ""
    one, three, four, *rest = sorted(found, key=lambda job: job.array)
    assert (one.array, one.task, one.id, one.state) == ("41", "0", "41_0", "NODE_FAIL"), (
        "squeue has those that wait"
    )
    assert (three.array, three.task, three.id, three.state) == ("43", "0", "43", "CANCELLED"), (
        "no array"
    )
    assert (four.array, four.task, four.state) == ("44", "3", "OUT_OF_MEMORY")
    assert [job.id for job in rest] == [f"45_{index}" for index in (0, 1, 2, 4, 8, 10, 12)] and {
        job.state for job in rest
    } == {"CANCELLED"}
    assert "-j41,43,44" in (programs / "sacct.args").read_text()


def test_no_accounting_is_no_answer_and_no_squeue_an_error(programs: Path) -> None:
    stand_in(programs, "sacct", "", 1, "Slurm accounting storage is disabled")
    assert ask_sacct(["41"], since=0) == ([], "") == ask_sacct([], since=0)
    stand_in(programs, "sacct", "", 1, "Connection refused")
    assert ask_sacct(["41"], since=0) == ([], "sacct: Connection refused")
    stand_in(
        programs,
        "squeue",
        "",
        1,
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    )
    with pytest.raises(EchoLMError, match="Unable to contact slurm controller"):
        ask_squeue()
    (programs / "squeue").unlink()
    with pytest.raises(EchoLMError, match="squeue is not there"):
        ask_squeue()


def test_a_job_that_got_a_used_id_is_not_ours() -> None:
    ours = QueuedJob("41", "0", "RUNNING", "", "", "batch-1", "echolm-demo", 1000.0, "squeue")
    assert ours.belongs("batch-1", "echolm-demo", 1000.0)
    assert not ours.belongs("batch-2", "echolm-demo", 1000.0), "another batch's comment"
    assert ours.belongs("batch-1", "echolm-demo", 1e9), (
        "whatever the clocks say: batches' names are given once"
    )
    no_comment = QueuedJob("41", "0", "RUNNING", "", "", "", "echolm-demo", 1000.0, "sacct")
    assert no_comment.belongs("batch-1", "echolm-demo", 1000.0)
    assert not no_comment.belongs("batch-1", "echolm-demo", 9000.0), (
        "submitted before the batch was"
    )
    assert not QueuedJob("41", "0", "RUNNING", "", "", "", "someone", 1000.0, "sacct").belongs(
        "batch-1", "echolm-demo", 1000.0
    )


OF_THE_USER = [
    "SQUEUE_FORMAT",
    "SACCT_FORMAT",
    "SLURM_CLUSTERS",
    "SBATCH_PARTITION",
    "SINFO_PARTITION",
    "SCONTROL_ALL",
    "SCANCEL_STATE",
]
OF_A_JOB = [
    "SLURM_CPU_BIND",
    "SLURM_MEM_PER_CPU",
    "SLURM_NTASKS",
    "SLURM_GPUS",
    "SLURM_JOB_ID",
    "SLURMD_NODENAME",
    "SRUN_DEBUG",
]
OF_A_RANK = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]


@pytest.mark.parametrize("name", [*OF_THE_USER, *OF_A_JOB, *OF_A_RANK])
def test_variables_of_the_user_do_not_reach_commands(
    programs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "odd")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    for kept in ("SLURM_CONF", "SLURM_JWT", "RANKING"):
        monkeypatch.setenv(kept, "kept")
    stand_in(programs, "squeue", SQUEUE)
    script = programs / "squeue"
    script.write_text(
        script.read_text().replace("#!/bin/sh", f"#!/bin/sh\n/usr/bin/env > {programs}/environment")
    )
    assert len(ask_squeue()) == 3
    got = dict(line.split("=", 1) for line in (programs / "environment").read_text().splitlines())
    assert name not in got and got["SLURM_TIME_FORMAT"] == "standard"
    assert got["SLURM_CONF"] == got["SLURM_JWT"] == got["RANKING"] == "kept"
    with as_environment():
        assert name not in os.environ and os.environ["SLURM_TIME_FORMAT"] == "standard"
    assert (os.environ[name], os.environ["SLURM_TIME_FORMAT"]) == ("odd", "relative")


def test_a_job_that_slurm_holds_after_a_failed_start_does_not_count_as_alive() -> None:
    held = QueuedJob(
        "41", "0", "PENDING", "launch failed requeued held", "", "b", "n", 0.0, "squeue"
    )
    assert held.held and not held.alive
    by_its_user = QueuedJob("41", "0", "PENDING", "JobHeldUser", "", "b", "n", 0.0, "squeue")
    assert by_its_user.alive and not by_its_user.held
