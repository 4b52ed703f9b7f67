"""Ray clusters inside allocations of a real SLURM."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from launch_support import Reference, ended, until

from cluster.profile import Partition, Profile
from cluster.ray.connection import read_address
from cluster.ray.node import PRESTART
from cluster.ray.on_slurm import allocation, script
from echolm.errors import EchoLMError
from tests.slurm.client import Slurm
from tests.slurm.fixtures import lab, slurm
from tests.slurm.site import BLANK, Site

__all__ = ["lab", "slurm"]
NODES = """
from cluster.ray.connection import connected
with connected({!r}):
    import ray
    print(sum(node["Alive"] for node in ray.nodes()))
"""


@pytest.fixture
def site(slurm: Slurm, tiny: Path, tmp_path: Path) -> Iterator[Site]:  # noqa: F811
    """A login node of the lab, with a profile."""
    found = Site(tmp_path, tiny / "store", slurm.settings)
    found.profile()
    yield found


def processes(words: str) -> list[psutil.Process]:
    """The processes whose command line has those words."""
    found = []
    for process in psutil.process_iter():
        try:
            if words in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_script_asks_for_what_the_profile_names(tmp_path: Path) -> None:
    """A workload key too, where the site wants one."""
    node = Partition(gpus_per_node=2, cpus_per_node=8, memory_gb_per_node=32)
    plain = Profile(partitions={"main": node}, partition="main", time_minutes=10, account="heart")
    wanted = allocation(plain, 2, None, 4, None)
    assert "--wckey" not in script(tmp_path, plain, wanted)
    text = script(tmp_path, plain.model_copy(update={"wckey": "echo"}), wanted)
    for line in ("wckey=echo", "account=heart", "nodes=2", "cpus-per-task=4", "mem=16384M"):
        assert f"#SBATCH --{line}\n" in text, text


def test_clusters_share_nodes_train_over_them_and_leave_nothing(
    site: Site, slurm: Slurm, reference: Reference
) -> None:  # noqa: F811
    """One CPU a node, so that two ranks lie on two nodes."""
    words = (
        "cluster",
        "ray-on-slurm",
        site.root / "site.yaml",
        "--nodes",
        "2",
        "--cpus",
        "1",
        "--gpus",
        "0",
        "--json",
    )
    asked = [site.start(*words) for _ in range(2)]
    dones = [ended(process) for process in asked]
    assert [done.status for done in dones] == [0, 0], dones
    one, two = (json.loads(done.out) for done in dones)
    found: list[dict[str, Any]] = [
        json.loads((Path(cluster["folder"]) / "address").read_text()) for cluster in (one, two)
    ]
    assert {job.nodes for job in slurm.squeue() if job.state == "RUNNING"} == {"n[1-2]"}, (
        "both on the same nodes"
    )
    assert one["address"] == found[0]["address"] != found[1]["address"]
    for cluster in (one, two):
        folder = Path(cluster["folder"])
        assert (
            stat.S_IMODE(folder.stat().st_mode) == 0o700
            and stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
        )
        token = (folder / "token").read_text()
        assert token not in (folder / "job.sh").read_text() + (folder / "log").read_text()
        assert not processes(token), "in no command line"
    sessions = processes(found[0]["sessions"])
    raylets = [process for process in sessions if process.name() == "raylet"]
    assert len(raylets) == 2
    for raylet in raylets:
        assert raylet.environ()[PRESTART] == "0", "no worker that nobody asked for"

    grid = site.grid({"head": ["mean", "slow"], "seed": [0]}, epochs=1, **BLANK)
    launched = site(
        *one["use"].replace("GRID", str(grid)).split()[1:], "--ranks", "2", "--no-collect"
    )
    assert launched.status == 0, launched
    for cell in site.cells(grid):
        record = site.record(cell)
        started = next(event for event in record.events(1) if event["event"] == "started")
        assert started["world"] == 2
        summary = record.summary()
        assert summary and summary["metrics"] == pytest.approx(reference(cell)[0], rel=1e-3)

    slurm.run(*one["end"].split())
    until(
        lambda: not processes(found[0]["sessions"]) and not processes(one["folder"]),
        "no process is left",
    )
    until(
        lambda: (
            not Path(found[0]["sessions"]).exists()
            and not (Path(one["folder"]) / "address").exists()
        ),
        "nor its files",
    )
    with pytest.raises(EchoLMError, match="is not there"):
        read_address(Path(one["folder"]))
    alive = subprocess.run(
        [sys.executable, "-c", NODES.format(two["folder"])],
        env=site.environment(),
        cwd=site.root,
        capture_output=True,
        text=True,
    )
    assert alive.stdout == "2\n", "the other cluster is as it was"
    slurm.run(*two["end"].split())
    until(
        lambda: not processes(found[1]["sessions"]) and not processes(two["folder"]),
        "no process is left",
    )
