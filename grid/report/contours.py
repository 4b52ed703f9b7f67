"""Best, median and worst contours of a setting, drawn on the frames of the clip store.

Every frame is in the page once, as a PNG inside a hidden SVG; drawings refer to it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from PIL import Image

from echolm.data.store import ClipStore
from echolm.errors import EchoLMError
from echolm.tasks.landmarks import GRID
from grid.report.content import Run, Setting
from grid.report.markup import Markup, join, tag
from grid.report.measures import SPLIT, Measure
from grid.tables.results import column_names, read_columns

COLUMNS = ("sample", "split", "slot", "truth", "prediction")
TRUTH, OURS = "#35d0ff", "#ffc400"


@dataclass
class Frames:
    """The frames that a page shows. ``store``: name of a data set -> its folder; ``problems``: why frames are left out."""

    store: Callable[[str], Path]
    problems: dict[str, None] = field(default_factory=dict)
    _stores: dict[str, tuple[ClipStore, dict[str, int]] | None] = field(default_factory=dict)
    _images: dict[tuple[str, str, str], Markup] = field(default_factory=dict)

    def use(self, run: Run, sample: str, slot: str) -> Markup | None:
        """A reference to a frame of a sample, filling a picture of GRID x GRID; None where it cannot be had."""
        opened = self._open(run)
        key = (run.data_name, sample, slot)
        if opened is None:
            return None
        if key not in self._images:
            store, rows = opened
            try:
                item = store.items[rows[sample]]
                frame = store.read(rows[sample], np.array([item.values[slot.lower()]]))[0]
            except (KeyError, EchoLMError) as error:
                self.problems[f"{run.data_name}: no {slot} frame of {sample} ({error})"] = None
                return None
            name = f"frame-{len(self._images)}"
            self._images[key] = tag("image", id=name, href=_png(frame), width=GRID, height=GRID, preserveAspectRatio="none")
        return tag("use", href=f"#frame-{list(self._images).index(key)}")

    def hidden(self) -> Markup | None:
        """The frames that were used, to be put into the page before their drawings."""
        if not self._images:
            return None
        return tag("svg", tag("defs", *self._images.values()), width=0, height=0, class_="frames", aria_hidden="true")

    def _open(self, run: Run) -> tuple[ClipStore, dict[str, int]] | None:
        if run.data_name not in self._stores:
            self._stores[run.data_name] = self._opened(run)
        return self._stores[run.data_name]

    def _opened(self, run: Run) -> tuple[ClipStore, dict[str, int]] | None:
        if not run.data_name:
            self.problems["the runs do not name their data set"] = None
            return None
        try:
            store = ClipStore.open(self.store(run.data_name))
        except EchoLMError as error:
            self.problems[str(error)] = None
            return None
        if store.fingerprint != run.data:
            self.problems[f"{store.path}: is not the clip store of these runs (its fingerprint differs)"] = None
            return None
        return store, {item.sample: row for row, item in enumerate(store.items)}


def contours(setting: Setting, measure: Measure | None, frames: Frames) -> Markup | None:
    """Best, median and worst test sample of the setting's first collected seed, by ``measure`` averaged over slots; None
    where predictions hold no contours or frames cannot be had."""
    run = next((run for run in setting.runs if run.predictions is not None), None)
    if run is None or measure is None:
        return None
    samples = _ranked(run, measure)
    if not samples:
        return None
    chosen = {"best": samples[0], "median": samples[len(samples) // 2], "worst": samples[-1]}
    figures = [_figure(run, place, rows, measure, frames) for place, rows in chosen.items()]
    if any(figure is None for figure in figures):
        return None
    lead = tag("p", f"By {measure.name}, mean over its frames, of {len(samples)} test samples; seed {run.seed}.", class_="legend")
    return join([lead, tag("div", *figures, class_="contours")])


def legend() -> Markup:
    """Which line is which."""
    keys = [tag("span", tag("i", style=f"background:{value}"), name, class_="key") for name, value in (("traced", TRUTH), ("predicted", OURS))]
    return tag("p", join(keys), class_="legend")


def _ranked(run: Run, measure: Measure) -> list[list[dict[str, Any]]]:
    """The rows of each test sample, best sample first; [] for predictions that are no contours."""
    assert run.predictions is not None
    if not {*COLUMNS, measure.name} <= set(column_names(run.predictions)):
        return []
    table = read_columns(run.predictions, [*COLUMNS, measure.name])
    samples: dict[str, list[dict[str, Any]]] = {}
    for row in table.filter(pc.equal(table["split"], SPLIT)).to_pylist():
        if len(row["truth"] or ()) < 6 or len(row["prediction"] or ()) != len(row["truth"]) or not row["slot"]:
            return []
        samples.setdefault(row["sample"], []).append(row)
    sign = -1 if measure.higher else 1
    value = {sample: float(np.mean([row[measure.name] for row in rows])) for sample, rows in samples.items()}
    order = sorted(samples, key=lambda sample: (not np.isfinite(value[sample]), sign * value[sample], sample))
    return [samples[sample] for sample in order]


def _figure(run: Run, place: str, rows: list[dict[str, Any]], measure: Measure, frames: Frames) -> Markup | None:
    pictures = []
    for row in rows:
        frame = frames.use(run, row["sample"], row["slot"])
        if frame is None:
            return None
        words = f"{place} of the test samples, {row['slot']}: {measure.name} {row[measure.name]:.1f}"
        pieces = [tag("title", words), frame, _outline(row["truth"], TRUTH), _outline(row["prediction"], OURS)]
        label = tag("text", f"{row['slot']} {row[measure.name]:.1f}", x=4, y=11)
        pictures.append(tag("svg", *pieces, label, viewBox=f"0 0 {GRID} {GRID}", role="img"))
    caption = tag("figcaption", tag("b", place), " ", tag("small", rows[0]["sample"]))
    return tag("figure", tag("div", *pictures, class_="pair"), caption)


def _outline(flat: list[float], line: str) -> Markup | None:
    """A closed contour; points are pixel centres of the GRID x GRID grid."""
    points = np.asarray(flat, np.float64).reshape(-1, 2) + 0.5
    if not np.isfinite(points).all():
        return None
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in np.clip(points, -999, 999).tolist())
    return tag("path", d=f"M{path}Z", fill="none", stroke=line, stroke_width=1.1, stroke_linejoin="round")


def _png(frame: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
