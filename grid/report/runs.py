"""List the runs of a setting: one line a cell with its identity, provenance and cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from grid.report.content import Run, Setting
from grid.report.svg import colour
from grid.results.shared_seconds import Part


@dataclass(frozen=True)
class RunLine:
    """A cell as the page shows it.

    Args:
        run: the cell.
        colour: the colour of its seed.
        state: its state, ``unknown`` without any.
        device: device, host, and the arithmetic where it is not fp32.
        clock_seconds: what passed while it was trained, of a cohort as a whole.
        own_seconds: its part of them.
        best_epoch: the epoch whose weights were kept, from 1.
        log_link: where its log lies, seen from the page. Empty when the page lies elsewhere.
        log_name: how the link is called.
    """

    run: Run
    colour: str
    state: str
    device: str
    clock_seconds: str
    own_seconds: str
    epochs: str
    best_epoch: str
    log_link: str
    log_name: str


def run_lines(
    setting: Setting, root: Path, folder: Path | None, parts: Mapping[str, Part]
) -> list[RunLine]:
    """List the runs of a setting.

    Args:
        setting: the setting.
        root: the workspace.
        folder: where the page will lie. Within the workspace it leads to logs, elsewhere it shows
            their paths in the workspace.
        parts: cell -> what of its seconds is its own (``grid.results.shared_seconds``).
    """
    linked = folder is not None and folder.absolute().is_relative_to(root.absolute())
    lines = []
    for index, run in enumerate(setting.runs):
        part = parts.get(run.cell)
        log_link = ""
        if run.log and linked:
            log_link = quote(os.path.relpath(root / run.log, folder))
        line = RunLine(
            run=run,
            colour=colour(index),
            state=run.state or "unknown",
            device=_device(run),
            clock_seconds=_spell(run.seconds, ".1f"),
            own_seconds=f"{part.seconds:.1f}" if part else "",
            epochs=_spell(run.epochs, "g"),
            best_epoch=_spell(None if run.best_epoch is None else run.best_epoch + 1, "g"),
            log_link=log_link,
            log_name=f"attempt {Path(run.log).parent.name}",
        )
        lines.append(line)
    return lines


def _device(run: Run) -> str:
    """Say where and how a run was computed."""
    words = f"{run.device} on {run.host}" if run.host else run.device
    return f"{words}, {run.arithmetic}" if run.arithmetic else words


def _spell(number: float | None, form: str) -> str:
    """Spell a number, or nothing for None."""
    return "" if number is None else format(number, form)
