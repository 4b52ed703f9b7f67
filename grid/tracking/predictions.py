"""The collected predictions of a run.

They are copied from the tracking store once, verified, and compared by their samples.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.errors import EchoLMError, NewerError, StorageError
from echolm.files import writing
from grid.results.files import (
    PREDICTIONS_FOLDER,
    SAMPLES_NEUTRAL,
    SAMPLES_PREFIXES,
    TASK_PREFIX,
    predictions_name,
    predictions_path,
    read_columns,
)
from grid.results.schema import stored_schema
from grid.results.soundness import CheckedPredictions
from grid.tracking.address import delete_command
from grid.tracking.artifact_store import ArtifactStore, RecordedPredictions
from grid.tracking.leftovers import sweep
from grid.tracking.reader import PREDICTIONS_FILE
from grid.tracking.runs_file import CollectedRow, Earlier

KEY = ("sample", "patient", "target", "slot")
"""What identifies a row of the test split."""
SEPARATOR = "\x1f"
SAME_SAMPLES = ("params.data.name", TASK_PREFIX, *SAMPLES_PREFIXES)
"""Begin the columns in which runs must agree to have the same test samples."""
EXAMPLES = 3
"""Samples that a message names."""
Samples = frozenset[str]
"""Rows of the test split: the values of ``KEY``, joined by ``SEPARATOR``."""


def bring(
    rows: Sequence[CollectedRow],
    earlier: Earlier,
    uri: str,
    out: Path,
    recorded: RecordedPredictions,
) -> Brought:
    """Make sure that the predictions of all rows are there, and set their samples or their problem.

    Of what was collected before, a local store is asked for the file alone, not for its content. A
    row that has a problem already is left as it is.
    """
    there = _names_there(out)
    collected = {}
    for carried in earlier.rows.values():
        if carried.samples:
            collected[carried.fingerprint] = carried
    store = ArtifactStore(uri, recorded)
    checked = CheckedPredictions(out)
    brought = Brought()
    for row in rows:
        if not row.predictions or row.problem:
            continue
        fingerprint = row.run.fingerprint
        path = predictions_path(out, fingerprint)
        before = collected.get(fingerprint)
        is_there = predictions_name(fingerprint) in there
        is_sound = is_there and checked.is_sound(path, row.predictions)
        is_same = before is not None and before.predictions == row.predictions
        if before is not None and is_same and is_sound:
            row.samples = before.samples or ""
            if store.lost(row.run):
                _give_back(row, path, store)
        elif _bring_one(row, path, is_sound, store, checked):
            brought.added += 1
            brought.altered += is_same and is_there
    checked.save()
    return brought


@dataclass
class Brought:
    """What was brought.

    Attributes:
        added: files that were written.
        altered: those of them in whose place lay a file that is not what was collected there.
    """

    added: int = 0
    altered: int = 0


def _names_there(out: Path) -> set[str]:
    """Return the names in the folder of predictions, which is made and swept."""
    with writing(out / PREDICTIONS_FOLDER) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, ".*.tmp")
        return {entry.name for entry in os.scandir(folder)}


def compare(rows: Sequence[CollectedRow], table: pa.Table, out: Path) -> None:
    """Mark the rows whose test samples are not those of most runs of the same data set and task.

    Args:
        rows: the rows.
        table: the columns of the rows, those that ``SAME_SAMPLES`` begin among them.
        out: the folder of the results.
    """
    columns = []
    for name in table.column_names:
        if name.startswith(SAME_SAMPLES):
            neutral = SAMPLES_NEUTRAL.get(name)
            columns.append([value or neutral for value in table[name].to_pylist()])
    groups: dict[tuple[str | None, ...], list[CollectedRow]] = defaultdict(list)
    for row, *values in zip(rows, *columns, strict=True):
        if row.samples:
            groups[tuple(values)].append(row)
    for group in groups.values():
        counts = Counter(row.samples for row in group)
        [(usual, _)] = counts.most_common(1)
        reference = next(row for row in group if row.samples == usual)
        for row in group:
            if row.samples != usual:
                what = _difference(row, reference, out)
                if what:
                    row.problem = f"its test samples are not those of the other runs: {what}"


def samples(path: Path) -> Samples:
    """Return the test samples of a file. Reads no coordinates.

    Raises:
        EchoLMError: it cannot be read, or lacks a column.
    """
    return _test_samples(read_columns(path, [*KEY, "split"]))


def stated_digest(content: bytes) -> str:
    """Return the digest of the test samples of predictions. Empty where they cannot be read."""
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            stored_schema(file.metadata.metadata, Path(PREDICTIONS_FILE))
            table = file.read(columns=[*KEY, "split"])
        return digest(_test_samples(table))
    except (EchoLMError, pa.ArrowException, KeyError, OSError):
        return ""


def _test_samples(table: pa.Table) -> Samples:
    import pyarrow.compute as pc  # not where nothing is new: it takes a tenth of that

    test = table.filter(pc.equal(table["split"], "test"))
    columns = [test[name] for name in KEY]
    joined = pc.binary_join_element_wise(*columns, SEPARATOR, null_handling="replace")
    return frozenset(joined.to_pylist())


def digest(test_samples: Samples) -> str:
    """Return 16 hexadecimal digits that are equal for equal samples."""
    return hashlib.sha256("\n".join(sorted(test_samples)).encode()).hexdigest()[:16]


def difference(test_samples: Samples, reference: Samples) -> str:
    """Say in words how the samples of a run differ from those of the other runs."""
    text = f"{len(test_samples)} test rows, the other runs {len(reference)}"
    text += _examples("missing", reference - test_samples)
    text += _examples("only here", test_samples - reference)
    return text


def _examples(label: str, rows: Samples) -> str:
    if not rows:
        return ""
    shown = [_shown(row) for row in sorted(rows)[:EXAMPLES]]
    text = f"; {label}: {', '.join(shown)}"
    if len(rows) > EXAMPLES:
        text += f" and {len(rows) - EXAMPLES} more"
    return text


def _bring_one(
    row: CollectedRow,
    target: Path,
    is_sound: bool,
    store: ArtifactStore,
    checked: CheckedPredictions,
) -> bool:
    """Copy the predictions unless they are there, and return whether they were added."""
    sha256 = row.predictions or ""
    reader = _SamplesReader(row.stated_samples)
    try:
        if not is_sound:
            row.repaired = store.fetch(row.run, sha256, target, reader.read)
            checked.written(target, sha256)
        elif not reader.digest:
            reader.read(target)
        row.samples = reader.digest
    except StorageError:
        raise
    except NewerError as error:
        row.problem = error.reason
        return False
    except EchoLMError as error:
        row.problem = (
            f"{error}; 'echolm collect' where its run record lies exports it again; without a "
            f"record, type: {delete_command(store.uri, row.run.run_id)}, and then launch the grid, "
            "which runs the cell again"
        )
        return False
    return not is_sound


class _SamplesReader:
    """Reads the digest of the samples of a file, unless the run states it.

    Attributes:
        digest: what it is, empty as long as that is not known.
    """

    def __init__(self, stated: str) -> None:
        self.digest = stated

    def read(self, path: Path) -> None:
        """Read a file, where it has to be."""
        if not self.digest:
            self.digest = digest(samples(path))


def _give_back(row: CollectedRow, collected: Path, store: ArtifactStore) -> None:
    """Put predictions that the store has lost there again.

    They come from the run's record, else from the collected file.
    """
    lost = f"the store has lost its {PREDICTIONS_FILE}"
    try:
        row.repaired = store.give(row.run, row.predictions or "", collected)
    except EchoLMError as error:
        row.problem = f"{lost}, and it cannot be put there again: {error}"
        return
    if not row.repaired:
        row.problem = (
            f"{lost}; neither a run record at hand nor {collected} has what it was exported with; "
            f"to remove the run, type: {delete_command(store.uri, row.run.run_id)}, and then "
            "launch the grid, which runs the cell again"
        )


def _difference(row: CollectedRow, reference: CollectedRow, out: Path) -> str:
    """Say how the samples of two runs differ. Empty where they do not."""
    try:
        of_row = samples(predictions_path(out, row.run.fingerprint))
        of_reference = samples(predictions_path(out, reference.run.fingerprint))
    except EchoLMError as error:
        return str(error)
    if of_row == of_reference:  # a digest in the store was changed
        return ""
    return difference(of_row, of_reference)


def _shown(row: str) -> str:
    """Spell a row of the test split as ``sample/target/slot``."""
    sample, _, *rest = row.split(SEPARATOR)
    return "/".join(part for part in (sample, *rest) if part)
