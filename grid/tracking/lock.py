"""A lock that all processes which see a folder share, on one host or many, NFS included.

It is a folder of numbered turns. Who makes the folder of the next number by mkdir has the lock: of
two, one makes it. The newest turn is over when its holder says so (the file ``released``), when its
process is known to be gone, or when its heartbeat was silent for ``PATIENCE_S``
(``echolm.liveness``). The newest turn's folder is never removed, so a number is never given twice.

File locks of the system are not used: they lie in a temporary folder, or a network file system has
none.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.files import list_names, writing
from echolm.liveness import PATIENCE_S, Heartbeat, describe_self, presence, read_holder

LOOK_S = 0.05
"""Seconds between two looks at a lock that another process holds."""
RELEASED = "released"


class LostLock(EchoLMError):
    """Another process took the lock over, because this one was silent for too long."""


class FolderLock:
    """The lock of what lies beside it. It is taken by ``with``.

    Args:
        path: its folder, which is made. The folder around it must be there or be made.
        patience_s: seconds of silence after which a holder on another host is taken to be gone.
    """

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self.path = path
        self._patience_s = patience_s
        self._turn = 0
        self._heartbeat: Heartbeat | None = None

    def __enter__(self) -> FolderLock:
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            while not self._take_next():
                pass
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._heartbeat:
            self._heartbeat.stop()
            self._heartbeat = None
        try:
            if kind is None:
                self.check_still_held()
        finally:
            with suppress(OSError):  # without the mark, whoever waits sees the process go
                (self._folder(self._turn) / RELEASED).touch()

    def check_still_held(self) -> None:
        """Raise LostLock when another process has taken the lock over."""
        newest = self._newest()
        if newest != self._turn:
            raise LostLock(
                f"{self.path}: another process took the lock over, because this one was silent for "
                f"{self._patience_s:g} s; the same command goes on from what is there"
            )

    def _take_next(self) -> bool:
        """Wait until the newest turn is over, and take the next. False: another was faster."""
        newest = self._newest()
        if newest:
            self._wait_for(newest)
        turn = newest + 1
        folder = self._folder(turn)
        try:
            os.mkdir(folder)
        except FileExistsError:
            return False
        # A turn that was removed long ago may have been made again just now: the newest counts.
        if self._newest() != turn:
            shutil.rmtree(folder, ignore_errors=True)
            return False
        self._turn = turn
        try:
            (folder / "holder.json").write_text(json.dumps(describe_self()), encoding="utf-8")
        except OSError:
            # Nobody holds it, and nobody shall wait for it.
            (folder / RELEASED).touch()
            raise
        self._heartbeat = Heartbeat(folder)
        for number in self._turns():
            if number < turn:
                shutil.rmtree(self._folder(number), ignore_errors=True)
        return True

    def _wait_for(self, turn: int) -> None:
        """Return when a turn is over.

        Looks are counted, not time: when both processes are stopped and continued together, the
        holder has time to beat.
        """
        folder = self._folder(turn)
        looks = max(10, math.ceil(self._patience_s / LOOK_S))
        silent_looks = 0
        beat = self._beat(folder)
        while silent_looks < looks:
            if (folder / RELEASED).exists() or not folder.exists():
                return
            if presence(folder) == "dead":
                return
            time.sleep(LOOK_S)
            silent_looks += 1
            new_beat = self._beat(folder)
            if new_beat != beat:
                silent_looks = 0
            beat = new_beat

    def _beat(self, folder: Path) -> tuple[bytes, object]:
        try:
            content = (folder / "heartbeat").read_bytes()
        except OSError:
            content = b""
        return content, read_holder(folder)

    def _newest(self) -> int:
        return max(self._turns(), default=0)

    def _turns(self) -> list[int]:
        return [int(name) for name in list_names(self.path) if name.isdecimal()]

    def _folder(self, turn: int) -> Path:
        return self.path / str(turn)
