"""EchoNet-LVH (Duffy et al. 2022) in the layout that Stanford distributes.

``MeasurementsList.csv`` has a caliper a row, ``Batch1/`` to ``Batch4/`` hold the videos (12,000
parasternal long-axis views, in their own sizes). The split in that table is not the paper's
(github.com/echonet/lvh/issues/15). ``hashed_index_old_split.csv`` has the paper's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.caliper_measurements import (
    CALCULATIONS,
    MEASUREMENTS,
    PER_CM,
    MeasuredVideo,
    Unit,
    read_measurements,
)
from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.echonet_files import VideoFiles, require, sample_id
from echolm.datasets.label_agreement import Disagreement
from echolm.datasets.scan import PHANTOM, SPLITS, Problem, Scan, SourceItem, files_identity
from echolm.errors import EchoLMError
from echolm.text import counted

BATCHES = ("Batch1", "Batch2", "Batch3", "Batch4")
OLD_SPLIT = "hashed_index_old_split.csv"
LAYOUT = f"{MEASUREMENTS} and {BATCHES[0]}/ to {BATCHES[-1]}/"
VIEW = "PLAX"
DIAMETER = (1.0, 10.0)
"""cm. The median end-diastolic diameter of any set of hearts lies between."""
MOST = 0.5
"""Share of the videos with several calipers whose calipers may have different scales.

Single rows of the released table are wrong (github.com/echonet/lvh/issues/15). A column that was
shifted makes nearly all differ.
"""
FEWEST_ODD = 2
"""Videos. A shift contradicts several."""


@DATASETS.register
class EchoNetLVH(Dataset):
    """Parasternal long-axis videos with caliper measurements of walls and diameters.

    Attributes:
        split: ``csv``, the column of the table of measurements, or ``paper-old``, the file of the
            paper's split.
        unit: of the measurements in the table. Values are in cm.
        disagreement: whether a set is refused in which many calipers contradict each other or are
            of another unit, or whether that is a remark.
    """

    name: Literal["echonet-lvh"] = "echonet-lvh"
    noun: ClassVar[str] = "video"
    without: ClassVar[str] = "all measurements"
    split: Literal["csv", "paper-old"] = "csv"
    unit: Unit = "cm"
    disagreement: Disagreement = "refuse"

    def scan(self, root: Path) -> Scan:
        """List all usable videos at ``root``, and one problem for each that is not usable.

        Values of an item: ``view``, ``fps``, and of each thing that was measured ``ivsd``,
        ``lvidd``, ``lvpwd``, ``lvids`` (cm, the mean where it was measured several times) with
        ``ivsd_frame`` and so on (number of the first measured frame). ``ed`` is the frame of LVIDd,
        ``es`` that of LVIDs. A note says why a measurement is not used.

        Raises:
            EchoLMError: a table or all folders of videos are missing, or a header lacks a column.
        """
        require(root, (MEASUREMENTS,), LAYOUT)
        folders = [name for name in BATCHES if (root / name).is_dir()]
        if not folders:
            raise EchoLMError(f"{root}: no {BATCHES[0]} here; give the folder that holds {LAYOUT}")
        videos = VideoFiles.look_in(root, folders)
        measured, problems = read_measurements(root, self.unit)
        old = _read_old_split(root) if self.split == "paper-old" else None
        known = {*measured, *(problem.sample for problem in problems)}
        found = _Found(videos, old)
        for sample in sorted(measured):
            found.add(sample, measured[sample])
        unlisted = videos.unlisted(known, MEASUREMENTS)
        contradictions = [*_why_of_other_rows(measured), *_why_of_another_unit(measured, self.unit)]
        refused = self.disagreement == "refuse"
        tables = [MEASUREMENTS]
        if old is not None:
            tables.append(OLD_SPLIT)
        return Scan(
            reader=self.name,
            root=root,
            items=found.items,
            problems=problems + found.problems + unlisted,
            fatal=_fatal(found.items) + (contradictions if refused else []),
            identity=files_identity(root, tables, found.sizes),
            synthetic=(root / PHANTOM).is_file(),
            facts={
                "remarks": [self._describe(found.items, folders)]
                + ([] if refused else contradictions)
            },
            notes=found.notes,
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate ``items`` videos with measured walls (``phantom.echonet_lvh``)."""
        from echolm.datasets.phantom.echonet_lvh import generate_lvh

        generate_lvh(folder, items, seed, clips_per_patient, progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say which split was read, which folders are there, and what is measured how often."""
        remarks: list[str] = scan.facts["remarks"]
        return remarks

    def _describe(self, items: list[SourceItem], folders: list[str]) -> str:
        table = MEASUREMENTS if self.split == "csv" else OLD_SPLIT
        counts: Counter[str] = Counter()
        for item in items:
            counts.update(item.values.keys())
        names = ", ".join(f"{counts[name.lower()]} {name}" for name in CALCULATIONS)
        return f"split of {table}; videos of {', '.join(folders)}; measured: {names}"


@dataclass
class _Found:
    """What the measured videos came to.

    Attributes:
        videos: the files of all batches.
        old: the split of each sample by the older file. None: the table's own split counts.
        sizes: the path of each item's video -> its bytes.
    """

    videos: VideoFiles
    old: Mapping[str, str] | None
    items: list[SourceItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, sample: str, video: MeasuredVideo) -> None:
        """Make an item of the rows of a video, or a problem."""
        try:
            self._add(sample, video)
        except RowError as error:
            line = video.rows[0].line
            self.problems.append(Problem(MEASUREMENTS, line, sample, str(error)))

    def _add(self, sample: str, video: MeasuredVideo) -> None:
        """Make an item. RowError: the video cannot be used."""
        split = self._split(sample, video)
        path = self.videos.find(sample)
        values: dict[str, Any] = {"view": VIEW, **video.values()}
        for phase, name in (("ed", "lvidd_frame"), ("es", "lvids_frame")):
            if name in values:
                values[phase] = values[name]
        fps = _frames_per_second(video)
        if fps:
            values["fps"] = fps
        item = SourceItem(
            sample=sample,
            patient=sample,
            split=split,
            path=self.videos.root / path,
            frame_count=None,
            values=values,
        )
        self.items.append(item)
        self.sizes[path] = self.videos.sizes[path]
        self.notes += video.notes
        odd = video.contradiction()
        if odd:
            reason = (
                f"{odd.name} is {odd.length:.3g} cm for {odd.pixels:.3g} pixels, another scale "
                "than the video's other calipers have; it is used all the same"
            )
            self.notes.append(Problem(MEASUREMENTS, odd.line, sample, reason))

    def _split(self, sample: str, video: MeasuredVideo) -> str:
        if self.old is not None:
            if sample not in self.old:
                raise RowError(f"is not in {OLD_SPLIT}")
            return _valid_split(self.old[sample])
        splits = {row["split"].lower(): row.line for row in video.rows}
        if len(splits) > 1:
            places = [f"{split} (row {line})" for split, line in splits.items()]
            raise RowError(f"is in splits {' and '.join(places)}")
        return _valid_split(video.rows[0]["split"])


def _valid_split(text: str) -> str:
    split = text.lower()
    if split not in SPLITS:
        raise RowError(f"split is {text!r}; valid: {', '.join(SPLITS)}")
    return split


def _frames_per_second(video: MeasuredVideo) -> float | None:
    """Return the frame rate of the first row that has one."""
    for row in video.rows:
        try:
            rate = row.number("FPS")
        except RowError:
            continue
        if rate > 0:
            return rate
    return None


def _read_old_split(root: Path) -> dict[str, str]:
    """Read sample -> split of the paper.

    Raises:
        EchoLMError: the file is not there, lacks a column, or gives a video two splits.
    """
    path = root / OLD_SPLIT
    if not path.exists():
        raise EchoLMError(
            f"{path}: not there; it comes with github.com/echonet/lvh (issue 15). Without it: "
            "--set split=csv"
        )
    splits: dict[str, str] = {}
    for row, reason in read_rows(path, ("HashedFileName", "split")):
        if reason:
            raise EchoLMError(f"{path}:{row.line}: {reason}")
        sample = sample_id(row["HashedFileName"])
        split = row["split"]
        if splits.setdefault(sample, split) != split:
            raise EchoLMError(
                f"{path}:{row.line}: {sample} is in split {split} and, above, in {splits[sample]}"
            )
    return splits


def _fatal(items: list[SourceItem]) -> list[str]:
    return [] if items else ["no video is usable"]


def _why_of_other_rows(measured: Mapping[str, MeasuredVideo]) -> list[str]:
    """Say that lengths and ends are of different rows in most videos, if they are."""
    several = {}
    for sample, video in measured.items():
        if len(video.calipers) > 1:
            several[sample] = video
    odd = [sample for sample, video in several.items() if video.contradiction()]
    if len(odd) < FEWEST_ODD or len(odd) <= MOST * len(several):
        return []
    return [
        f"{MEASUREMENTS}: the calipers of one video have different scales (cm a pixel) in "
        f"{len(odd)} of {counted(len(several), 'video')} ({odd[0]}): is CalcValue, or are X1, X2, "
        "Y1, Y2, shifted by a row or under other names? Correct the table, or trust it: "
        "--set disagreement=remark"
    ]


def _why_of_another_unit(measured: Mapping[str, MeasuredVideo], unit: Unit) -> list[str]:
    """Say that diameters cannot be in the unit that they are taken to be in, if so."""
    diameters = []
    for video in measured.values():
        diameters += [_number(row) for row in video.rows if row["Calc"] == "LVIDd"]
    known = np.array(diameters)[np.isfinite(diameters)]
    if not len(known):
        return []
    median = float(np.median(known)) / PER_CM[unit]
    if DIAMETER[0] <= median <= DIAMETER[1]:
        return []
    return [
        f"{MEASUREMENTS}: the median LVIDd is {median:.3g} cm, no diameter of hearts: is CalcValue "
        "in another unit? Set it: --set unit=mm (or cm)"
    ]


def _number(row: CsvRow) -> float:
    """Return a row's CalcValue, NaN where it is no number."""
    try:
        return row.number("CalcValue")
    except RowError:
        return np.nan
