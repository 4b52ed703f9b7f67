"""A gang: the ranks of one slot, as actors that Ray places, and the unit they have. One rank is a gang too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cluster.ray.deaths import Death, classify, classify_start
from cluster.ray.worker import Place, Rank, Settings
from grid.plan import Report, Resources, Unit

GRACE_S = 10.0
"""Seconds that the ranks have to stop by themselves when one of them is lost."""
NODE = "ray.io/node-id"
"""The label with which Ray names a node."""


class Gang:
    """Waits for Ray to place it, then trains one unit after another. ``avoid``: ids of nodes that are taken only when no other
    has room (several ranks: never)."""

    def __init__(self, settings: Settings, needs: Resources, environment: dict[str, str], avoid: Sequence[str] = ()) -> None:
        import ray

        self.unit: Unit | None = None
        self.ready = False
        self.settings = settings
        self.death: Death | None = None
        """What ended it, in its unit or before it was ready."""
        self.stopped = ""
        """What interrupted the unit, by the ranks' own words."""
        self._deadline = 0.0
        self._where: list[dict[str, Any]] = []
        self._streams: dict[Any, int] = {}
        """What is waited for -> the rank that it is to come from."""
        self._asked: set[Any] = set()
        """Of these, what ranks are to answer that Ray cannot reach."""
        self._group = _place(needs, avoid)
        actor = ray.remote(Rank)
        options = {**request(needs), "max_concurrency": 3, "runtime_env": {"env_vars": environment}}
        self._logs = [settings.log.with_suffix(f".{rank}.log") if rank else settings.log for rank in range(needs.ranks)]
        self._actors = [
            actor.options(**options, **_bundle(self._group, rank, avoid)).remote(replace(settings, log=log)) for rank, log in enumerate(self._logs)
        ]
        self._starts = {member.ready.remote(): rank for rank, member in enumerate(self._actors)}
        self._found: dict[int, dict[str, Any]] = {}

    @property
    def over(self) -> bool:
        """Whether it has a unit whose ranks have all ended."""
        return self.unit is not None and not self._streams

    @property
    def names(self) -> list[str]:
        """Its processes: node address and process id."""
        return [f"{found['host']}:{found['pid']}" for found in self._where]

    @property
    def hosts(self) -> list[str]:
        """The node address of each rank."""
        return [found["host"] for found in self._where]

    def waits_for(self) -> list[Any]:
        """What Ray is to be asked for: reports of its ranks, or that they have started."""
        return [*self._streams] if self.ready else [*self._starts]

    def give(self, unit: Unit, cells: Sequence[str], micro_batch: int | None) -> None:
        """Start those cells of a unit."""
        import ray

        self.unit, self.death, self.stopped = unit, None, ""
        world, host, port = len(self._actors), "", 0
        if world > 1:
            try:
                host, port = ray.get(self._actors[0].open.remote(world))
            except ray.exceptions.ActorUnavailableError:
                return self._ask(0)
            except ray.exceptions.RayError as error:
                return self._lose(0, error)
        before: Counter[str] = Counter()
        for rank, (actor, found) in enumerate(zip(self._actors, self._where, strict=True)):
            place = Place(rank, world, before[found["node"]], host, port)
            before[found["node"]] += 1
            self._streams[actor.train.remote(list(cells), micro_batch, place)] = rank

    def hear(self, item: Any, report: Callable[[Report], None]) -> None:
        """Take what Ray says is there."""
        if not self.ready:
            return self._hear_start(item)
        import ray

        rank = self._streams[item]
        try:
            news = ray.get(next(item) if isinstance(item, ray.ObjectRefGenerator) else item)
        except StopIteration:
            del self._streams[item]
        except ray.exceptions.ActorUnavailableError:
            del self._streams[item]
            self._ask(rank)
        except ray.exceptions.RayError as error:
            del self._streams[item]
            self._lose(rank, error)
        else:
            if news.event != "over":
                return report(news)
            if news.facts["stopped"]:
                self._streams.pop(item)
                self.stopped = self.stopped or news.facts["stopped"]
                self._deadline = self._deadline or time.monotonic() + GRACE_S

    def stop(self) -> None:
        """Let its runs checkpoint and stop."""
        for actor in self._actors:
            actor.stop.remote()

    def hurry(self) -> None:
        """End ranks that have not stopped a while after one was lost. One that Ray cannot reach is waited for: what it died of
        is what the unit died of."""
        if self._streams and self._deadline and time.monotonic() > self._deadline and not self._asked & self._streams.keys():
            self.kill()

    def kill(self) -> None:
        """End its processes at once and give their resources back."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        if self._group is not None:
            ray.util.remove_placement_group(self._group)
            self._group = None

    def _hear_start(self, item: Any) -> None:
        import ray

        rank = self._starts.pop(item)
        try:
            self._found[rank] = ray.get(item)
        except ray.exceptions.RayError as error:
            self.death = self.death or replace(classify_start(error), log=self._logs[rank])
        if not self._starts and not self.death:
            self._where, self.ready = [self._found[rank] for rank in sorted(self._found)], True

    def _ask(self, rank: int) -> None:
        """Ask a rank that Ray cannot reach: Ray answers when it knows what became of it."""
        again = self._actors[rank].over.remote()
        self._streams[again] = rank
        self._asked.add(again)

    def _lose(self, rank: int, error: Exception) -> None:
        """A rank is gone. What the first one died of is what the gang died of."""
        import ray

        found = self._where[rank]
        node = next((node for node in ray.nodes() if node["NodeID"] == found["node"]), None)
        self.death = self.death or replace(classify(error, found["host"], node), log=self._logs[rank])
        self._deadline = self._deadline or time.monotonic() + GRACE_S


def request(needs: Resources) -> dict[str, Any]:
    """What Ray is asked for, for one rank."""
    memory = {} if needs.memory_gb is None else {"memory": int(needs.memory_gb * 1e9 / needs.ranks)}
    return {"num_cpus": needs.threads, "num_gpus": needs.gpus / needs.ranks, **memory}


def _place(needs: Resources, avoid: Sequence[str]) -> Any:
    """A placement group with one bundle a rank; None for a single rank."""
    if needs.ranks == 1:
        return None
    import ray

    own = request(needs)
    bundle = {"CPU": own["num_cpus"], "GPU": own["num_gpus"], "memory": own.get("memory", 0)}
    bundles = [{key: value for key, value in bundle.items() if value}] * needs.ranks
    others = [_label("!in", avoid)] * needs.ranks if avoid else None
    return ray.util.placement_group(bundles, strategy="PACK", bundle_label_selector=others)


def _bundle(group: Any, rank: int, avoid: Sequence[str]) -> dict[str, Any]:
    """The options that put a rank into its bundle; without bundles, onto another node than those to avoid, or onto one of them."""
    if group is None:
        return {"label_selector": _label("!in", avoid), "fallback_strategy": [{"label_selector": _label("in", avoid)}]} if avoid else {}
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)}


def _label(word: str, nodes: Sequence[str]) -> dict[str, str]:
    return {NODE: f"{word}({', '.join(nodes)})"}
