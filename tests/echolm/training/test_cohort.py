"""Runs trained together give what each gives alone; when one fails, the others do not notice."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from torch import Tensor
from training_support import (
    QUICK,
    Config,
    Fault,
    Reference,
    Result,
    config,
    record_of,
    results_of,
    states,
    train,
)

from echolm.training import loop
from echolm.training.loop import Cohort
from echolm.training.member import Member
from echolm.training.steps import OptimiserStep
from echolm.workspace import Workspace

MEMBERS = [
    config(trainable="k1"),
    config(trainable="k3", head="gcn"),
    config(trainable="k0", head={"name": "mlp", "width": 8, "dropout": 0.5}),
    config(
        trainable="k2",
        epochs=3,
        optimizer={"name": "sgd", "lr": 1e-2},
        schedule={"name": "cosine", "warmup": 0.2},
    ),
    config(trainable="k0", head="mean", epochs=1),
]
TRANSFORMERS = [
    config(encoder="tiny-mvit", trainable=k, head=head)
    for k, head in (("k1", "mlp"), ("k4", "gcn"), ("all", "mlp"))
]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The cells of each group that was trained together."""
    groups: list[list[str]] = []
    original = Cohort.train

    def training(self: Cohort) -> None:
        groups.append([run.prepared.cell for run in self.runs])
        original(self)

    monkeypatch.setattr(Cohort, "train", training)
    return groups


def assert_as_alone(workspace: Workspace, runs: list[Config], reference: Reference) -> None:
    for run in runs:
        assert Result.of(record_of(workspace, run)) == reference(run)


@pytest.mark.parametrize("runs", [MEMBERS, TRANSFORMERS], ids=["convolutions", "transformers"])
def test_together_as_alone(
    runs: list[Config], workspace: Workspace, reference: Reference, groups: list[list[str]]
) -> None:
    """Other heads, freezing, optimisers, numbers of epochs: bitwise, on one CPU."""
    expected = reference.all(runs)
    groups.clear()
    outcomes = train(workspace, *runs)
    assert states(outcomes) == ["complete"] * len(runs)
    assert len(groups) == 1
    assert results_of(workspace, runs) == expected


@pytest.mark.parametrize(
    ("bad", "kind", "place"),
    [
        ({"head": {"name": "toy-faulty", "how": "nan"}}, "diverged", (1, 0)),
        ({"head": {"name": "toy-faulty", "how": "raise"}}, "bug", (1, 0)),
        ({"head": {"name": "toy-faulty", "how": "raise", "after": 1}}, "bug", (0, 1)),
        ({"head": {"name": "toy-faulty", "how": "build"}}, "bug", (0, 0)),
        ({"head": {"name": "toy-faulty", "how": "evaluation"}}, "bug", (0, 3)),
        ({"optimizer": {"name": "sgd", "lr": 1e30}}, "diverged", (0, 1)),
    ],
    ids=["nan", "raise", "early", "build", "evaluation", "lr"],
)
def test_a_failing_member_leaves_with_evidence_and_the_others_do_not_notice(
    bad: dict[str, Any],
    kind: str,
    place: tuple[int, int],
    workspace: Workspace,
    reference: Reference,
    groups: list[list[str]],
) -> None:
    good, failing = MEMBERS[:2], config(trainable="k2", **bad)
    expected = reference.all(good)
    groups.clear()
    outcomes = train(workspace, good[0], failing, good[1])
    assert (states(outcomes), len(groups)) == (
        ["complete", "failed", "complete"],
        1,
    )
    assert results_of(workspace, good) == expected
    [failure] = record_of(workspace, failing).failures()
    assert (failure["class"], failure["epoch"], failure["step"]) == (kind, *place)
    assert failure["error"].partition(":")[0] in failure["traceback"]
    if kind == "diverged":
        assert len(failure["samples"]) == 5 and failure["loss"] in ("nan", "inf")
    assert (
        failure["error"] in (record_of(workspace, failing).attempt_path(1) / "log.txt").read_text()
    )


def test_a_member_that_cannot_step_leaves(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimiser raises at the end of an epoch: nothing of the broken state is kept."""
    runs = MEMBERS[:2]
    expected = reference.all(runs)
    with (
        monkeypatch.context() as patch
    ):  # each step is two calls; the sixth is the second member's third step
        Fault("echolm.training.member:Member.step", 6, "raise").install(patch.setattr)
        outcomes = train(workspace, *runs)
    assert states(outcomes) == ["complete", "failed"]
    assert list(record_of(workspace, runs[1]).path.rglob("checkpoint-*")) == []
    train(workspace, *runs)
    assert results_of(workspace, runs) == expected


def test_an_error_of_shared_data_ends_all(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fault("echolm.training.batches:Batches.batch", 2, "raise").install(monkeypatch.setattr)
    outcomes = train(workspace, *MEMBERS[:2])
    assert states(outcomes) == ["failed", "failed"]


@pytest.mark.parametrize("call", [2, 6, 8, 10])
def test_a_signal_interrupts_all_and_all_continue_together(
    call: int,
    workspace: Workspace,
    reference: Reference,
    groups: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = MEMBERS[:4]
    expected = reference.all(runs)
    with monkeypatch.context() as patch:
        Fault("echolm.training.batches:Batches.batch", call, "SIGTERM").install(patch.setattr)
        outcomes = train(workspace, *runs)
    assert {outcome.state for outcome in outcomes} <= {"interrupted", "complete"}
    groups.clear()
    train(workspace, *runs)
    assert len(groups) == 1
    assert results_of(workspace, runs) == expected


def test_members_at_different_steps_are_regrouped(
    workspace: Workspace,
    reference: Reference,
    groups: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, third, fourth = MEMBERS[:4]
    expected = reference.all(MEMBERS[:4])
    for run, call in ((first, 2), (second, 6)):
        with monkeypatch.context() as patch:
            Fault("echolm.training.batches:Batches.batch", call, "SIGTERM").install(patch.setattr)
            train(workspace, run)
    groups.clear()
    train(workspace, *MEMBERS[:4])
    cells = [record_of(workspace, run).path.parent.name for run in (first, second, third, fourth)]
    assert groups == [cells[2:], cells[:1], cells[1:2]]
    assert results_of(workspace, MEMBERS[:4]) == expected


def test_one_cancelled_member_leaves_with_a_checkpoint(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = MEMBERS[:2]
    expected = reference.all(runs)
    mark = record_of(workspace, runs[0]).path.parent / "cancelled"
    original = Cohort._step

    def marking(self: Cohort, step: OptimiserStep) -> None:
        if (step.epoch, step.number) == (0, 1):
            mark.touch()
        original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Cohort, "_step", marking)
        outcomes = train(workspace, *runs)
    assert states(outcomes) == ["cancelled", "complete"]
    mark.unlink()
    train(workspace, *runs)
    assert record_of(workspace, runs[0]).events(2)[0]["step"] == 2
    assert results_of(workspace, runs) == expected


def test_verdicts_are_each_member_s_own(workspace: Workspace, reference: Reference) -> None:
    verdicts: dict[str, loop.Verdict] = {
        record_of(workspace, run).path.parent.name: verdict
        for run, verdict in zip(MEMBERS[:3], ("stop", "pruned", "continue"), strict=True)  # type: ignore[misc]
    }
    outcomes = train(
        workspace, *MEMBERS[:3], on_epoch=lambda run, epoch, metrics: verdicts[run.cell]
    )
    assert states(outcomes) == ["complete", "pruned", "complete"]
    assert record_of(workspace, MEMBERS[0]).summary()["epochs"] == 1  # type: ignore[index]
    assert Result.of(record_of(workspace, MEMBERS[2])) == reference(MEMBERS[2])


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"batch_size": 6},
        {"augmentation": "none"},
        {"order_seed": 5},
        {"view_seed": 5},
        {"views": 2},
        {"data": {"name": "tiny", "fraction": 0.5}},
        {"encoder": {"name": "toy-r3d", "batch_norm": "frozen"}},
        {"task": "toy-ef", "head": "mlp"},
    ],
    ids=str,
)
def test_what_cannot_share_batches_is_never_mixed(
    other: dict[str, Any], workspace: Workspace, reference: Reference, groups: list[list[str]]
) -> None:
    """Given together all the same, they are trained one after another."""
    runs = [config(trainable="k1", epochs=1), config(**{"trainable": "k1", "epochs": 1} | other)]
    expected = reference.all(runs)
    groups.clear()
    train(workspace, *runs)
    assert len(groups) == 2
    assert results_of(workspace, runs) == expected


def test_a_run_that_cannot_be_held_does_not_stop_the_others(workspace: Workspace) -> None:
    blocked = record_of(workspace, MEMBERS[0])
    blocked.path.parent.parent.mkdir()
    blocked.path.parent.write_text("a file where the record's folder should be")
    outcomes = train(workspace, *MEMBERS[:2])
    assert states(outcomes) == ["failed", "complete"]
    assert str(blocked.path) in outcomes[0].detail


def test_the_same_run_twice_is_trained_once(workspace: Workspace, reference: Reference) -> None:
    outcomes = train(workspace, MEMBERS[0], MEMBERS[0], compute=QUICK)
    assert states(outcomes) == ["complete", "busy"]
    assert_as_alone(workspace, MEMBERS[:1], reference)


def test_an_ended_cohort_gives_its_memory_back_to_the_next(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``fit`` holds all handles until the last run has ended."""
    handles: list[Any] = []
    networks: list[int] = []
    acquire, begin = loop.acquire, loop.Cohort._open

    def acquiring(*args: Any) -> Any:
        handles.append(acquire(*args))
        return handles[-1]

    def opening(self: loop.Cohort) -> Any:
        networks.append(sum(hasattr(handle, "member") for handle in handles))
        return begin(self)

    monkeypatch.setattr(loop, "acquire", acquiring)
    monkeypatch.setattr(loop.Cohort, "_open", opening)
    train(workspace, config(epochs=1), config(epochs=1, batch_size=7))
    assert networks == [0, 0]


def test_a_failed_member_gives_its_memory_back_to_the_others(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error has a traceback, whose frames hold what the step had computed until then."""
    runs = [config(epochs=1), config(epochs=1, head="gcn")]
    activations: list[weakref.ref[Tensor]] = []
    held: list[tuple[bool, bool]] = []
    losses, step = Member.losses, Cohort._step

    def failing(self: Member, *args: Any) -> dict[str, Tensor]:
        found = losses(self, *args)
        if self.config == runs[1]:
            activation = found["loss"]
            activations.append(weakref.ref(activation))
            raise RuntimeError("an injected fault")
        return found

    def noting(self: Cohort, *args: Any) -> None:
        if activations:
            held.append((hasattr(self.runs[1], "member"), activations[0]() is not None))
        step(self, *args)

    monkeypatch.setattr(Member, "losses", failing)
    monkeypatch.setattr(Cohort, "_step", noting)
    assert states(train(workspace, *runs)) == ["complete", "failed"]
    assert held == [(False, False)] * 2
