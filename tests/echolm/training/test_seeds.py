"""Three seeds: initial weights and dropout, order, views. Each moves its own and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_support import Config, Reference, config, prepare_run, train

from echolm.tasks import Batch
from echolm.training import loop
from echolm.training.batches import Batches
from echolm.training.loop import Cohort
from echolm.training.member import Member
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

RUN: dict[str, Any] = {"encoder": "tiny-mvit", "epochs": 4, "trainable": "k1"}


class Watched:
    """What a run trained on: per epoch the order of samples, and each one's clip."""

    def __init__(self, workspace: Workspace, run: Config) -> None:
        self.orders: list[list[str]] = []
        self.clips: list[dict[str, Tensor]] = []
        original = Batches.batch

        def watching(
            batches: Batches, rows: np.ndarray, view: np.ndarray | None, *rest: Any
        ) -> Batch:
            batch = original(batches, rows, view, *rest)
            if view is not None:
                self._note(batch)
            return batch

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Batches, "batch", watching)
            # Else fixed views are read once for all epochs.
            patch.setattr(loop, "keep_states", lambda source, *_: source)
            [outcome] = train(workspace, run)
        assert outcome.state == "complete"

    def _note(self, batch: Batch) -> None:
        """Add a training batch to the current epoch, or begin the next one."""
        if not self.orders or len(self.orders[-1]) == 14:
            self.orders.append([])
            self.clips.append({})
        for item, clip in zip(batch.items, batch.clips, strict=True):
            self.orders[-1].append(item.sample)
            self.clips[-1][item.sample] = clip.clone()  # the next batch overwrites it

    def all_same_clips(self, other: Watched) -> list[int]:
        """The same, epoch by epoch."""
        return [self.same_clips(epoch, other, epoch) for epoch in range(len(self.clips))]

    def same_clips(self, epoch: int, other: Watched, other_epoch: int) -> int:
        """How many samples have bitwise equal clips in two epochs."""
        mine, yours = self.clips[epoch], other.clips[other_epoch]
        assert mine.keys() == yours.keys()
        return sum(torch.equal(mine[name], yours[name]) for name in mine)


@pytest.fixture(scope="module")
def base(reference: Reference) -> Watched:
    """Seed 0."""
    return Watched(Workspace(_again(reference)), config(**RUN))


def _again(reference: Reference) -> Any:
    """Another workspace with the store of the references."""
    root = reference.workspace.root / "watched"
    if not root.exists():
        (root / "data").mkdir(parents=True)
        (root / "data" / "tiny").symlink_to(reference.workspace.store("tiny").resolve())
    return root


def first(run: Config, workspace: Workspace) -> dict[str, Tensor]:
    """Initial tensors of encoder and head."""
    network = first_network(prepare_run(run, workspace), torch.device("cpu"))
    member = Member(run, network, 0, torch.device("cpu"))
    return {name: tensor.clone() for name, tensor in member.model.state_dict().items()}


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_its_own(base: Watched) -> None:
    assert [len(set(order)) for order in base.orders] == [14] * 4
    assert len({tuple(order) for order in base.orders}) == 4


def test_views_are_fresh_in_every_epoch(base: Watched) -> None:
    assert max(base.same_clips(a, base, b) for a in range(4) for b in range(a)) <= 2


def test_a_fixed_number_of_views_comes_in_turn(base: Watched, workspace: Workspace) -> None:
    two = Watched(workspace, config(**RUN, views=2))
    assert two.orders == base.orders
    assert [two.same_clips(a, two, a + 2) for a in (0, 1)] == [14, 14]
    assert two.same_clips(0, two, 1) <= 2
    assert two.all_same_clips(base)[:2] == [14, 14]


def test_the_order_seed_moves_the_order_alone(base: Watched, workspace: Workspace) -> None:
    other = Watched(workspace, config(**RUN, order_seed=7))
    assert all(a != b for a, b in zip(other.orders, base.orders, strict=True))
    assert other.all_same_clips(base) == [14] * 4


def test_the_view_seed_moves_the_views_alone(base: Watched, workspace: Workspace) -> None:
    other = Watched(workspace, config(**RUN, view_seed=7))
    assert other.orders == base.orders
    assert max(other.all_same_clips(base)) <= 2


def test_the_seed_moves_all_three_unless_the_others_are_set(
    base: Watched, workspace: Workspace
) -> None:
    free = Watched(workspace, config(**RUN, seed=1))
    assert free.orders != base.orders and free.same_clips(0, base, 0) <= 2
    held = Watched(workspace, config(**RUN, seed=1, order_seed=0, view_seed=0))
    assert held.orders == base.orders
    assert held.all_same_clips(base) == [14] * 4


def test_initial_weights_follow_the_seed_alone(workspace: Workspace) -> None:
    start = first(config(**RUN), workspace)
    same = first(config(**RUN, order_seed=3, view_seed=4), workspace)
    for name in start:
        assert torch.equal(start[name], same[name])
    other = first(config(**RUN, seed=1), workspace)
    for name in (
        "head.0.weight",
        "encoder.stem.patches.weight",
        "encoder.blocks.3.block.attn.qkv.weight",
    ):
        assert not torch.equal(start[name], other[name])


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"order_seed": 1}, {"view_seed": 1}, {"views": 1}], ids=str
)
def test_each_seed_changes_the_result(change: dict[str, int], reference: Reference) -> None:
    assert reference(config(**change)).best != reference(config()).best


def test_dropout_follows_seed_and_epoch(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys of one epoch are those of (seed, epoch, sample): never repeated, never shared."""
    seen: dict[str, list[int]] = {}
    original = Member.losses

    def losses(self: Member, *args: Any) -> Any:
        result = original(self, *args)
        name = f"{self.config.seed}{self.config.trainable}"  # type: ignore[union-attr]
        keys = self.keys.current
        seen.setdefault(name, []).extend(keys.tolist())  # type: ignore[union-attr]
        return result

    monkeypatch.setattr(Member, "losses", losses)
    train(
        workspace,
        config(trainable="k1"),
        config(trainable="k2"),
        config(seed=1, order_seed=0, view_seed=0, trainable="k1"),
    )
    assert [len(set(keys)) for keys in seen.values()] == [28, 28, 28]
    assert seen["0k1"] == seen["0k2"] and not set(seen["0k1"]) & set(seen["1k1"])


def test_cohorts_know_no_other_seed_than_their_members(
    reference: Reference, workspace: Workspace
) -> None:
    """Different seeds with order and views in common are other weights.

    They are never in one cohort, when weights are random.
    """
    groups: list[int] = []
    original = Cohort.train

    def training(self: Cohort) -> None:
        groups.append(len(self.runs))
        original(self)

    common: dict[str, Any] = {"order_seed": 9, "view_seed": 9, "epochs": 1, "trainable": "k1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "train", training)
        train(workspace, config(seed=0, **common), config(seed=1, **common))
    assert groups == [1, 1]
