"""What failed: attempts of runs, and jobs; also what was run again since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from grid.report.content import Content, Failure
from grid.report.markup import Markup, join, link, tag


def failures(content: Content) -> Markup:
    """Each failure with its cells, its evidence, and whether its cells are complete by now."""
    if not content.failures:
        return tag("p", "No failure is on record." if content.records else "")
    states = {run.cell: run.state for run in content.runs}
    return tag("ul", *(_item(failure, content.anchors, states) for failure in content.failures), class_="failures")


def _item(failure: Failure, anchors: Mapping[str, str], states: Mapping[str, str]) -> Markup:
    cells = [link(anchors[cell], cell[:8]) if cell in anchors else tag("span", cell[:8]) for cell in failure.cells]
    when = datetime.fromtimestamp(failure.time, UTC).strftime("%Y-%m-%d %H:%M UTC") if failure.time else ""
    now = ", ".join(dict.fromkeys(f"now {states[cell]}" for cell in failure.cells if states.get(cell)))
    lead = [tag("b", failure.kind, class_="kind"), join(filter(None, [join(cells, ", "), now, when]), " · "), tag("br"), failure.what]
    detail = tag("details", tag("summary", "evidence"), tag("pre", failure.detail, tabindex="0")) if failure.detail else None
    log = tag("div", "log: ", tag("code", failure.log)) if failure.log else None
    return tag("li", join([piece for piece in lead if piece], " "), log, detail)
