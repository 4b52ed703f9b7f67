"""Make a tracking database of many finished runs, as if MLflow had logged them.

Rows are inserted in bulk into its own schema.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

from grid.tracking import reader
from grid.tracking.store import open_client

GRID = "benchmark"
PARAMS, SCALARS, CURVES, EPOCHS = 25, 35, 5, 50
"""Params, metrics of one value, metrics of a value each epoch, and epochs of a run.

So it has 40 latest metrics and 285 points.
"""
POINTS = SCALARS + CURVES * EPOCHS
NO_TAGS: Mapping[str, str] = MappingProxyType({})
BEGAN = 1_790_000_000_000
"""Start of the first run, ms since 1970."""
SETTINGS = (
    "journal_mode = OFF",
    "synchronous = OFF",
    "cache_size = -600000",
    "locking_mode = EXCLUSIVE",
)
"""Settings of SQLite that make inserting fast."""
TABLES = ("runs", "tags", "params", "latest_metrics", "metrics")
VALUE = "((r.number * 7919 + k.number * 104729 + {step} * 31) % 1000003) / 1000003.0"
"""Value of a metric: some number of many digits, always the same."""


def build(path: Path, runs: int, foreign: int = 0, tags: Mapping[str, str] = NO_TAGS) -> str:
    """Make a database of ``runs`` runs of the grid and ``foreign`` runs of another project.

    Args:
        path: where it goes.
        runs: how many.
        foreign: how many of another project.
        tags: further tags of the grid's runs.

    Returns:
        Its address.
    """
    uri = f"sqlite:///{path}"
    open_client(uri)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for setting in SETTINGS:
            database.execute(f"PRAGMA {setting}")
        places = ",".join("?" * len(TABLES))
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_master"
            f" WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({places})",
            TABLES,
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        _insert(database, path, range(runs), GRID, tags)
        _insert(database, path, range(runs, runs + foreign), "another project")
        for _, statement in indexes:
            database.execute(statement)
    return uri


def add(uri: str, numbers: range, grid: str = GRID) -> None:
    """Insert further runs, with ``numbers`` that are not there yet."""
    path = Path(uri.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        _insert(database, path, numbers, grid)


def run_id(number: int) -> str:
    """Return the id of a run."""
    return hashlib.md5(str(number).encode()).hexdigest()


def artifacts(path: Path, grid: str = GRID) -> Path:
    """Return the folder of the artifacts of a grid's runs."""
    return path.parent / "artifacts" / grid


def _insert(
    database: sqlite3.Connection,
    path: Path,
    numbers: range,
    grid: str,
    further: Mapping[str, str] = NO_TAGS,
) -> None:
    """Insert the runs ``numbers``, run after run as MLflow would.

    What belongs to another project has none of EchoLM's tags.
    """
    ids = [(number, run_id(number)) for number in numbers]
    database.execute("BEGIN")
    database.execute(
        "INSERT OR IGNORE INTO experiments VALUES"
        " ((SELECT max(experiment_id) + 1 FROM experiments), ?, ?, 'active', ?, ?, 'default')",
        [grid, artifacts(path, grid).as_uri(), BEGAN, BEGAN],
    )
    (experiment,) = database.execute(
        "SELECT experiment_id FROM experiments WHERE name = ?", [grid]
    ).fetchone()
    runs, tags = [], []
    for number, run in ids:
        began = BEGAN + 1000 * number
        name = f"tiny-r3d k0 gcn seed {number}"
        folder = f"{artifacts(path, grid).as_uri()}/{run}/artifacts"
        runs.append((run, name, began, began + 500_000, folder, experiment))
        of_run = {**_tags(number, run, grid), **further}
        tags += [(key, value, run) for key, value in of_run.items()]
    database.executemany(
        "INSERT INTO runs VALUES"
        " (?, ?, 'UNKNOWN', '', '', 'user', 'FINISHED', ?, ?, '', 'active', ?, ?, NULL)",
        runs,
    )
    database.executemany("INSERT INTO tags VALUES (?, ?, ?)", tags)
    _keys(database, ids)
    last = EPOCHS - 1
    database.execute("""
        INSERT INTO params
        SELECT
            k.key,
            CASE k.number
                WHEN 0 THEN 'phantom'
                WHEN 1 THEN 'landmarks'
                ELSE k.number || '.' || (r.number % (k.number + 2))
            END,
            r.run
        FROM temp.new_runs r CROSS JOIN temp.keys k WHERE k.kind = 'param'""")
    database.execute(f"""
        INSERT INTO latest_metrics
        SELECT
            k.key, {VALUE.format(step=last)}, {BEGAN} + 1000 * r.number + {last}, {last}, 0, r.run
        FROM temp.new_runs r CROSS JOIN temp.keys k WHERE k.kind <> 'param'""")
    database.execute(f"""
        INSERT INTO metrics
        SELECT
            k.key, {VALUE.format(step="s.step")}, {BEGAN} + 1000 * r.number + s.step, r.run,
            s.step, 0
        FROM temp.new_runs r CROSS JOIN temp.keys k CROSS JOIN temp.steps s
        WHERE k.kind = 'curve' OR (k.kind = 'scalar' AND s.step = {last})""")
    database.execute("COMMIT")


def _tags(number: int, run: str, grid: str) -> dict[str, str]:
    plain = {
        "mlflow.runName": f"tiny-r3d k0 gcn seed {number}",
        "mlflow.user": "user",
        "mlflow.source.type": "UNKNOWN",
    }
    if grid != GRID:
        return plain
    fingerprint = hashlib.sha256(run.encode()).hexdigest()
    return {
        **plain,
        reader.FINGERPRINT: fingerprint,
        reader.CELL: fingerprint[::-1][:16],
        reader.DATA: "d" * 64,
        reader.SYNTHETIC: "true",
        reader.COMMIT: "abc1234",
        reader.HOST: "node7",
        reader.DEVICE: "cpu",
        reader.grid_tag(grid): "true",
    }


def _keys(database: sqlite3.Connection, ids: list[tuple[int, str]]) -> None:
    """Make temporary tables of the new runs, of what each has, and of steps."""
    for name, columns in (
        ("new_runs", "number, run"),
        ("keys", "kind, number, key"),
        ("steps", "step"),
    ):
        database.execute(f"DROP TABLE IF EXISTS temp.{name}")
        database.execute(f"CREATE TEMP TABLE {name} ({columns})")
    database.executemany("INSERT INTO temp.new_runs VALUES (?, ?)", ids)
    names = ["data.name", "task.name", *(f"optimizer.field{number}" for number in range(2, PARAMS))]
    keys = [("param", number, name) for number, name in enumerate(names)]
    keys += [("scalar", number, f"test/metric{number}/ED") for number in range(SCALARS)]
    keys += [("curve", SCALARS + number, f"val/metric{number}/ES") for number in range(CURVES)]
    database.executemany("INSERT INTO temp.keys VALUES (?, ?, ?)", keys)
    database.executemany("INSERT INTO temp.steps VALUES (?)", [(step,) for step in range(EPOCHS)])
