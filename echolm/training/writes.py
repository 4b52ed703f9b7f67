"""Bringing large files to the disk in a thread, while the training goes on.

Who has written a file into the memory of the operating system hands the rest over: digest, flush
and name. That memory is no part of the process, and the system takes it back when it needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

WAITED_BYTES = 16 << 20
"""What is not larger is on the disk before its writer goes on: a thread would save milliseconds."""
MOST_PENDING = 2
"""Files that may be on their way at once. A disk that is slower than that is waited for."""


class PendingWrites:
    """The files of one run that are on their way to the disk, one after another, in their order."""

    def __init__(self) -> None:
        self._futures: list[Future[Any]] = []
        self._thread: ThreadPoolExecutor | None = None

    @property
    def busy(self) -> bool:
        """Whether a file is not on the disk yet."""
        return any(not future.done() for future in self._futures)

    def add(self, finish: Callable[[], Any], size: int) -> None:
        """Bring a file to the disk, in the thread when it is large.

        Args:
            finish: does so.
            size: of the file in bytes.

        Raises:
            StorageError: this file, or one before it, could not be written.
        """
        if size <= WAITED_BYTES:
            self.wait()
            finish()
            return
        if sum(not future.done() for future in self._futures) >= MOST_PENDING:
            self.wait()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._futures.append(self._thread.submit(finish))

    def error(self) -> Exception | None:
        """Return the error of a file that could not be written, once, without waiting for any."""
        ended = [future for future in self._futures if future.done()]
        for future in ended:
            self._futures.remove(future)
            error = future.exception()
            if isinstance(error, Exception):
                return error
        return None

    def wait(self) -> None:
        """Wait until all files are on the disk.

        Raises:
            StorageError: one could not be written. The others have been tried.
        """
        futures, self._futures = self._futures, []
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error

    def close(self) -> None:
        """Wait for all files, let the thread go, and forget errors: the run has its ending."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        self._futures = []
