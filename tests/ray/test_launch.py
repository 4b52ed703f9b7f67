"""What a launch on Ray does that no other does, or that engines do in their own ways: signals,
connections, tokens.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from engines import Engine, ray_engine
from launch_support import PATIENCE_S, Reference, Shell, ended, result, until

from cluster.failures import CLASSES, JobFailure, note
from cluster.ray.connection import connected
from echolm.errors import EchoLMError
from grid.definition.grid import load_grid
from grid.plan import save_cells

BLANK = {"encoder": "none", "trainable": "k0"}
TOKENS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture
def engine(ray_cluster: str, shell: Shell) -> Engine:
    """Ray, in the workspace of ``shell``."""
    return ray_engine(shell)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A TMPDIR, short enough for Ray's sockets. Nothing of Ray may be left in it (torch leaves a
    folder).
    """
    found = Path(tempfile.mkdtemp(prefix="e-", dir="/tmp"))
    yield found
    left = [path for path in found.rglob("*") if "ray" in path.name]
    shutil.rmtree(found)
    assert not left


def start(
    shell: Shell, grid: Path, address: str, before: tuple[str, ...] = (), **variables: str | None
) -> subprocess.Popen[str]:
    """A launch with two slots in a process of its own. ``before``: words before the command;
    ``variables`` of its environment, None: without it.
    """
    save_cells(load_grid(str(grid)), shell.workspace)
    words = [
        *before,
        sys.executable,
        str(Path(__file__).with_name("driver.py")),
        str(shell.workspace.root),
        grid.stem,
        address,
        "2",
    ]
    words += [cell.id for cell in shell.cells(grid)]
    environment = {
        name: value
        for name, value in (shell.environment() | variables).items()
        if value is not None
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(
        words, env=environment, cwd=shell.root, start_new_session=True, text=True, **pipes
    )  # type: ignore[call-overload,no-any-return]


def titles_of_workers(launch: subprocess.Popen[str]) -> dict[int, set[str]]:
    """Look at Ray's workers until a launch has ended, or for as long as a test waits.

    Returns:
        The process id of each -> the titles that it had.
    """
    titles: dict[int, set[str]] = {}
    root = psutil.Process(launch.pid)
    end = time.monotonic() + PATIENCE_S
    while launch.poll() is None and time.monotonic() < end:
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                title = "".join(process.cmdline()[:1])
                if title.startswith("ray::") and not title.endswith("Agent"):
                    titles.setdefault(process.pid, set()).add(title)
                    assert process.nice() == root.nice(), "starved beside the other tests"
        time.sleep(0.2)
    return titles


def group(process: subprocess.Popen[str]) -> None:
    """Ctrl-C on a terminal: SIGINT to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)


STOPS: list[tuple[str, Callable[[subprocess.Popen[str]], None], int]] = [
    ("Ctrl-C", group, 130),
    ("SIGTERM", lambda process: process.terminate(), 143),
    ("SIGKILL", lambda process: process.kill(), -9),
]


class TestStopping:
    """Signals to the launcher; the workers belong to Ray."""

    def test_a_launch_that_is_stopped_again_and_again_ends_as_if_undisturbed(
        self, ray_cluster: str, shell: Shell, reference: Reference
    ) -> None:
        grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2]}, epochs=6, **BLANK)
        first, second, third = shell.cells(grid)
        shell.slow(3)
        for number, (name, stop, status) in enumerate(STOPS):
            process = start(shell, grid, ray_cluster)
            until(
                lambda number=number: all(shell.trains(cell, number) for cell in (first, second)),
                f"both train before {name}",
            )
            workers = [shell.worker_of(cell) for cell in (first, second)]
            stop(process)
            done = ended(process)
            assert (done.status, done.err) == (status, ""), name
            until(
                lambda workers=workers: not any(worker.is_running() for worker in workers),
                f"no worker is left after {name}",
            )
            assert shell.states(grid) == ["interrupted", "interrupted", "pending"], name
            for cell in (first, second) if status > 0 else ():
                record = shell.record(cell)
                assert record.events(record.attempts()[-1])[-1]["event"] == "interrupted", name
                assert list(record.attempt_path(record.attempts()[-1]).glob("checkpoint-*.pt")), (
                    name
                )
        shell.slow(0)
        done = ended(start(shell, grid, ray_cluster))
        assert (done.status, done.err) == (0, "")
        assert shell.attempts(grid) == [len(STOPS) + 1, len(STOPS) + 1, 1]
        for cell in (first, second, third):
            assert result(shell.record(cell)) == reference(cell)

    def test_a_second_ctrl_c_does_not_wait(self, ray_cluster: str, shell: Shell) -> None:
        shell.slow(3, from_step=4)
        grid = shell.grid({"head": ["slow"]}, epochs=20, **BLANK)
        [cell] = shell.cells(grid)
        process = start(shell, grid, ray_cluster)
        until(lambda: shell.epochs(cell) >= 1, "an epoch")
        worker = shell.worker_of(cell)
        worker.suspend()
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signal.SIGINT)
        assert ended(process).status == 130
        until(lambda: not worker.is_running(), "the worker is gone")
        assert shell.states(grid) == ["interrupted"]


class TestConnections:
    """Clusters that are not there, do not fit, or are this machine's own."""

    @pytest.mark.parametrize(
        ("needs", "message"),
        [
            ({"threads": 64}, r"no room for 64 CPUs; its nodes are [\d.]+: 4 CPUs.*--threads"),
            ({"gpus": 1}, r"no room for 1 CPU, 1 GPU"),
            ({"ranks": 5}, r"no room for 5 ranks of 1 CPU"),
            ({"memory_gb": 4e6}, r"no room for 1 CPU, 4000000 GB; .*--memory-gb"),
        ],
    )
    def test_what_no_node_has_is_refused(
        self, engine: Engine, shell: Shell, needs: dict[str, float], message: str
    ) -> None:
        """Ray would wait for ever."""
        with pytest.raises(EchoLMError, match=message):
            engine.launch(shell.grid({"head": ["mean"]}, epochs=1, **BLANK), **needs)

    def test_the_command_asks_for_memory_too(self, ray_cluster: str, shell: Shell) -> None:
        grid = shell.grid({"head": ["mean"]}, epochs=1, **BLANK)
        done = shell(
            "launch", grid, "--on", "ray", "--ray-address", ray_cluster, "--memory-gb", "4e6"
        )
        assert done.status == 1 and "no room for 1 CPU, 4000000 GB" in done.err.splitlines()[-1]

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1: Connection refused"),
            ("ray://127.0.0.1:10001", "valid is HOST:PORT"),
            (".", "address: is not there"),
        ],
    )
    def test_an_address_without_a_cluster(
        self, monkeypatch: pytest.MonkeyPatch, address: str, message: str
    ) -> None:
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        with pytest.raises(EchoLMError, match=message), connected(address):
            pass

    def test_another_token_is_refused(self, ray_cluster: str, shell: Shell) -> None:
        process = start(
            shell,
            shell.grid({"head": ["mean"]}, epochs=1, **BLANK),
            ray_cluster,
            RAY_AUTH_TOKEN="0" * 64,
            RAY_NUM_REDIS_GET_RETRIES="2",
        )
        done = ended(process)
        assert done.status == 1
        [*_, last] = done.err.splitlines()
        assert re.search(r"EchoLMError: no connection to Ray at .*the token the cluster's", last), (
            done.err
        )

    @pytest.mark.skipif(os.geteuid() != 0, reason="a machine of its own for a process needs root")
    def test_a_machine_without_a_node_joins_for_the_time(
        self, ray_cluster: str, shell: Shell, temporary: Path
    ) -> None:
        """A login node: a process that sees no other processes finds no node of Ray."""
        grid = shell.grid({"head": ["mean"]}, epochs=1, **BLANK)
        before = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        done = ended(start(shell, grid, ray_cluster, before, TMPDIR=str(temporary)))
        assert (done.status, done.err) == (0, "")
        assert shell.states(grid) == ["complete"]
        nodes = [(node["Alive"], node["Resources"].get("CPU", 0)) for node in ray.nodes()]
        assert [alive for alive, _ in nodes].count(False) and [
            cpus for alive, cpus in nodes if alive
        ] == [4], "it has left"

    def test_a_cluster_of_this_machine_leaves_nothing_behind(
        self, shell: Shell, temporary: Path
    ) -> None:
        """No token in the home, no session in the temporary folder, nothing on standard output; and
        the folder one launches from does not matter.
        """
        for name in ("cluster", "torch", "grid", "json"):
            (shell.root / f"{name}.py").write_text("raise SystemExit('the wrong module')")
        home = shell.root / "home"
        home.mkdir()
        (shell.workspace.grids / "toy").mkdir(parents=True)
        grid = shell.grid({"head": ["mean", "dies"]}, epochs=1, **BLANK)
        note(
            shell.workspace,
            "toy",
            [JobFailure("killed", "ray-0", "", (shell.cells(grid)[1].id,))]
            * CLASSES["killed"].budget,
        )
        launch = start(
            shell,
            grid,
            "",
            HOME=str(home),
            TMPDIR=str(temporary),
            **dict.fromkeys(TOKENS, None),
        )
        titles = titles_of_workers(launch)
        done = ended(launch)
        assert (done.status, done.err) == (0, "")
        assert len(titles) >= 2, "a worker a unit"
        assert {"ray::IDLE"} not in titles.values(), "started for nobody"
        reports = [json.loads(line) for line in done.out.splitlines()]
        assert [
            (report["again"], report["deaths"]) for report in reports if report["event"] == "died"
        ] == [(False, 4)]
        assert shell.states(grid) == ["complete", "interrupted"]
        log = next(report["log"] for report in reports if report["event"] == "died")
        assert "faulty_heads.py" in Path(log).read_text(), "where it died"
        assert not [*home.rglob("*")]
