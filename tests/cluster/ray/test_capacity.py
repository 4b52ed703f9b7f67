"""How many jobs a Ray cluster has room for, and which nodes are avoided. No Ray runs here."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.ray import capacity as module
from cluster.ray.capacity import avoided, capacity, check_room
from echolm.errors import EchoLMError
from grid.units import Resources

GB = 1e9


def node(number: int, alive: bool = True, **resources: float) -> dict[str, Any]:
    """A line of ``ray.nodes()``."""
    return {
        "NodeID": f"node-{number}",
        "NodeManagerAddress": f"10.0.0.{number}",
        "Alive": alive,
        "Resources": resources,
    }


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two nodes of 4 CPUs, one of them with 2 GPUs, and a large one that is gone."""
    nodes = [
        node(1, CPU=4.0, memory=8 * GB),
        node(2, CPU=4.0, GPU=2.0, memory=8 * GB),
        node(3, alive=False, CPU=64.0, GPU=8.0, memory=500 * GB),
    ]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    return nodes


@pytest.mark.parametrize(
    ("needs", "jobs"),
    [
        (Resources(), 8),
        (Resources(threads=2), 4),
        (Resources(threads=3), 2),
        (Resources(gpus=1), 2),
        (Resources(gpus=1, threads=4), 1),
        (Resources(memory_gb=3.0), 4),
        (Resources(ranks=2, threads=2), 2),
        (Resources(ranks=4, threads=2), 1),
        (Resources(ranks=2, gpus=2), 1),
        (Resources(ranks=3, threads=2), 1),
    ],
)
def test_jobs_that_run_at_once_on_nodes_that_are_alive(
    cluster: list[dict[str, Any]], needs: Resources, jobs: int
) -> None:
    check_room(needs)
    assert capacity(needs) == jobs


def test_memory_is_shared_by_the_ranks_of_a_job(cluster: list[dict[str, Any]]) -> None:
    assert capacity(Resources(ranks=2, memory_gb=8.0)) == 2
    assert capacity(Resources(ranks=1, memory_gb=8.0)) == 2


@pytest.mark.parametrize(
    ("needs", "wanted"),
    [
        (Resources(threads=5), "no room for 5 CPUs; "),
        (Resources(gpus=1, threads=5), "no room for 5 CPUs, 1 GPU; "),
        (Resources(memory_gb=9.0), "no room for 1 CPU, 9 GB; "),
        (Resources(ranks=5, threads=2), "no room for 5 ranks of 2 CPUs; "),
        (Resources(ranks=4, gpus=4), "no room for 4 ranks of 1 CPU, 1 GPU; "),
    ],
)
def test_a_job_that_no_idle_cluster_holds_is_refused_with_what_there_is(
    cluster: list[dict[str, Any]], needs: Resources, wanted: str
) -> None:
    with pytest.raises(EchoLMError) as refused:
        check_room(needs)
    assert wanted in str(refused.value)
    assert "10.0.0.1: 4 CPUs, 8 GB; 10.0.0.2: 4 CPUs, 2 GPUs, 8 GB" in str(refused.value)
    assert "10.0.0.3" not in str(refused.value)
    assert capacity(needs) == 1, "one at least: the error says the rest"


def test_nodes_are_avoided_while_the_others_hold_the_job(cluster: list[dict[str, Any]]) -> None:
    assert avoided(["10.0.0.1"], Resources()) == ["node-1"]
    assert avoided(["10.0.0.1"], Resources(gpus=1)) == ["node-1"]
    assert avoided(["10.0.0.2"], Resources(gpus=1)) == [], "it has the only GPUs"
    assert avoided(["10.0.0.1"], Resources(ranks=5)) == [], "both nodes are needed"
    assert avoided(["10.0.0.1", "10.0.0.2"], Resources()) == []
    assert avoided(["elsewhere"], Resources()) == avoided([], Resources()) == []


def test_half_a_gpu_is_counted(cluster: list[dict[str, Any]]) -> None:
    """One GPU for two ranks: each asks for half of it."""
    assert capacity(Resources(ranks=2, gpus=1)) == 2
    assert module._number_of(0.5, "GPU") == "0.5 GPUs"
