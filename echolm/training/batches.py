"""From store rows to what the encoder sees: read, augment or resize, normalise. All draws are keyed by sample."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from echolm.augmentation import Augmentation
from echolm.config import Data
from echolm.data.store import ClipStore
from echolm.encoders import Encoder
from echolm.encoders.base import normalise
from echolm.randomness import fold, sample_keys
from echolm.tasks import Batch, Sample, Task


class Batches:
    """Assembles batches of one store for one encoder, task and augmentation on one device."""

    def __init__(
        self, store: ClipStore, task: Task, encoder: Encoder, augmentation: Augmentation, device: torch.device
    ) -> None:
        self.store, self.task, self.encoder, self.augmentation, self.device = store, task, encoder, augmentation, device
        self.keys = sample_keys([item.sample for item in store.items])
        self._samples: dict[int, Sample] = {}

    def batch(self, rows: np.ndarray, view: np.ndarray | None) -> Batch:
        """The batch of store rows (B,). ``view``: uint64 keys (B,) to augment with, None to resize alone."""
        samples = [self._sample(int(row)) for row in rows]
        clips, points = self._pixels(rows, samples, view)
        size = self.encoder.size
        names = samples[0].targets
        return Batch(
            items=[self.store.items[int(row)] for row in rows],
            clips=normalise(clips, self.encoder),
            points=(points + 0.5) / size,
            targets={n: torch.as_tensor(np.stack([s.targets[n] for s in samples]), device=self.device) for n in names},
        )

    def view_keys(self, rows: np.ndarray, seed: int, epoch: int, views: int | str) -> np.ndarray:
        """Keys of the augmentation draws: fresh in every epoch, or one of ``views`` fixed ones in turn."""
        return fold(self.keys[rows], "view", seed, epoch if views == "fresh" else epoch % int(views))

    def step_keys(self, rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Keys of the draws inside the network (dropout, stochastic depth) in this epoch."""
        return fold(self.keys[rows], "network", seed, epoch)

    def _sample(self, row: int) -> Sample:
        if row not in self._samples:
            self._samples[row] = self.task.prepare(self.store.items[row], self.encoder.frames)
        return self._samples[row]

    def _pixels(self, rows: np.ndarray, samples: list[Sample], view: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """B x T x size x size gray values and B x N x 2 points; frames of different sizes are resized in groups."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            item = self.store.items[int(row)]
            groups[item.height, item.width].append(place)
        parts = [self._resized(rows[places], [samples[p] for p in places], None if view is None else view[places])
                 for places in map(np.array, groups.values())]  # fmt: skip
        back = torch.as_tensor(np.argsort(np.concatenate(list(groups.values()))), device=self.device)
        if len(parts) == 1:
            return parts[0]
        return torch.cat([clips for clips, _ in parts])[back], torch.cat([points for _, points in parts])[back]

    def _resized(self, rows: np.ndarray, samples: list[Sample], view: np.ndarray | None) -> tuple[Tensor, Tensor]:
        frames = np.stack([self.store.read(int(row), s.frames) for row, s in zip(rows, samples, strict=True)])
        points = torch.as_tensor(np.stack([s.points for s in samples]), device=self.device)
        clips = torch.from_numpy(frames).to(self.device, non_blocking=True)
        parameters = None if view is None else self.augmentation.draw(view)
        return self.augmentation.apply(clips, points, self.encoder.size, parameters)


def training_rows(store: ClipStore, data: Data, split: str) -> np.ndarray:
    """Rows of ``train`` or ``val`` under ``data.fraction``: floor(fraction * n) of them, at least one; nested in the
    fraction, drawn for each split by ``data.subset_seed`` (NLDL 2026 §4.3)."""
    rows = np.array(store.split(split), np.int64)
    if data.fraction == 1.0 or not len(rows):
        return rows
    names = [store.items[int(row)].sample for row in rows]
    chosen = np.argsort(fold(sample_keys(names), "subset", data.subset_seed, split), kind="stable")
    count = max(1, int(data.fraction * len(rows) + 1e-9))
    return np.sort(rows[chosen[:count]])
