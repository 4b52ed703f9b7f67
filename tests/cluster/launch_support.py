"""Helpers of the launcher's tests: a workspace for ``echolm`` commands, and comparable results."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from click.testing import CliRunner

from echolm.cli import main
from echolm.files import read_lines
from echolm.heads import HEADS
from echolm.objectives import OBJECTIVES
from echolm.record import RunRecord, find_records
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Cell, load_grid
from grid.plan import CellStatus, cell_statuses
from tests import warm

HERE = Path(__file__).parent
PATIENCE_S = 400.0
"""How long a test waits for what must happen.

It ends a test that hangs, and judges no speed: a busy machine has been five times slower.
"""


STARTING = ("launch", "retry", "search")
"""Commands that start workers."""


@contextlib.contextmanager
def faulty_heads() -> Iterator[None]:
    """The heads of the plugin, registered in this process for a while."""
    import faulty_heads
    import faulty_objectives

    for cls in faulty_heads.ALL:
        HEADS.register(cls)
    OBJECTIVES.register(faulty_objectives.Recall)
    yield
    for cls in faulty_heads.ALL:
        del HEADS._classes[cls.model_fields["name"].default]
    del OBJECTIVES._classes["recall"]


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """The first true value of ``true()``. Looking takes a quarter of one core at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        value = true()
        if value:
            return value
        time.sleep(max(0.03, 3 * (time.monotonic() - began)))
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


class Shell:
    """``echolm`` commands, as real processes, in one workspace with ``store`` as ``tiny``."""

    is_warm = True
    """Whether its commands are forks of ``tests.warm``."""

    def __init__(self, root: Path, store: Path | None) -> None:
        self.root = root
        self.workspace = Workspace(root / "workspace")
        if store:
            self.workspace.store("tiny").parent.mkdir(parents=True)
            self.workspace.store("tiny").symlink_to(store)
        self.healed = root / "healed"

    def slow(self, seconds: float, from_step: int = 1) -> None:
        """Set how long a step of the head ``slow`` takes, in workers that run already too.

        A test that waits until several cells have come to a step lets them pass it at once and then
        makes them slow (``from_step``). Else the first could be complete before the last begins.
        """
        (self.root / "new delay").write_text(f"{seconds} {from_step}")
        (self.root / "new delay").rename(self.root / "delay")

    def environment(self) -> dict[str, str]:
        """The environment of the commands."""
        kept = dict(os.environ)
        for name in os.environ:
            if name.startswith(("ECHOLM_", "MLFLOW_")):
                del kept[name]
        return kept | {
            "ECHOLM_WORKSPACE": str(self.workspace.root),
            "ECHOLM_PLUGINS": "faulty_heads",
            "TEST_DELAY": str(self.root / "delay"),
            "TEST_HEALED": str(self.healed),
            "TEST_TRACE": str(self.root / "trace"),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        }

    def start(
        self, *words: str | Path, cold: bool = False, **options: Any
    ) -> subprocess.Popen[str]:
        """A command that goes on, in a process group of its own.

        Its imports are those of ``tests.warm``. A ``cold`` one makes its own, as do those of Ray
        and SLURM: for tests of signals, and where other machines start the same Python. Collection
        starts nothing anywhere.
        """
        is_forked = self.is_warm or words[0] == "collect"
        makes_imports = cold or not is_forked or {"ray", "slurm"} & set(words)
        python = sys.executable if makes_imports else warm.python()
        command = [python, "-m", "echolm.cli", *map(str, words)]
        streams = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
        }
        settings = {
            "env": self.environment(),
            "cwd": self.root,
            "start_new_session": True,
            **streams,
            **options,
        }
        return subprocess.Popen(command, text=True, encoding="utf-8", **settings)

    def __call__(self, *words: str | Path, **options: Any) -> Done:
        """Type a command and wait for its end."""
        return ended(self.start(*words, **options))

    def inside(self, *words: str | Path | int, **settings: str | None) -> Done:
        """Type a command in this process, which is much faster, if it starts nothing.

        ``settings`` are of the environment.
        """
        environment: dict[str, str | None] = {
            **self.environment(),
            "ECHOLM_PLUGINS": None,
            **settings,
        }
        typed = [str(word) for word in words]
        is_forked = self.is_warm and words[0] in STARTING and not {"ray", "slurm"} & set(typed)
        workers = warm.workers() if is_forked else contextlib.nullcontext()
        with contextlib.chdir(self.root), workers:
            result = CliRunner().invoke(main, typed, env=environment, prog_name="echolm")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def grid(self, axes: dict[str, list[Any]], name: str = "toy", **base: Any) -> Path:
        """Write a grid file.

        Unless told otherwise: tiny-r3d of which everything trains, 2 epochs of 3 steps.
        """
        plain = {
            "data": "tiny",
            "task": "landmarks",
            "encoder": "tiny-r3d",
            "epochs": 2,
            "batch_size": 5,
            "trainable": "all",
        }
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"base": plain | base, "axes": axes}, sort_keys=False))
        return path

    def stages(
        self,
        name: str = "toy",
        objective: str | dict[str, Any] = "recall",
        heads: tuple[Any, ...] = ("mean", {"name": "mlp", "width": 16}),
        epochs: int = 1,
        **blocks: Any,
    ) -> Path:
        """Write a grid of two stages: one pretraining, and frozen cells that begin from it.

        ``blocks`` are added to the subgrids, or to those of the same name.
        """
        common = {"data": "tiny", "encoder": "tiny-r3d", "epochs": epochs, "batch_size": 5}
        first = {
            "base": {"kind": "pretrain", "objective": objective, **common},
            "axes": {"seed": [0]},
        }
        then = {
            "base": {
                "task": "landmarks",
                "trainable": "k0",
                "weights": {"of": "first", "where": {"seed": 0}},
                **common,
            },
            "axes": {"head": list(heads)},
        }
        subgrids: dict[str, Any] = {"then": then, "first": first}
        for block, content in blocks.items():
            subgrids[block] = {**subgrids.get(block, {}), **content}
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"subgrids": subgrids}, sort_keys=False))
        return path

    def cells(self, grid: Path) -> list[Cell]:
        """The cells of a grid file."""
        return load_grid(str(grid)).cells

    def standings(self, grid: Path) -> list[CellStatus]:
        """Where its cells stand."""
        return cell_statuses(self.cells(grid), self.workspace)

    def states(self, grid: Path) -> list[str]:
        """The states of its cells."""
        return [standing.state.name for standing in self.standings(grid)]

    def record(self, cell: Cell) -> RunRecord:
        """The one record of a cell that has been run."""
        [record] = find_records(self.workspace.runs, cell.id)
        return record

    def attempts(self, grid: Path) -> list[int]:
        """How many attempts each cell has had."""
        return [len(self.record(cell).attempts()) for cell in self.cells(grid)]

    def epochs(self, cell: Cell) -> int:
        """Count the epochs that a cell has behind it."""
        records = find_records(self.workspace.runs, cell.id)
        return max((len(record.history()) for record in records), default=0)

    def saved(self, cell: Cell) -> int:
        """Count the epochs of a cell that its checkpoints remember.

        An epoch is told before its checkpoint is written.
        """
        records = find_records(self.workspace.runs, cell.id)
        return max((record.checkpoint_position()[0] for record in records), default=0)

    def workers(self) -> list[psutil.Process]:
        """The worker processes of this workspace that are there, whoever's children they are.

        Their server is one of them: it is what they were forked from.
        """
        return [process for process in psutil.process_iter() if self._is_worker(process)]

    def _is_worker(self, process: psutil.Process) -> bool:
        """Whether its errors are written to a log of the workspace's workers."""
        try:
            log = os.readlink(f"/proc/{process.pid}/fd/2")  # of a zombie: none
        except OSError:
            return False
        return Path(log).is_relative_to(self.workspace.root / "grids")

    def traced(self) -> list[dict[str, Any]]:
        """What the training steps of the head ``traced`` noted, each process's in their order."""
        lines = []
        for path in sorted((self.root / "trace").glob("*.jsonl")):
            lines += read_lines(path, "weights")
        return lines

    def trains(self, cell: Cell, attempts: int = 0) -> bool:
        """Whether an attempt of a cell after the first ``attempts`` has begun to train."""
        for record in find_records(self.workspace.runs, cell.id)[:1]:
            numbers = record.attempts()
            if len(numbers) > attempts:
                events = record.events(numbers[-1])
                return any(event["event"] == "started" for event in events)
        return False

    def worker_of(self, cell: Cell) -> psutil.Process:
        """The process that holds a cell's newest attempt."""
        from echolm.liveness import read_holder

        record = self.record(cell)
        holder = read_holder(record.attempt_path(record.attempts()[-1]))
        assert holder
        return psutil.Process(holder["pid"])


@dataclass(frozen=True)
class Launched:
    """A workspace after the launch of ``grid``.

    Its cells are the heads ``mean`` (complete), ``fails`` (failed) and ``missing`` (an encoder
    whose weights are not there). ``launch`` is what that command said, with --json.
    """

    shell: Shell
    grid: Path
    launch: Done
    cells: dict[str, Cell]


def ended(process: subprocess.Popen[str]) -> Done:
    """A started command when it has ended; killed when it does not."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"does not end: {process.args}\n{out}\n{err}") from None
    return Done(process.returncode, out or "", err or "")


def result(record: RunRecord) -> tuple[Any, ...]:
    """What must be bitwise equal between runs of a cell.

    Metrics, digests of weights and predictions, every epoch.
    """
    summary = record.summary()
    assert summary is not None, (record.path, record.state())
    return (
        summary["metrics"],
        summary["files"],
        [(event["epoch"], event["metrics"]) for event in record.history()],
    )


class Reference:
    """Results of undisturbed runs, each trained once, alone, in this process."""

    def __init__(self, store: Path, root: Path) -> None:
        self._shell = Shell(root, store)
        self._results: dict[str, tuple[Any, ...]] = {}

    def __call__(self, cell: Cell) -> tuple[Any, ...]:
        """The result of a cell."""
        if cell.id not in self._results:
            run = prepare_run(cell.config, self._shell.workspace)
            [outcome] = fit([run])
            assert outcome.state == "complete", outcome
            self._results[cell.id] = result(run.record)
        return self._results[cell.id]
