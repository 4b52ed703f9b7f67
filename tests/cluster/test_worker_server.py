"""The process that local workers are forked from: what it does before a fork, and when it dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from launch_support import Reference, Shell, ended, result, until

from cluster.worker_server import LOST_STATUS, WorkerProcess, WorkerServer

BLANK = {"encoder": "none", "trainable": "k0"}
"""No network to import: where only processes matter."""


def started(folder: Path) -> WorkerServer:
    """Start a server, and wait until it is ready."""
    settings = {
        "workspace": str(folder),
        "grid": "toy",
        "threads": 1,
        "micro_batch": None,
        "precision": "fp32",
        "compile": False,
        "times": {},
        "imports": [],
    }
    server = WorkerServer(settings, folder / "server.log")
    assert server.read_ready(), (folder / "server.log").read_text()
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerServer]:
    """A server that is ready, and stays."""
    server = started(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


def said(worker: WorkerProcess) -> dict[str, object]:
    """The next thing that a worker says."""
    return dict(json.loads(os.read(worker.output, 65536)))


def test_workers_have_their_own_session_log_and_pipes(server: WorkerServer, tmp_path: Path) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    workers = [server.fork("cpu", log) for log in logs]
    for worker in workers:
        assert said(worker)["event"] == "ready"
        assert os.getsid(worker.pid) == worker.pid
        assert worker.poll() is None
    for worker, log in zip(workers, logs, strict=True):
        assert f"worker {worker.pid} on cpu" in log.read_text()
        worker.close_input()
        assert os.read(worker.output, 65536) == b"", "its output ends, whatever others are there"
        assert worker.wait() == 0
        worker.close()


def test_the_server_has_no_threads_that_a_fork_would_lose(server: WorkerServer) -> None:
    """Of Python, none. jemalloc's, which comes with pyarrow, starts again after a fork."""
    [process] = [
        child for child in psutil.Process().children() if "cluster.worker_server" in child.cmdline()
    ]
    names = set()
    for thread in process.threads():
        names.add(Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text().strip())
    assert len(names - {"jemalloc_bg_thd"}) == 1, names


def test_how_a_worker_died_is_known(server: WorkerServer, tmp_path: Path) -> None:
    killed, broken = (server.fork(device, tmp_path / "log") for device in ("cpu", "cuda:31"))
    assert said(killed)["event"] == "ready"
    killed.send_signal(signal.SIGKILL)
    assert (killed.wait(), broken.wait()) == (-signal.SIGKILL, 1)
    assert "Traceback" in (tmp_path / "log").read_text(), "there is no such GPU"
    for worker in (killed, broken):
        worker.send_signal(signal.SIGKILL)  # to nobody
        worker.close()


def test_workers_outlive_their_server(tmp_path: Path) -> None:
    server = started(tmp_path)
    worker = server.fork("cpu", tmp_path / "log")
    assert said(worker)["event"] == "ready"
    server.close()
    assert worker.poll() is None
    with pytest.raises(OSError):
        server.fork("cpu", tmp_path / "log")
    worker.close_input()
    assert worker.wait() == LOST_STATUS, "nobody was told"
    worker.close()


def test_a_launch_goes_on_when_its_server_is_killed(shell: Shell, reference: Reference) -> None:
    grid = shell.grid({"head": ["slow"], "seed": [0, 1]}, epochs=3, **BLANK)
    first, second = shell.cells(grid)
    shell.slow(3, from_step=4)
    process = shell.start("launch", grid, "--slots", 1, "--no-collect", cold=True)
    until(lambda: shell.epochs(first) >= 1, "an epoch")
    worker = shell.worker_of(first)
    [server] = [process for process in shell.workers() if process.pid != worker.pid]
    server.kill()
    until(lambda: not server.is_running() or server.status() == "zombie", "the server is gone")
    worker.kill()
    shell.slow(0)
    done = ended(process)
    assert done.status == 0, done.err
    assert "its process is gone; it starts again" in done.err
    assert shell.attempts(grid) == [2, 1]
    for cell in (first, second):
        assert result(shell.record(cell)) == reference(cell)


def test_a_server_that_cannot_start_is_an_error(shell: Shell, tmp_path: Path) -> None:
    """As where torch is broken. The launch ends, and says what the server said last."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('this torch is broken')")
    environment = shell.environment()
    path = os.pathsep.join([str(tmp_path / "broken"), environment["PYTHONPATH"]])
    grid = shell.grid({"head": ["slow"]}, **BLANK)
    done = shell("launch", grid, "--no-collect", cold=True, env=environment | {"PYTHONPATH": path})
    assert done.status == 1
    assert "no worker starts: ImportError: this torch is broken; see" in done.err
    assert "server.log" in done.err
