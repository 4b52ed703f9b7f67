"""Failing data and disks.

The run fails with its class, nothing complete is lost, and it goes on when all is well again.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from training_support import (
    CONTEXT,
    NOT_ALLOWED,
    Config,
    Fault,
    Reference,
    Result,
    config,
    join,
    outcomes,
    prepare_run,
    record_of,
    states,
    train,
    train_on_a_small_disk,
)

from echolm.errors import EchoLMError
from echolm.training import loop
from echolm.training.cohorts import Compute
from echolm.training.loop import fit
from echolm.workspace import Workspace

RUN = config(epochs=3)
AT_ONCE = Compute(outage_s=0)
"""Nothing is waited for."""


@pytest.fixture
def own_store(workspace: Workspace, tiny: Path) -> Path:
    """A copy of the store that a test may damage, in the place of the shared one."""
    path = workspace.store("tiny")
    path.unlink()
    shutil.copytree(tiny / "store", path)
    return path


def failed(workspace: Workspace, run: Config, kind: str) -> str:
    """The error of the newest failure, whose class must be ``kind``."""
    record = record_of(workspace, run)
    assert record.state().name == "failed" and record.summary() is None
    failure = record.failures()[-1]
    assert failure["class"] == kind, failure
    return str(failure["error"])


def interruption(workspace: Workspace, run: Config) -> dict[str, Any]:
    """The ending of the newest attempt, which was interrupted."""
    record = record_of(workspace, run)
    assert record.state().name == "interrupted" and record.failures() == []
    return record.state().evidence


def at_step(number: int, act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do ``act`` before the ``number``-th optimiser step."""
    original, steps = loop.Cohort._step, 0

    def stepping(self: loop.Cohort, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            act()
        original(self, *args)

    monkeypatch.setattr(loop.Cohort, "_step", stepping)


def test_frames_that_end_early(
    own_store: Path,
    tiny: Path,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file of frames is cut after the store has been opened: an error, not a killed process."""
    frames = own_store / "frames.bin"
    with monkeypatch.context() as patch:
        at_step(5, lambda: os.truncate(frames, 1000), patch)
        [outcome] = train(workspace, RUN)
    assert outcome.state == "failed"
    assert "frames.bin" in failed(workspace, RUN, "data")
    [again] = train(workspace, RUN)
    assert again.state == "failed" and "prepare the store again" in again.detail
    shutil.copy(tiny / "store" / "frames.bin", frames)
    train(workspace, RUN)
    assert record_of(workspace, RUN).events(3)[0]["epoch"] == 1
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


def test_a_store_that_is_deleted(
    own_store: Path, tiny: Path, workspace: Workspace, reference: Reference
) -> None:
    """Nobody waits here: the run can be continued, by nobody's leave."""
    run = prepare_run(RUN, workspace)
    shutil.rmtree(own_store)
    [outcome] = fit([run], AT_ONCE)
    assert outcome.state == "interrupted" and outcome.outage
    assert "no clip store here" in outcome.detail
    with pytest.raises(EchoLMError, match="no clip store here; make one with"):
        prepare_run(RUN, workspace)
    shutil.copytree(tiny / "store", own_store)
    assert interruption(workspace, RUN)["class"] == "outage"
    train(workspace, RUN)
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


def test_a_store_that_is_deleted_while_training(
    own_store: Path,
    tiny: Path,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was opened stays readable: the run completes, or is interrupted and can go on."""
    record = record_of(workspace, RUN)
    with monkeypatch.context() as patch:
        at_step(4, lambda: shutil.rmtree(own_store), patch)
        [outcome] = train(workspace, RUN, compute=AT_ONCE)
    if outcome.state != "complete":
        shutil.copytree(tiny / "store", own_store)
        assert interruption(workspace, RUN)["class"] == "outage"
        train(workspace, RUN)
    assert Result.of(record) == reference(RUN)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The operating system refuses to write beyond ``size`` bytes of any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [20_000, 0], ids=["no checkpoint fits", "nothing fits"])
@pytest.mark.parametrize("step", [2, 5])
def test_writes_that_are_refused(
    size: int,
    step: int,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From some step on nothing can be written; with the small limit not even how it ended."""
    record, before = record_of(workspace, RUN), resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        at_step(step, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1])), patch)
        try:
            [outcome] = train(workspace, RUN)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert outcome.state == "failed" and "cannot be written" in outcome.detail
    if size:
        assert "cannot be written" in failed(workspace, RUN, "data")
    assert [event["epoch"] for event in record.history()] == list(range((step - 1) // 3))
    train(workspace, RUN, compute=loop.Compute(patience_s=0.5))
    assert Result.of(record) == reference(RUN)


def test_a_record_that_cannot_be_begun(workspace: Workspace, reference: Reference) -> None:
    runs = [prepare_run(run, workspace) for run in (RUN, config())]
    with files_of_at_most(0):
        results = fit(runs)
    assert states(results) == ["failed", "failed"]
    assert "cannot be written" in results[0].detail
    train(workspace, RUN)
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


@pytest.mark.parametrize("call", range(1, 12, 2))
def test_no_space_at_any_flush(
    call: int, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync is where a full disk is found out late; up to the summary's own."""
    original, calls = os.fsync, 0

    def fsync(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        [outcome] = train(workspace, RUN, compute=AT_ONCE)
    record = record_of(workspace, RUN)
    assert outcome.state == "interrupted" and "No space left on device" in outcome.detail
    assert record.state().name in ("interrupted", "pending") and record.summary() is None
    train(workspace, RUN)
    assert Result.of(record) == reference(RUN)


def test_a_full_disk(workspace: Workspace, reference: Reference, tmp_path: Path) -> None:
    """A file system of 300 kB for the runs, where the system allows to mount one.

    It is enlarged afterwards.
    """
    plain = RUN.model_dump(mode="json")
    process = CONTEXT.Process(
        target=train_on_a_small_disk, args=(workspace, plain, tmp_path / "kept", tmp_path / "out")
    )
    process.start()
    [code] = join(process)
    if code == NOT_ALLOWED:
        pytest.skip("mounting is not allowed here; refused writes and fsync are tested above")
    first, second = outcomes(tmp_path / "out")
    assert first.state == "interrupted" and "No space left on device" in first.detail
    assert second.state == "complete"
    shutil.copytree(tmp_path / "kept", workspace.runs, dirs_exist_ok=True)
    record = record_of(workspace, RUN)
    assert record.failures() == []
    assert Result.of(record) == reference(RUN)


def test_a_member_that_cannot_save_fails_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members write one after another."""
    runs = [config(trainable="k1"), config(trainable="k2")]
    with monkeypatch.context() as patch:
        Fault("echolm.training.run_handle:RunHandle.save_checkpoint", 1, "raise").install(
            patch.setattr
        )
        results = train(workspace, *runs)
    assert states(results) == ["failed", "complete"]
