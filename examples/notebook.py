"""Show the results of a grid as DataFrames.

It takes a workspace in which the grid was launched and collected, such as after
``echolm launch demo --on local``. Type: python examples/notebook.py [WORKSPACE GRID]
"""

from __future__ import annotations

import sys

from echolm.errors import EchoLMError
from grid.api import Results
from grid.tables.render.figure import figure


def show(workspace: str, grid: str) -> None:
    """Print what the workspace holds of the grid."""
    here = Results(workspace)
    runs = here.runs(grid)
    print(here.grids()[["grid", "cells", "launched", "runs"]].to_string(index=False))

    axes = []
    for name in runs:
        if name.startswith("axis.") and name != "axis.seed" and runs[name].nunique() > 1:
            axes.append(name)
    axes = axes or ["name"]
    losses = runs.groupby(axes)["metrics.val/loss"].agg(["count", "mean", "std"])
    print(f"\n{len(runs)} runs; validation loss:\n{losses.to_string(float_format='%.5f')}")

    tables = here.tables(grid)
    name = tables["table"].iloc[0]
    columns = [
        *(axis.removeprefix("axis.") for axis in axes),
        "column",
        "mean",
        "spread",
        "n_patients",
        "n_seeds",
        "bold",
    ]
    shown = tables.loc[tables["table"] == name, [column for column in columns if column in tables]]
    print(f"\n{name}:\n{shown.head(8).to_string(index=False)}")

    pairs = here.comparisons(grid, name).sort_values("adjusted_p")
    shown = pairs[["column", "first", "second", "difference", "low", "high", "adjusted_p"]]
    print(f"\n{len(pairs)} comparisons:\n{shown.head(5).to_string(index=False)}")

    for table in here.built(grid):
        if table.figure:
            print(f"\n{table.title}: {len(figure(table)):,} characters of SVG")


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3):
        sys.exit("type: python examples/notebook.py [WORKSPACE GRID]")
    try:
        show(*(sys.argv[1:] or ("echolm-workspace", "demo")))
    except EchoLMError as error:
        sys.exit(f"Error: {error}")
