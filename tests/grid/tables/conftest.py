"""Collected results written directly as Parquet.

What the tables promise does not depend on who wrote the files.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid.definition.claims import ClaimDefinition
from grid.definition.tables import TableDefinition
from grid.results.schema import RUNS
from grid.tables.build import build
from grid.tables.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file

from dice_rows import PATIENTS, dice_at_ed  # noqa: E402

COLUMNS = [
    {"metric": "dice", "slot": "ED", "label": "Dice ED (%)"},
    {"metric": "dice", "slot": "ES", "label": "Dice ES (%)"},
    {"metric": "mke", "slot": "ED", "label": "MKE ED (px)", "digits": 3},
]


@dataclass
class GridCell:
    id: str
    coordinates: dict[str, str]
    tables: tuple[str, ...] = ("main",)


@dataclass
class SmallGrid:
    """A grid by the protocol that tables ask for."""

    cells: list[GridCell]
    tables: dict[str, TableDefinition]
    name: str = "small"
    title: str = "A small grid"
    typed: str = "small"
    claims: dict[str, ClaimDefinition] = field(default_factory=dict)


@dataclass
class Results:
    """A folder of collected results under construction."""

    folder: Path
    runs: list[dict[str, Any]] = field(default_factory=list)

    def run(self, cell: str, *, end: int = 0, patients: int = 24, **options: Any) -> pa.Table:
        """Add a run with predictions of ``patients`` patients; returns the predictions."""
        fingerprint = f"{cell}-{end}".ljust(64, "0")
        table = options.get("table") or predictions(zlib.crc32(f"{cell} {end}".encode()), patients)
        if options.get("predictions", True):
            path = self.folder / "predictions" / f"{fingerprint[:16]}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
        run: dict[str, Any] = {
            "run_id": f"run-{cell}-{end}",
            "fingerprint": fingerprint,
            "cell": cell,
        }
        run |= {"synthetic": options.get("synthetic", False), "problem": options.get("problem")}
        run |= {"commit": options.get("commit", "c0ffee")}
        run |= {"params.data.name": options.get("data", "echonet-dynamic")}
        run |= {"end": datetime.fromtimestamp(1e9 + end, UTC)}
        run |= options.get("further", {})
        self.runs.append(run)
        self.save()
        return table

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text: dict[str, pa.DataType] = {
            name: pa.string()
            for name in ("run_id", "fingerprint", "cell", "commit", "problem", "params.data.name")
        }
        for run in self.runs:
            for name in run.keys() - {"synthetic", "end"}:
                text[name] = RUNS.field(name).type if name in RUNS.names else pa.string()
        schema = pa.schema({**text, "synthetic": pa.bool_(), "end": pa.timestamp("ms", "UTC")})
        pq.write_table(pa.Table.from_pylist(self.runs, schema), self.folder / "runs.parquet")


def predictions(key: int, patients: int) -> pa.Table:
    """Random landmark predictions of a test and a validation split; patient 0 has two clips."""
    random = np.random.default_rng(key)
    clips = [(f"clip{n}", f"patient{n}", "test") for n in range(patients)]
    clips += [("clip0b", "patient0", "test"), ("clipv", "patientv", "val")]
    rows = []
    for sample, patient, split in clips:
        for slot in ("ED", "ES"):
            row = {
                "sample": sample,
                "patient": patient,
                "split": split,
                "target": "landmarks",
                "slot": slot,
            }
            rows.append({**row, "dice": random.uniform(60, 95), "mke": random.uniform(1, 8)})
    return pa.Table.from_pylist(rows)


@pytest.fixture
def definition() -> TableDefinition:
    return TableDefinition.model_validate(
        {
            "title": "Landmarks",
            "rows": ["encoder", "head"],
            "columns": COLUMNS,
            "spread": "std-over-patients",
        }
    )


@pytest.fixture
def grid(definition: TableDefinition) -> SmallGrid:
    """Two encoders, two heads, three seeds; cell ids are ``ENCODER.HEAD.SEED``."""
    cells = [
        GridCell(
            f"{encoder}.{head}.{seed}",
            {"encoder": encoder, "head": head, "seed": seed, "augmentation": "none"},
        )
        for encoder in ("tiny-r3d", "tiny-mvit")
        for head in ("mlp", "gcn")
        for seed in "012"
    ]
    return SmallGrid(cells, {"main": definition})


@pytest.fixture
def results(tmp_path: Path) -> Results:
    made = Results(tmp_path / "results" / "small")
    made.save()
    return made


@pytest.fixture
def complete(grid: SmallGrid, results: Results) -> dict[str, pa.Table]:
    """Every cell has a run; the predictions by cell."""
    return {cell.id: results.run(cell.id) for cell in grid.cells}


@pytest.fixture
def cell() -> Callable[..., GridCell]:
    return GridCell


@pytest.fixture
def patients() -> np.ndarray:
    return np.random.default_rng(3).normal(90, 4, PATIENTS)


@pytest.fixture
def table(grid: SmallGrid, results: Results, patients: np.ndarray) -> Callable[..., Table]:
    """``table(shifts)``: the table with one column.

    The runs of a row are shifted by ``shifts[row]``, seed by seed.
    """

    def make(shifts: dict[str, tuple[float, ...]], **change: Any) -> Table:
        noise = np.random.default_rng(4)
        for cell in grid.cells:
            row, seed = cell.id.rsplit(".", 1)
            if row in shifts and int(seed) < len(shifts[row]):
                values = patients + shifts[row][int(seed)] + noise.normal(0, 0.5, PATIENTS)
                synthetic = change.get("synthetic", False)
                results.run(cell.id, table=dice_at_ed(values), synthetic=synthetic)
        columns = [{"metric": "dice", "slot": "ED", "label": "Dice", **change.get("column", {})}]
        definition = {"title": "T", "rows": ["encoder", "head"], "columns": columns}
        definition |= change.get("definition", {})
        grid.tables["main"] = TableDefinition.model_validate(definition)
        return build(grid, "main", results.folder)

    return make
