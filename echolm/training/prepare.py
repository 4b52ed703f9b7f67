"""Preparing a run: resolve store and weights, and with them the fingerprint and the record."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from echolm import identity
from echolm.clips import CLIPS
from echolm.commands import Command
from echolm.config import FinetuneConfig, PretrainConfig, splits_read
from echolm.datasets.scan import SPLITS, why_no_run
from echolm.encoders import Encoder
from echolm.errors import EchoLMError
from echolm.files import file_state, write_atomic
from echolm.outages import remember_workspace
from echolm.record import WEIGHTS, RunRecord, find_records
from echolm.stores.clips import peek, prepare_command
from echolm.stores.sampling import why_unsuitable
from echolm.text import counted
from echolm.training.selection import (
    ItemValues,
    chooses_frames,
    first_item,
    needed_values,
    select,
    wanted_columns,
    who_needs,
)
from echolm.weights import Weights
from echolm.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class PreparedRun:
    """A configuration with everything it needs.

    Attributes:
        config: what is run.
        cell: the cell's id.
        store: the folder of its clip store.
        weights: the file of its first weights. None: random.
        keys: of the identity: cell, fingerprint, data, weights.
        record: where the run is recorded.
        cache: the workspace's folder that remembers which files were read. None: nothing does.
        left_out: split -> how many items of the store are left out, since they lack a value that
            the run needs. Empty where none is.
        waits_for: the cell whose weights the run begins with, while it has not been trained. '' as
            soon as it has.
    """

    config: FinetuneConfig | PretrainConfig
    cell: str
    store: Path
    weights: Path | None
    keys: dict[str, Any]
    record: RunRecord
    cache: Path | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    waits_for: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """What the record is created with.

        It is made anew each time, since most runs of a grid are only looked at.
        """
        return {
            "config": self.config.model_dump(mode="json"),
            "protocols": identity.protocols(self.config),
            **self.keys,
        }


@dataclass(frozen=True)
class StoreForRun:
    """A store that suits a run.

    Attributes:
        path: its folder.
        fingerprint: of what it holds.
        left_out: as in ``PreparedRun``.
    """

    path: Path
    fingerprint: str
    left_out: dict[str, int]


@dataclass(frozen=True)
class FirstWeights:
    """The weights that a run begins with.

    Attributes:
        path: their file. None: random ones, or the file is not there yet.
        identity: ``random``, the SHA-256 of the file, or the fingerprint of the run that makes it.
        waits_for: the cell that has to be trained before the file is there, or ''.
    """

    path: Path | None
    identity: str
    waits_for: str = ""


def knows_no_cell(cell: str) -> FinetuneConfig | PretrainConfig | None:
    """Stand in for what finds the configuration of a cell: it finds none."""
    return None


class Inputs:
    """The stores and weights of a workspace at one moment.

    Each is looked at once, however many runs want it.

    Args:
        workspace: where they are.
        find: returns the configuration of a cell whose weights a run begins with, None of a cell
            that it does not know. What is known has its fingerprint before it has been trained. Of
            any other cell the newest complete run counts.
    """

    def __init__(
        self,
        workspace: Workspace,
        find: Callable[[str], FinetuneConfig | PretrainConfig | None] = knows_no_cell,
    ) -> None:
        self._workspace = workspace
        self.find = find
        self._results: dict[Any, Any] = {}

    def store(
        self, config: FinetuneConfig | PretrainConfig, splits: tuple[str, ...] = SPLITS
    ) -> StoreForRun:
        """Return the store of a run, which holds the frames and values that the run needs.

        Args:
            config: of the run.
            splits: the splits that are read.

        Raises:
            EchoLMError: the store is not there, it holds other frames, or nothing of a split has
                the values.
        """
        data = config.data
        key = (data.name, data.where, config.goal, config.clip, config.encoder.frames, splits)
        return self._once(key, lambda: self._store(config, splits))

    def weights(self, weights: Weights, encoder: Encoder) -> tuple[Path | None, str]:
        """Return file and identity as ``first`` has them. EchoLMError: they are not there."""
        first = self.first(weights, encoder)
        return first.path, first.identity

    def first(self, weights: Weights, encoder: Encoder) -> FirstWeights:
        """Return the weights that a run begins with.

        Raises:
            EchoLMError: they are not there, and no cell that is known will make them.
        """
        if weights.source == "random":
            return FirstWeights(None, "random")
        return self._once((weights, encoder), lambda: self._first(weights, encoder))

    def _store(
        self, config: FinetuneConfig | PretrainConfig, splits: tuple[str, ...]
    ) -> StoreForRun:
        path = self._workspace.store(config.data.name)
        rule = config.clip.rule
        info = self._once((path, rule), lambda: peek(path, rule))
        own_frames = self._chooses_frames(path, info, config)
        if own_frames:
            _check_rule(path, info, config)
        else:
            _check_clip(path, info, config)
        reason = why_no_run(info.get("splits", {}), splits)
        if reason:
            raise EchoLMError(f"{path}: {reason}; name another store in data")
        left_out = _left_out(path, info, config, needed_values(config, own_frames), splits)
        return StoreForRun(path, str(info["fingerprint"]), left_out)

    def _chooses_frames(
        self, path: Path, info: dict[str, Any], config: FinetuneConfig | PretrainConfig
    ) -> bool:
        """Tell whether the goal chooses frames itself.

        A goal in a plugin may do so and say it nowhere. It is asked only where that matters: where
        the run's clip would not find its frames in each item of the store.
        """
        if config.goal.sampling:
            return True
        if not _why_no_clip(info, config) and not _lacking(info, config.clip.needs):
            return False
        try:
            first = self._once((path, "first"), lambda: first_item(path))
        except EchoLMError:
            return False  # a store without its index: what its store.json says is told
        return chooses_frames(config.goal, first, config.encoder.frames)

    def _first(self, weights: Weights, encoder: Encoder) -> FirstWeights:
        config = self.find(weights.value) if weights.source == "run" else None
        if config is not None:
            return self._of_cell(weights.value, config)
        path = weights_path(weights, encoder, self._workspace)
        return FirstWeights(path, weights_identity(weights, path, self._workspace))

    def _of_cell(self, cell: str, config: FinetuneConfig | PretrainConfig) -> FirstWeights:
        """Return the weights that a known cell makes, by its keys of today.

        Where these cannot be known here, its newest complete run counts: results outlive stores.
        """
        try:
            run = prepare_run(config, self._workspace, self, may_wait=True)
        except EchoLMError as error:
            try:
                record = _upstream(cell, self._workspace)
            except EchoLMError:
                raise EchoLMError(
                    f"weights run:{cell}: that cell cannot run either: {error}"
                ) from error.__cause__
            return FirstWeights(record.file(WEIGHTS), str(record.identity()["fingerprint"]))
        fingerprint = str(run.keys["fingerprint"])
        if run.record.summary() is None:
            return FirstWeights(None, fingerprint, waits_for=cell)
        return FirstWeights(run.record.file(WEIGHTS), fingerprint)

    def _once(self, key: Any, look: Callable[[], T]) -> T:
        """Return the result of ``look``, or raise its error. A ``key`` is looked at once."""
        if key not in self._results:
            try:
                self._results[key] = look()
            except EchoLMError as error:
                self._results[key] = error
        result = self._results[key]
        if isinstance(result, EchoLMError):
            raise result.with_traceback(None)
        return cast(T, result)


def _check_rule(path: Path, info: dict[str, Any], config: FinetuneConfig | PretrainConfig) -> None:
    """Raise EchoLMError unless a store holds the frames that the goal itself chooses."""
    goal = config.goal
    reason = why_unsuitable(info, goal.sampling)
    if reason:
        raise EchoLMError(
            f"{path}: does not hold the frames of clip rule {goal.sampling} that task {goal.name} "
            f"needs: {reason}; prepare another store and name it in data",
            command=prepare_command(info, "--clips", goal.sampling, "--name", "NAME"),
        )


def _check_clip(path: Path, info: dict[str, Any], config: FinetuneConfig | PretrainConfig) -> None:
    """Raise EchoLMError unless a store was prepared by a rule that holds the clip's frames."""
    reason = _why_no_clip(info, config)
    if not reason:
        return
    clip, goal = config.clip, config.goal
    uniform = CLIPS.parse("uniform")
    other = ""
    if not goal.clips and not uniform.why_unsuitable(info["clips"], config.encoder.frames):
        other = "take frames that it holds (clip: uniform), or "
    raise EchoLMError(
        f"{path}: does not hold the frames of clip {clip.name} that {goal.name} is learned from: "
        f"{reason}; {other}prepare another store and name it in data",
        command=prepare_command(info, "--clips", clip.rule, "--name", "NAME"),
    )


def _why_no_clip(info: dict[str, Any], config: FinetuneConfig | PretrainConfig) -> str:
    """Say why a store by its rule lacks the frames of the run's clip, or return ''."""
    rule = info.get("clips")
    return config.clip.why_unsuitable(rule, config.encoder.frames) if rule else ""


def _lacking(info: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Return those of the values that not each item of a store has.

    A store that was made before ``values`` was written is of EchoNet-Dynamic, whose items have all.
    """
    counts = info.get("values")
    if counts is None:
        return []
    return [name for name in names if counts.get(name, 0) < info["items"]]


def _left_out(
    path: Path,
    info: dict[str, Any],
    config: FinetuneConfig | PretrainConfig,
    needed: tuple[str, ...],
    splits: tuple[str, ...],
) -> dict[str, int]:
    """Count the items of a store that a run leaves out, by split.

    Raises:
        EchoLMError: nothing of a split is left, or ``data.where`` names what no item has.
    """
    reads_values = isinstance(config, FinetuneConfig) and config.task.reads_values
    if not config.data.where and not reads_values and not _lacking(info, needed):
        return {}
    values = ItemValues.of_index(path, wanted_columns(config, needed))
    counts = select(values, config, needed, splits).left_out
    return {split: count for split, count in counts.items() if count}


def left_out_line(run: PreparedRun) -> str:
    """Say how many items of its store a run leaves out, and why. '' where it leaves out none."""
    if not run.left_out:
        return ""
    config = run.config
    parts = [f"{count:,} {split}" for split, count in run.left_out.items()]
    needed = needed_values(config, bool(config.goal.sampling))
    others = ""
    if isinstance(config, FinetuneConfig) and config.task.leaves_out:
        others = f", or {config.task.leaves_out}"
    return (
        f"{run.store}: {counted(sum(run.left_out.values()), 'item')} left out "
        f"({', '.join(parts)}): without {who_needs(config, needed)}{others}"
    )


def prepare_run(
    config: FinetuneConfig | PretrainConfig,
    workspace: Workspace,
    inputs: Inputs | None = None,
    splits: tuple[str, ...] = SPLITS,
    may_wait: bool = False,
) -> PreparedRun:
    """Resolve ``config`` in a workspace.

    Args:
        config: what is to be run.
        workspace: where its store, weights and record are.
        inputs: shared by runs that are looked at together.
        splits: the splits that the run may read. A pretraining reads no test split by itself.
        may_wait: whether it is prepared before the cell has been trained whose weights it begins
            with. It has its keys and its record then, and cannot be trained yet.

    Raises:
        EchoLMError: its store or weights are not there, or the store does not hold the frames of
            its clip, or nothing of a split that the run can use.
    """
    remember_workspace(workspace.root)
    inputs = inputs or Inputs(workspace)
    read = splits_read(config)
    store = inputs.store(config, tuple(split for split in splits if split in read))
    first = inputs.first(config.weights, config.encoder)
    if first.waits_for and not may_wait:
        raise _untrained(first.waits_for, workspace)
    data, weights = store.fingerprint, first.identity
    cell, fingerprint = identity.keys(config, data, weights)
    return PreparedRun(
        config=config,
        cell=cell,
        store=store.path,
        weights=first.path,
        keys={"cell": cell, "fingerprint": fingerprint, "data": data, "weights": weights},
        record=RunRecord.at(workspace.runs, cell, fingerprint),
        cache=workspace.cache,
        left_out=store.left_out,
        waits_for=first.waits_for,
    )


def weights_path(weights: Weights, encoder: Encoder, workspace: Workspace) -> Path | None:
    """Return the file of a source of weights, None for ``random``. EchoLMError: it is missing."""
    if weights.source == "random":
        return None
    if weights.source == "run":
        return _upstream(weights.value, workspace).file(WEIGHTS)
    if weights.source == "file":
        path = Path(weights.value)
        hint = "check the path"
    else:
        published = encoder.published[weights.value]
        path = workspace.weights / published.file
        hint = (
            f"get it from {published.origin} (licence: {published.licence}) and put it there, "
            "or set ECHOLM_WEIGHTS"
        )
    if not path.is_file():
        # The cause says that the file may have been there: who knows that it was, waits for it.
        raise EchoLMError(
            f"weights {weights} of encoder {encoder.name}: {path} is not there; {hint}"
        ) from FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return path


def weights_identity(weights: Weights, path: Path | None, workspace: Workspace) -> str:
    """Return ``random``, the upstream run's fingerprint, or the file's SHA-256."""
    if path is None:
        return "random"
    if weights.source == "run":
        return str(_upstream(weights.value, workspace).identity()["fingerprint"])
    return file_sha256(path, workspace.cache / "sha256.json")


def check_weights(run: PreparedRun) -> None:
    """Raise EchoLMError unless the file of the first weights is the one that the run names.

    Called after the file was loaded, it makes certain that what was hashed is what was loaded.
    """
    if run.weights is None:
        return
    expected = run.keys["weights"]
    if run.config.weights.source == "run":
        summary = RunRecord(run.weights.parents[2]).summary() or {}
        expected = summary.get("files", {}).get(run.weights.name)
    if expected and file_sha256(run.weights) != expected:
        raise EchoLMError(
            f"{run.weights}: its SHA-256 is not the one that the run was prepared with: it was "
            "replaced or damaged; put the file back, or type the same again"
        )


_digests: dict[str, str] = {}
"""SHA-256 of files that this process has read, by path and state."""


def file_sha256(path: Path, cache: Path | None = None) -> str:
    """Return SHA-256 of a file, remembered by path and state (``files.file_state``).

    Args:
        path: the file.
        cache: a JSON file that remembers it for other processes. None: only this process does.

    Raises:
        EchoLMError: the file is being written.
    """
    key = _state_key(path)
    if key not in _digests:
        known = _read_digests(cache)
        digest = known.get(key)
        if digest is None:
            digest = _sha256(path, key)
            _remember(cache, known, path, key, digest)
        _digests[key] = digest
    return _digests[key]


def _state_key(path: Path) -> str:
    return "|".join([str(path.resolve()), *map(str, file_state(path))])


def _sha256(path: Path, key: str) -> str:
    """Read a file whose state is ``key``. EchoLMError: it has changed meanwhile."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _state_key(path) != key:
        raise EchoLMError(f"{path}: changed while it was read; wait until it is whole")
    return digest


def _read_digests(cache: Path | None) -> dict[str, str]:
    if cache is None:
        return {}
    try:
        return dict(json.loads(cache.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _remember(cache: Path | None, known: dict[str, str], path: Path, key: str, digest: str) -> None:
    """Note the SHA-256 of a file in the place of what was known of it before."""
    if cache is None:
        return
    prefix = f"{path.resolve()}|"
    kept = {name: value for name, value in known.items() if not name.startswith(prefix)}
    with contextlib.suppress(OSError):  # a cache: without it the file is read again
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(cache, json.dumps(kept | {key: digest}).encode())


def _upstream(cell: str, workspace: Workspace) -> RunRecord:
    """Return the newest complete run of a cell. EchoLMError: there is none."""
    for record in find_records(workspace.runs, cell):
        if record.summary() is not None:
            return record
    raise _untrained(cell, workspace)


def _untrained(cell: str, workspace: Workspace) -> EchoLMError:
    """Return the error of a run that begins from a cell without a complete run."""
    return EchoLMError(
        f"weights run:{cell}: no complete run of that cell in {workspace.runs}{os.sep}; "
        "train it first",
        command=Command("train", target=cell),
    )
