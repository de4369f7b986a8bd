"""Tables in parquet, feather (arrow) and Excel files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from alphafoundry.errors import MarketError
from alphafoundry.market.tables import RawTable, find_heading, table_of_cells

_INSTALL = (
    "reading .xlsx needs the package openpyxl; run: .venv/bin/pip install -e '.[xlsx]', or save "
    "the sheet as .csv"
)


def read_parquet(source: Path | BytesIO, *, name: str, stem: str) -> RawTable:
    """Return the table of a parquet file; columns are read when they are asked for.

    Raises MarketError where the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source, memory_map=isinstance(source, Path))
    except (pa.ArrowException, OSError) as error:
        raise MarketError(f"{name}: not a readable parquet file ({_one_line(error)})") from None
    names = file.schema_arrow.names

    def column(position: int) -> Any:
        try:
            return file.read(columns=[names[position]]).column(0)
        except (pa.ArrowException, OSError) as error:
            raise MarketError(
                f"{name}: column {names[position]} is damaged ({_one_line(error)})"
            ) from None

    return RawTable(
        name=name,
        stem=stem,
        labels=tuple(_without_index_name(label) for label in names),
        rows=file.metadata.num_rows,
        column=column,
        head=lambda: rows_of(next(file.iter_batches(batch_size=20), None)),
        place=lambda row: f"row {row + 1}",
    )


def read_arrow_file(source: Path | BytesIO, *, name: str, stem: str) -> RawTable:
    """Return the table of a feather or arrow file. Raises MarketError where it is damaged."""
    import pyarrow as pa
    from pyarrow import feather

    try:
        table = feather.read_table(str(source) if isinstance(source, Path) else source)
        # Damaged offsets are read without a check, and end the process.
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise MarketError(f"{name}: not a readable feather file ({_one_line(error)})") from None
    return table_of_arrow(table, name=name, stem=stem)


def table_of_arrow(table: Any, *, name: str, stem: str) -> RawTable:
    """Return the table of an arrow table."""
    return RawTable(
        name=name,
        stem=stem,
        labels=tuple(_without_index_name(label) for label in table.column_names),
        rows=table.num_rows,
        column=table.column,
        head=lambda: rows_of(table.slice(0, 20)),
        place=lambda row: f"row {row + 1}",
    )


def read_workbook(
    source: Path | BytesIO, *, name: str, stem: str, sheet: str | None
) -> list[RawTable]:
    """Return a table for each sheet of an Excel workbook that holds something, or for one.

    Raises MarketError where the workbook is damaged, has no such sheet, or openpyxl is missing.
    """
    try:
        import openpyxl
    except ImportError:
        raise MarketError(f"{name}: {_INSTALL}") from None
    try:
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
        sheets = {title: list(_sheet_rows(book[title])) for title in book.sheetnames}
    except Exception as error:  # whatever its XML and zip readers raise on a damaged file
        raise MarketError(f"{name}: not a readable .xlsx file ({_one_line(error)})") from None
    if sheet is not None and sheet not in sheets:
        raise MarketError(f"{name}: there is no sheet {sheet!r}; it has {', '.join(sheets)}")
    found: list[RawTable] = []
    for title in [sheet] if sheet else sheets:
        rows = _even(row for row in sheets[title] if any(row[1]))
        if not rows:
            continue
        heading = find_heading([cells for _, cells in rows[:40]])
        if heading is None:
            if len(sheets) > 1 and not sheet:
                continue
            raise MarketError(f"{name}: sheet {title}: there is no row with the names of columns")
        width = len(heading.labels)
        body = rows[heading.rows :]
        numbers = [number for number, _ in body]
        alone = len(sheets) == 1
        found.append(
            table_of_cells(
                [cells[:width] for _, cells in body],
                name=name if alone else f"{name}: sheet {title}",
                stem=stem if alone else title,
                labels=heading.labels,
                place=lambda row, numbers=numbers: f"row {numbers[row]}",  # type: ignore[misc]
                notes=heading.notes,
            )
        )
    if not found:
        raise MarketError(f"{name}: no sheet holds a table; give date, symbol and close")
    return found


def rows_of(batch: Any) -> list[list[str]]:
    """Return the cells of an arrow table or batch as texts, row by row."""
    if batch is None:
        return []
    columns = [
        ["" if cell is None else str(cell) for cell in column.to_pylist()]
        for column in batch.columns
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _sheet_rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [_text(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        yield number, cells


def _even(rows: Iterable[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return rows with as many cells as the longest has."""
    found = list(rows)
    width = max((len(cells) for _, cells in found), default=0)
    return [(number, cells + [""] * (width - len(cells))) for number, cells in found]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, dt.datetime):
        return cell.isoformat(sep=" ") if cell.time() != dt.time() else cell.date().isoformat()
    if isinstance(cell, dt.date):
        return cell.isoformat()
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    return str(cell).strip()


def _without_index_name(label: str) -> str:
    return "" if label.startswith("__index_level_") else label


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
