"""A Python that has imported what commands need and forks: commands of tests pay no imports.

Imports cost a command two to four CPU seconds, and tests type hundreds. Here one server imports,
and each command is a fork of it: a process of its own, with the arguments, the environment, the
folder, the standard streams and the session that it was started with.

A test starts ``FOLDER/python`` or ``FOLDER/echolm`` (``warm_client.py``), which stay for as long as
the command runs, pass on signals and end as it does. When they are killed, so is the command. What
the server does not know (a script, a module of others, another number of threads) they give to the
real Python.

What a cold start does is not tested here: tests of signals, of the command line's start and of
SLURM start the real Python.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import hashlib
import importlib
import json
import os
import pkgutil
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NoReturn
from unittest import mock

from filelock import FileLock

HERE = Path(__file__).parent
MODULES = ("echolm.cli", "cluster.worker_server", "cluster.search_worker")
"""What is forked. All else is for the real Python."""
PACKAGES = ("echolm", "grid", "cluster")
"""Every module of theirs is imported, but those of Ray, which has threads."""
SLOW = "torch_geometric"
"""What few commands need and takes long: modules that need it are left out."""
IMPORTS = (
    "mlflow.store.tracking.sqlalchemy_store",
    "scipy.stats",
    "sqlalchemy.dialects.sqlite",
)
"""What else commands import when they need it."""
REAL = sys.executable
MESSAGE_BYTES = 200_000
PATIENCE_S = 300


def serve(folder: Path) -> None:
    """Fork commands until nobody has a lease any more. Says that it is there when it is."""
    gc.disable()  # what is imported is no garbage
    sys.modules[SLOW] = None  # type: ignore[assignment]  # cannot be imported now
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if not module.name.endswith("__main__") and "ray" not in module.name.split("."):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    del sys.modules[SLOW]
    for name in IMPORTS:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork copies one thread"
    gc.collect()
    gc.freeze()
    gc.enable()
    Server(folder).run()
    shutil.rmtree(folder)
    Path(f"{folder}.lock").unlink(missing_ok=True)


def address(folder: Path) -> str:
    """The server's socket: a name of Linux, which is no file and may not be long."""
    return f"\0echolm-warm-{hashlib.sha256(bytes(folder)).hexdigest()[:16]}"


class Server:
    """Connections: leases, which say nothing, and commands, each with the process it has."""

    def __init__(self, folder: Path) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(address(folder))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._processes: dict[socket.socket, tuple[int, int]] = {}
        self._leases: set[socket.socket] = set()

    def run(self) -> None:
        """Answer until the last lease has ended."""
        first = True
        while first or self._leases:
            events = self._selector.select(PATIENCE_S if first else None)
            for key, _ in events:
                self._answer(key)
            first = first and bool(events) and not self._leases

    def _answer(self, key: selectors.SelectorKey) -> None:
        if key.data == "listener":
            connection, _ = self._listener.accept()
            self._selector.register(connection, selectors.EVENT_READ, "connection")
        elif key.data == "connection":
            self._read(key.fileobj)
        else:
            self._end(key.data)

    def _read(self, connection: Any) -> None:
        """A lease, a command, or the end of either."""
        try:
            message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
        except ConnectionError:
            message, files = b"", []
        if message == b"lease":
            self._leases.add(connection)
        elif message:
            self._fork(connection, json.loads(message), files)
        elif connection in self._processes:  # its client was killed
            pid, _ = self._processes[connection]
            os.kill(pid, signal.SIGKILL)
            self._selector.unregister(connection)
        else:
            self._leases.discard(connection)
            self._selector.unregister(connection)
            connection.close()

    def _fork(self, connection: socket.socket, command: dict[str, Any], files: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._close()
            become(command, files)
        for file in files:
            os.close(file)
        ended = os.pidfd_open(pid)
        self._processes[connection] = (pid, ended)
        self._selector.register(ended, selectors.EVENT_READ, connection)
        connection.send(json.dumps({"pid": pid}).encode())

    def _end(self, connection: socket.socket) -> None:
        """A command has ended: tell its client."""
        pid, ended = self._processes.pop(connection)
        self._selector.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
        answer = {"status": os.waitstatus_to_exitcode(status)}
        with contextlib.suppress(OSError):
            connection.send(json.dumps(answer).encode())
        with contextlib.suppress(KeyError):  # of a client that was killed
            self._selector.unregister(connection)
        connection.close()

    def _close(self) -> None:
        """Close what the server has open, in a fork."""
        for connection in [*self._processes, *self._leases]:
            connection.close()
        for _, ended in self._processes.values():
            os.close(ended)
        for key in [*self._selector.get_map().values()]:
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()


def become(command: dict[str, Any], files: list[int]) -> NoReturn:
    """Be the process of a command, and end."""
    status = 1
    try:
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(command["folder"])
        os.environ.clear()
        os.environ.update(command["environment"])
        sys.executable = command["python"]
        _open_streams()
        status = _status_of(command["words"])
    finally:
        _finish(status)


def _open_streams() -> None:
    """Open the standard streams as Python does when it starts."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    out = open(1, "w", encoding="utf-8", closefd=False)
    out.reconfigure(line_buffering=out.isatty(), write_through=unbuffered)
    error = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    error.reconfigure(line_buffering=True)
    sys.stdout = sys.__stdout__ = out
    sys.stderr = sys.__stderr__ = error


def _status_of(words: list[str]) -> int:
    """Run a module as ``python [-P] [-X faulthandler] -m MODULE ...`` does."""
    import faulthandler
    import runpy

    options, (name, *rest) = words[: words.index("-m")], words[words.index("-m") + 1 :]
    if "faulthandler" in options:
        faulthandler.enable()
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    first = [] if "-P" in options else [os.getcwd()]
    kept = [path for path in sys.path if path != str(HERE.parent)]
    sys.path[:] = [*first, *paths, *(path for path in kept if path not in paths)]
    importlib.invalidate_caches()
    sys.argv = [name, *rest]
    try:
        if name == "echolm":  # the script
            runpy.run_path(str(Path(REAL).with_name("echolm")), run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 130
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _finish(status: int) -> NoReturn:
    """End as Python does: threads, what was registered for the exit, what is buffered."""
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(status)


@lru_cache
def commands() -> Path:
    """The folder of ``python`` and ``echolm``. All processes of a run of pytest have one server.

    The first that asks starts it, and it ends with the last.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(gettempdir()) / f"echolm-warm-{run}"
    folder.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        lease = _lease(folder)
        if lease is None:
            _write_clients(folder)
            _start(folder)
            end = time.monotonic() + PATIENCE_S
            while (lease := _lease(folder)) is None:
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.05)
    atexit.register(lease.close)
    return folder


def python() -> str:
    """The Python that forks."""
    return str(commands() / "python")


@contextlib.contextmanager
def workers() -> Iterator[None]:
    """While a launch is a call in this process: the server of its workers is forked too."""
    with mock.patch.object(sys, "executable", python()):
        yield


def _lease(folder: Path) -> socket.socket | None:
    lease = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        lease.connect(address(folder))
    except OSError:
        lease.close()
        return None
    lease.send(b"lease")
    return lease


def _start(folder: Path) -> None:
    kept = {}
    for name, value in os.environ.items():
        if not name.startswith(("ECHOLM_", "MLFLOW_", "TEST_", "PYTEST_")):
            kept[name] = value
    with open(folder / "log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(folder)],
            cwd=HERE.parent,
            env={**kept, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _write_clients(folder: Path) -> None:
    """``python`` and ``echolm``: the client with what it must know."""
    text = (HERE / "warm_client.py").read_text(encoding="utf-8")
    known = {
        "FOLDER": str(folder),
        "SOCKET": address(folder),
        "REAL": sys.executable,
        "MODULES": " ".join(MODULES),
    }
    for name, value in known.items():
        text = text.replace(f'{name} = ""', f"{name} = {value!r}", 1)
    content = f"#!{_base()} -SEs\n{text}"
    for name in ("python", "echolm"):
        (folder / name).write_text(content, encoding="utf-8")
        (folder / name).chmod(0o755)


def _base() -> str:
    """The interpreter without packages, which starts in 20 ms."""
    return os.path.realpath(sys.executable)


if __name__ == "__main__":
    from tests.warm import serve as serve_named

    serve_named(Path(sys.argv[1]))
