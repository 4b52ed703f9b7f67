"""Outages: what was there before and cannot be reached now, and how it is waited for.

A file server, a mount or the room on a disk goes away for a while. That says nothing of the run, so
it is no failure: whoever needs the path waits until it is back.

A workspace has a file with its own id, ``MARKER``. Where the workspace was unmounted, its folder is
an empty mount point without that file, and nothing may be written into it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.text import duration

T = TypeVar("T")
UNREACHABLE = frozenset(
    {
        errno.ENOENT,
        errno.ESTALE,
        errno.EIO,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENODEV,
    }
)
"""What the system says of a path that went away, or of a disk that has no room now."""
VARIABLE = "ECHOLM_OUTAGE_S"
"""The environment's word for how long what went away is waited for, in seconds."""
LIMIT_S = 900.0
"""Seconds of that without the variable."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Seconds between two looks: each pause is twice the one before."""
MARKER = "workspace.json"
PROBE_BYTES = 1 << 18
"""What must fit on the disk before a run that found no room goes on."""
TRIES = 3
"""How often something small is tried while nothing is away."""
_NUMBER = re.compile(r"os error ([0-9]+)")
"""The system's number in words of a library that is not written in Python."""
_CHAIN = 10
"""Errors that are looked through for the system's own."""
_seen: dict[Path, str] = {}
"""Workspace -> its id, as this process saw it."""


class OutageError(EchoLMError):
    """Something that was there before cannot be reached."""


def limit_s() -> float:
    """Return for how many seconds what went away is waited for.

    Raises:
        EchoLMError: the variable is no number of seconds.
    """
    text = os.environ.get(VARIABLE) or str(LIMIT_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise EchoLMError(f"{VARIABLE}={text!r}: valid: a number of seconds, 0 or more")
    return seconds


def is_outage(error: BaseException) -> bool:
    """Tell whether an error may come from something that went away.

    Only errors of files count: others may have the system's error among their causes by chance.
    """
    if isinstance(error, OutageError):
        return True
    if not isinstance(error, (OSError, EchoLMError)):
        return False
    cause: BaseException | None = error
    for _ in range(_CHAIN):
        if cause is None:
            return False
        number = system_number(cause) if isinstance(cause, OSError) else None
        if number is not None:
            # The nearest one counts: a folder that may not be made follows one that is not there.
            return number in UNREACHABLE
        cause = cause.__cause__ or cause.__context__
    return False


def system_number(error: Exception) -> int | None:
    """Return the system's number of an error, or None where it has none.

    Libraries that are not written in Python leave it out, or have it in their words alone.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    words = _NUMBER.search(str(error))
    if words is not None:
        return int(words[1])
    return errno.ENOENT if isinstance(error, FileNotFoundError) else None


def workspace_id(root: Path) -> str:
    """Return the id in the marker of a workspace, '' where it cannot be read."""
    try:
        content = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("id", "")) if isinstance(content, dict) else ""


def mark_workspace(root: Path) -> str:
    """Give a workspace its marker, unless it has one, and remember it for ``lost_workspace``.

    Returns:
        Its id.

    Raises:
        StorageError: it cannot be written.
    """
    known = workspace_id(root)
    if not known:
        root.mkdir(parents=True, exist_ok=True)
        known = _write_marker(root)
    _seen[root] = known
    return known


def _write_marker(root: Path) -> str:
    """Write the marker of a workspace.

    Of several processes that do so at once the first one counts, for all of them. A damaged marker
    is replaced.

    Returns:
        The id that stands in it.

    Raises:
        StorageError: it cannot be written.
    """
    marker = root / MARKER
    own = secrets.token_hex(8)
    content = {"id": own, "what": "a workspace of EchoLM; this file says that it is there"}
    new = marker.with_name(f".{MARKER}.{own}.tmp")
    write_atomic(new, json.dumps(content).encode())
    try:
        with writing(marker), suppress(FileExistsError):
            os.link(new, marker)
        known = workspace_id(root)
        if not known:
            with writing(marker):
                os.replace(new, marker)
            known = own
    finally:
        new.unlink(missing_ok=True)
    return known


def remember_workspace(root: Path, known: str = "") -> None:
    """Remember the workspace's id for ``lost_workspace``, where it has one.

    Args:
        root: the workspace's folder.
        known: its id, where somebody else has seen it. Else it is looked for, once.
    """
    if known:
        _seen[root] = known
    elif root not in _seen:
        known = workspace_id(root)
        if known:
            _seen[root] = known


def lost_workspace(path: Path) -> str:
    """Say which workspace that holds ``path`` is not there any more, or ''.

    It is one that this process has remembered. Of others nothing is known.
    """
    for root in (path, *path.parents):
        if root in _seen:
            if workspace_id(root) == _seen[root]:
                return ""
            return f"the workspace {root} is not there"
    return ""


def is_empty_place(root: Path) -> bool:
    """Tell whether a workspace's folder is missing or empty, as a mount point without its disk."""
    try:
        return not os.listdir(root)
    except OSError:
        return True


def no_room(folder: Path) -> str:
    """Say that a folder takes no file now, or ''. Of a folder that is not there nothing is said."""
    if not folder.is_dir():
        return ""
    probe = folder / f".probe.{secrets.token_hex(8)}.tmp"
    try:
        try:
            with open(probe, "xb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror or error})"
    return ""


class Pauses:
    """Pauses that grow, from ``FIRST_PAUSE_S`` to ``LONGEST_PAUSE_S``."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def take(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Sleep for the next pause, or until ``stopped()``."""
        end = time.monotonic() + self._next_s
        self._next_s = min(2 * self._next_s, LONGEST_PAUSE_S)
        while not stopped():
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))


def wait_for(
    look: Callable[[], str],
    tell: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
    limit: float | None = None,
) -> bool:
    """Wait until nothing is missing any more.

    Args:
        look: says what is missing, or ''.
        tell: is called with a line when the wait begins, and when it ends well.
        stopped: whether to wait no longer.
        limit: seconds to wait at most. None: ``limit_s()``.

    Returns:
        Whether all is there.
    """
    missing = look()
    if not missing:
        return True
    limit = limit_s() if limit is None else limit
    tell(f"{missing}; waiting")
    began = time.monotonic()
    pauses = Pauses()
    while missing:
        if stopped() or time.monotonic() - began > limit:
            return False
        pauses.take(stopped)
        missing = look()
    tell(f"all is there again, after {duration(time.monotonic() - began)}")
    return True


def insist(
    act: Callable[[], T],
    look: Callable[[], str],
    tell: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> T:
    """Do something small that writes, and again when what it needs was away meanwhile.

    Args:
        act: what to do. It may be done several times.
        look: says what is missing, or ''.
        tell: see ``wait_for``.
        stopped: whether to wait no longer, and to try once more at most.

    Returns:
        What ``act`` returned.

    Raises:
        OSError, EchoLMError: what ``act`` raised, or that something was away for too long.
    """
    for _ in range(TRIES):
        if not wait_for(look, tell, stopped) and not stopped():
            raise OutageError(f"{look()}: waited {duration(limit_s())}")
        try:
            return act()
        except (OSError, EchoLMError) as error:
            if stopped() or not is_outage(error):
                raise
        time.sleep(FIRST_PAUSE_S)
    return act()
