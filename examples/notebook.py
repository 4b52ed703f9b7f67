"""The results of a grid as DataFrames. Type: python examples/notebook.py WORKSPACE GRID

It takes a workspace in which the grid was launched and collected, such as after ``echolm launch demo --on local``.
"""

from __future__ import annotations

import sys

from grid.api import Results
from grid.tables.figure import figure

workspace, grid = sys.argv[1:] if len(sys.argv) == 3 else ("echolm-workspace", "demo")
here = Results(workspace)
print(here.grids()[["grid", "cells", "launched", "runs"]].to_string(index=False))

runs = here.runs(grid)
losses = runs.groupby(["axis.encoder", "axis.head"])["metrics.val/loss"].agg(["count", "mean", "std"])
print(f"\n{len(runs)} runs; validation loss:\n{losses.to_string(float_format='%.5f')}")

tables = here.tables(grid)
name = tables["table"].iloc[0]
shown = tables[tables["table"] == name]
print(f"\n{name}:\n{shown[['encoder', 'head', 'column', 'mean', 'spread', 'n_patients', 'n_seeds', 'bold']].head(8).to_string(index=False)}")

pairs = here.comparisons(grid, name).sort_values("adjusted_p")
print(f"\n{len(pairs)} comparisons:\n{pairs[['column', 'first', 'second', 'difference', 'low', 'high', 'adjusted_p']].head(5).to_string(index=False)}")

for table in here.built(grid):
    if table.figure:
        print(f"\n{table.title}: {len(figure(table)):,} characters of SVG")
