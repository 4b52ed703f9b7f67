"""The reader of EchoNet-Dynamic (Ouyang et al. 2020) in the layout Stanford distributes.

``FileList.csv`` lists a video a row, ``VolumeTracings.csv`` a traced segment a row, ``Videos/`` holds the videos.
A video is usable when exactly two of its frames are traced, both by exactly 21 rows (EchoGraphs 2022: 7,394 of train,
1,273 of val, 1,264 of test).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from pathlib import Path
from typing import Any

from echolm.data.scan import PHANTOM, SPLITS, Problem, Scan, SourceItem
from echolm.data.tables import Row, RowError, read_rows
from echolm.data.volume_tracings import TRACINGS, Traced, TracingError, phases, read_tracings, sample_id
from echolm.errors import EchoLMError
from echolm.identity import canonical_json

NAME = "echonet-dynamic"
FILE_LIST = "FileList.csv"
COLUMNS = ("FileName", "EF", "ESV", "EDV", "FrameHeight", "FrameWidth", "FPS", "NumberOfFrames", "Split")
PATIENT = "Patient"
"""Optional column; without it a video is a patient, as the dataset is described."""
VIDEOS = "Videos"
GRID = (112, 112)
"""Pixels of every video; six rows of the file list state another size."""
LARGEST_SIDE = 65_535
"""Pixels; a JPEG cannot state more."""
MOST_FRAMES = 100_000
"""Frames of a video; EchoNet-Dynamic's have up to 1,002, and a store of whole videos lists the number of each frame."""


def scan(root: Path) -> Scan:
    """All usable videos of the dataset at ``root``, and one problem for each item that is not usable.

    Values of an item: ``ed``, ``es`` (frame numbers), ``es_before_ed``, ``fps``, ``ef`` (percent), ``esv``, ``edv``
    (ml), ``landmarks_ed``, ``landmarks_es`` (40 x 2 float32, pixels of the video).
    EchoLMError: a table or the folder of videos is missing, or a header lacks a column.
    """
    sizes = _video_sizes(root)
    listed, problems = _listed(root)
    tracings = read_tracings(root / TRACINGS)
    problems += _unlisted(tracings, {*listed, *(problem.sample for problem in problems)})
    found = [_item_or_problem(root, row, tracings.get(sample, Traced()), sizes) for sample, row in listed.items()]
    items = sorted((item for item in found if isinstance(item, SourceItem)), key=lambda item: item.sample)
    problems += [problem for problem in found if isinstance(problem, Problem)]
    es_first = sum(next(iter(tracings[item.sample].frames)) == item.values["es"] for item in items)
    return Scan(
        reader=NAME,
        root=root,
        items=items,
        problems=problems,
        fatal=_fatal(items),
        identity=_identity(root, items, sizes),
        synthetic=(root / PHANTOM).is_file(),
        es_traced_first=es_first,
    )


def _video_sizes(root: Path) -> dict[str, int]:
    """File name -> bytes of every file in the folder of videos that can be reached."""
    for needed in (FILE_LIST, TRACINGS, VIDEOS):
        if not (root / needed).exists():
            layout = f"{FILE_LIST}, {TRACINGS} and {VIDEOS}/"
            raise EchoLMError(f"{root}: no {needed} here; give the folder that holds {layout}")
    try:
        with os.scandir(root / VIDEOS) as entries:
            found = {entry.name: _size(entry) for entry in entries}
    except OSError as error:
        raise EchoLMError(f"{root / VIDEOS}: cannot be listed: {error.strerror or error}") from error
    return {name: size for name, size in found.items() if size is not None}


def _size(entry: os.DirEntry[str]) -> int | None:
    """Bytes of a file; None of a folder, and of a link that leads nowhere or to where one may not look."""
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError:
        return None


def _listed(root: Path) -> tuple[dict[str, Row], list[Problem]]:
    """The rows of the file list by sample, and a problem for each row that names no file or repeats a name."""
    rows: dict[str, list[Row]] = defaultdict(list)
    problems = []
    for row, reason in read_rows(root / FILE_LIST, COLUMNS):
        sample = sample_id(row["FileName"])
        if not sample.strip(".") or set(sample) & set("/\\") or not sample.isprintable():
            reason = f"FileName {row['FileName']!r} is not the name of a file"
        if reason:
            problems.append(Problem(FILE_LIST, row.line, sample, reason))
        rows[sample].append(row)
    for sample, (first, *repeated) in rows.items():
        reason = f"the name stands in row {first.line} already; none of its rows is used"
        problems += [Problem(FILE_LIST, row.line, sample, reason) for row in repeated]
    bad = {problem.sample for problem in problems}
    return {sample: same[0] for sample, same in rows.items() if sample not in bad}, problems


def _unlisted(tracings: dict[str, Traced], known: set[str]) -> list[Problem]:
    """A problem for each traced video that the file list does not have."""
    missing = ((sample, traced) for sample, traced in tracings.items() if sample not in known)
    return [Problem(TRACINGS, traced.line, sample, f"is not in {FILE_LIST}") for sample, traced in missing]


def _item_or_problem(root: Path, row: Row, traced: Traced, sizes: dict[str, int]) -> SourceItem | Problem:
    sample = sample_id(row["FileName"])
    try:
        return _item(root, sample, row, traced, sizes)
    except RowError as error:
        return Problem(FILE_LIST, row.line, sample, str(error))
    except TracingError as error:
        return Problem(TRACINGS if error.line else FILE_LIST, error.line or row.line, sample, str(error))


def _item(root: Path, sample: str, row: Row, traced: Traced, sizes: dict[str, int]) -> SourceItem:
    file = f"{sample}.avi"
    split = row["Split"].lower()
    if split not in SPLITS:
        raise RowError(f"Split is {row['Split']!r}; valid: {', '.join(SPLITS).upper()}")
    patient = row.get(PATIENT, sample)
    if not patient or not patient.isprintable():
        raise RowError(f"{PATIENT} is {patient!r}" if patient else f"{PATIENT} is empty")
    values = _values(row)
    listed = _positive(row, "FrameHeight", LARGEST_SIDE), _positive(row, "FrameWidth", LARGEST_SIDE)
    count = _positive(row, "NumberOfFrames", MOST_FRAMES)
    if file not in sizes:
        raise RowError(f"no video {VIDEOS}/{file}{_why(root / VIDEOS / file)}")
    sizes_that_fit = tuple(sorted({GRID, listed}))
    found = phases(traced, count, (max(GRID[0], listed[0]), max(GRID[1], listed[1])))
    values |= vars(found) | {"es_before_ed": found.es < found.ed}
    return SourceItem(sample, patient, None, split, root / VIDEOS / file, count, sizes_that_fit, values)


def _why(video: Path) -> str:
    """In brackets, what is there instead of a file."""
    try:
        return " (it is a folder)" if stat.S_ISDIR(video.stat().st_mode) else " (it is no file)"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f" ({error.strerror or error})"


def _values(row: Row) -> dict[str, Any]:
    values = {name: row.number(name.upper()) for name in ("ef", "esv", "edv", "fps")}
    if values["fps"] <= 0:
        raise RowError(f"FPS is {row['FPS']!r}; it must be above 0")
    return values


def _positive(row: Row, column: str, most: int) -> int:
    value = row.integer(column)
    if value <= 0:
        raise RowError(f"{column} is {row[column]!r}; it must be above 0")
    if value > most:
        raise RowError(f"{column} is {row[column]!r}; valid: 1 to {most}")
    return value


def _fatal(items: list[SourceItem]) -> list[str]:
    """No usable video, or patients in more than one split: what was learned from them would be tested on them."""
    if not items:
        return ["no video is usable"]
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for item in items:
        splits[item.patient].setdefault(item.split, item.sample)
    shared = [(patient, found.items()) for patient, found in splits.items() if len(found) > 1]
    told = [(patient, " and ".join(f"{split} ({sample})" for split, sample in found)) for patient, found in shared]
    return [f"{FILE_LIST}: patient {patient} is in {where}" for patient, where in told]


def _identity(root: Path, items: list[SourceItem], sizes: dict[str, int]) -> str:
    """SHA-256 over the tables' bytes and the name and size of each usable video."""
    tables = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in (FILE_LIST, TRACINGS)}
    videos = [[item.path.name, sizes[item.path.name]] for item in items]
    return hashlib.sha256(canonical_json({"tables": tables, "videos": videos}).encode()).hexdigest()
