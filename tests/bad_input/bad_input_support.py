"""How a bad input is made from a good one, how a command is typed, and what it left behind."""

from __future__ import annotations

import csv
import ctypes
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from echolm.cli import main
from tests import warm

RUN = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k0",
    "head": "mlp",
    "epochs": 1,
}
"""A good run: complete in the workspace of every test."""


class Place:
    """A folder with good inputs, for one test to damage, and their names in the table of cases.

    ``root``: the folder. ``source``: 12 phantom clips; ``sample`` is the one in line 3 of the file
    list and lines 44
    to 85 of the tracings. ``workspace``: ``store`` made of them, one complete run (of ``cell``, in
    ``record``) of the configuration file ``run``, and the file ``grid`` of four cells with that run
    among them, launched and collected.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounted: list[Path] = []
        self.names = {
            "root": root,
            "source": root / "source",
            "workspace": root / "workspace",
            "store": root / "workspace/data/phantom",
            "run": root / "run.yaml",
            "grid": root / "grid.yaml",
        }
        rows = (
            (root / "source/FileList.csv").read_text().splitlines()
            if (root / "source").exists()
            else []
        )
        records = [path.parent for path in (root / "workspace/runs").glob("*/*/summary.json")]
        if rows and records:
            self.names |= {
                "sample": rows[2].split(",")[0],
                "record": records[0],
                "cell": records[0].parent.name,
            }

    def __call__(self, text: str) -> str:
        """``text`` with the names in braces replaced."""
        return re.sub(r"\{(\w+)\}", lambda match: str(self.names.get(match[1], match[0])), text)

    def path(self, text: str) -> Path:
        """A path with names in braces."""
        return Path(self(text))

    def events(self) -> list[Path]:
        """The events of the first attempts of all runs."""
        return sorted(self.path("{workspace}/runs").glob("*/*/attempts/1/events.jsonl"))


Make = Callable[[Place], Any]
"""Makes a bad input in a place of good ones."""


def write(path: str, content: str | bytes) -> Make:
    """A file with this content; names in braces in a text are replaced."""

    def make(place: Place) -> None:
        target = place.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else place(content).encode())

    return make


def change(path: str, edit: Callable[[bytes], bytes]) -> Make:
    """A file with other bytes."""
    return lambda place: place.path(path).write_bytes(edit(place.path(path).read_bytes()))


def swap(path: str, old: str, new: str) -> Make:
    """A text file in which ``old``, which must be there, is ``new``."""

    def edit(content: bytes) -> bytes:
        assert old.encode() in content, (path, old)
        return content.replace(old.encode(), new.encode())

    return change(path, edit)


def cut(path: str, share: float = 0.5) -> Make:
    """The first part of a file, as an interrupted copy leaves it."""
    return change(path, lambda content: content[: int(len(content) * share)])


def remove(path: str) -> Make:
    """A file or folder that is not there."""

    def make(place: Place) -> None:
        target = place.path(path)
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return make


def folder(path: str) -> Make:
    """A folder, in the place of what was there."""

    def make(place: Place) -> None:
        if place.path(path).exists():
            remove(path)(place)
        place.path(path).mkdir(parents=True)

    return make


def link(path: str, target: str) -> Make:
    """A symbolic link, in the place of what was there."""

    def make(place: Place) -> None:
        remove(path)(place)
        place.path(path).symlink_to(place(target))

    return make


def mode(path: str, bits: int) -> Make:
    """A file or folder with other permissions."""
    return lambda place: place.path(path).chmod(bits)


def steps(*makes: Make) -> Make:
    """One after another."""
    return lambda place: [make(place) for make in makes]


def ran(command: str, status: int = 0) -> Make:
    """A command that was typed before, with its exit status."""

    def make(place: Place) -> None:
        done = typed(command, place)
        assert done.status == status, done

    return make


def cell(table: str, line: int, column: str, value: str) -> Make:
    """A CSV file of ``source`` with one other value; line 1 is the header."""

    def edit(table_rows: list[list[str]]) -> list[list[str]]:
        table_rows[line - 1][table_rows[0].index(column)] = value
        return table_rows

    return rows(table, edit)


def rows(table: str, edit: Callable[[list[list[str]]], list[list[str]]]) -> Make:
    """A CSV file of ``source`` with other rows; the header is the first."""

    def make(place: Place) -> None:
        path = place.path("{source}") / table
        with open(path, encoding="utf-8", newline="") as file:
            edited = [[place(value) for value in row] for row in edit(list(csv.reader(file)))]
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(edited)

    return make


def avi(
    path: str, codec: str = "mjpeg", pixels: str = "yuvj420p", frames: int = 60, size: int = 112
) -> Make:
    """A video of black frames."""

    def make(place: Place) -> None:
        import av

        with av.open(str(place.path(path)), "w", format="avi") as container:
            stream = container.add_stream(codec, rate=50)
            stream.width, stream.height, stream.pix_fmt = size, size, pixels
            container.start_encoding()
            for _ in range(frames):
                black = av.VideoFrame.from_ndarray(np.zeros((size, size), np.uint8), format="gray")
                container.mux(stream.encode(black.reformat(format=pixels)))
            container.mux(stream.encode(None))

    return make


def picture(path: str, mode: str) -> Make:
    """A black PNG picture of 112 x 112 pixels; ``mode`` is pillow's name of its kind of pixels."""
    from PIL import Image

    return lambda place: Image.new(mode, (112, 112)).save(place.path(path), "PNG")


def dicom(path: str, **fields: Any) -> Make:
    """pydicom's echocardiogram of 30 frames with other fields."""

    def make(place: Place) -> None:
        import pydicom
        from pydicom.data import get_testdata_file

        dataset = pydicom.dcmread(str(get_testdata_file("examples_ybr_color.dcm")))
        for name, value in fields.items():
            setattr(dataset, name, value)
        dataset.save_as(place.path(path))

    return make


def config(**changes: Any) -> Make:
    """The configuration of the good run with other fields (None: without the field), in ``run``."""
    return write(
        "{run}",
        _yaml({name: value for name, value in (RUN | changes).items() if value is not None}),
    )


def grid(axes: dict[str, list[Any]]) -> Make:
    """A grid of the good run with these axes, in ``grid``; with a table if ``head`` is an axis."""
    base = {name: value for name, value in RUN.items() if name not in axes}
    columns = [{"metric": "dice", "slot": slot, "label": f"Dice {slot}"} for slot in ("ED", "ES")]
    tables = (
        {"main": {"title": "LV landmarks", "rows": ["head"], "columns": columns}}
        if "head" in axes
        else {}
    )
    return write("{grid}", _yaml({"base": base, "axes": axes, "tables": tables}))


def _yaml(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False)


class Payload:
    """Unpickling it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.mark, "the code ran")


def code(path: str) -> Make:
    """A pickle that writes the file ``the-code-ran`` when it is loaded."""
    return lambda place: place.path(path).write_bytes(
        pickle.dumps(Payload(place.root / "the-code-ran"), 2)
    )


def holder_gone(place: Place) -> None:
    """The process that held the run, this one, has ended."""
    path = place.path("{record}/attempts/1/holder.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "0"}))


def uncollected(place: Place) -> None:
    """An empty tracking database and no results: nothing has been collected."""
    shutil.rmtree(place.path("{workspace}/results"))
    shutil.rmtree(place.path("{workspace}/mlflow"))
    place.path("{workspace}/mlflow").mkdir()
    shutil.copyfile(place.path("{root}/empty.db"), place.path("{workspace}/mlflow/mlflow.db"))


def weights(encoder: str, path: str) -> Make:
    """A new encoder's state dict."""

    def make(place: Place) -> None:
        import torch

        from echolm.encoders import ENCODERS

        place.path(path).parent.mkdir(exist_ok=True)
        torch.save(ENCODERS.parse(encoder).build(None).state_dict(), place.path(path))

    return make


def tensors(path: str, values: dict[str, float]) -> Make:
    """A state dict of scalars."""

    def make(place: Place) -> None:
        import torch

        torch.save({name: torch.tensor(value) for name, value in values.items()}, place.path(path))

    return make


def small_disk(path: str, size: str) -> Make:
    """A file system of so many bytes in the place of a folder.

    The test is skipped where mounting is not allowed.
    """

    def make(place: Place) -> None:
        target = place.path(path)
        target.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(target)]
        if subprocess.run(words, capture_output=True).returncode:
            pytest.skip("mounting a small file system is not allowed here")
        place.mounted.append(target)

    return make


@dataclass(frozen=True)
class Done:
    """What a command printed, its exit status, and what it raised that no user should see."""

    status: int
    out: str
    err: str
    raised: BaseException | None = None


def typed(command: str, place: Place) -> Done:
    """Type a command: ``echolm ...``, with ``NAME=value`` before it.

    With ``ECHOLM_PLUGINS`` it is a process of its own, because plugins are read once a process;
    else it is a call.
    """
    words = [place(word) for word in shlex.split(command)]
    start = words.index("echolm")
    environment = {
        name: value for name, _, value in (word.partition("=") for word in words[:start])
    }
    given = {"ECHOLM_WORKSPACE": str(place.path("{workspace}")), "ECHOLM_OUTAGE_S": "0"}
    environment = given | environment
    arguments = words[start + 1 :]
    if "ECHOLM_PLUGINS" in environment:
        program = [warm.python(), "-m", "echolm.cli", *arguments]
        done = subprocess.run(program, env=os.environ | environment, capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)
    is_launch = arguments[:1] in (["launch"], ["search"])
    workers = warm.workers() if is_launch else nullcontext()
    with workers, unprivileged():
        result = CliRunner().invoke(main, arguments, env=environment, prog_name="echolm")
    raised = None if isinstance(result.exception, SystemExit) else result.exception
    return Done(result.exit_code, result.stdout, result.stderr, raised)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to read and write every file: permissions count."""
    libc, header, sets = (
        ctypes.CDLL(None),
        (ctypes.c_uint32 * 2)(0x20080522, 0),
        (ctypes.c_uint32 * 6)(),
    )
    libc.capget(header, sets)
    effective = sets[0]
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    libc.capset(header, sets)
    try:
        yield
    finally:
        sets[0] = effective
        libc.capset(header, sets)


def listing(root: Path) -> dict[str, str]:
    """Every path under a folder with what it is.

    That is a link's target, ``folder``, or a file's number, size and time. What Python compiles of
    plugins does not count.
    """
    listed = {}
    for path in sorted(root.rglob("*")):
        if "__pycache__" not in path.parts:
            listed[path.relative_to(root).as_posix()] = _what(path)
    return listed


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    status = path.stat()
    return "folder" if path.is_dir() else f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def differences(
    before: dict[str, str], after: dict[str, str], allowed: tuple[str, ...]
) -> list[str]:
    """Paths that appeared, went or changed, but for the allowed ones and new folders that hold
    these.

    Files under a temporary name are never allowed. The workspace's cache is always.
    """
    allowed = (*allowed, "workspace/cache", "workspace/cache/*")
    paths = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    kept = [
        path
        for path in paths
        if any(fnmatch(path, pattern) for pattern in allowed) and not path.endswith(".tmp")
    ]
    return [
        path
        for path in paths
        if path not in kept and not any(file.startswith(f"{path}/") for file in kept)
    ]


def told(done: Done) -> list[str]:
    """The lines of standard error, without progress and the usage that precedes an error."""
    return [
        line
        for line in done.err.splitlines()
        if line and not line.startswith(("decoding: ", "Usage: ", "Try "))
    ]
