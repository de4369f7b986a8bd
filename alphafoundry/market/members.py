"""Who belonged to a market on each day, so that nobody is chosen for what became of him.

A source tells it by a column `universe` beside its bars, or by a file members.csv (in a market
folder) or PREFIX_members.csv (beside a file, as with sectors): symbol, first and last day, the last
empty for who still belongs. Where neither is there, every name belongs on all days, and the
report says that names which died or left before the end may be missing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.bars import Bars
from alphafoundry.market.returns import last_known

Mask = NDArray[np.bool_]
MEMBER_COLUMN = "universe"
_HEADER = ("symbol", "first", "last")


@dataclass(frozen=True)
class Membership:
    """One stay of a name in a market; `last` is None for who still belongs."""

    symbol: str
    first: date
    last: date | None = None


def members_by_day(
    dates: NDArray[np.datetime64], symbols: NDArray[np.str_], stays: Iterable[Membership]
) -> Mask:
    """Return who belongs on each day, of shape (n_days, n_instruments)."""
    place = {symbol: column for column, symbol in enumerate(symbols.tolist())}
    inside = np.zeros((len(dates), len(symbols)), dtype=bool)
    for stay in stays:
        if stay.symbol in place:
            first = np.searchsorted(dates, np.datetime64(stay.first, "D"))
            last = len(dates)
            if stay.last is not None:
                last = int(np.searchsorted(dates, np.datetime64(stay.last, "D"), side="right"))
            inside[first:last, place[stay.symbol]] = True
    return inside


def members_of_column(bars: Bars, dates: NDArray[np.datetime64]) -> Mask | None:
    """Return who belongs by the bars' own column, on `dates`; None where there is none.

    On a day without a bar a name is what it was on its last one.
    """
    if MEMBER_COLUMN not in bars.values:
        return None
    column = last_known(bars.values[MEMBER_COLUMN][np.isin(bars.dates, dates)])
    return np.nan_to_num(column) > 0.0


def read_members(path: Path) -> list[Membership]:
    """Return the stays that a file lists. Raises MarketError where it is malformed."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        reason = str(problem).splitlines()[0]
        raise MarketError(f"{path}: cannot read this members file ({reason})") from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"symbol", "first"} <= set(header):
        raise MarketError(
            f"{path}: the columns are {', '.join(header) or 'none'}; a members file has "
            f"{', '.join(_HEADER)}, with an empty last for who still belongs"
        )
    stays = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        first = _day(path, line, cells.get("first", ""))
        last = _day(path, line, cells["last"]) if cells.get("last") else None
        if last is not None and last < first:
            raise MarketError(f"{path}: line {line}: last {last} is before first {first}")
        stays.append(Membership(cells["symbol"], first, last))
    return stays


def members_content(stays: Sequence[Membership]) -> bytes:
    """Return the content of the members file that `read_members` reads back as `stays`."""
    lines = [",".join(_HEADER)]
    lines += [f"{stay.symbol},{stay.first},{stay.last or ''}" for stay in stays]
    return ("\n".join(lines) + "\n").encode()


def _day(path: Path, line: int, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MarketError(
            f"{path}: line {line}: {text!r} is not a day; write it as 2020-01-31"
        ) from None
