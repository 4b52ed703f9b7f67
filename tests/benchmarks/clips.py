"""Read the clips of the landmark task.

Clip stores are held against decoding whole videos, the way of the published loader.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echolm.datasets import scan_dataset
from echolm.datasets.phantom.generate import generate_phantom, write_mjpeg
from echolm.media.read import read_video
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare
from echolm.stores.sampling import ed_to_es
from tests.benchmarks.measure import Comparison, Way, compare

READER = "echonet-dynamic"
Reader = Callable[[int, np.ndarray], np.ndarray]
Clips = list[tuple[int, np.ndarray]]
"""Rows of a store, each with the frames to read."""
FRAMES, VIDEOS = 175, 10_030
"""Mean frames of a video, and videos, of EchoNet-Dynamic."""
CLIP = 16
"""Frames of a clip."""
SPAN = (16, 29)
"""Fewest and most frames from ED to ES."""
MANY = 4000
"""Clips to choose from."""
SPECKLE = 16
"""Most gray values added at random: a frame then takes 3.8 kB, as in EchoNet-Dynamic."""
FRAME_BYTES = 112 * 112
LIMIT_GB = 2.5
"""Most that the landmark clips of all videos may take."""


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Read clips of 16 frames from videos in random order, everything in the page cache."""
    root = folder / "videos"
    long_phantom(root, 3 if tiny else 100, 20 if tiny else FRAMES)
    stored = prepare(READER, root, folder / "clips", workers=1, progress=False)
    whole = prepare(READER, root, folder / "whole", clips="all", workers=1, progress=False)
    indexed = prepare(
        READER, root, folder / "indexed", clips="all", workers=1, progress=False, index_only=True
    )
    from_ed_to_es, anywhere = _clips_from_ed_to_es(stored), _clips_anywhere(whole)
    cv2_name = "published loader's way: cv2 decodes the whole video, then index"
    whole_name = "clip store of whole videos (--clips all)"
    ways = [
        _way(cv2_name, published(root), anywhere, 40, tiny),
        _way("clip store", stored.read, from_ed_to_es, 4000, tiny, 150),
        _way(whole_name, whole.read, anywhere, 4000, tiny, 150),
        _way("index-only store (--index-only)", indexed.read, anywhere, 400, tiny, 10),
        _way("PyAV, decoding the wanted packets (read_video)", unindexed(root), anywhere, 80, tiny),
    ]
    facts: dict[str, object] = {**_sizes(root, stored)}
    facts["largest difference to the loader's green channel, gray values"] = _differ(root, stored)
    title = f"Clip reads ({CLIP} frames of 112 x 112, ED to ES)"
    return [compare(title, "clips", ways, 1 if tiny else 9, **facts)]


def long_phantom(root: Path, videos: int, frames: int) -> None:
    """Make a phantom whose videos run forwards and backwards until they have ``frames`` frames."""
    generate_phantom(root, videos, seed=0)
    rng = np.random.default_rng(0)
    for path in sorted((root / "Videos").iterdir()):
        video = read_video(path)
        there_and_back = np.concatenate([video.frames, video.frames[::-1]])
        repeats = 1 + frames // len(there_and_back)
        long = np.concatenate([there_and_back] * repeats)[:frames].astype(np.int16)
        speckle = rng.integers(-SPECKLE, SPECKLE + 1, long.shape)
        speckled = np.clip(long + speckle, 0, 255).astype(np.uint8)
        write_mjpeg(path, speckled, video.fps or 50)
    with open(root / "FileList.csv", encoding="utf-8", newline="") as file:
        rows = [row | {"NumberOfFrames": frames} for row in csv.DictReader(file)]
    with open(root / "FileList.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def _clips_from_ed_to_es(store: ClipStore) -> Clips:
    """Choose clips from ED to ES, videos in random order."""
    clips = []
    rows = np.random.default_rng(0).integers(0, len(store.items), MANY)
    for row in rows.tolist():
        values = store.items[row].values
        clips.append((row, ed_to_es(values["ed"], values["es"], CLIP)))
    return clips


def _clips_anywhere(store: ClipStore) -> Clips:
    """Choose clips anywhere in a video, as long as from ED to ES in EchoNet-Dynamic."""
    rng = np.random.default_rng(0)
    count = len(store.items[0].frames)
    spans = np.minimum(rng.integers(*SPAN, MANY), count - 1)
    starts = rng.integers(0, count - spans)
    rows = rng.integers(0, len(store.items), MANY)
    clips = []
    for row, start, span in zip(rows.tolist(), starts.tolist(), spans.tolist(), strict=True):
        clips.append((row, ed_to_es(start, start + span, CLIP)))
    return clips


def _way(
    name: str, read: Reader, clips: Clips, count: int, tiny: bool, target: float | None = None
) -> Way:
    chosen = clips[: 2 if tiny else count]

    def run() -> None:
        for row, frames in chosen:
            read(row, frames)

    return Way(name, len(chosen), run, target)


def published(root: Path) -> Reader:
    """Read all frames as RGB into one array, channels first, then take those of the clip."""
    import cv2

    cv2.setNumThreads(1)
    paths = [str(item.path) for item in scan_dataset(READER, root).items]

    def read(row: int, frames: np.ndarray) -> np.ndarray:
        capture = cv2.VideoCapture(paths[row])
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        video = np.empty((count, height, width, 3), np.uint8)
        for number in range(count):
            video[number] = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        capture.release()
        clip: np.ndarray = video.transpose(3, 0, 1, 2)[:, frames]
        return clip

    return read


def unindexed(root: Path) -> Reader:
    """Read the wanted frames of a video by PyAV, from the beginning of the file."""
    paths = [item.path for item in scan_dataset(READER, root).items]
    return lambda row, frames: read_video(paths[row], frames.tolist()).frames


def _differ(root: Path, store: ClipStore) -> int:
    frames = store.items[0].frames
    ours, theirs = store.read(0, frames), published(root)(0, frames)[1]
    return int(np.abs(ours.astype(int) - theirs).max())


def _sizes(root: Path, store: ClipStore) -> dict[str, str]:
    """Measure the videos here, and estimate the landmark clips of all videos of EchoNet-Dynamic.

    No clip holds over 16 frames, and the index is scaled from the one here.
    """
    videos = sorted((root / "Videos").iterdir())
    video_bytes = sum(path.stat().st_size for path in videos) / len(videos)
    frame_bytes = video_bytes / len(read_video(videos[0]).frames)
    index_bytes = (store.path / "index.parquet").stat().st_size / len(store.items)
    clip_bytes = (store.path / "frames.bin").stat().st_size / len(store.items)
    most_gb = VIDEOS * (CLIP * FRAME_BYTES + index_bytes) / 1e9
    here_gb = VIDEOS * (clip_bytes + index_bytes) / 1e9
    verdict = "met" if most_gb <= LIMIT_GB else "BELOW TARGET"
    frames = f"{clip_bytes / FRAME_BYTES:.1f} frames a clip"
    return {
        "videos": f"{len(videos)}, {frame_bytes / 1000:.2f} kB a frame",
        f"landmark clips of {VIDEOS:,} videos": (
            f"at most {most_gb:.2f} GB ({here_gb:.2f} GB at the phantom's mean of {frames}),"
            f" {index_bytes:,.0f} bytes of index a video;"
            f" target at most {LIMIT_GB:g} GB: {verdict}"
        ),
    }
