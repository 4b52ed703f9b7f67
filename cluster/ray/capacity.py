"""Say whether a Ray cluster has room for a job, and for how many at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from cluster.ray.gang import bundle
from echolm.errors import EchoLMError
from echolm.text import counted
from grid.units import Resources


def capacity(needs: Resources) -> int:
    """Return how many such jobs the whole cluster could run at once, 1 at least."""
    return max(1, _ranks_on(_alive_nodes(), needs) // needs.ranks)


def check_room(needs: Resources) -> None:
    """Check that the cluster could run such a job if it were idle. Else Ray would wait for ever.

    Raises:
        EchoLMError: it could not.
    """
    nodes = _alive_nodes()
    if _ranks_on(nodes, needs) >= needs.ranks:
        return
    request = _words(bundle(needs))
    if needs.ranks > 1:
        request = f"{needs.ranks} ranks of {request}"
    has = [f"{node['NodeManagerAddress']}: {_words(node['Resources'])}" for node in nodes]
    raise EchoLMError(
        f"the Ray cluster has no room for {request}; its nodes are {'; '.join(has)}. "
        "Ask for less: --threads, --gpus, --ranks, --memory-gb"
    )


def avoided(addresses: Collection[str], needs: Resources) -> list[str]:
    """Return the ids of the nodes at these addresses.

    None of them where the others could not run such a job even if they were idle.
    """
    avoided_ids = []
    others = []
    for node in _alive_nodes():
        if node["NodeManagerAddress"] in addresses:
            avoided_ids.append(node["NodeID"])
        else:
            others.append(node)
    return avoided_ids if _ranks_on(others, needs) >= needs.ranks else []


def _alive_nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _ranks_on(nodes: Iterable[dict[str, Any]], needs: Resources) -> int:
    """Return how many ranks the nodes could hold together if they were idle."""
    return sum(_ranks_on_node(node["Resources"], needs) for node in nodes)


def _ranks_on_node(resources: dict[str, float], needs: Resources) -> int:
    ranks = [resources.get(name, 0) // amount for name, amount in bundle(needs).items()]
    return int(min(ranks))


def _words(resources: dict[str, float]) -> str:
    """Spell CPUs, GPUs and memory: ``2 CPUs, 1 GPU, 4 GB``."""
    words = [_number_of(resources.get("CPU", 0), "CPU")]
    if gpus := resources.get("GPU", 0):
        words.append(_number_of(gpus, "GPU"))
    if memory := resources.get("memory", 0):
        words.append(f"{memory / 1e9:.0f} GB")
    return ", ".join(words)


def _number_of(number: float, noun: str) -> str:
    """Spell a number of CPUs or GPUs. Ray counts in floats, and a rank may have half a GPU."""
    if number == int(number):
        return counted(int(number), noun)
    return f"{number:g} {noun}s"
