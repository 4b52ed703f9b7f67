"""Let one launch of a grid at a time decide what to submit. Two would submit the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from echolm.errors import EchoLMError
from echolm.files import writing
from echolm.workspace import Workspace

WAIT_S = 60.0


@contextmanager
def submission_lock(workspace: Workspace, grid: str) -> Iterator[None]:
    """Hold ``grids/<grid>/submitting.lock`` while looking and submitting.

    On a file system without locks there is none. Jobs that two launches submit then share their
    runs' records, which keep every run whole, and compute some cells in vain.

    Raises:
        EchoLMError: another launch holds the lock for a minute.
    """
    from filelock import FileLock, Timeout

    with writing(workspace.grids / grid) as folder:
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.grids / grid / "submitting.lock")
    try:
        with suppress(NotImplementedError):
            lock.acquire(timeout=WAIT_S)
    except Timeout:
        raise EchoLMError(
            f"{lock.lock_file}: another launch of {grid} has been submitting for {WAIT_S:.0f} s; "
            "wait for it, or end it"
        ) from None
    try:
        yield
    finally:
        lock.release()
