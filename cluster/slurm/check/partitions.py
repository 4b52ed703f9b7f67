"""Check a profile's partitions: that they are there, take jobs, and have nodes as stated."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.profile import Profile
from cluster.slurm.check.finding import Finding, error, ok, warning
from cluster.slurm.check.site import Nodes, Site
from echolm.text import suggest

ROUNDING_GIB = 0.5
"""So much less memory than stated is rounding."""


def check_partition(profile: Profile, name: str, site: Site) -> Iterator[Finding]:
    """Check that a partition is there, takes jobs, and has nodes as the profile says.

    What the default partition lacks is an error.
    """
    is_default = name == profile.partition
    topic = f"partition {name}"
    bad = error if is_default else warning
    if name not in site.partitions:
        remedy = f"correct partitions: {suggest(name, site.partitions)}"
        yield bad(topic, "the site has none of this name", remedy)
        return
    partition = site.partitions[name]
    state = partition.fields.get("State", "UP")
    if state != "UP":
        yield bad(
            topic,
            f"its state is {state}: it starts no jobs",
            "choose another partition, or ask the site",
        )
    stated, longest = profile.partitions[name].max_minutes, partition.max_minutes
    if longest is not None and (stated is None or stated > longest):
        yield warning(
            topic,
            f"max_minutes is {stated or 'no limit'}, the site's MaxTime {longest} minutes",
            f"write max_minutes: {longest}",
        )
    nodes = site.nodes_of(name)
    suitable = [group for group in nodes if _holds(group, profile, name)]
    yield _check_hardware(profile, name, nodes, suitable)
    if suitable and is_default:
        yield from _check_constraint(profile, suitable)
        yield from _check_gpu_option(profile, site)


def _check_hardware(
    profile: Profile, name: str, nodes: list[Nodes], suitable: list[Nodes]
) -> Finding:
    """Check how many of a partition's nodes are as the profile says."""
    topic = f"partition {name}"
    stated = _stated_hardware(profile, name)
    if not suitable:
        kinds = dict.fromkeys(_describe(group) for group in nodes)
        bad = error if name == profile.partition else warning
        return bad(
            topic,
            f"no node has {stated}; the site has {'; '.join(kinds) or 'no nodes'}",
            "correct partitions to what nodes have",
        )
    total, fitting = _count(nodes), _count(suitable)
    usable = _count([group for group in suitable if group.usable])
    if not usable:
        states = ", ".join(sorted({group.state for group in suitable}))
        return warning(
            topic,
            f"none of its {fitting} nodes with {stated} is in service ({states})",
            "jobs wait; why: sinfo -R",
        )
    if fitting < total:
        return warning(
            topic,
            f"{fitting} of its {total} nodes have {stated}",
            "fine if the others are not meant; else use constraint or exclude",
        )
    return ok(topic, f"{fitting} nodes with {stated} or more, {usable} in service")


def _holds(nodes: Nodes, profile: Profile, name: str) -> bool:
    """Tell whether nodes have what the profile states."""
    stated = profile.partitions[name]
    if nodes.cpus < stated.cpus_per_node:
        return False
    if nodes.memory_gb < stated.memory_gb_per_node - ROUNDING_GIB:
        return False
    return nodes.gpus_of(profile.gpu_type) >= stated.gpus_per_node


def _stated_hardware(profile: Profile, name: str) -> str:
    stated = profile.partitions[name]
    gpu_type = f"{profile.gpu_type} " if profile.gpu_type else ""
    return _hardware(
        stated.gpus_per_node, gpu_type, stated.cpus_per_node, stated.memory_gb_per_node
    )


def _describe(nodes: Nodes) -> str:
    gpu_types = "".join(f"{type_} " for type_ in nodes.gpus if type_)
    hardware = _hardware(nodes.gpus_of(None), gpu_types, nodes.cpus, nodes.memory_gb)
    return f"{nodes.count} x ({hardware})"


def _hardware(gpus: int, gpu_type: str, cpus: int, memory_gb: float) -> str:
    words = f"{cpus} CPUs, {memory_gb:.4g} GiB"
    return f"{gpus} {gpu_type}GPUs, {words}" if gpus else words


def _count(groups: list[Nodes]) -> int:
    return sum(group.count for group in groups)


def _check_constraint(profile: Profile, nodes: list[Nodes]) -> Iterator[Finding]:
    """Check that every feature which the constraint names is one of these nodes'."""
    known: set[str] = set()
    for group in nodes:
        known.update(group.features)
    for name in re.findall(r"[A-Za-z_][\w.-]*", profile.constraint or ""):
        if name not in known:
            yield error(
                "constraint",
                f"no such node of partition {profile.partition} has the feature {name!r}",
                suggest(name, known),
            )


def _check_gpu_option(profile: Profile, site: Site) -> Iterator[Finding]:
    """Check that --gpus-per-node is understood: it is by select/cons_tres alone."""
    select = site.config.get("SelectType", "select/cons_tres")
    is_used = profile.has.gpus_per_node and profile.gpu_option == "gpus-per-node"
    if is_used and select != "select/cons_tres":
        yield error(
            "gpu_option",
            f"--gpus-per-node needs select/cons_tres; the site has {select}",
            "write gpu_option: gres",
        )
