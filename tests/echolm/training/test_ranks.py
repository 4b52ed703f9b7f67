"""Several processes as one run.

They agree on signals, errors and results, and none waits for another for ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from training_support import (
    Fault,
    config,
    free_port,
    join,
    outcomes,
    record_of,
    start_ranks,
    states,
    train,
)

from echolm.stores.clips import ClipStore
from echolm.training import checkpoint
from echolm.training.distributed import Ranks
from echolm.training.run_handle import Outcome
from echolm.training.selection import training_rows
from echolm.workspace import Workspace

DROPOUT: dict[str, Any] = {"encoder": "tiny-mvit"}
FROZEN: dict[str, Any] = {
    "encoder": {"name": "toy-r3d", "batch_norm": "frozen"},
    "trainable": "k1",
}
RUN = config(batch_size=13, **DROPOUT)
"""Two steps an epoch, of 13 samples and of 1.

On two ranks the second shard of each second batch is empty.
"""
PART = config(batch_size=13, **FROZEN)


def ends(out: Path, world: int = 2) -> list[list[Outcome]]:
    """Each rank's outcomes."""
    return [outcomes(out / str(rank)) for rank in range(world)]


def end_states(out: Path, world: int = 2) -> list[list[str]]:
    """How each rank says that the runs ended."""
    return [states(rank) for rank in ends(out, world)]


@pytest.mark.parametrize(("world", "fraction"), [(3, 1.0), (2, 0.2)])
def test_a_run_on_ranks_has_every_row_once_and_one_holder(
    world: int, fraction: float, workspace: Workspace, tmp_path: Path, tiny: Path
) -> None:
    """With the fraction there is one validation sample: a rank has none."""
    runs = [
        config(data={"name": "tiny", "fraction": fraction}, batch_size=13, **part)
        for part in (DROPOUT, FROZEN)
    ]
    join(*start_ranks(world, workspace, runs, tmp_path / "out"))
    by_rank = ends(tmp_path / "out", world)
    assert end_states(tmp_path / "out", world) == [["complete", "complete"]] * world
    assert all(rank[0].metrics == by_rank[0][0].metrics for rank in by_rank)
    store = ClipStore.open(tiny / "store")
    for run in runs:
        record = record_of(workspace, run)
        rows = pq.read_table(record.file("predictions.parquet")).to_pylist()
        chosen = [*training_rows(store, run.data, "val"), *store.split("test")]
        assert [(r["sample"], r["slot"]) for r in rows] == [
            (store.items[row].sample, s) for row in chosen for s in ("ED", "ES")
        ]
        assert record.attempts() == [1]
        assert record.events(1)[0]["world"] == world


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_all_at_the_same_step(
    rank: int, workspace: Workspace, tmp_path: Path
) -> None:
    fault = Fault(
        "echolm.training.steps:OptimiserSteps._accumulate",
        2 if rank == 0 else 1,
        "SIGTERM",
        rank=rank,
    )
    join(*start_ranks(2, workspace, [RUN], tmp_path / "out", faults=[fault]))
    assert end_states(tmp_path / "out") == [["interrupted"]] * 2
    record = record_of(workspace, RUN)
    newest = checkpoint.newest(record)
    assert newest and checkpoint.position(newest) == ((0, 2) if rank == 0 else (0, 1))
    assert record.state().name == "interrupted"
    join(*start_ranks(2, workspace, [RUN], tmp_path / "again"))
    assert end_states(tmp_path / "again") == [["complete"]] * 2


PLACES = [
    ("echolm.training.batches:Batches.batch", 1),
    ("echolm.training.loop:Cohort._open", 1),
    ("echolm.training.loop:first_network", 1),
    ("echolm.training.loop:Member.__init__", 1),
    ("echolm.training.steps:OptimiserSteps._backward", 1),
    ("echolm.training.loop:Member.step", 1),
    ("echolm.training.evaluate:Evaluation.add", 1),
    ("echolm.training.run_handle:RunHandle.load_state", 1),
]
FIRST = [
    ("echolm.training.evaluate:Evaluation.metrics", 1),
    ("echolm.training.loop:Cohort._after_validation", 1),
    ("echolm.attempt:Attempt.event", 1),
    ("echolm.attempt:Attempt.event", 2),
    ("echolm.training.run_handle:RunHandle.save_checkpoint", 1),
    ("echolm.training.run_handle:RunHandle.keep_best", 1),
    ("echolm.training.run_handle:RunHandle.best_tensors", 1),
    ("echolm.training.run_handle:RunHandle.publish", 1),
    ("echolm.training.checkpoint:load", 1),
    ("echolm.training.run_handle:Attempt.acquire", 1),
]


@pytest.mark.parametrize(
    ("where", "call", "rank"),
    [(*p, 0) for p in FIRST] + [(*p, 1) for p in PLACES],
    ids=lambda v: str(v).rpartition(":")[2],
)
def test_an_error_on_one_rank_ends_the_run_on_all(
    where: str, call: int, rank: int, workspace: Workspace, tmp_path: Path
) -> None:
    """Wherever it happens: in building, training, validation, the callback, saving, finishing."""
    if where.endswith(("load_state", "checkpoint:load")):
        join(
            *start_ranks(
                2,
                workspace,
                [PART],
                tmp_path / "before",
                faults=[Fault("echolm.training.loop:Cohort._step", 1, "SIGTERM")],
            )
        )
    join(
        *start_ranks(
            2, workspace, [PART], tmp_path / "out", faults=[Fault(where, call, "raise", rank=rank)]
        ),
        timeout=300,
    )
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
    fault = Fault("echolm.training.steps:OptimiserSteps._backward", 2, "raise", rank=1)
    join(*start_ranks(2, workspace, [PART, other], tmp_path / "out", faults=[fault]))
    assert end_states(tmp_path / "out") == [["complete", "failed"]] * 2


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_leaves_the_run_to_be_continued(
    victim: int, workspace: Workspace, tmp_path: Path
) -> None:
    """As when the whole run is killed: interrupted, not failed. The other rank does not hang."""
    fault = Fault(
        "echolm.training.consensus:Consensus.reduce_step_facts", 3, "SIGKILL", rank=victim
    )
    codes = join(*start_ranks(2, workspace, [PART], tmp_path / "out", faults=[fault]), timeout=300)
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


LEAVE = """
import os
from echolm.training.distributed import ranks_from_environment
with ranks_from_environment("cpu") as ranks:
    assert ranks.any(ranks.first)
    import torch.distributed.nn.functional
names = [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
print([name.strip() for name in names if "gloo" in name])
"""


def test_a_rank_leaves_no_thread_behind(tmp_path: Path) -> None:
    """One that still runs when the interpreter has ended aborts the process.

    torchrun then calls the run failed.
    """
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", LEAVE],
            env={**os.environ, **place, "RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    assert [process.communicate(timeout=400)[0] for process in ranks] == ["[]\n", "[]\n"]
    assert [process.returncode for process in ranks] == [0, 0]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shards_divide_a_batch(world: int) -> None:
    rows = np.arange(4)
    parts = [Ranks(rank, world).shard(rows) for rank in range(world)]
    assert np.array_equal(np.concatenate(parts), rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
