"""Reading what SLURM prints, and what a profile is told about a site. ``samples`` is a real SLURM 22.05's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.profile import Profile
from cluster.slurm import places
from cluster.slurm.check import check_site
from cluster.slurm.findings import Finding
from cluster.slurm.places import check_folder, check_python, file_system
from cluster.slurm.site import (
    Association,
    Nodes,
    Qos,
    Site,
    minutes,
    parse_associations,
    parse_config,
    parse_gpus,
    parse_nodes,
    parse_partitions,
    parse_qos,
)

SAMPLES = Path(__file__).with_name("samples")
NEWER = """PartitionName=cpu
   AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL
   DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO ExclusiveTopo=NO GraceTime=0 Hidden=NO
   MaxNodes=UNLIMITED MaxTime=2-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED MaxCPUsPerSocket=UNLIMITED
   NodeSets=cpu_nodes
   Nodes=c[1-2]
   TRES=cpu=24,mem=15674M,node=2,billing=24
   TRESBillingWeights=CPU=1.0,Mem=0.25G
PartitionName=gpu
   AllowAccounts=lab,other  State=DRAIN
   Nodes=(null)
"""
"""What 23.11 and later print: fields added, two on a line with two spaces, no empty line between partitions."""


def sample() -> Site:
    """The site of the samples, with an account, and QOS as a site with accounting has them."""
    text = {path.stem: path.read_text() for path in SAMPLES.glob("*.txt")}
    return Site(
        parse_config(text["config"]), parse_partitions(text["partition"]), parse_nodes(text["sinfo"]),
        parse_associations("lab||normal,long|normal||\n"), parse_qos("normal|||\nlong|7-00:00:00|50|4\nvip|||\n"), user="me",
    )  # fmt: skip


GOOD: dict[str, Any] = {
    "partitions": {"main": {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 31}},
    "partition": "main", "time_minutes": 60, "memory_gb": 16, "account": "lab", "qos": "normal",
}  # fmt: skip


def profile(**changes: Any) -> Profile:
    return Profile.model_validate({name: value for name, value in {**GOOD, **changes}.items() if value is not ...})


def configured(site: Site, **fields: str) -> Site:
    return replace(site, config={**site.config, **fields})


def partitioned(site: Site, name: str, **fields: str) -> Site:
    """With fields of a partition changed."""
    found = site.partitions[name]
    return replace(site, partitions={**site.partitions, name: replace(found, fields={**found.fields, **fields})})


def about(found: list[Finding], topic: str) -> list[Finding]:
    return [finding for finding in found if finding.topic == topic]


class TestParsing:
    """SLURM's output, by field names."""

    def test_configuration(self) -> None:
        config = parse_config((SAMPLES / "config.txt").read_text())
        assert (config["SLURM_VERSION"], config["MaxArraySize"], config["KillWait"]) == ("22.05.8", "1001", "5 sec")
        assert config["JobSubmitPlugins"] == "", "(null) is nothing"
        assert config["AuthInfo"] == "socket=/srv/slurm/run/munge.socket,cred_expire=5", "a value with = in it"
        assert not [name for name in config if " at " in name or "data as of" in name]

    def test_partitions(self) -> None:
        found = parse_partitions((SAMPLES / "partition.txt").read_text())
        assert list(found) == ["main", "low", "high"]
        assert (found["low"].fields["PreemptMode"], found["low"].fields["GraceTime"], found["low"].max_minutes) == ("REQUEUE", "10", None)
        one_line = "\n".join(" ".join(block.split()) for block in (SAMPLES / "partition.txt").read_text().split("\n\n"))
        assert parse_partitions(one_line) == found, "scontrol -o prints the same on one line each"

    def test_partitions_of_newer_versions(self) -> None:
        found = parse_partitions(NEWER)
        assert (found["cpu"].max_minutes, found["cpu"].fields["TRESBillingWeights"]) == (2880, "CPU=1.0,Mem=0.25G")
        assert (found["gpu"].fields["State"], found["gpu"].fields["Nodes"]) == ("DRAIN", "")
        assert found["cpu"].allows("Accounts", ["any"]) and found["gpu"].allows("Accounts", ["lab"])
        assert not found["gpu"].allows("Accounts", ["mine"]) and found["gpu"].allows("Accounts", ["mine", "other"])

    def test_denied_accounts(self) -> None:
        [found] = parse_partitions("PartitionName=p AllowAccounts=ALL DenyAccounts=guests").values()
        assert found.allows("Accounts", ["lab"]) and not found.allows("Accounts", ["guests"])

    def test_nodes(self) -> None:
        found = parse_nodes((SAMPLES / "sinfo.txt").read_text())
        assert found[:2] == [Nodes("main", 1, 8, 31.25, {"": 2}, "mixed"), Nodes("main", 3, 8, 31.25, {"": 2}, "idle")]
        [big] = parse_nodes("slurm: a message\ngpu |2 |64+ |515000+ |gpu:a100:4(S:0-1) |idle~ |a100,ib\n")
        assert (big.partition, big.cpus, big.gpus, big.features, big.usable) == ("gpu", 64, {"a100": 4}, ("a100", "ib"), True)
        assert [Nodes("p", 1, 1, 1, {}, state).usable for state in ("mixed-", "planned", "down*", "drained", "idle*", "inval")] == [
            True, True, False, False, False, False,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("gres", "gpus"),
        [
            ("(null)", {}), ("gpu:2", {"": 2}), ("gpu", {"": 1}), ("gpu:a100:4(S:0-1),gpu:v100:2(S:1)", {"a100": 4, "v100": 2}),
            ("gpu:a100_1g.5gb:7,shard:16", {"a100_1g.5gb": 7}), ("mps:400,gpu:tesla:1(S:0,2)", {"tesla": 1}), ("craynetwork:4", {}),
        ],
    )  # fmt: skip
    def test_gpus(self, gres: str, gpus: dict[str, int]) -> None:
        assert parse_gpus(gres) == gpus

    @pytest.mark.parametrize(
        ("text", "value"),
        [("90", 90), ("30:59", 30), ("12:00:00", 720), ("2-00:00:00", 2880), ("1-12", 2160), ("1-02:30", 1590), ("00:00:30", 0),
         ("UNLIMITED", None), ("infinite", None), ("NONE", None), ("", None)],
    )  # fmt: skip
    def test_durations(self, text: str, value: int | None) -> None:
        assert minutes(text) == value

    @given(days=st.integers(0, 400), hours=st.integers(0, 23), mins=st.integers(0, 59), seconds=st.integers(0, 59))
    def test_the_form_that_slurm_prints(self, days: int, hours: int, mins: int, seconds: int) -> None:
        text = f"{f'{days}-' if days else ''}{hours:02}:{mins:02}:{seconds:02}"
        assert minutes(text) == (days * 24 + hours) * 60 + mins

    def test_accounts(self) -> None:
        assert parse_associations("root||normal|||\nlab|gpu|normal,long|long|200|8\n") == [
            Association("root", "", ("normal",), "", None, None), Association("lab", "gpu", ("normal", "long"), "long", 200, 8),
        ]  # fmt: skip
        assert parse_qos("normal|||\nlong|2-00:00:00|10|2\n")["long"] == Qos("long", 2880, 10, 2)
        assert parse_associations("sacctmgr: error\n") == [] == list(parse_qos("\n"))

    @pytest.mark.parametrize(
        ("text", "enforced"),
        [("none", []), ("(null)", []), ("associations", ["associations"]), ("associations,limits,qos", ["associations", "limits", "qos"]), ("limits", ["associations", "limits"])],
    )
    def test_what_is_enforced(self, text: str, enforced: list[str]) -> None:
        site = configured(sample(), AccountingStorageEnforce=text)
        assert [what for what in ("associations", "limits", "qos") if site.enforces(what)] == enforced


def test_a_profile_that_suits_its_site_has_no_error() -> None:
    found = check_site(profile(), sample())
    assert {finding.topic for finding in found if finding.severity != "ok"} == {"KillWait"}, "the lab's own 5 s"
    assert check_site(profile(), configured(sample(), KillWait="30 sec")) and all(
        finding.severity == "ok" for finding in check_site(profile(), configured(sample(), KillWait="30 sec"))
    )


Change = Callable[[Site], Site]
SAME: Change = lambda site: site  # noqa: E731
BIG = {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 31}

CASES: dict[str, tuple[dict[str, Any], Change, str, str, list[str]]] = {
    "unknown partition": (
        {"partitions": {"mian": BIG}, "partition": "mian"}, SAME, "error", "partition mian", ["did you mean 'main'", "high, low, main"],
    ),
    "another partition unknown": ({"partitions": {"main": BIG, "x": BIG}}, SAME, "warning", "partition x", ["none of this name"]),
    "partition down": ({}, lambda s: partitioned(s, "main", State="DOWN"), "error", "partition main", ["DOWN"]),
    "too many GPUs": (
        {"partitions": {"main": {**BIG, "gpus_per_node": 4}}}, SAME, "error", "partition main", ["4 GPUs", "1 x (2 GPUs, 8 CPUs, 31.25 GiB)"],
    ),
    "too many CPUs": ({"partitions": {"main": {**BIG, "cpus_per_node": 9}}}, SAME, "error", "partition main", ["9 CPUs"]),
    "too much memory a node": ({"partitions": {"main": {**BIG, "memory_gb_per_node": 32}}}, SAME, "error", "partition main", ["32 GiB"]),
    "GPUs of another type": ({"gpu_type": "a100"}, SAME, "error", "partition main", ["2 a100 GPUs"]),
    "some nodes are smaller": (
        {}, lambda s: replace(s, nodes=[*s.nodes, Nodes("main", 5, 4, 16, {})]), "warning", "partition main", ["4 of its 9 nodes"],
    ),
    "all nodes down": (
        {}, lambda s: replace(s, nodes=[replace(n, state="down*") for n in s.nodes]), "warning", "partition main", ["down*", "sinfo -R"],
    ),
    "a feature that no node has": (
        {"constraint": "a100|h10"}, lambda s: replace(s, nodes=[replace(n, features=("a100", "h100")) for n in s.nodes]),
        "error", "constraint", ["'h10'", "did you mean 'h100'"],
    ),
    "old GPU option": ({}, lambda s: configured(s, SelectType="select/linear"), "error", "gpu_option", ["gpu_option: gres"]),
    "profile allows longer jobs": ({}, lambda s: partitioned(s, "main", MaxTime="1-00:00:00"), "warning", "partition main", ["max_minutes: 1440"]),
    "time above MaxTime": ({}, lambda s: partitioned(s, "main", MaxTime="00:30:00"), "error", "time_minutes", ["60 is over", "time_minutes: 30"]),
    "time above the QOS": ({"qos": "long", "time_minutes": 10081}, SAME, "error", "time_minutes", ["MaxWall of qos long", "10080"]),
    "time above the partition's QOS": (
        {"time_minutes": 10081}, lambda s: partitioned(s, "main", QoS="long"), "error", "time_minutes", ["MaxWall of qos long"],
    ),
    "memory above the site's": ({"memory_gb": 20}, lambda s: partitioned(s, "main", MaxMemPerNode="16384"), "error", "memory_gb", ["16 or less"]),
    "memory by the CPU": ({"memory_gb": ...}, SAME, "warning", "memory_gb", ["1000 MiB a CPU"]),
    "all memory of a node": ({"memory_gb": ...}, lambda s: configured(s, DefMemPerCPU="UNLIMITED"), "warning", "memory_gb", ["takes all memory"]),
    "another's account": ({"account": "lba"}, SAME, "warning", "account", ["'lba'", "did you mean 'lab'"]),
    "another's account, enforced": (
        {"account": "lba"}, lambda s: configured(s, AccountingStorageEnforce="associations"), "error", "account", ["did you mean 'lab'"],
    ),
    "no account at all": (
        {"account": ...}, lambda s: replace(configured(s, AccountingStorageEnforce="limits"), associations=[]), "error", "account", ["me has no account"],
    ),
    "partition for others": ({}, lambda s: partitioned(s, "main", AllowAccounts="physics"), "error", "account", ["not for lab", "physics"]),
    "unknown QOS": ({"qos": "nromal"}, SAME, "error", "qos", ["did you mean 'normal'"]),
    "another's QOS": ({"qos": "vip"}, lambda s: configured(s, AccountingStorageEnforce="qos"), "error", "qos", ["'vip'", "long, normal"]),
    "QOS that the partition does not take": ({}, lambda s: partitioned(s, "main", AllowQos="long"), "error", "qos", ["allows long"]),
    "QOS without accounting": ({}, lambda s: replace(s, associations=None, qos=None), "warning", "qos", ["cannot be looked up"]),
    "no wckey where one is needed": ({}, lambda s: configured(s, AccountingStorageEnforce="wckeys"), "error", "wckey", ["refuses jobs without"]),
    "a wckey that nobody keeps": ({"wckey": "echo"}, SAME, "warning", "wckey", ["'echo'", "TrackWCKey=No"]),
    "jobs of two nodes or more": ({}, lambda s: partitioned(s, "main", MinNodes="2"), "warning", "MinNodes", ["fewer nodes", "2 x 2 GPUs"]),
    "no arrays": ({}, lambda s: configured(s, MaxArraySize="0"), "error", "MaxArraySize", ["no job arrays"]),
    "submits more than the site knows": ({"submit_limit": 10001}, SAME, "error", "submit_limit", ["MaxJobCount"]),
    "no submit limit given": ({"qos": "long"}, SAME, "warning", "submit_limit", ["no limit", "write submit_limit: 50"]),
    "submit limit above the user's": ({"qos": "long", "submit_limit": 51}, SAME, "warning", "submit_limit", ["51", "write submit_limit: 50"]),
    "more at once than the user may": ({"qos": "long", "jobs_at_once": 5}, SAME, "warning", "jobs_at_once", ["write jobs_at_once: 4"]),
    "cancelled at preemption": ({}, lambda s: partitioned(s, "main", PreemptMode="CANCEL"), "warning", "PreemptMode", ["cancelled", "echolm launch"]),
    "suspended at preemption": ({}, lambda s: partitioned(s, "main", PreemptMode="GANG,SUSPEND"), "warning", "PreemptMode", ["suspended"]),
    "preempted without JobRequeue": (
        {}, lambda s: configured(partitioned(s, "main", PreemptMode="REQUEUE"), JobRequeue="0"), "warning", "PreemptMode", ["--requeue", "JobRequeue=0"],
    ),
    "preempted with the cluster's mode": (
        {}, lambda s: configured(s, PreemptType="preempt/qos", PreemptMode="CANCEL"), "warning", "PreemptMode", ["cancelled"],
    ),
    "preempted without a signal": (
        {}, lambda s: configured(partitioned(s, "main", PreemptMode="REQUEUE", GraceTime="60"), SlurmctldParameters="", KillWait="30 sec"),
        "warning", "GraceTime", ["preempt_send_user_signal", "SIGTERM alone", "has 90 s"],
    ),
    "preempted without grace": ({}, lambda s: partitioned(s, "main", PreemptMode="REQUEUE"), "warning", "GraceTime", ["GraceTime 0 s"]),
    "warned too late": ({"warning_seconds": 59}, SAME, "warning", "warning_seconds", ["59 s", "write warning_seconds: 120"]),
    "killed soon": ({}, SAME, "warning", "KillWait", ["5 s"]),
    "no accounting": ({}, lambda s: replace(s, sacct="sacct: disabled"), "warning", "accounting", ["sacct: disabled", "300 s"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_with_a_remedy(case: str) -> None:
    changes, change, severity, topic, parts = CASES[case]
    found = about(check_site(profile(**changes), change(sample())), topic)
    told = [finding for finding in found if finding.severity == severity and not [part for part in parts if part not in finding.words()]]
    assert told, found
    assert all(finding.remedy and "\n" not in finding.words() for finding in told)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: configured(s, PreemptType=""), "not preempted"),  # 24.05 and later print (null) for preempt/none
        (lambda s: configured(s, PreemptType="preempt/none"), "not preempted"),
        (SAME, "not preempted"),
        (lambda s: partitioned(s, "main", PreemptMode="REQUEUE"), "requeued"),
        (lambda s: configured(s, PreemptType="preempt/qos"), "requeued"),
    ],
)
def test_preemption_that_loses_nothing(change: Change, text: str) -> None:
    [found] = about(check_site(profile(), change(sample())), "PreemptMode")
    assert found.severity == "ok" and text in found.text


@pytest.mark.parametrize("fields", [{"SlurmctldParameters": "a,preempt_send_user_signal"}, {"PreemptParameters": "send_user_signal,youngest_first"}])
def test_the_preemption_signal_of_older_and_newer_versions(fields: dict[str, str]) -> None:
    site = partitioned(configured(sample(), **{"SlurmctldParameters": "", **fields}), "main", PreemptMode="REQUEUE", GraceTime="60")
    [found] = about(check_site(profile(), site), "GraceTime")
    assert found.severity == "ok" and "60 s" in found.text


class TestPlaces:
    """Folders and the interpreter, on this machine."""

    @pytest.mark.parametrize("folder", ["/tmp/jobs", "/tmp", "/dev/shm/jobs", "/var/tmp/x/y"])
    def test_temporary_folders_are_refused(self, folder: str) -> None:
        [found] = check_folder("work_dir", Path(folder))
        assert found.severity == "error" and "each node has for itself" in found.text and "set work_dir" in found.remedy

    def test_the_sites_own_temporary_folder_is_refused(self) -> None:
        [found] = check_folder("work_dir", Path.home() / "jobs", temporary=str(Path.home()))
        assert found.severity == "error" and "each node has for itself" in found.text

    def test_a_link_into_a_temporary_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("/dev/shm")
        [found] = check_folder("work_dir", tmp_path / "link" / "jobs")
        assert "/dev/shm" in found.text

    def test_a_folder_that_cannot_be_written(self) -> None:
        [found] = check_folder("work_dir", Path("/proc/nowhere/jobs"))
        assert found.severity == "error" and "/proc" in found.text

    @pytest.mark.parametrize(
        ("kind", "severity"), [("ext4", "warning"), ("", "warning"), ("nfs4", "ok"), ("fuse.glusterfs", "ok"), ("lustre", "ok"), ("tmpfs", "error")]
    )
    def test_the_file_system_decides_and_nothing_is_left_behind(
        self, kind: str, severity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(places, "_temporary", lambda site: [])
        monkeypatch.setattr(places, "file_system", lambda path: kind)
        (tmp_path / "empty").mkdir()
        [found] = check_folder("workspace", tmp_path / "empty" / "not" / "there")
        assert (found.severity, found.topic) == (severity, "workspace")
        assert severity == "ok" or "--workspace" in found.remedy
        assert list((tmp_path / "empty").iterdir()) == []

    def test_the_type_of_a_file_system(self) -> None:
        assert file_system(Path("/proc/self")) == "proc"
        assert file_system(Path("/")) != ""

    def test_this_interpreter(self) -> None:
        found = list(check_python(profile()))
        assert found[-1].severity == "ok" and "Python 3." in found[-1].text

    def test_interpreters_that_will_not_do(self, tmp_path: Path) -> None:
        [found] = check_python(profile(python="/no/such/python3"))
        assert found.severity == "error" and "/no/such/python3" in found.text
        (tmp_path / "python").write_text("#!/bin/sh\necho hello\n")
        (tmp_path / "python").chmod(0o755)
        temporary, does_not_run = check_python(profile(python=str(tmp_path / "python")))
        assert "temporary folder" in temporary.text and "does not run" in does_not_run.text
        (tmp_path / "python").write_text("#!/bin/sh\necho '[[3, 10], []]'\n")
        assert "Python 3.10" in list(check_python(profile(python=str(tmp_path / "python"))))[-1].text
        (tmp_path / "python").write_text("#!/bin/sh\necho '[[3, 12], [\"torch\"]]'\n")
        assert "has no torch" in list(check_python(profile(python=str(tmp_path / "python"))))[-1].text

    def test_a_container_is_not_looked_into(self) -> None:
        unknown, python = check_python(profile(container="no-such-apptainer exec x.sif", python="python3"))
        assert (unknown.severity, unknown.topic, python.severity) == ("warning", "container", "ok")
        [python] = check_python(profile(container="env", python="python3"))
        assert "inside the container" in python.text


def test_how_large_a_unit_may_be() -> None:
    [found] = about(check_site(profile(), partitioned(sample(), "main", MaxNodes="4")), "MaxNodes")
    assert (found.severity, found.text) == ("ok", "4: a unit has at most 8 GPUs in partition main")
    assert not about(check_site(profile(), sample()), "MaxNodes")
