"""What people ask of a track record, each figure with its formula and its rule for NaN.

Days are exchange days, 252 a year. Standard deviations are the population's (ddof 0). A ratio
whose denominator is 0, and a figure of fewer days than it needs, is NaN. The risk-free return is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from alphafoundry.evidence import (
    band,
    block_length,
    deflated_sharpe_ratio,
    draw_days,
    drawn_sharpe_ratios,
    moments,
    null_deviation,
)
from alphafoundry.finance.statistics import (
    TAIL,
    beta,
    deviation,
    metrics_of,
    sharpe,
    under_water,
)
from alphafoundry.market.frequency import DAYS_A_YEAR
from alphafoundry.performance.returns import Array, Days, ReturnSeries
from alphafoundry.seeds import generator

LEAST_DAYS = 20
"""Days below which no Sharpe ratio is given: its 90 % band would be wider than any value in it."""

WINDOW = 63
"""Days of a rolling figure: a quarter."""


@dataclass(frozen=True)
class SharpeEvidence:
    """A Sharpe ratio with what luck could have made of it; all NaN below 20 days.

    Attributes
    ----------
    value : annualised
    low, high : 90 % band, by the stationary block bootstrap
    trials : how many track records were tried of which this is one
    deflated : probability that the true ratio is above what the best of so many trials shows
        where there is nothing to find
    """

    value: float
    low: float
    high: float
    trials: int
    deflated: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"not yet: needs {LEAST_DAYS} days"
        tried = "1 trial" if self.trials == 1 else f"{self.trials:,} trials"
        return (
            f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}], {tried}, "
            f"deflated {self.deflated:.2f}"
        )


@dataclass(frozen=True)
class Statistics:
    """The figures of a track record; returns as fractions, losses of tails positive.

    Attributes
    ----------
    days : measured
    total_return, annual_return : compounded; the second to 252 days
    volatility : annualised deviation of daily returns
    sharpe : annualised mean over deviation
    sortino : annualised mean over the root mean square of losses (target 0, all days)
    calmar : annual_return over max_drawdown
    max_drawdown : deepest fall below an earlier peak, 0.1 is 10 %
    average_drawdown : mean of the deepest points of all drawdowns
    longest_drawdown : days from a peak until it was reached again, or until today
    ulcer_index : root mean square of the fall below the peak (Martin and McCann, 1989)
    stability : R squared of a line through the cumulative log return (as in pyfolio)
    value_at_risk : loss that 95 % of days stay below: the 5 % quantile, linear between days
    cvar : mean loss of the worst 5 % of days (Rockafellar and Uryasev, 2000)
    skewness, kurtosis : standardised third and fourth moment; 3 is that of the normal
    tail_ratio : 95 % quantile over the absolute 5 % quantile (as in empyrical)
    best_day, worst_day, best_month, worst_month : returns
    hit_rate : days with a gain over days with a gain or a loss
    profit_factor : sum of gains over sum of losses; equal to Omega at 0 (Keating, Shadwick, 2002)
    payoff : mean gain over mean loss
    beta, alpha : of the regression on the benchmark; alpha compounded to a year
    correlation : with the benchmark
    tracking_error, information_ratio : deviation of the difference, and its mean over that; a year
    up_capture, down_capture : compounded return a year over the benchmark's, on days on which it
        rose or fell
    """

    days: int
    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    average_drawdown: float
    longest_drawdown: int
    ulcer_index: float
    stability: float
    value_at_risk: float
    cvar: float
    skewness: float
    kurtosis: float
    tail_ratio: float
    best_day: float
    worst_day: float
    best_month: float
    worst_month: float
    hit_rate: float
    profit_factor: float
    payoff: float
    beta: float
    alpha: float
    correlation: float
    tracking_error: float
    information_ratio: float
    up_capture: float
    down_capture: float

    def to_dict(self) -> dict[str, float]:
        """Return name to value in the order above."""
        return asdict(self)


@dataclass(frozen=True)
class Drawdown:
    """A fall below a peak.

    Attributes
    ----------
    depth : deepest point, 0.1 is 10 % below the peak
    began : first day below the peak
    deepest : day of the deepest point
    recovered : first day at the peak again; None while it lasts
    days : from `began` until the day before the recovery, or the last day, both counted
    """

    depth: float
    began: date
    deepest: date
    recovered: date | None
    days: int


def statistics_of(series: ReturnSeries) -> Statistics:
    """Return the figures of a track record; NaN wherever there are no days."""
    daily = series.returns
    found = metrics_of(daily)
    falls = drawdowns(series)
    gains, losses = daily[daily > 0.0], daily[daily < 0.0]
    months = [one for _, one in by_period(series, "M")]
    shape = _shape(daily)
    return Statistics(
        days=len(daily),
        total_return=found.total_return,
        annual_return=found.annual_return,
        volatility=found.volatility,
        sharpe=found.sharpe,
        sortino=found.sortino,
        calmar=found.calmar,
        max_drawdown=found.max_drawdown,
        average_drawdown=float(np.mean([one.depth for one in falls])) if falls else 0.0,
        longest_drawdown=max((one.days for one in falls), default=0),
        ulcer_index=float(np.sqrt((under_water(series.returns) ** 2).mean()))
        if len(daily)
        else math.nan,
        stability=_stability(daily),
        value_at_risk=-float(np.quantile(daily, TAIL)) if len(daily) else math.nan,
        cvar=found.cvar,
        skewness=shape[0],
        kurtosis=shape[1],
        tail_ratio=_tail_ratio(daily),
        best_day=float(daily.max()) if len(daily) else math.nan,
        worst_day=float(daily.min()) if len(daily) else math.nan,
        best_month=max(months, default=math.nan),
        worst_month=min(months, default=math.nan),
        hit_rate=found.win_rate,
        profit_factor=_over(float(gains.sum()), -float(losses.sum())),
        payoff=_over(
            float(gains.mean()) if len(gains) else 0.0,
            -float(losses.mean()) if len(losses) else 0.0,
        ),
        **_against(series),
    )


def sharpe_evidence(
    series: ReturnSeries, *, trials: int = 1, seed: int = 0, draws: int = 1000
) -> SharpeEvidence:
    """Return the Sharpe ratio with its 90 % band and its deflated probability.

    The band is that of the stationary bootstrap with the block length of Politis and White; the
    deflated ratio takes the deviation under the null that allows for dependence from day to day.

    Parameters
    ----------
    trials : track records of which this one was kept, itself included
    seed : of the draws
    """
    daily = series.returns
    value = sharpe(daily) if len(daily) >= LEAST_DAYS else math.nan
    if math.isnan(value):
        return SharpeEvidence(math.nan, math.nan, math.nan, trials, math.nan)
    counts = draw_days(
        len(daily),
        generator=generator(seed, "performance", "band"),
        mean_block=block_length(daily),
        draws=draws,
    )
    yearly = math.sqrt(DAYS_A_YEAR)
    found = band(drawn_sharpe_ratios(daily, counts), value)
    deflated = deflated_sharpe_ratio(
        moments(daily), trials=trials, sigma=float(null_deviation(daily))
    )
    return SharpeEvidence(value, found.low * yearly, found.high * yearly, trials, float(deflated))


def drawdowns(series: ReturnSeries) -> list[Drawdown]:
    """Return every drawdown, the deepest first."""
    fall = under_water(series.returns)
    below = fall < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], below, [False])).astype(int)))
    found = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        worst = first + int(np.argmin(fall[first:end]))
        found.append(
            Drawdown(
                depth=-float(fall[worst]),
                began=_day(series.dates, first),
                deepest=_day(series.dates, worst),
                recovered=_day(series.dates, end) if end < len(fall) else None,
                days=end - first,
            )
        )
    return sorted(found, key=lambda one: -one.depth)


def by_period(series: ReturnSeries, unit: str) -> list[tuple[str, float]]:
    """Return (period, compounded return), oldest first.

    unit : "M" for months ("2024-01") or "Y" for years ("2024")
    """
    if not len(series):
        return []
    periods = series.dates.astype(f"datetime64[{unit}]")
    names, starts = np.unique(periods, return_index=True)
    growth = np.multiply.reduceat(1.0 + series.returns, starts) - 1.0
    return [(str(name), float(value)) for name, value in zip(names, growth, strict=True)]


def rolling_sharpe(daily: Array, window: int = WINDOW) -> Array:
    """Return the annualised Sharpe ratio of the last `window` days, (n_days,); NaN before."""
    return _rolled(daily, window, lambda one: _ratio(one) * math.sqrt(DAYS_A_YEAR))


def rolling_volatility(daily: Array, window: int = WINDOW) -> Array:
    """Return the annualised deviation of the last `window` days, (n_days,); NaN before."""
    return _rolled(daily, window, lambda one: one.std(axis=1) * math.sqrt(DAYS_A_YEAR))


def rolling_beta(daily: Array, benchmark: Array, window: int = WINDOW) -> Array:
    """Return the beta of the last `window` days, (n_days,); NaN before and where one is NaN."""
    found = np.full(len(daily), math.nan)
    if len(daily) < window:
        return found
    own = np.lib.stride_tricks.sliding_window_view(daily, window)
    other = np.lib.stride_tricks.sliding_window_view(benchmark, window)
    own = own - own.mean(axis=1, keepdims=True)
    other = other - other.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found[window - 1 :] = (own * other).sum(axis=1) / (other * other).sum(axis=1)
    return found


def _rolled(daily: Array, window: int, figure: Callable[[Array], Array]) -> Array:
    found = np.full(len(daily), math.nan)
    if len(daily) >= window:
        found[window - 1 :] = figure(np.lib.stride_tricks.sliding_window_view(daily, window))
    return found


def _ratio(windows: Array) -> Array:
    spread = windows.std(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0.0, windows.mean(axis=1) / spread, math.nan))


def _shape(daily: Array) -> tuple[float, float]:
    if len(daily) < 2 or deviation(daily) == 0.0:
        return math.nan, math.nan
    z = (daily - daily.mean()) / daily.std()
    return float((z**3).mean()), float((z**4).mean())


def _stability(daily: Array) -> float:
    if len(daily) < 2:
        return math.nan
    total = np.cumsum(np.log1p(daily))
    if deviation(total) == 0.0:
        return math.nan
    return float(np.corrcoef(np.arange(len(total)), total)[0, 1] ** 2)


def _tail_ratio(daily: Array) -> float:
    if not len(daily):
        return math.nan
    high, low = np.quantile(daily, [1.0 - TAIL, TAIL])
    return _over(abs(float(high)), abs(float(low)))


def _against(series: ReturnSeries) -> dict[str, float]:
    own, other = series.paired()
    names = (
        *("beta", "alpha", "correlation", "tracking_error", "information_ratio"),
        *("up_capture", "down_capture"),
    )
    if len(own) < 2 or deviation(other) == 0.0:
        return dict.fromkeys(names, math.nan)
    slope = beta(own, other)
    daily_alpha = float(own.mean() - slope * other.mean())
    moves = deviation(own)
    difference = own - other
    apart = deviation(difference)
    yearly = math.sqrt(DAYS_A_YEAR)
    return {
        "beta": slope,
        "alpha": (1.0 + daily_alpha) ** DAYS_A_YEAR - 1.0,
        "correlation": slope * float(other.std()) / moves if moves > 0.0 else math.nan,
        "tracking_error": apart * yearly,
        "information_ratio": _over(yearly * float(difference.mean()), apart),
        "up_capture": _capture(own, other, other > 0.0),
        "down_capture": _capture(own, other, other < 0.0),
    }


def _capture(own: Array, other: Array, days: NDArray[np.bool_]) -> float:
    count = int(days.sum())
    if not count:
        return math.nan
    years = DAYS_A_YEAR / count
    ours, theirs = (float(np.prod(1.0 + one[days])) ** years - 1.0 for one in (own, other))
    return _over(ours, theirs)


def _over(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0.0 else math.nan


def _day(dates: Days, place: int) -> date:
    found: date = dates[place].astype("datetime64[D]").item()
    return found


def monthly_table(months: Sequence[tuple[str, float]]) -> list[tuple[str, list[float | None]]]:
    """Return (year, its twelve months; None where there is none), oldest first.

    months : as `by_period` gives them
    """
    table: dict[str, list[float | None]] = {}
    for name, value in months:
        year, month = name.split("-")
        table.setdefault(year, [None] * 12)[int(month) - 1] = value
    return sorted(table.items())
