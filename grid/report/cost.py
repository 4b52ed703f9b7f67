"""What the runs of a grid cost: seconds and epochs by setting, and in all by device."""

from __future__ import annotations

from collections.abc import Sequence

from grid.report.content import Content, Run, Setting
from grid.report.markup import Markup, join, link, plain_table, tag

HEADER = ("setting", "runs", "epochs", "seconds", "a run", "an epoch", "share", "device")


def cost(content: Content) -> Markup:
    """A row a setting, and a sentence on all."""
    timed = [(setting, [run for run in setting.runs if run.seconds is not None]) for setting in content.settings]
    timed = [(setting, runs) for setting, runs in timed if runs]
    if not timed:
        return tag("p", "No run was collected yet.")
    total = sum(_seconds(runs) for _, runs in timed)
    rows = [_row(setting, runs, max(_seconds(own) for _, own in timed)) for setting, runs in timed]
    lead = tag("p", f"{sum(len(runs) for _, runs in timed)} runs took {duration(total)} of computing in all: {_devices(content.runs)}. "
               "Seconds are of training with validation, and of the final test, as each run measured them.")  # fmt: skip
    return join([lead, plain_table(HEADER, rows, numbers=range(1, 6))])


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds(runs: Sequence[Run]) -> float:
    return sum(run.seconds or 0.0 for run in runs)


def _row(setting: Setting, runs: Sequence[Run], most: float) -> list[str]:
    seconds, epochs = _seconds(runs), sum(run.epochs or 0.0 for run in runs)
    bar = tag("span", tag("i", style=f"width:{100 * seconds / most if most else 0:.1f}%"), class_="bar")
    devices = ", ".join(dict.fromkeys(run.device for run in runs if run.device))
    an_epoch = f"{seconds / epochs:.2f}" if epochs else "-"
    return [link(setting.anchor, setting.name), str(len(runs)), f"{epochs:g}", f"{seconds:.0f}", f"{seconds / len(runs):.1f}", an_epoch, bar, devices]


def _devices(runs: Sequence[Run]) -> str:
    """Seconds by device, the most first."""
    by: dict[str, list[Run]] = {}
    for run in runs:
        if run.seconds is not None:
            by.setdefault(run.device or "a device that was not noted", []).append(run)
    return ", ".join(f"{duration(_seconds(own))} on {device}" for device, own in sorted(by.items(), key=lambda pair: -_seconds(pair[1])))
