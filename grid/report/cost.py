"""What the runs of a grid cost: seconds and epochs by setting, and in all by device.

A run's seconds are those of its epochs (training and validation) by the clock of the process. Runs of one cohort share that
clock, so each of them reports the seconds of all: their sum would count the shared work several times. Runs of one host
with equal seconds (to the millisecond) and ends within ``APART`` of each other are taken as trained together, and each has
its part of the seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from grid.report.content import Content, Run, Setting
from grid.report.markup import Markup, join, link, plain_table, tag

HEADER = ("setting", "runs", "epochs", "s a run", "s an epoch", "together", "own seconds", "share", "device")
APART = timedelta(seconds=10)
START = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Part:
    """What of a run's seconds is its own, and how many runs shared them."""

    seconds: float
    together: int


def parts(runs: Sequence[Run]) -> dict[str, Part]:
    """Cell -> its part, of runs that report seconds."""
    groups: list[list[Run]] = []
    for run in sorted((run for run in runs if run.seconds is not None), key=_order):
        if groups and _together(groups[-1][-1], run):
            groups[-1].append(run)
        else:
            groups.append([run])
    return {run.cell: Part((run.seconds or 0.0) / len(group), len(group)) for group in groups for run in group}


def cost(content: Content) -> Markup:
    """A row a setting, and a sentence on all."""
    found = parts(content.runs)
    timed = [(setting, [run for run in setting.runs if run.cell in found]) for setting in content.settings]
    timed = [(setting, runs) for setting, runs in timed if runs]
    if not timed:
        return tag("p", "No run was collected yet.")
    most = max(_own(runs, found) for _, runs in timed)
    rows = [_row(setting, runs, found, most) for setting, runs in timed]
    lead = f"{len(found)} runs took {_devices(content.runs, found)}. Seconds are those of training and validation, as each run measured them."
    if any(part.together > 1 for part in found.values()):
        lead += (" Runs that were trained together as a cohort report the seconds of all of it; 'together' says how many those"
                 " were (runs of one host with equal seconds that ended together), and 'own seconds' are each run's part.")  # fmt: skip
    return join([tag("p", lead), plain_table(HEADER, rows, numbers=range(1, 7))])


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _order(run: Run) -> tuple[str, str, float, datetime]:
    return run.host, run.device, run.seconds or 0.0, run.end.replace(tzinfo=None) if run.end else START


def _together(one: Run, other: Run) -> bool:
    if _order(one)[:3] != _order(other)[:3] or one.end is None or other.end is None:
        return False
    return other.end - one.end <= APART


def _own(runs: Sequence[Run], found: Mapping[str, Part]) -> float:
    return sum(found[run.cell].seconds for run in runs)


def _row(setting: Setting, runs: Sequence[Run], found: Mapping[str, Part], most: float) -> list[str]:
    seconds, epochs, own = sum(run.seconds or 0.0 for run in runs), sum(run.epochs or 0.0 for run in runs), _own(runs, found)
    bar = tag("span", tag("i", style=f"width:{100 * own / most if most else 0:.1f}%"), class_="bar")
    devices = ", ".join(dict.fromkeys(run.device for run in runs if run.device))
    sizes = sorted({found[run.cell].together for run in runs})
    together = "-".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    an_epoch = f"{seconds / epochs:.2f}" if epochs else "-"
    return [
        link(setting.anchor, setting.name), str(len(runs)), f"{epochs:g}", f"{seconds / len(runs):.1f}", an_epoch, together,
        f"{own:.1f}", bar, devices,
    ]  # fmt: skip


def _devices(runs: Sequence[Run], found: Mapping[str, Part]) -> str:
    """Seconds by device, the most first."""
    by: dict[str, float] = {}
    for run in runs:
        if run.cell in found:
            name = run.device or "a device that was not noted"
            by[name] = by.get(name, 0.0) + found[run.cell].seconds
    return ", ".join(f"{duration(seconds)} on {device}" for device, seconds in sorted(by.items(), key=lambda pair: -pair[1]))
