"""A process that has imported what training needs, and forks the local workers: both ends of it.

Imports cost two to three CPU seconds, and a forked worker pays none of them. ``cluster.local`` has
one server a launch, and starts it as ``python -m cluster.worker_server SETTINGS``. The server's
standard input is a socket, on which it answers one request after another:

- fork a worker, with its standard input, output and log as file descriptors: its process id,
- the exit status of a worker: null while it runs.

The server has one thread, and never touches a GPU: a fork would copy neither threads nor CUDA.
(jemalloc, which comes with pyarrow, has one of its own, and starts it again after a fork.)
A worker has a session, a log and pipes of its own, and does not need the server any more. When the
launcher is gone the socket ends, and so does the server.

*Why not multiprocessing's forkserver: there is one a process, it keeps the environment of its
first use, it imports with the current folder first on the path, and its workers import the
launcher's main module.*
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import psutil

from echolm.garbage import look_for_garbage_seldom

MESSAGE_BYTES = 4096
"""More than any request or answer has."""
LOST_STATUS = 255
"""In the place of an exit status that nobody was told."""
WAIT_S = 0.01
"""Between two questions whether a worker has ended."""
READY = b"ready"
"""What the server says when it has imported everything."""


class WorkerServer:
    """The launcher's side of a server."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        """Start the process. It is ``ready`` some seconds later, when its socket can be read.

        Args:
            settings: of ``cluster.worker.run_worker``, for all its workers. ``imports`` are
                packages that are imported too.
            log: a file to which the server's errors are appended.
        """
        self.log = log
        self.ready = False
        self.socket, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = ["-P", "-X", "faulthandler"]
        command = [sys.executable, *options, "-m", "cluster.worker_server", json.dumps(settings)]
        with remote, _opened(log) as errors:
            self._process = subprocess.Popen(
                command,
                stdin=remote.fileno(),
                stdout=errors,
                stderr=errors,
                env=_environment(settings["threads"]),
                start_new_session=True,
            )

    def read_ready(self) -> bool:
        """Read what it says by itself. False: it is gone."""
        try:
            self.ready = self.socket.recv(MESSAGE_BYTES) == READY
        except ConnectionError:
            self.ready = False
        return self.ready

    def fork(self, device: str, log: Path) -> WorkerProcess:
        """Start a worker.

        Raises:
            ConnectionError: the server is gone.
        """
        with _opened(log) as errors:
            worker_input, our_input = os.pipe()
            our_output, worker_output = os.pipe()
            try:
                files = [worker_input, worker_output, errors.fileno()]
                pid = self.ask({"device": device}, files)
            except ConnectionError:
                os.close(our_input)
                os.close(our_output)
                raise
            finally:
                os.close(worker_input)
                os.close(worker_output)
        return WorkerProcess(self, pid, our_input, our_output, log)

    def ask(self, request: dict[str, Any], files: list[int] | None = None) -> Any:
        """Send a request and wait for its answer.

        Args:
            request: ``device`` of a worker to fork, or ``pid`` of one that may have ended.
            files: descriptors that go with it.

        Raises:
            ConnectionError: the server is gone.
        """
        socket.send_fds(self.socket, [json.dumps(request).encode()], files or [])
        answer = self.socket.recv(MESSAGE_BYTES)
        if not answer:
            raise ConnectionResetError("the server of the workers is gone")
        return json.loads(answer)

    def close(self) -> None:
        """End the server. Its workers are not touched."""
        self.socket.close()
        self._process.kill()
        self._process.wait()


class WorkerProcess:
    """A worker as the launcher sees it: its process, and the pipes to and from it."""

    def __init__(
        self, server: WorkerServer, pid: int, our_input: int, output: int, log: Path
    ) -> None:
        self.pid = pid
        self.output = output
        self.log = log
        self._server = server
        self._input: int | None = our_input
        self._status: int | None = None
        self._process = _process(pid)

    def write(self, content: bytes) -> None:
        """Write all of it to the worker's standard input. BrokenPipeError: it has just died."""
        assert self._input is not None
        while content:
            content = content[os.write(self._input, content) :]

    def close_input(self) -> None:
        """End its standard input: a worker that has a unit checkpoints and stops."""
        if self._input is not None:
            os.close(self._input)
            self._input = None

    def close(self) -> None:
        """Close both pipes."""
        self.close_input()
        os.close(self.output)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the worker has ended."""
        if self._process and self._status is None:
            with suppress(psutil.NoSuchProcess):
                self._process.send_signal(number)

    def poll(self) -> int | None:
        """Return its exit status (negative: of a signal), None while it runs.

        LOST_STATUS when its server has died before it: nobody was told how it ended.
        """
        if self._status is None:
            try:
                self._status = self._server.ask({"pid": self.pid})
            except OSError:
                if not self._runs():
                    self._status = LOST_STATUS
        return self._status

    def wait(self) -> int:
        """Wait for its end. Returns what ``poll`` does."""
        while (status := self.poll()) is None:
            time.sleep(WAIT_S)
        return status

    def _runs(self) -> bool:
        """Return whether a process without a server still runs."""
        if self._process is None:
            return False
        try:
            return self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _process(pid: int) -> psutil.Process | None:
    """Return a process by its id, which psutil does not take for a later one. None: it is gone."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _opened(log: Path) -> BinaryIO:
    """Open a log to append to it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return open(log, "ab")


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of a server and its workers."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
        # The launcher's modules. With -P, none of the current folder.
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def serve(settings: dict[str, Any]) -> None:
    """Answer requests on standard input, a socket, until the launcher is gone."""
    connection = socket.socket(fileno=os.dup(0))
    look_for_garbage_seldom()
    _import_what_runs_need(settings)
    gc.freeze()  # what is imported stays shared: no collection of a worker writes to it
    with suppress(ConnectionError):
        connection.send(READY)
        while True:
            message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
            if not message:
                return
            request = json.loads(message)
            if "device" in request:
                answer: int | None = _fork(connection, settings, request["device"], files)
            else:
                answer = _exit_status(request["pid"])
            connection.send(json.dumps(answer).encode())


def _import_what_runs_need(settings: dict[str, Any]) -> None:
    """Import torch, and what is asked for beside it: none of it asks for a GPU.

    Torch's compiler takes as long as torch.
    """
    import pyarrow.parquet  # noqa: F401
    import torch  # noqa: F401

    import cluster.worker  # noqa: F401
    from echolm.encoders.torchvision_compat import import_torchvision

    if settings["compile"]:
        import torch._dynamo  # noqa: F401
    for package in settings["imports"]:
        with suppress(Exception):  # the run that needs it says what is wrong
            if package == "torchvision":
                import_torchvision()
            else:
                importlib.import_module(package)


def _fork(
    connection: socket.socket, settings: dict[str, Any], device: str, files: list[int]
) -> int:
    """Fork a worker with these standard streams. Returns its process id."""
    pid = os.fork()
    if pid == 0:
        connection.close()
        _work(settings, device, files)
    for file in files:
        os.close(file)
    return pid


def _work(settings: dict[str, Any], device: str, files: list[int]) -> NoReturn:
    """Be a worker, in the forked process, and end it."""
    from cluster.worker import run_worker

    status = 1
    try:
        os.setsid()  # Ctrl-C on the launcher's terminal is the launcher's
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        run_worker(settings, device)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)  # nothing of the server runs here any more


def _exit_status(pid: int) -> int | None:
    """Return the exit status of a worker, None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
