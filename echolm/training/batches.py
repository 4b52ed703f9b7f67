"""From store rows to what the encoder sees: read, augment or resize, normalise.

All draws are keyed by sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from echolm.augmentation import Augmentation
from echolm.clips import Clip
from echolm.clips.ed_to_es import DEFAULT_CLIP
from echolm.encoders import Encoder
from echolm.encoders.base import normalise
from echolm.errors import EchoLMError
from echolm.randomness import fold, sample_keys
from echolm.stores.clips import ClipStore
from echolm.tasks import Batch, Goal, Sample

BRIGHT = 128
"""A gray value that pictures reach and that no augmentation takes down to ``DARK``."""
DARK = 1
"""The largest gray value of pictures whose pixels were scaled to [0, 1]."""
LOOKED_AT = 8
"""Items of a store whose pixels are looked at before a run."""


class Batches:
    """Assembles batches of one store for one encoder, task or objective, clip and augmentation.

    Attributes:
        keys: uint64 keys of the store's samples, one a row.
    """

    def __init__(
        self,
        store: ClipStore,
        goal: Goal,
        encoder: Encoder,
        augmentation: Augmentation,
        device: torch.device,
        clip: Clip = DEFAULT_CLIP,
    ) -> None:
        self.store = store
        self.clip = clip
        self.goal = goal
        self.encoder = encoder
        self.augmentation = augmentation
        self.device = device
        self.keys = sample_keys([item.sample for item in store.items])
        self._samples: dict[int, Sample] = {}
        self._frames: dict[tuple[int, int | None], np.ndarray] = {}
        """Frames that are the same in every epoch, by row and window."""
        self._scale_checked = False

    def batch(self, rows: np.ndarray, view: np.ndarray | None, window: int | None = None) -> Batch:
        """Assemble the batch of store rows (B,).

        Args:
            rows: rows of the store.
            view: uint64 keys (B,) that the clip and the augmentation draw from. None: nothing is
                drawn, and frames are resized alone.
            window: which of the clip's passes of the final evaluation it is. None: there is one.
        """
        samples = [self._sample(int(row)) for row in rows]
        frames = self._chosen_frames(rows, samples, view, window)
        clips, points = self._pixels(rows, samples, frames, view)
        targets = {}
        for name in samples[0].targets:
            values = np.stack([sample.targets[name] for sample in samples])
            targets[name] = torch.as_tensor(values, device=self.device)
        return Batch(
            items=[self.store.items[int(row)] for row in rows],
            clips=normalise(clips, self.encoder),
            points=(points + 0.5) / self.encoder.size,
            targets=targets,
            frames=torch.as_tensor(np.stack(frames), device=self.device),
        )

    def view_keys(self, rows: np.ndarray, seed: int, epoch: int, views: int | str) -> np.ndarray:
        """Return the keys of the draws of clip and augmentation.

        They are fresh in every epoch, or those of one of ``views`` fixed ones in turn.
        """
        number = epoch if views == "fresh" else epoch % int(views)
        return fold(self.keys[rows], "view", seed, number)

    def _sample(self, row: int) -> Sample:
        if row not in self._samples:
            item = self.store.items[row]
            self._samples[row] = self.goal.prepare(item, self.encoder.frames)
        return self._samples[row]

    def _chosen_frames(
        self,
        rows: np.ndarray,
        samples: Sequence[Sample],
        view: np.ndarray | None,
        window: int | None,
    ) -> list[np.ndarray]:
        """Return the original numbers of each sample's frames, an array (T,) int64 a sample."""
        keys: list[int | None] = [None] * len(rows)
        if view is not None and self.clip.draws:
            keys = fold(view, "clip").tolist()
        chosen = []
        for row, sample, key in zip(rows.tolist(), samples, keys, strict=True):
            if sample.frames is not None:
                chosen.append(self._own_frames(sample.frames))
            elif key is not None:
                chosen.append(self._choose(row, key, None))
            else:
                if (row, window) not in self._frames:
                    self._frames[row, window] = self._choose(row, None, window)
                chosen.append(self._frames[row, window])
        return chosen

    def _own_frames(self, frames: np.ndarray) -> np.ndarray:
        """Return the frames that the goal chose, where the run says of no other clip."""
        if self.clip.name != "ed-to-es":
            raise EchoLMError(
                f"{self.goal.name} chooses its frames itself, so clip {self.clip.name} would "
                "change nothing; leave clip out of the run"
            )
        return np.asarray(frames, np.int64)

    def _choose(self, row: int, key: int | None, window: int | None) -> np.ndarray:
        """Let the clip choose the frames of a row."""
        item, count = self.store.items[row], self.encoder.frames
        frames = self.clip.choose(item.frames, item.values, count, key, window)
        if frames.shape != (count,):
            raise EchoLMError(
                f"clip {self.clip.name} chose frames of shape {frames.shape} for {item.sample}; "
                f"valid: ({count},), as encoder {self.encoder.name} reads"
            )
        return frames.astype(np.int64)

    def _pixels(
        self,
        rows: np.ndarray,
        samples: list[Sample],
        frames: list[np.ndarray],
        view: np.ndarray | None,
    ) -> tuple[Tensor, Tensor]:
        """Return B x T x size x size gray values and B x N x 2 points.

        Frames of different sizes are resized in groups, then put back into the batch's order.
        """
        positions_by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, row in enumerate(rows):
            item = self.store.items[int(row)]
            positions_by_size[item.height, item.width].append(position)
        clip_groups, point_groups = [], []
        for positions in positions_by_size.values():
            group_points = np.stack([samples[position].points for position in positions])
            group_pixels = [self.store.read(int(rows[p]), frames[p]) for p in positions]
            group_view = None if view is None else view[positions]
            clips, points = self._resized(np.stack(group_pixels), group_points, group_view)
            clip_groups.append(clips)
            point_groups.append(points)
        if len(clip_groups) == 1:
            return clip_groups[0], point_groups[0]
        grouped_order = np.concatenate(list(positions_by_size.values()))
        batch_order = torch.as_tensor(np.argsort(grouped_order), device=self.device)
        return torch.cat(clip_groups)[batch_order], torch.cat(point_groups)[batch_order]

    def _resized(
        self, pixels: np.ndarray, points: np.ndarray, view: np.ndarray | None
    ) -> tuple[Tensor, Tensor]:
        """Augment or resize frames of one size (B x T x H x W uint8) and their points."""
        clips = torch.from_numpy(pixels).to(self.device, non_blocking=True)
        parameters = None if view is None else self.augmentation.draw(view)
        resized, moved = self.augmentation.apply(
            clips,
            torch.as_tensor(points, device=self.device),
            self.encoder.size,
            parameters,
        )
        if not self._scale_checked and pixels.max() >= BRIGHT:
            self._check_scale(resized)
        return resized, moved

    def _check_scale(self, clips: Tensor) -> None:
        """Raise EchoLMError when the augmentation scaled the pixels of bright frames to [0, 1].

        It is asked once: nothing waits for the device in later batches.
        """
        self._scale_checked = True
        if float(clips.max()) <= DARK:
            raise EchoLMError(
                f"augmentation {self.augmentation.name} gave pixels in [0, 1]; valid: 0 to 255, "
                f"which are then scaled as encoder {self.encoder.name} reads them "
                f"({self.encoder.scale})"
            )


def check_pixels(store: ClipStore, encoder: Encoder) -> None:
    """Look at a few items of a store, and refuse one whose pixels were scaled to [0, 1].

    To an encoder all of its pictures would be black.

    Raises:
        EchoLMError: no pixel that was looked at exceeds 1.
    """
    rows = np.unique(np.linspace(0, len(store.items) - 1, LOOKED_AT).astype(np.int64))
    for row in rows.tolist():
        frames = store.items[row].frames
        middle = frames[len(frames) // 2 :][:1]
        if store.read(row, middle).max() > DARK:
            return
    raise EchoLMError(
        f"{store.path}: no pixel of {len(rows)} items exceeds {DARK}: its frames seem to be scaled "
        f"to [0, 1], and encoder {encoder.name} is given 0 to 255; prepare it from files whose "
        "pixels span 0 to 255"
    )
