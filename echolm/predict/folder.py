"""All clips of a folder: a picture each, and one CSV with a row a file.

A file is left out when the CSV has its row, of this run and with frames found the same way, the file still has the
row's size, and its picture is there and not older than the file.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from echolm.data.dicom import is_dicom
from echolm.data.echonet_dynamic import GRID
from echolm.data.tables import Row, RowError, read_rows
from echolm.data.video import read_video
from echolm.data.volume_tracings import TracingError, phases, read_tracings, sample_id
from echolm.errors import EchoLMError, StorageError
from echolm.predict.picture import draw, save
from echolm.predict.plausible import warning
from echolm.predict.predictor import Prediction, Predictor
from echolm.record import write_atomic, writing

TABLE = "predictions.csv"
VIDEOS, DICOM = (".avi",), (".dcm", ".dicom")
SAVE_EVERY_S = 5.0
"""The table is written this often at most, and at the end."""
Ends = Callable[[Path], tuple[int, int] | None]
"""A clip -> its given ED and ES frame, or None: they are to be estimated."""


@dataclass(frozen=True)
class FileRow:
    """What is known of one file. ``phases``: given or estimated; ``agreement`` in 0-1 (estimated only); ``ef`` in
    percent by the method of disks; areas in pixels squared of the file; ``picture``: its name in the folder; ``bytes``:
    the file's size; ``problem``: why there is nothing, "" else; ``warning``: why what there is may be wrong, "" else."""

    file: str
    ed: int | None = None
    es: int | None = None
    phases: str = ""
    agreement: float | None = None
    ef: float | None = None
    area_ed: float | None = None
    area_es: float | None = None
    picture: str = ""
    run: str = ""
    bytes: int | None = None
    problem: str = ""
    warning: str = ""


COLUMNS = tuple(field.name for field in fields(FileRow))


def clips(folder: Path) -> list[Path]:
    """The AVI and DICOM files directly in a folder, by name; hidden ones are left out. EchoLMError: there is none."""
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise EchoLMError(f"{folder}: cannot be read: {error.strerror or error}") from error
    found = sorted(path for path in files if path.suffix.lower() in VIDEOS + DICOM or _dicom_inside(path))
    if not found:
        raise EchoLMError(f"{folder}: no AVI or DICOM file directly in it; valid: a folder of clips (folders inside it are not searched)")
    return found


def _dicom_inside(path: Path) -> bool:
    """Whether a file without an extension, or with a number for one, is DICOM."""
    try:
        return (not path.suffix or path.suffix[1:].isdecimal()) and is_dicom(path)
    except OSError:
        return False


def from_tracings(path: Path) -> Ends:
    """The ends of clips that a VolumeTracings.csv traces: ED is the larger. A clip of it that has not exactly two sound
    tracings is an error when it is asked for."""
    traced = read_tracings(path)

    def ends(clip: Path) -> tuple[int, int] | None:
        found = traced.get(sample_id(clip.name))
        if found is None:
            return None
        try:
            height, width = read_video(clip, [0]).frames.shape[1:]
            size = max(GRID[0], height), max(GRID[1], width)
            of = phases(found, max(found.frames, default=0) + 1, size)  # a frame beyond the video shows when it is read
        except TracingError as error:
            raise EchoLMError(f"{path}:{error.line or found.line}: {sample_id(clip.name)}: {error}") from error
        return of.ed, of.es

    return ends


class Folder:
    """Predictions of a run for clips, in the folder ``out``."""

    def __init__(self, predictor: Predictor, out: Path, ends: Ends, overwrite: bool = False) -> None:
        self.table = out / TABLE
        self._predictor, self._out, self._ends, self._overwrite = predictor, out, ends, overwrite
        self._rows = {} if overwrite else self._stored()
        self._saved = -math.inf

    def predict(self, files: list[Path]) -> Iterator[tuple[FileRow, bool]]:
        """A row a file, and whether it was made now; files that cannot be read have a ``problem``. The table is written
        as it goes on and when this is closed. StorageError: nothing can be written."""
        with writing(self._out):
            self._out.mkdir(parents=True, exist_ok=True)
        try:
            for path in files:
                row = self._there(path)
                yield (row, False) if row else (self._new(path), True)
        finally:
            self._save()

    def _stored(self) -> dict[str, FileRow]:
        if not self.table.exists():
            return {}
        rows = [found for row, reason in read_rows(self.table, COLUMNS[:-1]) if not reason and (found := _parsed(row))]
        if foreign := [row for row in rows if row.run != self._predictor.run]:
            raise EchoLMError(f"{self.table}: holds predictions of run {foreign[0].run}; choose another --out, or add --overwrite")
        return {row.file: row for row in rows}

    def _there(self, path: Path) -> FileRow | None:
        """The row of a file that need not be predicted again."""
        row = self._rows.get(told(path.name))
        if self._overwrite or row is None:
            return None
        try:
            given = self._ends(path)
            asked = given == (row.ed, row.es) if given else row.phases == "estimated"
            here, picture = path.stat(), (self._out / row.picture).stat()
        except (OSError, EchoLMError):
            return None
        return row if asked and here.st_size == row.bytes and picture.st_mtime_ns >= here.st_mtime_ns else None

    def _new(self, path: Path) -> FileRow:
        try:
            ends = self._ends(path)
            found = self._predictor(path, *ends) if ends else self._predictor(path)
            row = self._row(path, found)
            save(draw(found), self._out / row.picture)
        except StorageError:
            raise
        except EchoLMError as error:
            row = FileRow(told(path.name), run=self._predictor.run, problem=told(str(error)))
        self._rows[row.file] = row
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._save()
        return row

    def _row(self, path: Path, found: Prediction) -> FileRow:
        estimate, (ed, es) = found.estimate, found.areas
        return _warned(FileRow(
            told(path.name), *found.numbers, "estimated" if estimate else "given", round(estimate.agreement, 3) if estimate else None,
            round(found.ejection_fraction, 2), round(ed, 1), round(es, 1), f"{told(path.name)}.png", self._predictor.run,
            os.stat(path).st_size,
        ))  # fmt: skip

    def _save(self) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(["" if cell is None else cell for cell in astuple(self._rows[name])] for name in sorted(self._rows))
        write_atomic(self.table, text.getvalue().encode())
        self._saved = time.monotonic()


def _warned(row: FileRow) -> FileRow:
    """The row of a prediction with what is implausible in it."""
    assert row.ef is not None and row.area_ed is not None and row.area_es is not None
    return replace(row, warning=warning(row.ef, (row.area_ed, row.area_es), row.agreement))


def _parsed(row: Row) -> FileRow | None:
    """A row of a prediction; None for one with a problem, and for one that does not read as written."""
    try:
        agreement = row.number("agreement") if row["agreement"] else None
        return None if row["problem"] else _warned(FileRow(
            row["file"], row.integer("ed"), row.integer("es"), row["phases"], agreement, row.number("ef"), row.number("area_ed"),
            row.number("area_es"), row["picture"], row["run"], row.integer("bytes"),
        ))  # fmt: skip
    except RowError:
        return None


def told(name: str) -> str:
    """A name, or a text with one, as the table has it: bytes that are no UTF-8 as ``\\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
