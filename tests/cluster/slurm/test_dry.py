"""A dry run says what the launch then does: jobs, arrays, and what must wait, also after earlier launches."""

from __future__ import annotations

import json

import pytest
from login_node import LoginNode

from cluster.batch import batches

BLANK = {"encoder": "none", "trainable": "k0", "epochs": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"units_per_job": 1, "submit_limit": 5, "jobs_at_once": 4},
        {"units_per_job": 2, "submit_limit": None, "jobs_at_once": 3},
        {"units_per_job": None, "submit_limit": 4, "jobs_at_once": 4},
        {"units_per_job": 3, "submit_limit": 2, "jobs_at_once": 1},
    ],
)
def test_what_a_dry_run_says_is_what_a_launch_submits(login: LoginNode, changes: dict[str, int | None]) -> None:
    login.profile(**{name: value for name, value in changes.items() if value})
    (login.slurm / "config").write_text("MaxArraySize            = 3\n")
    login.submit(login.grid({"head": ["mlp"], "seed": [0]}, **BLANK))
    wider = login.grid({"head": ["mlp"], "seed": list(range(9))}, **BLANK)
    text, told = login.submit(wider, "--dry-run").out, json.loads(login.submit(wider, "--dry-run", "--json").out)
    [first] = batches(login.workspace, "toy")
    done = login.submit(wider)
    assert done.status == 0, done
    second = [batch for batch in batches(login.workspace, "toy") if batch.path != first.path]
    submitted = [array["count"] for batch in second for array in batch.submitted()]
    cells = sum(len(batch.cells) for batch in second)
    [shape] = told["arrays"]
    assert (shape["arrays"], shape["jobs"], len(shape["units"]) - len(shape["waiting"])) == (submitted, sum(submitted), cells)
    assert f"would submit {cells} cell" in text and ("must wait for room" in text) == bool(shape["waiting"]), text
