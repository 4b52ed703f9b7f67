"""Print the whole page: gather what its parts show, and fill ``report.html.j2``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from echolm.commands import Command
from echolm.states import RunState
from echolm.tasks.landmarks import GRID
from echolm.text import duration
from grid.report.agreement import agreement
from grid.report.claims import claim_columns, claims_rule
from grid.report.classifiers import classifier
from grid.report.content import ReportContent, Setting
from grid.report.contours import KEYS, Contours, Frames, contours
from grid.report.cost import cost
from grid.report.curves import curves, histories, seed_keys
from grid.report.distributions import Scale, box_table, histograms, scales
from grid.report.failures import failure_items
from grid.report.measures import DistributionReader, Distributions, Measure
from grid.report.missing import missing_groups
from grid.report.predicted import predicted
from grid.report.runs import RunLine, run_lines
from grid.report.svg import Chart
from grid.results.shared_seconds import Part, share_seconds
from grid.statistics import RULE
from grid.tables.named_claims import JudgedClaim
from grid.tables.named_claims import claims_rule as named_claims_rule
from grid.tables.render.html import style as tables_style
from grid.tables.render.html import table_page
from grid.tables.render.notes import NoteStyle
from grid.tables.render.templates import TABLES, encoded, environment, style_sheet
from grid.tables.table import LOCAL, Table

REPORT = "grid.report"
PARTS = {
    "tables": "Tables",
    "claims": "Claims",
    "distributions": "Distributions",
    "settings": "Settings",
    "cost": "Cost",
    "failures": "Failures",
    "missing": "Missing",
}
"""Part of the page -> its heading. ``part_NAME.html.j2`` lays it out."""
NO_RECORDS = "The run records are not at hand: logs and failures of runs are left out."
CLOSED_FRAMES = "Frames were left out on request."
COMMIT_DIGITS = 10


@dataclass(frozen=True)
class Fact:
    """A fact in the page's head.

    Args:
        number: stands before the text. Empty without one.
        look: its class in the style sheet: ``bad``, ``note`` or none.
    """

    number: str
    text: str
    look: str = ""


@dataclass(frozen=True)
class SettingBlock:
    """A setting as the page shows it.

    Args:
        labels: its axes with their labels, in one line.
        draw: draws its charts. Those of a large grid are not held all at once.
    """

    setting: Setting
    labels: str
    draw: Callable[[], Sequence[Chart]]
    contours: Contours | None
    runs: Sequence[RunLine]

    @property
    def charts(self) -> Sequence[Chart]:
        """Its charts, drawn anew."""
        return self.draw()


def encoded_page(
    content: ReportContent,
    tables: Sequence[Table],
    root: Path,
    folder: Path | None = None,
    frames: Frames | None = None,
    reference: str = "",
    program: Sequence[str] = ("echolm",),
    on: str = LOCAL,
    note_style: NoteStyle = "short",
    distributions: DistributionReader | None = None,
    named_claims: Sequence[JudgedClaim] = (),
) -> bytes:
    """Print the document. The same content always gives the same bytes.

    Args:
        content: what is known of the grid.
        tables: its tables.
        root: the workspace.
        folder: where the page will lie.
        frames: the clip stores' frames. None leaves pictures of patients out.
        reference: the grid as commands name it.
        program: the words that commands begin with.
        on: where the grid is run.
        note_style: of the notes below tables.
        distributions: what has seen the predictions that the tables were made from. None: they are
            read here.
        named_claims: the claims that the grid names.
    """
    reference = reference or content.name
    reader = distributions or DistributionReader(content)
    described = reader.measures
    by_setting = {setting.anchor: reader.read(setting) for setting in content.settings}
    by_measure = scales(described, by_setting)
    box_tables = []
    for measure in described:
        if measure.name in by_measure:
            scale = by_measure[measure.name]
            box_tables.append(box_table(content.settings, measure, by_setting, scale))
    parts_of_cells = share_seconds(content.runs)
    blocks = _setting_blocks(
        content,
        root,
        folder,
        frames,
        described=described,
        by_setting=by_setting,
        by_measure=by_measure,
        parts_of_cells=parts_of_cells,
    )
    anchors = content.anchors
    any_published = any(value.published for table in tables for value in table.values)
    template = environment(REPORT, TABLES).get_template("report.html.j2")
    stream = template.stream(
        content=content,
        style=tables_style() + style_sheet(REPORT, "report.css"),
        provenance=_provenance(content),
        facts=_facts(content, parts_of_cells),
        parts=PARTS,
        no_records=NO_RECORDS,
        tables=[
            table_page(table, folder, anchors=anchors, note_style=note_style) for table in tables
        ],
        rule=RULE if any_published else "",
        claims=claim_columns(tables),
        claims_rule=claims_rule(),
        named_claims=named_claims,
        named_claims_rule=named_claims_rule(),
        box_tables=box_tables,
        settings=blocks,
        seed_keys=seed_keys(_longest_seeds(content.settings)),
        frames=frames,
        frame_size=GRID,
        contours_drawn=any(block.contours for block in blocks),
        contour_keys=KEYS,
        contour_problems=list(frames.problems) if frames else [CLOSED_FRAMES],
        cost=cost(content),
        failures=failure_items(content),
        missing=missing_groups(content, reference, program, on),
        collect_command=Command("collect", reference).text(program),
        report_command=Command("report", reference).text(program),
    )
    return encoded(stream)


def _facts(content: ReportContent, parts_of_cells: Mapping[str, Part]) -> list[Fact]:
    """Count cells, states and seconds, and tell what data the runs are of."""
    facts = [Fact(str(len(content.runs)), f"cells in {len(content.settings)} settings")]
    counts = Counter(run.state or "not collected" for run in content.runs)
    for state, count in counts.items():
        facts.append(Fact(str(count), state, "bad" if state == RunState.FAILED else ""))
    seconds = sum(part.seconds for part in parts_of_cells.values())
    if seconds:
        facts.append(Fact(duration(seconds), "of computing"))
    synthetic = [run.synthetic for run in content.runs if run.collected]
    if any(synthetic):
        share = "all" if all(synthetic) else "some"
        facts.append(Fact("", f"{share} data synthetic (phantom)", "note"))
    random = [run.random_weights for run in content.runs if run.collected]
    if any(random):
        share = "all" if all(random) else "some"
        facts.append(Fact("", f"{share} runs of random weights, not published ones", "note"))
    return facts


def _provenance(content: ReportContent) -> str:
    """Name the grid, its data, when it was run and by which code."""
    runs = [run for run in content.runs if run.collected]
    facts = [
        f"grid {content.name}",
        _listed("data", (run.data_name for run in runs)),
        _days([run.end for run in runs if run.end]),
        _listed("commit", (run.commit[:COMMIT_DIGITS] for run in runs)),
    ]
    return " · ".join(fact for fact in facts if fact)


def _listed(head: str, texts: Iterable[str]) -> str:
    """List different texts after a word, or return "" where all of them are empty."""
    different = dict.fromkeys(texts)
    different.pop("", None)
    if not different:
        return ""
    return f"{head} {', '.join(different)}"


def _days(ends: Sequence[datetime]) -> str:
    """Spell the days on which the first and the last run ended."""
    if not ends:
        return ""
    first, last = f"{min(ends):%Y-%m-%d}", f"{max(ends):%Y-%m-%d}"
    if first == last:
        return f"run {first}"
    return f"run {first} to {last}"


def _longest_seeds(settings: Sequence[Setting]) -> list[str]:
    """Return the seeds of the setting with the most."""
    longest: list[str] = []
    for setting in settings:
        if len(setting.runs) > len(longest):
            longest = [run.seed for run in setting.runs]
    return longest


def _setting_blocks(
    content: ReportContent,
    root: Path,
    folder: Path | None,
    frames: Frames | None,
    described: Sequence[Measure],
    by_setting: Distributions,
    by_measure: Mapping[str, Scale],
    parts_of_cells: Mapping[str, Part],
) -> list[SettingBlock]:
    """Prepare curves, histograms and contours of each setting, and list its runs.

    Args:
        content: what is known of the grid.
        root: the workspace.
        folder: where the page will lie.
        frames: the clip stores' frames. None leaves contours out.
        described: the measures. The first that a setting has ranks its samples.
        by_setting: the distributions.
        by_measure: measure -> the grid's scale of it.
        parts_of_cells: cell -> its part of its seconds.
    """
    by_cell = histories(content)
    units = {measure.name: measure.unit for measure in described}
    blocks = []
    for setting in content.settings:

        def draw(setting: Setting = setting) -> list[Chart]:
            charts = curves(setting, by_cell, units)
            charts += histograms(setting, described, by_setting, by_measure)
            for one in predicted(setting):
                charts += classifier(setting, one) if one.classes else agreement(setting, one)
            return charts

        measured = by_setting[setting.anchor]
        ranking = next((one for one in described if one.name in measured), None)

        block = SettingBlock(
            setting=setting,
            labels=", ".join(f"{axis} {label}" for axis, label in setting.labels.items()),
            draw=draw,
            contours=contours(setting, ranking, frames) if frames else None,
            runs=run_lines(setting, root, folder, parts_of_cells),
        )
        blocks.append(block)
    return blocks
