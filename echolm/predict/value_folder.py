"""Values or classes of all clips of a folder: one CSV with a row an item.

An item is a file, or the pictures of a study (``pictures.py``). It is left out when the CSV has its
row, of this run and of as many files, and the files have the row's size and are not younger than
the CSV.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.errors import EchoLMError, StorageError
from echolm.files import write_atomic, writing
from echolm.predict.folder import SAVE_EVERY_S, TABLE, Ends, escaped
from echolm.predict.pictures import PredictItem
from echolm.predict.values import ValuePrediction, ValuePredictor

PROBABILITY = "probability of "
"""What the name of a column begins with that holds the probability of a class."""
FIRST = ("file", "target", "value", "unit", "class")
LAST = ("files", "passes", "run", "bytes", "problem", "warning", "trained_on")


@dataclass(frozen=True)
class ValueRow:
    """What is known of one item."""

    file: str
    """Its path in the folder that was searched: of its file, its folder or its study."""
    target: str
    value: float | None = None
    unit: str = ""
    most_likely: str = ""
    """The most probable class. In the table the column is called ``class``."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Class -> its probability. In the table each class has a column."""
    files: int | None = None
    """How many files it is. None: one, as in tables of earlier versions."""
    passes: int | None = None
    """Clips whose outputs were averaged."""
    run: str = ""
    bytes: int | None = None
    """The size of its files."""
    problem: str = ""
    """Why there is nothing. Empty when there is something."""
    warning: str = ""
    """Why what there is may be wrong. Empty without a reason."""
    trained_on: str = ""
    """What the run was trained on, in one line."""

    def cells(self, classes: tuple[str, ...]) -> list[object]:
        """Return the cells of the table, in the order of its columns."""
        first = [self.file, self.target, self.value, self.unit, self.most_likely]
        shares = [self.probabilities.get(name) for name in classes]
        seen = [self.files, self.passes, self.run, self.bytes]
        remarks = [self.problem, self.warning, self.trained_on]
        return ["" if cell is None else cell for cell in [*first, *shares, *seen, *remarks]]


class ValueFolder:
    """Predictions of a run for clips, in one table.

    Args:
        predictor: of the run.
        source: the folder that was searched for clips.
        out: where the table is.
        ends: ED and ES of a clip, where the run needs them.
        overwrite: whether to predict again what is there.
    """

    def __init__(
        self,
        predictor: ValuePredictor,
        source: Path,
        out: Path,
        ends: Ends,
        overwrite: bool = False,
    ) -> None:
        self.table = out / TABLE
        self._predictor = predictor
        self._source = source
        self._ends = ends
        self._classes = predictor.class_names
        self._rows: dict[str, ValueRow] = {}
        self._made_ns = 0
        if not overwrite and self.table.exists():
            self._made_ns = self.table.stat().st_mtime_ns
            self._rows = self._stored()
        self._saved = -math.inf

    def predict(self, items: Sequence[PredictItem]) -> Iterator[tuple[ValueRow, bool]]:
        """Yield a row an item, and whether it was made now.

        Rows of items that cannot be read have a ``problem``. The table is written as it goes on and
        when this is closed.

        Raises:
            StorageError: when nothing can be written.
        """
        with writing(self.table.parent):
            self.table.parent.mkdir(parents=True, exist_ok=True)
        self._forget_other_items(items)
        try:
            for item in items:
                row = self._there(item)
                if row is not None:
                    yield row, False
                else:
                    yield self._new(item), True
        finally:
            self._save()

    def _forget_other_items(self, items: Sequence[PredictItem]) -> None:
        """Leave out rows of a call that took the same pictures in other ways."""
        names = {escaped(item.name) for item in items}
        joined: set[str] = set()
        for item in items:
            if len(item.files) > 1:
                joined.update(escaped(_place(file, self._source)) for file in item.files)
        for name, row in list(self._rows.items()):
            is_of_more = row.files is not None and row.files > 1
            if name not in names and (name in joined or is_of_more):
                del self._rows[name]

    def _columns(self) -> list[str]:
        return [*FIRST, *(f"{PROBABILITY}{name}" for name in self._classes), *LAST]

    def _stored(self) -> dict[str, ValueRow]:
        """Read the rows of a table, which must be of this run."""
        rows = {}
        for csv_row, reason in read_rows(self.table, ("file", "run", "problem")):
            if reason or csv_row["problem"]:
                continue
            if csv_row["run"] != self._predictor.run:
                raise EchoLMError(
                    f"{self.table}: holds predictions of run {csv_row['run']}; "
                    "choose another --out, or add --overwrite"
                )
            row = self._parsed(csv_row)
            if row is not None:
                rows[row.file] = row
        return rows

    def _parsed(self, row: CsvRow) -> ValueRow | None:
        """Read the row of a prediction, None for one that does not read as written."""
        try:
            shares = {name: row.number(f"{PROBABILITY}{name}") for name in self._classes}
            return ValueRow(
                file=row["file"],
                target=row["target"],
                value=row.number("value") if row["value"] else None,
                unit=row["unit"],
                most_likely=row["class"],
                probabilities=shares,
                files=row.integer("files") if row.get("files") else None,
                passes=row.integer("passes"),
                run=row["run"],
                bytes=row.integer("bytes"),
                warning=row["warning"],
                trained_on=self._predictor.trained_on.sentence,
            )
        except (RowError, KeyError):
            return None

    def _there(self, item: PredictItem) -> ValueRow | None:
        """Return the row of an item that need not be predicted again."""
        row = self._rows.get(escaped(item.name))
        if row is None or row.problem or (row.files or 1) != len(item.files):
            return None
        try:
            statuses = [file.stat() for file in item.files]
        except OSError:
            return None
        size = sum(status.st_size for status in statuses)
        newest = max(status.st_mtime_ns for status in statuses)
        if size != row.bytes or newest > self._made_ns:
            return None
        # Where ED and ES matter, what was given before is not noted.
        return None if self._predictor.needs_phases else row

    def _new(self, item: PredictItem) -> ValueRow:
        name = escaped(item.name)
        try:
            ends = self._ends(item.files[0]) or (None, None)
            row = self._row(item, self._predictor(item.files, *ends))
        except StorageError:
            raise
        except EchoLMError as error:
            problem = escaped(str(error))
            row = ValueRow(name, self._predictor.target, run=self._predictor.run, problem=problem)
        self._rows[row.file] = row
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._save()
        return row

    def _row(self, item: PredictItem, prediction: ValuePrediction) -> ValueRow:
        value = prediction.value
        shares = {name: round(share, 4) for name, share in prediction.probabilities.items()}
        return ValueRow(
            file=escaped(item.name),
            target=prediction.target,
            value=None if value is None else round(value, 3),
            unit=prediction.unit,
            most_likely=prediction.most_likely,
            probabilities=shares,
            files=len(item.files),
            passes=len(prediction.frames),
            run=self._predictor.run,
            bytes=sum(file.stat().st_size for file in item.files),
            warning=prediction.warning,
            trained_on=self._predictor.trained_on.sentence,
        )

    def _save(self) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self._columns())
        for name in sorted(self._rows):
            table.writerow(self._rows[name].cells(self._classes))
        write_atomic(self.table, text.getvalue().encode())
        self._saved = time.monotonic()


def _place(file: Path, source: Path) -> str:
    return file.relative_to(source).as_posix()
