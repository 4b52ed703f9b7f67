"""A gang: the ranks of one slot, as actors that Ray places, and the unit they have. One rank is a gang too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cluster.ray.deaths import Death, classify
from cluster.ray.worker import Place, Rank, Settings
from grid.plan import Report, Resources, Unit

GRACE_S = 10.0
"""Seconds that the ranks have to stop by themselves when one of them is lost."""


class Gang:
    """Waits for Ray to place it, then trains one unit after another."""

    def __init__(self, settings: Settings, needs: Resources, environment: dict[str, str]) -> None:
        import ray

        self.unit: Unit | None = None
        self.ready = False
        self.false_start = ""
        """Why it did not become ready, in words."""
        self.settings = settings
        self.death: Death | None = None
        self.stopped = ""
        """What interrupted the unit, by the ranks' own words."""
        self._deadline = 0.0
        self._where: list[dict[str, Any]] = []
        self._streams: dict[Any, int] = {}
        """What is waited for -> the rank that it is to come from."""
        self._group = _place(needs)
        actor = ray.remote(Rank)
        options = {**request(needs), "max_concurrency": 3, "runtime_env": {"env_vars": environment}}
        logs = [settings.log.with_suffix(f".{rank}.log") if rank else settings.log for rank in range(needs.ranks)]
        self._actors = [
            actor.options(**options, **_bundle(self._group, rank)).remote(replace(settings, log=log)) for rank, log in enumerate(logs)
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
            self._streams[self._actors[rank].over.remote()] = rank  # Ray answers when it knows what became of it
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
        """End ranks that have not stopped a while after one was lost."""
        if self._streams and self._deadline and time.monotonic() > self._deadline:
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
            self.false_start = str(error)
        if not self._starts and not self.false_start:
            self._where, self.ready = [self._found[rank] for rank in sorted(self._found)], True

    def _lose(self, rank: int, error: Exception) -> None:
        """A rank is gone. What the first one died of is what the gang died of."""
        import ray

        found = self._where[rank]
        alive = any(node["NodeID"] == found["node"] and node["Alive"] for node in ray.nodes())
        self.death = self.death or classify(error, found["host"], alive)
        self._deadline = self._deadline or time.monotonic() + GRACE_S


def request(needs: Resources) -> dict[str, Any]:
    """What Ray is asked for, for one rank."""
    memory = {} if needs.memory_gb is None else {"memory": int(needs.memory_gb * 1e9 / needs.ranks)}
    return {"num_cpus": needs.threads, "num_gpus": needs.gpus / needs.ranks, **memory}


def _place(needs: Resources) -> Any:
    """A placement group with one bundle a rank; None for a single rank."""
    if needs.ranks == 1:
        return None
    import ray

    own = request(needs)
    bundle = {"CPU": own["num_cpus"], "GPU": own["num_gpus"], "memory": own.get("memory", 0)}
    return ray.util.placement_group([{key: value for key, value in bundle.items() if value}] * needs.ranks, strategy="PACK")


def _bundle(group: Any, rank: int) -> dict[str, Any]:
    """The option that puts a rank into its bundle."""
    if group is None:
        return {}
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)}
