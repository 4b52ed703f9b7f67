"""The runs of a setting: one line a cell with its identity, provenance and cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from grid.report.content import Run, Setting
from grid.report.cost import Part
from grid.report.markup import Markup, plain_table, tag
from grid.report.svg import colour

HEADER = ("seed", "state", "cell", "run", "commit", "device", "clock seconds", "own seconds", "epochs", "best", "fingerprint", "log")
SHORT = 10
"""Characters of a commit and a fingerprint."""


def runs_table(setting: Setting, root: Path, folder: Path | None, parts: Mapping[str, Part]) -> Markup:
    """``parts``: what of the seconds is each run's own (``grid.report.cost.parts``); ``folder``: where the page will lie. Logs are links where it lies within the workspace ``root``, else paths in it."""
    rows = [_row(run, at, root, folder, parts.get(run.cell)) for at, run in enumerate(setting.runs)]
    left_out = "fingerprint" if any(run.log for run in setting.runs) else "log"  # the log's path has the fingerprint
    kept = [at for at, name in enumerate(HEADER) if name != left_out]
    shown = [[row[at] for at in kept] for row in rows]
    numbers = [kept.index(HEADER.index(name)) for name in ("clock seconds", "own seconds", "epochs", "best")]
    return plain_table([HEADER[at] for at in kept], shown, numbers=numbers, class_="runs")


def _row(run: Run, at: int, root: Path, folder: Path | None, part: Part | None) -> list[str]:
    seed = tag("span", tag("i", style=f"background:{colour(at)}"), run.seed, class_="key")
    state = run.state or "unknown"
    best = "" if run.best_epoch is None else f"{run.best_epoch + 1:g}"
    return [
        seed, tag("b", state, class_=f"state {state}") if state != "complete" else state, _code(run.cell), _code(run.run_id),
        _code(run.commit), run.device + (f" on {run.host}" if run.host else ""), "" if run.seconds is None else f"{run.seconds:.1f}",
        f"{part.seconds:.1f}" if part else "", "" if run.epochs is None else f"{run.epochs:g}", best, _code(run.fingerprint), _log(run.log, root, folder),
    ]  # fmt: skip


def _code(text: str) -> Markup:
    """The start of a long name; the whole is its title."""
    whole = len(text) <= 2 * 16
    return tag("code", text if whole else text[:SHORT], title=None if whole else text) if text else Markup("")


def _log(log: str, root: Path, folder: Path | None) -> Markup:
    if not log:
        return Markup("")
    if folder is None or not folder.absolute().is_relative_to(root.absolute()):
        return tag("code", log)
    return tag("a", f"attempt {Path(log).parent.name}", href=quote(os.path.relpath(root / log, folder)), title=log)
