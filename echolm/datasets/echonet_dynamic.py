"""EchoNet-Dynamic (Ouyang et al. 2020) in the layout that Stanford distributes.

``FileList.csv`` lists a video a row, ``VolumeTracings.csv`` a traced segment a row, ``Videos/``
holds the videos: 7,465 of train, 1,288 of val, 1,277 of test. A video has landmarks when exactly
two of its frames are traced, both by exactly 21 rows (EchoGraphs 2022: 7,394, 1,273 and 1,264).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.csv_rows import CsvRow, RowError
from echolm.datasets.echonet_files import (
    DYNAMIC_COLUMNS,
    FILE_LIST,
    VIDEOS,
    VideoFiles,
    patient_of,
    read_file_list,
    require,
)
from echolm.datasets.label_agreement import (
    Disagreement,
    contradicts_volumes,
    correlation_with_tracings,
    names_of,
    why_tracings_are_of_others,
    why_volumes_are_of_others,
)
from echolm.datasets.scan import (
    PHANTOM,
    SPLITS,
    Problem,
    Scan,
    SourceItem,
    files_identity,
    shared_patients,
)
from echolm.datasets.volume_tracings import (
    TRACINGS,
    NotTraced,
    TracedRows,
    TracingError,
    phases,
    read_tracings,
)
from echolm.geometry import area
from echolm.text import counted

LAYOUT = f"{FILE_LIST}, {TRACINGS} and {VIDEOS}/"
GRID = (112, 112)
"""Pixels of every video. Six rows of the file list state another size."""
LARGEST_SIDE = 65_535
"""Pixels. A JPEG cannot state more."""
MOST_FRAMES = 100_000
"""Frames of a video. EchoNet-Dynamic's have up to 1,002, and a store of whole videos lists the
number of each frame."""


@DATASETS.register
class EchoNetDynamic(Dataset):
    """Apical four-chamber videos with ejection fraction, volumes and the tracings of two frames.

    Attributes:
        disagreement: whether a set is refused in which many labels contradict each other, or
            whether that is a remark (see ``label_agreement``).
    """

    name: Literal["echonet-dynamic"] = "echonet-dynamic"
    noun: ClassVar[str] = "video"
    clip_rule: ClassVar[str] = "ed-to-es-16"
    without: ClassVar[str] = "landmarks"
    disagreement: Disagreement = "refuse"

    @classmethod
    def published_counts(cls, where: Mapping[str, Sequence[Any]]) -> Mapping[str, int]:
        """Return the videos of each split, as the published table lists them."""
        return {"train": 7465, "val": 1288, "test": 1277}

    def scan(self, root: Path) -> Scan:
        """List all usable videos at ``root``, and one problem for each that is not usable.

        Values of an item: ``fps``, ``ef`` (percent), ``esv``, ``edv`` (ml), and of one with
        landmarks ``ed``, ``es`` (frame numbers), ``es_before_ed``, ``landmarks_ed``,
        ``landmarks_es`` (40 x 2 float32, pixels of the video). A note says why an item has none.

        Raises:
            EchoLMError: a table or the folder of videos is missing, or a header lacks a column.
        """
        require(root, (FILE_LIST, TRACINGS, VIDEOS), LAYOUT)
        videos = VideoFiles.look_in(root, (VIDEOS,))
        listed, problems = read_file_list(root, FILE_LIST, DYNAMIC_COLUMNS)
        tracings = read_tracings(root / TRACINGS)
        known = {*listed, *(problem.sample for problem in problems)}
        problems += _unlisted(tracings, known)
        problems += videos.unlisted(known, FILE_LIST)
        found = _Found(videos)
        for sample in sorted(listed):
            found.add(sample, listed[sample], tracings.get(sample, TracedRows()))
        problems += found.problems
        items = found.items
        traced = [item for item in items if _is_traced(item)]
        odd = contradicts_volumes(items)
        correlation = _correlation(traced)
        contradictions = [
            why_volumes_are_of_others(odd, len(items), FILE_LIST),
            why_tracings_are_of_others(correlation, len(traced), f"{FILE_LIST}, {TRACINGS}"),
        ]
        contradictions = [reason for reason in contradictions if reason]
        refused = self.disagreement == "refuse"
        identity = _identity(videos, items)
        return Scan(
            reader=self.name,
            root=root,
            items=items,
            problems=problems,
            fatal=_fatal(items) + (contradictions if refused else []),
            identity=identity,
            synthetic=(root / PHANTOM).is_file(),
            facts={
                "es_traced_first": _count_es_first(traced, tracings),
                "with_landmarks": len(traced),
                "ef_contradicts_volumes": len(odd),
                "remarks": _remarks(items, traced, odd) + ([] if refused else contradictions),
            },
            notes=found.notes,
            former_identities=_former_identities(videos, traced, identity),
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate ``items`` videos of beating ventricles (``phantom.generate``)."""
        from echolm.datasets.phantom.generate import generate_phantom

        generate_phantom(folder, items, seed, clips_per_patient, progress=progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say in how many videos the order of rows would have named the phases wrongly."""
        count = scan.facts["es_traced_first"]
        order = f"ED is the larger of the two traced areas; ES is traced first in {count} videos"
        return [order, *scan.facts["remarks"]]


def _unlisted(tracings: dict[str, TracedRows], known: set[str]) -> list[Problem]:
    """Return a problem for each traced video that the file list does not have."""
    problems = []
    for sample, traced in tracings.items():
        if sample not in known:
            problems.append(Problem(TRACINGS, traced.line, sample, f"is not in {FILE_LIST}"))
    return problems


@dataclass
class _Found:
    """What the rows of the file list came to.

    Attributes:
        videos: the files of the folder of videos.
        items: the videos that can be used.
        problems: why others cannot.
        notes: why items have no landmarks.
    """

    videos: VideoFiles
    items: list[SourceItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def add(self, sample: str, row: CsvRow, traced: TracedRows) -> None:
        """Take a row of the file list and the tracings of its video."""
        try:
            item = _make_item(self.videos, sample, row)
        except RowError as error:
            self.problems.append(Problem(FILE_LIST, row.line, sample, str(error)))
            return
        try:
            item = _with_landmarks(item, traced)
        except TracingError as error:
            table, line = (TRACINGS, error.line) if error.line else (FILE_LIST, row.line)
            problem = Problem(table, line, sample, str(error))
            if not isinstance(error, NotTraced):
                # Coordinates that no ventricle has: nobody knows what else of the video is wrong.
                self.problems.append(problem)
                return
            self.notes.append(problem)
        self.items.append(item)


def _make_item(videos: VideoFiles, sample: str, row: CsvRow) -> SourceItem:
    """Make the item of a row of the file list. RowError: the row cannot be used."""
    split = row["Split"].lower()
    if split not in SPLITS:
        raise RowError(f"Split is {row['Split']!r}; valid: {', '.join(SPLITS).upper()}")
    patient = patient_of(row, sample)
    targets = _targets(row)
    height = _positive(row, "FrameHeight", LARGEST_SIDE)
    width = _positive(row, "FrameWidth", LARGEST_SIDE)
    count = _positive(row, "NumberOfFrames", MOST_FRAMES)
    return SourceItem(
        sample=sample,
        patient=patient,
        split=split,
        path=videos.root / videos.find(sample),
        frame_count=count,
        sizes=tuple(sorted({GRID, (height, width)})),
        values=targets,
    )


def _with_landmarks(item: SourceItem, traced: TracedRows) -> SourceItem:
    """Return an item with the values of its tracings. TracingError: it has none to use."""
    assert item.frame_count is not None
    found = phases(traced, item.frame_count, item.sizes)
    es_before_ed = found.es < found.ed
    values = {**item.values, **vars(found), "es_before_ed": es_before_ed}
    return replace(item, values=values)


def _targets(row: CsvRow) -> dict[str, float]:
    targets = {name: row.number(name.upper()) for name in ("ef", "esv", "edv", "fps")}
    if targets["fps"] <= 0:
        raise RowError(f"FPS is {row['FPS']!r}; it must be above 0")
    return targets


def _positive(row: CsvRow, column: str, most: int) -> int:
    value = row.integer(column)
    if value <= 0:
        raise RowError(f"{column} is {row[column]!r}; it must be above 0")
    if value > most:
        raise RowError(f"{column} is {row[column]!r}; valid: 1 to {most}")
    return value


def _is_traced(item: SourceItem) -> bool:
    return "ed" in item.values


def _fatal(items: list[SourceItem]) -> list[str]:
    """Say what makes the set unusable: no usable video, or patients in more than one split."""
    if not items:
        return ["no video is usable"]
    return [f"{FILE_LIST}: {reason}" for reason in shared_patients(items)]


def _correlation(traced: list[SourceItem]) -> float | None:
    """Return the correlation of EF with the traced areas (see ``label_agreement``)."""
    if not traced:
        return None
    areas = []
    for name in ("landmarks_ed", "landmarks_es"):
        areas.append(area(np.stack([item.values[name] for item in traced])))
    return correlation_with_tracings(traced, np.stack(areas, axis=1))


def _identity(videos: VideoFiles, items: list[SourceItem]) -> str:
    sizes = {item.path.name: videos.sizes[f"{VIDEOS}/{item.path.name}"] for item in items}
    return files_identity(videos.root, (FILE_LIST, TRACINGS), sizes)


def _former_identities(
    videos: VideoFiles, traced: list[SourceItem], identity: str
) -> tuple[str, ...]:
    """Return the identity of the same files when only videos with landmarks were items."""
    former = _identity(videos, traced)
    return () if former == identity else (former,)


def _remarks(items: list[SourceItem], traced: list[SourceItem], odd: list[SourceItem]) -> list[str]:
    """Say how many items have landmarks, and whose labels contradict each other."""
    remarks = []
    if len(traced) < len(items):
        counts = Counter(item.split for item in traced)
        splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        remarks.append(f"with landmarks: {counted(len(traced), 'video')} ({splits})")
    if odd:
        remarks.append(
            f"EF is not 100 (EDV - ESV) / EDV in {counted(len(odd), 'video')} ({names_of(odd)})"
        )
    return remarks


def _count_es_first(items: list[SourceItem], tracings: dict[str, TracedRows]) -> int:
    """Count the items with landmarks whose first traced frame in the file is ES."""
    count = 0
    for item in items:
        first_frame = next(iter(tracings[item.sample].frames))
        if first_frame == item.values["es"]:
            count += 1
    return count
