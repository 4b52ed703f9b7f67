"""Helpers of the launcher's tests: a workspace in which one types ``echolm`` commands, and comparable results."""

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
from echolm.heads import HEADS
from echolm.record import RunRecord, find_records, read_lines
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.definition import Cell, load_grid
from grid.plan import Standing, survey

HERE = Path(__file__).parent
PATIENCE_S = 120.0
"""How long a test waits for what must happen; long, because the machine may be busy."""


@contextlib.contextmanager
def faulty_heads() -> Iterator[None]:
    """The heads of the plugin, registered in this process for a while."""
    import faulty_heads

    for cls in faulty_heads.ALL:
        HEADS.register(cls)
    yield
    for cls in faulty_heads.ALL:
        del HEADS._classes[cls.model_fields["name"].default]


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """The first true value of ``true()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


class Shell:
    """``echolm`` commands, as real processes, in one workspace with ``store`` as ``tiny``."""

    def __init__(self, root: Path, store: Path | None) -> None:
        self.root = root
        self.workspace = Workspace(root / "workspace")
        if store:
            self.workspace.store("tiny").parent.mkdir(parents=True)
            self.workspace.store("tiny").symlink_to(store)
        self.healed = root / "healed"

    def slow(self, seconds: float) -> None:
        """How long a step of the head ``slow`` takes from now on, in workers that run already too."""
        (self.root / "new delay").write_text(str(seconds))
        (self.root / "new delay").rename(self.root / "delay")

    def environment(self) -> dict[str, str]:
        """The environment of the commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECHOLM_", "MLFLOW_"))}
        return kept | {
            "ECHOLM_WORKSPACE": str(self.workspace.root), "ECHOLM_PLUGINS": "faulty_heads", "TEST_DELAY": str(self.root / "delay"),
            "TEST_HEALED": str(self.healed), "TEST_TRACE": str(self.root / "trace"), "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        }  # fmt: skip

    def start(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """A command that goes on, in a process group of its own."""
        command = [sys.executable, "-m", "echolm.cli", *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        settings = {"env": self.environment(), "cwd": self.root, "start_new_session": True, **streams, **options}
        return subprocess.Popen(command, text=True, encoding="utf-8", **settings)

    def __call__(self, *words: str | Path, **options: Any) -> Done:
        """Type a command and wait for its end."""
        return ended(self.start(*words, **options))

    def inside(self, *words: str | Path | int, **settings: str | None) -> Done:
        """The same in this process, for commands that start nothing: much faster. ``settings`` of the environment."""
        environment: dict[str, str | None] = {**self.environment(), "ECHOLM_PLUGINS": None, **settings}
        with contextlib.chdir(self.root):
            found = CliRunner().invoke(main, [*map(str, words)], env=environment, prog_name="echolm")
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Done(found.exit_code, found.stdout, found.stderr)

    def grid(self, axes: dict[str, list[Any]], name: str = "toy", **base: Any) -> Path:
        """A grid file. Unless told otherwise: tiny-r3d of which everything trains, 2 epochs of 3 steps."""
        plain = {"data": "tiny", "task": "landmarks", "encoder": "tiny-r3d", "epochs": 2, "batch_size": 5, "trainable": "all"}
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"base": plain | base, "axes": axes}, sort_keys=False))
        return path

    def cells(self, grid: Path) -> list[Cell]:
        """The cells of a grid file."""
        return load_grid(str(grid)).cells

    def standings(self, grid: Path) -> list[Standing]:
        """Where its cells stand."""
        return survey(self.cells(grid), self.workspace)

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
        """How many epochs a cell has behind it."""
        return max((len(record.history()) for record in find_records(self.workspace.runs, cell.id)), default=0)

    def saved(self, cell: Cell) -> int:
        """How many epochs of a cell its checkpoints remember: an epoch is told before its checkpoint is written."""
        return max((record.place()[0] for record in find_records(self.workspace.runs, cell.id)), default=0)

    def workers(self) -> list[psutil.Process]:
        """The worker processes of this workspace that are there, whoever's children they are."""
        return [process for process in psutil.process_iter() if self._is_worker(process)]

    def _is_worker(self, process: psutil.Process) -> bool:
        try:
            words = process.cmdline()  # of a zombie: none
        except psutil.Error:
            return False
        return "cluster.worker" in words and f'"{self.workspace.root}"' in words[-1]

    def traced(self) -> list[dict[str, Any]]:
        """What the training steps of the head ``traced`` noted, each process's in their order."""
        return [line for path in sorted((self.root / "trace").glob("*.jsonl")) for line in read_lines(path, "weights")]

    def trains(self, cell: Cell, attempts: int = 0) -> bool:
        """Whether an attempt of a cell after the first ``attempts`` has begun to train."""
        found = find_records(self.workspace.runs, cell.id)
        numbers = found[0].attempts() if found else []
        return len(numbers) > attempts and any(event["event"] == "started" for event in found[0].events(numbers[-1]))

    def worker_of(self, cell: Cell) -> psutil.Process:
        """The process that holds a cell's newest attempt."""
        from echolm.liveness import read_holder

        record = self.record(cell)
        holder = read_holder(record.attempt_path(record.attempts()[-1]))
        assert holder
        return psutil.Process(holder["pid"])


@dataclass(frozen=True)
class Launched:
    """A workspace after the launch of ``grid``: heads ``mean`` (complete), ``fails`` (failed) and ``missing`` (an
    encoder whose weights are not there). ``launch``: what that command said, with --json."""

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
    """What must be bitwise equal between runs of a cell: metrics, digests of weights and predictions, every epoch."""
    summary = record.summary()
    assert summary is not None, (record.path, record.state())
    return summary["metrics"], summary["files"], [(event["epoch"], event["metrics"]) for event in record.history()]


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
