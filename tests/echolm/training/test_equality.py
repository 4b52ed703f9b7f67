"""Step equality: another number of ranks, another micro-batch, company in a cohort give the same gradients.

Gradients of one step from one state are compared, at step 1 and at step 10, never whole trainings, whose rounding
differences grow.
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

from echolm.identity import cell_id
from echolm.tasks import Batch
from echolm.training.batches import Batches
from echolm.training.cohorts import Compute
from echolm.training.loop import Cohort
from echolm.training.member import Member
from echolm.workspace import Workspace

FROZEN = {"name": "tiny-r3d", "batch_norm": "frozen"}
RUNS = [
    [config(encoder="tiny-mvit", batch_size=13, epochs=5, trainable=which) for which in ("all", "k1")],
    [config(encoder=FROZEN, batch_size=5, epochs=5, trainable=k, head=head) for k, head in (("k2", "gcn"), ("k4", "mlp"), ("k0", "gcn"))],
]
"""14 training samples: batches of 13 and 1 (at step 10 one sample, all other shards are empty), or of 5, 5 and 4.
The first run is the one whose gradients are compared, the others may keep it company."""

Gradients = dict[str, Tensor]


def double() -> None:
    """Compute in float64 in this process."""
    torch.set_default_dtype(torch.float64)
    original = Batches.batch

    def batch(self: Batches, *args: Any) -> Batch:
        found = original(self, *args)
        targets = {name: value.double() for name, value in found.targets.items()}
        return Batch(found.items, found.clips.double(), found.points.double(), targets)

    Batches.batch = batch  # type: ignore[method-assign]


def stop_after(steps: int, dtype: str, gradients: Path | None = None, cell: str = "") -> None:
    """Leave with a checkpoint after ``steps`` optimiser steps; write the last one's gradients of the run ``cell``."""
    if dtype == "float64":
        double()
    agree, step, seen = Cohort._agree, Member.step, 0

    def agreeing(self: Cohort, *args: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == steps:
            self.signals.received = "the test"
        agree(self, *args)

    def stepping(self: Member, progress: float) -> None:
        if gradients and seen == steps and cell_id(self.config) == cell:
            named = self.model.named_parameters()
            torch.save({name: p.grad.clone() for name, p in named if p.requires_grad}, gradients / os.environ["RANK"])
        step(self, progress)

    Cohort._agree = agreeing  # type: ignore[method-assign]
    Member.step = stepping  # type: ignore[method-assign]


def assert_equal(one: Gradients, other: Gradients) -> None:
    """Bitwise."""
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def assert_step_equal(one: Gradients, other: Gradients, dtype: str) -> None:
    """Each tensor within 1e-6 (float64) or 1e-4 (float32) of its norm; tensors that rounding alone makes, of the whole's."""
    tolerance = {"float64": 1e-6, "float32": 1e-4}[dtype]
    assert one.keys() == other.keys()
    whole = torch.stack([tensor.norm() for tensor in one.values()]).norm()
    assert whole > 0 and all(tensor.dtype == getattr(torch, dtype) for tensor in one.values())
    for name, tensor in one.items():
        difference = (tensor - other[name]).norm()
        assert difference <= tolerance * max(tensor.norm(), 1e-3 * whole), (name, difference / tensor.norm())


class Beginning:
    """A workspace in which runs stand after ``steps`` steps, and the gradients of the first one's next step, alone."""

    def __init__(self, root: Path, store: Path, runs: list[Config], steps: int, dtype: str) -> None:
        self.root, self.runs, self.dtype = root, runs, dtype
        self.workspace = Workspace(root / "workspace")
        self.workspace.store("tiny").parent.mkdir(parents=True)
        self.workspace.store("tiny").symlink_to(store)
        if steps:
            join(start(self.workspace, runs, root / "out", before=stop_after, arguments=(steps, dtype)))
            assert {outcome.state for outcome in outcomes(root / "out")} == {"interrupted"}
        self.alone = self.next_step(Compute())

    def next_step(self, compute: Compute, world: int = 1, company: bool = False) -> Gradients:
        """Gradients of the next step, computed another way from the same state."""
        place = self.root / f"{world}-{compute.micro_batch}-{company}"
        shutil.copytree(self.workspace.root, place / "workspace", symlinks=True)
        (place / "gradients").mkdir()
        workspace, runs = Workspace(place / "workspace"), self.runs[::-1] if company else self.runs[:1]
        wanted = (1, self.dtype, place / "gradients", cell_id(self.runs[0]))
        settings: dict[str, Any] = {"compute": compute, "before": stop_after, "arguments": wanted}
        join(*start_ranks(world, workspace, runs, place / "out", **settings))
        assert {o.state for rank in range(world) for o in outcomes(place / "out" / str(rank))} == {"interrupted"}
        found = [torch.load(place / "gradients" / str(rank), weights_only=True) for rank in range(world)]
        for other in found[1:]:
            assert_equal(found[0], other)
        return found[0]


@pytest.fixture(scope="module", params=[(0, "float32"), (9, "float32"), (0, "float64"), (9, "float64")], ids=str)
def place(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Steps before the one that is compared, and the type."""
    found: tuple[int, str] = request.param
    return found


@pytest.fixture(scope="module", params=RUNS, ids=["dropout", "graph"])
def beginning(request: pytest.FixtureRequest, place: tuple[int, str], tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    """Runs at a place."""
    return Beginning(tmp_path_factory.mktemp("beginning"), tiny / "store", request.param, *place)


def test_two_ranks(beginning: Beginning) -> None:
    """Shards of 7 and 6, or 3 and 2, samples; at step 10 of one sample and none. All ranks have the same sums."""
    assert_step_equal(beginning.alone, beginning.next_step(Compute(), world=2), beginning.dtype)


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_micro_batches(beginning: Beginning, micro_batch: int) -> None:
    assert_step_equal(beginning.alone, beginning.next_step(Compute(micro_batch)), beginning.dtype)


def test_company(beginning: Beginning) -> None:
    """A cohort's trunk ends at its earliest cut; what a member computes is the same."""
    assert_equal(beginning.alone, beginning.next_step(Compute(), company=True))


def test_three_ranks_with_micro_batches_in_company(beginning: Beginning) -> None:
    assert_step_equal(beginning.alone, beginning.next_step(Compute(2), world=3, company=True), beginning.dtype)
