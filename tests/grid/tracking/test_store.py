"""Addresses, locks, network file systems, run names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from echolm.errors import EchoLMError
from grid.tracking.address import sqlite_path
from grid.tracking.export import store_lock
from grid.tracking.exporter import Exporter
from grid.tracking.mlflow_run import flatten, run_name
from grid.tracking.reader import grid_tag
from grid.tracking.store import (
    StoreFailed,
    network_file_system,
    network_warning,
    open_client,
)


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:////data/mlflow.db") == Path("/data/mlflow.db")
    assert sqlite_path("sqlite:///mlflow.db") == tmp_path / "mlflow.db"
    assert sqlite_path("http://tracking:5000") is None
    assert sqlite_path("postgresql+psycopg2://u:p@db/mlflow") is None
    assert sqlite_path("sqlite:////data/100%25%3F/mlflow.db") == Path("/data/100%?/mlflow.db")


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "file:///mlruns", "/data/mlflow.db", "sqlite://", "sqlite:///:memory:"]
)
def test_addresses_that_cannot_be_used(uri: str) -> None:
    with pytest.raises(
        EchoLMError, match="valid: sqlite:////folder/mlflow.db, or the address of an MLflow server"
    ):
        sqlite_path(uri)


def test_a_database_whose_driver_is_missing_says_what_to_install() -> None:
    with pytest.raises(
        EchoLMError,
        match=r"mysql://\*\*\*@db/mlflow: MySQLdb is not installed; type: pip install mysqlclient",
    ):
        open_client("mysql://user:secret@db/mlflow")


def test_the_lock_is_one_for_each_address(tmp_path: Path) -> None:
    one, other = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    assert store_lock(one, None).path == tmp_path / ".a.db.lock"
    assert store_lock(other, None).path == tmp_path / ".b.db.lock"
    files = tmp_path / "mlflow" / "artifacts"
    locks = [store_lock(f"http://a:{port}", files).path for port in (1, 1, 2)]
    assert locks[0] == locks[1] != locks[2]
    assert {path.parent for path in locks} == {tmp_path / "mlflow"}


def test_network_file_systems_are_found_by_their_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    lines = [
        "/dev/sda / ext4 rw 0 0",
        "srv:/home /home nfs4 rw 0 0",
        "/dev/sdb /home/local xfs rw 0 0",
    ]
    lines += [
        "x /mnt/my\\040share cifs rw 0 0",
        "y /mnt/remote fuse.sshfs rw 0 0",
        "z /scratch lustre rw 0 0",
    ]
    mounts.write_text("\n".join(lines) + "\n")
    found = {
        path: network_file_system(Path(path), mounts)
        for path in (
            "/data",
            "/home/ann/mlflow",
            "/home/local/x",
            "/home2/x",
            "/mnt/my share/x",
            "/mnt/remote",
            "/scratch/a/b",
        )
    }
    assert list(found.values()) == [None, "nfs4", None, None, "cifs", "fuse.sshfs", "lustre"]
    assert network_file_system(tmp_path, tmp_path / "absent") is None
    assert network_warning("http://host:1") is None


def test_mlflow_is_quiet_and_sends_nothing(tmp_path: Path) -> None:
    code = (
        "from grid.tracking.store import open_client; import sys; open_client(sys.argv[1]);"
        "from mlflow.telemetry.utils import is_telemetry_disabled; assert is_telemetry_disabled()"
    )
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTEST", "CI", "MLFLOW"))
    }
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path.cwd())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database, and long enough to be looked at as one" * 50)
    with pytest.raises(EchoLMError, match="cannot be used"):
        open_client(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "tiny-r3d k0 mlp seed 0"),
        (
            {"trainable": "all", "weights": "published:k400"},
            "tiny-r3d published:k400 all mlp seed 0",
        ),
        (
            {"weights": {"source": "file", "value": "/w/echo prime.pt"}},
            "tiny-r3d echo prime.pt k0 mlp seed 0",
        ),
        (
            {"fusion": {"name": "stf"}, "data": {"fraction": 0.005}},
            "tiny-r3d k0 stf mlp 0.5% data seed 0",
        ),
        (
            {"augmentation": {"name": "bhoodoo2026"}, "seed": 12},
            "tiny-r3d k0 mlp bhoodoo2026 seed 12",
        ),
        ({"kind": "pretrain", "objective": {"name": "mae"}}, "tiny-r3d pretrain mae seed 0"),
        (
            {"clip": {"name": "uniform"}, "data": {"name": "x", "where": {"view": "2CH"}}},
            "tiny-r3d k0 mlp uniform view 2CH seed 0",
        ),
        (
            {"clip": "ed-to-es", "data": {"name": "x", "where": {"view": ["2CH", "4CH"]}}},
            'tiny-r3d k0 mlp view ["2CH", "4CH"] seed 0',
        ),
    ],
)
def test_run_names_say_what_was_run(changes: dict[str, Any], name: str) -> None:
    plain = {
        "encoder": "tiny-r3d",
        "trainable": {"blocks": 0},
        "head": {"name": "mlp"},
        "augmentation": "none",
    }
    assert run_name({**plain, "data": {"name": "x"}, "seed": 0, **changes}) == name


def test_params_are_dotted() -> None:
    values = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": "text", "g": {}, "h": True}
    expected = {"a.b.c": "1", "a.d": "[1, 2]", "e": "null", "f": "text", "g": "{}", "h": "true"}
    assert dict(flatten(values)) == expected


@pytest.mark.parametrize("name", ["../x", "a`b", "", "a/b", "x'y"])
def test_grid_names_that_cannot_be_folders_and_tags(name: str) -> None:
    with pytest.raises(EchoLMError, match="grid name"):
        grid_tag(name)


def test_a_store_that_breaks_between_two_requests_is_the_stores_failure(
    tmp_path: Path, template: Path
) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copyfile(template, path)
    uri = f"sqlite:///{path}"
    exporter = Exporter(open_client(uri), uri, None)
    path.write_bytes(b"not a database " * 300)
    with pytest.raises(StoreFailed, match="cannot be used: .*not a database"):
        exporter.restore_experiments(["smoke"])
