"""Nodes of a partition: which of a job's nodes is down, and how many may be avoided so that jobs still find a place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cluster.profile import Profile
from cluster.slurm.commands import run
from cluster.slurm.findings import Finding, error, ok
from cluster.slurm.site import GONE, listed
from echolm.registry import suggest

_FIELD = re.compile(r"(\w+)=(\S*)")


def hostnames(text: str) -> list[str]:
    """The nodes of a list as SLURM folds it: ``n[1-2],m5``. None where scontrol does not say."""
    if not re.search(r"[\[,]", text):
        return listed(text)
    return run(["scontrol", "show", "hostnames", text]).stdout.split()


def blamed(nodes: str) -> str:
    """Of the nodes of a job that one of them ended, those that are down, as ``n1,n3``; of one node, that. '' when SLURM does
    not say which."""
    if not re.search(r"[\[,]", nodes):
        return nodes
    return ",".join(sorted({name for name, state in _rows("%N|%T", "--all", "--nodes", nodes) if state.startswith(GONE) or "*" in state}))


def check_exclude(profile: Profile) -> Iterator[Finding]:
    """The nodes to avoid are nodes of the cluster: sbatch refuses others."""
    there = {name for (name,) in _rows("%N", "--all")}
    wanted = {name: text for text in profile.exclude for name in hostnames(text) or [text]}
    unknown = sorted(set(wanted) - there)
    for name in unknown if there else []:
        yield error("exclude", f"the cluster has no node {name!r}" + (f" of {wanted[name]}" if wanted[name] != name else ""), suggest(name, there))
    if wanted and there and not unknown:
        yield ok("exclude", f"{len(wanted)} of {len(there)} nodes of the cluster")


def _rows(fields: str, *which: str) -> list[list[str]]:
    """What sinfo says of nodes, one or more rows each; nothing when it does not answer."""
    lines = run(["sinfo", "--noheader", "--Node", *which, f"--format={fields}"]).stdout.splitlines()
    rows = [[part.strip() for part in line.split("|")] for line in lines]
    return [row for row in rows if len(row) == fields.count("|") + 1]


def spared(nodes: Sequence[str], profile: Profile, needed: int) -> tuple[str, ...]:
    """Of the nodes to avoid, the last one to fail first, as many as leave half of those that suit the profile, and ``needed``
    of them. None when sinfo does not say how many there are."""
    if not nodes:
        return ()
    rows = _rows("%N|%f|%G", "--partition", profile.partition)
    excluded = {name for text in profile.exclude for name in hostnames(text)}
    there = {name for name, features, gpus in rows if _suits(profile, features, gpus)} - excluded
    return tuple(sorted([node for node in nodes if node in there][: _most(len(there), needed)]))


def _suits(profile: Profile, features: str, gpus: str) -> bool:
    """Whether a node is of the kind the profile asks for. A constraint that is more than one feature is not looked at."""
    one = profile.constraint if profile.constraint and re.fullmatch(r"[\w.-]+", profile.constraint) else None
    return (one is None or one in listed(features)) and (profile.gpu_type is None or f":{profile.gpu_type}:" in gpus)


def _most(nodes: int, needed: int) -> int:
    return max(0, min(nodes // 2, nodes - needed))


def avoid(job: str, nodes: str) -> None:
    """Let a waiting job not start on these nodes either, as long as half of its partition, and what it needs, is left to it.
    Where SLURM refuses, it starts wherever there is room."""
    fields = dict(_FIELD.findall(run(["scontrol", "show", "job", "-o", job]).stdout))
    there = {name for (name,) in _rows("%N", "--partition", fields.get("Partition", ""))}
    wanted = {*hostnames(fields.get("ExcNodeList", "")), *nodes.split(",")}
    needed = re.match(r"\d+", fields.get("NumNodes", ""))
    if len(wanted) <= _most(len(there), int(needed[0]) if needed else 1):
        run(["scontrol", "update", f"JobId={job}", f"ExcNodeList={','.join(sorted(wanted))}"])
