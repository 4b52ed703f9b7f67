"""Check a site profile against the site.

Each finding says what is wrong, what is risky or what is as it should be, with a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster.profile import Profile
from cluster.slurm.check.accounts import check_accounts, check_limits, qos_of
from cluster.slurm.check.finding import Finding, error, ok, warning
from cluster.slurm.check.partitions import check_partition
from cluster.slurm.check.preemption import (
    check_accounting,
    check_preemption,
    check_signals,
)
from cluster.slurm.check.site import Site, SitePartition


def check_site(profile: Profile, site: Site) -> list[Finding]:
    """Return all findings about SLURM.

    Folders and the interpreter are checked in ``cluster.slurm.check.folders``.
    """
    findings: list[Finding] = []
    for name in profile.partitions:
        findings += check_partition(profile, name, site)
    partition = site.partitions.get(profile.partition)
    if partition is not None:
        for check in (check_time, check_memory, check_nodes, check_accounts, check_preemption):
            findings += check(profile, site, partition)
    findings += check_limits(profile, site)
    findings += check_signals(profile, site)
    findings += check_accounting(site)
    return findings


def check_time(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """Check that the partition and the QOS give the job's time limit."""
    limits: dict[str, int] = {}
    if partition.max_minutes is not None:
        limits[f"MaxTime of partition {partition.name}"] = partition.max_minutes
    for name in qos_of(profile, site, partition):
        qos = site.qos.get(name) if site.qos else None
        if qos and qos.max_minutes is not None:
            limits[f"MaxWall of qos {name}"] = qos.max_minutes
    is_over = False
    for limit, most in limits.items():
        if profile.time_minutes > most:
            is_over = True
            yield error(
                "time_minutes",
                f"{profile.time_minutes} is over {limit}, {most} minutes: the jobs never start",
                f"write time_minutes: {most} or less",
            )
    if not is_over:
        words = ", ".join(f"{limit} is {most}" for limit, most in limits.items())
        text = f"{profile.time_minutes} minutes; {words or 'the site has no limit'}"
        yield ok("time_minutes", text)


def check_nodes(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """Check how many nodes a job may have, and so how many GPUs or ranks a unit."""
    kind = "GPUs"
    per_node = profile.has.gpus_per_node
    if not per_node:
        kind = "ranks"
        per_node = profile.has.cpus_per_node // profile.cpus_per_task
    least = _number(partition, "MinNodes")
    if least is not None and least > 1:
        yield warning(
            "MinNodes",
            f"{least}: partition {partition.name} refuses jobs of fewer nodes",
            f"launch with {least} x {per_node} {kind}, or use another one",
        )
    most = _number(partition, "MaxNodes")
    if most is not None:
        yield ok(
            "MaxNodes",
            f"{most}: a unit has at most {most * per_node} {kind} in partition {partition.name}",
        )


def check_memory(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """Check that the memory asked for is allowed. Without it, say what the site gives."""
    largest_mib = _memory_mib(site, partition, "MaxMemPerNode")
    default_mib = _memory_mib(site, partition, "DefMemPerNode")
    per_cpu_mib = _memory_mib(site, partition, "DefMemPerCPU")
    asked = profile.memory_gb
    if asked is not None and largest_mib is not None and asked * 1024 > largest_mib:
        largest = f"{largest_mib / 1024:g}"
        yield error(
            "memory_gb",
            f"{asked:g} is over the site's MaxMemPerNode, {largest} GiB",
            f"write memory_gb: {largest} or less",
        )
    elif asked is not None:
        yield ok("memory_gb", f"{asked:g} GiB on each node")
    elif default_mib is not None or per_cpu_mib is not None:
        default = f"{per_cpu_mib} MiB a CPU"
        if default_mib is not None:
            default = f"{default_mib / 1024:g} GiB a node"
        yield warning(
            "memory_gb",
            f"not given: jobs get the site's default, {default}, and are killed above it",
            "write memory_gb",
        )
    elif "MEMORY" in site.config.get("SelectTypeParameters", "").upper():
        yield warning(
            "memory_gb",
            "not given, and the site has no default: each job takes all memory of its nodes",
            "write memory_gb",
        )
    else:
        yield ok("memory_gb", "not given; the site does not count memory")


def _number(partition: SitePartition, name: str) -> int | None:
    """Return a number among the fields of a partition. None: unlimited or not stated."""
    text = partition.fields.get(name, "")
    return int(text) if text.isdecimal() else None


def _memory_mib(site: Site, partition: SitePartition, name: str) -> int | None:
    """Return a memory field of the partition, else of the configuration, in MiB.

    None: unlimited or not stated.
    """
    text = partition.fields.get(name) or site.config.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None
