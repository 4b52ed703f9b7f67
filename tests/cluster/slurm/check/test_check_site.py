"""What a profile is told about a site, each thing with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from site_samples import about, configured, partitioned, profile, sample

from cluster.slurm.check.check_site import check_site
from cluster.slurm.check.site import Nodes, Site

Change = Callable[[Site], Site]
SAME: Change = lambda site: site  # noqa: E731
BIG = {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 31}


@dataclass(frozen=True)
class Case:
    """Changes of the good profile and of its site, and the finding that they cause."""

    finds: str
    topic: str
    words: list[str]
    profile: dict[str, Any] = field(default_factory=dict)
    site: Change = SAME


CASES = {
    "unknown partition": Case(
        profile={"partitions": {"mian": BIG}, "partition": "mian"},
        finds="error",
        topic="partition mian",
        words=["did you mean 'main'", "high, low, main"],
    ),
    "another partition unknown": Case(
        profile={"partitions": {"main": BIG, "x": BIG}},
        finds="warning",
        topic="partition x",
        words=["none of this name"],
    ),
    "partition down": Case(
        site=lambda site: partitioned(site, "main", State="DOWN"),
        finds="error",
        topic="partition main",
        words=["DOWN"],
    ),
    "too many GPUs": Case(
        profile={"partitions": {"main": {**BIG, "gpus_per_node": 4}}},
        finds="error",
        topic="partition main",
        words=["4 GPUs", "1 x (2 GPUs, 8 CPUs, 31.25 GiB)"],
    ),
    "too many CPUs": Case(
        profile={"partitions": {"main": {**BIG, "cpus_per_node": 9}}},
        finds="error",
        topic="partition main",
        words=["9 CPUs"],
    ),
    "too much memory a node": Case(
        profile={"partitions": {"main": {**BIG, "memory_gb_per_node": 32}}},
        finds="error",
        topic="partition main",
        words=["32 GiB"],
    ),
    "GPUs of another type": Case(
        profile={"gpu_type": "a100"}, finds="error", topic="partition main", words=["2 a100 GPUs"]
    ),
    "some nodes are smaller": Case(
        site=lambda site: replace(site, nodes=[*site.nodes, Nodes("main", 5, 4, 16, {})]),
        finds="warning",
        topic="partition main",
        words=["4 of its 9 nodes"],
    ),
    "all nodes down": Case(
        site=lambda site: replace(
            site, nodes=[replace(node, state="down*") for node in site.nodes]
        ),
        finds="warning",
        topic="partition main",
        words=["down*", "sinfo -R"],
    ),
    "a feature that no node has": Case(
        profile={"constraint": "a100|h10"},
        site=lambda site: replace(
            site, nodes=[replace(node, features=("a100", "h100")) for node in site.nodes]
        ),
        finds="error",
        topic="constraint",
        words=["'h10'", "did you mean 'h100'"],
    ),
    "old GPU option": Case(
        site=lambda site: configured(site, SelectType="select/linear"),
        finds="error",
        topic="gpu_option",
        words=["gpu_option: gres"],
    ),
    "profile allows longer jobs": Case(
        site=lambda site: partitioned(site, "main", MaxTime="1-00:00:00"),
        finds="warning",
        topic="partition main",
        words=["max_minutes: 1440"],
    ),
    "time above MaxTime": Case(
        site=lambda site: partitioned(site, "main", MaxTime="00:30:00"),
        finds="error",
        topic="time_minutes",
        words=["60 is over", "time_minutes: 30"],
    ),
    "time above the QOS": Case(
        profile={"qos": "long", "time_minutes": 10081},
        finds="error",
        topic="time_minutes",
        words=["MaxWall of qos long", "10080"],
    ),
    "time above the partition's QOS": Case(
        profile={"time_minutes": 10081},
        site=lambda site: partitioned(site, "main", QoS="long"),
        finds="error",
        topic="time_minutes",
        words=["MaxWall of qos long"],
    ),
    "memory above the site's": Case(
        profile={"memory_gb": 20},
        site=lambda site: partitioned(site, "main", MaxMemPerNode="16384"),
        finds="error",
        topic="memory_gb",
        words=["16 or less"],
    ),
    "memory by the CPU": Case(
        profile={"memory_gb": ...}, finds="warning", topic="memory_gb", words=["1000 MiB a CPU"]
    ),
    "all memory of a node": Case(
        profile={"memory_gb": ...},
        site=lambda site: configured(site, DefMemPerCPU="UNLIMITED"),
        finds="warning",
        topic="memory_gb",
        words=["takes all memory"],
    ),
    "another's account": Case(
        profile={"account": "lba"},
        finds="warning",
        topic="account",
        words=["'lba'", "did you mean 'lab'"],
    ),
    "another's account, enforced": Case(
        profile={"account": "lba"},
        site=lambda site: configured(site, AccountingStorageEnforce="associations"),
        finds="error",
        topic="account",
        words=["did you mean 'lab'"],
    ),
    "no account at all": Case(
        profile={"account": ...},
        site=lambda site: replace(
            configured(site, AccountingStorageEnforce="limits"), associations=[]
        ),
        finds="error",
        topic="account",
        words=["me has no account"],
    ),
    "partition for others": Case(
        site=lambda site: partitioned(site, "main", AllowAccounts="physics"),
        finds="error",
        topic="account",
        words=["not for lab", "physics"],
    ),
    "unknown QOS": Case(
        profile={"qos": "nromal"}, finds="error", topic="qos", words=["did you mean 'normal'"]
    ),
    "another's QOS": Case(
        profile={"qos": "vip"},
        site=lambda site: configured(site, AccountingStorageEnforce="qos"),
        finds="error",
        topic="qos",
        words=["'vip'", "long, normal"],
    ),
    "QOS that the partition does not take": Case(
        site=lambda site: partitioned(site, "main", AllowQos="long"),
        finds="error",
        topic="qos",
        words=["allows long"],
    ),
    "QOS without accounting": Case(
        site=lambda site: replace(site, associations=None, qos=None),
        finds="warning",
        topic="qos",
        words=["cannot be looked up"],
    ),
    "no wckey where one is needed": Case(
        site=lambda site: configured(site, AccountingStorageEnforce="wckeys"),
        finds="error",
        topic="wckey",
        words=["refuses jobs without"],
    ),
    "a wckey that nobody keeps": Case(
        profile={"wckey": "echo"}, finds="warning", topic="wckey", words=["'echo'", "TrackWCKey=No"]
    ),
    "jobs of two nodes or more": Case(
        site=lambda site: partitioned(site, "main", MinNodes="2"),
        finds="warning",
        topic="MinNodes",
        words=["fewer nodes", "2 x 2 GPUs"],
    ),
    "no arrays": Case(
        site=lambda site: configured(site, MaxArraySize="0"),
        finds="error",
        topic="MaxArraySize",
        words=["no job arrays"],
    ),
    "submits more than the site knows": Case(
        profile={"submit_limit": 10001}, finds="error", topic="submit_limit", words=["MaxJobCount"]
    ),
    "no submit limit given": Case(
        profile={"qos": "long"},
        finds="warning",
        topic="submit_limit",
        words=["no limit", "write submit_limit: 50"],
    ),
    "submit limit above the user's": Case(
        profile={"qos": "long", "submit_limit": 51},
        finds="warning",
        topic="submit_limit",
        words=["51", "write submit_limit: 50"],
    ),
    "more at once than the user may": Case(
        profile={"qos": "long", "jobs_at_once": 5},
        finds="warning",
        topic="jobs_at_once",
        words=["write jobs_at_once: 4"],
    ),
    "cancelled at preemption": Case(
        site=lambda site: partitioned(site, "main", PreemptMode="CANCEL"),
        finds="warning",
        topic="PreemptMode",
        words=["cancelled", "echolm launch"],
    ),
    "suspended at preemption": Case(
        site=lambda site: partitioned(site, "main", PreemptMode="GANG,SUSPEND"),
        finds="warning",
        topic="PreemptMode",
        words=["suspended"],
    ),
    "preempted without JobRequeue": Case(
        site=lambda site: configured(
            partitioned(site, "main", PreemptMode="REQUEUE"), JobRequeue="0"
        ),
        finds="warning",
        topic="PreemptMode",
        words=["--requeue", "JobRequeue=0"],
    ),
    "preempted with the cluster's mode": Case(
        site=lambda site: configured(site, PreemptType="preempt/qos", PreemptMode="CANCEL"),
        finds="warning",
        topic="PreemptMode",
        words=["cancelled"],
    ),
    "preempted without a signal": Case(
        site=lambda site: configured(
            partitioned(site, "main", PreemptMode="REQUEUE", GraceTime="60"),
            SlurmctldParameters="",
            KillWait="30 sec",
        ),
        finds="warning",
        topic="GraceTime",
        words=["preempt_send_user_signal", "SIGTERM alone", "has 90 s"],
    ),
    "preempted without grace": Case(
        site=lambda site: partitioned(site, "main", PreemptMode="REQUEUE"),
        finds="warning",
        topic="GraceTime",
        words=["GraceTime 0 s"],
    ),
    "warned too late": Case(
        profile={"warning_seconds": 59},
        finds="warning",
        topic="warning_seconds",
        words=["59 s", "write warning_seconds: 120"],
    ),
    "killed soon": Case(finds="warning", topic="KillWait", words=["5 s"]),
    "no accounting": Case(
        site=lambda site: replace(site, sacct="sacct: disabled"),
        finds="warning",
        topic="accounting",
        words=["sacct: disabled", "300 s"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_told_with_a_remedy(name: str) -> None:
    case = CASES[name]
    findings = about(check_site(profile(**case.profile), case.site(sample())), case.topic)
    told = []
    for finding in findings:
        has_words = all(word in finding.words() for word in case.words)
        if finding.severity == case.finds and has_words:
            told.append(finding)
    assert told, findings
    assert all(finding.remedy and "\n" not in finding.words() for finding in told)


def test_a_profile_that_suits_its_site_has_no_error() -> None:
    warnings = [one for one in check_site(profile(), sample()) if one.severity != "ok"]
    assert {finding.topic for finding in warnings} == {"KillWait"}, "the lab's own 5 s"
    findings = check_site(profile(), configured(sample(), KillWait="30 sec"))
    assert findings and {finding.severity for finding in findings} == {"ok"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda site: configured(site, PreemptType=""),
            "not preempted",
        ),  # 24.05 and later print (null) for preempt/none
        (lambda site: configured(site, PreemptType="preempt/none"), "not preempted"),
        (SAME, "not preempted"),
        (lambda site: partitioned(site, "main", PreemptMode="REQUEUE"), "requeued"),
        (lambda site: configured(site, PreemptType="preempt/qos"), "requeued"),
    ],
)
def test_preemption_that_loses_nothing(change: Change, text: str) -> None:
    [found] = about(check_site(profile(), change(sample())), "PreemptMode")
    assert found.severity == "ok" and text in found.text


@pytest.mark.parametrize(
    "fields",
    [
        {"SlurmctldParameters": "a,preempt_send_user_signal"},
        {"PreemptParameters": "send_user_signal,youngest_first"},
    ],
)
def test_the_preemption_signal_of_older_and_newer_versions(fields: dict[str, str]) -> None:
    site = partitioned(
        configured(sample(), **{"SlurmctldParameters": "", **fields}),
        "main",
        PreemptMode="REQUEUE",
        GraceTime="60",
    )
    [found] = about(check_site(profile(), site), "GraceTime")
    assert found.severity == "ok" and "60 s" in found.text


def test_how_large_a_unit_may_be() -> None:
    [found] = about(check_site(profile(), partitioned(sample(), "main", MaxNodes="4")), "MaxNodes")
    assert (found.severity, found.text) == ("ok", "4: a unit has at most 8 GPUs in partition main")
    assert not about(check_site(profile(), sample()), "MaxNodes")
