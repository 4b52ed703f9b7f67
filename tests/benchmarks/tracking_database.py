"""A tracking database of many finished runs, as if MLflow had logged them: rows inserted in bulk into its own schema."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from grid.tracking import rows
from grid.tracking.store import open_client

GRID = "benchmark"
PARAMS, SCALARS, CURVES, EPOCHS = 25, 35, 5, 50
"""Of a run: params; metrics of one value; metrics of a value each epoch; epochs. So 40 latest metrics, 285 points."""
POINTS = SCALARS + CURVES * EPOCHS
BEGAN = 1_790_000_000_000
"""Start of the first run, ms since 1970."""
TABLES = ("runs", "tags", "params", "latest_metrics", "metrics")
VALUE = "((r.number * 7919 + k.number * 104729 + {step} * 31) % 1000003) / 1000003.0"
"""A metric's value: some number of many digits, always the same."""


def build(path: Path, runs: int, foreign: int = 0) -> str:
    """Make a database of ``runs`` runs of the grid and ``foreign`` runs of another project; its address."""
    uri = f"sqlite:///{path}"
    open_client(uri)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -600000", "locking_mode = EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        places = ",".join("?" * len(TABLES))
        indexes = database.execute(f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({places})", TABLES)
        found = indexes.fetchall()
        for name, _ in found:
            database.execute(f"DROP INDEX {name}")
        _insert(database, path, range(runs), GRID)
        _insert(database, path, range(runs, runs + foreign), "another project")
        for _, statement in found:
            database.execute(statement)
    return uri


def add(uri: str, numbers: range, grid: str = GRID) -> None:
    """Insert further runs; ``numbers`` that are not there yet."""
    path = Path(uri.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        _insert(database, path, numbers, grid)


def _insert(database: sqlite3.Connection, path: Path, numbers: range, grid: str) -> None:
    """The runs ``numbers``, run after run as MLflow would. What belongs to another project has none of EchoLM's tags."""
    ids = [(number, hashlib.md5(str(number).encode()).hexdigest()) for number in numbers]
    database.execute("BEGIN")
    database.execute("INSERT OR IGNORE INTO experiments VALUES ((SELECT max(experiment_id) + 1 FROM experiments), ?, ?, 'active', ?, ?, 'default')",
                     [grid, path.parent.as_uri(), BEGAN, BEGAN])  # fmt: skip
    (experiment,) = database.execute("SELECT experiment_id FROM experiments WHERE name = ?", [grid]).fetchone()
    database.executemany("INSERT INTO runs VALUES (?, ?, 'UNKNOWN', '', '', 'user', 'FINISHED', ?, ?, '', 'active', ?, ?, NULL)", [
        (run, f"tiny-r3d k0 gcn seed {number}", BEGAN + 1000 * number, BEGAN + 1000 * number + 500_000, f"{path.parent.as_uri()}/{run}/artifacts", experiment)
        for number, run in ids
    ])  # fmt: skip
    database.executemany("INSERT INTO tags VALUES (?, ?, ?)", [
        (key, value, run) for number, run in ids for key, value in _tags(number, run, grid).items()
    ])  # fmt: skip
    _keys(database, ids)
    database.execute("""
        INSERT INTO params SELECT k.key, CASE k.number WHEN 0 THEN 'phantom' WHEN 1 THEN 'landmarks' ELSE k.number || '.' || (r.number % (k.number + 2)) END, r.run
        FROM temp.new_runs r CROSS JOIN temp.keys k WHERE k.kind = 'param'""")
    database.execute(f"""
        INSERT INTO latest_metrics SELECT k.key, {VALUE.format(step=EPOCHS - 1)}, {BEGAN} + 1000 * r.number + {EPOCHS - 1}, {EPOCHS - 1}, 0, r.run
        FROM temp.new_runs r CROSS JOIN temp.keys k WHERE k.kind <> 'param'""")
    database.execute(f"""
        INSERT INTO metrics SELECT k.key, {VALUE.format(step="s.step")}, {BEGAN} + 1000 * r.number + s.step, r.run, s.step, 0
        FROM temp.new_runs r CROSS JOIN temp.keys k CROSS JOIN temp.steps s
        WHERE k.kind = 'curve' OR (k.kind = 'scalar' AND s.step = {EPOCHS - 1})""")
    database.execute("COMMIT")


def _tags(number: int, run: str, grid: str) -> dict[str, str]:
    plain = {"mlflow.runName": f"tiny-r3d k0 gcn seed {number}", "mlflow.user": "user", "mlflow.source.type": "UNKNOWN"}
    if grid != GRID:
        return plain
    fingerprint = hashlib.sha256(run.encode()).hexdigest()
    own = {rows.FINGERPRINT: fingerprint, rows.CELL: fingerprint[::-1][:16], rows.DATA: "d" * 64, rows.SYNTHETIC: "true"}
    return {**plain, **own, rows.COMMIT: "abc1234", rows.HOST: "node7", rows.DEVICE: "cpu", rows.grid_tag(grid): "true"}


def _keys(database: sqlite3.Connection, ids: list[tuple[int, str]]) -> None:
    """Temporary tables of the new runs, of what each has, and of steps."""
    for name, columns in (("new_runs", "number, run"), ("keys", "kind, number, key"), ("steps", "step")):
        database.execute(f"DROP TABLE IF EXISTS temp.{name}")
        database.execute(f"CREATE TEMP TABLE {name} ({columns})")
    database.executemany("INSERT INTO temp.new_runs VALUES (?, ?)", ids)
    names = ["data.name", "task.name", *(f"optimizer.field{number}" for number in range(2, PARAMS))]
    keys = [("param", number, name) for number, name in enumerate(names)]
    keys += [("scalar", number, f"test/metric{number}/ED") for number in range(SCALARS)]
    keys += [("curve", SCALARS + number, f"val/metric{number}/ES") for number in range(CURVES)]
    database.executemany("INSERT INTO temp.keys VALUES (?, ?, ?)", keys)
    database.executemany("INSERT INTO temp.steps VALUES (?)", [(step,) for step in range(EPOCHS)])
