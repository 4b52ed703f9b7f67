"""sbatch that complains although SLURM took the array: its jobs run all the same."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import pytest
from login_node import BLANK, LoginNode

from cluster.batch import batches
from cluster.slurm.job.callable import BatchCallable
from cluster.slurm.submit.sbatch import WORK, _find_work

COMPLAINTS = (
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
)


def loses_the_answer(login: LoginNode, complaint: str) -> None:
    """SLURM takes the array, and sbatch does not hear of it."""
    script = login.slurm / "sbatch"
    lines = script.read_text().replace('echo "Submitted batch job $id"', "")
    script.write_text(f"{lines}\necho '{complaint}' >&2\nexit 1\n")


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_the_array_is_found_at_once(login: LoginNode, complaint: str) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    loses_the_answer(login, complaint)
    done = login.submit(grid)
    assert done.status == 0 and "submitted 2 cells: 1 array 41" in done.out, done
    assert "SLURM has the jobs all the same: 41" in done.err
    again = login.submit(grid)
    assert "submitted" not in again.out and "2 in jobs" in again.out
    assert {line[0] for line in login.queue()} == {"41"}


def test_an_answer_that_came_is_believed(login: LoginNode) -> None:
    (login.slurm / "refusing").touch()
    asked = login.asked()
    done = login.submit(login.grid({"head": ["mlp"]}, **BLANK))
    assert done.status == 1 and "Invalid account" in done.err
    assert login.asked() == asked, "a refusal needs no second look"


@pytest.mark.parametrize("task", ["", "0", "3"])
def test_a_job_finds_its_work_without_a_file_of_its_own(
    login: LoginNode, tmp_path: Path, task: str
) -> None:
    """The lines of the batch script, run by a shell."""
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    loses_the_answer(login, COMPLAINTS[0])
    assert login.submit(grid).status == 0
    [batch] = batches(login.workspace, "toy")
    assert (batch.path / WORK).is_file()
    variables = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": "77"}
    name = "77"
    if task:
        variables |= {"SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": task}
        name = f"41_{task}"
    subprocess.run(["bash", "-c", "\n".join(_find_work(batch))], env=variables, check=True)
    file = batch.path / "logs" / f"{name}_submitted.pkl"
    delayed = pickle.loads(file.read_bytes())
    assert delayed.function == BatchCallable(str(batch.path))

    named = tmp_path / "named.pkl"
    named.write_bytes(b"submitit's own")
    named.rename(file)
    assert file.read_bytes() == b"submitit's own"
    assert (batch.path / WORK).read_bytes() != b"submitit's own", "only the link was replaced"
    subprocess.run(["bash", "-c", "\n".join(_find_work(batch))], env=variables, check=True)
    assert file.read_bytes() == b"submitit's own"
