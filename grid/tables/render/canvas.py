"""What all figures share: colours, files, names, the word on synthetic data."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from echolm.text import one_line
from grid.definition.tables import ColumnDefinition
from grid.tables.render.wording import PHANTOM
from grid.tables.table import Table, TableRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FileStyle = Literal["svg", "pdf"]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B5B5B")
"""The colours of Okabe and Ito, which people with any colour vision tell apart."""
GREY = "#5c6475"
DASHES = ("-", (0, (5, 1.8)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
"""Of lines of one colour, in matplotlib's words."""
OPACITIES = (0.65, 0.25, 0.45, 0.1)
"""Of areas of one colour."""
FILE_SIGNS = re.compile(r"^\.+|[^\w .,=+()-]|^ | $")
"""What a file's name does not get from a table's: a dot in front, and signs other than these."""
LONGEST_NAME = 180
"""Bytes of the name of a figure's file, to which an ending is added."""
SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8ee",
    "grid.linewidth": 0.7,
    "axes.edgecolor": GREY,
    "svg.fonttype": "none",
    "svg.hashsalt": "echolm",
    "pdf.fonttype": 42,
    # A dollar sign in a label is a dollar sign.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class RowStyle:
    """What tells a row of the table from the others: a colour, and how it is used.

    Attributes:
        dashes: of its line.
        opacity: of its area.
    """

    colour: str
    dashes: Any
    opacity: float


def row_styles(table: Table) -> list[RowStyle]:
    """Give each row a colour of its own, while there are enough of them.

    Of more rows, those of one first label share a colour, and further labels are dashes. Where
    these are not enough either, rows from the eighth on begin again with other dashes.
    """
    firsts = list(dict.fromkeys(row.labels[0] for row in table.rows))
    further = list(dict.fromkeys(row.labels[1:] for row in table.rows))
    many = len(table.rows) > len(COLOURS)
    by_label = many and len(firsts) <= len(COLOURS) and len(further) <= len(DASHES)
    styles = []
    for number, row in enumerate(table.rows):
        colour, kind = number, number // len(COLOURS)
        if by_label:
            colour, kind = firsts.index(row.labels[0]), further.index(row.labels[1:])
        style = RowStyle(
            COLOURS[colour % len(COLOURS)],
            DASHES[kind % len(DASHES)],
            OPACITIES[kind % len(OPACITIES)],
        )
        styles.append(style)
    return styles


def row_name(row: TableRow) -> str:
    """Name a row by its labels."""
    return shown(", ".join(row.labels))


def place_of(column: ColumnDefinition) -> str:
    """Name the data and target that a column is of, by what restricts it, else by its heading."""
    return one_line(", ".join(column.where.values()) or column.heading)


def make_panels(
    count: int, across: int, width: float, height: float, below: float = 0.5, **sharing: Any
) -> tuple[Figure, list[Any]]:
    """Make a figure of panels in rows.

    Args:
        count: of panels.
        across: how many stand beside each other at most.
        width: of a panel in inches.
        height: likewise.
        below: inches that all of it is higher.
        sharing: which scales panels share, in matplotlib's words.

    Returns:
        The figure and its panels. Places that are left over are empty.
    """
    from matplotlib.figure import Figure

    across = min(across, count)
    down = math.ceil(count / across)
    drawing = Figure(figsize=(width * across, height * down + below), layout="constrained")
    axes = drawing.subplots(down, across, squeeze=False, **sharing).ravel().tolist()
    for axis in axes[count:]:
        axis.set_visible(False)
    return drawing, axes[:count]


def title_panel(axis: Any, text: str) -> None:
    """Write above a panel what it shows."""
    axis.set_title(text, fontsize=9, fontweight="bold", loc="left")


def encoded(draw: Callable[[], Figure], style: FileStyle) -> bytes:
    """Draw a figure in a file format of matplotlib, without the time of drawing."""
    import matplotlib

    metadata = {"Date": None} if style == "svg" else {"CreationDate": None}
    file = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        drawing = draw()
        drawing.savefig(file, format=style, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    return file.getvalue()


def file_name(name: str) -> str:
    """Return the name of a figure's files, without their ending.

    What has no place in a file's name, such as ``/``, is written as in an address: ``%2F``. Of a
    long name the end is its hash.

    Args:
        name: of the figure.
    """
    spelled = FILE_SIGNS.sub(_percent_encoded, name) or "table"
    if len(spelled.encode()) <= LONGEST_NAME:
        return spelled
    end = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    start = spelled.encode()[: LONGEST_NAME - len(end) - 1].decode("utf-8", "ignore")
    return f"{start}-{end}"


def _percent_encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def shown(text: str) -> str:
    """Return a text as the figure shows it.

    A file of XML may hold no control characters, and a legend leaves out what begins with ``_``.
    """
    text = one_line(text)
    return f" {text}" if text.startswith("_") else text


def mark_synthetic(drawing: Figure, table: Table) -> None:
    """Write above the panels that data are synthetic, where some are."""
    if any(value.synthetic for value in table.values):
        title = PHANTOM
        if table.published:
            title = f"{PHANTOM}: not comparable with the published numbers"
        drawing.suptitle(title, fontsize=8, color="#8a4b00")
