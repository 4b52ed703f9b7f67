"""What predictions of a folder have in common: progress, outcomes, the JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from echolm.progress import ProgressBar
from echolm.text import counted, printable

if TYPE_CHECKING:
    from echolm.predict.find_clips import FolderFiles
    from echolm.predict.trained_on import TrainedOn


class PredictedRow(Protocol):
    """A row of the table of a folder: of a file, or of an item of several."""

    @property
    def problem(self) -> str:
        """Why there is no prediction. Empty when there is one."""
        ...

    @property
    def warning(self) -> str:
        """Why what there is may be wrong. Empty without a reason."""
        ...


Row = TypeVar("Row", bound=PredictedRow)


@dataclass
class PredictedFolder(Generic[Row]):
    """What became of a folder's clips.

    Attributes:
        table: the table.
        skipped: how many files are no clips.
        rows: of the table.
        counts: outcome -> rows.
    """

    table: Path
    skipped: int
    rows: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def status(self) -> int:
        """The exit status: 1 where a clip could not be read."""
        return 1 if self.counts["failed"] else 0

    @property
    def line(self) -> str:
        """What became of them, in one line."""
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in self.counts.items())
        line = f"{self.table}: {counted(len(self.rows), 'clip')}: {outcomes}"
        if self.skipped:
            line += f"; {counted(self.skipped, 'other file')} skipped"
        warned = sum(bool(row.warning) for row in self.rows)
        if warned:
            line += f"; {warned} with a warning (column 'warning')"
        return line

    def document(self, files: FolderFiles, trained_on: TrainedOn) -> dict[str, Any]:
        """Return all of it as JSON data."""
        return {
            "table": str(self.table),
            "trained_on": plain_training(trained_on),
            "counts": dict(self.counts),
            "skipped": [asdict(skipped) for skipped in files.skipped],
            "files": [asdict(row) for row in self.rows],  # type: ignore[call-overload]
        }


def predict_rows(
    rows: Iterable[tuple[Row, bool]],
    total: int,
    noun: str,
    folder: Path,
    files: FolderFiles,
    table: Path,
) -> PredictedFolder[Row]:
    """Predict a folder's clips with a progress bar on a terminal.

    Args:
        rows: what predicts them: a row each, and whether it was made now.
        total: how many there are.
        noun: what they are.
        folder: where they were searched.
        files: what was found there.
        table: where the rows are written.
    """
    from echolm.predict.folder import escaped

    done: PredictedFolder[Row] = PredictedFolder(table, len(files.skipped))
    with ProgressBar("predicting", noun, total) as bar:
        for skipped in files.skipped:
            bar.say(printable(f"{escaped(str(folder / skipped.file))}: skipped: {skipped.reason}"))
        for row, new in rows:
            done.rows.append(row)
            done.counts[_outcome(row, new)] += 1
            if row.problem:
                bar.say(row.problem)
            bar.advance()
    return done


def plain_training(trained_on: TrainedOn) -> dict[str, Any]:
    """Return plain values of what a run was trained on."""
    return {**asdict(trained_on), "sentence": trained_on.sentence}


def _outcome(row: PredictedRow, new: bool) -> str:
    if row.problem:
        return "failed"
    return "predicted" if new else "already there"
