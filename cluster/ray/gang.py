"""Hold the ranks of one slot, as actors that Ray places, and the unit that they have.

One rank is a gang too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.ray.worker import Rank, RankPlace, WorkerSettings
from cluster.ray.worker_loss import WorkerLoss, classify, classify_start
from grid.units import Report, Resources, Unit

GRACE_S = 10.0
"""Seconds that the ranks have to stop by themselves when one of them is lost."""
NODE = "ray.io/node-id"
"""The label with which Ray names a node."""


class Gang:
    """Waits for Ray to place its ranks, then trains one unit after another.

    Args:
        settings: what all units of its workers share.
        needs: of one unit.
        environment: variables of the workers.
        avoid: ids of nodes that are taken only when no other has room. Several ranks never take
            them.

    Attributes:
        unit: what it trains now.
        ready: whether all its ranks have started.
        loss: what ended it, in its unit or before it was ready.
        stopped: what interrupted the unit, by the ranks' own words.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        needs: Resources,
        environment: dict[str, str],
        avoid: Sequence[str] = (),
    ) -> None:
        import ray

        self.unit: Unit | None = None
        self.ready = False
        self.settings = settings
        self.loss: WorkerLoss | None = None
        self.stopped = ""
        self._deadline = 0.0
        """When ranks that have not stopped are ended. 0 while nobody has to stop."""
        self._processes: list[dict[str, Any]] = []
        """Where each rank is, when all have started: what ``Rank.ready`` returns."""
        self._streams: dict[Any, int] = {}
        """What is waited for -> the rank that it is to come from."""
        self._asked: set[Any] = set()
        """Of these, what ranks are to answer that Ray cannot reach."""
        self._group = _placement_group(needs, avoid)
        self._logs = [_log_of(settings, rank) for rank in range(needs.ranks)]
        actor = ray.remote(Rank)
        options = {**request(needs), "max_concurrency": 3, "runtime_env": {"env_vars": environment}}
        self._actors: list[Any] = []
        for rank, log in enumerate(self._logs):
            placed = actor.options(**options, **_placement(self._group, rank, avoid))
            self._actors.append(placed.remote(replace(settings, log=log)))
        self._starts = {member.ready.remote(): rank for rank, member in enumerate(self._actors)}
        self._started: dict[int, dict[str, Any]] = {}

    @property
    def over(self) -> bool:
        """Whether it has a unit whose ranks have all ended."""
        return self.unit is not None and not self._streams

    @property
    def names(self) -> list[str]:
        """Its processes: node address and process id."""
        return [f"{process['host']}:{process['pid']}" for process in self._processes]

    @property
    def hosts(self) -> list[str]:
        """The node address of each rank."""
        return [process["host"] for process in self._processes]

    def waits_for(self) -> list[Any]:
        """Return what Ray is to be asked for: reports of its ranks, or that they have started."""
        return list(self._streams if self.ready else self._starts)

    def give(self, unit: Unit, cells: Sequence[str], micro_batch: int | None) -> None:
        """Start those cells of a unit."""
        import ray

        self.unit, self.loss, self.stopped = unit, None, ""
        world, host, port = len(self._actors), "", 0
        if world > 1:
            try:
                host, port = ray.get(self._actors[0].open.remote(world))
            except ray.exceptions.ActorUnavailableError:
                self._ask(0)
                return
            except ray.exceptions.RayError as error:
                self._lose(0, error)
                return
        ranks_on_node: Counter[str] = Counter()
        for rank, actor in enumerate(self._actors):
            node = self._processes[rank]["node"]
            place = RankPlace(rank, world, local=ranks_on_node[node], host=host, port=port)
            ranks_on_node[node] += 1
            self._streams[actor.train.remote(unit.only(cells), micro_batch, place)] = rank

    def take(self, item: Any, report: Callable[[Report], None]) -> None:
        """Take what Ray says is there.

        Args:
            item: one of ``waits_for()``.
            report: is called when it is a report.
        """
        if not self.ready:
            self._take_start(item)
            return
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
                report(news)
            elif news.facts["stopped"]:
                del self._streams[item]
                self.stopped = self.stopped or news.facts["stopped"]
                self._begin_grace()

    def stop(self) -> None:
        """Let its runs checkpoint and stop."""
        for actor in self._actors:
            actor.stop.remote()

    def end_stragglers(self) -> None:
        """End ranks that have not stopped a while after one was lost.

        One that Ray cannot reach is waited for: what it died of is what the unit died of.
        """
        if not self._streams or not self._deadline:
            return
        waits_for_answer = not self._asked.isdisjoint(self._streams)
        if time.monotonic() > self._deadline and not waits_for_answer:
            self.kill()

    def kill(self) -> None:
        """End its processes at once and give their resources back."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        if self._group is not None:
            ray.util.remove_placement_group(self._group)
            self._group = None

    def _take_start(self, item: Any) -> None:
        import ray

        rank = self._starts.pop(item)
        try:
            self._started[rank] = ray.get(item)
        except ray.exceptions.RayError as error:
            self.loss = self.loss or replace(classify_start(error), log=self._logs[rank])
        if not self._starts and not self.loss:
            self._processes = [self._started[rank] for rank in sorted(self._started)]
            self.ready = True

    def _ask(self, rank: int) -> None:
        """Ask a rank that Ray cannot reach: Ray answers when it knows what became of it."""
        answer = self._actors[rank].over.remote()
        self._streams[answer] = rank
        self._asked.add(answer)

    def _lose(self, rank: int, error: Exception) -> None:
        """Note that a rank is gone. What the first one died of is what the gang died of."""
        import ray

        process = self._processes[rank]
        nodes = [node for node in ray.nodes() if node["NodeID"] == process["node"]]
        loss = classify(error, process["host"], nodes[0] if nodes else None)
        self.loss = self.loss or replace(loss, log=self._logs[rank])
        self._begin_grace()

    def _begin_grace(self) -> None:
        self._deadline = self._deadline or time.monotonic() + GRACE_S


def request(needs: Resources) -> dict[str, Any]:
    """Return what Ray is asked for, for one rank, as an actor's options."""
    options: dict[str, Any] = {
        "num_cpus": needs.threads,
        "num_gpus": needs.gpus / needs.ranks,
    }
    if needs.memory_gb is not None:
        options["memory"] = int(needs.memory_gb * 1e9 / needs.ranks)
    return options


def bundle(needs: Resources) -> dict[str, float]:
    """Return the same as Ray counts a node's resources. What is not asked for is left out."""
    options = request(needs)
    resources = {
        "CPU": options["num_cpus"],
        "GPU": options["num_gpus"],
        "memory": options.get("memory", 0),
    }
    return {name: amount for name, amount in resources.items() if amount}


def _log_of(settings: WorkerSettings, rank: int) -> Path:
    return settings.log.with_suffix(f".{rank}.log") if rank else settings.log


def _placement_group(needs: Resources, avoid: Sequence[str]) -> Any:
    """Make a placement group with one bundle a rank. None for a single rank."""
    if needs.ranks == 1:
        return None
    import ray

    bundles = [bundle(needs)] * needs.ranks
    selectors = None
    if avoid:
        selectors = [_label("!in", avoid)] * needs.ranks
    return ray.util.placement_group(bundles, strategy="PACK", bundle_label_selector=selectors)


def _placement(group: Any, rank: int, avoid: Sequence[str]) -> dict[str, Any]:
    """Return the options that put a rank into its bundle.

    Without bundles, it goes onto another node than those to avoid, or else onto one of them.
    """
    if group is not None:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
        return {"scheduling_strategy": strategy}
    if not avoid:
        return {}
    return {
        "label_selector": _label("!in", avoid),
        "fallback_strategy": [{"label_selector": _label("in", avoid)}],
    }


def _label(word: str, nodes: Sequence[str]) -> dict[str, str]:
    return {NODE: f"{word}({', '.join(nodes)})"}
