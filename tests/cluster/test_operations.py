"""A notebook runs, looks, cancels and collects as the command line does (``grid.api``)."""

from __future__ import annotations

from importlib import metadata

import pytest
from launch_support import Shell

from echolm.errors import EchoLMError
from grid.api import Results
from tests import warm

MEAN = {"encoder": "none", "trainable": "k0", "head": "mean", "epochs": 1}


def test_a_grid_is_launched_looked_at_and_collected(shell: Shell) -> None:
    grid = str(shell.grid({"seed": [0, 1]}, **MEAN))
    here = Results(shell.workspace.root)
    before = here.status(grid)
    assert list(before["state"]) == ["pending", "pending"]
    assert list(before["axis.seed"]) == ["0", "1"]

    with warm.workers():
        after = here.launch(grid, where=["seed=0"], slots=1)
        assert list(after["state"]) == ["complete"] and list(after["axis.seed"]) == ["0"]
        assert list(here.launch(grid, slots=1)["attempt"]) == [1, 1], "nothing is run twice"

    [line] = here.collect(grid).to_dict("records")
    assert (line["grid"], line["runs"], line["problems"]) == ("toy", 2, 0)
    assert sorted(here.runs(grid)["axis.seed"]) == ["0", "1"]
    assert '"complete": 2' in shell.inside("status", grid, "--json").out


def test_cells_are_cancelled(shell: Shell) -> None:
    grid = str(shell.grid({"seed": [0, 1]}, **MEAN))
    here = Results(shell.workspace.root)
    [cell] = here.cancel(grid, where=["seed=1"])
    assert list(here.status(grid)["state"]) == ["pending", "cancelled"]
    assert cell in list(here.status(grid)["cell"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slot": 1}, "no option 'slot' of a launch; did you mean 'slots'"),
        ({"on": "moon"}, "no place 'moon'; valid: local, slurm, ray"),
        ({"ranks": 2}, "--on local trains a unit in one process"),
        ({"on": "slurm"}, "--on slurm needs a site profile"),
    ],
)
def test_options_that_no_place_has_are_refused(
    shell: Shell, options: dict[str, object], message: str
) -> None:
    grid = str(shell.grid({"seed": [0]}, **MEAN))
    with pytest.raises(EchoLMError, match=message):
        Results(shell.workspace.root).launch(grid, **options)
    assert not (shell.workspace.grids / "toy").exists()


def test_where_nothing_is_installed_that_runs_cells(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = str(shell.grid({"seed": [0]}, **MEAN))
    monkeypatch.setattr(metadata, "entry_points", lambda group: ())
    with pytest.raises(EchoLMError, match="install EchoLM with pip"):
        Results(shell.workspace.root).status(grid)
