"""Checkpoints: files whose name carries the SHA-256 of their content.

So a damaged one is passed over, not loaded.
"""

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
_DIGITS = 16
_KEPT = 2
"""Checkpoints of an attempt that stay: the newest may be damaged."""


def save(attempt: Attempt, state: dict[str, Any]) -> Path:
    """Write ``state`` atomically, then drop the attempt's older checkpoints but one.

    Args:
        attempt: what writes it.
        state: tensors and plain data, with integers ``epoch`` and ``step``.

    Raises:
        Superseded: the attempt has been replaced.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = _digest(content)
    name = f"checkpoint-{state['epoch']:05d}-{state['step']:07d}-{digest}.pt"
    path = attempt.write(name, content)
    newest_first = sorted(attempt.path.glob("checkpoint-*.pt"), reverse=True)
    for old in newest_first[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def newest(record: RunRecord) -> Path | None:
    """Return the furthest undamaged checkpoint of any attempt, or None."""
    candidates = []
    for number in record.attempts():
        for path in record.attempt_path(number).glob("checkpoint-*.pt"):
            if _NAME.fullmatch(path.name):
                candidates.append((position(path), number, path))
    for _, _, path in sorted(candidates, reverse=True):
        if _is_undamaged(path):
            return path
    return None


def position(path: Path) -> tuple[int, int]:
    """Return (epoch, step) of a checkpoint, from its name."""
    _, epoch, step, _ = path.stem.split("-")
    return int(epoch), int(step)


def load(path: Path) -> dict[str, Any]:
    """Return the state that was saved, with tensors on the CPU."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def discard(record: RunRecord) -> None:
    """Delete what only an unfinished run needs.

    That is checkpoints, the best weights they refer to, and unfinished writes.
    """
    for number in record.attempts():
        for pattern in ("checkpoint-*.pt", "best-*.safetensors", "progress.json", ".*.tmp"):
            for path in record.attempt_path(number).glob(pattern):
                with suppress(OSError):  # it costs space, nothing else
                    path.unlink()


def _is_undamaged(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    try:
        return match is not None and _digest(path.read_bytes()) == match[1]
    except OSError:
        return False


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
