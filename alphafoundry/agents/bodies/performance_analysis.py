"""performance_analysis: where the PnL came from, the track record, the tear sheet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.agents.track_record import record_sessions, write_tear_sheet
from alphafoundry.performance import LEAST_DAYS, ReturnSeries, sharpe_evidence
from alphafoundry.performance.attribution import STRATEGY
from alphafoundry.performance.sheet import desk_series, desk_sheet
from alphafoundry.performance.statistics import SharpeEvidence, statistics_of
from alphafoundry.store.agents import desk_transaction
from alphafoundry.trading.money import MONEY

OWN = "performance_analysis"
ODD = 4.0
"""Deviations of the earlier sessions beyond which a session's return is odd."""

Metric = Literal[
    "sharpe_ratio",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "sortino_ratio",
    "calmar_ratio",
    "volatility",
    "value_at_risk",
    "beta",
]

_NAMES: dict[str, str] = {
    "sharpe_ratio": "sharpe",
    "win_rate": "hit_rate",
    "sortino_ratio": "sortino",
    "calmar_ratio": "calmar",
}
_PERIODS = {"1d": 1, "1w": 5, "1m": 21}


class PerformanceParameters(Parameters):
    """Parameters of performance_analysis.

    Attributes
    ----------
    analysis_period : what the summary of a tick is about: the last session, 5, 21, or all; the
        figures are always of all sessions
    metrics : which figures the tick keeps
    generate_reports : whether the tear sheet is written as a file; a simulation does so at its end
    alert_on_anomalies : whether a session of more than 4 deviations is an alert
    """

    analysis_period: Literal["1d", "1w", "1m", "all"] = "1d"
    metrics: tuple[Metric, ...] = ("sharpe_ratio", "max_drawdown", "win_rate", "profit_factor")
    generate_reports: bool = True
    alert_on_anomalies: bool = True


def _inputs(context: AgentContext) -> str:
    evenings = floor_of(context).evenings
    return str(evenings[-1].day) if evenings else "none"


@agent(OWN, parameters=PerformanceParameters, inputs_version=_inputs, seconds=5.0)
def performance_analysis(context: AgentContext) -> AgentResult:
    """Write down the sessions that have closed since the last run, and measure all of them."""
    floor, given = floor_of(context), context.parameters
    new = record_sessions(floor, context.now)
    if not floor.evenings:
        return AgentResult("no session has closed yet")
    rows = floor.looked_at()
    series = desk_series(rows)
    if given.alert_on_anomalies:
        _tell_odd(floor, series, len(new), context.now)
    if given.generate_reports and not floor.simulated:
        write_tear_sheet(floor, desk_sheet(floor.store, floor.desk, rows))
    figures: dict[str, object] = {
        "sessions": len(series),
        "pnl": [one.pnl / MONEY for one in new],
    }
    values = statistics_of(series).to_dict()
    for metric in given.metrics:
        value = values[_NAMES.get(metric, metric)]
        if metric == "sharpe_ratio":
            # How many desks were tried is counted when it is shown: a tick must not depend on it.
            figures[metric] = _band(sharpe_evidence(series, seed=context.seed))
        else:
            figures[metric] = round(value, 8) if np.isfinite(value) else None
    return AgentResult(_summary(series, floor.earned(), given.analysis_period), figures=figures)


def _band(found: SharpeEvidence) -> dict[str, float | str] | str:
    if np.isnan(found.value):
        return str(found)
    ends = {name: round(getattr(found, name), 6) for name in ("value", "low", "high")}
    return {**ends, "trials": "counted in the report"}


def _summary(series: ReturnSeries, parts: Mapping[str, int], period: str) -> str:
    count = _PERIODS.get(period, len(series))
    earned = float(np.prod(1.0 + series.returns[-count:]) - 1.0)
    strategies = sum(n for name, n in parts.items() if name.startswith(STRATEGY)) / MONEY
    return (
        f"{earned:+.3%} in {min(count, len(series))} sessions; of all sessions strategies "
        f"{strategies:+,.2f} of {sum(parts.values()) / MONEY:+,.2f} dollars"
    )


def _tell_odd(floor: TradingFloor, series: ReturnSeries, new: int, now: int) -> None:
    """Alert for each new session that is far from those before it."""
    returns = series.returns
    for place in range(max(len(returns) - new, LEAST_DAYS), len(returns)):
        before = returns[:place]
        spread = float(before.std())
        apart = abs(float(returns[place] - before.mean()))
        if spread > 0.0 and apart > ODD * spread:
            day = series.dates[place]
            with desk_transaction(floor.store, floor.desk) as rows:
                rows.alert(
                    f"performance:odd session {day}",
                    utc(now),
                    f"{returns[place]:+.2%} is {apart / spread:.1f} deviations from the sessions "
                    "before",
                )
