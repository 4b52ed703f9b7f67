"""Whether a Ray cluster has room for a job, and for how many at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cluster.ray.gang import request
from echolm.errors import EchoLMError
from grid.plan import Resources


def capacity(needs: Resources) -> int:
    """How many such jobs the whole cluster could run at once, 1 at least."""
    return max(1, sum(_ranks(node, needs) for node in _nodes()) // needs.ranks)


def check_room(needs: Resources) -> None:
    """EchoLMError when the cluster could not run such a job even if it were idle: Ray would wait for ever."""
    nodes = _nodes()
    if sum(_ranks(node, needs) for node in nodes) >= needs.ranks:
        return
    own = request(needs)
    wanted = _words({"CPU": own["num_cpus"], "GPU": own["num_gpus"], "memory": own.get("memory", 0)})
    has = "; ".join(f"{node['NodeManagerAddress']}: {_words(node['Resources'])}" for node in nodes)
    ranks = f"{needs.ranks} ranks of " if needs.ranks > 1 else ""
    raise EchoLMError(f"the Ray cluster has no room for {ranks}{wanted}; its nodes are {has}. Ask for less: --threads, --gpus, --ranks, --memory-gb")


def avoided(addresses: Collection[str], needs: Resources) -> list[str]:
    """The ids of the nodes at these addresses; none where the others could not run such a job even if they were idle."""
    nodes = _nodes()
    bad = [node["NodeID"] for node in nodes if node["NodeManagerAddress"] in addresses]
    others = [node for node in nodes if node["NodeID"] not in bad]
    return bad if sum(_ranks(node, needs) for node in others) >= needs.ranks else []


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _ranks(node: dict[str, Any], needs: Resources) -> int:
    """How many ranks a node could hold."""
    own = request(needs)
    pairs = (("CPU", own["num_cpus"]), ("GPU", own["num_gpus"]), ("memory", own.get("memory", 0)))
    return int(min(node["Resources"].get(name, 0) // amount for name, amount in pairs if amount))


def _words(resources: dict[str, Any]) -> str:
    cpus, gpus, memory = (resources.get(name, 0) for name in ("CPU", "GPU", "memory"))
    parts = [_counted(cpus, "CPU"), _counted(gpus, "GPU") if gpus else "", f"{memory / 1e9:.0f} GB" if memory else ""]
    return ", ".join(part for part in parts if part)


def _counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
