"""A process that holds attempts, for test_attempt.py and test_attempt_faults.py.

``talk``    do what standard input says, a command a line. The answer is ``ok`` or the error's name
``crash``   one whole run, killed (SIGKILL) before the N-th call that changes a file
``forever`` one run after another under the given folder
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echolm.attempt import Attempt
from echolm.errors import EchoLMError
from echolm.record import RunRecord

IDENTITY = {"cell": "c" * 16, "fingerprint": "f" * 64, "config": {"seed": 0}}
CHANGES = ("mkdir", "write", "fsync", "replace", "link")


def whole_run(record: RunRecord, patience: float, text: str) -> None:
    """From nothing to complete, or from where a dead process left it."""
    record.create(IDENTITY)
    attempt = Attempt.acquire(record, patience, heartbeat_s=0.1)
    attempt.event("started")
    attempt.write("best.safetensors", text.encode() * 1000)
    attempt.write("predictions.parquet", text.encode() * 500)
    attempt.event("epoch", epoch=0, metrics={"val/loss": 0.5})
    attempt.publish({"metrics": {"test/loss": 0.25}}, ["best.safetensors", "predictions.parquet"])
    attempt.release()


def check_complete(record: RunRecord) -> dict[str, Any]:
    """The summary of a complete record, whose files are what it says they are."""
    summary = record.summary()
    assert record.state().name == "complete" and summary is not None
    for name, digest in summary["files"].items():
        assert hashlib.sha256(record.file(name).read_bytes()).hexdigest() == digest
    return summary


def talk(record: RunRecord, patience: float, heartbeat: float) -> None:
    """Answer commands."""
    attempt: Any = None
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            if command == "acquire":
                attempt = Attempt.acquire(record, patience, heartbeat)
                answer = f"holds {attempt.number}"
            else:
                answer = obey(attempt, command, arguments)
        except EchoLMError as error:
            answer = type(error).__name__
        print(answer, flush=True)


def obey(attempt: Attempt, command: str, arguments: list[str]) -> str:
    """One command of the holder of an attempt."""
    if command == "stop-before-link":
        link = os.link

        def stopped(*paths: Any) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)
            link(*paths)

        os.link = stopped  # type: ignore[assignment]
    elif command == "write":
        attempt.write(arguments[0], arguments[1].encode())
    elif command == "event":
        attempt.event(arguments[0])
    elif command == "publish":
        attempt.publish({"by": arguments[0]}, [])
    elif command == "release":
        attempt.release(*arguments)
    return "ok"


def kill_before(number: int) -> None:
    """Let the main thread's ``number``-th change of a file be preceded by SIGKILL."""
    counter = itertools.count(1)

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is threading.main_thread() and next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*arguments, **named)

        return call

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def main(mode: str, path: str, *arguments: str) -> None:
    """``talk RECORD PATIENCE HEARTBEAT``, ``crash RECORD N``, ``forever FOLDER``."""
    record = RunRecord(Path(path))
    if mode == "talk":
        talk(record, *map(float, arguments))
    elif mode == "crash":
        kill_before(int(arguments[0]))
        whole_run(record, 0.3, "crashed")
        print("survived")
    else:
        for number in itertools.count():
            print(number, flush=True)
            whole_run(RunRecord(record.path / str(number)), 0.3, "forever")


if __name__ == "__main__":
    main(*sys.argv[1:])
