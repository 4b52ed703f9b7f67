"""The history in parts: every point once, runs whole, parts written once, memory bounded."""

from __future__ import annotations

import math
import sqlite3
import tracemalloc
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from tracking_support import exported, tracked

from echolm.errors import EchoLMError
from grid.results.files import read_history
from grid.tracking import history, sqlite_reader
from grid.tracking.collect import collect

MANY = 60_000


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "smoke"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 30 points (two runs), and batches of 4."""
    monkeypatch.setattr(history, "PART_ROWS", 30)
    monkeypatch.setattr(history, "RUNS_AT_ONCE", 1)
    for module in (history, sqlite_reader):
        monkeypatch.setattr(module, "BATCH_ROWS", 4)


def points(out: Path) -> list[tuple[Any, ...]]:
    """All rows as MLflow has them: run, key, step, ms, value."""
    rows = read_history(out).to_pylist()
    return sorted(
        (
            row["run_id"],
            row["key"],
            row["step"],
            round(1000 * row["time"].timestamp()),
            repr(row["value"]),
        )
        for row in rows
    )


def stored(uri: str) -> list[tuple[Any, ...]]:
    """The same from the database."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        found = database.execute(
            "SELECT run_uuid, key, step, timestamp, value, is_nan FROM metrics"
        ).fetchall()
    return sorted((*row[:4], repr(math.nan if row[5] else row[4])) for row in found)


def parts(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted((out / "metrics").iterdir())}


def test_every_point_is_there_once(records: Any, uri: str, out: Path) -> None:
    record, *_ = exported(records, uri, range(3), metrics={"test/nan": math.nan})
    collect(uri, "smoke", None, out)
    assert points(out) == stored(uri) and len(points(out)) == 3 * (3 * 3 + 4 + 3)
    run = next(run.run_id for run in tracked(uri) if run.params["seed"] == "0")
    losses = read_history(out, [run], ["train/loss"])
    assert losses["value"].to_pylist() == [
        event["metrics"]["train/loss"] for event in record.history()
    ]
    assert losses["step"].to_pylist() == [0, 1, 2]


@pytest.mark.usefixtures("small")
def test_parts_fill_up_and_are_written_once(records: Any, uri: str, out: Path) -> None:
    seen: dict[str, int] = {}
    for seed in range(7):
        exported(records, uri, [seed])
        collect(uri, "smoke", None, out)
        assert points(out) == stored(uri)
        now = parts(out)
        assert all(now[name] == seen.get(name, now[name]) for name in now), (
            "a part that stays is not touched"
        )
        sizes = {name: pq.read_metadata(out / "metrics" / name).num_rows for name in now}
        assert sum(size < 30 for size in sizes.values()) <= 1, "at most one part is not full"
        runs = Counter(
            run
            for name in now
            for run in set(pq.read_table(out / "metrics" / name)["run_id"].to_pylist())
        )
        assert set(runs.values()) == {1} and len(runs) == seed + 1, "a run lies in one part"
        seen |= now
    groups = pq.read_metadata(out / "metrics" / max(seen))
    assert max(groups.row_group(number).num_rows for number in range(groups.num_row_groups)) <= 4


@pytest.mark.usefixtures("small")
def test_only_the_part_of_a_changed_run_is_written_again(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(6))
    collect(uri, "smoke", None, out)
    before = parts(out)
    assert len(before) == 3
    changed = read_history(out)["run_id"][0].as_py()
    MlflowClient(uri).log_metric(changed, "test/later", 1.0)
    collect(uri, "smoke", None, out)
    assert points(out) == stored(uri)
    assert len(before.items() & parts(out).items()) == 2


@pytest.mark.usefixtures("small")
def test_a_lost_and_a_damaged_part(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(6))
    collect(uri, "smoke", None, out)
    first, second, *_ = (out / "metrics" / name for name in parts(out))
    first.unlink()
    with pytest.raises(
        EchoLMError, match="metrics: cannot be read .* delete it and type: echolm collect"
    ):
        read_history(out)
    assert collect(uri, "smoke", None, out).read == 0
    assert points(out) == stored(uri)
    second.write_bytes(second.read_bytes()[:-9])
    exported(records, uri, [6])
    with pytest.raises(
        EchoLMError, match=f"{second.name}: cannot be read .* delete it and type: echolm collect"
    ):
        collect(uri, "smoke", None, out)
    second.unlink()
    collect(uri, "smoke", None, out)
    assert points(out) == stored(uri)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["metrics/part-000000.parquet", "runs.parquet"])
def test_bytes_that_a_disk_has_changed(records: Any, uri: str, out: Path, name: str) -> None:
    """In a footer (pyarrow raises OSError), and in a column that only a further run has read."""
    exported(records, uri, range(2))
    collect(uri, "smoke", None, out)
    content = bytearray((out / name).read_bytes())
    group = pq.ParquetFile(out / name).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    spoilt = next(
        (column for column in columns if column.path_in_schema == "params.batch_size"), None
    )
    begin = (
        (spoilt.dictionary_page_offset or spoilt.data_page_offset)
        if spoilt
        else len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    )
    for place in range(begin, begin + (spoilt.total_compressed_size if spoilt else 40)):
        content[place] ^= 0xFF
    (out / name).write_bytes(content)
    exported(records, uri, [2])
    with pytest.raises(
        EchoLMError, match=f"{name}: cannot be read .* delete it and type: echolm collect"
    ):
        collect(uri, "smoke", None, out)
    (out / name).unlink()
    collect(uri, "smoke", None, out)
    assert points(out) == stored(uri)


def test_a_run_without_metrics_and_one_of_very_many(
    records: Any, uri: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds a batch of points, not a run's.

    A point alone is some 250 bytes as Python objects.
    """
    exported(records, uri, range(1))
    client = MlflowClient(uri)
    tags = {"echolm.grid.smoke": "true", "echolm.cell": "c" * 16}
    empty, large = (
        client.create_run("0", tags={**tags, "echolm.fingerprint": letter * 64}).info.run_id
        for letter in "ab"
    )
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        database.executemany(
            "INSERT INTO metrics VALUES ('loss', ?, ?, ?, ?, 0)",
            ((i / 7, i, large, i) for i in range(MANY)),
        )
        database.execute(
            "INSERT INTO latest_metrics VALUES ('loss', 0, ?, ?, 0, ?)", [MANY - 1, MANY - 1, large]
        )
    for run in (empty, large):
        client.set_terminated(run, "FINISHED")
    monkeypatch.setattr(sqlite_reader, "BATCH_ROWS", 1000)
    tracemalloc.start()
    report = collect(uri, "smoke", None, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.runs, report.problems) == (3, [])
    assert points(out) == stored(uri)
    assert peak < MANY * 50, f"{peak / 1e6:.0f} MB"
    histories = {
        row["run_id"]: row["history"] for row in pq.read_table(out / "runs.parquet").to_pylist()
    }
    assert histories[empty] is None and histories[large] is not None


def test_points_at_one_step_keep_an_order(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(1))
    run = tracked(uri)[0].run_id
    values = [3.0, math.nan, 1.0, math.inf, 2.0]
    MlflowClient(uri).log_batch(run, [Metric("odd", value, 5, 1) for value in values])
    collect(uri, "smoke", None, out)
    assert (
        repr(read_history(out, [run], ["odd"])["value"].to_pylist()) == "[1.0, 2.0, 3.0, inf, nan]"
    )
    assert len(read_history(out, [], ["odd"])) == 0 and len(read_history(out, ["absent"])) == 0
