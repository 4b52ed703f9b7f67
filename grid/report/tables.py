"""The tables of a grid in the page."""

from __future__ import annotations

from collections.abc import Mapping

from grid.report.markup import Markup, join, link, scrolling, tag
from grid.tables.caption import caption
from grid.tables.markdown import _number
from grid.tables.table import Row, Table, Value


def table_html(table: Table, anchors: Mapping[str, str]) -> Markup:
    """One table; each number leads to its runs."""
    heads = [tag("th", name, scope="col") for name in table.axes]
    heads += [tag("th", column.heading, scope="col", class_="n") for column in table.columns]
    body = [_row(table, row, anchors) for row in table.rows]
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("section", tag("h3", table.title), scrolling(whole), tag("p", caption(table), class_="caption"), id=table.name)


def _row(table: Table, row: Row, anchors: Mapping[str, str]) -> Markup:
    cells = [tag("th", label, scope="row") for label in row.labels]
    for column, value in zip(table.columns, row.values, strict=True):
        cells.append(tag("td", _linked(_number(value, column.digits), value, anchors), class_="n"))
    return join([tag("tr", *cells)])


def _linked(text: str, value: Value, anchors: Mapping[str, str]) -> str:
    cells = [*value.cells, *(item.cell for item in value.missing)]
    return link(anchors[cells[0]], text) if cells else text
