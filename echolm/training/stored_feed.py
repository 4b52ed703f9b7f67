"""A feed that passes each clip once through the trunk, and keeps its states at the cuts.

States depend on the clip alone where nothing is drawn: in validation and test, and in training
without augmentation or with a number of fixed views. A state is made in one batch and no other,
whichever batch asks for it first: that of the clip's first epoch, or of its place in the split. So
a run that is continued, or trained with others, has bitwise the same states. They equal those of a
pass in every epoch to rounding: a product of matrices may round a row otherwise when the rows
around it are others.

Each rank keeps what comes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.randomness import order
from echolm.stores.clips import ClipStore
from echolm.tasks import Batch
from echolm.training.cohorts import Compute
from echolm.training.distributed import Ranks
from echolm.training.feed import ClipFeed, Feed, FeedRequest
from echolm.training.kept_states import KeptStates, PassPlan, parts_of
from echolm.training.keyed_dropout import KeyedUniform
from echolm.training.run_handle import RunHandle
from echolm.training.shelf import Shelf, memory_budget, scratch_folders
from echolm.training.trunk import CutStates

Config = FinetuneConfig | PretrainConfig
Key = tuple[str, int | None, int | None]
"""Split, view and window."""


class StoredFeed:
    """Reads and passes clips that come for the first time, and keeps what they gave.

    Args:
        source: reads clips and passes them.
        configs: of the members.
        rows: the store rows of each split.
        ranks: this process among others.
        micro_batch: samples a rank pushes at once. None: all of its share.
        shelf: gives the room.
        tell: is told in words when there is none.
    """

    def __init__(
        self,
        source: ClipFeed,
        configs: Sequence[Config],
        rows: dict[str, np.ndarray],
        ranks: Ranks,
        micro_batch: int | None,
        shelf: Shelf,
        tell: Callable[[str], None],
    ) -> None:
        self.source = source
        self.store: ClipStore = source.store
        self.keys = source.keys
        self._config = configs[0]
        self._rows = rows
        self._ranks = ranks
        self._micro_batch = micro_batch
        self._shelf = shelf
        self._tell = tell
        self._fields = fields_read(configs)
        self._views = views_kept(configs)
        self._are_finished_apart = len(configs) > 1
        self._split_of: dict[int, str] = {}
        for split, rows_of_split in rows.items():
            self._split_of.update(dict.fromkeys(rows_of_split.tolist(), split))
        self._kept: dict[Key, KeptStates] = {}
        self._targets: dict[bytes, Batch] = {}
        self._draws: bool | None = None

    def __call__(
        self, rows: np.ndarray, epoch: int | None, window: int | None = None
    ) -> tuple[Batch, CutStates]:
        """Return the batch of store rows (B,), and its clips' states at the cuts."""
        kept = self._kept_states(rows, epoch, window)
        if kept is None:
            return self.source(rows, epoch, window)
        layout = kept.layout
        for batch_rows in kept.to_pass(rows):
            batch, states = self.source(batch_rows, layout.epoch, layout.window)
            kept.put(batch_rows, batch, states)
            if np.array_equal(batch_rows, rows):
                # Sums of kept states may round otherwise: they lie in memory in another order. So
                # those are given that later epochs, and a run that is continued, are given.
                kept_states = kept.states(rows, self.source.batches.device)
                return batch, CutStates({**states.by_cut, **kept_states})
        return self._read(kept, rows)

    def announce(self, requests: Iterable[FeedRequest]) -> None:
        """Read ahead the clips that will have to be passed."""
        self.source.announce(self._to_read(requests))

    def _to_read(self, requests: Iterable[FeedRequest]) -> Iterator[FeedRequest]:
        for request in requests:
            kept = self._kept_states(request.rows, request.epoch, request.window)
            if kept is None:
                yield request
                continue
            batches = list(kept.to_pass(request.rows))
            if not batches and kept.cuts_to_pass(self.source.trunk.cuts):
                batches = [request.rows]
            for rows in batches:
                yield FeedRequest(rows, kept.layout.epoch, kept.layout.window)

    def close(self) -> None:
        """Read nothing ahead any more."""
        self.source.close()

    def targets(self, rows: np.ndarray) -> Batch:
        """Return the batch without augmentation, when only its targets are needed.

        Every member that asks has the same answer.
        """
        key = rows.tobytes()
        if key not in self._targets:
            parts = {}
            for name, part in parts_of(self.source.targets(rows)).items():
                parts[name] = part.clone()  # else it holds the pixels that it came with
            self._targets[key] = self._batch(rows, parts, None, None)
        return self._targets[key]

    def through_trunk(self, rows: np.ndarray, cuts: Sequence[int]) -> tuple[Batch, CutStates]:
        """Return a batch that is read and passed to ``cuts`` now, whatever is kept."""
        return self.source.through_trunk(rows, cuts)

    def _read(self, kept: KeptStates, rows: np.ndarray) -> tuple[Batch, CutStates]:
        """Put a batch together from what is kept. Only what is not is passed again."""
        layout, device = kept.layout, self.source.batches.device
        states = kept.states(rows, device)
        cuts = kept.cuts_to_pass(self.source.trunk.cuts)
        if cuts:
            batch, passed = self.source.pass_to(rows, layout.epoch, layout.window, cuts)
            states.update(passed.by_cut)
        else:
            parts = kept.parts(rows, device)
            batch = self._batch(rows, parts, layout.epoch, layout.window)
        return batch, CutStates(states)

    def _batch(
        self, rows: np.ndarray, parts: dict[str, Tensor], epoch: int | None, window: int | None
    ) -> Batch:
        return KeptBatch(self.source, rows, parts, epoch, window)

    # Where states are kept

    def _kept_states(
        self, rows: np.ndarray, epoch: int | None, window: int | None
    ) -> KeptStates | None:
        """Return what is kept of a batch's pass, None where nothing is."""
        key = self._key(rows, epoch, window)
        if key is None or self._trunk_draws():
            return None
        if key not in self._kept:
            self._kept[key] = KeptStates(
                self._layout(*key), len(self.keys), self._shelf, self._fields, self._tell
            )
        kept = self._kept[key]
        return kept if kept.holds(rows) else None

    def _key(self, rows: np.ndarray, epoch: int | None, window: int | None) -> Key | None:
        """Return what a batch's states are kept under, None where they are not."""
        split = self._split_of.get(int(rows[0])) if len(rows) else None
        if split is None:
            return None
        if split == "train":
            if not self._views or window is not None:
                return None
            if epoch is None:
                return (split, 0, None) if is_unaugmented(self._config) else None
            return split, epoch % self._views, None
        is_final = split != "val" or window is not None
        if epoch is not None or (is_final and not self._are_finished_apart):
            return None
        return split, None, window

    def _layout(self, split: str, view: int | None, window: int | None) -> PassPlan:
        """Say in which batches the rows of a split are passed."""
        size = self._config.batch_size
        rows = self._rows[split]
        if view is None:
            return PassPlan(chunks(self._ranks.shard(rows), size), None, window)
        rows = rows[order(self.keys[rows], self._config.order, view)]
        batches = []
        for step in chunks(rows, size):
            for share in np.array_split(step, self._ranks.world):
                batches += chunks(share, self._micro_batch or size)
        return PassPlan(batches, view)

    def _trunk_draws(self) -> bool:
        """Tell whether a stage of the trunk draws, or would change: then nothing may be kept."""
        if self._draws is None:
            self._draws = False
            for stage in self.source.trunk.stages():
                for module in stage.modules():
                    self._draws |= module.training or isinstance(module, KeyedUniform)
        return self._draws


class KeptBatch(Batch):
    """A batch whose clips are read when they are asked for. Most goals never ask."""

    def __init__(
        self,
        source: ClipFeed,
        rows: np.ndarray,
        parts: dict[str, Tensor],
        epoch: int | None,
        window: int | None,
    ) -> None:
        self._source = source
        self._asked: tuple[Any, ...] = (rows, epoch, window)
        self.items = [source.store.items[int(row)] for row in rows]
        self.points = parts["points"]
        self.frames = parts.get("frames")
        self.targets = {}
        for name, part in parts.items():
            if name.startswith("target "):
                self.targets[name.removeprefix("target ")] = part

    @property
    def clips(self) -> Tensor:  # type: ignore[override]
        """Read the clips, B x 3 x T x H x W."""
        return self._source.batch(*self._asked).clips


def keep_states(
    source: ClipFeed,
    runs: Sequence[RunHandle],
    rows: dict[str, np.ndarray],
    ranks: Ranks,
    compute: Compute,
) -> Feed:
    """Return the feed of a cohort, which keeps states where that saves passes.

    Args:
        source: reads clips and passes them.
        runs: the members' runs, whose logs say when there is no room.
        rows: the store rows of each split.
        ranks: this process among others.
        compute: how the runs are computed.
    """
    if source.trunk.cuts[-1] == 0:
        return source

    def tell(text: str) -> None:
        for run in runs:
            run.log(text)

    budget = compute.states_bytes
    if budget is None:
        budget = memory_budget(ranks.world)  # they may all be on this host
    shelf = Shelf(budget, scratch_folders(runs[0].prepared.cache))
    configs = [run.config for run in runs]
    return StoredFeed(source, configs, rows, ranks, compute.micro_batch, shelf, tell)


def chunks(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Divide rows into batches of ``size``. The last may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def is_unaugmented(config: Config) -> bool:
    """Tell whether a training clip is the same in every epoch, and in evaluation."""
    return config.augmentation.name == "none" and not config.clip.draws


def views_kept(configs: Sequence[Config]) -> int:
    """Return how many views of each training clip there are. 0: none comes a second time."""
    config = configs[0]
    views = config.views
    if is_unaugmented(config):
        views = 1
    if views == "fresh":
        return 0
    passes = max(member.epochs for member in configs)
    fitted = [getattr(member, "head", None) for member in configs]
    if any(head is not None and head.closed_form for head in fitted):
        passes += 1  # the fit reads them before the first epoch
    return views if passes > views else 0


def fields_read(configs: Sequence[Config]) -> set[str]:
    """Return the fields of Features that fusions and heads of the members read."""
    fields: set[str] = set()
    for config in configs:
        if isinstance(config, FinetuneConfig):
            takes_features = config.head.takes == "features"
            fields.update(config.head.needs if takes_features else config.fusion.needs)
    return fields
