"""The risk of a book on one evening: tails, exposures, liquidity, stress."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from alphafoundry.errors import PortfolioError
from alphafoundry.finance.statistics import beta, deviation, under_water
from alphafoundry.market.panel import Panel
from alphafoundry.trading.risk.backtesting import ExceptionTest, judge_exceptions
from alphafoundry.trading.risk.correlation import ShrunkCorrelation, shrunk_correlation
from alphafoundry.trading.risk.measures import (
    WINDOW,
    Method,
    TailRisk,
    tail_risk,
)

Array = NDArray[np.float64]

LEVELS = (0.95, 0.99)
DESIGNATED: tuple[Method, float] = ("filtered historical", 0.99)
"""The one measure that is judged daily and limited; the others are shown beside it."""

_YEAR = 252
_VOLUME_DAYS = 20
_WINDOWS = (1, 5, 20)
MARKET_FALL, SECTOR_FALL = -0.10, -0.15


@dataclass(frozen=True, eq=False)
class BookHistory:
    """What a desk has been through, oldest first; each array has shape (n_sessions,).

    Attributes
    ----------
    returns : net, of the desk's equity, as fractions
    hypothetical : what the book of the evening before earned without the day's trades
    value_at_risk : the designated measure as it was foretold for the day; NaN where it was not
    """

    returns: Array
    hypothetical: Array
    value_at_risk: Array


@dataclass(frozen=True, eq=False)
class RiskSnapshot:
    """The risk of a book, as fractions of equity unless said otherwise; losses of tails positive.

    Attributes
    ----------
    day : last day whose bars were used
    equity : dollars
    gross, net, largest : exposures; the last is that of the largest name
    weights : symbol to position
    price : symbol to the dollars a share that it is marked at
    tails : by three methods at 95 % and 99 %; empty below 100 days of returns
    designated : the filtered historical one at 99 %; None below 100 days
    exceptions : test of the designated measure on the desk's own sessions
    drawdown, deepest : of the desk's equity now, and the deepest so far; 0 or below
    volatility : deviation of a day's return of the present book
    beta : to the mean return of the market's names, over a year
    sectors : sector to net exposure
    effective_names : 1 over the sum of squared shares of gross exposure
    correlation : mean correlation of two positions, signed by their sides and weighted by size,
        from the shrunk matrix; NaN with fewer than two
    shrinkage : its intensity, 0 to 1
    liquidity_days : sessions to sell every position at the given share of volume, but those that
        cannot be sold
    slowest : the symbol that takes longest, None without positions
    unsellable : symbols without any volume for 20 days: halted, or soon to be delisted
    stress : scenario to return, below 0 is a loss
    halved_volume_days : liquidity_days with half the volume
    unknown : share of gross exposure in names without a return that day; they count as unmoved
    """

    day: date
    equity: float
    gross: float
    net: float
    largest: float
    weights: Mapping[str, float] = field(repr=False)
    price: Mapping[str, float] = field(repr=False)
    tails: tuple[TailRisk, ...]
    exceptions: ExceptionTest
    drawdown: float
    deepest: float
    volatility: float
    beta: float
    sectors: Mapping[str, float]
    sector_of: Mapping[str, str] = field(repr=False)
    effective_names: float
    correlation: float
    shrinkage: float
    liquidity_days: float
    slowest: str | None
    unsellable: tuple[str, ...]
    stress: Mapping[str, float]
    unknown: float

    @property
    def designated(self) -> TailRisk | None:
        """The measure that limits and the daily test use; None below 100 days of returns."""
        return next((one for one in self.tails if (one.method, one.level) == DESIGNATED), None)

    @property
    def halved_volume_days(self) -> float:
        """Sessions to sell every position if only half the volume were traded."""
        return 2.0 * self.liquidity_days

    def lines(self) -> list[str]:
        """Return the snapshot for people, a line each."""
        named = self.designated
        worst = min(self.stress.items(), key=lambda item: item[1], default=("none", 0.0))
        return [
            f"exposure: gross {self.gross:.1%}, net {self.net:+.1%}, largest {self.largest:.1%}, "
            f"beta {self.beta:+.2f}",
            "VaR: needs 100 days of returns"
            if named is None
            else f"VaR 99 % (filtered historical): {named.value_at_risk:.2%} of equity, beyond it "
            f"{named.shortfall:.2%}",
            f"test: {self.exceptions}",
            f"drawdown: {self.drawdown:.2%} now, {self.deepest:.2%} at the deepest",
            f"liquidity: {self.liquidity_days:.1f} sessions to sell everything"
            + (f" but {', '.join(self.unsellable)}" if self.unsellable else ""),
            f"worst stress: {worst[0]} {worst[1]:+.2%}",
        ]


class RiskMemory:
    """What a day and the names of a book say, whatever it holds of them; of one panel.

    A book is measured several times a session: with other equity, or with the day before. Of the
    last day asked for, and the last names, nothing is worked out twice.
    """

    def __init__(self) -> None:
        self._market: tuple[int, Array] | None = None
        self._names: tuple[object, _OfNames] | None = None

    def market(self, panel: Panel, row: int) -> Array:
        """Return the mean return of all names on the days of a year up to a row."""
        if self._market is None or self._market[0] != row:
            recent = panel.fields["returns"][max(row + 1 - _YEAR, 0) : row + 1]
            there = np.isfinite(recent)
            sums = np.where(there, recent, 0.0).sum(axis=1)
            self._market = row, sums / np.maximum(there.sum(axis=1), 1)
        return self._market[1]

    def names(self, panel: Panel, row: int, names: list[str]) -> _OfNames:
        """Return what some names did up to a row."""
        key = (row, tuple(names))
        if self._names is None or self._names[0] != key:
            self._names = key, _OfNames.of(panel, row, names)
        return self._names[1]


@dataclass(frozen=True, eq=False)
class _OfNames:
    """Columns of the panel, returns and the same with 0 for NaN, and correlations of a year.

    correlation : None with fewer than two names or days
    """

    columns: NDArray[np.intp]
    returns: Array
    earned: Array
    correlation: ShrunkCorrelation | None

    @classmethod
    def of(cls, panel: Panel, row: int, names: list[str]) -> _OfNames:
        """Read them from a panel."""
        columns = _columns(panel, names)
        returns = panel.fields["returns"][max(row + 1 - WINDOW, 0) : row + 1][:, columns]
        earned = np.where(np.isnan(returns), 0.0, returns)
        year = earned[max(len(earned) - _YEAR, 0) :]
        several = len(names) >= 2 and len(year) >= 2
        return cls(columns, returns, earned, shrunk_correlation(year) if several else None)


def measure_risk(
    panel: Panel,
    day: date,
    holdings: Mapping[str, int],
    equity: float,
    history: BookHistory,
    *,
    participation: float = 0.05,
    memory: RiskMemory | None = None,
) -> RiskSnapshot:
    """Return the risk of a book at the close of `day`, from bars up to that day alone.

    Tails, beta, correlation and stress windows are of what the present weights would have earned
    on the days before.

    Parameters
    ----------
    panel : the market; of days after `day` it uses nothing
    holdings : symbol to whole shares, below 0 is short
    equity : dollars, above 0
    history : of the desk itself
    participation : share of a mean day's volume that could be sold in a session
    memory : of earlier measurements of the same panel; None has none

    Raises PortfolioError where a name is unknown or has no price, equity is not above 0, or there
    is no bar up to `day`.
    """
    row = int(np.searchsorted(panel.dates, np.datetime64(day, "D"), side="right")) - 1
    if row < 0:
        raise PortfolioError(f"{day}: {panel.label} has no bar up to it; begin a day later")
    if not equity > 0.0:
        raise PortfolioError(f"equity: {equity} must be above 0; there is no book to measure")
    if len(panel.revisions.pending(row)):
        panel = panel.until(panel.dates[row])
    names = [symbol for symbol, shares in holdings.items() if shares]
    memory = memory or RiskMemory()
    seen = memory.names(panel, row, names)
    columns, returns, earned = seen.columns, seen.returns, seen.earned
    price = _marks(panel, row, names, columns)
    shares = np.array([holdings[symbol] for symbol in names], dtype=np.float64)
    weights = shares * price / equity
    book = earned @ weights
    size = np.abs(weights)
    gross = float(size.sum())
    enough = len(book) >= 100 and gross > 0.0
    tails = (
        tuple(tail_risk(book, level, method) for method in get_args(Method) for level in LEVELS)
        if enough
        else ()
    )
    falls = under_water(history.returns)
    year = slice(max(len(book) - _YEAR, 0), None)
    sector_of = _sectors(panel, row, names, columns)
    sectors: dict[str, float] = {}
    for sector, weight in zip(sector_of, weights, strict=True):
        sectors[sector] = sectors.get(sector, 0.0) + float(weight)
    days = _days_to_sell(panel, row, columns, size * equity, participation)
    sellable = np.isfinite(days)
    correlation, shrinkage = _mean_correlation(seen.correlation, weights)
    book_beta = beta(book[year], memory.market(panel, row))
    return RiskSnapshot(
        day=panel.dates[row].astype(date),
        equity=equity,
        gross=gross,
        net=float(weights.sum()),
        largest=float(size.max(initial=0.0)),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        price=dict(zip(names, price.tolist(), strict=True)),
        tails=tails,
        exceptions=judge_exceptions(
            history.hypothetical, history.value_at_risk, level=DESIGNATED[1]
        ),
        drawdown=float(falls[-1]) if len(falls) else 0.0,
        deepest=float(falls.min(initial=0.0)),
        volatility=deviation(book[year]) if len(book) else math.nan,
        beta=book_beta,
        sectors=sectors,
        sector_of=dict(zip(names, sector_of, strict=True)),
        effective_names=gross**2 / float(size @ size) if gross > 0.0 else 0.0,
        correlation=correlation,
        shrinkage=shrinkage,
        liquidity_days=float(days[sellable].max(initial=0.0)),
        slowest=names[int(np.argmax(np.where(sellable, days, -1.0)))] if sellable.any() else None,
        unsellable=tuple(np.array(names)[~sellable].tolist()),
        stress=_stress(book, returns[year], weights, sectors, book_beta, tails),
        unknown=float(size[~np.isfinite(returns[-1])].sum()) / gross if gross > 0.0 else 0.0,
    )


def _columns(panel: Panel, names: list[str]) -> NDArray[np.intp]:
    places = {str(symbol): i for i, symbol in enumerate(panel.symbols)}
    for symbol in names:
        if symbol not in places:
            raise PortfolioError(
                f"{symbol!r}: not on {panel.label}; adopt or close the position first"
            )
    return np.array([places[symbol] for symbol in names], dtype=np.intp)


def _marks(panel: Panel, row: int, names: list[str], columns: NDArray[np.intp]) -> Array:
    """Return the last known closes as traded; one that the market's checks masked is not known."""
    printed, checked = panel.raw.get("close", panel.fields["close"]), panel.fields["close"]
    found: Array = np.full(len(columns), np.nan)
    wanted = np.arange(len(columns))
    for day in range(row, -1, -1):
        close = printed[day, columns[wanted]]
        known = np.isfinite(close) & np.isfinite(checked[day, columns[wanted]])
        found[wanted[known]] = close[known]
        wanted = wanted[~known]
        if not len(wanted):
            return found
    raise PortfolioError(f"{names[wanted[0]]}: held, but it has no close up to {panel.dates[row]}")


def _sectors(panel: Panel, row: int, names: list[str], columns: NDArray[np.intp]) -> list[str]:
    if "sector" not in panel.groups:
        return ["unknown"] * len(names)
    labels = panel.groups["sector"][row, columns]
    known = panel.group_names.get("sector", ())
    return [
        "unknown" if label < 0 else (known[label] if label < len(known) else str(label))
        for label in labels
    ]


def _days_to_sell(
    panel: Panel, row: int, columns: NDArray[np.intp], dollars: Array, participation: float
) -> Array:
    """Return sessions to sell each position; infinite where nothing was traded for 20 days."""
    recent = slice(max(row + 1 - _VOLUME_DAYS, 0), row + 1)
    close = panel.raw.get("close", panel.fields["close"])[recent][:, columns]
    if "volume" not in panel.fields:
        return np.full(len(columns), math.inf)
    volume = np.nan_to_num(close * panel.fields["volume"][recent][:, columns]).mean(axis=0)
    days = np.full(len(columns), math.inf)
    np.divide(dollars, participation * volume, out=days, where=volume > 0.0)
    return days


def _mean_correlation(found: ShrunkCorrelation | None, weights: Array) -> tuple[float, float]:
    if found is None:
        return math.nan, math.nan
    size = np.abs(weights)
    pairs = float(weights @ found.matrix @ weights - size @ size)
    whole = float(size.sum() ** 2 - size @ size)
    return pairs / whole if whole > 0.0 else math.nan, found.intensity


def _stress(
    book: Array,
    returns: Array,
    weights: Array,
    sectors: Mapping[str, float],
    book_beta: float,
    tails: tuple[TailRisk, ...],
) -> dict[str, float]:
    """Return scenario to return of the book.

    Windows are the worst that the days looked at have. A fall of the market goes through the
    book's beta, one of a sector through its net exposure, the worst sector counts. Twice the
    volatility is twice the designated value at risk. With all correlations at 1 names move by
    their own deviations times the normal quantile of 99 %: the book in whichever direction
    hurts, or, where the hedge is lost, longs and shorts as two strangers.
    """
    found: dict[str, float] = {}
    if not len(weights):
        return found
    for days in _WINDOWS:
        if len(book) >= days:
            sums = np.convolve(book, np.ones(days), "valid")
            found[f"worst {days} days seen" if days > 1 else "worst day seen"] = float(sums.min())
    if math.isfinite(book_beta):
        found["market -10 %"] = book_beta * MARKET_FALL
    worst = max(sectors, key=lambda name: sectors[name])
    found[f"sector -15 % ({worst})"] = sectors[worst] * SECTOR_FALL
    for one in tails:
        if (one.method, one.level) == DESIGNATED:
            found["volatility x 2"] = -2.0 * one.value_at_risk
    sizes = weights * returns.std(axis=0)
    quantile = float(ndtri(0.99))
    long, short = float(sizes[sizes > 0.0].sum()), float(-sizes[sizes < 0.0].sum())
    found["correlation 1"] = -quantile * abs(long - short)
    found["correlation 1, hedge lost"] = -quantile * math.hypot(long, short)
    return found
