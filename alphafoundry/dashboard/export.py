"""Every table as CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from alphafoundry.dashboard.tables import Column, Row

FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""What a text begins with that a spreadsheet would take for a formula, wide characters included."""

_TYPES: dict[str, pa.DataType] = {
    "number": pa.float64(),
    "quantity": pa.float64(),
    "sharpe": pa.float64(),
    "percent": pa.float64(),
    "dollars": pa.float64(),
    "seconds": pa.float64(),
    "integer": pa.int64(),
    "bytes": pa.int64(),
    "yes": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "day": pa.date32(),
}


def csv_lines(columns: Sequence[Column], parts: Iterable[list[Row]]) -> Iterator[bytes]:
    """Yield a table as CSV; a text that a spreadsheet would calculate begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([one.key for one in columns])
    for rows in parts:
        for row in rows:
            writer.writerow([_cell(row.get(one.key)) for one in columns])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    if text.getvalue():
        yield text.getvalue().encode()


def parquet_bytes(
    columns: Sequence[Column], parts: Iterable[list[Row]], folder: Path
) -> Iterator[bytes]:
    """Return a table as the bytes of a Parquet file, exactly as it is.

    It is whole before the first byte is given. folder : has room for it; it has no name there.
    """
    schema = pa.schema([(one.key, _TYPES.get(one.kind, pa.string())) for one in columns])
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open until it was sent
    try:
        with pq.ParquetWriter(file, schema) as writer:
            for rows in parts:
                arrays = [
                    pa.array([_typed(row.get(one.name), one.type) for row in rows], one.type)
                    for one in schema
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return _chunks(file)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(1 << 18):
            yield part


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def _typed(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_timestamp(kind) and isinstance(value, str):
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    if pa.types.is_string(kind) and not isinstance(value, str):
        return json.dumps(value, default=str)
    plain = {pa.bool_(): bool, pa.float64(): float, pa.int64(): int}.get(kind)
    return value if plain is None else plain(value)
