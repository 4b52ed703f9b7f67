"""Decoding a dataset in parts, by several processes, so that a stopped preparation continues where it was.

A part is a run of items. Its frames go to ``part-N.bin``, then what was decoded to ``part-N.json``: with the second
file the part is done. Merging appends the parts in order and deletes each once its bytes are on disk. Where no frames
are stored, a part is its ``part-N.json`` alone.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from echolm.data.dicom import is_dicom
from echolm.data.video import index_packets, read_packets, read_video
from echolm.errors import EchoLMError
from echolm.record import atomic, write_atomic, writing

PART = 64
"""Items of a part."""
COPY_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Job:
    """One video to decode: its file, the frames to hold (T,), the sizes (height, width) its labels fit, and whether
    the frames' packets are to be indexed instead of storing what they decode to."""

    path: Path
    frames: np.ndarray
    sizes: tuple[tuple[int, int], ...]
    index_only: bool = False


@dataclass(frozen=True)
class Decoded:
    """What became of a job: height, width and SHA-256 of its T*H*W bytes, the packets (T, 3) if they were indexed, or
    the error."""

    height: int = 0
    width: int = 0
    sha256: str = ""
    error: str = ""
    packets: list[list[int]] = field(default_factory=list)


class Parts:
    """The parts of one preparation, in a folder of their own."""

    def __init__(self, folder: Path, jobs: list[Job], target: Path | None) -> None:
        """``target`` gets the merged frames; once it exists, every part has been decoded. None: no frames are stored."""
        self.folder = folder
        self.target = target
        self.jobs = [jobs[start : start + PART] for start in range(0, len(jobs), PART)]

    def decode(self, workers: int) -> Iterator[int]:
        """Decode what is missing, damaged or failed before; yields how many jobs are done with, as it goes.

        StorageError: a part cannot be written.
        """
        missing = [number for number in range(len(self.jobs)) if not self._done(number)]
        yield sum(len(jobs) for jobs in self.jobs) - sum(len(self.jobs[number]) for number in missing)
        work = [(self._frames(number), self._file(number, "json"), self.jobs[number]) for number in missing]
        if workers == 1 or len(work) <= 1:
            yield from (_decode_part(*part) for part in work)
        else:
            yield from _in_processes(work, min(workers, len(work)))

    def results(self) -> list[Decoded]:
        """What became of each job, in order. EchoLMError: a part's results are damaged."""
        return [Decoded(**entry) for number in range(len(self.jobs)) for entry in self._results(number)]

    def merge(self) -> None:
        """Append the parts' frames to the target; started again after a stop, it goes on where it was.

        StorageError: the target cannot be written. EchoLMError: a part is not there.
        """
        if self.target is None:
            return
        end = 0
        with writing(self.target), open(self.target, "ab") as merged:
            for number in range(len(self.jobs)):
                start, end = end, end + self._size(number)
                if merged.tell() < end:
                    merged.truncate(start)
                    merged.seek(start)
                    self._append(number, merged)
                self._file(number, "bin").unlink(missing_ok=True)

    def _append(self, number: int, merged: BinaryIO) -> None:
        file = self._file(number, "bin")
        try:
            part = open(file, "rb")
        except OSError as error:
            again = f"remove {self.folder.parent} and type it again"
            raise EchoLMError(f"{file}: cannot be read: {error.strerror or error}; {again}") from error
        with part:
            shutil.copyfileobj(part, merged, COPY_BYTES)
        merged.flush()
        os.fsync(merged.fileno())

    def _done(self, number: int) -> bool:
        if self.target and self.target.exists():
            return True
        frames = self._frames(number)
        try:
            failed = any(entry["error"] for entry in self._results(number))
            return not failed and (frames is None or frames.stat().st_size == self._size(number))
        except (EchoLMError, FileNotFoundError):
            return False

    def _size(self, number: int) -> int:
        """Bytes of a part's frames."""
        pairs = zip(self.jobs[number], self._results(number), strict=True)
        return sum(len(job.frames) * entry["height"] * entry["width"] for job, entry in pairs)

    def _results(self, number: int) -> list[dict[str, Any]]:
        file = self._file(number, "json")
        try:
            entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
            whole = [vars(Decoded(**entry)) for entry in entries]
        except (ValueError, TypeError):
            whole = []
        if len(whole) != len(self.jobs[number]):
            raise EchoLMError(f"{file}: damaged; remove {self.folder.parent} and type it again")
        return whole

    def _frames(self, number: int) -> Path | None:
        return self._file(number, "bin") if self.target else None

    def _file(self, number: int, kind: str) -> Path:
        return self.folder / f"part-{number:05d}.{kind}"


def _in_processes(work: list[tuple[Path | None, Path, list[Job]]], workers: int) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        for done in as_completed([pool.submit(_decode_part, *part) for part in work]):
            yield done.result()
    except BrokenProcessPool as error:
        raise EchoLMError("a decoding process died (out of memory?); type the command again to continue") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this process when the one that started it does: after a kill it would wait for work forever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_part(frames: Path | None, results: Path, jobs: list[Job]) -> int:
    if frames is None:
        entries = [_decode(job)[0] for job in jobs]
    else:
        entries = _decode_to(frames, jobs)
    write_atomic(results, json.dumps([vars(entry) for entry in entries]).encode())
    return len(jobs)


def _decode_to(frames: Path, jobs: list[Job]) -> list[Decoded]:
    entries = []
    with atomic(frames) as file:
        for job in jobs:
            entry, content = _decode(job)
            file.write(content)
            entries.append(entry)
    return entries


def _decode(job: Job) -> tuple[Decoded, bytes]:
    try:
        frames = read_video(job.path, job.frames.tolist()).frames
        packets = _index(job, frames) if job.index_only else []
    except EchoLMError as error:
        return Decoded(error=str(error)), b""
    height, width = frames.shape[1:]
    if (height, width) not in job.sizes:
        fit = " or ".join(f"{w} x {h}" for h, w in job.sizes)
        return Decoded(error=f"{job.path}: is {width} x {height} pixels; its labels are for {fit}"), b""
    content = frames.tobytes()
    return Decoded(height, width, hashlib.sha256(content).hexdigest(), packets=packets), content


def _index(job: Job, frames: np.ndarray) -> list[list[int]]:
    """The packets of the job's frames, once it is certain that they decode to ``frames``."""
    numbers = job.frames.tolist()
    packets = None if is_dicom(job.path) else index_packets(job.path, numbers)
    if packets is None or not np.array_equal(read_packets(job.path, packets, numbers, frames.shape[1:]), frames):
        raise EchoLMError(f"{job.path}: its frames cannot be read by index; store them: prepare without --index-only")
    found: list[list[int]] = packets.tolist()
    return found
