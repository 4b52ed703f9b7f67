"""Where a run stands between two validations, for people who watch it.

The attempt's file ``progress.json`` has it, at most once a second. It is written in place and never
flushed: it costs next to nothing, and nobody relies on it. A file that is torn or missing says
nothing.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echolm.record import RunRecord

FILE = "progress.json"
EVERY_S = 1.0
"""Seconds between two notes, at least."""
_LENGTH = 256
"""Bytes of the file, always: a shorter text is filled up, so that no rest of a longer one stays."""


@dataclass(frozen=True)
class LiveProgress:
    """Where a run stands.

    Attributes:
        phase: ``training``, ``validation`` or ``final evaluation``.
        epoch: the current epoch, from 1.
        epochs: how many there are.
        step: steps that are done of this phase, in this epoch.
        steps: how many the phase has.
        seconds_left: seconds until the last epoch is over. None: not known yet.
    """

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    seconds_left: float | None = None

    @property
    def words(self) -> str:
        """The place in words: ``epoch 3/10, step 45/120``."""
        if self.phase == "training":
            return f"epoch {self.epoch}/{self.epochs}, step {self.step}/{self.steps}"
        if self.phase == "validation":
            place = f"epoch {self.epoch}/{self.epochs}, validation"
        else:
            place = self.phase
        return f"{place}, batch {self.step}/{self.steps}"

    @property
    def epochs_done(self) -> float:
        """The epochs behind it, with the part of the current one."""
        if self.phase == "training":
            return self.epoch - 1 + self.step / max(self.steps, 1)
        return float(self.epoch)

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def write_live(attempt: Path, live: LiveProgress) -> None:
    """Write where a run stands into its attempt, if the disk takes it."""
    text = json.dumps(live.plain()).encode()
    with suppress(OSError):
        file = os.open(attempt / FILE, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, text.ljust(_LENGTH - 1) + b"\n")
        finally:
            os.close(file)


def read_live(record: RunRecord, attempt: int) -> LiveProgress | None:
    """Read where a run stands. None: nobody has said, or the file is not whole."""
    try:
        values = json.loads((record.attempt_path(attempt) / FILE).read_bytes())
        return LiveProgress(**values)
    except (OSError, ValueError, TypeError):
        return None
