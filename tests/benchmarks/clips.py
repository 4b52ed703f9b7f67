"""Reading the clips of the landmark task: clip stores against decoding whole videos, the way of the published loader."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echolm.data.clips import ed_to_es
from echolm.data.phantom import phantom, write_mjpeg
from echolm.data.prepare import prepare
from echolm.data.scan import scan
from echolm.data.store import ClipStore
from echolm.data.video import read_video
from tests.benchmarks.measure import Comparison, Way, compare

READER = "echonet-dynamic"
Reader = Callable[[int, np.ndarray], np.ndarray]
Clips = list[tuple[int, np.ndarray]]
FRAMES, VIDEOS = 175, 10_030
"""Of EchoNet-Dynamic: mean frames of a video, videos."""
CLIP, SPAN, MANY = 16, (16, 29), 4000
"""Frames of a clip; frames from ED to ES; clips to choose from."""
SPECKLE = 16
"""Gray values added at random, up to this many: a frame then takes about 3.8 kB, as in EchoNet-Dynamic."""


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Clips of 16 frames from videos in random order, everything in the page cache."""
    root = folder / "videos"
    long_phantom(root, 3 if tiny else 100, 20 if tiny else FRAMES)
    stored = prepare(READER, root, folder / "clips", workers=1, progress=False)
    whole = prepare(READER, root, folder / "whole", clips="all", workers=1, progress=False)
    indexed = prepare(READER, root, folder / "indexed", clips="all", workers=1, progress=False, index_only=True)
    own, drawn = _own_clips(stored), _drawn_clips(whole)
    ways = [
        _way("published loader's way: cv2 decodes the whole video, then index", published(root), drawn, 40, tiny),
        _way("clip store", stored.read, own, 4000, tiny, 150),
        _way("clip store of whole videos (--clips all)", whole.read, drawn, 4000, tiny, 150),
        _way("index-only store (--index-only)", indexed.read, drawn, 400, tiny, 10),
        _way("PyAV, decoding the wanted packets (read_video)", unindexed(root), drawn, 80, tiny),
    ]
    facts = _sizes(root, stored) | {"largest difference to the loader's green channel, gray values": _differ(root, stored)}
    return [compare(f"Clip reads ({CLIP} frames of 112 x 112, ED to ES)", "clips", ways, 1 if tiny else 9, **facts)]


def long_phantom(root: Path, videos: int, frames: int) -> None:
    """A phantom whose videos run forwards and backwards until they have ``frames`` frames."""
    phantom(root, videos, seed=0)
    rng = np.random.default_rng(0)
    for path in sorted((root / "Videos").iterdir()):
        video = read_video(path)
        there = np.concatenate([video.frames, video.frames[::-1]])
        long = np.concatenate([there] * (1 + frames // len(there)))[:frames].astype(np.int16)
        speckled = np.clip(long + rng.integers(-SPECKLE, SPECKLE + 1, long.shape), 0, 255).astype(np.uint8)
        write_mjpeg(path, speckled, video.fps or 50)
    with open(root / "FileList.csv", encoding="utf-8", newline="") as file:
        rows = [row | {"NumberOfFrames": frames} for row in csv.DictReader(file)]
    with open(root / "FileList.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def _own_clips(store: ClipStore) -> Clips:
    """From ED to ES, videos in random order."""
    ends = [(item.values["ed"], item.values["es"]) for item in store.items]
    order = np.random.default_rng(0).integers(0, len(ends), MANY).tolist()
    return [(row, ed_to_es(*ends[row], CLIP)) for row in order]


def _drawn_clips(store: ClipStore) -> Clips:
    """Anywhere in a video, over as many frames as ED and ES are apart in EchoNet-Dynamic."""
    rng = np.random.default_rng(0)
    count = len(store.items[0].frames)
    spans = np.minimum(rng.integers(*SPAN, MANY), count - 1)
    starts = rng.integers(0, count - spans)
    rows = rng.integers(0, len(store.items), MANY).tolist()
    return [(row, ed_to_es(a, a + d, CLIP)) for row, a, d in zip(rows, starts.tolist(), spans.tolist(), strict=True)]


def _way(name: str, read: Reader, clips: Clips, count: int, tiny: bool, target: float | None = None) -> Way:
    wanted = clips[: 2 if tiny else count]

    def run() -> None:
        for row, frames in wanted:
            read(row, frames)

    return Way(name, len(wanted), run, target)


def published(root: Path) -> Reader:
    """All frames as RGB into one array, channels first; then those of the clip."""
    import cv2

    cv2.setNumThreads(1)
    paths = [str(item.path) for item in scan(READER, root).items]

    def read(row: int, frames: np.ndarray) -> np.ndarray:
        capture = cv2.VideoCapture(paths[row])
        size = [int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)]
        video = np.empty((*size, 3), np.uint8)
        for number in range(len(video)):
            video[number] = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        capture.release()
        clip: np.ndarray = video.transpose(3, 0, 1, 2)[:, frames]
        return clip

    return read


def unindexed(root: Path) -> Reader:
    """The wanted frames of a video by PyAV, from the beginning of the file."""
    paths = [item.path for item in scan(READER, root).items]
    return lambda row, frames: read_video(paths[row], frames.tolist()).frames


def _differ(root: Path, store: ClipStore) -> int:
    frames = store.items[0].frames
    ours, theirs = store.read(0, frames), published(root)(0, frames)[1]
    return int(np.abs(ours.astype(int) - theirs).max())


def _sizes(root: Path, store: ClipStore) -> dict[str, str]:
    """Of the videos here, and of the landmark clips of all videos of EchoNet-Dynamic: no clip holds over 16 frames, and
    the index is scaled from the one here."""
    videos = sorted((root / "Videos").iterdir())
    frame = sum(path.stat().st_size for path in videos) / len(videos) / len(read_video(videos[0]).frames)
    index = (store.path / "index.parquet").stat().st_size / len(store.items)
    mean = (store.path / "frames.bin").stat().st_size / len(store.items)
    most, here = (VIDEOS * (bytes_ + index) / 1e9 for bytes_ in (CLIP * 112 * 112, mean))
    verdict = "met" if most <= 2.5 else "BELOW TARGET"
    return {
        "videos": f"{len(videos)}, {frame / 1000:.2f} kB a frame",
        f"landmark clips of {VIDEOS:,} videos": f"at most {most:.2f} GB ({here:.2f} GB at the phantom's mean of "
        f"{mean / 12544:.1f} frames a clip), {index:,.0f} bytes of index a video; target at most 2.5 GB: {verdict}",
    }
