"""Several processes as one run: they agree on signals, errors and results, and none waits for another for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_support import Fault, config, join, outcomes, record_of, start_ranks, train

from echolm.data.store import ClipStore
from echolm.training import checkpoint
from echolm.training.distributed import Ranks
from echolm.training.held import Outcome
from echolm.workspace import Workspace

RUN = config(encoder="tiny-mvit", batch_size=13)
"""Two steps an epoch, of 13 samples and of 1: on two ranks the second shard of each second batch is empty."""
PART = config(encoder={"name": "tiny-r3d", "batch_norm": "frozen"}, trainable="k1", batch_size=13)


def ends(out: Path, world: int = 2) -> list[list[Outcome]]:
    """Each rank's outcomes."""
    return [outcomes(out / str(rank)) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 6])
def test_a_run_on_ranks_has_every_row_once_and_one_holder(world: int, workspace: Workspace, tmp_path: Path, tiny: Path) -> None:
    """With six ranks some shards of the five validation samples are empty too."""
    join(*start_ranks(world, workspace, [RUN, PART], tmp_path / "out"))
    assert [[o.state for o in found] for found in ends(tmp_path / "out", world)] == [["complete", "complete"]] * world
    import pyarrow.parquet as pq

    store = ClipStore.open(tiny / "store")
    expected = [store.items[row].sample for split in ("val", "test") for row in store.split(split)]
    for run in (RUN, PART):
        record = record_of(workspace, run)
        rows = pq.read_table(record.file("predictions.parquet")).to_pylist()
        assert [row["sample"] for row in rows if row["slot"] == "ED"] == expected
        assert [row["sample"] for row in rows if row["slot"] == "ES"] == expected
        assert record.attempts() == [1]
        assert record.events(1)[0]["world"] == world
    assert all(found[0].metrics == ends(tmp_path / "out", world)[0][0].metrics for found in ends(tmp_path / "out", world))


def test_losses_of_an_epoch_do_not_depend_on_ranks(workspace: Workspace, tmp_path: Path) -> None:
    """The first epoch's first step is exact to rounding, so a mean over all samples is close."""
    join(*start_ranks(2, workspace, [RUN], tmp_path / "out"))
    several = record_of(workspace, RUN).history()[0]["metrics"]
    alone = Workspace(tmp_path / "alone")
    alone.store("tiny").parent.mkdir(parents=True)
    alone.store("tiny").symlink_to(workspace.store("tiny").resolve())
    train(alone, RUN)
    assert several["train/loss"] == pytest.approx(record_of(alone, RUN).history()[0]["metrics"]["train/loss"], rel=1e-2)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_all_at_the_same_step(rank: int, workspace: Workspace, tmp_path: Path) -> None:
    fault = Fault("echolm.training.loop:Cohort._accumulate", 2 if rank == 0 else 1, "SIGTERM", rank=rank)
    join(*start_ranks(2, workspace, [RUN], tmp_path / "out", faults=[fault]))
    assert [[o.state for o in found] for found in ends(tmp_path / "out")] == [["interrupted"]] * 2
    record = record_of(workspace, RUN)
    newest = checkpoint.newest(record)
    assert newest and checkpoint.place(newest) == ((0, 2) if rank == 0 else (0, 1))
    assert record.state().name == "interrupted"
    join(*start_ranks(2, workspace, [RUN], tmp_path / "again"))
    assert [[o.state for o in found] for found in ends(tmp_path / "again")] == [["complete"]] * 2


PLACES = [
    ("echolm.training.batches:Batches.batch", 1), ("echolm.training.loop:Cohort._open", 1), ("echolm.training.loop:first_network", 1),
    ("echolm.training.loop:Member.__init__", 1), ("echolm.training.loop:Cohort._backward", 1), ("echolm.training.loop:Member.step", 1),
    ("echolm.training.evaluate:Evaluation.add", 1), ("echolm.training.loop:Held.load_state", 1),
]  # fmt: skip
FIRST = [
    ("echolm.training.evaluate:Evaluation.metrics", 1), ("echolm.training.loop:Cohort._judge", 1), ("echolm.attempt:Attempt.event", 1),
    ("echolm.attempt:Attempt.event", 2), ("echolm.training.held:Held.save_checkpoint", 1), ("echolm.training.held:Held.keep_best", 1),
    ("echolm.training.held:Held.best_tensors", 1), ("echolm.training.held:Held.publish", 1), ("echolm.training.checkpoint:load", 1),
    ("echolm.training.held:Attempt.acquire", 1),
]  # fmt: skip


@pytest.mark.parametrize(("where", "call", "rank"), [(*p, 0) for p in FIRST] + [(*p, 1) for p in PLACES], ids=lambda v: str(v).rpartition(":")[2])
def test_an_error_on_one_rank_ends_the_run_on_all(where: str, call: int, rank: int, workspace: Workspace, tmp_path: Path) -> None:
    """Wherever it happens: in building, training, validation, the callback, saving, finishing."""
    if where.endswith(("load_state", "checkpoint:load")):
        join(*start_ranks(2, workspace, [PART], tmp_path / "before", faults=[Fault("echolm.training.loop:Cohort._step", 1, "SIGTERM")]))
    join(*start_ranks(2, workspace, [PART], tmp_path / "out", faults=[Fault(where, call, "raise", rank=rank)]), timeout=60)
    first, second = ends(tmp_path / "out")
    assert (first[0].state, second[0].state) == ("failed", "failed")
    assert "an injected fault" in first[0].detail and "an injected fault" in second[0].detail
    record = record_of(workspace, PART)
    assert record.summary() is None
    if not where.endswith("acquire"):
        [failure] = record.failures()
        assert failure["class"] == "bug"
        assert "an injected fault" in failure["traceback"] and "in counted" in failure["traceback"]


def test_a_failing_member_leaves_on_all_ranks(workspace: Workspace, tmp_path: Path) -> None:
    """The error is on one rank alone; the other member completes on both."""
    other = config(encoder=PART.encoder, trainable="k2", batch_size=13)
    fault = Fault("echolm.training.loop:Cohort._backward", 2, "raise", rank=1)
    join(*start_ranks(2, workspace, [PART, other], tmp_path / "out", faults=[fault]))
    assert [[o.state for o in found] for found in ends(tmp_path / "out")] == [["complete", "failed"]] * 2


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_leaves_the_run_to_be_continued(victim: int, workspace: Workspace, tmp_path: Path) -> None:
    """As when the whole run is killed: interrupted, not failed, and the other rank does not hang."""
    fault = Fault("echolm.training.loop:Cohort._agree", 3, "SIGKILL", rank=victim)
    codes = join(*start_ranks(2, workspace, [PART], tmp_path / "out", faults=[fault]), timeout=60)
    assert codes[victim] == -9 and codes[1 - victim] == 0
    assert outcomes(tmp_path / "out" / str(1 - victim))[0].state == "interrupted"
    record = record_of(workspace, PART)
    assert record.state().name == "interrupted"
    train(workspace, PART)
    assert record.state().name == "complete"
    assert record.events(2)[0]["epoch"] == 1


def test_the_mean_baseline_on_ranks(workspace: Workspace, tmp_path: Path) -> None:
    """Nothing trains: no gradient to sum."""
    run = config(encoder="none", trainable="k0", head="mean", augmentation="none", epochs=1)
    join(*start_ranks(2, workspace, [run], tmp_path / "out"))
    assert record_of(workspace, run).state().name == "complete"


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shards_divide_a_batch(world: int) -> None:
    rows = np.arange(4)
    parts = [Ranks(rank, world).shard(rows) for rank in range(world)]
    assert np.array_equal(np.concatenate(parts), rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
