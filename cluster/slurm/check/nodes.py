"""Read the names and states of a cluster's nodes, and check those that a profile leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.profile import Profile
from cluster.slurm.check.finding import Finding, error, ok
from cluster.slurm.check.site import listed
from cluster.slurm.commands import run
from echolm.text import suggest


def check_exclude(profile: Profile) -> Iterator[Finding]:
    """Check that the nodes to avoid are nodes of the cluster: sbatch refuses others."""
    cluster_nodes = {name for (name,) in node_rows("%N", "--all")}
    if not cluster_nodes:
        return
    written_as = {}
    for text in profile.exclude:
        for name in hostnames(text) or [text]:
            written_as[name] = text
    unknown = sorted(written_as.keys() - cluster_nodes)
    for name in unknown:
        text = f"the cluster has no node {name!r}"
        if written_as[name] != name:
            text += f" of {written_as[name]}"
        yield error("exclude", text, suggest(name, cluster_nodes))
    if written_as and not unknown:
        yield ok("exclude", f"{len(written_as)} of {len(cluster_nodes)} nodes of the cluster")


def is_list(text: str) -> bool:
    """Tell whether a text names several nodes, or may: ``n1,n3`` or ``n[1-2]``."""
    return re.search(r"[\[,]", text) is not None


def hostnames(text: str) -> list[str]:
    """Return the nodes of a list as SLURM folds it (``n[1-2],m5``).

    The list is empty where scontrol does not say.
    """
    if not is_list(text):
        return listed(text)
    return run(["scontrol", "show", "hostnames", text]).stdout.split()


def node_rows(fields: str, *options: str) -> list[list[str]]:
    """Ask sinfo about nodes. A node has one or more rows.

    Args:
        fields: sinfo's format with ``|`` between the fields, as ``%N|%T``.
        options: which nodes.

    Returns:
        The fields of each row. Nothing when sinfo does not answer.
    """
    command = ["sinfo", "--noheader", "--Node", *options, f"--format={fields}"]
    rows = []
    for line in run(command).stdout.splitlines():
        row = [part.strip() for part in line.split("|")]
        if len(row) == fields.count("|") + 1:
            rows.append(row)
    return rows
