"""What the columns of a table mean: long, wide, or one series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.bars import VALUE_COLUMNS
from alphafoundry.market.columns import (
    DESCRIBING,
    SYNONYMS,
    columns_and_symbols,
    match_columns,
    normal,
)
from alphafoundry.market.dates import dictionary, looks_like_date
from alphafoundry.market.issues import ReadingNote
from alphafoundry.market.numerals import MISSING, Decimal, is_number, read_numbers
from alphafoundry.market.tables import Label, RawTable

LAYOUT = (
    "a table has the columns date, symbol, close and may have open, high, low, adj_close, "
    "volume, vwap, cap (any case, and common synonyms such as ticker or adjusted_close)"
)
_DAYS = ("", "1d", "d", "1day", "day", "daily", "86400", "1440", "24h")
_OPTIONS = ("date_format", "decimal", "symbol", "sheet")
_SHOWN = 20
_NOT_MEMBER = ("", "0", "0.0", "false", "f", "no", "n", "out", "none", "nan", "na", "null")
_LEAST_DAYS_ACROSS = 3


class NoBarsError(MarketError):
    """A table has no columns of bars; among many files it may be left out."""


@dataclass(frozen=True)
class ReadOptions:
    """What a file does not tell of itself.

    Attributes
    ----------
    date_format : how dates are written, as of `datetime.strptime`
    decimal : the decimal mark, "." or ","
    symbol : of a file of one series without a column for it
    sheet : of a workbook
    columns : column (date, symbol, close, ...) to its name in the file; others are recognised
    """

    date_format: str | None = None
    decimal: Decimal | None = None
    symbol: str | None = None
    sheet: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def options_of(text: str, *, source: str) -> ReadOptions:
    """Return the options that stand behind the question mark of a source.

    Parameters
    ----------
    text : such as "date_format=%d/%m/%Y&symbol=AAPL"; close_column=Last names a column
    source : starts every error

    Raises MarketError on an unknown option or an impossible value.
    """
    given: dict[str, str] = {}
    columns: dict[str, str] = {}
    for pair in filter(None, text.split("&")):
        key, _, value = pair.partition("=")
        column = key.removesuffix("_column")
        if key != column and column in SYNONYMS and value:
            columns[column] = value
        elif key in _OPTIONS and value:
            given[key] = value
        else:
            raise MarketError(
                f"market {source!r}: {pair!r} is no option; choose of {', '.join(_OPTIONS)} and "
                "close_column (or that of another column), each with =VALUE, joined by &"
            )
    if given.get("decimal", ".") not in (".", ","):
        raise MarketError(f"market {source!r}: decimal is . or , and not {given['decimal']!r}")
    return ReadOptions(**given, columns=columns)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Part:
    """The bars of one table, as rows.

    Attributes
    ----------
    name, place : of the table, for errors
    dates : arrow column of dates as the table has them
    times : arrow column of times of the day, or None
    date_rows : int64 array of shape (n_rows,), index into `dates`
    symbols : the different symbols
    symbol_rows : int64 array of shape (n_rows,), index into `symbols`
    values : column to float64 array of shape (n_rows,)
    notes : what was taken for granted
    """

    name: str
    place: Any
    dates: Any
    times: Any
    date_rows: NDArray[np.int64]
    symbols: list[str]
    symbol_rows: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    notes: tuple[ReadingNote, ...]


def read_part(table: RawTable, options: ReadOptions) -> Part:
    """Return the bars of a table.

    Raises MarketError where columns are missing, a cell is no number, or bars are of less than
    a day by their own column.
    """
    if not table.labels or (table.rows == 0 and len(table.labels) < 2):
        raise MarketError(f"{table.name}: no rows; {LAYOUT}")
    if _is_transposed(table):
        return _transposed(table, options)
    columns, used = _columns(table, options)
    pairs = _pairs(table, columns)
    if pairs is not None:
        return _wide(table, options, *pairs)
    if "symbol" not in columns and "close" not in columns and "adj_close" not in columns:
        wide = _wide_closes(table, columns)
        if wide is not None:
            return _wide(table, options, *wide)
    _require(table, columns)
    return _long(table, options, columns, used)


def _columns(table: RawTable, options: ReadOptions) -> tuple[dict[str, int], set[int]]:
    """Return (column to its position, -1 where the folder's name gives it; positions used)."""
    labels = [label if isinstance(label, str) else "" for label in table.labels]
    found: dict[str, int] = {}
    for column, label in options.columns.items():
        if column not in SYNONYMS:
            raise MarketError(
                f"{table.name}: {column!r} is no column of market data; choose of "
                f"{', '.join((*DESCRIBING[:3], *VALUE_COLUMNS))}"
            )
        if label not in labels:
            raise NoBarsError(
                f"{table.name}: there is no column {label!r}; it has {', '.join(labels[:_SHOWN])}"
            )
        found[column] = labels.index(label)
    free = [label for place, label in enumerate(labels) if place not in found.values()]
    for column, label in match_columns(free).items():
        if column not in found:
            found[column] = next(
                place
                for place, name in enumerate(labels)
                if name == label and place not in found.values()
            )
    for column in match_columns(list(table.given)):
        found.setdefault(column, -1)
    if "date" not in found and (unnamed := _unnamed_dates(table)) is not None:
        found = {column: place for column, place in found.items() if place != unnamed}
        found["date"] = unnamed
    if "symbol" in found and found["symbol"] >= 0 and normal(labels[found["symbol"]]) == "index":
        cells = [row[found["symbol"]] for row in table.head()]
        if cells and all(is_number(cell) for cell in cells):
            del found["symbol"]
    return found, {place for place in found.values() if place >= 0}


def _unnamed_dates(table: RawTable) -> int | None:
    """Return the position of a column of dates that is an index without a name."""
    head = table.head()
    for place, label in enumerate(table.labels):
        if isinstance(label, str) and normal(label) in ("", "index", "unnamed_0"):
            cells = [row[place] for row in head if row[place].strip()]
            if cells and all(looks_like_date(cell) for cell in cells):
                return place
    return None


Pairs = tuple[int, list[tuple[int, str, str]]]


def _pairs(table: RawTable, columns: Mapping[str, int]) -> Pairs | None:
    """Return (position of the date, (position, column, symbol) of each) of labels with both."""
    if any(isinstance(label, tuple) for label in table.labels):
        return _labelled_pairs(table)
    if "close" in columns or "symbol" in columns:
        return None
    cut = list(enumerate(columns_and_symbols(table.labels)))
    found = [(place, *pair) for place, pair in cut if pair is not None]
    dates = [place for place, pair in cut if pair is None]
    closes = any(column in ("close", "adj_close") for _, column, _ in found)
    if not closes or len(found) < 2 or len(found) < len(table.labels) - 2 or not dates:
        return None
    date = columns.get("date", dates[0])
    return date if date >= 0 else dates[0], found


def _labelled_pairs(table: RawTable) -> Pairs:
    date = next((place for place, label in enumerate(table.labels) if _is_date_label(label)), None)
    pairs = columns_and_symbols(table.labels)
    found = [(at, *pair) for at, pair in enumerate(pairs) if pair is not None and at != date]
    if date is None or not any(column in ("close", "adj_close") for _, column, _ in found):
        shown = ", ".join(
            " ".join(label) if isinstance(label, tuple) else label
            for label in table.labels[:_SHOWN]
        )
        raise NoBarsError(
            f"{table.name}: two rows of labels without a date and a close for each symbol, but "
            f"{shown}; {LAYOUT}"
        )
    return date, found


def _is_date_label(label: Label) -> bool:
    words = (label,) if isinstance(label, str) else label
    named = [normal(word) for word in words if word.strip()]
    return not named or (len(named) == 1 and named[0] in (*SYNONYMS["date"], "index"))


def _wide_closes(table: RawTable, columns: Mapping[str, int]) -> Pairs | None:
    """Return the closes of a table with one column for each symbol, or None."""
    date = columns.get("date", -1)
    labels = [str(label) for label in table.labels]
    others = [place for place in range(len(labels)) if place != date and labels[place].strip()]
    known = {place for column, place in columns.items() if column in VALUE_COLUMNS}
    if date < 0 or len(known) * 2 > len(others) or not others:
        return None
    if len(others) == 1 and labels[others[0]].islower():
        return None
    rows = table.head()
    if not rows:
        return None
    numeric = [place for place in others if all(is_number(row[place]) for row in rows)]
    filled = [place for place in others if any(row[place].strip() not in MISSING for row in rows)]
    if len(numeric) < len(others) or (table.rows <= len(rows) and not filled):
        return None
    return date, [(place, "close", labels[place].strip()) for place in others]


def _require(table: RawTable, columns: Mapping[str, int]) -> None:
    missing = [] if "date" in columns else ["date"]
    if not {"close", "adj_close"} & columns.keys():
        missing.append("close")
    if missing:
        if missing == ["date", "close"] and "symbol" not in columns:
            missing.insert(1, "symbol")
        shown = ", ".join(str(label) for label in table.labels[:_SHOWN]) or "none"
        raise NoBarsError(f"{table.name}: no column {' or '.join(missing)} among {shown}; {LAYOUT}")
    if table.rows == 0:
        raise MarketError(f"{table.name}: no rows; {LAYOUT}")


def _long(table: RawTable, options: ReadOptions, columns: dict[str, int], used: set[int]) -> Part:
    notes = list(table.notes)
    _require_days(table, columns)
    positions = {name: columns[name] for name in VALUE_COLUMNS if columns.get(name, -1) >= 0}
    labels = {name: str(table.labels[place]) for name, place in positions.items()}
    numbers, told = read_numbers(
        {
            labels[name]: table.column(place)
            for name, place in positions.items()
            if name != "universe"
        },
        source=table.name,
        place=table.place,
        decimal=options.decimal,
        semicolons=table.semicolons,
    )
    if told:
        notes.append(ReadingNote("decimal", told))
    values = {
        name: _belongs(table.column(positions[name])) if name == "universe" else numbers[label]
        for name, label in labels.items()
    }
    dates = _cells(table, columns, "date")
    names, codes, symbol_notes = _symbols(table, options, columns)
    notes += symbol_notes
    keep = _filled_rows(dates, values)
    if "currency" in columns:
        notes += _currency_notes(table, columns, names, codes)
    if normal(labels.get("close", "")) == "prc" and (values["close"] < 0).any():
        values["close"] = np.abs(values["close"])
        notes.append(
            ReadingNote(
                "adjustment",
                "negative PRC are means of bid and ask, as CRSP writes them: the sign is dropped",
            )
        )
    ignored = tuple(
        str(label)
        for place, label in enumerate(table.labels)
        if place not in used and str(label).strip()
    )
    if ignored:
        notes.append(
            ReadingNote("columns-ignored", f"columns not used: {', '.join(ignored)}", ignored)
        )
    rows = np.flatnonzero(keep) if keep is not None else np.arange(table.rows)
    times = table.column(columns["time"]) if columns.get("time", -1) >= 0 else None
    return Part(
        name=table.name,
        place=table.place,
        dates=dates if keep is None else dates.take(_arrow(rows)),
        times=times if keep is None or times is None else times.take(_arrow(rows)),
        date_rows=np.arange(len(rows)),
        symbols=names,
        symbol_rows=codes if keep is None else codes[rows],
        values=values if keep is None else {name: array[rows] for name, array in values.items()},
        notes=tuple(notes),
    )


def _belongs(column: Any) -> NDArray[np.float64]:
    """Return 1 for every row whose cell says that its name belongs, 0 for the others.

    False, 0, no, out and an empty cell say that it does not; the name of a universe says yes.
    """
    import pyarrow as pa

    texts, codes = dictionary(column.cast(pa.string()))
    said = [text is not None and text.strip().lower() not in _NOT_MEMBER for text in texts]
    inside = np.array([*said, False], dtype=np.float64)[codes]
    inside[np.asarray(column.is_null())] = 0.0
    return inside


def _filled_rows(dates: Any, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_] | None:
    """Return the rows that hold something; None where all do."""
    import pyarrow as pa
    import pyarrow.compute as pc

    blank = pc.is_null(dates)
    if pa.types.is_string(dates.type):
        blank = pc.or_kleene(blank, pc.equal(pc.utf8_trim_whitespace(dates), ""))
    empty = np.asarray(
        blank.to_numpy(zero_copy_only=False)
        if not isinstance(blank, pa.ChunkedArray)
        else blank.to_numpy(),
        dtype=bool,
    )
    if not empty.any():
        return None
    for array in values.values():
        empty = empty & np.isnan(array)
    return ~empty if empty.any() else None


def _arrow(rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.array(rows)


def _cells(table: RawTable, columns: Mapping[str, int], column: str) -> Any:
    """Return the arrow column, also of what a folder's name gives."""
    import pyarrow as pa

    if columns[column] >= 0:
        found = table.column(columns[column])
        if pa.types.is_dictionary(found.type):
            found = found.cast(found.type.value_type)
        return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
    value = table.given[match_columns(list(table.given))[column]]
    return pa.chunked_array([pa.repeat(pa.scalar(value), table.rows)])


def _symbols(
    table: RawTable, options: ReadOptions, columns: Mapping[str, int]
) -> tuple[list[str], NDArray[np.int64], list[ReadingNote]]:
    """Return (symbols, index of each row's symbol, notes)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "symbol" not in columns:
        name = options.symbol or table.stem
        origin = "the option symbol" if options.symbol else "the name of the file"
        note = ReadingNote("symbol", f"no column of symbols: {name} by {origin}", (name,))
        codes = np.zeros(table.rows, dtype=np.int64)
        return [name], codes, [] if table.told else [note]
    column = _cells(table, columns, "symbol")
    if pa.types.is_floating(column.type):
        whole = pc.all(pc.equal(pc.floor(column), column)).as_py()
        column = column.cast(pa.int64()) if whole else column
    column = column.cast(pa.string())
    names, codes = dictionary(column)
    stripped = [name.strip() for name in names]
    bad = [place for place, name in enumerate(stripped) if not name]
    missing = np.isin(codes, bad)
    if column.null_count:
        missing |= pc.is_null(column).to_numpy()
    if missing.any():
        dates, first = _cells(table, columns, "date"), int(np.flatnonzero(missing)[0])
        if dates[first].as_py() in (None, ""):
            return stripped, codes, []
        others = np.count_nonzero(missing) - 1
        more = f", and neither {'has' if others == 1 else 'have'} {others} more" if others else ""
        raise MarketError(
            f"{table.name}: {table.place(first)} has no symbol{more}; fill it in, or remove the row"
        )
    return stripped, codes, []


def _currency_notes(
    table: RawTable, columns: Mapping[str, int], names: list[str], codes: NDArray[np.int64]
) -> list[ReadingNote]:
    import pyarrow as pa

    found, of_row = dictionary(_cells(table, columns, "currency").cast(pa.string()))
    if len(found) < 2:
        return []
    pairs = np.unique(np.stack([codes, of_row]), axis=1)
    twice = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if len(twice):
        symbol = names[int(twice[0])]
        mixed = ", ".join(sorted(found[code] for code in pairs[1][pairs[0] == twice[0]]))
        raise MarketError(
            f"{table.name}: {symbol} has prices in {mixed}; a change of currency is no return: "
            "convert them into one, or keep the rows of one"
        )
    return [
        ReadingNote(
            "currency",
            f"prices are in {', '.join(sorted(found))}: traded value does not compare between "
            "names, and universes rank by it; convert all into one currency",
            tuple(sorted(found)),
        )
    ]


def _require_days(table: RawTable, columns: Mapping[str, int]) -> None:
    if columns.get("period", -1) < 0:
        return
    import pyarrow as pa

    found, _ = dictionary(table.column(columns["period"]).cast(pa.string()))
    shorter = [text for text in found if text and text.strip().lower() not in _DAYS]
    label = table.labels[columns["period"]]
    if shorter and all(
        text.strip().isdigit() or text.strip().lower().endswith(("m", "h", "min"))
        for text in shorter
    ):
        raise MarketError(
            f"{table.name}: intraday bars: column {label} says {shorter[0]!r}; give daily bars, "
            "one row per day and symbol"
        )


def _wide(
    table: RawTable, options: ReadOptions, date: int, found: Sequence[tuple[int, str, str]]
) -> Part:
    """Return the bars of a table with a column for each symbol, or for each column of each."""
    notes = list(table.notes)
    keys = [f"{symbol} {column}" for _, column, symbol in found]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise MarketError(f"{table.name}: there are two columns for {twice}; remove one")
    numbers, told = read_numbers(
        {key: table.column(place) for key, (place, _, _) in zip(keys, found, strict=True)},
        source=table.name,
        place=table.place,
        decimal=options.decimal,
        semicolons=table.semicolons,
    )
    if told:
        notes.append(ReadingNote("decimal", told))
    symbols = list(dict.fromkeys(symbol for _, _, symbol in found))
    columns = [name for name in VALUE_COLUMNS if any(column == name for _, column, _ in found)]
    absent = np.full(table.rows, np.nan)
    values = {
        column: np.concatenate([numbers.get(f"{symbol} {column}", absent) for symbol in symbols])
        for column in columns
    }
    told = "one column for each symbol" if columns == ["close"] else "columns for each symbol"
    shown = ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")
    notes.append(ReadingNote("layout", f"wide, {told}: {shown}", tuple(symbols)))
    rows = np.tile(np.arange(table.rows), len(symbols))
    codes = np.repeat(np.arange(len(symbols)), table.rows)
    filled = ~np.isnan(np.stack(list(values.values()))).all(axis=0)
    dates = table.column(date)
    keep = np.flatnonzero(filled)
    return Part(
        name=table.name,
        place=table.place,
        dates=dates,
        times=None,
        date_rows=rows[keep],
        symbols=symbols,
        symbol_rows=codes[keep],
        values={name: array[keep] for name, array in values.items()},
        notes=tuple(notes),
    )


def _is_transposed(table: RawTable) -> bool:
    """Return whether days go across: each label but the first is a date."""
    labels = table.labels
    return len(labels) > _LEAST_DAYS_ACROSS and all(
        isinstance(label, str) and looks_like_date(label) for label in labels[1:]
    )


def _transposed(table: RawTable, options: ReadOptions) -> Part:
    """Return the closes of a table with a row for each symbol and a column for each day."""
    import pyarrow as pa

    labels = [str(label) for label in table.labels]
    numbers, _ = read_numbers(
        {label: table.column(place) for place, label in enumerate(labels) if place},
        source=table.name,
        place=table.place,
        decimal=options.decimal,
        semicolons=table.semicolons,
    )
    symbols, codes = dictionary(_cells(table, {"symbol": 0}, "symbol").cast(pa.string()))
    close = np.concatenate([numbers[label] for label in labels[1:]])
    keep = np.flatnonzero(~np.isnan(close))
    note = ReadingNote("layout", "wide, one row for each symbol and one column for each day")
    return Part(
        name=table.name,
        place=lambda row: f"the label of column {row + 2}",
        dates=pa.chunked_array([labels[1:]], pa.string()),
        times=None,
        date_rows=np.repeat(np.arange(len(labels) - 1), table.rows)[keep],
        symbols=[symbol.strip() for symbol in symbols],
        symbol_rows=np.tile(codes, len(labels) - 1)[keep],
        values={"close": close[keep]},
        notes=(*table.notes, note),
    )
