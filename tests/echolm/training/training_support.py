"""Helpers of the training tests.

Configurations, comparable results, and processes in which something goes wrong.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  (pyarrow imports it with the first array; once, before processes are forked)
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from training_toys import registered

from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.encoders.families import mvit, resnet3d  # noqa: F401  (imported once, before processes are forked)
from echolm.record import RunRecord
from echolm.training.cohorts import Compute
from echolm.training.distributed import ranks_from_environment
from echolm.training.loop import Cohort, fit
from echolm.training.prepare import PreparedRun, prepare_run
from echolm.training.run_handle import Outcome
from echolm.workspace import Workspace

Config = FinetuneConfig | PretrainConfig
NOT_ALLOWED = 77
QUICK = Compute(patience_s=0.6, heartbeat_s=0.05)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["training_preload", "training_support", "pytest"])
gc.freeze()
"""What is imported stays shared between the fork server and its processes."""


def config(**changes: Any) -> Config:
    """A landmark run of two epochs, 3 steps each: toy-r3d, everything trains, augmented."""
    plain = {
        "data": "tiny",
        "encoder": "toy-r3d",
        "epochs": 2,
        "batch_size": 5,
    }
    finetune = {
        "task": "landmarks",
        "trainable": "all",
        "head": {"name": "mlp", "width": 16},
        "augmentation": "bhoodoo2026",
    }
    values = plain | (finetune if changes.get("kind") != "pretrain" else {}) | changes
    with registered():  # a module makes configurations before its first test
        return parse_config(values)


def train(workspace: Workspace, *configs: Config, **settings: Any) -> list[Outcome]:
    """``fit`` of prepared runs, in this process."""
    return fit([prepare_run(config, workspace) for config in configs], **settings)


def record_of(workspace: Workspace, config: Config) -> RunRecord:
    """The record of a configuration."""
    return prepare_run(config, workspace).record


@dataclass(frozen=True)
class Result:
    """What must be bitwise equal between runs: compared by ``==``."""

    best: str
    predictions: pa.Table
    metrics: dict[str, float]
    epochs: list[tuple[int, dict[str, float]]]

    @classmethod
    def of(cls, record: RunRecord) -> Result:
        """The result of a complete record."""
        summary = record.summary()
        assert summary is not None, record.state()
        best = hashlib.sha256(record.file("best.safetensors").read_bytes()).hexdigest()
        epochs = [(event["epoch"], event["metrics"]) for event in record.history()]
        return cls(
            best, pq.read_table(record.file("predictions.parquet")), summary["metrics"], epochs
        )


def results_of(workspace: Workspace, runs: Sequence[Config]) -> list[Result]:
    """The results of complete runs, in order."""
    return [Result.of(record_of(workspace, run)) for run in runs]


class Reference:
    """Results of undisturbed runs, by configuration; each is trained once."""

    def __init__(self, store: Path, root: Path) -> None:
        self.workspace = Workspace(root)
        self.workspace.store("tiny").parent.mkdir(parents=True)
        self.workspace.store("tiny").symlink_to(store)
        self._results: dict[Config, Result] = {}

    def __call__(self, config: Config) -> Result:
        """The result of a configuration on its own, in one process."""
        if config not in self._results:
            [outcome] = train(self.workspace, config)
            assert outcome.state == "complete", outcome
            self._results[config] = Result.of(record_of(self.workspace, config))
        return self._results[config]

    def all(self, configs: Sequence[Config]) -> list[Result]:
        """The results of several configurations, each on its own."""
        return [self(config) for config in configs]


@dataclass(frozen=True)
class Fault:
    """Something that happens at the ``call``-th call (from 1) of ``where`` on ``rank``.

    ``where`` is ``module:attribute.path``.

    ``act``: the name of a signal the process gets, before the call or (``after``) after it;
    ``raise``: a RuntimeError;
    ``stop``: SIGSTOP to itself.
    """

    where: str
    call: int
    act: str
    after: bool = False
    rank: int = 0

    def install(self, patch: Callable[[Any, str, Any], None] = setattr) -> None:
        """Replace the function by one that counts its calls."""
        module, _, path = self.where.partition(":")
        *owners, name = path.split(".")
        owner = reduce(getattr, owners, import_module(module))
        original, calls = getattr(owner, name), 0

        def counted(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.call and not self.after:
                self._act()
            result = original(*args, **named)
            if calls == self.call and self.after:
                self._act()
            return result

        patch(owner, name, counted)

    def _act(self) -> None:
        if self.act == "raise":
            raise RuntimeError("an injected fault")
        os.kill(os.getpid(), getattr(signal, self.act))


@dataclass(frozen=True)
class Rank:
    """Which of how many processes; they meet at ``port`` of this host."""

    rank: int = 0
    world: int = 1
    port: int = 0


def start(
    workspace: Workspace,
    configs: Sequence[Config],
    out: Path,
    faults: Sequence[Fault] = (),
    compute: Compute = QUICK,
    rank: Rank = Rank(),
    before: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> BaseProcess:
    """A new process that trains ``configs`` together and writes the outcomes to ``out``.

    ``before(*arguments)``, a function of a module, is called in it first.
    """
    plain = [config.model_dump(mode="json") for config in configs]
    args = (workspace, plain, out, tuple(faults), compute, rank, before, arguments)
    process = CONTEXT.Process(target=_child, args=args)
    process.start()
    return process


def states(outcomes: Sequence[Outcome]) -> list[str]:
    """How runs ended, in order."""
    return [outcome.state for outcome in outcomes]


def outcomes(out: Path) -> list[Outcome]:
    """What a process wrote."""
    return [Outcome(**values) for values in json.loads(out.read_text())]


def start_ranks(
    world: int, workspace: Workspace, configs: Sequence[Config], out: Path, **settings: Any
) -> list[BaseProcess]:
    """``world`` processes that train together; each writes its outcomes to ``out/<rank>``."""
    out.mkdir(parents=True, exist_ok=True)
    port = free_port()
    return [
        start(workspace, configs, out / str(n), rank=Rank(n, world, port), **settings)
        for n in range(world)
    ]


def join(*processes: BaseProcess, timeout: float = 120) -> list[int | None]:
    """Exit codes; a process that does not end is killed, which is an error."""
    for process in processes:
        process.join(timeout)
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
    assert not late, f"{len(late)} of {len(processes)} processes did not end in {timeout} s"
    return [process.exitcode for process in processes]


def lose_while_training(store: Path, seconds: float) -> None:
    """Let a store be away for a while from the fifth step of rank 0 on.

    Call it in a process of its own.
    """
    if os.environ["RANK"] != "0":
        return
    original, steps = Cohort._step, 0
    hidden = store.with_name("hidden")

    def back() -> None:
        time.sleep(seconds)
        hidden.rename(store)

    def stepping(self: Cohort, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 5:
            store.rename(hidden)
            threading.Thread(target=back).start()
        original(self, *args)

    Cohort._step = stepping  # type: ignore[method-assign]


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def train_on_a_small_disk(
    workspace: Workspace, plain: dict[str, Any], kept: Path, out: Path
) -> None:
    """Train with the runs on a file system of 300 kB, then again on a large one.

    Call it in a process of its own.

    Writes both outcomes to ``out`` and copies the runs to ``kept``. Ends with NOT_ALLOWED where it
    may not mount.
    """
    libc = ctypes.CDLL(None)
    folder = os.fsencode(workspace.runs)
    user, group = os.getuid(), os.getgid()
    workspace.runs.mkdir(parents=True)
    # Flags of unshare(2) and mount(2).
    own_mounts, own_users = 0x20000, 0x10000000
    recursive, private, remount = 0x4000, 0x40000, 0x20
    if libc.unshare(own_mounts | own_users):
        os._exit(NOT_ALLOWED)
    process = Path("/proc/self")
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"0 {user} 1")
    (process / "gid_map").write_text(f"0 {group} 1")
    if libc.mount(b"none", b"/", None, recursive | private, None):
        os._exit(NOT_ALLOWED)
    if libc.mount(b"tmpfs", folder, b"tmpfs", 0, b"size=300k"):
        os._exit(NOT_ALLOWED)
    torch.set_num_threads(1)
    with registered():
        results = train(workspace, parse_config(plain), compute=Compute(outage_s=0))
        assert libc.mount(b"tmpfs", folder, b"tmpfs", remount, b"size=100m") == 0
        results += train(workspace, parse_config(plain))
    shutil.copytree(workspace.runs, kept)
    out.write_text(json.dumps([asdict(outcome) for outcome in results]))


def _child(
    workspace: Workspace,
    plain: list[dict[str, Any]],
    out: Path,
    faults: tuple[Fault, ...],
    compute: Compute,
    rank: Rank,
    before: Callable[..., None] | None,
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank.rank), LOCAL_RANK=str(rank.rank), WORLD_SIZE=str(rank.world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(rank.port))
    with registered():
        runs: list[PreparedRun] = [prepare_run(parse_config(values), workspace) for values in plain]
        for fault in faults:
            if fault.rank == rank.rank:
                fault.install()
        if before:
            before(*arguments)
        with ranks_from_environment("cpu") as ranks:
            results = fit(runs, compute, ranks)
    out.write_text(json.dumps([asdict(outcome) for outcome in results]))
