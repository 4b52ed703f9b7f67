"""The lab's own promises, on the real thing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

from echolm.errors import EchoLMError
from tests.slurm import processes
from tests.slurm.client import Slurm

NODES = ["n1", "n2", "n3", "n4"]
SLEEP = "exec sleep 300"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_four_nodes_run_a_task_each_under_their_own_names(slurm: Slurm) -> None:
    assert sorted(slurm.run("srun", "-N4", "-n4", "hostname").split()) == NODES
    assert slurm.run("srun", "-N1", "-n1", "-w", "n2", "getent", "hosts", "n1").split()[:2] == [
        "127.0.77.1",
        "n1",
    ]


def test_gpus_are_given_out_two_a_node(slurm: Slurm) -> None:
    assert slurm.run(
        "srun", "-N1", "--gpus-per-node=2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"
    ).split() == ["0,1"]
    held = [slurm.sbatch(SLEEP, "-w", "n1", "--gpus-per-node=1") for _ in range(3)]
    slurm.wait_for(
        lambda: [slurm.state(job) for job in held] == ["RUNNING", "RUNNING", "PENDING"],
        20,
        "two jobs on two GPUs",
    )
    with pytest.raises(EchoLMError, match="Requested node configuration is not available"):
        slurm.sbatch(SLEEP, "--gpus-per-node=3")


def test_more_memory_than_asked_for_is_out_of_memory(slurm: Slurm) -> None:
    """Of the step that took it. The job has that state when its batch step took it, and else fails
    as its script does.
    """
    if not slurm.settings.cgroups:
        pytest.skip("memory is not enforced: this machine has no cgroup v1 that can be written to")
    eat = "python3 -c 'x = bytearray(400 << 20); import time; time.sleep(300)'"
    batch, step = slurm.sbatch(eat, "--mem=100"), slurm.sbatch(f"srun {eat}", "--mem=100")
    ended = ("OUT_OF_MEMORY", "COMPLETED", "FAILED")
    assert slurm.wait_for_state(batch, *ended) == "OUT_OF_MEMORY"
    assert slurm.wait_for_state(step, *ended) == "FAILED"
    if slurm.settings.accounting:
        line = f"{step}.0|OUT_OF_MEMORY"
        slurm.wait_for(
            lambda: line in slurm.run("sacct", "-n", "-P", "-j", step, "-o", "jobid,state").split(),
            30,
            f"'{line}' in sacct",
        )


def test_a_third_partys_requeue_starts_the_job_again(slurm: Slurm, tmp_path: Path) -> None:
    job = slurm.sbatch(
        f"trap 'echo usr2 >> {tmp_path}/log' USR2; echo ${{SLURM_RESTART_COUNT:-0}} >> "
        f"{tmp_path}/log; sleep 300 & wait",
        "--signal=B:USR2@30",
    )
    slurm.wait_for(lambda: lines(tmp_path / "log") == ["0"], 20, "first start")
    slurm.requeue(job)
    slurm.wait_for(lambda: len(lines(tmp_path / "log")) > 1, 40, "second start")
    assert lines(tmp_path / "log") == ["0", "1"], "no signal of its own came first"


def test_a_killed_node_ends_its_jobs_by_node_fail_and_comes_back(
    slurm: Slurm, tmp_path: Path
) -> None:
    lost = slurm.sbatch(SLEEP, "-w", "n1", "--no-requeue")
    wide = slurm.sbatch("srun sleep 300", "-w", "n[1-2]", "-N2", "--no-requeue")
    again = slurm.sbatch(f"echo ${{SLURM_RESTART_COUNT:-0}} >> {tmp_path}/log; {SLEEP}", "-w", "n1")
    slurm.wait_for(
        lambda: len(slurm.tasks(node="n2")) == 1 and lines(tmp_path / "log") == ["0"],
        30,
        "tasks on both nodes",
    )
    slurm.node_kill("n1")
    assert not slurm.tasks(node="n1")
    slurm.wait_for_state(lost, "NODE_FAIL", seconds=300)
    slurm.wait_for_state(wide, "NODE_FAIL", seconds=300)
    assert slurm.node_states()["n1"] == "down*"
    slurm.node_up("n1")
    slurm.wait_for(
        lambda: lines(tmp_path / "log") == ["0", "1"], 60, "job again on the node that came back"
    )
    slurm.wait_for_state(again, "RUNNING")


@pytest.mark.parametrize("signals", [True, False])
def test_a_higher_partition_preempts_a_lower_one(
    slurm: Slurm, tmp_path: Path, signals: bool
) -> None:
    """A step gets the job's own signal first, or, on a site without that switch, TERM."""
    slurm.preempt_send_user_signal(signals)
    step = tmp_path / "step.sh"
    step.write_text(
        f'for s in USR2 TERM; do trap "echo $s >> {tmp_path}/log; exit 0" $s; done; '
        f"echo began >> {tmp_path}/log; sleep 300 & wait"
    )
    outlasts = "" if signals else "; sleep 300"
    low = slurm.sbatch(
        f"srun sh {step}{outlasts}", "-p", "low", "--exclusive", "-w", "n3", "--signal=USR2@30"
    )
    slurm.wait_for(lambda: lines(tmp_path / "log"), 20, "low job's start")
    high = slurm.sbatch("true", "-p", "high", "--exclusive", "-w", "n3")
    slurm.wait_for(lambda: len(lines(tmp_path / "log")) > 1, 10, "signal")
    assert lines(tmp_path / "log") == ["began", "USR2" if signals else "TERM"]
    slurm.wait_for_state(high, "COMPLETED", seconds=300)
    assert slurm.state(low) == ("COMPLETED" if signals else "PENDING"), (
        "what goes on is requeued after GraceTime"
    )


def test_jobs_outlive_a_restart_of_the_controller(slurm: Slurm, tmp_path: Path) -> None:
    job = slurm.sbatch(f"echo $$ >> {tmp_path}/log; until [ -e {tmp_path}/go ]; do sleep 0.1; done")
    slurm.wait_for(lambda: lines(tmp_path / "log"), 20, "start")
    waiting = slurm.sbatch("true", "--hold")
    slurm.ctld_restart()
    assert slurm.state(waiting) == "PENDING"
    (tmp_path / "go").touch()
    slurm.wait_for_state(job, "COMPLETED")
    assert len(lines(tmp_path / "log")) == 1


def forgotten(slurm: Slurm, began: Path) -> str:
    """A job that started after the controller's last save, before the controller was killed. A busy
    machine may need several.
    """
    for _ in range(4):
        slurm.sbatch("true", "--hold")  # something to save, and then not again for five seconds
        slurm.wait_saved()
        new = slurm.sbatch(f"touch {began}; {SLEEP}", "-w", "n1")
        slurm.wait_for(began.exists, 20, "start")
        slurm.ctld_restart(kill=True)
        if new not in [job.id for job in slurm.squeue()]:
            return new
        slurm.run("scancel", new)
        began.unlink()
    raise AssertionError("the controller had always saved the newest job")


def test_a_killed_controller_knows_what_it_had_saved_and_gives_newer_ids_again(
    slurm: Slurm, tmp_path: Path
) -> None:
    old = slurm.sbatch(SLEEP, "-w", "n1")
    slurm.wait_for_state(old, "RUNNING")
    new = forgotten(slurm, tmp_path / "began")
    assert slurm.state(old) == "RUNNING"
    with pytest.raises(EchoLMError, match="Invalid job id"):
        slurm.state(new)
    assert slurm.tasks(job=new), "its tasks run on"
    assert slurm.sbatch("true", "-w", "n2") == new
    slurm.wait_for_state(new, "COMPLETED")


def test_without_accounting_sacct_fails_and_jobs_run(slurm: Slurm) -> None:
    if not slurm.settings.accounting:
        pytest.skip("this lab has no accounting")
    slurm.run("sacct")
    slurm.accounting_off()
    with pytest.raises(EchoLMError, match="accounting storage is disabled"):
        slurm.run("sacct")
    slurm.wait_for_state(slurm.sbatch("true"), "COMPLETED")
    slurm.restore()
    job = slurm.sbatch("true")
    slurm.wait_for(
        lambda: "COMPLETED" in slurm.run("sacct", "-n", "-X", "-j", job, "-o", "state"),
        30,
        "sacct again",
    )


def test_a_stopped_slurmdbd_is_caught_up_with(slurm: Slurm) -> None:
    if not slurm.settings.accounting:
        pytest.skip("this lab has no accounting")
    slurm.dbd_stop()
    with pytest.raises(EchoLMError, match="Connection refused"):
        slurm.run("sacct")
    job = slurm.sbatch("true")
    slurm.wait_for_state(job, "COMPLETED")
    slurm.dbd_start()
    slurm.wait_for(
        lambda: "COMPLETED" in slurm.run("sacct", "-n", "-X", "-j", job, "-o", "state"),
        60,
        "the job in sacct",
    )


def test_one_rank_is_killed_and_a_nodes_tasks_are_frozen_and_thawed(
    slurm: Slurm, tmp_path: Path
) -> None:
    script = tmp_path / "count.sh"
    script.write_text(f"while :; do echo >> {tmp_path}/$SLURM_PROCID; sleep 0.05; done")
    job = (
        slurm.sbatch(
            f"srun --kill-on-bad-exit=0 sh {script}; exit 3", "-N2", "-w", "n[2-3]", "--array=0-0"
        )
        + "_0"
    )

    def rank_goes_on(rank: int) -> None:
        before = len(lines(tmp_path / str(rank)))
        slurm.wait_for(
            lambda: len(lines(tmp_path / str(rank))) > before, 20, f"step of rank {rank}"
        )

    def rank_stands(rank: int) -> bool:
        before = len(lines(tmp_path / str(rank)))
        time.sleep(0.5)
        return len(lines(tmp_path / str(rank))) == before

    rank_goes_on(1)
    slurm.node_freeze("n3")
    rank_goes_on(0)
    assert rank_stands(1)
    slurm.node_thaw("n3")
    rank_goes_on(1)
    slurm.kill_rank(job, 0)
    assert rank_stands(0)
    rank_goes_on(1)
    slurm.kill_rank(job, 1)
    slurm.wait_for_state(job, "FAILED")
    with pytest.raises(LookupError, match="rank 1"):
        slurm.kill_rank(job, 1)


def test_whatever_a_test_leaves_is_put_in_order(slurm: Slurm, tmp_path: Path) -> None:
    stubborn = (
        f"trap '' TERM USR2; setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 300' & wait; wait"
    )
    slurm.sbatch(stubborn, "-w", "n4")
    slurm.wait_for(lambda: lines(tmp_path / "pid"), 20, "start")
    slurm.configure(MinJobAge="2")
    slurm.node_freeze("n4")
    slurm.node_kill("n2")
    slurm.run("scontrol", "update", "nodename=n3", "state=drain", "reason=test")
    slurm.restore()
    assert slurm.node_states() == dict.fromkeys(NODES, "idle")
    assert not slurm.run("squeue", "-h") and not slurm.tasks()
    assert re.search(r"MinJobAge += 300", slurm.run("scontrol", "show", "config"))
    assert ended(int(lines(tmp_path / "pid")[0]))


def test_mending_leaves_the_queue_alone(slurm: Slurm) -> None:
    """A soak that was stopped within a fault goes on with the jobs that it had."""
    job = slurm.sbatch("sleep 300", "-w", "n4")  # no srun: a freeze would end its start
    slurm.wait_for(lambda: slurm.tasks("n4", job, 0), 30, "the script")
    slurm.configure(MinJobAge="2")
    slurm.node_freeze("n4")
    slurm.run("scontrol", "update", "nodename=n3", "state=drain", "reason=test")
    slurm.mend()
    slurm.wait_for(lambda: slurm.node_states()["n3"] == "idle", 30, "n3 answers and takes jobs")
    assert slurm.state(job) == "RUNNING"
    assert [task.status() for task in slurm.tasks("n4", job, 0)] != ["stopped"]
    assert re.search(r"MinJobAge += 300", slurm.run("scontrol", "show", "config"))


def ended(pid: int) -> bool:
    """A zombie has ended: process 1 may be slow to bury it."""
    return not psutil.pid_exists(pid) or not processes.name(psutil.Process(pid))
