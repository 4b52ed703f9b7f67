"""Which nodes are avoided: those that failed, of several the one that is down, and never so many
that no place is left.
"""

from __future__ import annotations

import pytest
from batch_site import BatchSite

from cluster.failures import failures
from cluster.profile import Profile
from cluster.slurm.check.nodes import hostnames
from cluster.slurm.submit.nodes import (
    down_nodes_of,
    exclude_for_waiting_job,
    nodes_to_exclude,
)

NODE = {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 32}


def profile(**changes: object) -> Profile:
    return Profile.model_validate(
        {"partitions": {"main": NODE}, "partition": "main", "time_minutes": 10, **changes}
    )


def updates(site: BatchSite) -> list[str]:
    return [call for call in site.calls("scontrol") if call.startswith("update")]


def test_at_most_half_of_the_nodes_that_suit_are_excluded_and_the_last_to_fail_count(
    site: BatchSite,
) -> None:
    site.says(
        "sinfo",
        *(f"n{number}|a100,new|gpu:a100:4(S:0)" for number in range(1, 5)),
        *(f"m{number}|(null)|gpu:v100:2" for number in range(1, 3)),
    )
    failed = ("n4", "m1", "elsewhere", "n2", "n1")
    assert nodes_to_exclude(failed, profile(), 1) == ("m1", "n2", "n4")
    assert (
        nodes_to_exclude(failed, profile(constraint="a100"), 1)
        == nodes_to_exclude(failed, profile(gpu_type="a100"), 1)
        == ("n2", "n4")
    )
    assert nodes_to_exclude(failed, profile(constraint="a100", exclude=["n3"]), 1) == ("n4",)
    assert (
        nodes_to_exclude(failed, profile(), 5) == ("n4",)
        and nodes_to_exclude(failed, profile(), 6) == ()
    ), "a unit on all nodes"
    site.says("sinfo")
    assert nodes_to_exclude(failed, profile(), 1) == (), "nobody says how many there are"


def test_of_several_nodes_the_one_that_is_down_is_to_blame(site: BatchSite) -> None:
    assert down_nodes_of("n1") == "n1" and down_nodes_of("") == "" and site.calls("sinfo") == []
    for states, found in (
        (("idle", "down*"), "n2"),
        (("mixed", "drained"), "n2"),
        (("allocated", "idle*"), "n2"),
        (("idle", "mixed"), ""),
        (("down", "down"), "n1,n2"),
    ):
        site.says(
            "sinfo",
            *(f"n{number}|{state}" for number, state in enumerate(states, 1)),
            "n2|" + states[1],
        )
        assert down_nodes_of("n[1-2]") == found
    (site.root / "sinfo").unlink()
    assert down_nodes_of("n[1-2]") == ""


def test_what_a_waiting_job_avoided_before_it_goes_on_avoiding(site: BatchSite) -> None:
    site.says("sinfo", *(f"n{number}" for number in range(1, 7)))
    site.says(
        "scontrol", "JobId=12 JobName=toy Partition=main NumNodes=1-1 ExcNodeList=n4 Comment=x"
    )
    exclude_for_waiting_job("12", "n1")
    assert updates(site) == ["update JobId=12 ExcNodeList=n1,n4"]
    exclude_for_waiting_job("12", "n2,n3,n5")
    assert len(updates(site)) == 1, "half of the nodes are left"
    site.says("scontrol", "JobId=12 JobName=toy Partition=main NumNodes=6 ExcNodeList=(null)")
    exclude_for_waiting_job("12", "n1")
    assert len(updates(site)) == 1, "it needs all of them"


def test_hostnames(site: BatchSite) -> None:
    site.says("scontrol", "n1", "n2", "m05")
    assert hostnames("n[1-2],m05") == ["n1", "n2", "m05"] and site.calls("scontrol") == [
        "show hostnames n[1-2],m05"
    ]
    assert hostnames("n1") == ["n1"] and hostnames("(null)") == hostnames("") == []


@pytest.mark.parametrize(("state", "node"), [("down*", "n2"), ("idle", "")])
def test_the_failure_of_a_job_on_two_nodes_names_the_dead_one(
    site: BatchSite, state: str, node: str
) -> None:
    site.claim(0, "0")
    site.says("squeue", site.queued("100_0", "NODE_FAIL", node="n[1-2]"))
    site.says("sinfo", "n1|idle", f"n2|{state}")
    assert site.settle() == ["node-failure"]
    [failure] = failures(site.workspace, "toy")
    assert failure.node == node and "NODE_FAIL on n[1-2]" in failure.evidence


def test_a_job_that_is_no_array_is_named_as_slurm_names_it(site: BatchSite) -> None:
    """submitit submits an array of one as a plain job, whose id has no index."""
    plain = site.made()
    plain.note_submitted("200", 1, 1)
    line = (
        site.queued("200", "PENDING", "BeginTime")
        .replace("200||", "200|N/A|")
        .replace(site.batch.name, plain.name)
    )
    site.says("squeue", line)
    site.says("sacct", site.remembered("200", "NODE_FAIL").replace(site.batch.name, plain.name))
    site.says("sinfo", "n1", "n2")
    assert site.settle() == ["node-failure"] and updates(site) == [
        "update JobId=200 ExcNodeList=n1"
    ]
    site.says("squeue", line.replace("BeginTime", "launch failed requeued held"))
    site.settle()
    assert site.calls("scancel") == ["200"]


def test_cells_that_a_job_gave_back_say_nothing_of_its_node(site: BatchSite) -> None:
    claim = site.claim(0, "0")
    claim.end("done", {"cell0": "its data is not there"})
    assert "launch" in site.settle()
    assert [failure.node for failure in failures(site.workspace, "toy") if failure.cells] == [""]
