"""Statistics of a backtest, and the objectives that a search maximises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.portfolio import measure
from alphafoundry.errors import BacktestError

TAIL = 0.05
"""Share of the worst days in the conditional value at risk."""


@dataclass(frozen=True)
class Metrics:
    """The numbers of a backtest; all of them after costs, returns as fractions.

    Attributes
    ----------
    days : trading days measured
    total_return : compounded over all days
    annual_return : compounded, to 252 days
    volatility : annualised population standard deviation of daily returns
    sharpe : annualised mean over standard deviation, as `alphafoundry.simulation.statistics`
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

Objective = Callable[[Metrics], float]

OBJECTIVES: Mapping[str, Objective] = {
    "sharpe": lambda metrics: metrics.sharpe,
    "sortino": lambda metrics: metrics.sortino,
    "calmar": lambda metrics: metrics.calmar,
    "cvar": lambda metrics: -metrics.cvar,
    "total_return": lambda metrics: metrics.total_return,
}
"""Name to what a search maximises; NaN is worse than every number."""


def metrics_of(daily_returns: NDArray[np.float64]) -> Metrics:
    """Return the statistics of daily net returns, float64 array of shape (n_days,) without NaN.

    Returns alone say nothing of trading: turnover and cost are NaN, trades 0. Raises
    BacktestError where a return is not a number.
    """
    returns = np.ascontiguousarray(daily_returns, dtype=np.float64)
    if not np.isfinite(returns).all():
        raise BacktestError("daily returns hold NaN or infinite values; leave those days out")
    found = np.empty(len(MEASURED))
    measure(returns, _NOTHING, TAIL, found)
    return metrics_from(len(returns), found)


def metrics_from(days: int, found: NDArray[np.float64]) -> Metrics:
    """Return the numbers that `measure` filled in as Metrics."""
    values = dict(zip(MEASURED, found.tolist(), strict=True))
    trades = values.pop("trades")
    return Metrics(days=days, **values, trades=0 if math.isnan(trades) else round(trades))


def score(metrics: Metrics, objective: str) -> float:
    """Return the objective's value, -inf where it is NaN. Raises BacktestError for a wrong name."""
    if objective not in OBJECTIVES:
        raise BacktestError(
            f"objective {objective!r} is not known; choose one of {', '.join(OBJECTIVES)}"
        )
    value = OBJECTIVES[objective](metrics)
    return -math.inf if math.isnan(value) else value
