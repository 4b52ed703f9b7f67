"""From store rows to what the encoder sees: read, augment or resize, normalise.

All draws are keyed by sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
from echolm.stores.items import Item
from echolm.tasks import Batch, Goal, Sample
from echolm.training.parcel import Parcel
from echolm.training.read_ahead import ReadAhead

BRIGHT = 128
"""A gray value that pictures reach and that no augmentation takes down to ``DARK``."""
DARK = 1
"""The largest gray value of pictures whose pixels were scaled to [0, 1]."""
LOOKED_AT = 8
"""Items of a store whose pixels are looked at before a run."""


_PIXELS = "pixels "
_POINTS = "points "
_TARGET = "target "
"""How the names of arrays begin that go to the device."""


@dataclass(frozen=True, eq=False)
class ClipRequest:
    """What a batch is asked for by. See ``Batches.batch``."""

    rows: np.ndarray
    view: np.ndarray | None
    window: int | None = None

    def __eq__(self, other: object) -> bool:
        """Compare what the arrays hold."""
        if not isinstance(other, ClipRequest) or self.window != other.window:
            return False
        if self.view is None or other.view is None:
            is_same_view = self.view is other.view
        else:
            is_same_view = np.array_equal(self.view, other.view)
        return is_same_view and np.array_equal(self.rows, other.rows)


@dataclass(frozen=True)
class PixelGroup:
    """The clips of a batch whose frames are of one size.

    Attributes:
        parameters: what the augmentation drew. None: it draws nothing.
        bright: whether a pixel is bright.
    """

    parameters: dict[str, np.ndarray] | None
    bright: bool


@dataclass(frozen=True)
class ReadBatch:
    """What was read of a batch.

    Attributes:
        items: its items.
        groups: its clips by the size of their frames.
        parcel: pixels, points, targets and frame numbers, for the device.
    """

    items: list[Item]
    groups: list[PixelGroup]
    parcel: Parcel


class Batches:
    """Assembles batches of one store for one encoder, task or objective, clip and augmentation.

    Attributes:
        keys: uint64 keys of the store's samples, one a row.
        keeps_buffer: whether clips lie in memory that the next batch overwrites.
        memory_format: of that memory.
    """

    def __init__(
        self,
        store: ClipStore,
        goal: Goal,
        encoder: Encoder,
        augmentation: Augmentation,
        device: torch.device,
        clip: Clip = DEFAULT_CLIP,
        keeps_buffer: bool = False,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.store = store
        self.clip = clip
        self.goal = goal
        self.encoder = encoder
        self.augmentation = augmentation
        self.device = device
        self.keeps_buffer = keeps_buffer
        self.memory_format = memory_format
        self.keys = sample_keys([item.sample for item in store.items])
        self._samples: dict[int, Sample] = {}
        self._frames: dict[tuple[int, int | None], np.ndarray] = {}
        """Frames that are the same in every epoch, by row and window."""
        self._scale_checked = False
        self._reader = ReadAhead(self._read)
        self._kept: Tensor | None = None

    def announce(self, requests: Iterable[ClipRequest]) -> None:
        """Say which batches will be asked for next, in order. They are read ahead."""
        self._reader.announce(requests)

    def close(self) -> None:
        """Read nothing ahead any more."""
        self._reader.close()

    def batch(self, rows: np.ndarray, view: np.ndarray | None, window: int | None = None) -> Batch:
        """Assemble the batch of store rows (B,).

        Args:
            rows: rows of the store.
            view: uint64 keys (B,) that the clip and the augmentation draw from. None: nothing is
                drawn, and frames are resized alone.
            window: which of the clip's passes of the final evaluation it is. None: there is one.
        """
        content = self._reader.take(ClipRequest(rows, view, window))
        arrays = content.parcel.send()
        clips, points = self._pixels(content, arrays)
        into = self._buffer(clips) if self.keeps_buffer else None
        targets = {}
        for name, tensor in arrays.items():
            if name.startswith(_TARGET):
                targets[name.removeprefix(_TARGET)] = tensor
        return Batch(
            items=content.items,
            clips=normalise(clips, self.encoder, into),
            points=(points + 0.5) / self.encoder.size,
            targets=targets,
            frames=arrays["frames"],
        )

    def _buffer(self, clips: Tensor) -> Tensor:
        """Return memory for normalised clips, the same in each call."""
        count, frames, height, width = clips.shape
        shape = (3, frames, height, width)
        kept = self._kept
        fits = kept is not None and kept.shape[1:] == shape and kept.dtype == clips.dtype
        if kept is None or not fits or len(kept) < count:
            with torch.inference_mode(False):  # so that training may save it for its gradients
                kept = torch.empty(
                    (count, *shape),
                    dtype=clips.dtype,
                    device=clips.device,
                    memory_format=self.memory_format,
                )
            self._kept = kept
        return kept[:count]

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

    def _read(self, request: ClipRequest) -> ReadBatch:
        """Read what a batch is made of. It is called in the thread that reads ahead.

        Frames of different sizes make groups, which are resized one by one.
        """
        rows, view = request.rows, request.view
        samples = [self._sample(int(row)) for row in rows]
        frames = self._chosen_frames(rows, samples, view, request.window)
        items = [self.store.items[int(row)] for row in rows]
        positions_by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, item in enumerate(items):
            positions_by_size[item.height, item.width].append(position)
        arrays = {"frames": np.stack(frames)}
        for name in samples[0].targets:
            arrays[_TARGET + name] = np.stack([sample.targets[name] for sample in samples])
        groups = []
        for number, positions in enumerate(positions_by_size.values()):
            pixels = np.stack([self.store.read(int(rows[p]), frames[p]) for p in positions])
            arrays[f"{_PIXELS}{number}"] = pixels
            arrays[f"{_POINTS}{number}"] = np.stack([samples[p].points for p in positions])
            parameters = None if view is None else self.augmentation.draw(view[positions])
            groups.append(PixelGroup(parameters, bool(pixels.max(initial=0) >= BRIGHT)))
        if len(groups) > 1:
            grouped_order = np.concatenate(list(positions_by_size.values()))
            arrays["order"] = np.argsort(grouped_order)
        return ReadBatch(items, groups, Parcel(arrays, self.device))

    def _pixels(self, content: ReadBatch, arrays: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Augment or resize: B x T x size x size gray values and B x N x 2 points.

        Groups of frames of one size are put back into the batch's order.
        """
        clip_groups, point_groups = [], []
        for number, group in enumerate(content.groups):
            clips, points = self.augmentation.apply(
                arrays[f"{_PIXELS}{number}"],
                arrays[f"{_POINTS}{number}"],
                self.encoder.size,
                group.parameters,
            )
            if not self._scale_checked and group.bright:
                self._check_scale(clips)
            clip_groups.append(clips)
            point_groups.append(points)
        if len(content.groups) == 1:
            return clip_groups[0], point_groups[0]
        batch_order = arrays["order"]
        return torch.cat(clip_groups)[batch_order], torch.cat(point_groups)[batch_order]

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
