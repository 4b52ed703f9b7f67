"""All clips of a folder: a picture each, and one CSV with a row a file.

A file's name is its path in the folder that was searched, and its picture lies at that path in the
folder of the predictions. So files of one name in two folders have two pictures.

A file is left out when the CSV has its row, of this run and with frames found the same way, the
file still has the row's size, and its picture is there and not older than the file.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.echonet_dynamic import GRID
from echolm.datasets.volume_tracings import TracingError, phases, read_tracings, sample_id
from echolm.errors import EchoLMError, StorageError
from echolm.files import write_atomic, writing
from echolm.media.read import read_video
from echolm.predict.contours import ContourPrediction, ContourPredictor
from echolm.predict.picture import draw, save
from echolm.predict.plausibility import implausible, warnings_about

TABLE = "predictions.csv"
SAVE_EVERY_S = 5.0
"""The table is written this often at most, and at the end."""
Ends = Callable[[Path], tuple[int, int] | None]
"""A clip -> its given ED and ES frame, or None: they are to be estimated."""


@dataclass(frozen=True)
class FileRow:
    """What is known of one file."""

    file: str
    """Its path in the folder that was searched."""
    ed: int | None = None
    es: int | None = None
    phases: str = ""
    """``given`` or ``estimated``."""
    agreement: float | None = None
    """In 0-1. Of estimated phases only."""
    ef: float | None = None
    """In percent, by the method of disks."""
    area_ed: float | None = None
    """In pixels squared of the file."""
    area_es: float | None = None
    picture: str = ""
    """Its path in the folder of the predictions."""
    run: str = ""
    bytes: int | None = None
    """The file's size."""
    problem: str = ""
    """Why there is nothing. Empty when there is something."""
    warning: str = ""
    """Why what there is may be wrong. Empty without a reason."""
    trained_on: str = ""
    """What the run was trained on, in one line."""


COLUMNS = tuple(field.name for field in fields(FileRow))
NEEDED = COLUMNS[: COLUMNS.index("warning")]
"""Columns that tables of earlier versions have too."""


def from_tracings(path: Path) -> Ends:
    """Return the ends of clips that a VolumeTracings.csv traces. ED is the larger.

    A clip of it that has not exactly two sound tracings is an error when it is asked for.
    """
    tracings_of = read_tracings(path)

    def ends(clip: Path) -> tuple[int, int] | None:
        tracings = tracings_of.get(sample_id(clip.name))
        if tracings is None:
            return None
        # A frame beyond the video shows when it is read.
        count = max(tracings.frames, default=0) + 1
        try:
            height, width = read_video(clip, [0], any_codec=True).frames.shape[1:]
            traced = phases(tracings, count, (GRID, (height, width)))
        except TracingError as error:
            line = error.line or tracings.line
            raise EchoLMError(f"{path}:{line}: {sample_id(clip.name)}: {error}") from error
        return traced.ed, traced.es

    return ends


class Folder:
    """Predictions of a run for clips, in one folder.

    Args:
        predictor: of the run.
        source: the folder that was searched for clips.
        out: where the table and the pictures are.
        ends: which frames of a clip are given.
        overwrite: whether to predict again what is there.
    """

    def __init__(
        self,
        predictor: ContourPredictor,
        source: Path,
        out: Path,
        ends: Ends,
        overwrite: bool = False,
    ) -> None:
        self.table = out / TABLE
        self._predictor = predictor
        self._source = source
        self._out = out
        self._ends = ends
        self._overwrite = overwrite
        self._rows = {} if overwrite else self._stored()
        self._saved = -math.inf

    def predict(self, files: list[Path]) -> Iterator[tuple[FileRow, bool]]:
        """Yield a row a file, and whether it was made now.

        Rows of files that cannot be read have a ``problem``. The table is written as it goes on and
        when this is closed.

        Raises:
            StorageError: when nothing can be written.
        """
        with writing(self._out):
            self._out.mkdir(parents=True, exist_ok=True)
        try:
            for path in files:
                row = self._there(path)
                if row is not None:
                    yield row, False
                else:
                    yield self._new(path), True
        finally:
            self._save()

    def _stored(self) -> dict[str, FileRow]:
        if not self.table.exists():
            return {}
        rows = {}
        for csv_row, reason in read_rows(self.table, NEEDED):
            row = None if reason else _parsed(csv_row, self._predictor.trained_on.sentence)
            if row is None:
                continue
            if row.run != self._predictor.run:
                raise EchoLMError(
                    f"{self.table}: holds predictions of run {row.run}; "
                    "choose another --out, or add --overwrite"
                )
            rows[row.file] = row
        return rows

    def _there(self, path: Path) -> FileRow | None:
        """Return the row of a file that need not be predicted again."""
        row = self._rows.get(self._name(path))
        if self._overwrite or row is None:
            return None
        try:
            ends = self._ends(path)
            clip, picture = path.stat(), (self._out / row.picture).stat()
        except (OSError, EchoLMError):
            return None
        if ends is None and row.phases != "estimated":
            return None
        if ends is not None and ends != (row.ed, row.es):
            return None
        if clip.st_size != row.bytes or picture.st_mtime_ns < clip.st_mtime_ns:
            return None
        return row

    def _new(self, path: Path) -> FileRow:
        try:
            ends = self._ends(path)
            prediction = self._predictor(path, *ends) if ends else self._predictor(path)
            row = self._row(path, prediction)
            picture = draw(prediction, self._predictor.trained_on.note)
            save(picture, self._out / row.picture)
        except StorageError:
            raise
        except EchoLMError as error:
            row = FileRow(self._name(path), run=self._predictor.run, problem=escaped(str(error)))
        self._rows[row.file] = row
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._save()
        return row

    def _name(self, path: Path) -> str:
        return escaped(path.relative_to(self._source).as_posix())

    def _row(self, path: Path, prediction: ContourPrediction) -> FileRow:
        name = self._name(path)
        ed, es = prediction.numbers
        area_ed, area_es = prediction.areas
        agreement = None
        if prediction.estimate:
            agreement = round(prediction.estimate.agreement, 3)
        return FileRow(
            file=name,
            ed=ed,
            es=es,
            phases="estimated" if prediction.estimate else "given",
            agreement=agreement,
            ef=round(prediction.ejection_fraction, 2),
            area_ed=round(area_ed, 1),
            area_es=round(area_es, 1),
            picture=f"{name}.png",
            run=self._predictor.run,
            bytes=os.stat(path).st_size,
            warning=warnings_about(prediction),
            trained_on=self._predictor.trained_on.sentence,
        )

    def _save(self) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        for name in sorted(self._rows):
            values = astuple(self._rows[name])
            table.writerow(["" if value is None else value for value in values])
        write_atomic(self.table, text.getvalue().encode())
        self._saved = time.monotonic()


def _parsed(row: CsvRow, trained_on: str) -> FileRow | None:
    """Read the row of a prediction.

    A table of an earlier version has no column ``trained_on``. Its warning, if it has one, knew the
    numbers alone, and is made anew of them.

    Args:
        row: of the table.
        trained_on: what the run was trained on.

    Returns:
        None for a row with a problem, and for one that does not read as written.
    """
    try:
        if row["problem"]:
            return None
        agreement = row.number("agreement") if row["agreement"] else None
        ef, area_ed, area_es = (row.number(name) for name in ("ef", "area_ed", "area_es"))
        warning = row.get("warning", "")
        if "trained_on" not in row:
            warning = implausible(ef, (area_ed, area_es), agreement)
        return FileRow(
            file=row["file"],
            ed=row.integer("ed"),
            es=row.integer("es"),
            phases=row["phases"],
            agreement=agreement,
            ef=ef,
            area_ed=area_ed,
            area_es=area_es,
            picture=row["picture"],
            run=row["run"],
            bytes=row.integer("bytes"),
            warning=warning,
            trained_on=trained_on,
        )
    except RowError:
        return None


def escaped(name: str) -> str:
    r"""Spell a text as the table has it: bytes of a name that are no UTF-8 as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
