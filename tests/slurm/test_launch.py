"""``echolm launch --on slurm`` on the real SLURM: the same plan, units, records and results as on
one machine.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from launch_support import Reference, result

from cluster.batch import JobBatch, batches, new_batch_path
from echolm.record import find_records
from echolm.training.distributed import pick_device
from grid.definition.grid import load_grid
from grid.plan import save_cells
from grid.units import Unit
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until


@pytest.fixture(scope="session")
def reference(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Results of undisturbed runs."""
    return Reference(tiny / "store", tmp_path_factory.mktemp("reference"))


def events(site: Site, cell: str, kind: str) -> list[dict[str, object]]:
    """All events of a kind, of all attempts of a cell's record."""
    [record] = find_records(site.workspace.runs, cell)
    return [
        event
        for number in record.attempts()
        for event in record.events(number)
        if event["event"] == kind
    ]


def test_a_grid_is_submitted_once_and_its_results_are_those_of_one_machine(
    site: Site, reference: Reference
) -> None:
    site.profile(units_per_job=2, jobs_at_once=2)
    grid = site.grid({"head": ["mlp"], "seed": [0, 1, 2]}, epochs=1)
    done = site.submit(grid, process=True)
    assert done.status == 0 and "submitted 3 cells: 1 array" in done.out, done
    again = site.submit(grid)
    assert again.status == 0 and "submitted" not in again.out and "3 in jobs" in again.out, again
    status = site("status", grid, "--json")
    assert all(
        cell["job"].startswith(("queued in", "next in", "job "))
        for cell in json.loads(status.out)["cells"]
    ), status
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert site.attempts(grid) == [1, 1, 1]
    assert "submitted" not in site.submit(grid).out
    for cell in site.cells(grid):
        assert result(site.record(cell)) == reference(cell)
    [batch] = batches(site.workspace, "toy")
    assert [(array["count"], array["at_once"]) for array in batch.submitted()] == [(2, 2)]


def gpu_of(task: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The GPU that a task takes of those SLURM lets it see. The lab's are not real, and torch is
    told how many there are.
    """
    visible = task["visible"].split(",")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    return str(visible[pick_device("cuda", int(task["local"])).index])


def test_eight_gpus_are_two_nodes_of_four_ranks_with_a_device_each(
    site: Site, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the lab: 4 GPUs on nodes of 2; two such jobs share the nodes' ports and meet their own
    ranks.
    """
    grid = site.grid({"encoder": ["tiny-videomae"], "head": ["traced"], "seed": [0, 1]}, epochs=1)
    assert site.submit(grid, "--gpus", "4").status == 0
    until(lambda: set(site.states(grid)) == {"complete"}, "complete", 200)
    for cell in site.cells(grid):
        [started] = events(site, cell.id, "started")
        assert started["world"] == 4
        metrics, *_ = result(site.record(cell))
        assert metrics == pytest.approx(reference(cell)[0], rel=1e-3)
    [batch] = batches(site.workspace, "toy")
    meetings = [
        json.loads(path.read_text()) for path in sorted((batch.path / "meetings").iterdir())
    ]
    assert len({(place["host"], place["port"]) for place in meetings}) == 2
    tasks = {(line["job"], line["rank"]): line for line in site.traced()}
    assert len(tasks) == 8 == len({line["pid"] for line in tasks.values()})
    for job in {job for job, _ in tasks}:
        own = [tasks[job, rank] for rank in range(4)]
        assert [task["local"] for task in own] == ["0", "1", "0", "1"]
        assert own[0]["node"] == own[1]["node"] != own[2]["node"] == own[3]["node"]
        assert [gpu_of(task, monkeypatch) for task in own] == ["0", "1", "0", "1"], (
            "a device each, on both nodes"
        )


def test_a_request_that_fits_no_node_and_a_refused_sbatch_are_errors_that_leave_nothing(
    site: Site,
) -> None:
    grid = site.grid({"head": ["mlp"]}, **BLANK)
    odd = site.submit(grid, "--gpus", "3")
    assert odd.status == 1 and "nodes of partition main hold 2 each" in odd.err, odd
    site.profile(account="nobody", extra={"reservation": "not-there"})
    refused = site.submit(grid)
    assert (
        refused.status == 1 and "sbatch refused" in refused.err and "eservation" in refused.err
    ), refused
    assert site.jobs(grid) == [] and all(
        not batch.submitted() for batch in batches(site.workspace, "toy")
    )
    site.profile()
    assert "submitted 1 cell" in site.submit(grid).out, "a batch without a job covers nothing"


def test_a_workspace_whose_path_slurm_misreads_is_refused_and_one_beside_it_is_not(
    site: Site, slurm: Slurm, tiny: Path, pinned_code: Path
) -> None:
    root = site.root / "50%j (x)"
    root.mkdir()
    odd = Site(root, tiny / "store", slurm.settings, pinned_code)
    odd.profile()
    refused = odd.submit(odd.grid({"head": ["mlp"]}, **BLANK))
    assert refused.status == 1 and "SLURM reads % in the paths of its logs" in refused.err, refused
    assert "--workspace" in refused.err and "submitted" not in refused.out, "the remedy"
    assert site.slurm("squeue", "--noheader") == "" and not odd.workspace.grids.exists()
    site.slurm("sbatch", f"--output={root}/log", "--wrap=true")
    until(lambda: not site.slurm("squeue", "--noheader"), "the job ends")
    assert not (root / "log").exists(), "so it is: SLURM put its number for %j"
    assert "submitted 1 cell" in site.submit(site.grid({"head": ["mlp"]}, **BLANK)).out


def test_an_environment_without_a_module_stops_the_submission_in_one_sentence(site: Site) -> None:
    """The system's Python has none of the packages."""
    site.profile(python="/usr/bin/python3", jobs_at_once=3)
    grid = site.grid({"head": ["mlp"], "seed": [0, 1, 2, 3]}, **BLANK)

    def stopped() -> str:
        done = site.submit(grid)
        return done.err if "nothing more is submitted" in done.err else ""

    said = until(stopped, "the launch stops", 120)
    assert (
        "jobs ended before they took a unit" in said
        and "No module named" in said
        and "echolm retry" in said
    ), said
    until(lambda: not site.jobs(grid), "the rest of that array ends")
    site.profile()
    assert "submitted 4 cells" in site.submit(grid, command="retry").out


def test_the_same_traceback_in_three_cells_stops_the_grid(site: Site) -> None:
    site.profile(units_per_job=1, jobs_at_once=1)
    grid = site.grid({"head": ["fails"], "seed": list(range(4))}, **BLANK)
    assert site.submit(grid).status == 0
    until(
        lambda: Counter(site.states(grid))["failed"] >= 3 and not site.jobs(grid),
        "three failures",
        200,
    )
    assert Counter(site.states(grid)) == {"failed": 3, "pending": 1}, (
        "the job that was queued took nothing more"
    )
    done = site.submit(grid)
    assert (
        done.status == 1
        and "the same error ended 3 cells" in done.err
        and "this head is broken" in done.err
    ), done
    assert "submitted" not in done.out
    site.healed.touch()
    assert "submitted 4 cells" in site.submit(grid, command="retry").out


def test_a_cancelled_grid_leaves_no_job_and_a_cancelled_cell_leaves_the_others_alone(
    site: Site,
) -> None:
    grid = site.grid({"head": ["slow"], "seed": [0, 1]}, **BLANK, epochs=30)
    site.slow(1)
    assert site.submit(grid).status == 0
    first, second = site.cells(grid)
    until(lambda: site.trains(first) and site.trains(second), "both train")
    assert site("cancel", grid, "--where", "seed=0").out == "toy: 1 cell cancelled\n"
    until(lambda: site.states(grid)[0] == "cancelled", "one is cancelled")
    assert site.states(grid)[1] == "running"
    site.slow(10)  # its jobs are looked at before it has seen its mark
    both = site("cancel", grid)
    assert "1 cell cancelled; jobs" in both.out, both
    until(lambda: not site.jobs(grid), "no job is left")
    assert site.states(grid) == ["cancelled", "cancelled"]
    assert "submitted" not in site.submit(grid).out


def test_states_without_accounting_and_a_job_cancelled_by_hand(site: Site, slurm: Slurm) -> None:
    slurm.accounting_off()
    grid = site.grid({"head": ["slow"], "seed": [0]}, **BLANK, epochs=30)
    site.slow(1)
    assert site.submit(grid).status == 0
    [cell] = site.cells(grid)
    until(lambda: site.trains(cell), "it trains")
    slurm.run("scancel", site.job_of(grid, cell))
    until(lambda: not site.jobs(grid), "the job is gone")
    done = site.submit(grid)
    assert "cancelled; 1 cell waits for echolm retry" in done.err and site.states(grid) == [
        "cancelled"
    ], done


def test_out_of_memory_by_slurms_own_hand_is_tried_again_with_half_the_micro_batch(
    site: Site,
) -> None:
    if not site.settings.cgroups:
        pytest.skip(
            "this machine's cgroups do not let SLURM enforce memory; see tests/slurm/README.md"
        )
    grid = site.grid({"head": ["glutton"]}, **BLANK, epochs=1)
    site.profile(memory_gb=1.5)
    assert site.submit(grid).status == 0
    until(lambda: not site.jobs(grid), "the job is gone")
    done = site.submit(grid)
    assert (
        "out-of-memory; 1 cell again with half the micro-batch" in done.err
        and "submitted 1 cell" in done.out
    ), done
    assert batches(site.workspace, "toy")[-1].resources.micro_batch == 2, "half of a batch of 5"
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")


def test_memory_that_a_process_limit_refuses_is_tried_again_with_half_the_micro_batch(
    site: Site,
) -> None:
    """On any machine: the job goes on, in the same process."""
    grid = site.grid({"head": ["glutton"]}, **BLANK, epochs=1)
    site.profile(memory_gb=8, setup=["ulimit -v 3200000"])
    assert site.submit(grid).status == 0
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    [first, _] = [site.record(site.cells(grid)[0]).events(number) for number in (1, 2)]
    assert (first[-1]["event"], first[-1]["class"]) == ("failed", "out-of-memory"), first
    assert "Traceback" not in site.submit(grid).err


def test_arrays_keep_to_the_sites_limits_and_the_rest_waits_for_the_next_launch(
    site: Site, slurm: Slurm
) -> None:
    slurm.configure(restart=True, MaxArraySize="2")
    site.profile(units_per_job=1, jobs_at_once=2, submit_limit=3)
    grid = site.grid({"head": ["slow"], "seed": list(range(4))}, **BLANK, epochs=1)
    site.slow(5)
    done = site.submit(grid)
    assert done.status == 0 and "2 arrays" in done.out, done
    [batch] = batches(site.workspace, "toy")
    assert sorted((array["count"], array["at_once"]) for array in batch.submitted()) == [
        (1, 1),
        (2, 1),
    ]
    full = site.submit(grid)
    assert "submitted" not in full.out and "1 cell must wait for room" in full.out, full
    site.slow(0)
    site.finish(grid)
    assert site.attempts(grid) == [1] * 4


def test_a_job_that_got_a_used_id_is_nobody_of_ours(site: Site, slurm: Slurm) -> None:
    grid = site.grid({"head": ["mlp"]}, **BLANK, epochs=1)
    foreign = slurm.sbatch("sleep 300")
    save_cells(load_grid(str(grid)), site.workspace)
    old = JobBatch(
        new_batch_path(site.workspace, "toy"),
        site.workspace.root,
        "toy",
        tuple(Unit((cell.id,)) for cell in site.cells(grid)),
    )
    old.write()
    old.note_submitted(foreign, 1, 1)
    assert "submitted 1 cell" in site.submit(grid).out, "the foreign job covers nothing"
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert slurm.state(foreign) == "RUNNING"


def test_corrupt_data_are_a_failure_of_their_cells_with_class_and_file(
    site: Site, tiny: Path
) -> None:
    store = site.workspace.store("tiny")
    store.unlink()
    shutil.copytree(tiny / "store", store)
    frames = store / "frames.bin"
    os.truncate(frames, frames.stat().st_size // 2)
    grid = site.grid({"head": ["mlp"]}, epochs=1)
    assert site.submit(grid).status == 0
    until(lambda: set(site.states(grid)) == {"failed"}, "failed")
    [standing] = site.standings(grid)
    assert (
        standing.state.evidence["class"] == "data"
        and "frames.bin" in standing.state.evidence["error"]
    )
    assert "submitted" not in site.submit(grid).out, "it waits for retry"
