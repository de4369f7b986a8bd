"""Sector, industry and subindustry of instruments, from a table of names."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError

UNKNOWN = -1
_SUFFIX = "_sectors.csv"
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "instrument"),
    "sector": ("sector", "gics_sector"),
    "industry": ("industry", "gics_industry"),
    "subindustry": ("subindustry", "sub_industry", "gics_sub_industry"),
}


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to group instruments, the same on every day.

    Attributes
    ----------
    codes : int32 array of shape (n_instruments,); index into `names`, -1 is unknown
    names : the groups, sorted
    description : one line for people
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]
    description: str


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
    known = {
        level: grouping(labels[level], f"{level.capitalize()}, from {origin}")
        for level in ("sector", "industry", "subindustry")
        if any(labels.get(level, ()))
    }
    if "subindustry" in known and "industry" not in known:
        finest = known["subindustry"]
        known["industry"] = Grouping(
            finest.codes,
            finest.names,
            f"Same groups as subindustry: {origin} names no industry level",
        )
    return known


def folder_sectors_file(folder: Path) -> Path | None:
    """Return the sectors file of a market folder, sectors.csv in it, None where there is none."""
    path = folder / "sectors.csv"
    return path if path.is_file() else None


def find_sectors_file(data: Path) -> Path | None:
    """Return the sectors file that belongs to a data file, None where there is none.

    It is a sibling named PREFIX_sectors.csv where PREFIX begins the name of the data file; the
    longest such prefix wins: us_top3000_2012_2017.parquet takes us_top3000_sectors.csv.
    """
    siblings = [
        path
        for path in data.parent.glob(f"*{_SUFFIX}")
        if path != data and data.name.startswith(path.name.removesuffix(_SUFFIX))
    ]
    return max(siblings, key=lambda path: len(path.name), default=None)


def read_sectors(path: Path, symbols: NDArray[np.str_]) -> dict[str, Grouping]:
    """Return the groupings that a CSV file gives to `symbols`.

    The file has a column symbol and any of sector, industry, sub_industry (any case). Symbols
    that it does not list and empty cells are unknown. Raises MarketError where it cannot be
    read or lacks the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MarketError(f"{path}: cannot read this sectors file ({_first_line(error)})") from None
    header = rows[0] if rows else []
    positions = _positions(header)
    if "symbol" not in positions or len(positions) < 2:
        raise MarketError(
            f"{path}: the columns are {', '.join(header) or 'none'}; a sectors file has symbol "
            "and at least one of sector, industry, sub_industry"
        )
    levels = {level: column for level, column in positions.items() if level != "symbol"}
    labels: dict[str, dict[str, str]] = {level: {} for level in levels}
    for row in rows[1:]:
        cells = [cell.strip() for cell in row] + [""] * (len(header) - len(row))
        for level, column in levels.items():
            labels[level][cells[positions["symbol"]]] = cells[column]
    wanted = symbols.tolist()
    return groupings_by_level(
        {level: [of.get(symbol, "") for symbol in wanted] for level, of in labels.items()},
        origin=path.name,
    )


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
