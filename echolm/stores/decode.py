"""Decoding one item: its files are counted, its frames chosen, read, and made of one size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.mjpeg import index_packets, read_packets
from echolm.media.read import count_frames, format_of, read_video
from echolm.media.reading import Reading, Skipped
from echolm.media.resize import resize_area
from echolm.media.video import check_wanted
from echolm.stores.sampling import SamplingRule, frames_to_store
from echolm.text import counted


@dataclass(frozen=True, eq=False, slots=True)
class DecodeJob:
    """One item to decode.

    Attributes:
        path: its file, or the first of several.
        frames: the numbers of the frames to hold, (T,). None: ``rule`` chooses them once the files
            are counted.
        sizes: each (height, width) that its labels fit. Empty: any.
        index_only: whether the frames' packets are indexed instead of storing what they decode to.
        files: all files of an item of several. Empty: ``path`` alone.
        frame_count: how many frames the files should hold. None: not known.
        rule: the clip rule of an item whose frames are not chosen yet.
        values: the item's values that the rule needs.
        size: side in pixels to which the frames are resized. None: they stay as they are.
        reading: what is done with still images, colour and codecs.
        has_points: whether the item has landmarks, which lie in pictures of one size.
    """

    path: Path
    frames: np.ndarray | None
    sizes: tuple[tuple[int, int], ...] = ()
    index_only: bool = False
    files: tuple[Path, ...] = ()
    frame_count: int | None = None
    rule: SamplingRule | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    reading: Reading = Reading()
    has_points: bool = False

    @property
    def all_files(self) -> tuple[Path, ...]:
        """All files in order, of which there is at least one."""
        return self.files or (self.path,)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a job.

    Attributes:
        height: of its frames, in pixels.
        width: of its frames, in pixels.
        sha256: of its T*H*W bytes.
        error: why it could not be decoded, or ''.
        packets: position, length and checksum of each frame's packet (T, 3), if they were indexed.
        skipped: why it is left out by the dataset's choice, or ''.
        frames: the numbers of its frames, if they were chosen only now.
        shown: (height, width) of its pictures before they were resized. Empty: they were not.
    """

    height: int = 0
    width: int = 0
    sha256: str = ""
    error: str = ""
    packets: list[list[int]] = field(default_factory=list)
    skipped: str = ""
    frames: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)

    @property
    def is_there(self) -> bool:
        """Whether there are frames."""
        return not (self.error or self.skipped)

    def numbers(self, job: DecodeJob) -> np.ndarray:
        """Return the numbers of the frames that are held of ``job``, (T,)."""
        if job.frames is not None:
            return job.frames
        return np.array(self.frames, np.int64)


def decode(job: DecodeJob) -> tuple[Decoded, bytes]:
    """Decode one job: what became of it, and the bytes of its frames."""
    try:
        return _decode(job)
    except Skipped as skipped:
        return Decoded(skipped=str(skipped)), b""
    except EchoLMError as error:
        return Decoded(error=str(error)), b""


def _decode(job: DecodeJob) -> tuple[Decoded, bytes]:
    counts = _counts(job)
    numbers = job.frames
    if numbers is None:
        numbers = _choose(job, sum(counts))
    clips = _read(job, counts, numbers)
    packets = []
    if job.index_only:
        packets = _index(job, clips, numbers)
    _check_sizes(job, clips)
    shown: list[int] = []
    if job.size is not None:
        shown = list(next(iter(clips.values())).shape[1:])
        for file, frames in clips.items():
            clips[file] = resize_area(frames, job.size, job.size)
    frames = np.concatenate(list(clips.values()))
    height, width = frames.shape[1:]
    content = frames.tobytes()
    decoded = Decoded(
        height=height,
        width=width,
        sha256=hashlib.sha256(content).hexdigest(),
        packets=packets,
        frames=[] if job.frames is not None else numbers.tolist(),
        shown=shown,
    )
    return decoded, content


def _counts(job: DecodeJob) -> list[int]:
    """Return how many frames each file has. A single file is believed to have what tables say.

    Raises:
        Skipped: a still image, which is left out by choice.
        EchoLMError: a file cannot be counted, or all have not as many as the tables say.
    """
    if not job.files:
        if job.frame_count is None:
            return [count_frames(job.path, job.reading)]
        if job.frame_count == 1 and job.reading.stills == "skip":
            raise Skipped(f"{job.path}: a still image, skipped: stills=skip")
        return [job.frame_count]
    counts = [count_frames(file, _kept(job.reading)) for file in job.files]
    if job.frame_count not in (None, sum(counts)):
        raise EchoLMError(
            f"{job.path}: it and the item's other files hold {counted(sum(counts), 'frame')}; "
            f"the dataset's tables say {job.frame_count}"
        )
    return counts


def _kept(reading: Reading) -> Reading:
    """Return the reading of files whose stills were skipped already, or are parts of a clip."""
    return replace(reading, stills="keep")


def _choose(job: DecodeJob, count: int) -> np.ndarray:
    if job.rule is None:
        raise TypeError("a job has frames, or a rule that chooses them")
    return frames_to_store(job.rule, job.values, count)


def _read(job: DecodeJob, counts: list[int], numbers: np.ndarray) -> dict[int, np.ndarray]:
    """Read the frames ``numbers``, ascending where there are several files.

    Returns:
        T x H x W of each file that holds some, by its place among the files.
    """
    reading = _kept(job.reading)
    if not job.files:
        return {0: read_video(job.path, numbers.tolist(), reading=reading).frames}
    check_wanted(job.path, numbers.tolist(), sum(counts))
    clips = {}
    start = 0
    for place, (file, count) in enumerate(zip(job.files, counts, strict=True)):
        here = numbers[(numbers >= start) & (numbers < start + count)]
        if len(here):
            clips[place] = read_video(file, (here - start).tolist(), reading=reading).frames
        start += count
    return clips


def _check_sizes(job: DecodeJob, clips: Mapping[int, np.ndarray]) -> None:
    """Raise EchoLMError unless the pictures are of sizes that the item can have."""
    sizes = set()
    for place, frames in clips.items():
        size = frames.shape[1:]
        sizes.add(size)
        reason = why_of_another_size(size, job.sizes)
        if reason:
            raise EchoLMError(f"{job.all_files[place]}: {reason}")
    if len(sizes) == 1:
        return
    listed = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
    if job.has_points:
        raise EchoLMError(
            f"{job.path}: it and the item's other files are of several sizes ({listed}), so that "
            "its landmarks fit no picture of both"
        )
    if job.size is None:
        raise EchoLMError(
            f"{job.path}: it and the item's other files are of several sizes ({listed}); "
            "make them one: --size N"
        )


def why_of_another_size(size: tuple[int, ...], valid: Sequence[tuple[int, int]]) -> str:
    """Say that a picture is not of a size that its labels fit, or ''.

    Args:
        size: (height, width) of the picture, in pixels.
        valid: each (height, width) that the labels fit. Empty: any.
    """
    if not valid or size in valid:
        return ""
    height, width = size
    sizes = " or ".join(f"{w} x {h}" for h, w in valid)
    return f"is {width} x {height} pixels; its labels are for {sizes}"


def _index(job: DecodeJob, clips: Mapping[int, np.ndarray], numbers: np.ndarray) -> list[list[int]]:
    """Index the packets of the frames of one file, and make certain that they decode to these."""
    if not job.files and format_of(job.path).indexable:
        packets = _packets(job, numbers)
        if packets is not None and _decode_to(packets, job.path, clips[0], numbers):
            rows: list[list[int]] = packets.tolist()
            return rows
    raise EchoLMError(
        f"{job.path}: its frames cannot be read by index; store them: prepare without --index-only"
    )


def _packets(job: DecodeJob, numbers: np.ndarray) -> np.ndarray | None:
    """Return the packets of frames of a video. None: it is of a codec that is not indexed."""
    try:
        return index_packets(job.path, numbers.tolist())
    except EchoLMError:
        if job.reading.any_codec:  # it was read, so its codec is another than MJPEG
            return None
        raise


def _decode_to(packets: np.ndarray, path: Path, frames: np.ndarray, numbers: np.ndarray) -> bool:
    """Return whether packets, each decoded alone, give the frames that the whole video gives."""
    try:
        alone = read_packets(path, packets, numbers.tolist(), frames.shape[1:])
    except EchoLMError:  # such as a frame of two fields, of which the decoder alone gives one
        return False
    return np.array_equal(alone, frames)
