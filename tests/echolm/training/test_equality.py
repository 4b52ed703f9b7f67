"""Step equality: ranks, micro-batch and company in a cohort do not change the gradients.

Gradients of one step from one state are compared, at step 1 and at step 10. Never whole trainings:
their differences of rounding grow.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_support import Config, config, join, outcomes, start, start_ranks
from training_toys import registered

from echolm.identity import cell_id
from echolm.tasks import Batch
from echolm.training.batches import Batches
from echolm.training.cohorts import Compute
from echolm.training.consensus import Consensus, StepFacts
from echolm.training.member import Member
from echolm.workspace import Workspace

FROZEN = {"name": "toy-r3d", "batch_norm": "frozen"}
RUNS = [
    [
        config(encoder="tiny-mvit", batch_size=13, epochs=5, trainable=which)
        for which in ("all", "k1")
    ],
    [
        config(encoder=FROZEN, batch_size=5, epochs=5, trainable=k, head=head)
        for k, head in (("k2", "gcn"), ("k4", "mlp"), ("k0", "gcn"))
    ],
]
"""14 training samples: batches of 13 and 1, or of 5, 5 and 4.

At step 10 there is one sample, and all other shards are empty.
The first run is the one whose gradients are compared, the others may keep it company."""

with registered():
    PRETRAINING = [
        config(
            kind="pretrain",
            objective="toy-mean-frame",
            encoder="tiny-mvit",
            batch_size=13,
            epochs=5,
            optimizer=optimizer,
        )
        for optimizer in ("adam", "sgd")
    ]
    MASKED = {"name": "masked-autoencoder", "decoder_width": 32, "decoder_depth": 1}
    OBJECTIVES = {
        "masked": config(
            kind="pretrain", objective=MASKED, encoder="tiny-videomae", batch_size=13, epochs=5
        ),
        "shared mask": config(
            kind="pretrain",
            objective={**MASKED, "recipe": "released"},
            encoder="tiny-videomae",
            batch_size=13,
            epochs=5,
        ),
        "denominators": config(
            kind="pretrain",
            objective="toy-weighted",
            encoder="tiny-mvit",
            batch_size=13,
            epochs=5,
        ),
    }
RUNS.append(PRETRAINING)

Gradients = dict[str, Tensor]


def double() -> None:
    """Compute in float64 in this process."""
    torch.set_default_dtype(torch.float64)
    original = Batches.batch

    def batch(self: Batches, *args: Any) -> Batch:
        single = original(self, *args)
        targets = {name: value.double() for name, value in single.targets.items()}
        return Batch(single.items, single.clips.double(), single.points.double(), targets)

    Batches.batch = batch  # type: ignore[method-assign]


def stop_after(steps: int, dtype: str, gradients: Path | None = None, cell: str = "") -> None:
    """Leave with a checkpoint after ``steps`` optimiser steps.

    Write the last one's gradients of the run ``cell``.
    """
    if dtype == "float64":
        double()
    reduce_facts, step, seen = Consensus.reduce_step_facts, Member.step, 0

    def reducing(self: Consensus, *args: Any) -> StepFacts:
        nonlocal seen
        seen += 1
        if seen == steps:
            self.stop.received = "the test"
        return reduce_facts(self, *args)

    def stepping(self: Member, progress: float) -> None:
        if gradients and seen == steps and cell_id(self.config) == cell:
            named = self.model.named_parameters()
            torch.save(
                {name: p.grad.clone() for name, p in named if p.requires_grad},
                gradients / os.environ["RANK"],
            )
        step(self, progress)

    Consensus.reduce_step_facts = reducing  # type: ignore[method-assign]
    Member.step = stepping  # type: ignore[method-assign]


def assert_equal(one: Gradients, other: Gradients) -> None:
    """Bitwise."""
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def assert_step_equal(one: Gradients, other: Gradients, dtype: str) -> None:
    """Each tensor within 1e-6 (float64) or 1e-4 (float32) of its norm.

    Tensors that rounding alone makes: within that of the whole's norm.
    """
    tolerance = {"float64": 1e-6, "float32": 1e-4}[dtype]
    assert one.keys() == other.keys()
    whole = torch.stack([tensor.norm() for tensor in one.values()]).norm()
    assert whole > 0 and all(tensor.dtype == getattr(torch, dtype) for tensor in one.values())
    for name, tensor in one.items():
        difference = (tensor - other[name]).norm()
        assert difference <= tolerance * max(tensor.norm(), 1e-3 * whole), (
            name,
            difference / tensor.norm(),
        )


class Beginning:
    """A workspace in which runs stand after ``steps`` steps.

    With the gradients of the first one's next step, alone.
    """

    def __init__(self, root: Path, store: Path, runs: list[Config], steps: int, dtype: str) -> None:
        self.root, self.runs, self.dtype = root, runs, dtype
        self.workspace = Workspace(root / "workspace")
        self.workspace.store("tiny").parent.mkdir(parents=True)
        self.workspace.store("tiny").symlink_to(store)
        if steps:
            join(
                start(
                    self.workspace, runs, root / "out", before=stop_after, arguments=(steps, dtype)
                )
            )
            assert {outcome.state for outcome in outcomes(root / "out")} == {"interrupted"}
        self.alone = self.next_step(Compute())

    def next_step(self, compute: Compute, world: int = 1, company: bool = False) -> Gradients:
        """Gradients of the next step, computed another way from the same state."""
        place = self.root / f"{world}-{compute.micro_batch}-{company}"
        shutil.copytree(self.workspace.root, place / "workspace", symlinks=True)
        (place / "gradients").mkdir()
        workspace, runs = (
            Workspace(place / "workspace"),
            self.runs[::-1] if company else self.runs[:1],
        )
        wanted = (1, self.dtype, place / "gradients", cell_id(self.runs[0]))
        settings: dict[str, Any] = {"compute": compute, "before": stop_after, "arguments": wanted}
        join(*start_ranks(world, workspace, runs, place / "out", **settings))
        assert {o.state for rank in range(world) for o in outcomes(place / "out" / str(rank))} == {
            "interrupted"
        }
        by_rank = [
            torch.load(place / "gradients" / str(rank), weights_only=True) for rank in range(world)
        ]
        for other in by_rank[1:]:
            assert_equal(by_rank[0], other)
        return by_rank[0]


@pytest.fixture(scope="module", params=[(0, "float32"), (9, "float64")], ids=str)
def place(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Steps before the one that is compared, and the type.

    Both types at both steps would take twice the time of the longest file of training tests.
    """
    parameter: tuple[int, str] = request.param
    return parameter


@pytest.fixture(scope="module", params=RUNS, ids=["dropout", "graph", "objective"])
def beginning(
    request: pytest.FixtureRequest,
    place: tuple[int, str],
    tiny: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Beginning:
    """Runs at a place."""
    return Beginning(tmp_path_factory.mktemp("beginning"), tiny / "store", request.param, *place)


def test_two_ranks(beginning: Beginning) -> None:
    """Shards of 7 and 6, or 3 and 2, samples; at step 10 of one sample and none.

    All ranks have the same sums.
    """
    assert_step_equal(beginning.alone, beginning.next_step(Compute(), world=2), beginning.dtype)


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_micro_batches(beginning: Beginning, micro_batch: int) -> None:
    assert_step_equal(beginning.alone, beginning.next_step(Compute(micro_batch)), beginning.dtype)


def test_company(beginning: Beginning) -> None:
    """A cohort's trunk ends at its earliest cut; what a member computes is the same."""
    assert_equal(beginning.alone, beginning.next_step(Compute(), company=True))


def test_three_ranks_with_micro_batches_in_company(beginning: Beginning) -> None:
    assert_step_equal(
        beginning.alone, beginning.next_step(Compute(2), world=3, company=True), beginning.dtype
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_on_two_ranks_with_micro_batches(
    objective: str, tiny: Path, tmp_path: Path
) -> None:
    """Masks and denominators of step 9, of 13 samples on ranks of 7 and 6."""
    run = OBJECTIVES[objective]
    beginning = Beginning(tmp_path, tiny / "store", [run], 8, "float64")
    parts = beginning.next_step(Compute(micro_batch=2), world=2)
    assert_step_equal(beginning.alone, parts, "float64")
