"""What goes away for a while is waited for: the result is as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_support import (
    Reference,
    Result,
    config,
    join,
    lose_while_training,
    outcomes,
    prepare_run,
    record_of,
    start_ranks,
    train,
)

from echolm import outages
from echolm.errors import EchoLMError
from echolm.outages import mark_workspace
from echolm.record import RunRecord
from echolm.stores.clips import ClipStore
from echolm.training import loop
from echolm.training.cohorts import Compute
from echolm.training.patience import FRUITLESS
from echolm.training.run_handle import RunHandle
from echolm.training.signals import request_stop
from echolm.workspace import Workspace

RUN = config(epochs=3)
AWAY_S = 1.5
"""How long something is away. Batches are read ahead, so it may be missed a while later."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come soon after each other."""
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.02)


def before_step(number: int, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do ``act`` before the ``number``-th optimiser step of all."""
    original, steps = loop.Cohort._step, 0

    def stepping(self: loop.Cohort, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            act()
        original(self, *args)

    monkeypatch.setattr(loop.Cohort, "_step", stepping)


def later(act: Callable[[], Any]) -> None:
    """Do ``act`` in another thread, when what was away has been missed."""

    def wait_and_act() -> None:
        time.sleep(AWAY_S)
        act()

    threading.Thread(target=wait_and_act).start()


def ending(record: RunRecord, attempt: int) -> tuple[str, str]:
    """An attempt's last event, and its class."""
    event = record.events(attempt)[-1]
    return event["event"], event.get("class", "")


def test_a_store_that_comes_back(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that share batches: both wait, and neither fails."""
    store = workspace.store("tiny")
    hidden = store.with_name("hidden")

    def vanish() -> None:
        store.rename(hidden)
        later(lambda: hidden.rename(store))

    told: list[str] = []
    other = config(epochs=3, trainable="k1")
    before_step(5, vanish, monkeypatch)
    results = train(workspace, RUN, other, on_outage=told.append)
    assert [outcome.state for outcome in results] == ["complete", "complete"]
    assert told[0] == f"the store {store} is not there; waiting"
    assert "all is there again" in told[1] and len(told) == 2
    record = record_of(workspace, RUN)
    assert record.attempts() == [1, 2] and record.failures() == []
    assert ending(record, 1) == ("interrupted", "outage")
    assert record.events(2)[0]["epoch"] == 1, "it went on from its checkpoint"
    assert Result.of(record) == reference(RUN)


def test_a_workspace_whose_mount_point_is_empty_for_a_while(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written into the mount point, and the attempt gets its ending afterwards."""
    mark_workspace(workspace.root)
    mounted = workspace.root.with_name("mounted elsewhere")
    left: list[list[str]] = []

    def unmount() -> None:
        workspace.root.rename(mounted)
        workspace.root.mkdir()
        later(mount)

    def mount() -> None:
        left.append(os.listdir(workspace.root))
        workspace.root.rmdir()
        mounted.rename(workspace.root)

    before_step(5, unmount, monkeypatch)
    told: list[str] = []
    [outcome] = train(workspace, RUN, on_outage=told.append)
    assert outcome.state == "complete", outcome
    assert left == [[]]
    assert told[0] == f"the workspace {workspace.root} is not there; waiting"
    record = record_of(workspace, RUN)
    assert record.attempts() == [1, 2]
    assert ending(record, 1) == ("interrupted", "outage")
    assert Result.of(record) == reference(RUN)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("event", 1),
        ("event", 3),
        ("read_checkpoint", 1),
        ("save_checkpoint", 1),
        ("save_checkpoint", 2),
        ("keep_best", 1),
        ("keep_best", 2),
        ("best_tensors", 1),
        ("publish", 1),
    ],
)
def test_a_workspace_that_goes_away_before_any_read_or_write_of_the_run(
    what: str,
    call: int,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mark_workspace(workspace.root)
    mounted = workspace.root.with_name("mounted elsewhere")
    original, calls = getattr(RunHandle, what), 0

    def mount() -> None:
        workspace.root.rmdir()
        mounted.rename(workspace.root)

    def unmounting(self: RunHandle, *args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            workspace.root.rename(mounted)
            workspace.root.mkdir()
            threading.Timer(0.3, mount).start()
        return original(self, *args, **named)

    monkeypatch.setattr(RunHandle, what, unmounting)
    told: list[str] = []
    [outcome] = train(workspace, RUN, on_outage=told.append)
    assert outcome.state == "complete", outcome
    assert told and calls >= call
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("first", [1, 4, 9, 15])
def test_writes_that_fail_for_a_while(
    first: int,
    number: int,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At whatever flush it begins, and also where it is back at the first look."""
    original, calls = os.fsync, 0

    def fsync(file: int) -> None:
        nonlocal calls
        calls += 1
        if first <= calls < first + 3:
            raise OSError(number, os.strerror(number))
        original(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        [outcome] = train(workspace, RUN, on_outage=lambda line: None)
    assert outcome.state == "complete", outcome
    record = record_of(workspace, RUN)
    assert record.failures() == []
    assert Result.of(record) == reference(RUN)


def test_what_happens_again_and_again_with_all_there_is_a_failure(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*args: Any) -> None:
        try:
            raise OSError(errno.EIO, os.strerror(errno.EIO), "frames.bin")
        except OSError as error:
            raise EchoLMError("frames.bin: cannot be read") from error

    monkeypatch.setattr(ClipStore, "read", unreadable)
    [outcome] = train(workspace, RUN)
    record = record_of(workspace, RUN)
    assert outcome.state == "failed" == record.state().name
    assert record.failures()[-1]["class"] == "data"
    assert record.attempts() == list(range(1, FRUITLESS + 3))


def test_a_signal_ends_the_wait(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = workspace.store("tiny")
    hidden = store.with_name("hidden")
    before_step(5, lambda: store.rename(hidden), monkeypatch)
    [outcome] = train(workspace, RUN, on_outage=lambda line: request_stop("SIGTERM"))
    assert outcome.state == "interrupted" and outcome.outage
    hidden.rename(store)
    assert record_of(workspace, RUN).state().name == "interrupted"


def test_a_store_of_other_data_in_its_place_is_not_trained_on(
    workspace: Workspace, tmp_path: Path
) -> None:
    run = prepare_run(RUN, workspace)
    store = workspace.store("tiny")
    other = tmp_path / "other"
    other.mkdir()
    for path in store.iterdir():
        if path.is_file():
            (other / path.name).write_bytes(path.read_bytes())
    info = json.loads((other / "store.json").read_text())
    (other / "store.json").write_text(json.dumps(info | {"fingerprint": "0" * 64}))
    store.unlink()
    store.symlink_to(other)
    [outcome] = loop.fit([run])
    assert outcome.state == "failed" and "holds other data" in outcome.detail


def test_two_ranks_wait_together(
    workspace: Workspace, tmp_path: Path, reference: Reference
) -> None:
    store = workspace.store("tiny")
    run = config(encoder="tiny-mvit", trainable="k1", epochs=3)
    processes = start_ranks(
        2,
        workspace,
        [run],
        tmp_path / "out",
        compute=Compute(patience_s=0.6, heartbeat_s=0.05, outage_s=60),
        before=lose_while_training,
        arguments=(store, 2 * AWAY_S),
    )
    assert join(*processes) == [0, 0]
    for rank in ("0", "1"):
        assert [outcome.state for outcome in outcomes(tmp_path / "out" / rank)] == ["complete"]
    record = record_of(workspace, run)
    assert record.attempts() == [1, 2] and ending(record, 1) == ("interrupted", "outage")
    assert Result.of(record).metrics == pytest.approx(reference(run).metrics, rel=1e-3)


def test_the_learning_curve_is_on_the_disk_before_the_summary(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes what was not flushed: at a checkpoint no epoch before it, and at the
    summary none of any attempt.
    """
    flushed: dict[str, int] = {}
    original_fsync, original_link, original_replace = os.fsync, os.link, os.replace
    checked: list[str] = []

    def fsync(file: int) -> None:
        flushed[os.readlink(f"/proc/self/fd/{file}")] = os.fstat(file).st_size
        original_fsync(file)

    def check(target: Any) -> None:
        path = Path(target)
        if path.name == "summary.json" or path.name.startswith("checkpoint-"):
            checked.append(path.name)
            for events in record.path.glob("attempts/*/events.jsonl"):
                kept = events.read_bytes()[: flushed.get(str(events), 0)]
                lines = [line for line in events.read_bytes().split(b"\n") if b'"epoch", ' in line]
                assert all(line in kept for line in lines), path

    def link(source: Any, target: Any) -> None:
        check(target)
        original_link(source, target)

    def replace(source: Any, target: Any) -> None:
        check(target)
        original_replace(source, target)

    record = record_of(workspace, RUN)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "replace", replace)
    before_step(5, lambda: request_stop("SIGTERM"), monkeypatch)
    assert [outcome.state for outcome in train(workspace, RUN)] == ["interrupted"]
    assert [outcome.state for outcome in train(workspace, RUN)] == ["complete"]
    assert len(record.history()) == 3
    assert checked.count("summary.json") == 2 and len(checked) >= 5
