"""What a launch makes of what squeue and sacct say."""

from __future__ import annotations

import threading
import time

import pytest
from batch_site import UNITS, BatchSite

from cluster.batch import JobBatch, end_claim, new_batch_path
from cluster.failures import JobFailure, failures, never_began, note
from cluster.slurm.submit import ledger
from cluster.slurm.submit import lock as lock
from cluster.slurm.submit.ended_jobs import record_ended_jobs
from cluster.slurm.submit.executor import SlurmExecutor
from cluster.slurm.submit.ledger import discard_refused, query_jobs
from cluster.slurm.submit.lock import submission_lock
from cluster.slurm.submit.plan import plan
from cluster.slurm.submit.top_up import jobs_to_add
from echolm.errors import EchoLMError
from grid.units import Limits, Resources


def test_a_job_that_the_controller_forgot_covers_nothing(site: BatchSite) -> None:
    """Accounting calls it running for ever when slurmctld lost its state."""
    site.says("sacct", *(site.remembered(f"100_{task}", "RUNNING") for task in range(4)))
    site.claim(0, "0")
    assert site.covered() == set()
    assert site.settle() == ["outage"], "as where accounting has closed it already"
    site.says("squeue", site.queued("100_1", "PENDING", "JobHoldMaxRequeue"))
    assert site.covered() == set(), "held after too many starts"
    site.settle()
    assert site.calls("scancel") == ["100_1"]


def test_a_unit_whose_job_was_ended_leaves_the_batch(site: BatchSite) -> None:
    """Its next try may need half the micro-batch, or be one too many: that is the launch's to
    decide, not another job's.
    """
    site.claim(0, "0")
    site.says("squeue", site.queued("100_0", "OUT_OF_MEMORY"), site.queued("100_1", "RUNNING"))
    assert site.covered() == {"cell0", "cell1", "cell2", "cell3"}, (
        "as long as nobody has written it down"
    )
    assert site.settle() == ["out-of-memory"] and site.settle() == []
    assert site.covered() == {"cell1", "cell2", "cell3"}
    assert [unit.id for unit in site.batch.waiting(site.batch.claims())] == [
        unit.id for unit in UNITS[1:]
    ]


def test_a_job_that_found_no_unit_left_has_not_failed_to_start(
    site: BatchSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without accounting, whatever the site's set-up lines wrote."""
    (site.root / "sacct").unlink()
    for task in range(4):
        site.log(f"100_{task}", "Loading cuda/12.6\n")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "100")
    for task in range(3):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        site.batch.note_ended("no unit waits")
    assert site.settle() == ["launch"]
    [failure] = failures(site.workspace, "toy")
    assert failure.job == "100_3" and "Loading cuda/12.6" in failure.evidence


def test_jobs_that_never_begin_stop_the_grid_until_one_does(site: BatchSite) -> None:
    for task in range(3):
        site.log(f"100_{task}", "ModuleNotFoundError: No module named 'torch'\n")
    site.says("squeue", *(site.queued(f"100_{task}", "FAILED") for task in range(3)))
    assert site.settle() == ["launch"] * 3
    views = query_jobs(site.workspace, "toy")
    assert (
        "3 jobs ended before they took a unit"
        in plan(site.workspace, "toy", [], views, Resources()).stop
    )
    later = site.made()
    later.note_submitted("200", 1, 1)
    site.claim(0, "0", batch=later)
    assert (
        plan(site.workspace, "toy", [], query_jobs(site.workspace, "toy"), Resources()).stop == ""
    )
    assert never_began(failures(site.workspace, "toy"))


def test_one_squeue_and_one_sacct_call_for_any_number_of_batches(site: BatchSite) -> None:
    for number in (200, 300, 400):
        site.made().note_submitted(str(number), 4, 2)
    query_jobs(site.workspace, "toy")
    assert [len(site.calls(program)) for program in ("squeue", "sacct")] == [1, 1]
    assert "100,200,300,400" in site.calls("sacct")[0]
    query_jobs(site.workspace, "toy", remembered=False)
    assert [len(site.calls(program)) for program in ("squeue", "sacct")] == [2, 1]


def test_an_array_that_was_never_noted_is_found_by_its_comment(site: BatchSite) -> None:
    """Who submitted it was killed between sbatch and the note."""
    (site.batch.path / "submitted.jsonl").unlink()
    site.says(
        "squeue",
        site.queued("500_0", "RUNNING"),
        site.queued("500_1", "PENDING"),
        site.queued("600_0", "RUNNING").replace(site.batch.name, "other"),
    )
    [view] = query_jobs(site.workspace, "toy")
    assert site.batch.submitted() == [], "looking writes nothing"
    assert len(view.alive) == 2 and len(view.covered()) == 4
    record_ended_jobs(site.workspace, "toy", [view])
    [array] = site.batch.submitted()
    assert (array["job"], array["count"]) == ("500", 2)
    [view] = query_jobs(site.workspace, "toy")
    assert len(view.alive) == 2 and view.unnoted == ()


def test_it_is_found_by_what_is_left_of_it(site: BatchSite) -> None:
    """SLURM forgets jobs that ended some minutes ago."""
    site.batch = site.made()
    site.says("squeue", site.queued("200_3", "RUNNING"), site.queued("200_2", "PENDING"))
    view = next(
        view for view in query_jobs(site.workspace, "toy") if view.batch.name == site.batch.name
    )
    assert [(array.job, array.count) for array in view.unnoted] == [("200", 4)]
    assert len(view.alive) == 2 and len(view.covered()) == 4
    assert view.slots == 2
    record_ended_jobs(site.workspace, "toy", [view])
    assert [array["job"] for array in site.batch.submitted()] == ["200"] and view.slots == 2, (
        "noted, and still one array"
    )


def test_what_nobody_had_begun_is_cancelled_with_the_rest_of_its_array(site: BatchSite) -> None:
    site.claim(0, "0").end("done")
    site.claim(1, "1")
    site.says(
        "squeue",
        site.queued("100_0", "COMPLETED"),
        *(site.queued(f"100_{task}", "CANCELLED") for task in (1, 2, 3)),
    )
    assert "cancelled" in site.settle()
    assert site.cancelled() == {"cell1", "cell2", "cell3"}


def test_starts_that_a_node_or_a_preemption_ended_are_noted_once(site: BatchSite) -> None:
    site.claim(0, "0", restart=0)
    site.claim(1, "1", restart=0)
    site.says(
        "squeue", site.queued("100_0", "PENDING", "BeginTime"), site.queued("100_1", "RUNNING")
    )
    site.says("sinfo", "n1", "n2", "n3")
    site.says(
        "sacct",
        site.remembered("100_0", "NODE_FAIL"),
        site.remembered("100_1", "PREEMPTED", "n2"),
        site.remembered("100_1", "RUNNING", "n3"),
    )
    assert site.settle() == ["node-failure", "preempted"] and site.settle() == []
    node, preempted = failures(site.workspace, "toy")
    assert (node.cells, node.node, node.job) == (("cell0",), "n1", "100_0, start 1") and (
        preempted.cells,
        preempted.node,
    ) == (("cell1",), "n2")
    assert [call for call in site.calls("scontrol") if "update" in call] == [
        "update JobId=100_0 ExcNodeList=n1"
    ], "it waits"
    assert site.covered() == {"cell0", "cell1", "cell2", "cell3"}, "the jobs go on"


def test_the_submit_limit_counts_all_jobs_of_the_user(site: BatchSite) -> None:
    from cluster.profile import Profile

    node = {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 32}
    profile = Profile.model_validate(
        {"partitions": {"main": node}, "partition": "main", "time_minutes": 10, "submit_limit": 5}
    )
    others = [f"7{n}|N/A|PENDING|None||someone's|other|{site.stamp}|7{n}" for n in range(3)]
    site.says("squeue", *others, site.queued("100_0", "RUNNING"), site.queued("100_1", "COMPLETED"))
    executor = SlurmExecutor(profile, views=query_jobs(site.workspace, "toy"))
    room = executor.room(executor.views or [], Limits(6))
    assert (room.queued, room.at_once) == (1, 5)
    executor._taken = 2
    assert executor.room(executor.views or [], Limits(6)).at_once == 3


def test_two_launches_of_a_grid_do_not_submit_together(
    site: BatchSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT_S", 0.1)
    with submission_lock(site.workspace, "toy"), submission_lock(site.workspace, "other"):
        errors: list[EchoLMError] = []

        def second() -> None:
            try:
                with submission_lock(site.workspace, "toy"):
                    pass
            except EchoLMError as error:
                errors.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert "another launch of toy" in str(errors[0])
    with submission_lock(site.workspace, "toy"):
        pass


def test_a_unit_over_its_budget_leaves_the_batch_though_its_job_starts_again(
    site: BatchSite,
) -> None:
    """Six lost nodes: the waiting job is not to lose a seventh with the same unit."""
    starts = [site.remembered("100_0", "NODE_FAIL", f"n{number}") for number in range(6)]
    for number in range(6):
        claim = site.claim(0, "0", restart=number)
        if number < 5:
            end_claim(claim.path, "interrupted")
    site.says(
        "squeue", site.queued("100_0", "PENDING", "BeginTime"), site.queued("100_1", "RUNNING")
    )
    site.says("sacct", *starts[:5])
    assert site.settle() == ["node-failure"] * 5 and "cell0" in site.covered(), "within its budget"
    site.says("sacct", *starts)
    assert site.settle() == ["node-failure"]
    assert site.covered() == {"cell1", "cell2", "cell3"}
    assert [unit.id for unit in site.batch.waiting(site.batch.claims())] == [
        unit.id for unit in UNITS[1:]
    ]


def test_a_batch_that_sbatch_refused_goes_when_it_is_sure_that_slurm_does_not_have_it(
    site: BatchSite,
) -> None:
    refused, late, elsewhere = site.made(), site.made(), site.root / "scratch"
    moved = JobBatch(new_batch_path(site.workspace, "toy"), site.workspace.root, "toy", UNITS)
    moved.write(elsewhere)
    site.says("squeue", site.queued("500_0", "PENDING").replace(site.batch.name, late.name))
    discard_refused(site.workspace, "toy", time.time())
    assert refused.path.exists() and moved.path.exists(), "the answer may be late"
    discard_refused(site.workspace, "toy", time.time() + 3600)
    assert (
        not refused.path.exists() and not moved.path.is_symlink() and not list(elsewhere.iterdir())
    )
    assert late.path.exists() and site.batch.path.exists()


def test_accounting_that_does_not_answer_is_told_and_no_accounting_is_not(site: BatchSite) -> None:
    for said, told in (
        ("Slurm accounting storage is disabled", ""),
        ("Connection refused", "sacct: Connection refused"),
    ):
        (site.root / "sacct").write_text(f"#!/bin/sh\necho {said} >&2\nexit 1\n")
        assert [view.unasked for view in query_jobs(site.workspace, "toy")] == [told]


def test_a_cancelled_job_that_was_between_units_is_noted_once(site: BatchSite) -> None:
    """What is retried after that stays so."""
    site.claim(0, "0").end("done")
    site.says(
        "squeue",
        site.queued("100_0", "CANCELLED"),
        *(site.queued(f"100_{task}", "COMPLETED") for task in (1, 2, 3)),
    )
    assert site.settle() == ["cancelled"] and site.cancelled() == {"cell1", "cell2", "cell3"}
    for path in site.workspace.runs.glob("*/cancelled"):
        path.unlink()
    assert site.settle() == [] and site.cancelled() == set()


def test_what_ended_a_job_before_its_array_was_cancelled_counts(site: BatchSite) -> None:
    site.claim(0, "0")
    note(
        site.workspace,
        "toy",
        [JobFailure("cancelled", "100", site.batch.name, (), "", "echolm cancel")],
    )
    site.says(
        "squeue",
        site.queued("100_0", "OUT_OF_MEMORY"),
        *(site.queued(f"100_{task}", "CANCELLED") for task in (1, 2, 3)),
    )
    assert site.settle() == ["out-of-memory"] and site.settle() == []
    assert site.cancelled() == set(), "the command itself marks cells"


def test_jobs_that_the_controller_lost_are_nobodys_wish(site: BatchSite) -> None:
    """Accounting closes them as CANCELLED, by nobody, those that never began too."""
    site.claim(0, "0")
    someone = f"7|N/A|RUNNING|None|n1|someone's|other|{site.stamp}|7"
    site.says("squeue", someone)
    lost = [site.remembered("100_0", "CANCELLED"), site.remembered("100_1", "CANCELLED")]
    site.says("sacct", *lost, site.remembered("100_[2-3]", "CANCELLED", "None assigned"))
    assert site.settle() == ["outage"] and site.settle() == []
    assert site.cancelled() == set() and site.covered() == set()
    [failure] = failures(site.workspace, "toy")
    assert failure.cells == ("cell0",) and "lost the job" in failure.evidence
    [view] = query_jobs(site.workspace, "toy")
    assert jobs_to_add(view) == 0, "what is left is submitted anew"


def test_a_squeue_that_says_nothing_is_not_believed_while_the_controller_has_jobs(
    site: BatchSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAUSE_S", 0)
    site.claim(0, "0")
    site.says("scontrol", "JobId=101 ArrayJobId=100 ArrayTaskId=0 JobState=RUNNING Reason=None")
    for states in ([], ["RUNNING"] * 4, ["RUNNING", "COMPLETED", "COMPLETED", "COMPLETED"]):
        lines = [site.remembered(f"100_{task}", state) for task, state in enumerate(states)]
        site.says("sacct", *lines)
        with pytest.raises(EchoLMError, match="squeue says nothing, although SLURM has job 100"):
            site.settle()
    assert failures(site.workspace, "toy") == []
    assert site.batch.claims()[UNITS[0].id][-1]["over"] is None

    (site.root / "scontrol").write_text("#!/bin/sh\necho Unable to contact >&2\nexit 1\n")
    with pytest.raises(EchoLMError, match="scontrol: Unable to contact"):
        site.settle()
    (site.root / "scontrol").write_text("#!/bin/sh\necho Invalid job id specified >&2\nexit 1\n")
    assert site.settle() == ["outage"], "it is not there any more, which accounting does not know"


def test_a_squeue_that_is_asked_again_is_believed(
    site: BatchSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAUSE_S", 0)
    site.says("scontrol", "JobId=101 ArrayJobId=100 ArrayTaskId=0 JobState=PENDING Reason=None")
    site.says("squeue", site.queued("100_0", "PENDING"))
    answer = site.root / "squeue"
    second = answer.read_text()
    answer.write_text(f"#!/bin/sh\necho '{second}' > {answer}\n")
    assert len(site.covered()) == 4


def test_units_that_are_done_are_not_asked_for(site: BatchSite) -> None:
    for unit in range(4):
        site.claim(unit, str(unit)).end("done")
    assert site.settle() == []
    assert site.calls("scontrol") == []


def test_an_empty_squeue_discards_no_batch_before_a_day_is_over(site: BatchSite) -> None:
    refused = site.made()
    discard_refused(site.workspace, "toy", time.time() + 3600)
    assert refused.path.exists()
    discard_refused(site.workspace, "toy", time.time() + 2 * 86400)
    assert not refused.path.exists() and site.batch.path.exists()


def test_a_job_that_could_not_open_its_log_met_an_outage(site: BatchSite) -> None:
    """Others of its batch began, so the folder was there."""
    site.says("squeue", site.queued("100_0", "FAILED"), site.queued("100_1", "RUNNING"))
    site.claim(1, "1")
    assert site.settle() == ["outage"] * 1
    assert never_began(failures(site.workspace, "toy")) == ""
