"""Why a stored run counts, or not: the parts of its identity against those of today, in words."""

from __future__ import annotations

from typing import Any

from echolm.config import Trainable
from echolm.errors import EchoLMError
from echolm.record import RunRecord, find_records
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.plan import find_cell


def explain_cell(text: str, workspace: Workspace) -> dict[str, Any]:
    """``cell``, ``description`` and ``findings`` (sentences), for a cell's id or the start of it."""
    cell, config = find_cell(text, workspace)
    findings = []
    today: dict[str, Any] | None = None
    try:
        today = prepare_run(config, workspace).identity
        findings.append(f"today's fingerprint is {today['fingerprint'][:16]}")
    except EchoLMError as error:
        findings.append(f"today's fingerprint cannot be known: {error}")
    records = find_records(workspace.runs, cell)
    for record in records:
        findings.append(_judge(record, today))
    if not records:
        findings.append("no run of this cell is stored; it has not been launched in this workspace")
    return {"cell": cell, "description": describe(config.model_dump(mode="json")), "findings": findings}


def describe(config: dict[str, Any]) -> str:
    """One line for a configuration: encoder, what trains, head, augmentation, data, seed."""
    names = [config[part]["name"] for part in ("encoder", "head", "augmentation") if part in config]
    if "trainable" in config:
        names.insert(1, str(Trainable.model_validate(config["trainable"])))
    return f"{config['kind']} {' '.join(names)} on {config['data']['name']}, seed {config['seed']}"


def _judge(record: RunRecord, today: dict[str, Any] | None) -> str:
    stored, state = record.identity(), record.state()
    name = f"run {record.path.name} ({state.name})"
    if today is None:
        return f"{name}: made from data {stored['data'][:16]} and weights {stored['weights'][:16]}"
    changes = differences(stored, today)
    if changes:
        return f"{name} does not count: " + "; ".join(changes)
    if state.name == "complete":
        return f"{name} counts: configuration, protocols, data and weights are the same"
    why = state.evidence.get("error") or state.evidence.get("reason") or ""
    return f"{name} is this cell's run" + (f": {why}" if why else "")


def differences(stored: dict[str, Any], today: dict[str, Any]) -> list[str]:
    """What differs between two identities, in words; empty when their fingerprints are equal."""
    if stored["fingerprint"] == today["fingerprint"]:
        return []
    found = []
    for part in ("data", "weights"):
        if stored[part] != today[part]:
            found.append(f"{part} changed ({stored[part][:16]} then, {today[part][:16]} now)")
    for name in sorted({**stored["protocols"], **today["protocols"]}):
        then, now = stored["protocols"].get(name), today["protocols"].get(name)
        if then != now:
            found.append(f"protocol of {name} changed ({then} then, {now} now)")
    return found or ["the configuration's meaning changed"]
