"""Count what the runs of a grid cost: seconds and epochs by setting, and in all by device.

Runs that were trained together share their seconds (``grid.results.shared_seconds``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from echolm.text import duration
from grid.report.content import ReportContent, Run, Setting
from grid.results.shared_seconds import Part, share_seconds

TOGETHER = (
    "Runs that were trained together as a cohort report the seconds of all of it; 'together' says"
    " how many those were (runs of one host with equal seconds that ended together), and 'own"
    " seconds' are each run's part."
)


@dataclass(frozen=True)
class CostRow:
    """What a setting cost, in words.

    Args:
        share: its own seconds beside those of the setting with the most, in percent.
    """

    anchor: str
    name: str
    runs: int
    epochs: str
    seconds_a_run: str
    seconds_an_epoch: str
    together: str
    own_seconds: str
    share: str
    devices: str


@dataclass(frozen=True)
class Cost:
    """What the grid cost: a sentence on all, and a row a setting."""

    lead: str
    rows: list[CostRow]


def cost(content: ReportContent) -> Cost | None:
    """Count what the grid cost. None where no run reports seconds."""
    parts_of_cells = share_seconds(content.runs)
    timed: list[tuple[Setting, list[Run]]] = []
    most = 0.0
    for setting in content.settings:
        runs = [run for run in setting.runs if run.cell in parts_of_cells]
        if runs:
            timed.append((setting, runs))
            most = max(most, _own_seconds(runs, parts_of_cells))
    if not timed:
        return None
    lead = (
        f"{len(parts_of_cells)} runs took {_devices(content.runs, parts_of_cells)}."
        " Seconds are those of training and validation, as each run measured them."
    )
    if any(part.together > 1 for part in parts_of_cells.values()):
        lead += f" {TOGETHER}"
    return Cost(lead, [_row(setting, runs, parts_of_cells, most) for setting, runs in timed])


def _own_seconds(runs: Sequence[Run], parts_of_cells: Mapping[str, Part]) -> float:
    return sum(parts_of_cells[run.cell].seconds for run in runs)


def _row(
    setting: Setting, runs: Sequence[Run], parts_of_cells: Mapping[str, Part], most: float
) -> CostRow:
    """Count what a setting cost.

    Args:
        setting: the setting.
        runs: its runs that report seconds.
        parts_of_cells: cell -> its part.
        most: the own seconds of the setting with the most.
    """
    seconds = epochs = 0.0
    sizes: list[int] = []
    devices: dict[str, None] = {}
    for run in runs:
        seconds += run.seconds or 0.0
        epochs += run.epochs or 0.0
        sizes.append(parts_of_cells[run.cell].together)
        if run.device:
            devices[run.device] = None
    own_seconds = _own_seconds(runs, parts_of_cells)
    smallest, largest = min(sizes), max(sizes)
    return CostRow(
        anchor=setting.anchor,
        name=setting.name,
        runs=len(runs),
        epochs=f"{epochs:g}",
        seconds_a_run=f"{seconds / len(runs):.1f}",
        seconds_an_epoch=f"{seconds / epochs:.2f}" if epochs else "-",
        together=str(smallest) if smallest == largest else f"{smallest}-{largest}",
        own_seconds=f"{own_seconds:.1f}",
        share=f"{100 * own_seconds / most if most else 0:.1f}",
        devices=", ".join(devices),
    )


def _devices(runs: Sequence[Run], parts_of_cells: Mapping[str, Part]) -> str:
    """Spell the seconds by device, the most first."""
    seconds_of_devices: dict[str, float] = {}
    for run in runs:
        if run.cell in parts_of_cells:
            device = run.device or "a device that was not noted"
            seconds = seconds_of_devices.get(device, 0.0)
            seconds_of_devices[device] = seconds + parts_of_cells[run.cell].seconds
    most_first = sorted(seconds_of_devices.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{duration(seconds)} on {device}" for device, seconds in most_first)
