"""Preparing a clip store: a dataset is decoded once, in parallel.

Stopped, a preparation continues. Unfinished, it is no store. With ``index_only`` the frames are
decoded once all the same, for the fingerprint and to make certain that the index gives them bit for
bit, but they are not kept.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from echolm.commands import Command
from echolm.datasets import DATASETS, Dataset, item_noun, scan_dataset
from echolm.datasets.scan import Problem, Scan, SourceItem
from echolm.errors import EchoLMError, StorageError
from echolm.files import fsync_folder
from echolm.progress import ProgressBar
from echolm.stores.check_videos import equal_files, problem_of
from echolm.stores.clips import (
    FRAMES,
    INFO,
    PARTIAL,
    ClipStore,
    choice_options,
    peek,
)
from echolm.stores.decode import Decoded, DecodeJob
from echolm.stores.items import LANDMARKS
from echolm.stores.plan import PLAN, begin, check_plan, make_plan
from echolm.stores.sampling import (
    SAMPLING_RULES,
    SamplingRule,
    frames_to_store,
    missing_values,
    why_left_out,
)
from echolm.stores.shards import Shards
from echolm.stores.writer import (
    StoredItem,
    fingerprint,
    write_index,
    write_info,
    write_json,
    write_problems,
)
from echolm.text import counted

LINE_SECONDS = 10.0
"""Seconds between lines of progress where there is no terminal."""
LARGEST_SIZE = 4096
"""Pixels, of the side of resized frames."""


def prepare(
    dataset: str | Dataset,
    source: Path,
    out: Path,
    clips: str = "ed-to-es-16",
    workers: int | None = None,
    progress: bool = True,
    skip_unreadable: bool = False,
    index_only: bool = False,
    keep_equal: bool = False,
    cache: Path | None = None,
    size: int | None = None,
) -> ClipStore:
    """Make the clip store ``out`` of a dataset, or open it when it is made already.

    Items that the dataset lists as unusable, and items without a value that the clip rule needs,
    are left out and written to ``problems.csv``. A stopped preparation continues. An ``out`` made
    from other files, with other choices, by another clip rule or at another size, is refused.

    Args:
        dataset: the dataset with its choices, or its name.
        source: the dataset's folder.
        out: the store's folder.
        clips: the clip rule, which chooses the frames to store.
        workers: decoding processes. None: one a core.
        progress: whether to show how far it is, on standard error.
        skip_unreadable: leave out files that do not decode, and write them to ``problems.csv``.
            Without it, they are an error, once all others are decoded.
        index_only: store no frames, read them from the videos. A store made already is told that
            the videos are at ``source`` now.
        keep_equal: store items whose frames equal those of an item of another split, and note them.
            Without it, they are an error, once all are decoded: what is learned from such a clip
            would be tested on it.
        cache: the workspace's folder that remembers which frames were checked.
        size: resize the frames to squares of this side in pixels, by the mean of the area that a
            new pixel covers. Proportions change where a frame is no square, and landmarks move with
            the pixels. None: frames stay as they are.
    """
    rule = SAMPLING_RULES.parse(clips)
    _check_size(size, index_only)
    chosen = DATASETS.parse(dataset)
    scan = scan_dataset(chosen, source)
    _check_usable(scan, chosen, source)
    out = Path(out).absolute()
    plan = make_plan(scan, chosen.choices(), clips, index_only, size)
    try:
        if (out / INFO).exists():
            info = peek(out)
            check_plan(out, info, plan, scan.former_identities)
            _note_videos_folder(out, info, scan)
        else:
            preparation = _Preparation(scan=scan, out=out, plan=plan, rule=rule)
            preparation.make(
                workers or len(os.sched_getaffinity(0)), progress, skip_unreadable, keep_equal
            )
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
    except OSError as error:
        reason = str(error)
        if not isinstance(error, StorageError):
            reason = f"{error.filename or out}: {error.strerror or error}"
        raise EchoLMError(f"{reason}; no store was made, type it again to continue") from error
    return ClipStore.open(out, cache)


def _check_size(size: int | None, index_only: bool) -> None:
    """Raise EchoLMError for a size that frames cannot have."""
    if size is None:
        return
    if index_only:
        raise EchoLMError(
            "--index-only with --size: frames that stay in the videos have the videos' size; "
            "store them, or leave --size out"
        )
    if not 1 <= size <= LARGEST_SIZE:
        raise EchoLMError(f"--size {size}: valid: 1 to {LARGEST_SIZE} pixels")


def _check_usable(scan: Scan, dataset: Dataset, source: Path) -> None:
    """Raise EchoLMError when something makes the whole set unusable."""
    if not scan.fatal:
        return
    reasons = "\n".join(f"{source}: {reason}" for reason in scan.fatal)
    if not scan.problems:
        raise EchoLMError(reasons)
    options = (str(source), *choice_options(dataset.choices()))
    check = Command("data check", target=dataset.name, options=options)
    raise EchoLMError(f"{reasons}; what is wrong", command=check)


def _note_videos_folder(out: Path, info: dict[str, Any], scan: Scan) -> None:
    """Keep where an index-only store finds its videos: the dataset may have moved."""
    if info.get("index_only") and info["videos"] != str(scan.root.absolute()):
        write_json(out / INFO, info | {"videos": str(scan.root.absolute())})


@dataclass
class _Preparation:
    """The making of one store."""

    scan: Scan
    out: Path
    plan: dict[str, Any]
    rule: SamplingRule

    def make(self, workers: int, progress: bool, skip_unreadable: bool, keep_equal: bool) -> None:
        """Decode the items and write the store, ``store.json`` last."""
        items, problems = self._items_with_values()
        _check_free(self.out)
        partial = self.out / PARTIAL
        partial.mkdir(parents=True, exist_ok=True)
        with _alone(partial):
            begin(self.out, self.plan)
            jobs = [self._job(item) for item in items]
            target = None if self.plan["index_only"] else self.out / FRAMES
            shards = Shards(partial, jobs, target)
            nouns = f"{item_noun(self.scan.reader)}s"
            _show_progress(shards.decode(workers), len(jobs), nouns, progress)
            stored, skipped, unreadable = self._collect(items, jobs, shards)
            _check_unreadable(self.out, unreadable, len(stored), nouns, skip_unreadable)
            if not stored:
                raise _nothing_to_store(self.scan, skipped)
            equal = self._equal_clips(stored)
            _check_equal(self.out, equal, keep_equal)
            shards.merge()
            self._finish(stored, self.scan.problems + problems + skipped + unreadable, equal)

    def _items_with_values(self) -> tuple[list[SourceItem], list[Problem]]:
        """Separate the items that have the values which the clip rule needs.

        Returns:
            These items, and a problem for each other item.

        Raises:
            EchoLMError: no item has them.
        """
        items = []
        problems = []
        notes = {note.sample: note for note in self.scan.notes}
        for item in self.scan.items:
            missing = missing_values(self.rule, item.values)
            if not missing:
                items.append(item)
                continue
            problem = Problem(self._file(item), None, item.sample, why_left_out(self.rule, missing))
            note = notes.get(item.sample)
            if note:
                problem = replace(note, reason=f"{note.reason}; {problem.reason}")
            problems.append(problem)
        if not items:
            raise _nothing_to_store(self.scan, problems)
        return items, problems

    def _job(self, item: SourceItem) -> DecodeJob:
        frames = None
        if item.frame_count is not None:
            frames = frames_to_store(self.rule, item.values, item.frame_count)
        return DecodeJob(
            path=item.path,
            frames=frames,
            sizes=item.sizes,
            index_only=self.plan["index_only"],
            files=item.files,
            frame_count=item.frame_count,
            rule=self.rule,
            values={name: item.values[name] for name in self.rule.needs},
            size=self.plan.get("size"),
            reading=item.reading,
            has_points=any(
                name.startswith(LANDMARKS) and points is not None
                for name, points in item.values.items()
            ),
        )

    def _collect(
        self, items: list[SourceItem], jobs: list[DecodeJob], shards: Shards
    ) -> tuple[list[StoredItem], list[Problem], list[Problem]]:
        """Return what became of the items.

        Returns:
            What was decoded, a problem for each item that is left out by choice, and one for each
            that could not be decoded.
        """
        stored = []
        skipped = []
        unreadable = []
        for item, job, result in zip(items, jobs, shards.results(), strict=True):
            if result.skipped:
                skipped.append(problem_of(self.scan.root, item, result.skipped))
            elif result.error:
                unreadable.append(problem_of(self.scan.root, item, result.error))
            else:
                stored.append(self._stored(item, job, result))
        return stored, skipped, unreadable

    def _stored(self, item: SourceItem, job: DecodeJob, result: Decoded) -> StoredItem:
        source = item
        if result.shown:
            shown_height, shown_width = result.shown
            scale = (result.width / shown_width, result.height / shown_height)
            source = replace(item, values=_scaled(item.values, scale))
        return StoredItem(
            source=source,
            frames=result.numbers(job),
            height=result.height,
            width=result.width,
            sha256=result.sha256,
            video=self._file(item) if job.index_only else "",
            packets=result.packets,
        )

    def _equal_clips(self, stored: list[StoredItem]) -> list[Problem]:
        """Return a problem for each item whose frames equal those of an item of another split.

        Equal files count too: two tracings of one video may choose other frames of it.
        """
        items = [item.source for item in stored]
        alike = equal_files(replace(self.scan, items=items))
        problems = {problem.sample: problem for problem in alike}
        first_with: dict[tuple[Any, ...], StoredItem] = {}
        for item in stored:
            key = (item.sha256, len(item.frames), item.height, item.width)
            first = first_with.setdefault(key, item)
            source = item.source
            if first.source.split != source.split and source.sample not in problems:
                reason = (
                    f"in split {source.split}, its frames are those of {first.source.sample} in "
                    f"split {first.source.split}"
                )
                problem = Problem(self._file(source), None, source.sample, reason)
                problems[source.sample] = problem
        kept = {item.source.sample for item in stored}
        return [problems[sample] for sample in sorted(kept & problems.keys())]

    def _file(self, item: SourceItem) -> str:
        """Return the path of an item's file in the dataset's folder."""
        return item.path.relative_to(self.scan.root).as_posix()

    def _finish(
        self, stored: list[StoredItem], problems: list[Problem], equal: list[Problem]
    ) -> None:
        """Write the store's files.

        Args:
            stored: the items.
            problems: why others were left out.
            equal: which items are kept although an item of another split equals them.
        """
        kept = [replace(problem, reason=f"{problem.reason}; kept") for problem in equal]
        write_problems(self.out, problems + kept)
        info = self.plan | {
            "index_sha256": write_index(self.out, stored),
            "problems": len(problems),
            "equal_clips": len(equal),
            "synthetic": self.scan.synthetic,
            "fingerprint": fingerprint(
                stored, self.plan["decoder"], self.plan["channel_rule"], self.plan.get("size")
            ),
        }
        reading = _reading_of(stored)
        if reading:
            info["reading"] = reading
        if self.plan["index_only"]:
            info["videos"] = str(self.scan.root.absolute())
        fsync_folder(self.out)  # a store never outlives its frames
        write_info(self.out, info, stored)


def _scaled(values: Mapping[str, Any], scale: tuple[float, float]) -> dict[str, Any]:
    """Return an item's values, with its landmarks where a resize moves them.

    The integer coordinate is a pixel's centre, so the picture begins at -0.5.

    Args:
        values: of the item.
        scale: new pixels an old one, of x and y.
    """
    scaled = dict(values)
    for name, points in values.items():
        if name.startswith(LANDMARKS) and points is not None:
            moved = (np.asarray(points, np.float64) + 0.5) * scale - 0.5
            scaled[name] = moved.astype(np.float32)
    return scaled


def _reading_of(stored: list[StoredItem]) -> dict[str, Any]:
    """Return what is done with stills, colour and codecs in another way than by default.

    Of items that differ in it, all their choices are listed.
    """
    chosen: dict[str, set[Any]] = defaultdict(set)
    for reading in {item.source.reading for item in stored}:
        for name, value in reading.choices().items():
            chosen[name].add(value)
    listed: dict[str, Any] = {}
    for name, values in sorted(chosen.items()):
        first, *others = sorted(values)
        listed[name] = [first, *others] if others else first
    return listed


def _nothing_to_store(scan: Scan, problems: list[Problem]) -> EchoLMError:
    """Make the error of a dataset of which every item is left out."""
    return EchoLMError(
        f"{scan.root}: no item can be stored; the first of {len(problems)}: {problems[0]}"
    )


def _check_free(out: Path) -> None:
    """Raise EchoLMError when the folder holds anything but an unfinished store."""
    if not out.is_dir() or (out / PARTIAL / PLAN).exists():
        return
    if set(os.listdir(out)) - {PARTIAL}:
        raise EchoLMError(
            f"{out}: holds other files and is no clip store; choose an empty or a new folder"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: a second preparation at the same time is an error. A kill lets go of it."""
    try:
        with FileLock(folder / "lock", blocking=False):
            yield
    except Timeout:
        raise EchoLMError(
            f"{folder.parent}: is being prepared by another process; wait for it"
        ) from None


def _check_unreadable(
    out: Path, unreadable: list[Problem], stored: int, nouns: str, skip: bool
) -> None:
    """Raise EchoLMError when files that do not decode may not be left out, or are all there is."""
    if not unreadable or (skip and stored):
        return
    count = len(unreadable)
    lines = [str(problem) for problem in unreadable]
    lines.append(f"{count} of {count + stored} {nouns} do not decode; all others are decoded")
    lines.append(
        f"replace these files, remove {out} and type it again; or leave them out: --skip-unreadable"
    )
    raise EchoLMError("\n".join(lines))


def _check_equal(out: Path, equal: list[Problem], keep: bool) -> None:
    """Raise EchoLMError when clips stand in two splits and nobody said that they may."""
    if not equal or keep:
        return
    lines = [str(problem) for problem in equal]
    lines.append(
        f"{counted(len(equal), 'clip')} of one split equal clips of another: what is learned from "
        "one would be tested on the other"
    )
    lines.append(
        f"take one of each pair out of the dataset's tables, remove {out} and type it again; "
        "or store them all and have the store say so: --keep-equal"
    )
    raise EchoLMError("\n".join(lines))


def _show_progress(steps: Iterator[int], total: int, nouns: str, progress: bool) -> None:
    """Run through ``steps``, each a number of jobs that are done. ``nouns``: what jobs decode.

    Shown are a progress bar on a terminal, else a line every few seconds, or nothing.
    """
    done = 0
    last_line = time.monotonic()
    with ProgressBar("decoding", nouns, total, hidden=not progress) as bar:
        lines = progress and not bar.shown
        for step in steps:
            done += step
            bar.advance(step)
            if lines and (done == total or time.monotonic() - last_line > LINE_SECONDS):
                last_line = time.monotonic()
                print(f"decoding: {done} of {total} {nouns}", file=sys.stderr, flush=True)
