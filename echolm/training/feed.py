"""Feeds: where the loop gets its batches from, and what they are at the cut.

The loop and the evaluation know a feed by its protocol alone. ``ClipFeed`` reads clips from a store
and passes them through the trunk. ``echolm.training.stored_feed`` keeps what it gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from echolm.arithmetic import Arithmetic
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.memory_format import clip_format
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.tasks import Batch
from echolm.training.batches import Batches, ClipRequest, check_pixels
from echolm.training.prepare import PreparedRun
from echolm.training.trunk import CutStates, Trunk


@dataclass(frozen=True)
class FeedRequest:
    """What a feed is called with. See ``Feed.__call__``."""

    rows: np.ndarray
    epoch: int | None
    window: int | None = None


class Feed(Protocol):
    """Gives batches of store rows, and the state of each at the cut."""

    store: ClipStore
    """Which samples there are: its items, splits and facts."""
    keys: np.ndarray
    """uint64 keys of the store's samples, one a row."""

    def __call__(
        self, rows: np.ndarray, epoch: int | None, window: int | None = None
    ) -> tuple[Batch, CutStates]:
        """Return the batch of store rows (B,), and what the member's tails take.

        Args:
            rows: rows of the store, none or more.
            epoch: whose views are drawn. None: nothing is drawn, for evaluation.
            window: which of the clip's passes of the final evaluation it is. None: there is one.

        Returns:
            The clips may lie in memory that the next call overwrites.
        """
        ...

    def announce(self, requests: Iterable[FeedRequest]) -> None:
        """Say what will be asked for next, in order: a feed may read ahead.

        What was announced before does not count any more. Results do not depend on it.
        """
        ...

    def close(self) -> None:
        """End what goes on beside the calls."""
        ...

    def targets(self, rows: np.ndarray) -> Batch:
        """Return the batch without augmentation, when only its targets are needed."""
        ...

    def through_trunk(self, rows: np.ndarray, cuts: Sequence[int]) -> tuple[Batch, CutStates]:
        """Return a batch without augmentation, read and passed to ``cuts`` now."""
        ...


class ClipFeed:
    """Reads clips, augments them, and passes them through the trunk.

    Args:
        batches: assembles the batches.
        trunk: the stages before the cuts.
        view_seed: what clip and augmentation draw from.
        views: ``fresh`` in every epoch, or a number of fixed ones in turn.
        arithmetic: how the trunk computes.
    """

    def __init__(
        self,
        batches: Batches,
        trunk: Trunk,
        view_seed: int,
        views: Literal["fresh"] | int,
        arithmetic: Arithmetic = Arithmetic(),  # noqa: B008 - it is frozen
    ) -> None:
        self.store = batches.store
        self.keys = batches.keys
        self.batches = batches
        self.trunk = trunk
        self._view_seed = view_seed
        self._views = views
        self._arithmetic = arithmetic
        self._pass = trunk
        if arithmetic.compile and trunk.cuts[-1]:
            self._pass = torch.compile(trunk)  # type: ignore[call-overload]

    def __call__(
        self, rows: np.ndarray, epoch: int | None, window: int | None = None
    ) -> tuple[Batch, CutStates]:
        """Return the batch of store rows (B,), and its clips' states at the cuts."""
        return self.pass_to(rows, epoch, window, self.trunk.cuts)

    def pass_to(
        self, rows: np.ndarray, epoch: int | None, window: int | None, cuts: Sequence[int]
    ) -> tuple[Batch, CutStates]:
        """Do the same for some of the trunk's cuts, ascending."""
        batch = self.batch(rows, epoch, window)
        context = {} if batch.frames is None else {"frames": batch.frames}
        with self._arithmetic.autocast(self.batches.device):
            return batch, self._pass(batch.clips, context, cuts)

    def batch(self, rows: np.ndarray, epoch: int | None, window: int | None = None) -> Batch:
        """Return the batch, without a pass through the trunk."""
        return self.batches.batch(rows, self._view(rows, epoch), window)

    def through_trunk(self, rows: np.ndarray, cuts: Sequence[int]) -> tuple[Batch, CutStates]:
        """Return a batch that is read and passed to ``cuts`` now."""
        return self.pass_to(rows, None, None, cuts)

    def announce(self, requests: Iterable[FeedRequest]) -> None:
        """Read the clips of these requests ahead."""
        self.batches.announce(self._clip_requests(requests))

    def _clip_requests(self, requests: Iterable[FeedRequest]) -> Iterator[ClipRequest]:
        for request in requests:
            view = self._view(request.rows, request.epoch)
            yield ClipRequest(request.rows, view, request.window)

    def _view(self, rows: np.ndarray, epoch: int | None) -> np.ndarray | None:
        """Return what clips and augmentation draw from in an epoch."""
        if epoch is None:
            return None
        return self.batches.view_keys(rows, self._view_seed, epoch, self._views)

    def close(self) -> None:
        """Read nothing ahead any more."""
        self.batches.close()

    def targets(self, rows: np.ndarray) -> Batch:
        """Return the batch without augmentation, without a pass through the trunk."""
        return self.batches.batch(rows, None)


def open_feed(
    prepared: PreparedRun,
    network: EncoderNetwork,
    cuts: int | Sequence[int],
    device: torch.device,
    arithmetic: Arithmetic = Arithmetic(),  # noqa: B008 - it is frozen
) -> ClipFeed:
    """Open the feed of runs that share their batches.

    Args:
        prepared: one of the runs.
        network: the encoder with its first weights.
        cuts: for each run the position before which nothing of its encoder trains.
        device: where batches and trunk are.
        arithmetic: how the trunk computes.

    Raises:
        EchoLMError: the store cannot be read, holds other data than the runs were prepared for, or
            has pixels of another scale.
    """
    config = prepared.config
    store = ClipStore.open(prepared.store, prepared.cache)
    if store.fingerprint != prepared.keys["data"]:
        raise EchoLMError(
            f"{prepared.store}: holds other data than when this run was prepared; launch it again, "
            "as a run of the new data"
        )
    check_pixels(store, config.encoder)
    batches = Batches(
        store,
        config.goal,
        config.encoder,
        config.augmentation,
        device,
        config.clip,
        keeps_buffer=True,
        memory_format=clip_format(config.encoder, device),
    )
    trunk = Trunk(network, *([cuts] if isinstance(cuts, int) else cuts))
    return ClipFeed(batches, trunk, config.view, config.views, arithmetic)
