"""Statistics of daily returns or of daily PnL, each defined here once.

Days are exchange days, of which a year has 252, unless the caller says how many bars a year has
(see `alphafoundry.market.frequency`). Standard deviations are the population's (ddof 0).
BRAIN's own ratios, which do not compound, are in `alphafoundry.simulation.statistics`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatBlock, FloatMatrix, FloatRow, kernel
from alphafoundry.errors import BacktestError
from alphafoundry.market.frequency import DAYS_A_YEAR

NOISE = 1e-9
"""A deviation below this share of the largest value is what rounding leaves, and counts as 0."""

TAIL = 0.05
"""Share of the worst days in the conditional value at risk."""

TOO_GOOD = 6.0
"""Annual Sharpe ratio, either way, that no book of daily bars has without a look ahead."""


def sharpe(daily: NDArray[np.float64], bars_a_year: float = DAYS_A_YEAR) -> float:
    """Return the annualised Sharpe ratio, sqrt(252) * mean / standard deviation.

    daily : returns or dollars of PnL, shape (n_days,); the unit cancels out
    bars_a_year : what stands in the place of 252

    NaN for fewer than two days, where the values never change but for rounding, and where one is
    NaN. Source: W. F.
    Sharpe, "The Sharpe Ratio" (1994), with a risk-free return of 0.
    """
    if len(daily) < 2:
        return math.nan
    spread = deviation(daily)
    if spread == 0.0:
        return math.nan
    return math.sqrt(bars_a_year) * float(daily.mean()) / spread


def deviation(daily: NDArray[np.float64]) -> float:
    """Return the population's standard deviation, exactly 0 where the values never change.

    Changes below a billionth of the largest value are rounding, not changes.

    daily : returns or dollars of PnL, shape (n_days,). NaN where one is NaN.
    """
    if daily.min(initial=math.inf) >= daily.max(initial=-math.inf):
        return 0.0
    spread = float(daily.std())
    return 0.0 if spread <= NOISE * float(np.abs(daily).max()) else spread


def under_water(daily: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far compounded equity is below its highest value each day, 0 or less, (n_days,).

    Equity starts at 1, which is the first peak. NaN makes all that follows NaN.

    daily : returns, shape (n_days,)
    """
    wealth = np.cumprod(1.0 + np.asarray(daily, dtype=np.float64))
    peak = np.maximum.accumulate(np.concatenate(([1.0], wealth)))[1:]
    return np.asarray(wealth / peak - 1.0)


def beta(daily: NDArray[np.float64], market: NDArray[np.float64]) -> float:
    """Return the covariance with a market over its variance.

    Days on which either is NaN are left out. NaN for fewer than two days, and where the market
    does not move but for rounding.

    daily, market : returns, shape (n_days,)
    """
    known = np.isfinite(daily) & np.isfinite(market)
    own, other = daily[known], market[known]
    if len(own) < 2 or deviation(other) == 0.0:
        return math.nan
    centred = other - other.mean()
    return float(centred @ (own - own.mean())) / float(centred @ centred)


@dataclass(frozen=True)
class Metrics:
    """The numbers of a backtest; all of them after costs, returns as fractions.

    Attributes
    ----------
    days : trading days measured
    total_return : compounded over all days
    annual_return : compounded to a year, (1 + total_return) ** (252 / days) - 1
    volatility : annualised population standard deviation of daily returns
    sharpe : annualised mean over standard deviation, see `sharpe`
    sortino : annualised mean over the root mean square of negative returns (target 0, all days)
    calmar : annual_return over max_drawdown
    max_drawdown : largest fall of equity below an earlier peak, 0.1 is 10 %
    cvar : conditional value at risk, the mean loss of the worst 5 % of days (Rockafellar and
        Uryasev 2000); positive is a loss. Below 20 days it is the worst day's loss
    win_rate : days with a gain over days with a gain or a loss
    turnover : value traded on an average day over equity
    cost : sum of daily costs over equity of their day
    trades : how often an instrument's position was opened, closed or changed by its signal;
        bringing a drifted position back to its target is turnover, but not a trade

    A ratio whose denominator is 0 is NaN.
    """

    days: int
    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    cvar: float
    win_rate: float
    turnover: float
    cost: float
    trades: int

    def to_dict(self) -> dict[str, float]:
        """Return name to value in the order above."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"sharpe {self.sharpe:.2f}, sortino {self.sortino:.2f}, calmar {self.calmar:.2f}, "
            f"return {self.total_return:+.1%} ({self.annual_return:+.1%} a year), "
            f"drawdown {self.max_drawdown:.1%}, cvar {self.cvar:.2%}, "
            f"turnover {self.turnover:.1%} a day, {self.trades} trades, {self.days} days"
        )


MEASURED = (
    "total_return",
    "annual_return",
    "volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "cvar",
    "win_rate",
    "turnover",
    "cost",
    "trades",
)
_NOTHING = np.empty((4, 0))


@kernel
def _tail_loss(daily: FloatRow, tail: float) -> float:
    """Return the mean loss of the worst `tail` of the days, the last of them in part."""
    whole = max(tail * daily.shape[0], 1.0)
    count = math.ceil(whole - 1e-9)
    worst = np.partition(daily, count - 1)[:count]
    worst.sort()
    below = 0.0
    for k in range(count - 1):
        below += worst[k]
    loss: float = 0.0 - (below + (whole - (count - 1)) * worst[count - 1]) / whole
    return loss


@kernel
def _spread(variance: float, least: float, most: float) -> float:
    """Return the square root of a variance, 0 where the values change by no more than rounding."""
    spread = math.sqrt(variance)
    largest = max(abs(least), abs(most))
    return 0.0 if least >= most or spread <= NOISE * largest else spread


@kernel
def measure(
    daily: FloatRow,
    book: FloatMatrix,
    tail: float,
    bars_a_year: float,
    out: FloatRow,
) -> None:
    """Fill out with the statistics of daily net returns, in the order of `MEASURED`.

    book : value traded, cost and orders of each day in its first three rows; without columns where
        nothing is known of trades
    tail : share of the worst days in the conditional value at risk
    bars_a_year : annualises
    """
    out[:] = math.nan
    days = daily.shape[0]
    if days == 0:
        return
    total = 0.0
    equity = 1.0
    peak = 1.0
    deepest = 0.0
    gains = 0.0
    losses = 0.0
    won = 0
    active = 0
    shortfall = 0.0
    least = math.inf
    most = -math.inf
    for t in range(days):
        value = daily[t]
        total += value
        equity *= 1.0 + value
        peak = max(peak, equity)
        deepest = max(deepest, 1.0 - equity / peak)
        least = min(least, value)
        most = max(most, value)
        if value > 0.0:
            gains += value
            won += 1
        elif value < 0.0:
            losses -= value
            shortfall += value * value
        active += value != 0.0
    mean = total / days
    squares = 0.0
    for t in range(days):
        squares += (daily[t] - mean) * (daily[t] - mean)
    deviation = _spread(squares / days, least, most)
    downside = math.sqrt(shortfall / days)
    annual = equity ** (bars_a_year / days) - 1.0
    yearly = math.sqrt(bars_a_year)
    out[0] = equity - 1.0
    out[1] = annual
    out[2] = deviation * yearly
    out[3] = yearly * mean / deviation if deviation > 0.0 and days > 1 else math.nan
    out[4] = yearly * mean / downside if downside > 0.0 else math.nan
    out[5] = annual / deepest if deepest > 0.0 else math.nan
    out[6] = deepest
    out[7] = _tail_loss(daily, tail)
    out[8] = won / active if active else math.nan
    if book.shape[1]:
        for row in range(3):
            total = 0.0
            for t in range(days):
                total += book[row, t]
            out[9 + row] = total
        out[9] /= days


@kernel
def measure_all(
    daily: FloatMatrix, book: FloatBlock, bars_a_year: float, found: FloatMatrix
) -> None:
    """Do what `measure` does for several trials, one per row."""
    for trial in range(daily.shape[0]):
        measure(daily[trial], book[trial], TAIL, bars_a_year, found[trial])


def metrics_of(daily_returns: NDArray[np.float64], *, bars_a_year: float = DAYS_A_YEAR) -> Metrics:
    """Return the statistics of daily net returns, float64 array of shape (n_days,) without NaN.

    bars_a_year : annualises; 252 is that of exchange days

    Returns alone say nothing of trading: turnover and cost are NaN, trades 0. Raises
    BacktestError where a return is not a number.
    """
    returns = np.ascontiguousarray(daily_returns, dtype=np.float64)
    if not np.isfinite(returns).all():
        raise BacktestError("daily returns hold NaN or infinite values; leave those days out")
    found = np.empty(len(MEASURED))
    measure(returns, _NOTHING, TAIL, bars_a_year, found)
    return metrics_from(len(returns), found)


def metrics_from(days: int, found: NDArray[np.float64]) -> Metrics:
    """Return the numbers that `measure` filled in as Metrics."""
    values = dict(zip(MEASURED, found.tolist(), strict=True))
    trades = values.pop("trades")
    return Metrics(days=days, **values, trades=0 if math.isnan(trades) else round(trades))
