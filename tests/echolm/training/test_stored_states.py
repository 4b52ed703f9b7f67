"""Each clip passes a frozen part once where nothing is drawn, and nobody sees it in the results."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_support import (
    Config,
    Fault,
    Reference,
    Result,
    config,
    join,
    record_of,
    results_of,
    start_ranks,
    states,
    train,
)

from echolm.training import loop
from echolm.training.cohorts import Compute
from echolm.training.feed import ClipFeed
from echolm.training.shelf import Shelf, scratch_folders
from echolm.workspace import Workspace

FROZEN: dict[str, Any] = {"augmentation": "none", "epochs": 3}
CUTS = [
    config(**FROZEN, trainable="k0", head="gcn"),
    config(**FROZEN, trainable="k0", head={"name": "mlp", "width": 8, "dropout": 0.5}),
    config(**FROZEN, trainable="k1"),
    config(**FROZEN, trainable="k3"),
]
NOTHING_IN_MEMORY = Compute(states_bytes=0)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each row of the store was read and passed, whatever for."""
    rows_seen: Counter[int] = Counter()
    original = ClipFeed.pass_to

    def counting(self: ClipFeed, rows: np.ndarray, *args: Any) -> Any:
        rows_seen.update(rows.tolist())
        return original(self, rows, *args)

    monkeypatch.setattr(ClipFeed, "pass_to", counting)
    return rows_seen


def without_store(workspace: Workspace, runs: list[Config], patch: pytest.MonkeyPatch) -> Any:
    """Results of runs whose clips pass the frozen part in every epoch."""
    with patch.context() as context:
        context.setattr(loop, "keep_states", lambda source, *_: source)
        train(workspace, *runs)
    return results_of(workspace, runs)


def assert_step_equal(ours: Result, theirs: Result) -> None:
    """Equal in every metric of every epoch, to rounding."""
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-4)
    for (_, metrics), (_, others) in zip(ours.epochs, theirs.epochs, strict=True):
        assert metrics == pytest.approx(others, rel=1e-4)


def test_cuts_of_one_cohort_share_one_pass(
    workspace: Workspace,
    reference: Reference,
    passes: Counter[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every clip is passed once, and each member is what it is alone, and without a store."""
    alone = reference.all(CUTS)
    passes.clear()
    assert states(train(workspace, *CUTS)) == ["complete"] * len(CUTS)
    # The operations of these networks were counted above, on one more clip.
    assert set(passes.values()) == {1}
    together = results_of(workspace, CUTS)
    assert together == alone
    other = Workspace(workspace.root.parent / "other")
    other.store("tiny").parent.mkdir(parents=True)
    other.store("tiny").symlink_to(workspace.store("tiny").resolve())
    for ours, theirs in zip(together, without_store(other, CUTS, monkeypatch), strict=True):
        assert_step_equal(ours, theirs)


def test_over_the_budget_states_are_in_files_that_end_with_the_process(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    monkeypatch.setenv("ECHOLM_SCRATCH", str(scratch))
    shelves = []
    original = Shelf.__init__

    def noting(self: Shelf, *args: Any) -> None:
        original(self, *args)
        shelves.append(self)

    monkeypatch.setattr(Shelf, "__init__", noting)
    expected = reference.all(CUTS)
    shelves.clear()
    train(workspace, *CUTS, compute=NOTHING_IN_MEMORY)
    [shelf] = shelves
    assert shelf.in_memory == 0 and shelf.on_disk > 0
    assert results_of(workspace, CUTS) == expected
    assert list(scratch.iterdir()) == []


def _hold_states(scratch: Path, ready: Any) -> None:
    shelf = Shelf(0, [scratch])
    [array] = (shelf.room(1000, {"x": torch.ones(1, 64)}, disk=True) or {}).values()
    array[:] = 1.0
    ready.set()
    signal.pause()


def test_a_kill_leaves_no_file(tmp_path: Path) -> None:
    ready = multiprocessing.get_context("fork").Event()
    process = multiprocessing.get_context("fork").Process(
        target=_hold_states, args=(tmp_path, ready)
    )
    process.start()
    assert ready.wait(60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list(tmp_path.iterdir()) == []


def test_without_room_each_epoch_passes_and_the_log_says_so(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOLM_SCRATCH", "/proc/nowhere")
    run = CUTS[2]
    expected = reference(run)
    train(workspace, run, compute=NOTHING_IN_MEMORY)
    record = record_of(workspace, run)
    assert_step_equal(Result.of(record), expected)
    assert "no room to keep the states of" in (record.attempt_path(1) / "log.txt").read_text()


@pytest.mark.parametrize("call", [2, 5, 9])
def test_after_an_interruption_the_states_are_the_same(
    call: int, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = CUTS[1:3]
    expected = reference.all(runs)
    with monkeypatch.context() as patch:
        Fault("echolm.training.loop:Cohort._step", call, "SIGTERM").install(patch.setattr)
        assert states(train(workspace, *runs)) == ["interrupted"] * 2
    train(workspace, *runs)
    assert results_of(workspace, runs) == expected


def test_two_ranks_keep_what_comes_to_them(
    workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """Step-equal to one rank."""
    encoder = {"name": "toy-r3d", "batch_norm": "frozen"}
    runs = [config(**FROZEN, encoder=encoder, trainable=k) for k in ("k0", "k1")]
    expected = reference.all(runs)
    join(*start_ranks(2, workspace, runs, tmp_path / "out"))
    for ours, theirs in zip(results_of(workspace, runs), expected, strict=True):
        assert_step_equal(ours, theirs)


def test_fixed_views_are_kept_and_fresh_ones_are_not(
    workspace: Workspace, passes: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs of two views: the third epoch reads none of the training clips."""
    fixed = config(trainable="k1", epochs=3, views=2)
    fresh = config(trainable="k1", epochs=3)
    train(workspace, fixed)
    of_fixed = Counter(passes.values())
    passes.clear()
    train(workspace, fresh)
    of_fresh = Counter(passes.values())
    assert max(of_fixed) <= 3 and of_fixed[2] > 0
    assert max(of_fresh) >= 3
    [theirs] = [Result.of(record_of(workspace, fixed))]
    other = Workspace(workspace.root.parent / "other")
    other.store("tiny").parent.mkdir(parents=True)
    other.store("tiny").symlink_to(workspace.store("tiny").resolve())
    [ours] = without_store(other, [fixed], monkeypatch)
    assert_step_equal(ours, theirs)


def test_files_are_not_put_into_memory_that_looks_like_a_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ECHOLM_SCRATCH", raising=False)
    monkeypatch.setattr("echolm.training.shelf.tempfile.gettempdir", lambda: "/dev/shm")
    assert scratch_folders(tmp_path) == [tmp_path]
