"""Runs in MLflow while they train, and as they failed: before they are complete.

Such a run has the tag ``echolm.state``. Collection leaves it out without a word. Once its record is
complete, an export fills the same run to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.record import RunRecord, RunStatus
from echolm.states import RunState
from grid.tracking.export import MALFORMED, heal, refuse_misplaced, store_lock
from grid.tracking.exporter import Exporter
from grid.tracking.mlflow_run import ENDED, unfinished_run
from grid.tracking.reader import FINISHED
from grid.tracking.sources import CollectSource
from grid.tracking.store import StoreFailed, open_client, refuse_unwritable

SHOWN = (RunState.RUNNING, RunState.INTERRUPTED, *ENDED)
"""States in which a run that has begun is shown."""
Seen = tuple[str, int, int]
"""State, attempt and number of epochs."""


class LiveRuns:
    """Brings runs that are not complete into a store, and remembers what it brought.

    Args:
        uri: the store.
        artifacts: as for ``export``.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._uri = uri
        self._artifacts = artifacts
        self._seen: dict[RunRecord, Seen] = {}
        self._complete: set[RunRecord] = set()
        """Records that are not looked at again."""

    def show(self, sources: Sequence[CollectSource]) -> int:
        """Bring the newest record of each cell, where it has changed. Return how many that were.

        Raises:
            EchoLMError: the store cannot be used.
        """
        changed: dict[RunRecord, tuple[list[str], RunStatus, Seen]] = {}
        for source in sources:
            for records in source.cells.values():
                if records:
                    self._note(records[0], source.name, changed)
        if not changed:
            return 0
        refuse_unwritable(self._uri)
        grids = sorted({source.name for source in sources})
        with store_lock(self._uri, self._artifacts):
            heal(self._uri, grids)
            exporter = Exporter(open_client(self._uri), self._uri, self._artifacts)
            exporter.restore_experiments(grids)
            exporter.read_known_runs()
            for record, (names, status, seen) in changed.items():
                if _bring(exporter, record, names, status):
                    self._seen[record] = seen
        return len(changed)

    def _note(
        self,
        record: RunRecord,
        grid: str,
        changed: dict[RunRecord, tuple[list[str], RunStatus, Seen]],
    ) -> None:
        """Add a record to those that have changed, with the names of its grids."""
        if record in changed:
            changed[record][0].append(grid)
            return
        if record in self._complete:
            return
        status = record.state()
        if status.name == RunState.COMPLETE:
            self._complete.add(record)
        if status.name not in SHOWN or not status.attempt:
            return
        seen = (status.name, status.attempt, len(record.history()))
        if self._seen.get(record) != seen:
            changed[record] = ([grid], status, seen)


def _bring(exporter: Exporter, record: RunRecord, grids: list[str], status: RunStatus) -> bool:
    """Bring one record. What is wrong with it is told when it is exported."""
    from mlflow.exceptions import MlflowException

    try:
        identity = record.identity()
        refuse_misplaced(record, identity)
        fingerprint = identity["fingerprint"]
        known = exporter.known.get(fingerprint)
        if known is None or known.status != FINISHED:
            exporter.bring(fingerprint, grids, unfinished_run(record, grids, status))
    except StoreFailed:
        raise
    except (EchoLMError, MlflowException, OSError, *MALFORMED):
        return False
    return True
