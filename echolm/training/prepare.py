"""Preparing a run: resolve the store and the weights, and with them the fingerprint and the record."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from echolm import identity
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.data.store import peek
from echolm.encoders import Encoder
from echolm.errors import EchoLMError
from echolm.record import RunRecord, find_records, write_atomic
from echolm.weights import Weights
from echolm.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class PreparedRun:
    """A configuration with everything it needs: its store, its first weights (None: random), its record."""

    config: FinetuneConfig | PretrainConfig
    cell: str
    store: Path
    weights: Path | None
    keys: dict[str, Any]
    """Of the identity: cell, fingerprint, data, weights."""
    record: RunRecord

    @property
    def identity(self) -> dict[str, Any]:
        """What the record is created with; made anew each time, since most runs of a grid are only looked at."""
        return {"config": self.config.model_dump(mode="json"), "protocols": identity.protocols(self.config), **self.keys}


class Inputs:
    """The stores and weights of a workspace at one moment: each is looked at once, however many runs want it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._found: dict[Any, Any] = {}

    def store(self, name: str) -> tuple[Path, str]:
        """Folder and fingerprint of a store. EchoLMError: it is not there."""
        return self._once(name, lambda: self._store(name))

    def weights(self, weights: Weights, encoder: Encoder) -> tuple[Path | None, str]:
        """``weights_path`` and ``weights_identity``. EchoLMError: they are not there."""
        return (None, "random") if weights.source == "random" else self._once((weights, encoder), lambda: self._weights(weights, encoder))

    def _store(self, name: str) -> tuple[Path, str]:
        path = self._workspace.store(name)
        return path, str(peek(path)["fingerprint"])

    def _weights(self, weights: Weights, encoder: Encoder) -> tuple[Path | None, str]:
        path = weights_path(weights, encoder, self._workspace)
        return path, weights_identity(weights, path, self._workspace)

    def _once(self, key: Any, look: Callable[[], T]) -> T:
        if key not in self._found:
            try:
                self._found[key] = look()
            except EchoLMError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, EchoLMError):
            raise found.with_traceback(None)
        return cast(T, found)


def prepare_run(config: FinetuneConfig | PretrainConfig, workspace: Workspace, inputs: Inputs | None = None) -> PreparedRun:
    """Resolve ``config`` in a workspace. ``inputs``: shared by runs that are looked at together. Raises EchoLMError when
    its store or weights are not there."""
    inputs = inputs or Inputs(workspace)
    store, data = inputs.store(config.data.name)
    path, weights = inputs.weights(config.weights, config.encoder)
    cell, fingerprint = identity.keys(config, data, weights)
    record = RunRecord.at(workspace.runs, cell, fingerprint)
    return PreparedRun(config, cell, store, path, {"cell": cell, "fingerprint": fingerprint, "data": data, "weights": weights}, record)


def weights_path(weights: Weights, encoder: Encoder, workspace: Workspace) -> Path | None:
    """The file of a source of weights, None for ``random``; EchoLMError when it is missing."""
    if weights.source == "random":
        return None
    if weights.source == "file":
        path, hint = Path(weights.value), "check the path"
    elif weights.source == "published":
        published = encoder.published[weights.value]
        path = workspace.weights / published.file
        hint = f"get it from {published.origin} (licence: {published.licence}) and put it there, or set ECHOLM_WEIGHTS"
    else:
        return _upstream(weights.value, workspace).file("best.safetensors")
    if not path.is_file():
        raise EchoLMError(f"weights {weights} of encoder {encoder.name}: {path} is not there; {hint}")
    return path


def weights_identity(weights: Weights, path: Path | None, workspace: Workspace) -> str:
    """``random``, the upstream run's fingerprint, or the file's SHA-256."""
    if path is None:
        return "random"
    if weights.source == "run":
        return str(_upstream(weights.value, workspace).identity()["fingerprint"])
    return file_sha256(path, workspace.root / "cache" / "sha256.json")


def file_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file, remembered in ``cache`` by path, size and modification time."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    try:
        known = dict(json.loads(cache.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    if key not in known:
        with open(path, "rb") as file:
            known[key] = hashlib.file_digest(file, "sha256").hexdigest()
        with contextlib.suppress(OSError):  # a cache: without it the file is read again
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(cache, json.dumps(known).encode())
    return str(known[key])


def _upstream(cell: str, workspace: Workspace) -> RunRecord:
    records = [record for record in find_records(workspace.runs, cell) if record.summary() is not None]
    if not records:
        raise EchoLMError(f"weights run:{cell}: no complete run of that cell in {workspace.runs}{os.sep}; train it first: echolm train {cell}")
    return records[0]
