"""A site profile against the site: what is wrong, what is risky, what is as it should be, with a remedy each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.profile import Profile
from cluster.slurm.accounts import check_accounts, check_limits, qos_of
from cluster.slurm.endings import check_accounting, check_preemption, check_signals
from cluster.slurm.findings import Finding, error, ok, warning
from cluster.slurm.site import Nodes, Site, SitePartition
from echolm.registry import suggest


def check_site(profile: Profile, site: Site) -> list[Finding]:
    """All findings about SLURM; folders and the interpreter are ``cluster.slurm.places``."""
    found = [finding for name in profile.partitions for finding in check_partition(profile, name, site)]
    if (partition := site.partitions.get(profile.partition)) is not None:
        for check in (check_time, check_memory, check_nodes, check_accounts, check_preemption):
            found += check(profile, site, partition)
    return [*found, *check_limits(profile, site), *check_signals(profile, site), *check_accounting(site)]


def check_partition(profile: Profile, name: str, site: Site) -> Iterator[Finding]:
    """A partition is there, takes jobs, and has nodes as the profile says. What the default partition lacks is an error."""
    chosen, topic = name == profile.partition, f"partition {name}"
    bad = error if chosen else warning
    if name not in site.partitions:
        return (yield bad(topic, "the site has none of this name", f"correct partitions: {suggest(name, site.partitions)}"))
    state = site.partitions[name].fields.get("State", "UP")
    if state != "UP":
        yield bad(topic, f"its state is {state}: it starts no jobs", "choose another partition, or ask the site")
    stated, longest = profile.partitions[name].max_minutes, site.partitions[name].max_minutes
    if longest is not None and (stated is None or stated > longest):
        yield warning(topic, f"max_minutes is {stated or 'no limit'}, the site's MaxTime {longest} minutes", f"write max_minutes: {longest}")
    fits = [group for group in site.nodes_of(name) if _holds(group, profile, name)]
    yield _nodes(profile, name, site, fits)
    if fits and chosen:
        yield from _constraint(profile, fits)
        yield from _gpu_option(profile, site)


def check_time(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """The job's time limit is one that the partition and the QOS give."""
    limits = {f"MaxTime of partition {partition.name}": partition.max_minutes}
    for qos in qos_of(profile, site, partition):
        limits[f"MaxWall of qos {qos}"] = site.qos[qos].max_minutes if site.qos and qos in site.qos else None
    over = [(what, most) for what, most in limits.items() if most is not None and profile.time_minutes > most]
    for what, most in over:
        yield error("time_minutes", f"{profile.time_minutes} is over {what}, {most} minutes: the jobs never start", f"write time_minutes: {most} or less")
    if not over:
        shown = ", ".join(f"{what} is {most}" for what, most in limits.items() if most is not None) or "the site has no limit"
        yield ok("time_minutes", f"{profile.time_minutes} minutes; {shown}")


def check_nodes(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """How many nodes a job may have, and so how many GPUs or ranks a unit."""
    least, most = (int(text) if text.isdecimal() else None for text in (partition.fields.get(name, "") for name in ("MinNodes", "MaxNodes")))
    each = profile.has.gpus_per_node or profile.has.cpus_per_node // profile.cpus_per_task
    kind = "GPUs" if profile.has.gpus_per_node else "ranks"
    if (least or 0) > 1:
        yield warning("MinNodes", f"{least}: partition {partition.name} refuses jobs of fewer nodes", f"launch with {least} x {each} {kind}, or use another one")
    if most is not None:
        yield ok("MaxNodes", f"{most}: a unit has at most {most * each} {kind} in partition {partition.name}")


def check_memory(profile: Profile, site: Site, partition: SitePartition) -> Iterator[Finding]:
    """The memory asked for is allowed; without it, what the site gives."""
    largest, default = _per_node(site, partition, "MaxMemPerNode"), _per_node(site, partition, "DefMemPerNode")
    per_cpu = _per_node(site, partition, "DefMemPerCPU")
    if profile.memory_gb is not None and largest is not None and profile.memory_gb * 1024 > largest:
        remedy = f"write memory_gb: {largest / 1024:g} or less"
        yield error("memory_gb", f"{profile.memory_gb:g} is over the site's MaxMemPerNode, {largest / 1024:g} GiB", remedy)
    elif profile.memory_gb is not None:
        yield ok("memory_gb", f"{profile.memory_gb:g} GiB on each node")
    elif default is not None or per_cpu is not None:
        gives = f"{default / 1024:g} GiB a node" if default is not None else f"{per_cpu} MiB a CPU"
        yield warning("memory_gb", f"not given: jobs get the site's default, {gives}, and are killed above it", "write memory_gb")
    elif "MEMORY" in site.config.get("SelectTypeParameters", "").upper():
        yield warning("memory_gb", "not given, and the site has no default: each job takes all memory of its nodes", "write memory_gb")
    else:
        yield ok("memory_gb", "not given; the site does not count memory")


def _nodes(profile: Profile, name: str, site: Site, fits: list[Nodes]) -> Finding:
    """How many nodes are as the profile says."""
    topic, nodes = f"partition {name}", site.nodes_of(name)
    has = profile.partitions[name]
    kind = f"{profile.gpu_type} " if profile.gpu_type else ""
    wanted = _hardware(has.gpus_per_node, kind, has.cpus_per_node, has.memory_gb_per_node)
    total, fitting, usable = (_count(groups) for groups in (nodes, fits, [group for group in fits if group.usable]))
    if not fits:
        there = "; ".join(dict.fromkeys(_described(group) for group in nodes)) or "no nodes"
        bad = error if name == profile.partition else warning
        return bad(topic, f"no node has {wanted}; the site has {there}", "correct partitions to what nodes have")
    if not usable:
        states = ", ".join(sorted({group.state for group in fits}))
        return warning(topic, f"none of its {fitting} nodes with {wanted} is in service ({states})", "jobs wait; why: sinfo -R")
    if fitting < total:
        return warning(topic, f"{fitting} of its {total} nodes have {wanted}", "fine if the others are not meant; else use constraint or exclude")
    return ok(topic, f"{fitting} nodes with {wanted} or more, {usable} in service")


def _holds(nodes: Nodes, profile: Profile, name: str) -> bool:
    """Whether nodes have what the profile states. A half GiB less is rounding."""
    has = profile.partitions[name]
    enough = nodes.cpus >= has.cpus_per_node and nodes.memory_gb >= has.memory_gb_per_node - 0.5
    return enough and (not has.gpus_per_node or nodes.gpus_of(profile.gpu_type) >= has.gpus_per_node)


def _described(nodes: Nodes) -> str:
    kinds = "".join(f"{kind} " for kind in nodes.gpus if kind)
    return f"{nodes.count} x ({_hardware(nodes.gpus_of(None), kinds, nodes.cpus, nodes.memory_gb)})"


def _hardware(gpus: int, kind: str, cpus: int, memory: float) -> str:
    return (f"{gpus} {kind}GPUs, " if gpus else "") + f"{cpus} CPUs, {memory:.4g} GiB"


def _count(groups: list[Nodes]) -> int:
    return sum(group.count for group in groups)


def _constraint(profile: Profile, nodes: list[Nodes]) -> Iterator[Finding]:
    """Every feature that the constraint names is one of these nodes'."""
    known = {feature for group in nodes for feature in group.features}
    for name in re.findall(r"[A-Za-z_][\w.-]*", profile.constraint or ""):
        if name not in known:
            yield error("constraint", f"no such node of partition {profile.partition} has the feature {name!r}", suggest(name, known))


def _gpu_option(profile: Profile, site: Site) -> Iterator[Finding]:
    """--gpus-per-node is understood by select/cons_tres alone."""
    select = site.config.get("SelectType", "select/cons_tres")
    if profile.has.gpus_per_node and profile.gpu_option == "gpus-per-node" and select != "select/cons_tres":
        yield error("gpu_option", f"--gpus-per-node needs select/cons_tres; the site has {select}", "write gpu_option: gres")


def _per_node(site: Site, partition: SitePartition, name: str) -> int | None:
    """A memory field of the partition, else of the configuration, MiB; None: unlimited or not stated."""
    text = partition.fields.get(name) or site.config.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None
