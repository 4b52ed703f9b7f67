"""What a run's network costs, held against formulas of its layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from training_support import config, record_of, train

from echolm.config import FinetuneConfig
from echolm.encoders.base import State
from echolm.training.member import Member
from echolm.training.prepare import prepare_run
from echolm.training.trunk import first_network
from echolm.workspace import Workspace


def by_hand(workspace: Workspace, run: FinetuneConfig) -> dict[str, int]:
    """Parameters, and two operations for each weight at each place where a layer puts it."""
    cpu = torch.device("cpu")
    member = Member(run, first_network(prepare_run(run, workspace), cpu), 0, cpu)
    flops = []

    def count(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        flops.append(2 * layer.weight.numel() * output.numel() // layer.weight.shape[0])

    for layer in member.model.modules():
        if isinstance(layer, (nn.Conv3d, nn.Linear)):
            layer.register_forward_hook(count)
    size = run.encoder.size
    clip = torch.zeros(1, 3, run.encoder.frames, size, size)
    with torch.no_grad():
        member.model(State({"clip": clip}))
    parameters = sum(parameter.numel() for parameter in member.model.parameters())
    return {"parameters": parameters, "flops": sum(flops)}


def test_a_record_says_what_its_network_costs(workspace: Workspace) -> None:
    """The whole network, frozen or not, alone or in a cohort; and what of it was trained."""
    runs = [config(trainable="k0", epochs=1, seed=seed) for seed in range(2)]
    runs.append(config(trainable="all", epochs=1))
    train(workspace, *runs)
    costs = []
    for run in runs:
        summary = record_of(workspace, run).summary()
        assert summary is not None
        costs.append(summary["cost"])
    assert isinstance(runs[0], FinetuneConfig)
    expected = by_hand(workspace, runs[0])
    for cost in costs:
        assert {name: cost[name] for name in expected} == expected
        assert cost["peak_memory"] > 10_000_000
    head = sum(
        parameter.numel()
        for parameter in runs[0]
        .head.build(runs[0].fusion.width(runs[0].encoder), runs[0].task.outputs())
        .parameters()
    )
    assert [cost["trainable_parameters"] for cost in costs] == [head, head, expected["parameters"]]


def test_blocks_between_two_cuts_of_a_cohort_count_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echolm.training.cost._KNOWN", {})  # of other tests
    runs = [config(trainable=cut, epochs=1, augmentation="none") for cut in ("k1", "k3", "k0")]
    train(workspace, *runs)
    assert isinstance(runs[0], FinetuneConfig)
    flops = by_hand(workspace, runs[0])["flops"]
    for run in runs:
        summary = record_of(workspace, run).summary()
        assert summary is not None and summary["cost"]["flops"] == flops
