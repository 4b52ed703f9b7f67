"""Implausible predictions are told as such, in the table of a folder too."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echolm.predict.folder import TABLE, Folder
from echolm.predict.folder import clips as files
from echolm.predict.plausible import warning
from echolm.predict.predictor import Prediction, Predictor


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
def test_what_is_implausible(ef: float, areas: tuple[float, float], agreement: float | None, parts: list[str]) -> None:
    found = warning(ef, areas, agreement)
    assert bool(found) == bool(parts) and [part for part in parts if part not in found] == [], found
    assert len(list(filter(None, found.split("; ")))) == len(parts)


class Certain(Predictor):
    """A network with a small contour and one around it: sound, or the wrong way round."""

    def __init__(self, inner: Predictor, sound: bool) -> None:
        self.__dict__.update(inner.__dict__)
        self.sound = sound

    def __call__(self, path: Path, ed: int | None = None, es: int | None = None) -> Prediction:
        found = super().__call__(path, ed, es)
        small = found.contours[0] - found.contours[0].mean(0)
        contours = np.stack([1.5 * small, small] if self.sound else [small, 1.5 * small]) + found.contours[0].mean(0)
        return replace(found, contours=contours, ejection_fraction=55.0 if self.sound else -55.0)


def test_a_folders_table_has_a_warning_also_when_it_is_read_again(predictor: Predictor, clips: Path, tmp_path: Path) -> None:
    for path in sorted(clips.iterdir())[1:]:
        path.unlink()
    for out, sound in ((tmp_path / "sound", True), (tmp_path / "swapped", False)):
        network = Certain(predictor, sound)
        [(row, new)] = Folder(network, out, lambda _: (0, 9)).predict(files(clips))
        with open(out / TABLE, newline="") as file:
            (stored,) = csv.DictReader(file)
        assert new and stored["warning"] == row.warning
        assert row.warning == ("" if sound else "the ED contour is smaller than the ES contour; EF is -55.0 %")
        text = (out / TABLE).read_text()
        lines = [line.rsplit(",", 1)[0] for line in text.splitlines()]
        (out / TABLE).write_text("\n".join([*lines, ""]))  # as before there was the column
        [(again, new)] = Folder(network, out, lambda _: (0, 9)).predict(files(clips))
        assert not new and again == row and (out / TABLE).read_text() == text
