"""What stores say of their test samples and of themselves, kept beside the results.

``stores/<data[:16]>.parquet`` has a row for each test sample: its id, and each value that is a text
or a number. Its metadata name the dataset. It is written once, from the index of the store whose
fingerprint is the run's, where that store lies in the workspace. So subgroups can be told where the
store is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.stores.clips import FIXED, INDEX, peek
from echolm.text import suggest
from echolm.value_groups import members
from echolm.workspace import Workspace
from grid.definition.subgroups import group_name
from grid.results.files import RUNS_FILE, collected_rows

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "stores"
DIGITS = 16
DATASET_KEY = b"echolm.dataset"
"""The key of the dataset's name in the metadata."""
SAMPLE = "sample"
SPLIT = "test"


def store_values_path(results: Path, data: str) -> Path:
    """Return where the values of a store lie, whether they were kept or not.

    Args:
        results: the folder that was collected.
        data: the fingerprint of the store.
    """
    return results / FOLDER / f"{data[:DIGITS]}.parquet"


def keep_store_values(workspace: Workspace, results: Path) -> int:
    """Keep the values of the stores of collected runs, as far as these are there.

    Args:
        workspace: where the stores are.
        results: the folder that was collected.

    Returns:
        How many stores are new.
    """
    if not (results / RUNS_FILE).exists():
        return 0
    names: dict[str, set[str]] = {}
    is_kept: dict[str, bool] = {}
    for run in collected_rows(results):
        data, name = run["data"], run["params.data.name"]
        if not data or not name:
            continue
        if data not in is_kept:
            is_kept[data] = store_values_path(results, data).exists()
        if not is_kept[data]:
            names.setdefault(data, set()).add(name)
    kept = 0
    for data, names_of_store in names.items():
        for name in sorted(names_of_store):
            if _keep(workspace.store(name), data, store_values_path(results, data)):
                kept += 1
                break
    return kept


def _keep(store: Path, data: str, target: Path) -> bool:
    """Keep the values of a store, and return whether it is there and is the one that is meant."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        info = peek(store)
        if info["fingerprint"] != data:
            return False
        table = _values(store / INDEX)
    except (EchoLMError, OSError, pa.ArrowException):
        return False  # it is not here, or cannot be read: tables say that it lacks
    dataset = str(info.get("reader", ""))
    table = table.replace_schema_metadata({DATASET_KEY: dataset.encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, bytes(sink.getvalue().to_pybytes()))
    return True


def _values(index: Path) -> pa.Table:
    """Read the test samples of an index with their values: texts and numbers, no points."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = [SAMPLE]
    for field in pq.read_schema(index):
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if field.name not in FIXED and (is_number or pa.types.is_string(field.type)):
            names.append(field.name)
    with pq.ParquetFile(index) as file:
        table = file.read(columns=[*names, "split"], use_threads=False)
    return table.filter(pc.equal(table["split"], SPLIT)).select(names)


class StoreValues:
    """Reads what was kept of stores.

    Args:
        results: the folder that was collected. None: nothing was run yet.
    """

    def __init__(self, results: Path | None) -> None:
        self._results = results
        self._tables: dict[str, pa.Table | None] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self._known: set[str] = set()
        """The values that any store has that was asked for a group."""

    def dataset(self, data: str) -> str:
        """Return the dataset of a store, by its fingerprint. Empty where that is not known."""
        table = self._table(data) if data else None
        if table is None:
            return ""
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        return metadata.get(DATASET_KEY, b"").decode(errors="replace")

    def values(self, data: str, samples: Sequence[str], name: str) -> list[Any]:
        """Return a value of each sample. None where a sample has none.

        Raises:
            EchoLMError: nothing was kept of the store. It says what to type.
        """
        table = self._table(data) if data else None
        if table is None:
            raise EchoLMError(
                f"{name} of its patients is not known here: where the store of its runs lies "
                f"(data {data[:DIGITS] or 'not known'}), type",
                Command("collect"),
            )
        if name not in table.column_names:
            return [None] * len(samples)
        if data not in self._rows:
            self._rows[data] = {one: row for row, one in enumerate(table[SAMPLE].to_pylist())}
        rows = self._rows[data]
        missing = [sample for sample in samples if sample not in rows]
        if missing:
            raise EchoLMError(f"its store has no test sample {missing[0]}, which its run predicted")
        values = table[name].to_pylist()
        return [values[rows[sample]] for sample in samples]

    def test_values(self, data: str, name: str) -> list[Any]:
        """Return a value of all test samples of a store.

        Raises:
            EchoLMError: nothing was kept of the store, or it has no such value.
        """
        table = self._table(data) if data else None
        if table is not None and name not in table.column_names:
            known = [one for one in table.column_names if one != SAMPLE]
            raise EchoLMError(
                f"subgroup {name}: the store of these runs has no such value; "
                f"{suggest(name, known)}"
            )
        return self.values(data, table[SAMPLE].to_pylist() if table is not None else [], name)

    def chosen(self, data: str, samples: np.ndarray, subgroup: Mapping[str, str]) -> np.ndarray:
        """Return which samples are in a subgroup, (N,).

        Args:
            data: the fingerprint of the store.
            samples: ids.
            subgroup: value of the store -> group.

        Raises:
            EchoLMError: as for ``values``, or a group that the values cannot have.
        """
        table = self._table(data) if data and subgroup else None
        if table is not None:
            self._known.update(table.column_names)
        chosen = np.ones(len(samples), bool)
        ids = samples.tolist()
        for name, label in subgroup.items():
            chosen &= members(self.values(data, ids, name), name, label)
        return chosen

    def check(self, subgroups: Iterable[Mapping[str, str]]) -> None:
        """Check that some store that was asked has each value of some subgroups.

        Raises:
            EchoLMError: none has one of them.
        """
        known = self._known - {SAMPLE}
        if not self._known:
            return  # none was asked
        for subgroup in subgroups:
            for name in subgroup:
                if name not in known:
                    raise EchoLMError(
                        f"subgroup {group_name(subgroup)}: no store of these runs has a value "
                        f"{name!r}; {suggest(name, known)}"
                    )

    def _table(self, data: str) -> pa.Table | None:
        if data not in self._tables:
            self._tables[data] = self._read(data)
        return self._tables[data]

    def _read(self, data: str) -> pa.Table | None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._results is None:
            return None
        path = store_values_path(self._results, data)
        if not path.exists():
            return None
        try:
            with pq.ParquetFile(path) as file:
                names = list(file.schema_arrow.names)
                table = file.read(columns=names, use_threads=False)
                return table.replace_schema_metadata(file.schema_arrow.metadata)
        except (pa.ArrowException, OSError) as error:
            raise EchoLMError(
                f"{path}: cannot be read ({' '.join(str(error).split())}); delete it and type",
                Command("collect"),
            ) from error
