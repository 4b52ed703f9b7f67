"""Why a process that Ray started is gone: the class of ``cluster.failures`` and what one says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Death:
    """``kind``: a failure class; ``how``: in words; ``evidence``: what Ray said."""

    kind: str
    how: str
    evidence: str


def classify(error: Exception, host: str, node_alive: bool) -> Death:
    """The class of an error that came instead of a report. ``host``: address of the process's node; ``node_alive``:
    whether Ray still has that node."""
    from ray import exceptions

    text = str(error).strip()
    if isinstance(error, exceptions.OutOfMemoryError):
        return Death("out-of-memory", f"killed by Ray: the memory of node {host} ran out", text)
    if isinstance(error, exceptions.NodeDiedError) or not node_alive or "node has died" in text.lower():
        return Death("node-failure", f"its node {host} is gone", text)
    if isinstance(error, exceptions.RayTaskError):
        return Death("killed", f"it ended with {last_line(text)}", text)
    return Death("killed", f"its process on {host} is gone", text)


def last_line(text: str) -> str:
    """The last line of a traceback or message that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was said")
