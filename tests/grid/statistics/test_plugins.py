"""Statistics and kinds of ± of a plugin are named as those that come with EchoLM."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from echolm.errors import EchoLMError
from grid.statistics import KINDS, STATISTICS, Bias, register_kind, register_statistic

PLUGIN = """
from dataclasses import dataclass

import numpy as np

from grid.statistics import Estimate, General, register_kind, register_statistic
from grid.statistics.spreads import Separate


@register_statistic
@dataclass(frozen=True)
class Largest(General):
    label = "largest"
    better = "higher"
    column: str

    def rowwise(self, runs, seed):
        values = runs.column(self.column)[seed]
        return lambda weights: np.where(weights > 0, values, -np.inf).max(1)


class Bare(Separate):
    name = "bare"

    def caption(self, patients, seeds):
        return "Numbers have no ±."

    def number(self, runs, statistic):
        mean = statistic.full(runs).mean()
        return Estimate(float(mean), self.name, len(runs.patients), len(runs.seeds))


register_kind(Bare())
"""

USE = """
import numpy as np

from grid.definition.tables import ColumnDefinition, TableDefinition
from grid.statistics import Rows, align, kind

column = ColumnDefinition(metric="dice", statistic="largest")
table = TableDefinition(title="T", rows=("head",), columns=(column,), spread="bare")
rows = Rows(np.array(["a", "b"]), {"dice": np.array([80.0, 90.0])})
number = kind(table.spread).number(align({"0": rows}), column.made())
print(column.direction, number.text())
"""


def test_a_plugin_adds_a_statistic_and_a_kind(tmp_path: Path) -> None:
    (tmp_path / "more_statistics.py").write_text(PLUGIN)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "ECHOLM_PLUGINS": "more_statistics", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "higher 90.00"


def test_a_taken_name_is_refused() -> None:
    other = type("Bias", (Bias,), {})
    with pytest.raises(EchoLMError, match="a statistic called 'bias' is there already"):
        register_statistic(other)
    assert STATISTICS["bias"] is Bias
    assert register_statistic(Bias) is Bias
    other_kind = type("Other", (type(KINDS["std-over-seeds"]),), {})()
    with pytest.raises(EchoLMError, match="a kind of ± called 'std-over-seeds' is there already"):
        register_kind(other_kind)
