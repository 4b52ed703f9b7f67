"""Measure how far estimated ED and ES frames and contours are from the truth, on the phantom.

    python -m tests.benchmarks.phases           trains a network first: some minutes; results are
                                                printed, and kept
    python -m tests.benchmarks.phases --tiny    every step of it at its smallest size, to see that
                                                it runs

The phantom knows its heart in every frame: other beats' ED and ES too, and the true contour of
frames that are not traced.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echolm.config import parse_config
from echolm.datasets.phantom.anatomy import trace
from echolm.datasets.phantom.generate import Beat, draw_beat, generate_phantom
from echolm.geometry import (
    area,
    contour_from_chords,
    dice_from_overlap,
    ejection_fraction,
    method_of_disks,
    overlap,
)
from echolm.predict import Cine, ContourPredictor
from echolm.predict.contour_video import film
from echolm.stores.clips import ClipStore
from echolm.stores.items import Item
from echolm.stores.prepare_clips import prepare
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from tests.benchmarks.measure import circumstances
from tests.benchmarks.report import RESULTS, write

SEED = 1
"""Seed of the phantom."""
STEP = 4
"""Frames between the candidates of the rival rule."""
CLOSE = 2
"""Frames that count as close."""
RUN: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "all",
    "head": "mlp",
}
SLOTS = ("ED", "ES")
PREDICT, RIVAL, CHANCE = "echolm predict", "rival", "chance"
RULES = {
    PREDICT: "echolm predict",
    RIVAL: f"the one clip with the largest ED area minus ES area, of pairs of every {STEP}th frame",
    CHANCE: "two frames at random",
}
"""Rule that chooses two frames -> its name in the results."""
LINE = "on a line between the contours of ED and ES (what the video does not do)"

Pair = tuple[int, int]
"""A frame for ED and one for ES."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A test video, its truth, and what was estimated of it."""

    item: Item
    cine: Cine
    beat: Beat
    pairs: dict[str, Pair]
    agreement: float
    passes: int

    @property
    def traced(self) -> Pair:
        """ED and ES frame of the tracings."""
        return self.item.values["ed"], self.item.values["es"]

    def contour(self, frame: int) -> np.ndarray:
        """Return the true contour of a frame, 40 x 2."""
        return contour_from_chords(trace(self.beat.heart, self.beat.motion, frame))

    def contours(self, pair: Pair) -> np.ndarray:
        """Return the true contours of two frames, 2 x 40 x 2."""
        return np.stack([self.contour(frame) for frame in pair])

    def nearest(self, pair: Pair) -> list[int]:
        """Count frames from ED to the nearest ED of any beat, and from ES to the nearest ES."""
        contraction = self.beat.motion.contraction
        distances = []
        for phase, frame in enumerate(pair):
            frames = np.flatnonzero(np.isclose(contraction, phase))
            distances.append(int(np.abs(frames - frame).min()))
        return distances

    def recovered(self, pair: Pair) -> float:
        """Return how much of the heart's contraction lies between two frames, in percent.

        It is 100 at true ED and ES of any beat.
        """
        ed, es = self.beat.motion.contraction[list(pair)]
        return float(100 * (es - ed))


def main() -> None:
    """Measure, print, and keep what was printed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="the smallest sizes: the figures mean nothing, and are not kept",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    videos, epochs = (24, 2) if options.tiny else (900, 40)
    sections: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for title, lines in _sections(Path(folder), videos, epochs):
            print("\n  ".join([title, *lines]), flush=True)
            sections[title] = lines
    if not options.tiny:
        write(options.out, "phases", {"circumstances": circumstances(), "sections": sections})


def _sections(folder: Path, videos: int, epochs: int) -> Iterator[tuple[str, list[str]]]:
    """Train a network on a phantom, then measure."""
    workspace = Workspace(folder / "workspace")
    source = folder / "phantom"
    generate_phantom(source, videos, seed=SEED)
    store_folder = workspace.store("phantom")
    store = prepare("echonet-dynamic", source, store_folder, workers=1, progress=False)
    training = {"epochs": epochs, "batch_size": 20, "optimizer": {"name": "adam", "lr": 1e-3}}
    run = prepare_run(parse_config(RUN | training), workspace)
    fit([run])
    metrics = (run.record.summary() or {})["metrics"]
    dice = ", ".join(f"{slot} {metrics[f'test/dice/{slot}']:.1f} %" for slot in SLOTS)
    network = (
        f"tiny-r3d, all of it trained for {epochs} epochs, mlp head;"
        f" phantom of {videos} videos, seed {SEED}; Dice {dice}"
    )
    yield "Network", [network]
    predictor = ContourPredictor(run.record, workspace)
    began = time.process_time()
    clips = list(_clips(predictor, store, source / "Videos", videos))
    seconds = (time.process_time() - began) / len(clips)
    nearest, traced = [], []
    for rule, name in RULES.items():
        nearest.append(_errors(name, [clip.nearest(clip.pairs[rule]) for clip in clips]))
        apart = [np.abs(np.subtract(clip.pairs[rule], clip.traced)) for clip in clips]
        traced.append(_errors(name, apart))
    title = "Frames from ED and ES to the nearest true ones of any beat"
    yield f"{title}, median over {len(clips)} test videos", nearest
    yield "Frames from ED and ES to the traced ones, which may be another beat's", traced
    yield "Share of the heart's contraction between the two frames", _recovered(clips)
    yield "Cost", [_cost(clips, seconds)]
    yield "Contours at the estimated frames", list(_contours(predictor, clips))
    yield "Contours between ED and ES (contour video)", list(_between(predictor, clips))


def _clips(
    predictor: ContourPredictor, store: ClipStore, videos: Path, count: int
) -> Iterator[Clip]:
    """Choose two frames of each test video by each rule."""
    beats = {}
    for number in range(count):
        beat = draw_beat(SEED, number, number)
        beats[beat.name] = beat
    rng = np.random.default_rng(0)
    for item in store.items:
        if item.split != "test":
            continue
        cine = predictor.read(videos / f"{item.sample}.avi")
        beat = beats[item.sample]
        assert (beat.motion.ed, beat.motion.es) == (item.values["ed"], item.values["es"])
        estimate = predictor.predict_estimated(cine).estimate
        assert estimate
        ed, es = rng.integers(0, len(cine.frames), 2).tolist()
        pairs = {
            PREDICT: (estimate.ed, estimate.es),
            RIVAL: _rival(predictor, cine),
            CHANCE: (ed, es),
        }
        yield Clip(item, cine, beat, pairs, estimate.agreement, estimate.passes)


def _rival(predictor: ContourPredictor, cine: Cine) -> Pair:
    """Choose the pair whose one clip has the largest ED area minus ES area."""
    frames = range(0, len(cine.frames), STEP)
    pairs = list(itertools.permutations(frames, 2))
    ed_areas, es_areas = area(predictor.contours(cine, pairs)).T
    return pairs[int((ed_areas - es_areas).argmax())]


def _errors(name: str, errors: Sequence[Sequence[int] | np.ndarray]) -> str:
    """Spell errors in frames of one rule, those of ED and of ES."""
    texts = []
    for slot, frames in zip(SLOTS, np.array(errors).T, strict=True):
        close = 100 * np.mean(frames <= CLOSE)
        further = f"mean {frames.mean():.1f}; within {CLOSE}: {close:.0f} %"
        texts.append(f"{slot} {np.median(frames):.0f} ({further})")
    return f"{name}: {', '.join(texts)}"


def _mean_recovered(clips: Sequence[Clip], rule: str) -> str:
    shares = [clip.recovered(clip.pairs[rule]) for clip in clips]
    return f"{np.mean(shares):.0f} %"


def _recovered(clips: list[Clip]) -> list[str]:
    """Spell what lies between the frames of each rule, and by thirds of the agreement."""
    lines = [f"{name}: {_mean_recovered(clips, rule)}" for rule, name in RULES.items()]
    order = sorted(clips, key=lambda clip: clip.agreement)
    thirds = []
    for third in range(3):
        part = order[len(order) * third // 3 : len(order) * (third + 1) // 3]
        if part:
            span = f"{100 * part[0].agreement:.0f}-{100 * part[-1].agreement:.0f} %"
            thirds.append(f"agreement {span}: {_mean_recovered(part, PREDICT)}")
    text = "; ".join(thirds)
    return [*lines, f"echolm predict, by thirds of the agreement it prints: {text}"]


def _cost(clips: list[Clip], seconds: float) -> str:
    """Spell what estimating costs a video."""
    passes = [clip.passes for clip in clips]
    frames = np.mean([len(clip.cine.frames) for clip in clips])
    return (
        f"echolm predict: {np.mean(passes):.0f} forward passes a video (at most {max(passes)}) of"
        f" {frames:.0f} frames on average;"
        f" reading the video and both rules: {seconds:.2f} s of CPU"
    )


def _contours(predictor: ContourPredictor, clips: list[Clip]) -> Iterator[str]:
    """Compare with the true contours of the frames themselves, wherever they are in the beat."""
    truth = np.stack([clip.contours(clip.traced) for clip in clips])
    true_fractions = ejection_fraction(*method_of_disks(truth).T)
    errors = []
    for name in ("traced", "estimated"):
        predicted, true = [], []
        for clip in clips:
            pair = clip.traced if name == "traced" else clip.pairs[PREDICT]
            predicted.append(predictor.contours(clip.cine, [pair])[0])
            true.append(clip.contours(pair))
        contours = np.stack(predicted)
        dice = _dice(np.stack(true).reshape(-1, 40, 2), contours.reshape(-1, 40, 2))
        ed, es = dice.reshape(-1, 2).mean(0)
        yield f"at the {name} frames: Dice ED {ed:.1f} %, ES {es:.1f} %"
        fractions = ejection_fraction(*method_of_disks(contours).T)
        errors.append(np.abs(fractions - true_fractions).mean())
    errors.append(np.abs(true_fractions.mean() - true_fractions).mean())
    yield (
        f"ejection fraction by disks, mean error in points: {errors[0]:.1f} at the traced frames,"
        f" {errors[1]:.1f} at the estimated ones,"
        f" {errors[2]:.1f} with the mean ejection fraction for all videos"
    )


def _between(predictor: ContourPredictor, clips: list[Clip]) -> Iterator[str]:
    """Compare contours of frames strictly between the traced ED and ES."""
    truth: list[np.ndarray] = []
    ways: dict[str, list[np.ndarray]] = {
        "as the video draws them": [],
        "all as the ED end": [],
        "all as the ES end": [],
        LINE: [],
    }
    for clip in clips:
        ed, es = clip.traced
        numbers = []
        for drawn in film(predictor, clip.cine, ed, es):
            if drawn.number not in (ed, es):
                numbers.append(drawn.number)
                truth.append(clip.contour(drawn.number))
                ways["as the video draws them"].append(drawn.contour)
        as_ed = predictor.contours(clip.cine, [(number, es) for number in numbers])
        as_es = predictor.contours(clip.cine, [(ed, number) for number in numbers])
        ways["all as the ED end"] += list(as_ed[:, 0])
        ways["all as the ES end"] += list(as_es[:, 1])
        ends = predictor.contours(clip.cine, [(ed, es)])[0]
        shares = ((np.array(numbers) - ed) / (es - ed))[:, None, None]
        ways[LINE] += list((1 - shares) * ends[0] + shares * ends[1])
    for name, contours in ways.items():
        dice = _dice(np.stack(truth), np.stack(contours)).mean()
        yield f"{name}: Dice {dice:.1f} % over {len(contours)} frames"


def _dice(truth: np.ndarray, contours: np.ndarray) -> np.ndarray:
    """Return Dice of pairs of contours, percent."""
    return 100 * dice_from_overlap(*overlap(truth, contours, 112))


if __name__ == "__main__":
    main()
