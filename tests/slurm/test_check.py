"""``echolm cluster check`` against a real SLURM."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.slurm.client import Slurm


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside of the temporary ones, which a check refuses."""
    with tempfile.TemporaryDirectory(prefix=".echolm-check-", dir=Path.home()) as name:
        yield Path(name)


def check(
    slurm: Slurm, folder: Path, **changes: Any
) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """Check a profile that suits the lab, with changes: the exit status, and topic -> (severity,
    words).
    """
    nodes = {
        "gpus_per_node": slurm.settings.gpus,
        "cpus_per_node": slurm.settings.cpus,
        "memory_gb_per_node": 31,
    }
    values = {
        "partitions": {"main": nodes, "low": nodes},
        "partition": "main",
        "time_minutes": 10,
        "memory_gb": 4,
        **changes,
    }
    (folder / "site.yaml").write_text(yaml.safe_dump(values))
    command = [
        sys.executable,
        "-m",
        "echolm.cli",
        "-w",
        str(folder / "workspace"),
        "cluster",
        "check",
        str(folder / "site.yaml"),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=slurm.environment)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    found: dict[str, list[tuple[str, str]]] = {}
    for line in report["findings"]:
        found.setdefault(line["topic"], []).append(
            (line["severity"], f"{line['text']}; {line['remedy']}")
        )
    assert report["errors"] == sum(
        severity == "error" for lines in found.values() for severity, _ in lines
    )
    return done.returncode, found


def test_a_profile_that_suits_the_site(slurm: Slurm, folder: Path) -> None:
    status, found = check(slurm, folder)
    assert status == 0, found
    assert found["partition main"] == [
        (
            "ok",
            f"{slurm.settings.nodes} nodes with 2 GPUs, 8 CPUs, 31 GiB or more, "
            f"{slurm.settings.nodes} in service; ",
        )
    ]
    assert found["PreemptMode"][0][1].startswith("jobs in partition main are not preempted")
    assert found["accounting"][0][0] == ("ok" if slurm.settings.accounting else "warning")
    assert not (folder / "workspace").exists()


def test_what_sbatch_would_refuse_is_an_error(slurm: Slurm, folder: Path) -> None:
    nodes = {"gpus_per_node": 3, "cpus_per_node": 9, "memory_gb_per_node": 64}
    status, found = check(
        slurm,
        folder,
        partitions={"main": nodes, "mian": nodes},
        constraint="a100",
        work_dir="/tmp/jobs",
    )
    assert status == 1
    assert (
        found["partition main"][0][0] == "error"
        and "4 x (2 GPUs, 8 CPUs, 31.25 GiB)" in found["partition main"][0][1]
    )
    assert (
        found["partition mian"][0][0] == "warning"
        and "did you mean 'main'" in found["partition mian"][0][1]
    )
    assert found["work_dir"][0][0] == "error"
    assert check(slurm, folder, constraint="a100")[1]["constraint"][0][0] == "error"
    [(severity, words)] = check(slurm, folder, exclude=["n[1-2]", "n[4-5]"])[1]["exclude"]
    assert severity == "error" and "no node 'n5' of n[4-5]" in words and "n4" in words
    assert check(slurm, folder, exclude=["n[1-2]"])[1]["exclude"] == [
        ("ok", "2 of 4 nodes of the cluster; ")
    ]


def test_preemption_as_the_site_is_configured(slurm: Slurm, folder: Path) -> None:
    _, found = check(slurm, folder, partition="low")
    assert found["PreemptMode"][0] == (
        "ok",
        "preempted jobs are requeued and continue from their checkpoint; ",
    )
    assert found["GraceTime"][0][0] == "ok"
    slurm.preempt_send_user_signal(False)
    _, found = check(slurm, folder, partition="low")
    assert (
        found["GraceTime"][0][0] == "warning"
        and "preempt_send_user_signal" in found["GraceTime"][0][1]
    )


def test_accounting_that_is_away_or_was_never_there(slurm: Slurm, folder: Path) -> None:
    if not slurm.settings.accounting:
        pytest.skip("a lab without accounting")
    slurm.dbd_stop()
    status, found = check(slurm, folder)
    assert (status, found["accounting"][0][0]) == (0, "warning") and "no sacct" in found[
        "accounting"
    ][0][1]
    slurm.dbd_start()
    slurm.accounting_off()
    status, found = check(slurm, folder, qos="normal")
    assert (status, found["accounting"][0][0]) == (0, "warning") and "disabled" in found[
        "accounting"
    ][0][1]
    assert found["qos"][0][0] == "warning" and "cannot be looked up" in found["qos"][0][1]
