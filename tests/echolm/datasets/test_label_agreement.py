"""Labels that were shifted by a row are refused by name, whatever valid cells they are."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from echolm.datasets import DATASETS
from echolm.datasets.label_agreement import (
    contradicts_volumes,
    correlation_with_tracings,
    why_tracings_are_of_others,
    why_volumes_are_of_others,
)
from echolm.datasets.scan import Scan, SourceItem
from echolm.geometry import area

NAME = "echonet-dynamic"


@pytest.fixture
def root(phantom_root: Path, tmp_path: Path) -> Path:
    """A copy of the tables of 24 phantom videos."""
    copy = tmp_path / "source"
    shutil.copytree(phantom_root, copy)
    return copy


def shift(root: Path, columns: tuple[str, ...], rows: int | None = None) -> None:
    """Move the cells of some columns down by a row; the last of them goes to the top."""
    path = root / "FileList.csv"
    with open(path, newline="") as file:
        table = list(csv.DictReader(file))
    moved = table[:rows]
    for column in columns:
        cells = [row[column] for row in moved]
        for row, cell in zip(moved, [cells[-1], *cells[:-1]], strict=True):
            row[column] = cell
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def scan(root: Path, **choices: str) -> Scan:
    return DATASETS.parse({"name": NAME, **choices}).scan(root)


def test_true_labels_agree(root: Path) -> None:
    found = scan(root)
    assert not found.fatal and found.facts["ef_contradicts_volumes"] == 0
    areas = [
        (float(area(item.values["landmarks_ed"])), float(area(item.values["landmarks_es"])))
        for item in found.items
    ]
    correlation = correlation_with_tracings(found.items, areas)
    assert correlation is not None and correlation > 0.9


@pytest.mark.parametrize("columns", [("EF",), ("ESV", "EDV"), ("EDV",)])
def test_one_label_shifted_against_others_is_refused(root: Path, columns: tuple[str, ...]) -> None:
    shift(root, columns)
    reason = scan(root).fatal[0]
    assert reason.startswith("FileList.csv: EF is not 100 (EDV - ESV) / EDV in ")
    assert " of 24 videos (0X" in reason
    assert "are labels shifted against others by a row?" in reason
    assert reason.endswith("Correct the table, or trust it: --set disagreement=remark")


def test_all_labels_shifted_against_the_names_are_refused(root: Path) -> None:
    """They agree with each other, and not with what was traced in the video."""
    shift(root, ("EF", "ESV", "EDV"))
    [reason] = scan(root).fatal
    assert reason.startswith(
        "FileList.csv, VolumeTracings.csv: EF does not go with the traced areas of 24 videos"
    )
    assert "are labels shifted against the names by a row?" in reason


def test_some_rows_that_were_shifted_are_refused(root: Path) -> None:
    shift(root, ("EF",), rows=6)
    assert "in 6 of 24 videos" in scan(root).fatal[0] or "in 5 of 24" in scan(root).fatal[0]


def test_a_set_that_is_trusted_is_used_and_remarked(root: Path) -> None:
    shift(root, ("EF",))
    refused = scan(root)
    dataset = DATASETS.parse({"name": NAME, "disagreement": "remark"})
    trusted = dataset.scan(root)
    assert not trusted.fatal and trusted.identity == refused.identity
    assert set(refused.fatal) <= set(dataset.remarks(trusted))


def test_one_odd_row_is_a_remark(root: Path) -> None:
    path = root / "FileList.csv"
    lines = path.read_text().splitlines()
    cells = lines[5].split(",")
    lines[5] = ",".join([cells[0], "12.5", *cells[2:]])
    path.write_text("\n".join(lines) + "\n")
    found = scan(root)
    assert not found.fatal and found.facts["ef_contradicts_volumes"] == 1
    remarks = DATASETS.parse(NAME).remarks(found)
    assert f"EF is not 100 (EDV - ESV) / EDV in 1 video ({cells[0]})" in remarks


def item(number: int, ef: float, esv: float, edv: float) -> SourceItem:
    values = {"ef": ef, "esv": esv, "edv": edv}
    return SourceItem(f"{number:03d}", f"{number:03d}", "train", Path("x"), values=values)


def test_rounded_volumes_and_no_volume_contradict_nothing() -> None:
    rng = np.random.default_rng(0)
    items = [item(999, 50.0, 0.0, 0.0)]
    for number, edv in enumerate(rng.uniform(30, 300, 200)):
        ef = rng.uniform(10, 80)
        items.append(item(number, round(ef), round(edv * (1 - ef / 100), 1), round(edv, 1)))
    assert contradicts_volumes(items) == []
    assert contradicts_volumes([]) == []


def test_a_single_row_or_a_small_share_refuses_nothing() -> None:
    odd = [item(0, 50.0, 10.0, 100.0), item(1, 50.0, 10.0, 100.0)]
    assert why_volumes_are_of_others(odd[:1], 3, "t") == ""
    assert why_volumes_are_of_others(odd, 40, "t") == ""
    assert why_volumes_are_of_others(odd, 39, "t").startswith("t: EF is not")


def test_few_or_equal_tracings_say_nothing() -> None:
    rng = np.random.default_rng(1)
    items = [item(number, float(ef), 1.0, 2.0) for number, ef in enumerate(rng.uniform(10, 80, 20))]
    areas = [(100.0, 100 - float(item.values["ef"])) for item in items]
    assert correlation_with_tracings(items, areas) == pytest.approx(1)
    assert correlation_with_tracings(items[:19], areas[:19]) is None
    assert correlation_with_tracings(items, [(2.0, 1.0)] * 20) is None
    assert why_tracings_are_of_others(None, 20, "t") == ""
    assert why_tracings_are_of_others(0.31, 20, "t") == ""
    assert why_tracings_are_of_others(-0.5, 20, "t").startswith("t: EF does not go with")
