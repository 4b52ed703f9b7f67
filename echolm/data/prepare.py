"""Preparing a clip store: a dataset is decoded once, in parallel; stopped, it continues; unfinished, it is no store.

With ``index_only`` the frames are decoded once all the same, for the fingerprint and to make certain that the index gives
them bit for bit, but they are not kept.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from echolm.data.clips import check_rule, stored_frames
from echolm.data.parts import Job, Parts
from echolm.data.scan import Problem, Scan, SourceItem, scan
from echolm.data.store import FRAMES, INFO, PARTIAL, SCHEMA, ClipStore, peek
from echolm.data.video import CHANNEL_RULE, DECODER
from echolm.data.writer import StoredItem, fingerprint, write_index, write_info, write_json, write_problems
from echolm.errors import EchoLMError, StorageError
from echolm.record import read_json, settle, write_atomic

PLAN = "plan.json"
LINE_SECONDS = 10.0
"""Seconds between lines of progress where there is no terminal."""


def prepare(
    reader: str,
    source: Path,
    out: Path,
    clips: str = "ed-to-es-16",
    workers: int | None = None,
    progress: bool = True,
    skip_unreadable: bool = False,
    index_only: bool = False,
) -> ClipStore:
    """Make the clip store ``out`` of dataset ``reader`` at ``source``, or open it when it is made already.

    Items the reader lists as unusable are left out and written to ``problems.csv``. Videos that do not decode are an
    error, once all others are decoded; with ``skip_unreadable`` they are left out and written there too. A stopped
    preparation continues; an ``out`` made from other files, or by another clip rule, is refused.
    ``workers``: decoding processes (None: one a core). ``index_only``: store no frames, read them from the videos; made
    already, it is told that the videos are at ``source`` now.
    """
    check_rule(clips)
    found = scan(reader, source)
    if found.fatal:
        why = f"; what is wrong: {shlex.join(['echolm', 'data', 'check', reader, str(source)])}" if found.problems else ""
        raise EchoLMError("\n".join(f"{source}: {reason}" for reason in found.fatal) + why)
    out, plan = Path(out).absolute(), _plan(found, clips, index_only)
    try:
        if (out / INFO).exists():
            info = peek(out)
            _check_plan(out, info, plan)
            _note_place(out, info, found)
        else:
            _make(found, out, plan, workers or len(os.sched_getaffinity(0)), progress, skip_unreadable)
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
    except OSError as error:
        what = str(error) if isinstance(error, StorageError) else f"{error.filename or out}: {error.strerror or error}"
        raise EchoLMError(f"{what}; no store was made, type it again to continue") from error
    return ClipStore.open(out)


def _plan(found: Scan, clips: str, index_only: bool) -> dict[str, Any]:
    """What decides a store's content, beside the code: a store or an unfinished one must agree with it."""
    made_by = {"schema": SCHEMA, "decoder": DECODER, "channel_rule": CHANNEL_RULE, "index_only": index_only}
    return made_by | {"reader": found.reader, "clips": clips, "source": found.identity}


def _check_plan(out: Path, made: dict[str, Any], plan: dict[str, Any]) -> None:
    names = {"source": "from other files", "clips": "by another clip rule", "index_only": "with another --index-only"}
    for name, wanted in plan.items():
        found = made.get(name, False if name == "index_only" else None)
        if found != wanted:
            what = names.get(name, f"with another {name}")
            given = f" ({found}; asked for: {wanted})" if name != "source" else ""
            raise EchoLMError(f"{out}: was made {what}{given}; choose another folder or name, or remove it first")


def _note_place(out: Path, info: dict[str, Any], found: Scan) -> None:
    """Keep where an index-only store finds its videos: the dataset may have moved."""
    if info.get("index_only") and info["videos"] != str(found.root.absolute()):
        write_json(out / INFO, info | {"videos": str(found.root.absolute())})


def _make(found: Scan, out: Path, plan: dict[str, Any], workers: int, progress: bool, skip_unreadable: bool) -> None:
    _check_free(out)
    (out / PARTIAL).mkdir(parents=True, exist_ok=True)
    with _alone(out / PARTIAL):
        _begin(out, plan)
        jobs = [_job(item, plan) for item in found.items]
        parts = Parts(out / PARTIAL, jobs, None if plan["index_only"] else out / FRAMES)
        _show(parts.decode(workers), len(jobs), progress)
        stored, unreadable = [], []
        for item, job, result in zip(found.items, jobs, parts.results(), strict=True):
            video = item.path.relative_to(found.root).as_posix()
            if result.error:
                unreadable.append(Problem(video, None, item.sample, result.error.removeprefix(f"{item.path}: ")))
            else:
                where = (video, result.packets) if plan["index_only"] else ()
                stored.append(StoredItem(item, job.frames, result.height, result.width, result.sha256, *where))
        _check_unreadable(out, unreadable, len(stored), skip_unreadable)
        parts.merge()
        _finish(found, out, plan, stored, found.problems + unreadable)


def _check_free(out: Path) -> None:
    """EchoLMError when the folder holds anything but an unfinished store."""
    if out.is_dir() and not (out / PARTIAL / PLAN).exists() and set(os.listdir(out)) - {PARTIAL}:
        raise EchoLMError(f"{out}: holds other files and is no clip store; choose an empty or a new folder")


def _begin(out: Path, plan: dict[str, Any]) -> None:
    """Check that what is there is of the same plan, and remove what a killed process was writing; or write the plan."""
    file = out / PARTIAL / PLAN
    if file.exists():
        _check_plan(out, _read_plan(file), plan)
    else:
        for path in (out / PARTIAL).glob("part-*"):
            path.unlink()  # of no known plan
        write_atomic(file, json.dumps(plan).encode())
    for folder in (out, out / PARTIAL):
        for path in folder.glob("*.tmp"):
            path.unlink()


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except EchoLMError:
        raise EchoLMError(f"{file}: damaged; remove {file.parent.parent} and type it again") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: a second preparation of it at the same time is an error. A kill lets go of it."""
    try:
        with FileLock(folder / "lock", blocking=False):
            yield
    except Timeout:
        raise EchoLMError(f"{folder.parent}: is being prepared by another process; wait for it") from None


def _job(item: SourceItem, plan: dict[str, Any]) -> Job:
    frames = stored_frames(plan["clips"], item.values["ed"], item.values["es"], item.frame_count)
    return Job(item.path, frames, item.sizes, plan["index_only"])


def _check_unreadable(out: Path, unreadable: list[Problem], stored: int, skip: bool) -> None:
    if not unreadable or (skip and stored):
        return
    lines = [str(problem) for problem in unreadable]
    lines.append(f"{len(unreadable)} of {len(unreadable) + stored} videos do not decode; all others are decoded")
    lines.append(f"replace these files, remove {out} and type it again; or leave them out: --skip-unreadable")
    raise EchoLMError("\n".join(lines))


def _finish(found: Scan, out: Path, plan: dict[str, Any], stored: list[StoredItem], problems: list[Problem]) -> None:
    write_problems(out, problems)
    info = plan | {
        "index_sha256": write_index(out, stored),
        "problems": len(problems),
        "synthetic": found.synthetic,
        "fingerprint": fingerprint(stored, plan["decoder"], plan["channel_rule"]),
    }
    if plan["index_only"]:
        info["videos"] = str(found.root.absolute())
    settle(out)  # a store never outlives its frames
    write_info(out, info, stored)


def _show(steps: Iterator[int], total: int, progress: bool) -> None:
    """Run through ``steps``: a progress bar on a terminal, else a line every few seconds, or nothing."""
    from tqdm import tqdm

    bar = tqdm(total=total, unit="video", desc="decoding", disable=not (progress and sys.stderr.isatty()))
    done, told = 0, time.monotonic()
    with bar:
        for step in steps:
            done += step
            bar.update(step)
            if progress and bar.disable and (done == total or time.monotonic() - told > LINE_SECONDS):
                told = time.monotonic()
                print(f"decoding: {done} of {total} videos", file=sys.stderr, flush=True)
