"""Open the videos of a scanned dataset before anything is prepared.

Of each video the header, the first and the last frame are read. That finds files that are empty,
truncated, or no videos, in a small part of the time that decoding them takes. A video that is
damaged between the two frames is found by ``prepare``.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from echolm.datasets import Dataset, item_noun, scan_dataset
from echolm.datasets.scan import Problem, Scan, SourceItem
from echolm.errors import EchoLMError
from echolm.media.mhd import LARGEST_HEADER, data_file, is_mhd
from echolm.media.read import read_video
from echolm.media.reading import Skipped
from echolm.progress import ProgressBar
from echolm.stores.decode import why_of_another_size

AT_ONCE = 1024
"""Items that wait for a thread."""


def check_dataset(
    dataset: str | Dataset, root: Path, videos: bool = True, progress: bool = True
) -> Scan:
    """Scan a dataset, and open its videos.

    Args:
        dataset: the dataset with its choices, or its name.
        root: the dataset's folder.
        videos: whether to open them. Without it, only the tables are read.
        progress: whether to show a progress bar on a terminal.

    Returns:
        The scan without the items whose files cannot be used. These, and files that are equal in
        two splits, are among its problems. Items that the dataset's choices leave out are skipped.

    Raises:
        EchoLMError: the dataset is unknown, or its tables cannot be read at all.
    """
    scan = scan_dataset(dataset, root)
    if not videos:
        return scan
    opened = open_items(scan, progress)
    bad = {problem.sample for problem in (*opened.unreadable, *opened.skipped)}
    items = [item for item in scan.items if item.sample not in bad]
    fatal = list(scan.fatal)
    if scan.items and not items:
        fatal.append(f"no {item_noun(scan.reader)} can be read")
    notes = [note for note in scan.notes if note.sample not in bad]
    skipped = scan.skipped + opened.skipped
    readable = replace(scan, items=items, fatal=fatal, notes=notes, skipped=skipped)
    problems = scan.problems + opened.unreadable + equal_files(readable)
    return replace(readable, problems=problems)


@dataclass(frozen=True)
class OpenedItems:
    """What was found by opening the files of items.

    Attributes:
        unreadable: items whose file does not give its first and last frame.
        skipped: items that the dataset's choices leave out.
    """

    unreadable: list[Problem]
    skipped: list[Problem]


def open_items(scan: Scan, progress: bool = True) -> OpenedItems:
    """Open the files of all items.

    Args:
        scan: of the dataset.
        progress: whether to show a progress bar on a terminal.
    """
    found = OpenedItems([], [])
    noun = f"{item_noun(scan.reader)}s"
    # Threads are enough: what takes time is the disk, and decoders that hold no lock of Python's.
    workers = len(os.sched_getaffinity(0))
    with (
        ThreadPoolExecutor(workers) as pool,
        ProgressBar("opening", noun, len(scan.items), hidden=not progress) as bar,
    ):
        for start in range(0, len(scan.items), AT_ONCE):
            items = scan.items[start : start + AT_ONCE]
            for item, why in zip(items, pool.map(_why_left_out, items), strict=True):
                bar.advance()
                if why.reason:
                    problem = problem_of(scan.root, item, why.reason)
                    (found.skipped if why.is_choice else found.unreadable).append(problem)
    return found


def problem_of(root: Path, item: SourceItem, error: str) -> Problem:
    """Make the problem of an item from an error that begins with the path of one of its files.

    Args:
        root: the dataset's folder.
        item: the item.
        error: what is wrong. Without such a path, it is about the item's first file.
    """
    file = item.path
    for path in item.all_files:
        if error.startswith(f"{path}: "):
            file = path
    reason = error.removeprefix(f"{file}: ")
    return Problem(file.relative_to(root).as_posix(), None, item.sample, reason)


@dataclass(frozen=True)
class _LeftOut:
    """Why an item cannot be used. ``is_choice``: by the dataset's choices, and by no fault."""

    reason: str = ""
    is_choice: bool = False


def _why_left_out(item: SourceItem) -> _LeftOut:
    """Open an item's files, and say why they cannot be used or are left out by choice."""
    try:
        if not item.files:
            return _LeftOut(_why_file_unreadable(item, item.path, item.frame_count))
        for file in item.files:
            reason = _why_file_unreadable(item, file, None)
            if reason:
                return _LeftOut(reason)
    except Skipped as skipped:
        return _LeftOut(str(skipped), is_choice=True)
    except EchoLMError as error:
        return _LeftOut(str(error))
    return _LeftOut()


def _why_file_unreadable(item: SourceItem, file: Path, frame_count: int | None) -> str:
    """Say that a file's pictures are of another size, or ''. EchoLMError: it cannot be read.

    Args:
        item: whose file it is.
        file: the file.
        frame_count: how many frames it should hold. None: not known. Then its first is read.
    """
    reading = item.reading
    if item.files:
        reading = replace(reading, stills="keep")  # a still that is a part of a clip
    wanted = {0} if frame_count is None else {0, frame_count - 1}
    frames = read_video(file, sorted(wanted), reading=reading).frames
    reason = why_of_another_size(frames.shape[1:], item.sizes)
    return f"{file}: {reason}" if reason else ""


def equal_files(scan: Scan) -> list[Problem]:
    """Return a problem for each item with a file that equals, byte for byte, one of another split.

    Only files of one size are read. Of a header (``.mhd``), the file with its pixels counts. The
    same clip in another coding is found by ``prepare``, which compares frames.
    """
    by_size: dict[int, list[tuple[Path, SourceItem]]] = defaultdict(list)
    for item in scan.items:
        for file in item.all_files:
            try:
                pixels = _file_of_pixels(file)
                by_size[pixels.stat().st_size].append((pixels, item))
            except (OSError, EchoLMError):
                continue  # told by whoever opens it
    problems: dict[str, Problem] = {}
    for same_size in by_size.values():
        if len({item.split for _, item in same_size}) > 1:
            for problem in _equal_contents(scan.root, same_size):
                problems.setdefault(problem.sample, problem)
    return [problems[sample] for sample in sorted(problems)]


def _file_of_pixels(file: Path) -> Path:
    """Return the file that holds the pixels of a file, which may be a header of MetaImage.

    Headers are small, so only small files are opened.
    """
    is_small = file.stat().st_size <= LARGEST_HEADER
    return data_file(file) if is_small and is_mhd(file) else file


def _equal_contents(root: Path, files: Iterable[tuple[Path, SourceItem]]) -> list[Problem]:
    first_with: dict[str, SourceItem] = {}
    problems = []
    for path, item in files:
        try:
            with open(path, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError:
            continue
        first = first_with.setdefault(digest, item)
        if first.split != item.split:
            file = path.relative_to(root).as_posix()
            reason = (
                f"in split {item.split}, its file is byte for byte that of {first.sample} in split "
                f"{first.split}"
            )
            problems.append(Problem(file, None, item.sample, reason))
    return problems
