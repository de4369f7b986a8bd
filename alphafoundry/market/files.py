"""Daily bars from a parquet or CSV file in long format: one row per day and symbol."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.assembly import Progress, build_panel
from alphafoundry.market.bars import VALUE_COLUMNS, Bars
from alphafoundry.market.columns import REQUIRED, match_columns
from alphafoundry.market.groups import find_sectors_file, groupings_by_level, read_sectors
from alphafoundry.market.panel import Panel, SeriesIssue

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz")
_LAYOUT = (
    "a file has the columns date, symbol, close and may have open, high, low, adj_close, "
    "volume, vwap, cap"
)
_DATE = re.compile(r"(\d{4})([-/]?)(\d{2})\2(\d{2})(?:[T ].*)?")


def load_file(path: Path, *, source: str, sectors: Path | None, progress: Progress) -> Panel:
    """Return the panel of a file.

    Parameters
    ----------
    path : parquet or CSV (also gzipped) in long format, one row per day and symbol
    source : what the user asked for
    sectors : CSV of groups; None looks for a sibling PREFIX_sectors.csv

    Raises MarketError where a file is missing, unreadable or malformed.
    """
    bars = read_bars(path, progress=progress)
    groups = sectors or find_sectors_file(path)
    groupings = read_sectors(groups, bars.symbols) if groups else {}
    return build_panel(bars, source=source, name=path.name, groupings=groupings, progress=progress)


def read_bars(path: Path, *, progress: Progress) -> Bars:
    """Return the raw bars of a file, aligned on the union of its days.

    A day and symbol that come twice are kept once where all values agree, and masked where
    they do not; both are reported. Raises MarketError as `load_file` does.
    """
    progress(f"{path.name}: reading")
    table, columns = _read_table(path)
    return _bars(path, table, columns)


def load_frame(
    frame: pd.DataFrame, *, name: str = "DataFrame", sectors: Mapping[str, str] | None = None
) -> Panel:
    """Return the panel of a DataFrame in the long format of a file, one row per day and symbol.

    Parameters
    ----------
    frame : columns date, symbol, close, and what else a file may have; date and symbol may be
        the index
    name : starts the panel's label
    sectors : symbol to sector; None is unknown

    Raises MarketError where columns are missing or cells are malformed.
    """
    import pyarrow as pa

    named = [level for level in frame.index.names if level is not None]
    flat = frame.reset_index(level=named) if named else frame
    columns = _required(name, [str(column) for column in flat.columns])
    table = pa.Table.from_pandas(flat.rename(columns=str), preserve_index=False)
    bars = _bars(name, table, columns)
    groupings = {}
    if sectors:
        labels = [sectors.get(str(symbol), "") for symbol in bars.symbols]
        groupings = groupings_by_level({"sector": labels}, origin="the sectors given")
    return build_panel(bars, source=name, name=name, groupings=groupings, progress=lambda _: None)


def _bars(path: Path | str, table: pa.Table, columns: dict[str, str]) -> Bars:
    if table.num_rows == 0:
        raise MarketError(f"{path}: no rows; {_LAYOUT}")
    dates, day_codes = _dates(path, table.column(columns["date"]))
    symbols, symbol_codes = _symbols(path, table.column(columns["symbol"]))
    cells = day_codes * len(symbols) + symbol_codes
    shape = (len(dates), len(symbols))
    if shape[0] * shape[1] > 50 * len(cells) + 10_000_000:
        raise MarketError(
            f"{path}: {len(cells)} rows spread over {shape[0]} days and {shape[1]} symbols are "
            "too sparse for a panel of daily bars; check the date and symbol columns"
        )
    columns_read = {
        name: _numbers(path, name, table.column(columns[name]))
        for name in VALUE_COLUMNS
        if name in columns
    }
    values = {name: _scatter(numbers, cells, shape) for name, numbers in columns_read.items()}
    conflicting, issues = _duplicates(cells, columns_read, dates, symbols)
    for array in values.values():
        array.reshape(-1)[conflicting] = np.nan
    return Bars(dates=dates, symbols=symbols, values=values, issues=issues)


def _read_table(path: Path) -> tuple[pa.Table, dict[str, str]]:
    if not path.is_file():
        raise MarketError(f"{path}: there is no such file; give a .parquet or .csv in long format")
    if not path.name.lower().endswith(SUFFIXES):
        raise MarketError(f"{path}: cannot read this kind of file; give one of {_or(SUFFIXES)}")
    import pyarrow as pa

    parquet = path.name.lower().endswith((".parquet", ".pq"))
    try:
        return _read_parquet(path) if parquet else _read_csv(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        kind = "parquet" if parquet else "CSV"
        raise MarketError(f"{path}: not a readable {kind} file ({_one_line(error)})") from None


def _read_parquet(path: Path) -> tuple[pa.Table, dict[str, str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        columns = _required(path, file.schema_arrow.names)
        return file.read(columns=sorted(set(columns.values()))), columns


def _read_csv(path: Path) -> tuple[pa.Table, dict[str, str]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(65536).decode("utf-8-sig", errors="replace")
    if not head.strip():
        raise MarketError(f"{path}: the file is empty; {_LAYOUT}")
    first = head.splitlines()[0]
    delimiter = max((",", ";", "\t", "|"), key=first.count)
    names = next(csv.reader([first], delimiter=delimiter))
    columns = _required(path, names)
    kinds = {
        name: pa.string() if column in ("date", "symbol") else pa.float64()
        for column, name in columns.items()
    }
    table = arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
        convert_options=arrow_csv.ConvertOptions(
            column_types=kinds,
            include_columns=list(kinds),
            null_values=["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-"],
            strings_can_be_null=False,
        ),
    )
    return table, columns


def _required(path: Path | str, names: list[str]) -> dict[str, str]:
    columns = match_columns(names)
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        shown = ", ".join(names[:20]) or "none"
        raise MarketError(
            f"{path}: no column {_or(tuple(missing))} among {shown}; {_LAYOUT} (any case, and "
            "common synonyms such as ticker or adjusted_close)"
        )
    return columns


def _dates(path: Path | str, column: Any) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """Return (sorted unique days, index of each row's day)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        raise MarketError(f"{path}: {column.null_count} rows have no date; {_LAYOUT}")
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = pc.local_timestamp(column) if kind.tz else column
        days = column.cast(pa.timestamp("us"), safe=False).cast(pa.date32(), safe=False)
        numbers = days.cast(pa.int32()).to_numpy().astype(np.int64)
    elif pa.types.is_date(kind):
        numbers = column.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
    else:
        texts = _dictionary(column.cast(pa.string()))
        parsed = np.array([_day(path, text) for text in texts[0]], dtype=np.int64)
        numbers = parsed[texts[1]]
    first = int(numbers.min())
    seen = np.bincount(numbers - first) > 0
    position = np.cumsum(seen) - 1
    dates = (np.flatnonzero(seen) + first).astype("datetime64[D]")
    return dates, position[numbers - first]


def _day(path: Path | str, text: str) -> int:
    match = _DATE.fullmatch(text.strip())
    if match:
        try:
            day = np.datetime64(f"{match[1]}-{match[3]}-{match[4]}", "D")
        except ValueError:
            pass
        else:
            return int(day.astype(np.int64))
    raise MarketError(f"{path}: {text!r} is not a date; write dates as 2024-01-31 or 20240131")


def _symbols(path: Path | str, column: Any) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return (sorted unique symbols, index of each row's symbol)."""
    import pyarrow as pa

    found, codes = _dictionary(column.cast(pa.string()))
    names = np.array([name.strip() for name in found], dtype=np.str_)
    if column.null_count or "" in names:
        raise MarketError(f"{path}: some rows have no symbol; {_LAYOUT}")
    symbols, position = np.unique(names, return_inverse=True)
    return symbols, position[codes]


def _dictionary(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes


def _numbers(path: Path | str, name: str, column: Any) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        numbers = column.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        raise MarketError(
            f"{path}: column {name} is not numeric ({_one_line(error)}); {_LAYOUT}"
        ) from None
    result: NDArray[np.float64] = numbers.to_numpy()
    return result


def _scatter(
    numbers: NDArray[np.float64], cells: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    array = np.full(shape, np.nan)
    array.reshape(-1)[cells] = numbers
    return array


def _duplicates(
    cells: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
    dates: NDArray[np.datetime64],
    symbols: NDArray[np.str_],
) -> tuple[NDArray[np.int64], tuple[SeriesIssue, ...]]:
    """Return (cells whose rows contradict each other, issues of all repeated rows)."""
    counts = np.bincount(cells, minlength=len(dates) * len(symbols))
    if counts.max() <= 1:
        return np.zeros(0, dtype=np.int64), ()
    repeated = np.flatnonzero(counts > 1)
    rows = np.flatnonzero(counts[cells] > 1)
    rows = rows[np.argsort(cells[rows], kind="stable")]
    starts = np.searchsorted(cells[rows], repeated)
    conflict = np.zeros(len(repeated), dtype=bool)
    for numbers in columns.values():
        part = np.nan_to_num(numbers[rows], nan=-np.inf)
        conflict |= np.minimum.reduceat(part, starts) != np.maximum.reduceat(part, starts)
    issues = []
    of_symbol = repeated % len(symbols)
    for code in np.unique(of_symbol):
        mine = of_symbol == code
        day = dates[repeated[mine][0] // len(symbols)]
        bad = int(np.count_nonzero(conflict & mine))
        outcome = f"{bad} contradict each other and are masked" if bad else "all repeats agree"
        issues.append(
            SeriesIssue(
                str(symbols[code]),
                "duplicate-day",
                f"{np.count_nonzero(mine)} days come more than once, the first is {day}; {outcome}",
                bad,
            )
        )
    return repeated[conflict], tuple(issues)


def _or(choices: tuple[str, ...]) -> str:
    return ", ".join(choices[:-1]) + (" or " if len(choices) > 1 else "") + choices[-1]


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
