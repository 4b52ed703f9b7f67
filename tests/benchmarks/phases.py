"""How far estimated ED and ES frames, and the contours of a contour video, are from the truth, on the phantom.

    python -m tests.benchmarks.phases           trains a network first: some minutes; printed, and kept
    python -m tests.benchmarks.phases --tiny    every step of it at its smallest size, to see that it runs

The phantom knows its heart in every frame: other beats' ED and ES too, and the true contour of frames that are not traced.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echolm.config import parse_config
from echolm.data.phantom import Beat, draw_beat, phantom
from echolm.data.phantom_anatomy import trace
from echolm.data.prepare import prepare
from echolm.data.store import ClipStore, Item
from echolm.geometry import area, contour_from_chords, dice_from_overlap, ejection_fraction, method_of_disks, overlap
from echolm.predict import Cine, Predictor
from echolm.predict.film import film
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from tests.benchmarks.measure import circumstances
from tests.benchmarks.report import RESULTS, write

SEED, STEP, CLOSE = 1, 4, 2
"""Of the phantom; frames between the candidates of the rival rule; frames that count as close."""
RUN: dict[str, Any] = {"data": "phantom", "task": "landmarks", "encoder": "tiny-r3d", "trainable": "all", "head": "mlp"}
SLOTS = ("ED", "ES")
LINE = "on a line between the contours of ED and ES (what the video does not do)"


@dataclass(frozen=True, eq=False)
class Clip:
    """A test video, its truth, and what was estimated of it."""

    item: Item
    cine: Cine
    beat: Beat
    pairs: dict[str, tuple[int, int]]
    agreement: float
    passes: int

    @property
    def traced(self) -> tuple[int, int]:
        """ED and ES frame of the tracings."""
        return self.item.values["ed"], self.item.values["es"]

    def contour(self, frame: int) -> np.ndarray:
        """The true one: 40 x 2."""
        return contour_from_chords(trace(self.beat.heart, self.beat.motion, frame))

    def nearest(self, pair: tuple[int, int]) -> list[int]:
        """Frames from ED to the nearest ED of any beat, and from ES to the nearest ES."""
        contraction = self.beat.motion.contraction
        found = (np.flatnonzero(np.isclose(contraction, phase)) for phase in (0, 1))
        return [int(np.abs(frames - frame).min()) for frames, frame in zip(found, pair, strict=True)]

    def recovered(self, pair: tuple[int, int]) -> float:
        """Percent of the heart's contraction that lies between the two frames; 100 at true ED and ES of any beat."""
        ed, es = self.beat.motion.contraction[list(pair)]
        return float(100 * (es - ed))


def main() -> None:
    """Measure, print, and keep what was printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes: the figures mean nothing, and are not kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for title, lines in _sections(Path(folder), *((24, 2) if options.tiny else (900, 40))):
            print("\n".join([title, *(f"  {line}" for line in lines)]), flush=True)
            found[title] = lines
    if not options.tiny:
        write(options.out, "phases", {"circumstances": circumstances(), "sections": found})


def _sections(folder: Path, videos: int, epochs: int) -> Iterator[tuple[str, list[str]]]:
    workspace = Workspace(folder / "workspace")
    phantom(folder / "phantom", videos, seed=SEED)
    store = prepare("echonet-dynamic", folder / "phantom", workspace.store("phantom"), workers=1, progress=False)
    run = prepare_run(parse_config(RUN | {"epochs": epochs, "batch_size": 20, "optimizer": {"name": "adam", "lr": 1e-3}}), workspace)
    fit([run])
    metrics = (run.record.summary() or {})["metrics"]
    dice = ", ".join(f"{slot} {metrics[f'test/dice/{slot}']:.1f} %" for slot in SLOTS)
    yield "Network", [f"tiny-r3d, all of it trained for {epochs} epochs, mlp head; phantom of {videos} videos, seed {SEED}; Dice {dice}"]
    predictor = Predictor(run.record, workspace)
    began = time.process_time()
    clips = list(_clips(predictor, store, folder / "phantom" / "Videos", videos))
    seconds = (time.process_time() - began) / len(clips)
    yield f"Frames from ED and ES to the nearest true ones of any beat, median over {len(clips)} test videos", _errors(clips, False)
    yield "Frames from ED and ES to the traced ones, which may be another beat's", _errors(clips, True)
    yield "Share of the heart's contraction between the two frames", list(_recovered(clips))
    yield "Cost", [_cost(clips, seconds)]
    yield "Contours at the estimated frames", list(_contours(predictor, clips))
    yield "Contours between ED and ES (contour video)", list(_between(predictor, clips))


def _clips(predictor: Predictor, store: ClipStore, videos: Path, count: int) -> Iterator[Clip]:
    beats = {beat.name: beat for beat in (draw_beat(SEED, number, number) for number in range(count))}
    rng = np.random.default_rng(0)
    for item in (item for item in store.items if item.split == "test"):
        cine = predictor.read(videos / f"{item.sample}.avi")
        beat = beats[item.sample]
        assert (beat.motion.ed, beat.motion.es) == (item.values["ed"], item.values["es"])
        estimate = predictor.estimated(cine).estimate
        assert estimate
        drawn = rng.integers(0, len(cine.frames), 2).tolist()
        pairs = {"echolm predict": (estimate.ed, estimate.es), "rival": _rival(predictor, cine), "chance": (drawn[0], drawn[1])}
        yield Clip(item, cine, beat, pairs, estimate.agreement, estimate.passes)


def _rival(predictor: Predictor, cine: Cine) -> tuple[int, int]:
    """The pair whose one clip has the largest ED area minus ES area."""
    frames = range(0, len(cine.frames), STEP)
    pairs = [(ed, es) for ed in frames for es in frames if ed != es]
    ed_areas, es_areas = area(predictor.contours(cine, pairs)).T
    return pairs[int((ed_areas - es_areas).argmax())]


NAMES = {
    "echolm predict": "echolm predict",
    "rival": f"the one clip with the largest ED area minus ES area, of pairs of every {STEP}th frame",
    "chance": "two frames at random",
}


def _errors(clips: list[Clip], traced: bool) -> list[str]:
    lines = []
    for rule, name in NAMES.items():
        pairs = [clip.pairs[rule] for clip in clips]
        errors = [np.abs(np.subtract(p, c.traced)) if traced else c.nearest(p) for c, p in zip(clips, pairs, strict=True)]
        phases = zip(SLOTS, np.array(errors).T, strict=True)
        lines.append(f"{name}: " + ", ".join(
            f"{slot} {np.median(e):.0f} (mean {e.mean():.1f}; within {CLOSE}: {100 * np.mean(e <= CLOSE):.0f} %)" for slot, e in phases
        ))  # fmt: skip
    return lines


def _recovered(clips: list[Clip]) -> Iterator[str]:
    for rule, name in NAMES.items():
        yield f"{name}: {np.mean([clip.recovered(clip.pairs[rule]) for clip in clips]):.0f} %"
    yield from _agreements(clips)


def _agreements(clips: list[Clip]) -> Iterator[str]:
    order = sorted(clips, key=lambda clip: clip.agreement)
    parts = [order[len(order) * third // 3 : len(order) * (third + 1) // 3] for third in range(3)]
    text = "; ".join(
        f"agreement {100 * part[0].agreement:.0f}-{100 * part[-1].agreement:.0f} %: "
        f"{np.mean([clip.recovered(clip.pairs['echolm predict']) for clip in part]):.0f} %"
        for part in parts if part
    )  # fmt: skip
    yield f"echolm predict, by thirds of the agreement it prints: {text}"


def _cost(clips: list[Clip], seconds: float) -> str:
    passes = [clip.passes for clip in clips]
    frames = np.mean([len(clip.cine.frames) for clip in clips])
    return (
        f"echolm predict: {np.mean(passes):.0f} forward passes a video (at most {max(passes)}) of {frames:.0f} frames on average; "
        f"reading the video and both rules: {seconds:.2f} s of CPU"
    )


def _contours(predictor: Predictor, clips: list[Clip]) -> Iterator[str]:
    """Against the true contours of the frames themselves, wherever they are in the beat."""
    fractions = []
    for name, pairs in (("traced", [c.traced for c in clips]), ("estimated", [c.pairs["echolm predict"] for c in clips])):
        found = np.stack([predictor.contours(clip.cine, [pair])[0] for clip, pair in zip(clips, pairs, strict=True)])
        truth = np.stack([[clip.contour(frame) for frame in pair] for clip, pair in zip(clips, pairs, strict=True)])
        fractions.append(ejection_fraction(*method_of_disks(found).T))
        dice = ", ".join(f"{slot} {_dice(truth[:, n], found[:, n]).mean():.1f} %" for n, slot in enumerate(SLOTS))
        yield f"at the {name} frames: Dice {dice}"
    true = ejection_fraction(*method_of_disks(np.stack([[clip.contour(frame) for frame in clip.traced] for clip in clips])).T)
    errors = [f"{np.abs(found - true).mean():.1f}" for found in (*fractions, np.full(len(true), true.mean()))]
    yield (
        f"ejection fraction by disks, mean error in points: {errors[0]} at the traced frames, {errors[1]} at the estimated ones, "
        f"{errors[2]} with the mean ejection fraction for all videos"
    )


def _between(predictor: Predictor, clips: list[Clip]) -> Iterator[str]:
    """Frames strictly between the traced ED and ES."""
    truth: list[np.ndarray] = []
    ways: dict[str, list[np.ndarray]] = {"as the video draws them": [], "all as the ED end": [], "all as the ES end": [], LINE: []}
    for clip in clips:
        ed, es = clip.traced
        inside = [one for one in film(predictor, clip.cine, ed, es) if one.number not in (ed, es)]
        numbers = np.array([one.number for one in inside])
        truth += [clip.contour(int(t)) for t in numbers]
        ends = predictor.contours(clip.cine, [(ed, es)])[0]
        share = ((numbers - ed) / (es - ed))[:, None, None]
        ways["as the video draws them"] += [one.contour for one in inside]
        ways["all as the ED end"] += list(predictor.contours(clip.cine, [(t, es) for t in numbers.tolist()])[:, 0])
        ways["all as the ES end"] += list(predictor.contours(clip.cine, [(ed, t) for t in numbers.tolist()])[:, 1])
        ways[LINE] += list((1 - share) * ends[0] + share * ends[1])
    for name, found in ways.items():
        yield f"{name}: Dice {_dice(np.stack(truth), np.stack(found)).mean():.1f} % over {len(found)} frames"


def _dice(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    return 100 * dice_from_overlap(*overlap(truth, found, 112))


if __name__ == "__main__":
    main()
