"""Draw the best, median and worst contours of a setting on the frames of the clip store.

Every frame is in the page once, as a PNG inside a hidden SVG. Drawings refer to it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from grid.report.content import Run, Setting
from grid.report.measures import SPLIT, Measure
from grid.report.svg import Key
from grid.results.files import column_names, read_columns

COLUMNS = ("sample", "split", "slot", "truth", "prediction")
TRUTH, PREDICTION = "#35d0ff", "#ffc400"
FEWEST_COORDINATES = 6
"""How many coordinates a contour has at least: three points."""
FARTHEST = 999
"""Coordinates beyond are cut off: a network that diverged may predict any."""
KEYS = (Key(TRUTH, "traced"), Key(PREDICTION, "predicted"))
"""Which line is which."""

Sample = list[dict[str, Any]]
"""The rows of a sample, one a slot."""


@dataclass(frozen=True)
class Picture:
    """A frame with its contours.

    Args:
        title: what it shows, for who cannot see it.
        label: the words in its corner.
        frame: the name of the frame in the page.
        truth: the path of the traced contour. Empty for one that cannot be drawn.
        prediction: the path of the predicted contour, likewise.
    """

    title: str
    label: str
    frame: str
    truth: str
    prediction: str


@dataclass(frozen=True)
class SamplePictures:
    """The pictures of a sample. ``rank``: best, median or worst."""

    rank: str
    sample: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Contours:
    """The samples of a setting that are drawn, and how they were chosen."""

    lead: str
    samples: Sequence[SamplePictures]


@dataclass(frozen=True)
class _OpenStore:
    """A clip store with the row of each sample."""

    store: ClipStore
    rows: dict[str, int]


@dataclass
class Frames:
    """The frames that a page shows.

    Args:
        store: name of a data set -> its folder.
        cache: the workspace's folder that remembers which frames were checked.
        problems: why frames are left out.
        images: name of a frame in the page -> the frame as an address that holds its PNG.
    """

    store: Callable[[str], Path]
    cache: Path | None = None
    problems: dict[str, None] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    _names: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _stores: dict[str, _OpenStore | None] = field(default_factory=dict)

    def name(self, run: Run, sample: str, slot: str) -> str | None:
        """Put a frame of a sample into the page, once.

        Returns:
            Its name in the page, or None where it cannot be had.
        """
        opened = self._open(run)
        if opened is None:
            return None
        key = (run.data_name, sample, slot)
        if key not in self._names:
            try:
                row = opened.rows[sample]
                frame_number = opened.store.items[row].values[slot.lower()]
                frame = opened.store.read(row, np.array([frame_number]))[0]
            except (KeyError, EchoLMError) as error:
                problem = f"{run.data_name}: no {slot} frame of {sample} ({error})"
                self.problems[problem] = None
                return None
            name = f"frame-{len(self._names)}"
            self._names[key] = name
            self.images[name] = _png(frame)
        return self._names[key]

    def are_known_to_be_missing(self, run: Run) -> bool:
        """Return whether the clip store of a run was asked for before, and cannot be had."""
        return run.data_name in self._stores and self._stores[run.data_name] is None

    def _open(self, run: Run) -> _OpenStore | None:
        """Return the clip store of a run, or None where it cannot be had."""
        if run.data_name not in self._stores:
            self._stores[run.data_name] = self._try_to_open(run)
        return self._stores[run.data_name]

    def _try_to_open(self, run: Run) -> _OpenStore | None:
        """Open the clip store of a run, or note why not."""
        if not run.data_name:
            self.problems["the runs do not name their data set"] = None
            return None
        try:
            store = ClipStore.open(self.store(run.data_name), self.cache)
        except EchoLMError as error:
            self.problems[str(error)] = None
            return None
        if store.fingerprint != run.data:
            reason = "is not the clip store of these runs (its fingerprint differs)"
            self.problems[f"{store.path}: {reason}"] = None
            return None
        return _OpenStore(store, {item.sample: row for row, item in enumerate(store.items)})


def contours(setting: Setting, measure: Measure | None, frames: Frames) -> Contours | None:
    """Draw the best, median and worst test sample of the setting's first collected seed.

    Args:
        setting: the setting.
        measure: what ranks samples, averaged over slots.
        frames: the frames of the page.

    Returns:
        The drawings, or None where predictions hold no contours or frames cannot be had.
    """
    runs = [run for run in setting.runs if run.predictions is not None]
    if not runs or measure is None:
        return None
    run = runs[0]
    if frames.are_known_to_be_missing(run):
        return None  # an earlier setting with contours has said why
    samples = _ranked(run, measure)
    if samples is None:
        return None
    names = samples.names
    chosen = {"best": names[0], "median": names[len(names) // 2], "worst": names[-1]}
    drawings = []
    complete = True
    for rank, name in chosen.items():
        drawing = _draw(run, rank, samples.rows(name), measure, frames)
        if drawing is None:
            complete = False
        else:
            drawings.append(drawing)
    if not complete:
        return None
    lead = f"By {measure.name}, mean over its frames, of {len(names)} test samples"
    return Contours(f"{lead}; seed {run.seed}.", drawings)


@dataclass(frozen=True)
class _RankedSamples:
    """The test rows of a run with contours, and its samples, the best first."""

    table: pa.Table
    names: list[str]

    def rows(self, name: str) -> Sample:
        """Return the rows of a sample."""
        return self.table.filter(pc.equal(self.table["sample"], name)).to_pylist()


def _ranked(run: Run, measure: Measure) -> _RankedSamples | None:
    """Rank the test samples. None of predictions that are no contours."""
    assert run.predictions is not None
    columns = [*COLUMNS, measure.name]
    if not set(columns) <= set(column_names(run.predictions)):
        return None
    table = read_columns(run.predictions, columns)
    table = table.filter(pc.equal(table["split"], SPLIT))
    if not _has_contours(table):
        return None
    values: dict[str, list[float]] = {}
    pairs = zip(table["sample"].to_pylist(), table[measure.name].to_pylist(), strict=True)
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    ranks = []
    for name, of_sample in values.items():
        mean = float(np.mean(of_sample))
        # Without a finite value a sample is the last.
        ranks.append((not np.isfinite(mean), -mean if measure.higher else mean, name))
    return _RankedSamples(table, [name for _, _, name in sorted(ranks)])


def _has_contours(table: pa.Table) -> bool:
    """Check whether each row holds two contours of equal length, and the slot of their frame."""
    if not len(table):
        return False
    lengths = []
    for name in ("truth", "prediction"):
        kind = table[name].type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            return False
        lengths.append(pc.fill_null(pc.list_value_length(table[name]), 0))
    truth, prediction = lengths
    are_equal = pc.all(pc.equal(truth, prediction)).as_py()
    are_contours = pc.min(truth).as_py() >= FEWEST_COORDINATES
    return bool(are_equal and are_contours and all(table["slot"].to_pylist()))


def _draw(
    run: Run, rank: str, sample: Sample, measure: Measure, frames: Frames
) -> SamplePictures | None:
    """Draw the contours of a sample, or return None where a frame cannot be had."""
    pictures = []
    for row in sample:
        slot = row["slot"]
        frame = frames.name(run, row["sample"], slot)
        if frame is None:
            return None
        value = f"{row[measure.name]:.1f}"
        picture = Picture(
            title=f"{rank} of the test samples, {slot}: {measure.name} {value}",
            label=f"{slot} {value}",
            frame=frame,
            truth=_outline(row["truth"]),
            prediction=_outline(row["prediction"]),
        )
        pictures.append(picture)
    return SamplePictures(rank, sample[0]["sample"], pictures)


def _outline(coordinates: list[float]) -> str:
    """Return a closed contour as the path of an SVG, or "" for one that is not finite.

    Args:
        coordinates: x and y of its points in turn. Integers are pixel centres of the grid of
            ``echolm.tasks.landmarks.GRID`` pixels a side.
    """
    points = np.asarray(coordinates, np.float64).reshape(-1, 2) + 0.5
    if not np.isfinite(points).all():
        return ""
    points = np.clip(points, -FARTHEST, FARTHEST)
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist())
    return f"M{path}Z"


def _png(frame: np.ndarray) -> str:
    """Return a frame as an address that holds its PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
