"""Steps whose facts are read one step later, as on a GPU: nothing that is kept differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_support import (
    Fault,
    Reference,
    Result,
    config,
    join,
    outcomes,
    record_of,
    results_of,
    start_ranks,
    states,
    train,
)

from echolm.encoders.train_modes import set_modes
from echolm.training.parcel import Parcel
from echolm.training.steps import OptimiserSteps
from echolm.workspace import Workspace

RUN = config(head={"name": "mlp", "width": 16, "dropout": 0.5})


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read late also on this CPU, until the test is over."""
    monkeypatch.setattr("echolm.training.steps.reads_late", lambda device: True)


def read_late() -> None:
    """Read late in a process of its own."""
    import echolm.training.steps

    echolm.training.steps.reads_late = lambda device: True  # type: ignore[assignment]


@pytest.mark.usefixtures("late")
def test_results_and_history_are_bitwise_the_same(
    workspace: Workspace, reference: Reference
) -> None:
    weighted = config(
        kind="pretrain", objective="toy-weighted", encoder="toy-r3d", predictions=True
    )
    for run in (RUN, weighted):
        train(workspace, run)
        assert Result.of(record_of(workspace, run)) == reference(run)


@pytest.mark.usefixtures("late")
def test_a_signal_at_any_step_loses_nothing(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in (1, 2, 3):
        with monkeypatch.context() as patch:
            Fault("echolm.training.steps:OptimiserSteps.take", call, "SIGTERM").install(
                patch.setattr
            )
            train(workspace, RUN)
    train(workspace, RUN)
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"head": {"name": "toy-faulty", "how": "nan", "after": 1}}, "diverged"),
        ({"head": {"name": "toy-faulty", "how": "nan", "after": 2}}, "diverged"),
        ({"head": {"name": "toy-faulty", "how": "raise", "after": 1}}, "bug"),
    ],
    ids=["within an epoch", "at its end", "error"],
)
def test_a_failing_member_leaves_with_its_own_batch_as_evidence(
    bad: dict[str, Any],
    kind: str,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the end of an epoch it is known before anything is validated or kept."""
    batches: list[list[str]] = []
    note_batches(monkeypatch, batches)
    good, failing = config(trainable="k2"), config(trainable="k2", **bad)
    assert states(train(workspace, good, failing)) == ["complete", "failed"]
    assert results_of(workspace, [good]) == reference.all([good])
    record = record_of(workspace, failing)
    [failure] = record.failures()
    assert failure["class"] == kind
    assert record.history() == [] and not list(record.path.rglob("checkpoint-*"))
    if kind == "diverged":
        assert failure["samples"] == batches[bad["head"]["after"]]


def note_batches(monkeypatch: pytest.MonkeyPatch, batches: list[list[str]]) -> None:
    """Note the samples of each step."""
    original = OptimiserSteps.take

    def take(self: OptimiserSteps, step: Any) -> None:
        batches.append([self.feed.store.items[int(row)].sample for row in step.rows])
        original(self, step)

    monkeypatch.setattr(OptimiserSteps, "take", take)


def test_an_error_on_one_rank_ends_the_run_on_all(workspace: Workspace, tmp_path: Path) -> None:
    """The other member completes, with the collectives in step."""
    encoder = {"name": "toy-r3d", "batch_norm": "frozen"}
    runs = [config(encoder=encoder, trainable=cut, batch_size=13) for cut in ("k2", "k3")]
    fault = Fault("echolm.training.steps:OptimiserSteps._backward", 2, "raise", rank=1)
    join(*start_ranks(2, workspace, runs, tmp_path / "out", faults=[fault], before=read_late))
    for rank in "01":
        assert states(outcomes(tmp_path / "out" / rank)) == ["complete", "failed"]


def test_modes_are_walked_only_when_they_change(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[bool] = []

    def walk(network: Any, trained: Any, training: bool) -> None:
        walks.append(training)
        set_modes(network, trained, training)

    monkeypatch.setattr("echolm.training.member.set_modes", walk)
    train(workspace, config())
    assert walks == [False, True, False, True, False], "built, two epochs of train and evaluate"


def test_a_parcel_is_the_same_arrays_in_one_block() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "pixels": rng.integers(0, 256, (3, 5, 7), dtype=np.uint8),
        "points": rng.normal(size=(3, 2)),
        "float": rng.normal(size=5).astype(np.float32),
        "keys": rng.integers(0, 2**63, 4, dtype=np.uint64) + np.uint64(2**63),
        "empty": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False]),
        "number": np.array(3),
        "turned": rng.normal(size=(4, 6)).T,
    }
    cpu = torch.device("cpu")
    apart, packed = Parcel(arrays, cpu, packs=False), Parcel(arrays, cpu, packs=True)
    whole, sent = apart.send(), packed.send()
    assert list(sent) == list(arrays)
    for name, array in arrays.items():
        expected = array.view(np.int64) if array.dtype == np.uint64 else array
        for tensor in (whole[name], sent[name]):
            assert tensor.shape == array.shape
            np.testing.assert_array_equal(tensor.numpy(), expected)
    blocks = {tensor.untyped_storage().data_ptr() for tensor in sent.values()}
    assert len(blocks) == 1
