"""What happens to shares on one trading day: bars, splits, dividends, delistings.

Prices are raw: what a share cost that day. The desk's ledger and the paper broker read the same
days, and compute what follows from them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from alphafoundry.errors import TradingError
from alphafoundry.market.sessions import Session, sessions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alphafoundry.market import Panel

PAY_AFTER_DAYS = 14
"""Calendar days from the ex-date to payment where a source names no pay date."""

_CENT = Decimal("0.01")
_SMALLEST = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class DayBar:
    """Raw prices of one share on one day in dollars; volume in shares."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


@dataclass(frozen=True)
class Split:
    """`new` shares for `old` ones, before the open of `day`."""

    symbol: str
    day: date
    new: int
    old: int


@dataclass(frozen=True)
class Dividend:
    """Dollars a share for who holds at the open of the ex-date; paid at the open of pay_date."""

    symbol: str
    ex_date: date
    pay_date: date
    per_share: Decimal


@dataclass(frozen=True)
class Delisting:
    """The end of a share before the open of `day`: holders get `price` a share in cash."""

    symbol: str
    day: date
    price: Decimal


@dataclass(frozen=True)
class MarketDay:
    """One trading day.

    Attributes
    ----------
    session : its hours
    bars : of the symbols that traded; a symbol without one is halted that day
    splits, dividends, delistings : that take effect before this day's open
    """

    session: Session
    bars: Mapping[str, DayBar]
    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    delistings: tuple[Delisting, ...] = ()


@dataclass(frozen=True)
class MarketDays:
    """Trading days of one market in order, by day.

    Attributes
    ----------
    label : one line for reports; starts with SYNTHETIC where prices were generated
    synthetic : True where prices were generated
    exchange : code of its calendar
    days : day to what happens on it
    """

    label: str
    synthetic: bool
    exchange: str
    days: Mapping[date, MarketDay]
    symbols: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def from_panel(
        cls, panel: Panel, first: date, last: date, *, exchange: str = "XNYS"
    ) -> MarketDays:
        """Return the sessions from `first` to `last` of a panel in raw prices.

        Prices are rounded to cents, below a dollar to 1/10,000 dollar. Open, high and low are
        scaled by raw over adjusted close; where one is missing it is the close, and a high or low
        that does not enclose open and close is moved to them. A symbol without a close has no bar.
        Of a panel that knows adjusted prices alone the shares are notional, which the label says,
        and without splits and dividends, which its prices hold already. A symbol whose last close
        lies within these days, and not on the last, is delisted on the next at that close.

        Raises TradingError where a day of the panel is not a session of the exchange.
        """
        rows = np.flatnonzero(
            (panel.dates >= np.datetime64(first)) & (panel.dates <= np.datetime64(last))
        )
        hours = {one.day: one for one in sessions(exchange, first, last)}
        symbols = [str(symbol) for symbol in panel.symbols]
        close = panel.fields["close"]
        ends = _last_rows(close)
        days: dict[date, MarketDay] = {}
        for row in rows.tolist():
            day: date = panel.dates[row].astype(object)
            if day not in hours:
                raise TradingError(f"{panel.label}: {day} is not a session of {exchange}")
            days[day] = MarketDay(
                hours[day],
                _bars(panel, symbols, row),
                _splits(panel, symbols, row, day),
                _dividends(panel, symbols, row, day),
                tuple(
                    Delisting(symbols[column], day, _tick(_raw_close(panel, row - 1, column)))
                    for column in np.flatnonzero(ends == row - 1).tolist()
                    if row - 1 >= rows[0] and row - 1 < len(panel.dates) - 1
                ),
            )
        notional = panel.adjusted_only and not panel.synthetic
        label = f"{panel.label}; notional shares at adjusted prices" if notional else panel.label
        return cls(label, panel.synthetic, exchange, days, frozenset(symbols))


@lru_cache(maxsize=4096)
def session_of(exchange: str, day: date) -> Session:
    """Return the hours of a trading day. Raises TradingError where there is no session."""
    found = sessions(exchange, day, day)
    if not found:
        raise TradingError(f"{day}: {exchange} does not trade; name a session")
    return found[0]


def _last_rows(close: NDArray[np.float64]) -> NDArray[np.int64]:
    known = np.isfinite(close)
    last = len(close) - 1 - known[::-1].argmax(axis=0)
    return np.where(known.any(axis=0), last, -1).astype(np.int64)


def _raw_close(panel: Panel, row: int, column: int) -> float:
    raw = panel.raw.get("close", panel.fields["close"])
    return float(raw[row, column])


def _tick(price: float) -> Decimal:
    exact = Decimal(repr(price))
    return max(
        exact.quantize(_CENT if exact >= 1 else _SMALLEST, rounding=ROUND_HALF_EVEN), _SMALLEST
    )


def _bars(panel: Panel, symbols: list[str], row: int) -> dict[str, DayBar]:
    close = panel.fields["close"][row]
    raw = panel.raw.get("close", panel.fields["close"])[row]
    scale = raw / close
    rows = {
        name: panel.fields[name][row] * scale if name in panel.fields else raw
        for name in ("open", "high", "low")
    }
    volume = panel.fields["volume"][row] if "volume" in panel.fields else np.zeros_like(close)
    traded = np.where(np.isfinite(volume), volume, 0.0).astype(np.int64).tolist()
    opens, highs, lows = (_ticks(rows[name]) for name in ("open", "high", "low"))
    found = {}
    for column, end in enumerate(_ticks(np.where(raw > 0, raw, np.nan))):
        if end is None:
            continue
        start, high, low = opens[column] or end, highs[column] or end, lows[column] or end
        found[symbols[column]] = DayBar(
            start, max(high, start, end), min(low, start, end), end, traded[column]
        )
    return found


def _ticks(prices: NDArray[np.float64]) -> list[Decimal | None]:
    """Return `_tick` of each price, None where it is not known."""
    with np.errstate(invalid="ignore"):
        cents = prices * 100.0
        near = np.rint(cents)
        # What lies half-way between two cents, or below a dollar, is rounded as it is written.
        plain = (np.abs(np.abs(cents - near) - 0.5) > 1e-6) & (prices >= 1) & (near < 1e9)
    whole = np.where(plain, near, 0.0).astype(np.int64).tolist()
    return [
        _cents(count) if count else (_tick(price) if math.isfinite(price) else None)
        for count, price in zip(whole, prices.tolist(), strict=True)
    ]


@lru_cache(maxsize=1 << 16)
def _cents(count: int) -> Decimal:
    return Decimal(count).scaleb(-2)


def _splits(panel: Panel, symbols: list[str], row: int, day: date) -> tuple[Split, ...]:
    if panel.adjusted_only or "split_factor" not in panel.raw:
        return ()
    factors = panel.raw["split_factor"][row]
    found = []
    for column in np.flatnonzero(np.isfinite(factors) & (factors > 0) & (factors != 1.0)).tolist():
        new, old = Decimal(repr(float(factors[column]))).as_integer_ratio()
        if old > 1000:
            new, old = _simple_ratio(float(factors[column]))
        found.append(Split(symbols[column], day, new, old))
    return tuple(found)


def _simple_ratio(factor: float) -> tuple[int, int]:
    from fractions import Fraction

    return Fraction(factor).limit_denominator(1000).as_integer_ratio()


def _dividends(panel: Panel, symbols: list[str], row: int, day: date) -> tuple[Dividend, ...]:
    if panel.adjusted_only or "dividend" not in panel.raw:
        return ()
    paid = panel.raw["dividend"][row]
    return tuple(
        Dividend(
            symbols[column],
            day,
            day + timedelta(days=PAY_AFTER_DAYS),
            Decimal(repr(float(paid[column]))).quantize(Decimal("0.000001")),
        )
        for column in np.flatnonzero(np.isfinite(paid) & (paid > 0)).tolist()
    )
