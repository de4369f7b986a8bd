"""From the tables of a source to its bars: one calendar, one cell for each day and symbol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.bars import PRICE_COLUMNS, VALUE_COLUMNS, Bars
from alphafoundry.market.columns import match_columns
from alphafoundry.market.dates import DAY_SECONDS, Stamps, is_parted, looks_like_date, read_stamps
from alphafoundry.market.issues import ReadingNote
from alphafoundry.market.layouts import LAYOUT, NoBarsError, Part, ReadOptions, read_part
from alphafoundry.market.panel import SeriesIssue
from alphafoundry.market.tables import RawTable
from alphafoundry.market.zones import trading_days

HUGE_PRICE = 1e15
MOST_MOVE_IN_A_GAP = float(np.log(1.19))
INTRADAY_SHARE = 0.02
SAME_NUMBER = 1e-6
"""Numbers of one day and name that differ by less are one number, rounded in two ways."""
_SHOWN = 5
_MOST_TIMES = 4
_SEVERAL_SERIES = 0.05
_VAGUE = frozenset(
    {
        *("alpaca", "alphavantage", "bar", "bars", "binance", "candles", "csv", "daily", "data"),
        *("dataframe", "dataset", "download", "downloads", "eod", "equities", "export", "file"),
        *("historical", "historicaldata", "history", "input", "intraday", "investing", "kaggle"),
        *("klines", "market", "massive", "nasdaq", "ohlc", "ohlcv", "output", "polygon", "price"),
        *("prices", "query", "quote", "quotes", "response", "result", "results", "sample", "sheet"),
        *("sheet1", "stock", "stocks", "stooq", "table", "test", "tiingo", "yahoo", "yfinance"),
    }
)
"""Words of names of files that are no symbols."""


def bars_of_tables(
    name: str,
    tables: Sequence[RawTable],
    options: ReadOptions,
    *,
    many: bool,
    notes: Sequence[ReadingNote] = (),
) -> Bars:
    """Return the bars of the tables of one source.

    Parameters
    ----------
    name : starts every error that is of no single table
    many : whether a table without columns of bars may be left out, as a note tells then
    notes : what is known already

    Raises MarketError where no bars are in them, where a cell is malformed, or where bars are of
    less than a day.
    """
    parts, left_out = _parts(tables, options, many=many)
    found = [*notes, *left_out, *_gathered(parts)]
    days, seconds, symbols, codes, zone_notes = _aligned(name, parts, options)
    dates, day_codes = _calendar(days)
    cells = day_codes * len(symbols) + codes
    shape = (len(dates), len(symbols))
    if shape[0] * shape[1] > 50 * len(cells) + 10_000_000:
        raise MarketError(
            f"{name}: {len(cells)} rows spread over {shape[0]} days and {shape[1]} symbols are "
            "too sparse for a panel of daily bars; check the date and symbol columns"
        )
    _require_daily(name, cells, days, seconds, symbols)
    columns = _columns(parts)
    columns, adjustment_notes = _settled(name, columns)
    columns, issues = _without_huge(columns, codes, symbols)
    values = {column: _scatter(numbers, cells, shape) for column, numbers in columns.items()}
    conflicting, repeated = _duplicates(cells, columns, values, dates, symbols)
    _require_symbols(name, parts, options, repeated)
    for array in values.values():
        array.reshape(-1)[conflicting] = np.nan
    found += [*zone_notes, *adjustment_notes]
    if "adj_close" in values and "close" in values:
        found += _fill_adjusted(values)
    return Bars(
        dates=dates,
        symbols=symbols,
        values=values,
        issues=(*repeated, *issues),
        notes=tuple(found),
    )


def _parts(
    tables: Sequence[RawTable], options: ReadOptions, *, many: bool
) -> tuple[list[Part], list[ReadingNote]]:
    """Return the bars of each table, and a note on tables without any among many."""
    parts: list[Part] = []
    refused: list[NoBarsError] = []
    for table in tables:
        try:
            parts.append(read_part(_dated(table), options))
        except NoBarsError as reason:
            if not many:
                raise
            refused.append(reason)
    if not parts:
        raise refused[0]
    if not refused:
        return parts, []
    shown = "; ".join(str(reason).split("; ")[0] for reason in refused[:_SHOWN])
    return parts, [ReadingNote("files-ignored", f"{len(refused)} files hold no bars: {shown}")]


def _dated(table: RawTable) -> RawTable:
    """Return a table whose file is named after its day, as 2024-01-31.csv, with that date."""
    labels = [label for label in table.labels if isinstance(label, str)]
    found = match_columns([*labels, *table.given])
    whole = table.name.replace("\\", "/").rpartition("/")[2].split(".")[0]
    if "date" in found or "symbol" not in found or not looks_like_date(whole):
        return table
    return replace(table, given={**table.given, "date": whole})


def _gathered(parts: Sequence[Part]) -> list[ReadingNote]:
    """Return the notes of all parts, the same of many parts once."""
    found: dict[tuple[str, str], list[ReadingNote]] = {}
    of_file = {"symbol": "symbols are the names of files or sheets", "layout": ""}
    for part in parts:
        for note in part.notes:
            several = len(parts) > 1 and note.kind == "symbol"
            detail = of_file[note.kind] if several else note.detail
            found.setdefault((note.kind, detail), []).append(note)
    return [
        ReadingNote(
            kind, detail, tuple(dict.fromkeys(item for note in notes for item in note.items))
        )
        for (kind, detail), notes in found.items()
    ]


def _aligned(
    name: str, parts: Sequence[Part], options: ReadOptions
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.str_],
    NDArray[np.int64],
    list[ReadingNote],
]:
    """Return (day, seconds, symbols, index of the symbol) of all rows of all parts, and notes."""
    every = [symbol for part in parts for symbol in part.symbols]
    symbols, position = np.unique(np.array(every, dtype=np.str_), return_inverse=True)
    starts = np.cumsum([0, *(len(part.symbols) for part in parts)])
    codes = np.concatenate(
        [
            position[start : start + len(part.symbols)][part.symbol_rows]
            for start, part in zip(starts, parts, strict=False)
        ]
    )
    stamps = _stamps(parts, options)
    days = np.concatenate(
        [stamp.days[part.date_rows] for stamp, part in zip(stamps, parts, strict=True)]
    )
    seconds = np.concatenate(
        [stamp.seconds[part.date_rows] for stamp, part in zip(stamps, parts, strict=True)]
    )
    if not len(days):
        raise MarketError(f"{name}: no rows hold a value; give date, symbol and close")
    zoned = all(stamp.zoned for stamp in stamps)
    notes: dict[str, ReadingNote] = {}
    used = np.unique(codes)
    absent = tuple(name for name in np.delete(symbols, used).tolist() if name)
    symbols, codes = symbols[used], np.searchsorted(used, codes)
    if absent:
        detail = f"{len(absent)} symbols have no value at all: {', '.join(absent[:_SHOWN])}"
        notes[detail] = ReadingNote("rows", detail, absent)
    moved = days.copy()
    for rows in _stamped_alike(codes, seconds, len(symbols)):
        moved[rows], found = trading_days(days[rows], seconds[rows], zoned=zoned)
        notes |= {note.detail: note for note in found}
    return moved, seconds, symbols, codes, list(notes.values())


def _stamps(parts: Sequence[Part], options: ReadOptions) -> list[Stamps]:
    """Return the days of each part; dates written alike are read together, so one tells another."""
    import pyarrow as pa

    alike: dict[tuple[bool, object], list[int]] = {}
    for place, part in enumerate(parts):
        text = pa.types.is_string(part.dates.type) and len(part.dates) > 0
        style = is_parted(part.dates[0].as_py() or "") if text else place
        alike.setdefault((text, style), []).append(place)
    found: dict[int, Stamps] = {}
    for places in alike.values():
        ends = np.cumsum([0, *(len(parts[place].dates) for place in places)])
        whole = read_stamps(
            pa.chunked_array([c for place in places for c in _chunks(parts[place].dates)]),
            source=parts[places[0]].name,
            place=partial(_place, [parts[place] for place in places], ends),
            date_format=options.date_format,
        )
        for number, place in enumerate(places):
            rows = slice(ends[number], ends[number + 1])
            found[place] = Stamps(whole.days[rows], whole.seconds[rows], whole.zoned)
    return [_with_times(found[place], part) for place, part in enumerate(parts)]


def _place(parts: Sequence[Part], ends: NDArray[np.int64], row: int) -> str:
    """Return where a row of the dates of several parts stands."""
    which = int(np.searchsorted(ends, row, side="right")) - 1
    place = str(parts[which].place(row - int(ends[which])))
    return place if which == 0 else f"{place} of {parts[which].name}"


def _chunks(column: Any) -> list[Any]:
    import pyarrow as pa

    return list(column.chunks) if isinstance(column, pa.ChunkedArray) else [column]


def _with_times(stamps: Stamps, part: Part) -> Stamps:
    """Return stamps with the times of a column of their own, such as 093000 or 09:30."""
    if part.times is None or (stamps.seconds != 0).any():
        return stamps
    import pandas as pd
    import pyarrow as pa

    texts = pd.Series(part.times.cast(pa.string()).to_pandas()).astype(str).str.strip()
    digits = texts.str.replace(":", "", regex=False).str.split(".").str[0]
    numbers = pd.to_numeric(digits, errors="coerce").fillna(0).to_numpy(dtype=np.int64)
    short = (digits.str.len() <= 4).to_numpy()
    clock = np.where(short, numbers * 100, numbers)
    seconds = clock // 10_000 * 3600 + clock // 100 % 100 * 60 + clock % 100
    return Stamps(stamps.days, np.minimum(seconds, DAY_SECONDS - 1), True)


def _stamped_alike(
    codes: NDArray[np.int64], seconds: NDArray[np.int64], symbols: int
) -> list[NDArray[np.int64] | slice]:
    """Return the rows of symbols whose stamps have the same times of the day, group by group."""
    if not (seconds != seconds[0]).any():
        return [slice(None)]
    pairs = np.unique(codes * DAY_SECONDS + seconds)
    times: list[list[int]] = [[] for _ in range(symbols)]
    for pair in pairs.tolist():
        times[pair // DAY_SECONDS].append(pair % DAY_SECONDS)
    if max(map(len, times)) > _MOST_TIMES:
        return [slice(None)]
    groups = {tuple(clock): number for number, clock in enumerate(dict.fromkeys(map(tuple, times)))}
    group_of = np.array([groups[tuple(clock)] for clock in times])[codes]
    return [np.flatnonzero(group_of == number) for number in range(len(groups))]


def _calendar(days: NDArray[np.int64]) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """Return (sorted unique days, index of each row's day)."""
    first, last = int(days.min()), int(days.max())
    seen = np.bincount(days - first, minlength=last - first + 1) > 0
    position = np.cumsum(seen) - 1
    dates = (np.flatnonzero(seen) + first).astype("datetime64[D]")
    return dates, position[days - first]


def _require_daily(
    name: str,
    cells: NDArray[np.int64],
    days: NDArray[np.int64],
    seconds: NDArray[np.int64],
    symbols: NDArray[np.str_],
) -> None:
    if not (seconds != seconds[0]).any():
        return
    pairs = np.unique(cells * DAY_SECONDS + seconds) // DAY_SECONDS
    cell, counts = np.unique(pairs, return_counts=True)
    several = int(np.count_nonzero(counts > 1))
    if several <= INTRADAY_SHARE * len(cell):
        return
    at = int(np.flatnonzero(cells == cell[int(counts.argmax())])[0])
    day = np.datetime64(int(days[at]), "D")
    symbol = symbols[int(cells[at]) % len(symbols)]
    raise MarketError(
        f"{name}: intraday bars: {symbol} has {counts.max()} bars on {day}; give daily bars, one "
        "row per day and symbol (pandas: groupby symbol, resample('1D'), first open, max high, "
        "min low, last close, sum volume)"
    )


def _columns(parts: Sequence[Part]) -> dict[str, NDArray[np.float64]]:
    """Return column to the values of all rows, NaN where a part has no such column."""
    if len(parts) == 1:
        return dict(parts[0].values)
    return {
        column: np.concatenate(
            [
                part.values[column]
                if column in part.values
                else np.full(len(part.date_rows), np.nan)
                for part in parts
            ]
        )
        for column in VALUE_COLUMNS
        if any(column in part.values for part in parts)
    }


def _settled(
    name: str, columns: dict[str, NDArray[np.float64]]
) -> tuple[dict[str, NDArray[np.float64]], list[ReadingNote]]:
    """Return the columns that hold something, and what that means for prices and volume."""
    notes: list[ReadingNote] = []
    empty = tuple(column for column, numbers in columns.items() if np.isnan(numbers).all())
    if empty:
        notes.append(
            ReadingNote("columns-ignored", f"columns without any value: {', '.join(empty)}", empty)
        )
    kept = {column: numbers for column, numbers in columns.items() if column not in empty}
    if "close" not in kept and "adj_close" in kept:
        kept = _adjusted_only(kept)
        notes.append(ReadingNote("adjustment", "adjusted prices only: the source has no raw close"))
    elif "close" not in kept:
        raise MarketError(f"{name}: no close has a value; give a column close with prices")
    elif "adj_close" in kept:
        notes.append(ReadingNote("adjustment", "raw close and adjusted close, both kept"))
    if "adj_close" not in columns and (np.nan_to_num(kept.get("dividend", 0.0)) > 0.0).any():
        detail = (
            "dividends beside one close: if the source has not adjusted it for them, returns are "
            "without dividends; give a column adj_close"
        )
        notes.append(ReadingNote("dividends", detail))
    if "volume" in kept and not (np.nan_to_num(kept["volume"]) != 0).any():
        del kept["volume"]
        notes.append(ReadingNote("volume", "every volume is zero: this is a market without volume"))
    if "volume" not in kept and "adj_volume" in kept:
        kept["volume"] = kept.pop("adj_volume")
        notes.append(ReadingNote("volume", "adjusted volume only: the source has no raw volume"))
    elif "adj_volume" in kept:
        notes.append(ReadingNote("volume", "raw volume and adjusted volume, both kept"))
    ordered = {column: kept[column] for column in VALUE_COLUMNS if column in kept}
    return ordered, notes


def _adjusted_only(columns: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return columns whose adjusted prices stand for the raw ones, which are not known."""
    renamed = {column: numbers for column, numbers in columns.items() if column != "adj_close"}
    renamed["close"] = columns["adj_close"]
    for column in ("open", "high", "low"):
        adjusted = renamed.pop(f"adj_{column}", None)
        if adjusted is not None:
            renamed[column] = adjusted
    return renamed


def _without_huge(
    columns: dict[str, NDArray[np.float64]], codes: NDArray[np.int64], symbols: NDArray[np.str_]
) -> tuple[dict[str, NDArray[np.float64]], list[SeriesIssue]]:
    """Return columns without rows whose numbers no price can be, and an issue for each symbol."""
    huge = np.zeros(len(codes), dtype=bool)
    for column in PRICE_COLUMNS:
        if column in columns and np.nanmax(np.abs(columns[column]), initial=0.0) > HUGE_PRICE:
            huge |= np.abs(columns[column]) > HUGE_PRICE
    if not huge.any():
        return columns, []
    issues = [
        SeriesIssue(
            str(symbols[code]),
            "huge-price",
            f"a price beyond {HUGE_PRICE:.0e}, which none can be: these bars are masked",
            int(np.count_nonzero(huge & (codes == code))),
        )
        for code in np.unique(codes[huge])
    ]
    return {column: np.where(huge, np.nan, array) for column, array in columns.items()}, issues


def _require_symbols(
    name: str, parts: Sequence[Part], options: ReadOptions, repeated: Sequence[SeriesIssue]
) -> None:
    """Refuse tables without symbols that hold several series, or whose name is no symbol."""
    unnamed = [part for part in parts if any(note.kind == "symbol" for note in part.notes)]
    if not unnamed:
        return
    rows = sum(len(part.date_rows) for part in unnamed)
    twice = next((issue for issue in repeated if issue.masked > _SEVERAL_SERIES * rows), None)
    if twice is not None:
        raise MarketError(
            f"{name}: no column symbol, and {twice.detail.split(';')[0]}: there are several "
            f"series in it; {LAYOUT}"
        )
    vague = [part.symbols[0] for part in unnamed if _is_vague(part.symbols[0])]
    if vague and not options.symbol:
        raise MarketError(
            f"{name}: no column symbol, and {vague[0]!r} is no symbol either; name the file after "
            "its symbol, such as AAPL.csv, or give the option symbol: FILE?symbol=AAPL, or "
            "symbol='AAPL' with a table in memory"
        )


def _is_vague(stem: str) -> bool:
    words = re.findall(r"[a-z][a-z0-9]*", stem.lower())
    return all(word in _VAGUE for word in words) and bool(words)


def _fill_adjusted(values: dict[str, NDArray[np.float64]]) -> list[ReadingNote]:
    """Fill adj_close where it is missing beside a close, as far as the days before tell.

    The factor adj_close / close that was last known holds until the close itself moves by more
    than a split of 6 for 5 would move it. From there to the next adj_close, and before the first
    one, the bar is left out: the return over the gap is that of adj_close then. What comes after
    a gap fills nothing in it, so that no later bar changes an earlier one.
    """
    close, adjusted = values["close"], values["adj_close"]
    lacking = np.isnan(adjusted) & ~np.isnan(close)
    if not lacking.any():
        return []
    for column in np.flatnonzero(lacking.any(axis=0)):
        rows = np.flatnonzero(close[:, column] > 0.0)
        raw = close[rows, column]
        factor = adjusted[rows, column] / raw
        number = np.arange(len(rows))
        known = np.maximum.accumulate(np.where(np.isfinite(factor), number, -1))
        moved = np.abs(np.diff(np.log(raw), prepend=np.log(raw[:1]))) > MOST_MOVE_IN_A_GAP
        last_move = np.maximum.accumulate(np.where(moved, number, -1))
        gaps = (known >= 0) & (known < number) & (last_move <= known)
        adjusted[rows[gaps], column] = raw[gaps] * factor[known[gaps]]
    left = int(np.count_nonzero(lacking & np.isnan(adjusted)))
    detail = (
        f"adj_close is missing on {np.count_nonzero(lacking)} bars: "
        f"{np.count_nonzero(lacking) - left} are filled by the factor before them"
    )
    if left:
        detail += f", {left} have no factor and are left out"
        for array in values.values():
            array[lacking & np.isnan(adjusted)] = np.nan
    return [ReadingNote("adjustment", detail)]


def _scatter(
    numbers: NDArray[np.float64], cells: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    array = np.full(shape, np.nan)
    array.reshape(-1)[cells] = numbers
    return array


def _duplicates(
    cells: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
    values: dict[str, NDArray[np.float64]],
    dates: NDArray[np.datetime64],
    symbols: NDArray[np.str_],
) -> tuple[NDArray[np.int64], tuple[SeriesIssue, ...]]:
    """Return (cells whose rows contradict each other, issues of all repeated rows).

    An empty cell contradicts nothing: `values` take what the other rows of the day say.
    """
    counts = np.bincount(cells, minlength=len(dates) * len(symbols))
    if counts.max() <= 1:
        return np.zeros(0, dtype=np.int64), ()
    repeated = np.flatnonzero(counts > 1)
    rows = np.flatnonzero(counts[cells] > 1)
    rows = rows[np.argsort(cells[rows], kind="stable")]
    starts = np.searchsorted(cells[rows], repeated)
    conflict = np.zeros(len(repeated), dtype=bool)
    for column, numbers in columns.items():
        least, most = (take.reduceat(numbers[rows], starts) for take in (np.fmin, np.fmax))
        conflict |= most - least > SAME_NUMBER * np.abs(most)
        values[column].reshape(-1)[repeated] = most
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
