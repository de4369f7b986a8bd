"""What a name paid at its end, where the source says that it was delisted.

A file delistings.csv (in a market folder) or PREFIX_delistings.csv (beside a file, as with sectors)
has symbol, day and return: what a holder got over the last close, -0.3 for a loss of 30 %. Without
it, and where the return is empty, a holder keeps the last known return and earns nothing more.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.panel import SeriesIssue
from alphafoundry.market.returns import last_known

LEAST_PRICE = 1e-6
"""Of the last close, in place of nothing: a price of zero has no return after it."""
_HEADER = ("symbol", "day", "return")


@dataclass(frozen=True)
class Delisting:
    """The end of a name; `paid` is the return over its last close, None where it is not known."""

    symbol: str
    day: date
    paid: float | None


def read_delistings(path: Path) -> list[Delisting]:
    """Return the delistings that a file lists. Raises MarketError where it is malformed."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        reason = str(problem).splitlines()[0]
        raise MarketError(f"{path}: cannot read this file of delistings ({reason})") from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"symbol", "day"} <= set(header):
        raise MarketError(
            f"{path}: the columns are {', '.join(header) or 'none'}; a file of delistings has "
            f"{', '.join(_HEADER)}"
        )
    found = []
    for line, row in enumerate(rows[1:], start=2):
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        try:
            day = date.fromisoformat(cells.get("day", ""))
            paid = float(cells["return"]) if cells.get("return") else None
        except ValueError:
            raise MarketError(
                f"{path}: line {line}: write the day as 2020-01-31 and the return as -0.3"
            ) from None
        if paid is not None and not (math.isfinite(paid) and paid >= -1.0):
            raise MarketError(
                f"{path}: line {line}: a return is a fraction of the last close, -1 or above; "
                f"{paid:g} is not"
            )
        found.append(Delisting(cells["symbol"], day, paid))
    return found


def with_last_prices(
    values: Mapping[str, NDArray[np.float64]],
    dates: NDArray[np.datetime64],
    symbols: NDArray[np.str_],
    delistings: Sequence[Delisting],
) -> list[SeriesIssue]:
    """Enter in `values` what each name paid as its close on the day, and say so.

    The close, raw and adjusted, is the last known one times 1 + return, on the first of `dates`
    from the day on. A name that has a bar on that day is left alone, and told.
    """
    place = {symbol: column for column, symbol in enumerate(symbols.tolist())}
    issues = []
    for one in delistings:
        row = int(np.searchsorted(dates, np.datetime64(one.day, "D")))
        if one.symbol not in place or one.paid is None or row in (0, len(dates)):
            continue
        column = place[one.symbol]
        if not np.isnan(values["close"][row, column]):
            detail = f"delisted on {one.day} by the source, but has a close then: it is used"
            issues.append(SeriesIssue(one.symbol, "delisting", detail))
            continue
        for name in ("close", "adj_close"):
            if name in values:
                last = last_known(values[name][: row + 1, [column]])[-1, 0]
                values[name][row, column] = last * max(1.0 + one.paid, LEAST_PRICE)
        detail = f"delisted on {one.day}: a holder got {one.paid:+.1%} over the last close"
        issues.append(SeriesIssue(one.symbol, "delisting", detail))
    return issues
