"""Sector, industry and subindustry of instruments, from a table of names."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError

UNKNOWN = -1
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "instrument"),
    "since": ("since", "from", "date", "valid_from", "start"),
    "sector": ("sector", "gics_sector"),
    "industry": ("industry", "gics_industry"),
    "subindustry": ("subindustry", "sub_industry", "gics_sub_industry"),
}
AS_OF_THE_DAY = "as it was on the day"
"""Ends the description of groups that change by day."""
LEVELS = ("sector", "industry", "subindustry")


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to group instruments.

    Attributes
    ----------
    codes : int32 array of shape (n_instruments,), the same on every day, or of shape (n_days,
        n_instruments); index into `names`, -1 is unknown
    names : the groups, sorted
    description : one line for people
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]
    description: str

    @property
    def by_day(self) -> bool:
        """Whether it says for each day what was known then."""
        return self.codes.ndim == 2

    def on_days(self, kept: NDArray[np.bool_]) -> Grouping:
        """Return the grouping of those of its days that are kept."""
        return replace(self, codes=self.codes[kept]) if self.by_day else self


def market_group(instruments: int) -> Grouping:
    """Return the grouping that puts every instrument into one group."""
    return Grouping(np.zeros(instruments, dtype=np.int32), ("market",), "The whole market")


def grouping(labels: Sequence[str], description: str) -> Grouping:
    """Return the grouping of instruments by their labels; an empty label is unknown."""
    names = tuple(sorted({label for label in labels if label}))
    index = {name: code for code, name in enumerate(names)}
    codes = np.array([index.get(label, UNKNOWN) for label in labels], dtype=np.int32)
    return Grouping(codes, names, description)


def groupings_by_level(labels: Mapping[str, Sequence[str]], *, origin: str) -> dict[str, Grouping]:
    """Return the groupings of the levels that are known.

    Parameters
    ----------
    labels : any of sector, industry, subindustry to one label per instrument, "" for unknown
    origin : where the labels are from, for the descriptions

    A level without any label is left out. Where subindustry is known and industry is not,
    industry is the same as subindustry and says so: BRAIN neutralizes by industry unless told
    otherwise, and the finer known groups serve that better than none.
    """
    return _with_industry(
        {
            level: grouping(labels[level], f"{level.capitalize()}, from {origin}")
            for level in LEVELS
            if any(labels.get(level, ()))
        },
        origin,
    )


def _with_industry(known: dict[str, Grouping], origin: str) -> dict[str, Grouping]:
    if "subindustry" in known and "industry" not in known:
        finest = known["subindustry"]
        known["industry"] = replace(
            finest,
            description=f"Same groups as subindustry: {origin} names no industry level"
            + (f", {AS_OF_THE_DAY}" if finest.by_day else ""),
        )
    return known


def read_sectors(
    path: Path, symbols: NDArray[np.str_], dates: NDArray[np.datetime64]
) -> dict[str, Grouping]:
    """Return the groupings that a CSV file gives to `symbols`.

    The file has a column symbol and any of sector, industry, sub_industry (any case). Symbols
    that it does not list and empty cells are unknown. With a column since (or from, date) a row
    counts from that day on, up to the next row of its symbol, and the groups are those of each of
    `dates`; otherwise they are the same on all days. Raises MarketError where the file cannot be
    read, lacks the columns or has a malformed day.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MarketError(f"{path}: cannot read this sectors file ({_first_line(error)})") from None
    header = rows[0] if rows else []
    positions = _positions(header)
    levels = [level for level in LEVELS if level in positions]
    if "symbol" not in positions or not levels:
        raise MarketError(
            f"{path}: the columns are {', '.join(header) or 'none'}; a sectors file has symbol "
            "and at least one of sector, industry, sub_industry, and may have since"
        )
    cells = [[cell.strip() for cell in row] + [""] * (len(header) - len(row)) for row in rows[1:]]
    if "since" in positions:
        return _dated(path, cells, positions, levels, symbols, dates)
    labels: dict[str, dict[str, str]] = {level: {} for level in levels}
    for row in cells:
        for level in levels:
            labels[level][row[positions["symbol"]]] = row[positions[level]]
    wanted = symbols.tolist()
    return groupings_by_level(
        {level: [of.get(symbol, "") for symbol in wanted] for level, of in labels.items()},
        origin=path.name,
    )


def _dated(
    path: Path,
    cells: Sequence[Sequence[str]],
    positions: Mapping[str, int],
    levels: Sequence[str],
    symbols: NDArray[np.str_],
    dates: NDArray[np.datetime64],
) -> dict[str, Grouping]:
    place = {symbol: column for column, symbol in enumerate(symbols.tolist())}
    days = [_since(path, line, row[positions["since"]]) for line, row in enumerate(cells, start=2)]
    known: dict[str, Grouping] = {}
    for level in levels:
        names = tuple(sorted({row[positions[level]] for row in cells} - {""}))
        index = {name: code for code, name in enumerate(names)}
        codes = np.full((len(dates), len(symbols)), UNKNOWN, dtype=np.int32)
        for number in sorted(range(len(cells)), key=days.__getitem__):
            column = place.get(cells[number][positions["symbol"]])
            if column is not None:
                first = int(np.searchsorted(dates, days[number]))
                codes[first:, column] = index.get(cells[number][positions[level]], UNKNOWN)
        if names:
            text = f"{level.capitalize()}, from {path.name}, {AS_OF_THE_DAY}"
            known[level] = Grouping(codes, names, text)
    return _with_industry(known, path.name)


def _since(path: Path, line: int, text: str) -> np.datetime64:
    """Return the first day of a row, the beginning of time where its cell is empty."""
    try:
        return np.datetime64(text or "0001-01-01", "D")
    except ValueError:
        raise MarketError(
            f"{path}: line {line}: {text!r} is not a day; write it as 2020-01-31"
        ) from None


def _positions(header: Sequence[str]) -> dict[str, int]:
    normal = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in header]
    return {
        level: normal.index(alias)
        for level, aliases in _COLUMNS.items()
        for alias in reversed(aliases)
        if alias in normal
    }


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def beyond_group(values: NDArray[np.float64], labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the values of one day less the mean of their group, shape (n_instruments,).

    labels : group of each name, below 0 is unknown

    NaN where the value or the group of a name is not known.
    """
    known = np.isfinite(values) & (labels >= 0)
    places = np.where(known, labels, 0)
    total = np.bincount(places, weights=np.where(known, values, 0.0))
    count = np.bincount(places, weights=known.astype(np.float64))
    return np.where(known, values - (total / np.maximum(count, 1.0))[places], np.nan)
