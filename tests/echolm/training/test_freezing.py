"""What trains changes, what does not stays bitwise; BatchNorm keeps to its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_support import (
    Compute,
    config,
    join,
    outcomes,
    prepare_run,
    record_of,
    start_ranks,
    train,
)

from echolm.encoders.base import EncoderNetwork, State
from echolm.training.cohorts import refusal
from echolm.training.distributed import Ranks
from echolm.training.feed import ClipFeed
from echolm.training.keyed_dropout import KeyedDropout
from echolm.training.loop import Cohort
from echolm.training.member import Member
from echolm.training.steps import OptimiserSteps
from echolm.training.stored_feed import StoredFeed
from echolm.training.trunk import CutStates, first_network
from echolm.workspace import Workspace

ENCODERS = pytest.mark.parametrize("encoder", ["toy-r3d", "tiny-mvit"])
BLOCKS = 4
STAGES = ("stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "readout")
REGIMES: list[tuple[Any, set[str]]] = [
    ("k0", set()),
    ("k1", {"blocks.3"}),
    ("k3", {"blocks.1", "blocks.2", "blocks.3"}),
    ("k4", set(STAGES[1:5])),
    ("all", set(STAGES)),
    ({"blocks": 1, "readout": True}, {"blocks.3", "readout"}),
    ({"blocks": 0, "readout": True}, {"readout"}),
    ({"blocks": "all", "stem": True}, set(STAGES[:5])),
]


def stage(name: str) -> str:
    """The stage of an encoder's tensor."""
    first, second = name.split(".")[:2]
    return f"{first}.{second}" if first == "blocks" else first


def source_of(owner: Cohort | OptimiserSteps) -> ClipFeed:
    """What reads the clips of a cohort and passes them."""
    feed = owner.feed
    source = feed.source if isinstance(feed, StoredFeed) else feed
    assert isinstance(source, ClipFeed)
    return source


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The member models of the runs that end in this test, as they were after their last epoch."""
    models = []
    original = Cohort._finish

    def finishing(self: Cohort, runs: list[Any]) -> None:
        for run in runs:
            model = run.member.model
            tensors = dict(model.encoder.state_dict())
            for name, tensor in source_of(self).trunk.encoder.state_dict().items():
                tensors.setdefault(name, tensor)  # of the stages that members share
            models.append((model, {name: tensor.clone() for name, tensor in tensors.items()}))
        original(self, runs)

    monkeypatch.setattr(Cohort, "_finish", finishing)
    return models


@ENCODERS
@pytest.mark.parametrize(
    ("trainable", "stages"), REGIMES, ids=[str(regime) for regime, _ in REGIMES]
)
def test_only_the_stages_of_the_regime_train(
    encoder: str, trainable: Any, stages: set[str], workspace: Workspace, networks: list[Any]
) -> None:
    run = config(
        encoder=encoder,
        trainable=trainable,
        epochs=1,
        optimizer={"name": "adamw", "weight_decay": 0.1},
    )
    first = first_network(prepare_run(run, workspace), torch.device("cpu")).state_dict()
    train(workspace, run)
    [(_, last)] = networks
    changed = {stage(name) for name in first if not torch.equal(first[name], last[name])}
    parametrised = {stage(name) for name in first}
    assert changed == stages & parametrised
    for name in first:
        if stage(name) in stages and first[name].is_floating_point():
            assert not torch.equal(first[name], last[name]), f"{name} did not train"
    saved = load_file(record_of(workspace, run).file("best.safetensors"))
    assert {
        stage(name[8:]) for name in saved if name.startswith("encoder.")
    } == stages & parametrised
    assert {name for name in saved if not name.startswith("encoder.")} >= {
        "head.0.weight",
        "head.6.bias",
    }


def statistics(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Running means and variances."""
    return {name: tensor for name, tensor in tensors.items() if "running" in name}


@pytest.mark.parametrize(("mode", "moves"), [("frozen", False), ("batch", True)])
def test_batch_norm_statistics_of_trained_stages(
    mode: str, moves: bool, workspace: Workspace, networks: list[Any]
) -> None:
    """Frozen: stored statistics, used and never changed, while the affine parameters train.

    Batch: they follow.
    """
    run = config(encoder={"name": "toy-r3d", "batch_norm": mode}, trainable="k2", epochs=1)
    first = first_network(prepare_run(run, workspace), torch.device("cpu")).state_dict()
    train(workspace, run)
    [(_, last)] = networks
    for name, tensor in statistics(last).items():
        assert torch.equal(tensor, first[name]) == (
            not moves or stage(name) not in ("blocks.2", "blocks.3")
        ), name
    assert not torch.equal(last["blocks.3.block.1.weight"], first["blocks.3.block.1.weight"])


def maps(states: CutStates, cut: int) -> Tensor:
    """The feature maps at a cut."""
    state = states.at(cut)
    assert isinstance(state, State)
    return state.tensors["maps"]


@pytest.mark.parametrize("mode", ["frozen", "batch"])
def test_batch_norm_of_frozen_stages_uses_stored_statistics(
    mode: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training, the trunk's output for a clip does not depend on its batch."""
    seen: list[tuple[Tensor, Tensor]] = []
    original = OptimiserSteps._backward

    def watching(
        self: OptimiserSteps, run: Any, states: CutStates, batch: Any, *args: Any
    ) -> Tensor:
        trunk = source_of(self).trunk
        [cut] = trunk.cuts
        alone = torch.cat([maps(trunk(clip[None]), cut) for clip in batch.clips])
        seen.append((maps(states, cut), alone))
        return original(self, run, states, batch, *args)

    monkeypatch.setattr(OptimiserSteps, "_backward", watching)
    train(
        workspace,
        config(encoder={"name": "toy-r3d", "batch_norm": mode}, trainable="k2", epochs=1),
    )
    assert len(seen) == 3
    for together, alone in seen:
        torch.testing.assert_close(together, alone)


def test_modes_in_every_step(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What trains is in train mode in each step, also after each validation; the rest never is."""
    seen = []
    original = Member.losses

    def losses(self: Member, *args: Any) -> Any:
        modes = [module.training for module in self.model.encoder.stages()]
        dropping = [
            m.training
            for name, m in self.model.named_modules()
            if isinstance(m, KeyedDropout) and "blocks.3" in name
        ]
        seen.append((modes, self.model.head.training, set(dropping)))  # type: ignore[union-attr]
        return original(self, *args)

    monkeypatch.setattr(Member, "losses", losses)
    train(workspace, config(encoder="tiny-mvit", trainable="k1"))
    assert seen == [([False] * 4 + [True, False], True, {True})] * 6


@pytest.mark.parametrize("trainable", ["k1", "all"])
def test_batch_statistics_are_refused_where_the_batch_is_split(
    trainable: str, workspace: Workspace
) -> None:
    run = config(trainable=trainable)
    [outcome] = train(workspace, run, compute=Compute(micro_batch=2))
    assert outcome.state == "refused"
    for part in ("toy-r3d", "batch_norm: batch", "batch of 5", "batch_norm: frozen"):
        assert part in outcome.detail
    assert not workspace.runs.exists()


def test_batch_statistics_are_refused_on_two_ranks(workspace: Workspace, tmp_path: Path) -> None:
    join(*start_ranks(2, workspace, [config()], tmp_path / "out"))
    assert [outcomes(tmp_path / "out" / rank)[0].state for rank in "01"] == ["refused", "refused"]
    assert not workspace.runs.exists()


@pytest.mark.parametrize(
    ("changes", "component"),
    [
        ({"trainable": "k0", "head": "toy-batch"}, "head toy-batch"),
        ({"trainable": "k0", "fusion": "toy-batch"}, "fusion toy-batch"),
        (
            {
                "kind": "pretrain",
                "objective": {"name": "toy-mean-frame", "whole_batch": True},
                "encoder": "tiny-mvit",
            },
            "objective toy-mean-frame",
        ),
    ],
    ids=["head", "fusion", "objective"],
)
def test_statistics_of_any_component_are_refused_where_the_batch_is_split(
    changes: dict[str, Any], component: str, workspace: Workspace
) -> None:
    run = config(**changes, epochs=1)
    prepared = prepare_run(run, workspace)
    for compute, ranks in ((Compute(micro_batch=2), Ranks()), (Compute(), Ranks(world=2))):
        outcome = refusal(prepared, compute, ranks)
        assert outcome and outcome.state == "refused"
        assert f"{component} with statistics over the batch needs its batch of 5" in outcome.detail
        assert "batch_norm" not in outcome.detail
    [outcome] = train(workspace, run, compute=Compute(micro_batch=5))
    assert outcome.state == "complete"


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": {"name": "toy-r3d", "batch_norm": "frozen"}},
        {"trainable": "k0"},
        {"encoder": "tiny-mvit"},
    ],
    ids=str,
)
def test_where_no_statistics_are_taken_a_batch_may_be_split(
    changes: dict[str, Any], workspace: Workspace
) -> None:
    [outcome] = train(workspace, config(**changes, epochs=1), compute=Compute(micro_batch=2))
    assert outcome.state == "complete"


def test_a_whole_batch_as_micro_batch_is_no_split(workspace: Workspace) -> None:
    [outcome] = train(workspace, config(epochs=1), compute=Compute(micro_batch=5))
    assert outcome.state == "complete"


def test_members_do_not_share_what_they_train(workspace: Workspace, networks: list[Any]) -> None:
    train(workspace, config(trainable="k1", epochs=1), config(trainable="k3", epochs=1))
    encoders: list[EncoderNetwork] = [model.encoder for model, _ in networks]
    pointers = [{n: p.data_ptr() for n, p in encoder.named_parameters()} for encoder in encoders]
    for name, pointer in pointers[0].items():
        assert stage(name) in ("blocks.3", "readout")
        assert pointers[1][name] != pointer
