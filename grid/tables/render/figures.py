"""The figures that a table declares: each with its name, its caption, and how it is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.errors import EchoLMError
from echolm.files import write_atomic
from grid.definition.figures import (
    BoxesFigure,
    LinesFigure,
    RocFigure,
    ScatterFigure,
    TableFigure,
)
from grid.statistics.subset_interval import BATCH, BATCHES, DRAWS
from grid.tables.render.boxes_figure import draw_boxes
from grid.tables.render.canvas import FileStyle, encoded, file_name
from grid.tables.render.caption import mark_sentences
from grid.tables.render.figure import band, figure, figure_name, save
from grid.tables.render.lines_figure import draw_lines
from grid.tables.render.roc_figure import draw_roc
from grid.tables.render.scatter_figure import draw_scatter
from grid.tables.render.wording import counted_range, estimates
from grid.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION_SIZE = 7.5
"""Of the letters of a caption in a figure's file, in points."""
LETTERS_AN_INCH = 72 / (CAPTION_SIZE * 0.52)


@dataclass(frozen=True)
class DrawnFigure:
    """A figure of a table.

    Attributes:
        name: of its files, without their ending.
        table: the table, with the columns that are drawn.
        caption: what it shows. Empty where it says so itself.
        svg: draws it as SVG, without its caption.
        save: writes its files into a folder, with its caption.
    """

    name: str
    table: Table
    caption: str
    svg: Callable[[], str]
    save: Callable[[Path], list[Path]]


def figures_of(table: Table) -> list[DrawnFigure]:
    """Return the figures that a table declares: ``figure``, then ``figures``.

    Raises:
        EchoLMError: two of them would have one name.
    """
    drawn = []
    if table.figure is not None:
        one = DrawnFigure(
            figure_name(table), table, "", partial(figure, table), partial(save, table)
        )
        drawn.append(one)
    for name, definition in table.figures.items():
        drawn.append(_declared(table, name, definition))
    return drawn


def _declared(table: Table, name: str, definition: TableFigure) -> DrawnFigure:
    """Return a figure of ``figures``."""
    of_columns = table.of_columns(definition.columns)
    own_name = file_name(f"{table.name}-{name}")
    caption = _caption(of_columns, definition)
    draw = partial(_draw, of_columns, definition)
    return DrawnFigure(
        name=own_name,
        table=of_columns,
        caption=caption,
        svg=partial(_svg, draw),
        save=partial(_save, draw, caption, own_name),
    )


def _draw(table: Table, definition: TableFigure) -> Figure:
    """Draw a figure by its kind."""
    match definition:
        case LinesFigure():
            return draw_lines(table, definition)
        case RocFigure():
            return draw_roc(table, definition)
        case BoxesFigure():
            return draw_boxes(table)
        case ScatterFigure():
            return draw_scatter(table)
    raise EchoLMError(f"table {table.name}: no figure is of kind {type(definition).__name__}")


def _svg(draw: Callable[[], Figure]) -> str:
    return encoded(draw, "svg").decode()


def _save(draw: Callable[[], Figure], caption: str, name: str, folder: Path) -> list[Path]:
    """Write ``NAME.svg`` and ``NAME.pdf``."""
    captioned = partial(_with_caption, draw, caption)
    paths = []
    styles: tuple[FileStyle, ...] = ("svg", "pdf")
    for style in styles:
        path = folder / f"{name}.{style}"
        write_atomic(path, encoded(captioned, style))
        paths.append(path)
    return paths


def _with_caption(draw: Callable[[], Figure], caption: str) -> Figure:
    """Draw a figure, and write its caption below it."""
    drawing = draw()
    drawing.draw_without_rendering()  # lays it out, so that its lower end is known
    drawing.set_layout_engine("none")
    bottom = drawing.get_tightbbox().y0 / drawing.get_figheight()
    for legend in drawing.legends:
        # Else it would stand at the lower end of what is saved, which the caption makes larger.
        legend.set_bbox_to_anchor((0, 0, 1, 1), transform=drawing.transFigure)
    text = textwrap.fill(caption, int(drawing.get_figwidth() * LETTERS_AN_INCH))
    # What is saved grows by it.
    drawing.text(0.01, bottom - 0.02, text, va="top", fontsize=CAPTION_SIZE, color="#434b5c")
    return drawing


def _caption(table: Table, definition: TableFigure) -> str:
    """Say what a figure shows, and what its marks mean."""
    sentences = [definition.caption, _kind_sentence(table, definition), *mark_sentences(table)]
    return " ".join(sentence for sentence in sentences if sentence)


def _kind_sentence(table: Table, definition: TableFigure) -> str:
    """Say what figures of a kind show, and of how many patients and seeds."""
    numbers = estimates(table.values)
    if not numbers:
        return ""
    patients = counted_range((number.patients for number in numbers), "patient")
    seeds = counted_range((number.seeds for number in numbers), "seed")
    counts = f"{patients}, {seeds}"
    match definition:
        case LinesFigure():
            return f"Points as in the table, with the band {band(table)} ({counts})."
        case RocFigure():
            bands = (
                "; bands: 95 % over patients, and from three seeds on over seeds"
                if definition.band
                else ""
            )
            return (
                f"Test split ({counts}). Curves are the mean over seeds, of several classes the "
                "mean of each class against the others. AUC: the area below the curve, on the "
                f"whole test set{bands}."
            )
        case BoxesFigure():
            return (
                f"The spread is that of random subsets of the test set, not of patients: {DRAWS} "
                f"draws of at most {BATCHES} batches of {BATCH} samples for each seed ({counts}). "
                "Boxes: quartiles and median; whiskers: 5th to 95th percentile."
            )
        case _:
            return (
                f"Test split ({counts}). Dots: samples, the mean over seeds; MAE and R²: the mean "
                "over seeds of each one's own, on the whole test set."
            )
