"""Why a stored run counts, or not: the parts of its identity against those of today, in words."""

from __future__ import annotations

from typing import Any

from echolm.config import Trainable
from echolm.errors import EchoLMError
from echolm.record import RunRecord, copied_folders, find_records
from echolm.states import RunState
from echolm.training.prepare import prepare_run
from echolm.weights import random_weights
from echolm.workspace import Workspace
from grid.find import find_cell, inputs_of
from grid.plugin_changes import source_line
from grid.stage_changes import StageChanges, differences

LISTED = 3
"""Copies that a line names."""


def explain_cell(text: str, workspace: Workspace) -> dict[str, Any]:
    """Explain the stored runs of a cell.

    Args:
        text: the cell's id or the start of it.
        workspace: where its runs are.

    Returns:
        ``cell``, ``description`` and ``findings`` (sentences).
    """
    cell, config = find_cell(text, workspace)
    findings = []
    today: dict[str, Any] | None = None
    inputs = inputs_of(config, workspace)
    try:
        today = prepare_run(config, workspace, inputs, may_wait=True).identity
        findings.append(f"today's fingerprint is {today['fingerprint'][:16]}")
    except EchoLMError as error:
        findings.append(f"today's fingerprint cannot be known: {error}")
    records = find_records(workspace.runs, cell)
    stages = StageChanges(config, workspace, inputs)
    for record in records:
        findings.append(_explain_record(record, today, stages))
        source = source_line(record)
        if source:
            findings.append(f"  {source}")
    for copy in copied_folders(workspace.runs) + copied_folders(workspace.runs / cell):
        if cell in copy.name or copy.parent.name == cell:
            findings.append(f"{copy} is a copy by its name, and is not looked at")
    if not records:
        findings.append("no run of this cell is stored; it has not been launched in this workspace")
        findings += stages.cells_before()
    return {
        "cell": cell,
        "description": describe(config.model_dump(mode="json")),
        "findings": findings,
    }


def told_copies(workspace: Workspace) -> list[str]:
    """Say in one line which folders beside the cells' are copies, which nothing reads.

    Returns:
        No line, or one.
    """
    copies = [path.name for path in copied_folders(workspace.runs)]
    if not copies:
        return []
    names = ", ".join(copies[:LISTED])
    rest = ", ..." if len(copies) > LISTED else ""
    return [f"copies of records are not looked at: {names}{rest} in {workspace.runs}"]


def describe(config: dict[str, Any]) -> str:
    """Describe a configuration in one line: its components, data and seed."""
    names = [config["encoder"]["name"]]
    note = random_weights(config["encoder"]["name"], config.get("weights"))
    if note:
        names.append(f"({note})")
    if "trainable" in config:
        names.append(str(Trainable.model_validate(config["trainable"])))
    for part in ("head", "augmentation"):
        if part in config:
            names.append(config[part]["name"])
    clip = config.get("clip", {}).get("name", "ed-to-es")
    if clip != "ed-to-es":
        names.append(f"clip {clip}")
    return f"{config['kind']} {' '.join(names)} on {config['data']['name']}, seed {config['seed']}"


def _explain_record(record: RunRecord, today: dict[str, Any] | None, stages: StageChanges) -> str:
    stored = record.identity()
    status = record.state()
    name = f"run {record.path.name} ({status.name})"
    if today is None:
        return f"{name}: made from data {stored['data'][:16]} and weights {stored['weights'][:16]}"
    changes = differences(stored, today)
    if stored["weights"] != today["weights"]:
        changes += stages.why_other_weights(stored["weights"])
    if changes:
        return f"{name} does not count: " + "; ".join(changes)
    if status.name == RunState.COMPLETE:
        return f"{name} counts: configuration, protocols, data and weights are the same"
    line = f"{name} is this cell's run"
    why = status.evidence.get("error") or status.evidence.get("reason")
    if why:
        line += f": {why}"
    return line
