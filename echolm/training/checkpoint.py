"""Checkpoints: bytes whose file name carries their SHA-256, so that a damaged one is passed over, not loaded."""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from echolm.attempt import Attempt
from echolm.record import RunRecord

_NAME = re.compile(r"checkpoint-\d+-\d+-([0-9a-f]{16})\.pt")


def save(attempt: Attempt, state: dict[str, Any]) -> Path:
    """Write ``state`` (with integers ``epoch`` and ``step``) atomically, then drop the attempt's older checkpoints
    but one. Raises Superseded when the attempt has been replaced."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = attempt.write(f"checkpoint-{state['epoch']:05d}-{state['step']:07d}-{digest}.pt", content)
    for old in sorted(attempt.path.glob("checkpoint-*.pt"), reverse=True)[2:]:
        old.unlink(missing_ok=True)
    return path


def newest(record: RunRecord) -> Path | None:
    """The furthest undamaged checkpoint of any attempt, or None."""
    found = [
        (place(path), number, path)
        for number in record.attempts()
        for path in record.attempt_path(number).glob("checkpoint-*.pt")
        if _NAME.fullmatch(path.name)
    ]
    return next((path for *_, path in sorted(found, reverse=True) if _undamaged(path)), None)


def place(path: Path) -> tuple[int, int]:
    """(epoch, step) of a checkpoint, from its name."""
    _, epoch, step, _ = path.stem.split("-")
    return int(epoch), int(step)


def load(path: Path) -> dict[str, Any]:
    """The state that was saved; tensors are on the CPU."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def discard(record: RunRecord) -> None:
    """Delete what only an unfinished run needs: checkpoints, the best weights they refer to, unfinished writes."""
    for number in record.attempts():
        for pattern in ("checkpoint-*.pt", "best-*.safetensors", ".*.tmp"):
            for path in record.attempt_path(number).glob(pattern):
                with suppress(OSError):  # it costs space, nothing else
                    path.unlink()


def _undamaged(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    try:
        return match is not None and hashlib.sha256(path.read_bytes()).hexdigest()[:16] == match[1]
    except OSError:
        return False
