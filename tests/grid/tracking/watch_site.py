"""A workspace whose runs a test holds, and waiting for what others do in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner, Result
from tracking_support import Records

from echolm.attempt import Attempt
from echolm.cli.collect import collect
from echolm.workspace import Workspace

PATIENCE_S = 240.0


class Site:
    """A workspace with a launched grid of three cells whose runs are held by this process."""

    def __init__(self, root: Path, template: Path) -> None:
        self.workspace = Workspace(root)
        self.database = root / "mlflow" / "mlflow.db"
        self.records = Records(self.workspace.runs)
        self.attempts: list[Attempt] = [self.records.start(seed=seed) for seed in range(3)]
        self.database.parent.mkdir(parents=True)
        shutil.copyfile(template, self.database)
        self.launched("smoke", self.attempts)
        self.looks = 0
        """Looks of a watch that have ended, but for the first."""

    def launched(self, grid: str, attempts: list[Attempt]) -> None:
        cells = {
            a.record.identity()["cell"]: {"coordinates": {"head": "gcn", "seed": str(n)}}
            for n, a in enumerate(attempts)
        }
        path = self.workspace.grids / grid / "cells.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"grid": grid, "cells": cells}))

    def collected(self, grid: str = "smoke") -> int:
        """Runs in results/."""
        with suppress(OSError):
            return int(pq.read_metadata(self.workspace.results(grid) / "runs.parquet").num_rows)
        return 0

    def wait_for_looks(self, number: int) -> None:
        """Wait until so many more looks have ended, after the one at hand."""
        seen = self.looks
        until(lambda: self.looks > seen + number)

    def watch(self, during: Callable[[], None], *arguments: str) -> Result:
        """Watch while ``during`` happens in a thread; its error is the test's."""
        errors: list[BaseException] = []

        def act() -> None:
            try:
                during()
            except BaseException as error:
                errors.append(error)
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=act)
        thread.start()
        words = ["--watch", "--every", "0.1", *arguments]
        result = CliRunner().invoke(collect, words, obj=self.workspace, catch_exceptions=False)
        thread.join()
        if errors:
            raise AssertionError(result.output) from errors[0]
        return result


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
