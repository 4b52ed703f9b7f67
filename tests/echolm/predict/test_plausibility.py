"""Implausible predictions are told as such, in the table of a folder too."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from predict_support import CINE

from echolm.media.read import read_video
from echolm.media.video import square_crop
from echolm.predict.contours import ContourPrediction, ContourPredictor
from echolm.predict.find_clips import find_clips
from echolm.predict.find_ed_es import PhaseEstimate
from echolm.predict.folder import TABLE, Folder
from echolm.predict.plausibility import crosses_itself, implausible, warnings_about
from echolm.predict.sector import shows_sector


@pytest.mark.parametrize(
    ("ef", "areas", "agreement", "parts"),
    [
        (55.0, (2000.0, 1200.0), 0.9, []),
        (55.0, (2000.0, 1200.0), None, []),
        (-12.3, (1200.0, 2000.0), 0.9, ["smaller than the ES contour", "EF is -12.3 %"]),
        (96.0, (2000.0, 10.0), 0.2, ["EF is 96.0 %", "agreement on ED and ES is 20 %"]),
        (math.nan, (0.0, 0.0), None, ["no area", "EF is not a number"]),
        (10.0, (math.nan, 5.0), None, ["no area"]),
    ],
)
def test_what_is_implausible(
    ef: float, areas: tuple[float, float], agreement: float | None, parts: list[str]
) -> None:
    warning = implausible(ef, areas, agreement)
    assert bool(warning) == bool(parts) and [part for part in parts if part not in warning] == [], (
        warning
    )
    assert len(list(filter(None, warning.split("; ")))) == len(parts)


class Certain(ContourPredictor):
    """A network with a small contour and one around it: sound, or the wrong way round."""

    def __init__(self, inner: ContourPredictor, sound: bool) -> None:
        self.__dict__.update(inner.__dict__)
        self.sound = sound

    def __call__(
        self, path: Path, ed: int | None = None, es: int | None = None
    ) -> ContourPrediction:
        prediction = super().__call__(path, ed, es)
        small = prediction.contours[0] - prediction.contours[0].mean(0)
        contours = np.stack(
            [1.5 * small, small] if self.sound else [small, 1.5 * small]
        ) + prediction.contours[0].mean(0)
        return replace(
            prediction, contours=contours, ejection_fraction=55.0 if self.sound else -55.0
        )


def test_a_folders_table_has_a_warning_also_when_it_is_read_again(
    predictor: ContourPredictor, clips: Path, tmp_path: Path
) -> None:
    for path in sorted(clips.iterdir())[1:]:
        path.unlink()
    for out, sound in ((tmp_path / "sound", True), (tmp_path / "swapped", False)):
        network = Certain(predictor, sound)
        target = Folder(network, clips, out, lambda _: (0, 9))
        [(row, new)] = target.predict(find_clips(clips).clips)
        with open(out / TABLE, newline="") as file:
            (stored,) = csv.DictReader(file)
        assert new and stored["warning"] == row.warning
        swapped = "the ED contour is smaller than the ES contour; EF is -55.0 %"
        assert row.warning.startswith(swapped) != sound
        assert stored["trained_on"] == row.trained_on == predictor.trained_on.sentence
        text = (out / TABLE).read_text()
        target = Folder(network, clips, out, lambda _: (0, 9))
        [(again, new)] = target.predict(find_clips(clips).clips)
        assert not new and again == row and (out / TABLE).read_text() == text


@pytest.mark.parametrize("columns", [["trained_on"], ["warning", "trained_on"]], ids=str)
def test_a_table_of_an_earlier_version_is_continued(
    predictor: ContourPredictor, clips: Path, tmp_path: Path, columns: list[str]
) -> None:
    """What was predicted stays, with the warnings that its numbers give."""
    for path in sorted(clips.iterdir())[1:]:
        path.unlink()
    network = Certain(predictor, sound=False)
    [(row, _)] = Folder(network, clips, tmp_path, lambda _: (0, 9)).predict(find_clips(clips).clips)
    with open(tmp_path / TABLE, newline="") as file:
        stored = list(csv.DictReader(file))
    kept = [name for name in stored[0] if name not in columns]
    with open(tmp_path / TABLE, "w", newline="") as file:
        earlier = csv.DictWriter(file, kept, extrasaction="ignore")
        earlier.writeheader()
        earlier.writerows(stored)
    target = Folder(network, clips, tmp_path, lambda _: (0, 9))
    [(again, new)] = target.predict(find_clips(clips).clips)
    expected = "the ED contour is smaller than the ES contour; EF is -55.0 %"
    assert not new and again == replace(row, warning=expected)


# shapes, frames, pictures


def ellipse(centre: float, x: float, y: float, points: int = 40) -> np.ndarray:
    """A closed contour around (centre, centre)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return centre + np.stack([x * np.cos(angle), y * np.sin(angle)], -1)


def prediction(**changes: Any) -> ContourPrediction:
    """A plausible one on pictures of 112 x 112."""
    sound = ContourPrediction(
        contours=np.stack([ellipse(56, 16, 30), ellipse(56, 12, 26)]),
        frames=np.zeros((2, 112, 112), np.uint8),
        numbers=(4, 20),
        ejection_fraction=55.0,
        estimate=PhaseEstimate(4, 20, ("ED", "ES"), agreement=0.9, passes=90),
        frames_held=120,
        fps=50.0,
        has_sector=True,
    )
    return replace(sound, **changes)


def crossed(contour: np.ndarray) -> np.ndarray:
    """Two of its points exchanged."""
    points = contour.copy()
    points[[7, 20]] = points[[20, 7]]
    return points


SOUND = prediction().contours


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"estimate": None, "frames_held": None, "fps": None, "has_sector": None}, ""),
        ({"contours": np.stack([crossed(SOUND[0]), SOUND[1]])}, "the ED contour crosses itself"),
        ({"contours": np.stack([SOUND[0], crossed(SOUND[1])])}, "the ES contour crosses itself"),
        (
            {"contours": 50 + (SOUND - 56) / 5},
            "the ED contour fills 0.48 % of the picture .of a ventricle: 1 to 50 %.; the ES",
        ),
        ({"contours": 56 + (SOUND - 56) * 2.2}, "the ED contour fills 58 % of the picture"),
        ({"numbers": (20, 17)}, "ED and ES are 0.06 s apart, closer than in any heart .0.1 s."),
        ({"numbers": (7, 7)}, "ED and ES are 0.00 s apart"),
        (
            {"numbers": (4, 6), "fps": None},
            "ED and ES are 0.04 s apart at an assumed 50 frames per second",
        ),
        ({"frames_held": 22}, "the file shows 0.44 s, less than a heart beat .0.6 s at"),
        ({"frames_held": 8, "fps": 6.0, "numbers": (1, 4)}, "the file has 8 frames, too few"),
        ({"has_sector": False}, "no ultrasound sector found in the picture"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_contours_frames_and_pictures_warn_of(changes: dict[str, Any], says: str) -> None:
    """One reason each, and none for a sound prediction."""
    warning = warnings_about(prediction(**changes))
    assert bool(warning) == bool(says) and re.match(says, warning), warning


def test_all_reasons_stand_side_by_side() -> None:
    contours = np.stack([crossed(SOUND[1]), SOUND[0]])
    warning = warnings_about(
        prediction(contours=contours, ejection_fraction=-40.0, numbers=(3, 5), has_sector=False)
    )
    assert len(warning.split("; ")) == 5, warning


@given(
    points=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=4, max_size=12, unique=True
    )
)
@settings(max_examples=150)
def test_crossings_are_those_of_shapely(points: list[tuple[int, int]]) -> None:
    """A closed line of points in general position is simple where nothing crosses."""
    contour = np.array(points, float) + np.random.default_rng(len(points)).uniform(
        0, 1e-3, (len(points), 2)
    )
    assert crosses_itself(contour) != shapely.LinearRing(contour).is_simple


def test_smooth_contours_cross_nothing() -> None:
    for points in (4, 40, 41):
        assert not crosses_itself(ellipse(50, 20, 30, points))
        assert not crosses_itself(np.repeat(ellipse(50, 20, 30, points), 2, 0)), "points twice"


def test_the_sector_of_real_and_of_synthetic_ultrasound_is_found(videos: list[Path]) -> None:
    for path in [*videos, CINE]:
        assert shows_sector(square_crop(read_video(path).frames)), path


def test_other_pictures_show_no_sector() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (5, 64, 64), np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8), (5, 64, 64))
    text = np.zeros((5, 64, 64), np.uint8)
    text[:, 10:14, 5:60] = 255
    for frames in (noise, ramp, text, np.zeros_like(noise), np.full_like(noise, 255), 255 - text):
        assert not shows_sector(frames)
    assert shows_sector(np.zeros((1, 1, 1), np.uint8)) is False
