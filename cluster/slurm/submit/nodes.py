"""Find which of a job's nodes are down, and how many may be avoided so that jobs still fit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluster.profile import Profile
from cluster.slurm.check.nodes import hostnames, is_list, node_rows
from cluster.slurm.check.site import GONE, listed
from cluster.slurm.commands import run

_FIELD = re.compile(r"(\w+)=(\S*)")


def down_nodes_of(nodes: str) -> str:
    """Return the nodes of a job that are down, as ``n1,n3``, where one of them ended the job.

    A job's only node is returned without a look. '' when SLURM does not say which are down.
    """
    if not is_list(nodes):
        return nodes
    down = set()
    for name, state in node_rows("%N|%T", "--all", "--nodes", nodes):
        if state.startswith(GONE) or "*" in state:
            down.add(name)
    return ",".join(sorted(down))


def nodes_to_exclude(nodes: Sequence[str], profile: Profile, needed: int) -> tuple[str, ...]:
    """Return as many of the nodes to avoid as leave enough others to a job.

    Half of the nodes that suit the profile are left, and as many as a job needs.

    Args:
        nodes: the nodes to avoid, the last one to fail first.
        profile: the site's profile.
        needed: how many nodes a job needs.

    Returns:
        The nodes, sorted. None of them when sinfo does not say how many there are.
    """
    if not nodes:
        return ()
    suitable = set()
    for name, features, gpus in node_rows("%N|%f|%G", "--partition", profile.partition):
        if _suits(profile, features, gpus):
            suitable.add(name)
    for text in profile.exclude:
        suitable.difference_update(hostnames(text))
    avoidable = [node for node in nodes if node in suitable]
    return tuple(sorted(avoidable[: _most(len(suitable), needed)]))


def exclude_for_waiting_job(job: str, nodes: str) -> None:
    """Let a waiting job not start on these nodes (``n1,n3``) either.

    Half of its partition, and what the job needs, is left to it. Where SLURM refuses, the job
    starts wherever there is room.
    """
    shown = run(["scontrol", "show", "job", "-o", job]).stdout
    fields = dict(_FIELD.findall(shown))
    partition = {name for (name,) in node_rows("%N", "--partition", fields.get("Partition", ""))}
    excluded = {*hostnames(fields.get("ExcNodeList", "")), *nodes.split(",")}
    number = re.match(r"\d+", fields.get("NumNodes", ""))
    needed = int(number[0]) if number else 1
    if len(excluded) <= _most(len(partition), needed):
        names = ",".join(sorted(excluded))
        run(["scontrol", "update", f"JobId={job}", f"ExcNodeList={names}"])


def _suits(profile: Profile, features: str, gpus: str) -> bool:
    """Tell whether a node is of the kind that the profile asks for.

    A constraint that is more than one feature is not looked at.
    """
    if profile.gpu_type is not None and f":{profile.gpu_type}:" not in gpus:
        return False
    if profile.constraint and re.fullmatch(r"[\w.-]+", profile.constraint):
        return profile.constraint in listed(features)
    return True


def _most(nodes: int, needed: int) -> int:
    """Return how many of ``nodes`` nodes may be avoided."""
    return max(0, min(nodes // 2, nodes - needed))
