"""Reading what SLURM prints, by field names. ``samples`` is a real SLURM 22.05's output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_samples import SAMPLES, configured, sample

from cluster.slurm.check.site import (
    Association,
    Nodes,
    Qos,
    minutes,
    parse_associations,
    parse_config,
    parse_gpus,
    parse_nodes,
    parse_partitions,
    parse_qos,
)

NEWER = """PartitionName=cpu
   AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL
   DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO ExclusiveTopo=NO GraceTime=0 Hidden=NO
   MaxNodes=UNLIMITED MaxTime=2-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED
   NodeSets=cpu_nodes
   Nodes=c[1-2]
   TRES=cpu=24,mem=15674M,node=2,billing=24
   TRESBillingWeights=CPU=1.0,Mem=0.25G
PartitionName=gpu
   AllowAccounts=lab,other  State=DRAIN
   Nodes=(null)
"""
"""What 23.11 and later print: fields added, two on a line with two spaces, and no empty line
between partitions."""


def test_configuration() -> None:
    config = parse_config((SAMPLES / "config.txt").read_text())
    assert (config["SLURM_VERSION"], config["MaxArraySize"], config["KillWait"]) == (
        "22.05.8",
        "1001",
        "5 sec",
    )
    assert config["JobSubmitPlugins"] == "", "(null) is nothing"
    assert config["AuthInfo"] == "socket=/srv/slurm/run/munge.socket,cred_expire=5", (
        "a value with = in it"
    )
    assert not [name for name in config if " at " in name or "data as of" in name]


def test_partitions() -> None:
    found = parse_partitions((SAMPLES / "partition.txt").read_text())
    assert list(found) == ["main", "low", "high"]
    assert (
        found["low"].fields["PreemptMode"],
        found["low"].fields["GraceTime"],
        found["low"].max_minutes,
    ) == ("REQUEUE", "10", None)
    one_line = "\n".join(
        " ".join(block.split()) for block in (SAMPLES / "partition.txt").read_text().split("\n\n")
    )
    assert parse_partitions(one_line) == found, "scontrol -o prints the same on one line each"


def test_partitions_of_newer_versions() -> None:
    found = parse_partitions(NEWER)
    assert (found["cpu"].max_minutes, found["cpu"].fields["TRESBillingWeights"]) == (
        2880,
        "CPU=1.0,Mem=0.25G",
    )
    assert (found["gpu"].fields["State"], found["gpu"].fields["Nodes"]) == ("DRAIN", "")
    assert found["cpu"].allows("Accounts", ["any"]) and found["gpu"].allows("Accounts", ["lab"])
    assert not found["gpu"].allows("Accounts", ["mine"]) and found["gpu"].allows(
        "Accounts", ["mine", "other"]
    )


def test_denied_accounts() -> None:
    [found] = parse_partitions("PartitionName=p AllowAccounts=ALL DenyAccounts=guests").values()
    assert found.allows("Accounts", ["lab"]) and not found.allows("Accounts", ["guests"])


def test_nodes() -> None:
    found = parse_nodes((SAMPLES / "sinfo.txt").read_text())
    assert found[:2] == [
        Nodes("main", 1, 8, 31.25, {"": 2}, "mixed"),
        Nodes("main", 3, 8, 31.25, {"": 2}, "idle"),
    ]
    [big] = parse_nodes(
        "slurm: a message\ngpu |2 |64+ |515000+ |gpu:a100:4(S:0-1) |idle~ |a100,ib\n"
    )
    assert (big.partition, big.cpus, big.gpus, big.features, big.usable) == (
        "gpu",
        64,
        {"a100": 4},
        ("a100", "ib"),
        True,
    )
    assert [
        Nodes("p", 1, 1, 1, {}, state).usable
        for state in ("mixed-", "planned", "down*", "drained", "idle*", "inval")
    ] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", {}),
        ("gpu:2", {"": 2}),
        ("gpu", {"": 1}),
        ("gpu:a100:4(S:0-1),gpu:v100:2(S:1)", {"a100": 4, "v100": 2}),
        ("gpu:a100_1g.5gb:7,shard:16", {"a100_1g.5gb": 7}),
        ("mps:400,gpu:tesla:1(S:0,2)", {"tesla": 1}),
        ("craynetwork:4", {}),
    ],
)
def test_gpus(gres: str, gpus: dict[str, int]) -> None:
    assert parse_gpus(gres) == gpus


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90),
        ("30:59", 30),
        ("12:00:00", 720),
        ("2-00:00:00", 2880),
        ("1-12", 2160),
        ("1-02:30", 1590),
        ("00:00:30", 0),
        ("UNLIMITED", None),
        ("infinite", None),
        ("NONE", None),
        ("", None),
    ],
)
def test_durations(text: str, value: int | None) -> None:
    assert minutes(text) == value


@given(
    days=st.integers(0, 400),
    hours=st.integers(0, 23),
    mins=st.integers(0, 59),
    seconds=st.integers(0, 59),
)
def test_the_form_that_slurm_prints(days: int, hours: int, mins: int, seconds: int) -> None:
    text = f"{f'{days}-' if days else ''}{hours:02}:{mins:02}:{seconds:02}"
    assert minutes(text) == (days * 24 + hours) * 60 + mins


def test_accounts() -> None:
    assert parse_associations("root||normal|||\nlab|gpu|normal,long|long|200|8\n") == [
        Association("root", "", ("normal",), "", None, None),
        Association("lab", "gpu", ("normal", "long"), "long", 200, 8),
    ]
    assert parse_qos("normal|||\nlong|2-00:00:00|10|2\n")["long"] == Qos("long", 2880, 10, 2)
    assert parse_associations("sacctmgr: error\n") == [] == list(parse_qos("\n"))


@pytest.mark.parametrize(
    ("text", "enforced"),
    [
        ("none", []),
        ("(null)", []),
        ("associations", ["associations"]),
        ("associations,limits,qos", ["associations", "limits", "qos"]),
        ("limits", ["associations", "limits"]),
    ],
)
def test_what_is_enforced(text: str, enforced: list[str]) -> None:
    site = configured(sample(), AccountingStorageEnforce=text)
    assert [what for what in ("associations", "limits", "qos") if site.enforces(what)] == enforced
