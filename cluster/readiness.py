"""Whether the weights are there that cells begin with: for jobs, and for who hands out units."""

from __future__ import annotations

from echolm.errors import EchoLMError
from echolm.record import find_records
from echolm.states import RunState
from echolm.training.prepare import Inputs
from echolm.workspace import Workspace
from grid.units import Unit


def is_ready(workspace: Workspace, unit: Unit) -> bool:
    """Tell whether the weights are there that the cells of a unit begin with.

    What else is missing is told by who trains it.
    """
    if not unit.after:
        return True
    try:
        config = unit.config_of(unit.id)
        if config is None:
            return True
        inputs = Inputs(workspace, unit.config_of)
        return not inputs.first(config.weights, config.encoder).waits_for
    except EchoLMError:
        return True


def is_running(workspace: Workspace, cell: str) -> bool:
    """Tell whether somebody trains a cell, as far as that is known."""
    for record in find_records(workspace.runs, cell):
        if record.state().name == RunState.RUNNING:
            return True
    return False
