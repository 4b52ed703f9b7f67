"""What differs between two identities, and what an earlier stage has to do with that, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.identity import canonical
from echolm.record import RunRecord, find_records, is_key
from echolm.training.prepare import Inputs, prepare_run
from echolm.workspace import Workspace

LISTED = 5
"""Fields that a line names."""


class StageChanges:
    """What became of the cell that a run begins from.

    Args:
        config: of the run.
        workspace: where records are.
        inputs: with what the run is prepared.
    """

    def __init__(
        self, config: FinetuneConfig | PretrainConfig, workspace: Workspace, inputs: Inputs
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._inputs = inputs

    def why_other_weights(self, stored: str) -> list[str]:
        """Say why the cell that it begins from has another fingerprint today than ``stored``."""
        weights = self._config.weights
        if weights.source != "run":
            return []
        now = self._upstream_today(weights.value)
        changes: list[str] = []
        for record in find_records(self._workspace.runs, weights.value):
            identity = record.identity()
            if now and identity["fingerprint"] == stored:
                changes = differences(identity, now)
        of = f"the weights are those of cell {weights.value}"
        if not changes:
            return [f"{of}, whose fingerprint changed"]
        return [f"{of}, of which the {'; '.join(changes)}"]

    def cells_before(self) -> list[str]:
        """Say which stored cells differ in the cell alone that they begin from, and how that did.

        An edited stage makes another cell of each that begins from it.
        """
        weights = self._config.weights
        if weights.source != "run":
            return []
        lines = []
        for cell, before in self._same_but_for_weights():
            line = (
                f"cell {cell} is the same but for its weights: run:{before} then, "
                f"run:{weights.value} now"
            )
            changed = self._changed_fields(before, weights.value)
            if changed:
                line += f", which differ in {', '.join(changed[:LISTED])}"
            lines.append(line)
        return lines

    def _same_but_for_weights(self) -> Iterator[tuple[str, str]]:
        """Yield stored cells that begin from another cell, each with that one."""
        mine = canonical(self._config)
        del mine["weights"]
        for path in sorted(self._workspace.runs.glob("*/*/config.json")):
            cell, record = path.parts[-3:-1]
            if not (is_key(cell) and is_key(record)):
                continue
            try:
                config = parse_config(RunRecord(path.parent).identity()["config"])
            except EchoLMError:
                continue  # of a plugin that is not here
            if config.weights.source != "run" or config.weights == self._config.weights:
                continue
            plain = canonical(config)
            del plain["weights"]
            if plain == mine:
                yield cell, config.weights.value

    def _changed_fields(self, before: str, now: str) -> list[str]:
        """Return the fields in which two cells differ, with both values."""
        records = find_records(self._workspace.runs, before)
        today = self._inputs.find(now)
        if not records or today is None:
            return []
        try:
            then = parse_config(records[0].identity()["config"])
        except EchoLMError:
            return []
        fields_then = dict(_dotted(canonical(then)))
        fields_now = dict(_dotted(canonical(today)))
        changed = []
        for name in sorted({**fields_then, **fields_now}):
            values = fields_then.get(name, "-"), fields_now.get(name, "-")
            if values[0] != values[1]:
                changed.append(f"{name} ({values[0]} then, {values[1]} now)")
        return changed

    def _upstream_today(self, cell: str) -> dict[str, Any] | None:
        config = self._inputs.find(cell)
        if config is None:
            return None
        try:
            return prepare_run(config, self._workspace, self._inputs, may_wait=True).identity
        except EchoLMError:
            return None


def _dotted(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the innermost fields of a configuration by their dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def differences(stored: dict[str, Any], today: dict[str, Any]) -> list[str]:
    """Say in words what differs between two identities.

    The list is empty when their fingerprints are equal.
    """
    if stored["fingerprint"] == today["fingerprint"]:
        return []
    lines = []
    for part in ("data", "weights"):
        if stored[part] != today[part]:
            lines.append(f"{part} changed ({stored[part][:16]} then, {today[part][:16]} now)")
    for name in sorted({**stored["protocols"], **today["protocols"]}):
        then = stored["protocols"].get(name)
        now = today["protocols"].get(name)
        if then != now:
            lines.append(f"protocol of {name} changed ({then} then, {now} now)")
    return lines or ["the configuration's meaning changed"]
