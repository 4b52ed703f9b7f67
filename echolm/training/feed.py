"""Feeds: where the loop gets its batches from, and what they are at the cut.

The loop and the evaluation know a feed by its protocol alone. Today clips are read from a store and
pass through the trunk. Features that were stored at the cut can come in by another class, without
an edit of the loop: ``open_feed`` is the place that chooses.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch

from echolm.encoders.base import EncoderNetwork, State
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.tasks import Batch
from echolm.training.batches import Batches, check_pixels
from echolm.training.prepare import PreparedRun
from echolm.training.trunk import Trunk


class Feed(Protocol):
    """Gives batches of store rows, and the state of each at the cut."""

    store: ClipStore
    """Which samples there are: its items, splits and facts."""
    keys: np.ndarray
    """uint64 keys of the store's samples, one a row."""

    def __call__(
        self, rows: np.ndarray, epoch: int | None, window: int | None = None
    ) -> tuple[Batch, State]:
        """Return the batch of store rows (B,), and what the member's tails take.

        Args:
            rows: rows of the store, none or more.
            epoch: whose views are drawn. None: nothing is drawn, for evaluation.
            window: which of the clip's passes of the final evaluation it is. None: there is one.
        """
        ...

    def targets(self, rows: np.ndarray) -> Batch:
        """Return the batch without augmentation, when only its targets are needed."""
        ...


class ClipFeed:
    """Reads clips, augments them, and passes them through the trunk.

    Args:
        batches: assembles the batches.
        trunk: the stages before the cut.
        view_seed: what clip and augmentation draw from.
        views: ``fresh`` in every epoch, or a number of fixed ones in turn.
    """

    def __init__(
        self, batches: Batches, trunk: Trunk, view_seed: int, views: Literal["fresh"] | int
    ) -> None:
        self.store = batches.store
        self.keys = batches.keys
        self.batches = batches
        self.trunk = trunk
        self._view_seed = view_seed
        self._views = views

    def __call__(
        self, rows: np.ndarray, epoch: int | None, window: int | None = None
    ) -> tuple[Batch, State]:
        """Return the batch of store rows (B,), and its clips' state at the cut."""
        view = None
        if epoch is not None:
            view = self.batches.view_keys(rows, self._view_seed, epoch, self._views)
        batch = self.batches.batch(rows, view, window)
        context = {} if batch.frames is None else {"frames": batch.frames}
        return batch, self.trunk(batch.clips, context)

    def targets(self, rows: np.ndarray) -> Batch:
        """Return the batch without augmentation, without a pass through the trunk."""
        return self.batches.batch(rows, None)


def open_feed(
    prepared: PreparedRun, network: EncoderNetwork, cut: int, device: torch.device
) -> Feed:
    """Open the feed of runs that share their batches.

    Args:
        prepared: one of the runs.
        network: the encoder with its first weights.
        cut: the position before which nothing trains in any of the runs.
        device: where batches and trunk are.

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
    batches = Batches(store, config.goal, config.encoder, config.augmentation, device, config.clip)
    return ClipFeed(batches, Trunk(network, cut), config.view, config.views)
