"""List what a grid lacks, with the command that fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from echolm.commands import Command
from echolm.text import counted
from grid.report.content import ReportContent, Run, Setting
from grid.tables.missing import missing


@dataclass(frozen=True)
class MissingSeeds:
    """The seeds that a setting lacks."""

    setting: Setting
    seeds: list[str]


@dataclass(frozen=True)
class MissingGroup:
    """Cells that are missing for one reason.

    Args:
        reason: why they are missing.
        command: what to type for them. Empty where no command helps.
        settings: anchor of a setting -> its seeds.
    """

    reason: str
    command: str
    settings: dict[str, MissingSeeds] = field(default_factory=dict)

    def add(self, setting: Setting, run: Run) -> None:
        """Add a cell of a setting."""
        seeds = self.settings.setdefault(setting.anchor, MissingSeeds(setting, []))
        seeds.seeds.append(run.seed)

    @property
    def count(self) -> str:
        """The number of cells, with its noun."""
        cells = sum(len(lacking.seeds) for lacking in self.settings.values())
        return counted(cells, "cell")


def missing_groups(
    content: ReportContent, reference: str, program: Sequence[str], on: str
) -> list[MissingGroup]:
    """Group the cells without a collected run or without its predictions.

    Args:
        content: the grid's cells.
        reference: the grid as commands name it.
        program: the words that commands begin with.
        on: where the grid is run.
    """
    groups: dict[tuple[str, Command | None], MissingGroup] = {}
    for setting in content.settings:
        for run in setting.runs:
            if run.predictions is not None:
                continue
            seed = missing(
                run.seed,
                run.cell,
                run.state,
                collected=run.collected,
                problem=run.problem,
                reference=reference,
                place=on,
                waits=run.waits,
            )
            key = (seed.reason, seed.command)
            if key not in groups:
                text = seed.command.text(program) if seed.command else ""
                groups[key] = MissingGroup(seed.reason, text)
            groups[key].add(setting, run)
    return list(groups.values())
