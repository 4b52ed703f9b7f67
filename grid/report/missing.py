"""What a grid lacks, with the command that fills it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from grid.report.content import Content, Run, Setting
from grid.report.markup import Markup, join, link, tag
from grid.tables.missing import missing, place_words


def missing_cells(content: Content, typed: str, program: Sequence[str], on: str) -> Markup:
    """Cells without a collected run or without its predictions, by reason and command."""
    groups: dict[tuple[str, str], list[tuple[Setting, Run]]] = {}
    for setting in content.settings:
        for run in setting.runs:
            if run.predictions is None:
                found = missing(run.seed, run.cell, run.state, collected=run.collected, problem=run.problem)
                groups.setdefault((found.reason, found.remedy), []).append((setting, run))
    if not groups:
        return tag("p", f"Nothing: each of the {len(content.runs)} cells has a collected run with its predictions.")
    items = [_item(found, reason, _command(typed, remedy, program, on)) for (reason, remedy), found in groups.items()]
    then = tag("p", "and then: ", tag("code", shlex.join([*program, "collect", typed])))
    return join([tag("ul", *items, class_="missing"), then])


def _item(found: Sequence[tuple[Setting, Run]], reason: str, command: str) -> Markup:
    seeds: dict[str, tuple[Setting, list[str]]] = {}
    for setting, run in found:
        seeds.setdefault(setting.anchor, (setting, []))[1].append(run.seed)
    places = [join([link(anchor, setting.name), f" seed {', '.join(own)}"]) for anchor, (setting, own) in seeds.items()]
    noun = "cell" if len(found) == 1 else "cells"
    lead = [tag("b", f"{len(found)} {noun}"), f": {reason}", *(["; type: ", tag("code", command)] if command else [])]
    return tag("li", *lead, tag("details", tag("summary", "which"), tag("ul", *(tag("li", place) for place in places))))


def _command(typed: str, remedy: str, program: Sequence[str], on: str) -> str:
    if not remedy:
        return ""
    return shlex.join([*program, remedy, typed, *place_words(remedy, on)])
