"""Commands as values, and errors that carry one."""

from __future__ import annotations

import pickle

import pytest

from echolm.commands import Command
from echolm.errors import EchoLMError, StorageError


def test_a_command_is_spelled_for_a_shell() -> None:
    command = Command("launch", "my grid.yaml", ("head=gcn,mlp", "seed=0-4"), "slurm", ("--watch",))
    assert str(command) == (
        "echolm launch 'my grid.yaml' --on slurm --where head=gcn,mlp --where seed=0-4 --watch"
    )
    assert Command("data prepare", "DATASET").text(("echolm", "--workspace", "w")) == (
        "echolm --workspace w data prepare DATASET"
    )


@pytest.mark.parametrize("kind", [EchoLMError, StorageError])
def test_an_error_carries_its_command_to_whoever_prints_it(kind: type[EchoLMError]) -> None:
    error = kind("cells.json: is not there; type", Command("launch", "demo", on="local"))
    for same in (error, pickle.loads(pickle.dumps(error))):
        assert str(same) == "cells.json: is not there; type: echolm launch demo --on local"
        assert same.text(("echolm", "-w", "x")).endswith("type: echolm -w x launch demo --on local")


@pytest.mark.parametrize("kind", [EchoLMError, StorageError])
def test_an_error_without_a_command_is_its_message(kind: type[EchoLMError]) -> None:
    error = pickle.loads(pickle.dumps(kind("disk full")))
    assert str(error) == error.text() == "disk full" and error.command is None
