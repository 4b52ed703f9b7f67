"""A launcher process, as ``echolm launch --on ray`` is one: ``python driver.py WORKSPACE GRID
ADDRESS SLOTS CELL...``

Prints a JSON line a report; ends with 128 + the number of the signal that stopped it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from cluster.ray.executor import RayExecutor
from grid.units import Job, Limits, Report, Unit


def say(report: Report) -> None:
    """One line."""
    print(json.dumps({"event": report.event, "cell": report.cell, **report.facts}), flush=True)


def main(workspace: str, grid: str, address: str, slots: str, *cells: str) -> int:
    """The exit status."""
    executor = RayExecutor(
        address,
        environment={name: value for name, value in os.environ.items() if name.startswith("TEST_")},
    )
    job = Job(Path(workspace), grid, tuple(Unit((cell,)) for cell in cells))
    print(
        json.dumps(
            {"event": "launched", "processes": executor.launch(job, Limits(int(slots)), say)}
        )
    )
    return 128 + signal.Signals[executor.stopped] if executor.stopped else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
