"""Decoding a dataset in parts, by several processes. A stopped preparation continues.

A part is a run of items. Its frames go to ``part-N.bin``, then what was decoded to ``part-N.json``:
with the second file the part is done. Merging appends the parts in order and deletes each once its
bytes are on disk. Where no frames are stored, a part is its ``part-N.json`` alone.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from echolm.errors import EchoLMError
from echolm.files import atomic, write_atomic, writing
from echolm.stores.decode import Decoded, DecodeJob, decode

PART = 64
"""Items of a part."""


@dataclass(frozen=True)
class _Part:
    """What one process decodes: jobs, the file for their frames (None: none), and for results."""

    jobs: list[DecodeJob]
    frames: Path | None
    results: Path


class Shards:
    """The parts of one preparation, in a folder of their own."""

    def __init__(self, folder: Path, jobs: list[DecodeJob], target: Path | None) -> None:
        """Cut ``jobs`` into parts.

        Args:
            folder: where the parts are.
            jobs: what is to be decoded.
            target: gets the merged frames. Once it exists, every part has been decoded. None: no
                frames are stored.
        """
        self.folder = folder
        self.target = target
        self.jobs = [jobs[start : start + PART] for start in range(0, len(jobs), PART)]

    def decode(self, workers: int) -> Iterator[int]:
        """Decode what is missing, damaged or failed before.

        Yields:
            How many more jobs are done with, as it goes.

        Raises:
            StorageError: a part cannot be written.
        """
        parts = []
        done = 0
        for number, jobs in enumerate(self.jobs):
            if self._is_done(number):
                done += len(jobs)
            else:
                results = self._file(number, "json")
                parts.append(_Part(jobs=jobs, frames=self._frames_file(number), results=results))
        yield done
        if workers == 1 or len(parts) <= 1:
            for part in parts:
                yield _decode_part(part)
        else:
            yield from _decode_in_processes(parts, min(workers, len(parts)))

    def results(self) -> Iterator[Decoded]:
        """Yield what became of each job, in order. EchoLMError: a part's results are damaged."""
        for number in range(len(self.jobs)):
            yield from self._results(number)

    def merge(self) -> None:
        """Append the parts' frames to the target.

        Started again after a stop, it goes on where it was.

        Raises:
            StorageError: the target cannot be written.
            EchoLMError: a part is not there.
        """
        if self.target is None:
            return
        end = 0
        with writing(self.target), open(self.target, "ab") as merged:
            for number in range(len(self.jobs)):
                start = end
                end += self._size(number)
                if merged.tell() < end:  # not there, or in part: what a kill left of it goes
                    merged.truncate(start)
                    merged.seek(start)
                    self._append(number, merged)
                self._file(number, "bin").unlink(missing_ok=True)

    def _append(self, number: int, merged: BinaryIO) -> None:
        """Append a part's frames, item by item, each checked against its SHA-256.

        Raises:
            EchoLMError: the part's frames are not there, or not what was decoded.
        """
        file = self._file(number, "bin")
        again = f"remove {self.folder.parent} and type it again"
        try:
            part = open(file, "rb")
        except OSError as error:
            raise EchoLMError(
                f"{file}: cannot be read: {error.strerror or error}; {again}"
            ) from error
        with part:
            for job, result in zip(self.jobs[number], self._results(number), strict=True):
                content = part.read(_frame_bytes(job, result))
                if result.is_there and hashlib.sha256(content).hexdigest() != result.sha256:
                    raise EchoLMError(
                        f"{file}: damaged: the frames of {job.path.name} are not those that were "
                        f"decoded; {again}"
                    )
                merged.write(content)
        merged.flush()
        os.fsync(merged.fileno())

    def _is_done(self, number: int) -> bool:
        if self.target and self.target.exists():
            return True
        frames = self._frames_file(number)
        try:
            if any(result.error for result in self._results(number)):
                return False
            return frames is None or frames.stat().st_size == self._size(number)
        except (EchoLMError, FileNotFoundError):
            return False

    def _size(self, number: int) -> int:
        """Return the bytes of a part's frames."""
        size = 0
        for job, result in zip(self.jobs[number], self._results(number), strict=True):
            size += _frame_bytes(job, result)
        return size

    def _results(self, number: int) -> list[Decoded]:
        file = self._file(number, "json")
        try:
            entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
            results = [Decoded(**entry) for entry in entries]
        except (ValueError, TypeError):
            results = []
        if len(results) != len(self.jobs[number]):
            raise EchoLMError(f"{file}: damaged; remove {self.folder.parent} and type it again")
        return results

    def _frames_file(self, number: int) -> Path | None:
        if self.target is None:
            return None
        return self._file(number, "bin")

    def _file(self, number: int, kind: str) -> Path:
        return self.folder / f"part-{number:05d}.{kind}"


def _frame_bytes(job: DecodeJob, result: Decoded) -> int:
    """Return the bytes of a job's frames. Without a result there are none."""
    return len(result.numbers(job)) * result.height * result.width


def _decode_in_processes(parts: list[_Part], workers: int) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_watch_parent)
    try:
        for future in as_completed([pool.submit(_decode_part, part) for part in parts]):
            yield future.result()
    except BrokenProcessPool as error:
        raise EchoLMError(
            "a decoding process died (out of memory?); type the command again to continue"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _watch_parent() -> None:
    """End this process when the one that started it ends. It would wait for work forever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_part(part: _Part) -> int:
    """Decode a part, write its files, and return how many jobs it had."""
    if part.frames is None:
        results = [decode(job)[0] for job in part.jobs]
    else:
        results = _decode_to_file(part.frames, part.jobs)
    entries = [asdict(result) for result in results]
    write_atomic(part.results, json.dumps(entries).encode())
    return len(part.jobs)


def _decode_to_file(file: Path, jobs: list[DecodeJob]) -> list[Decoded]:
    results = []
    with atomic(file) as frames:
        for job in jobs:
            result, content = decode(job)
            frames.write(content)
            results.append(result)
    return results
