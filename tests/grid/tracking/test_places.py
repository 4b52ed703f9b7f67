"""Stores in odd places: copied, moved, shared by a group, with names that are hard to hold."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from tracking_support import Records, tracked

from echolm.cli.main import main
from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.tracking.collect import collect
from grid.tracking.export import export

NAMES = [
    "two words",
    'it\'s "quoted"',
    "größe-ß-木",
    "a#b&c;d+e",
    "100%",
    "50%41%j",
    "why?",
    "a?uri=true&mode=ro",
    "%?#",
    "new\nline",
    "-w",
    "=1+1",
    "a@b:c",
]


def workspace_at(root: Path, template: Path) -> Workspace:
    """A workspace with an empty tracking database."""
    (root / "mlflow").mkdir(parents=True)
    shutil.copyfile(template, root / "mlflow" / "mlflow.db")
    return Workspace(root)


def stored_files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their names there."""
    files = {}
    for path in folder.rglob("*"):
        if path.is_file() and ".lock" not in str(path.relative_to(folder)):
            files[str(path.relative_to(folder))] = path.read_bytes()
    return files


@pytest.fixture
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def first(no_address: None, template: Path, tmp_path: Path) -> Workspace:
    """A workspace with two runs in its store, one of which an exporter left unfinished."""
    workspace = workspace_at(tmp_path / "first", template)
    records = Records(workspace.runs)
    pairs = [(records(seed=seed), "smoke") for seed in range(2)]
    assert export(pairs, workspace.tracking_uri).created == 2
    run = next(run for run in tracked(workspace.tracking_uri) if run.params["seed"] == "1")
    MlflowClient(workspace.tracking_uri).update_run(run.run_id, status="RUNNING")
    return workspace


@pytest.mark.parametrize("way", ["copied", "moved", "linked"])
def test_runs_of_a_store_that_is_elsewhere_now(
    first: Workspace, tmp_path: Path, way: str, records_at: Callable[[Path], Any]
) -> None:
    """New runs, and those that are finished now, go where the database is: nothing else changes."""
    second = Workspace(tmp_path / "second")
    if way == "copied":
        shutil.copytree(first.root, second.root)
    else:
        first.root.rename(second.root)
    if way == "linked":
        first.root.symlink_to(second.root)
    before = stored_files(first.root) if way == "copied" else {}
    records = records_at(second.runs)
    pairs = [(records(seed=2), "smoke")]
    pairs += [(record, "smoke") for record in _records(second)]
    report = export(pairs, second.tracking_uri)
    assert (report.created, report.resumed, report.problems) == (1, 1, [])
    assert first.root.exists() is (way != "moved"), "the old folder is not made anew"
    if way == "copied":
        assert stored_files(first.root) == before
    folder = second.root / "mlflow" / "artifacts" / "smoke"
    assert len(list(folder.glob("*/artifacts/predictions.parquet"))) == 3
    for run in tracked(second.tracking_uri):
        found = MlflowClient(second.tracking_uri).list_artifacts(run.run_id)
        assert {file.path for file in found} == {
            "config.json",
            "predictions.parquet",
            "summary.json",
        }
        if way != "linked":
            assert run.artifact_uri.startswith(second.root.as_uri())
    assert collect(second.tracking_uri, "smoke", None, tmp_path / "out").problems == []


def _records(workspace: Workspace) -> list[Any]:
    from echolm.record import RunRecord

    return [RunRecord(path.parent) for path in sorted(workspace.runs.glob("*/*/config.json"))]


def test_what_is_another_project_s_stays_as_it_is(first: Workspace, tmp_path: Path) -> None:
    client = MlflowClient(first.tracking_uri)
    place = (tmp_path / "theirs").as_uri()
    client.create_run(client.create_experiment("theirs", place))
    shutil.copytree(first.root, tmp_path / "second")
    second = Workspace(tmp_path / "second")
    export([(record, "smoke") for record in _records(second)], second.tracking_uri)
    with closing(sqlite3.connect(second.root / "mlflow" / "mlflow.db")) as database:
        experiments = dict(database.execute("SELECT name, artifact_location FROM experiments"))
        runs = [uri for (uri,) in database.execute("SELECT artifact_uri FROM runs")]
    assert experiments["theirs"] == place
    assert experiments["smoke"] == (second.root / "mlflow" / "artifacts" / "smoke").as_uri()
    assert sum(uri.startswith(place) for uri in runs) == 1
    assert sum(uri.startswith(experiments["smoke"]) for uri in runs) == 2


def test_a_copy_without_its_artifacts_writes_none_into_the_original(
    first: Workspace, tmp_path: Path
) -> None:
    """What the copy lacks is read where it is, and what it loses later is made again in it."""
    second = Workspace(tmp_path / "second")
    shutil.copytree(first.root, second.root, ignore=shutil.ignore_patterns("artifacts"))
    before = stored_files(first.root)
    uri = second.tracking_uri
    assert export([(record, "smoke") for record in _records(second)], uri).problems == []
    report = collect(uri, "smoke", None, tmp_path / "out")
    assert (report.runs, report.predictions, report.problems) == (2, 2, [])
    shutil.rmtree(first.root)
    again = collect(uri, "smoke", None, tmp_path / "out")
    assert (again.repaired, again.problems) == (1, []), "the finished one's, as it was collected"
    assert not first.root.exists() and before


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_workspace(
    no_address: None, template: Path, tmp_path: Path, name: str
) -> None:
    root = tmp_path / "places" / name
    workspace = workspace_at(root, template)
    uri = workspace.tracking_uri
    records = Records(workspace.runs)
    assert export([(records(seed=seed), "smoke") for seed in range(2)], uri).problems == []
    report = collect(uri, "smoke", None, workspace.results("smoke"))
    assert (report.runs, report.predictions, report.problems) == (2, 2, [])
    assert len(list(root.glob("mlflow/artifacts/smoke/*/artifacts/predictions.parquet"))) == 2
    assert sorted(path.name for path in (tmp_path / "places").iterdir()) == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["places"]


def test_a_new_database_in_a_folder_with_an_odd_name(no_address: None, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "50%?")
    record = Records(workspace.runs)()
    assert export([(record, "smoke")], workspace.tracking_uri).created == 1
    assert sorted(path.name for path in (workspace.root / "mlflow").iterdir()) == [
        ".mlflow.db.lock",
        "artifacts",
        "mlflow.db",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["50%?"]


def long_path(folder: Path) -> Path:
    """A path of 732 characters."""
    while len(str(folder)) < 532:
        folder = folder / ("x" * 190)
    return folder / ("y" * (731 - len(str(folder))))


@pytest.mark.parametrize("command", [("launch", "demo", "--on", "local"), ("collect",)])
def test_what_sqlite_cannot_hold_is_refused_before_anything_runs(
    no_address: None, tmp_path: Path, command: tuple[str, ...]
) -> None:
    root = long_path(tmp_path)
    assert len(str(root)) == 732
    result = CliRunner().invoke(main, ["--workspace", str(root), *command])
    assert result.exit_code == 1 and not root.exists()
    assert str(root) in result.stderr and "SQLite cannot open a database" in result.stderr
    assert "--tracking-uri or MLFLOW_TRACKING_URI" in result.stderr


def test_a_long_path_with_another_store_is_no_hindrance(tmp_path: Path, uri: str) -> None:
    records = Records(long_path(tmp_path) / "runs")
    assert export([(records(), "smoke")], uri).problems == []
    report = collect(uri, "smoke", None, long_path(tmp_path) / "results" / "smoke")
    assert (report.runs, report.problems) == (1, [])


@pytest.mark.parametrize(
    "command", [("launch", "demo", "--on", "local"), ("collect",), ("train", "run.yaml")]
)
def test_a_path_that_is_no_utf_8_is_refused_before_anything_runs(
    no_address: None, tmp_path: Path, command: tuple[str, ...]
) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    result = CliRunner().invoke(main, ["--workspace", str(root), *command])
    assert result.exit_code == 1 and not root.exists()
    assert "is no UTF-8" in result.stderr and "caf\\udce9" in result.stderr
    assert "rename the folder" in result.stderr


FORK = multiprocessing.get_context("fork")
GROUP = 4321
needs_users = pytest.mark.skipif(os.getuid() != 0, reason="takes other users: root alone has them")


def as_user(user: int, umask: int, root: Path, seed: int) -> tuple[int, str]:
    """Run and collect as a user of the group. Return how many runs it has then, and its error.

    It is a fork, which has imported all: another user may not read Python's own folder.
    """
    ours, theirs = FORK.Pipe(duplex=False)

    def act() -> None:
        os.setgroups([])
        os.setresgid(GROUP, GROUP, GROUP)
        os.setresuid(user, user, user)
        os.umask(umask)
        workspace = Workspace(root)
        try:
            record = Records(workspace.runs)(seed=seed)
            report = export([(record, "smoke")], workspace.tracking_uri)
            assert report.problems == [], report.problems
            out = workspace.results("smoke")
            theirs.send((collect(workspace.tracking_uri, "smoke", None, out).runs, ""))
        except EchoLMError as error:
            theirs.send((0, str(error)))

    child = FORK.Process(target=act)
    child.start()
    child.join()
    assert child.exitcode == 0
    answer: tuple[int, str] = ours.recv()
    return answer


@pytest.fixture
def shared(first: Workspace, tmp_path: Path) -> Iterator[Path]:
    """A folder of a group, which the group's users can reach."""
    collect(first.tracking_uri, "smoke", None, tmp_path / "out")  # imports what that takes
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(folder, -1, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


@needs_users
def test_a_group_shares_a_workspace(shared: Path) -> None:
    """Two users with umask 002: each collects what both have run, and all is the group's."""
    for seed, user in enumerate((54321, 54322, 54321)):
        assert as_user(user, 0o002, shared / "w", seed) == (seed + 1, "")
    kept = [path for path in shared.rglob("*") if "/runs/" not in str(path)]
    for path in kept:
        mode = path.stat().st_mode
        assert mode & stat.S_IWGRP and mode & stat.S_IROTH, path
    assert {path.stat().st_uid for path in kept} == {54321, 54322}


@needs_users
def test_who_may_not_write_is_told_so(shared: Path) -> None:
    assert as_user(54321, 0o022, shared / "w", 0) == (1, "")
    before = stored_files(shared / "w" / "mlflow")
    (shared / "w" / "runs").chmod(0o777)
    _, error = as_user(54322, 0o002, shared / "w", 1)
    assert "you may not write this folder (it is user 54321's, mode 755)" in error
    assert f"chmod g+w {shared}/w/mlflow" in error
    assert stored_files(shared / "w" / "mlflow") == before, "nothing is half-written"


@needs_users
def test_a_database_of_an_earlier_version_is_shared_when_its_owner_uses_it(shared: Path) -> None:
    """SQLite had made it with mode 644 in a folder of the group."""
    assert as_user(54321, 0o002, shared / "w", 0) == (1, "")
    database = shared / "w" / "mlflow" / "mlflow.db"
    database.chmod(0o644)
    assert "you may not write this file" in as_user(54322, 0o002, shared / "w", 1)[1]
    assert as_user(54321, 0o002, shared / "w", 2) == (2, "")
    assert database.stat().st_mode & 0o777 == 0o664
    assert as_user(54322, 0o002, shared / "w", 3) == (3, "")


def test_an_owner_s_narrower_mode_is_kept(first: Workspace) -> None:
    database = first.root / "mlflow" / "mlflow.db"
    database.chmod(0o600)
    database.parent.chmod(0o775)
    export([(record, "smoke") for record in _records(first)], first.tracking_uri)
    assert database.stat().st_mode & 0o777 == 0o600


def test_an_address_with_parameters_is_refused() -> None:
    with pytest.raises(EchoLMError, match="takes no parameters after '\\?'.*%3F"):
        export([], "sqlite:////data/mlflow.db?timeout=3")
