"""The whole page."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from grid.report import contours as drawing
from grid.report.content import Content, Setting
from grid.report.contours import Frames
from grid.report.cost import cost, duration, parts
from grid.report.curves import curves, histories
from grid.report.curves import legend as curves_legend
from grid.report.distributions import Found, histograms, overview
from grid.report.failures import failures
from grid.report.markup import Markup, join, link, section, tag
from grid.report.measures import Measure, distributions, measures
from grid.report.missing import missing_cells
from grid.report.runs import runs_table
from grid.report.style import CSS
from grid.statistics import RULE
from grid.tables.html import html
from grid.tables.html import style as tables_style
from grid.tables.table import LOCAL, Table

PARTS = {
    "tables": "Tables", "distributions": "Distributions", "settings": "Settings", "cost": "Cost", "failures": "Failures",
    "missing": "Missing",
}  # fmt: skip
NO_RECORDS = "The run records are not at hand: logs and failures of runs are left out."
CLOSED_FRAMES = "Frames were left out on request."


def page(content: Content, tables: Sequence[Table], root: Path, folder: Path | None = None, frames: Frames | None = None,
         typed: str = "", program: Sequence[str] = ("echolm",), on: str = LOCAL) -> str:  # fmt: skip
    """The document. ``root``: the workspace; ``folder``: where the page will lie; ``frames``: None leaves pictures of patients
    out; ``typed``: the grid as commands name it, ``program``: the words that commands begin with, ``on``: where the grid is run.

    The same content always gives the same text.
    """
    wanted = measures(content)
    found = {setting.anchor: distributions(setting, wanted) for setting in content.settings}
    boxes = [overview(content.settings, measure, found) for measure in wanted]
    blocks = _settings(content, root, folder, frames, found, wanted)
    parts = {
        "tables": _tables(content, tables, folder),
        "distributions": join([_DISTRIBUTIONS, *boxes]) if any(boxes) else tag("p", "No predictions with described columns were collected."),
        "settings": blocks,
        "cost": cost(content),
        "failures": join([failures(content), None if content.records else tag("p", NO_RECORDS)]),
        "missing": missing_cells(content, typed or content.name, program, on),
    }
    sections = [section(f"report-{name}", PARTS[name], inner) for name, inner in parts.items()]
    title = f"{content.name}: report"
    head = [tag("meta", charset="utf-8"), tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="referrer", content="no-referrer"), tag("title", title), tag("style", Markup(tables_style() + CSS))]  # fmt: skip
    body = [link("report-tables", "to the tables", class_="skip"), _header(content), _nav(), frames.hidden() if frames else None,
            tag("main", *sections), _footer(typed or content.name, program)]  # fmt: skip
    return f"<!DOCTYPE html>\n{tag('html', tag('head', *head), tag('body', *body, class_='echolm'), lang='en')}\n"


_DISTRIBUTIONS = tag(
    "p", "Each patient counts once, with the mean over its samples and over seeds, on the test split. Thin line: 5th to 95th "
    "percentile; bar: between quartiles; white: median; dots: patients outside. A setting leads to its runs.",
)  # fmt: skip


_TOGETHER = (
    "Cells that differ in the seed alone stand together. Clock seconds are those that passed while a run was trained, of a cohort as "
    "a whole; own seconds are a run's part of them."
)


def _header(content: Content) -> Markup:
    runs = [run for run in content.runs if run.collected]
    counts = Counter(run.state or "not collected" for run in content.runs)
    facts = [tag("li", tag("b", str(count)), state, class_="bad" if state == "failed" else None) for state, count in counts.items()]
    facts.insert(0, tag("li", tag("b", str(len(content.runs))), f"cells in {len(content.settings)} settings"))
    if seconds := sum(part.seconds for part in parts(content.runs).values()):
        facts.append(tag("li", tag("b", duration(seconds)), "of computing"))
    if runs and all(run.synthetic for run in runs):
        facts.append(tag("li", "all data synthetic (phantom)", class_="note"))
    elif any(run.synthetic for run in runs):
        facts.append(tag("li", "some data synthetic (phantom)", class_="note"))
    return tag("header", tag("h1", content.title or content.name), tag("p", _provenance(content)), tag("ul", *facts, class_="facts"))


def _provenance(content: Content) -> str:
    runs = [run for run in content.runs if run.collected]
    ends = sorted(run.end for run in runs if run.end)
    when = " to ".join(dict.fromkeys(time.strftime("%Y-%m-%d") for time in (ends[0], ends[-1]))) if ends else ""
    commits = ", ".join(dict.fromkeys(run.commit[:10] for run in runs if run.commit))
    data = ", ".join(dict.fromkeys(run.data_name for run in runs if run.data_name))
    named = {"grid": content.name, "data": data, "run": when, "commit": commits}
    return " · ".join(f"{name} {value}" for name, value in named.items() if value)


def _nav() -> Markup:
    return tag("nav", *(link(f"report-{name}", title) for name, title in PARTS.items()), class_="parts", aria_label="parts of the page")


def _tables(content: Content, tables: Sequence[Table], folder: Path | None) -> Markup:
    if not tables:
        return tag("p", "The grid defines no tables.")
    inner = tag("nav", *(link(table.name, table.title) for table in tables), class_="inner", aria_label="tables")
    compared = any(value.published for table in tables for value in table.values)
    rule = tag("p", f"How published numbers are judged. {RULE}", class_="legend") if compared else None
    return join([inner if len(tables) > 1 else None, *(Markup(html(table, folder, anchors=content.anchors)) for table in tables), rule])


def _settings(
    content: Content, root: Path, folder: Path | None, frames: Frames | None, found: Found, wanted: Sequence[Measure]
) -> Markup:
    history = histories(content)
    units = {measure.name: measure.unit for measure in wanted}
    ranking = wanted[0] if wanted else None
    own = parts(content.runs)
    blocks, drawn = [], 0
    for setting in content.settings:
        pictures = drawing.contours(setting, ranking, frames) if frames else None
        drawn += pictures is not None
        blocks.append(_setting(setting, [
            tag("div", *curves(setting, history, units), *histograms(setting, wanted, found), class_="charts"), pictures, runs_table(setting, root, folder, own), _remarks(setting),
        ]))  # fmt: skip
    seeds = max(([run.seed for run in setting.runs] for setting in content.settings), key=len, default=[])
    lead = [tag("p", _TOGETHER), curves_legend(seeds)]
    problems = list(frames.problems) if frames else [CLOSED_FRAMES]
    if drawn:
        lead.append(drawing.legend())
    lead += [tag("p", f"Contours are left out{' of some settings' if drawn else ''}: {problem}") for problem in problems]
    return join([*lead, None if content.records else tag("p", NO_RECORDS), *blocks])


def _setting(setting: Setting, pieces: Sequence[Markup | None]) -> Markup:
    places = ", ".join(f"{axis} {label}" for axis, label in setting.labels.items())
    return tag("article", tag("h3", setting.name, title=places), *pieces, id=setting.anchor, class_="setting")


def _remarks(setting: Setting) -> Markup | None:
    lines = [tag("p", f"seed {run.seed}: {run.problem}") for run in setting.runs if run.problem]
    return join(lines) if lines else None


def _footer(typed: str, program: Sequence[str]) -> Markup:
    commands = [tag("code", shlex.join([*program, word, typed])) for word in ("collect", "report")]
    return tag("footer", tag("p", "This page is printed again by: ", join(commands, " and then "), ". It needs no network.", class_="legend"))
