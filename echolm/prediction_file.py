"""The file of a run's predictions: one Parquet table that says its schema's version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA

if TYPE_CHECKING:
    import pyarrow as pa


def as_parquet(rows: pa.Table) -> bytes:
    """Return predictions, with the columns of ``Task.rows``, as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = dict(rows.schema.metadata or {})
    metadata[PREDICTIONS_KEY] = str(PREDICTIONS_SCHEMA).encode()
    # Hardly a coordinate comes twice: a dictionary of them makes files larger, and takes longer.
    texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata(metadata), sink, compression="zstd", use_dictionary=texts
    )
    return bytes(sink.getvalue().to_pybytes())
