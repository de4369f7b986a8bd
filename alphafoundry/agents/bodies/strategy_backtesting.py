"""strategy_backtesting: holds what trades against its backtest, with the days since."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import Field

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.agents.strategy_book import strategy_returns, take_up
from alphafoundry.performance import ReturnSeries, sharpe_evidence
from alphafoundry.seeds import seed_number
from alphafoundry.store.strategies import read_strategies

OWN = "strategy_backtesting"
_LEAST = 60


class BacktestingParameters(Parameters):
    """Parameters of strategy_backtesting.

    Attributes
    ----------
    days : of each backtest, the last ones
    draws : of the bootstrap behind each band
    """

    days: int = Field(504, ge=_LEAST)
    draws: int = Field(100, ge=50)


def _week(context: AgentContext) -> str:
    """Return the week of the bars and what trades: a day changes little in two years."""
    floor = floor_of(context)
    week = "" if floor.data_until is None else f"{floor.data_until:%G-%V}"
    return " ".join([week, *(one.alpha_id for one in floor.strategies)])


@agent(OWN, parameters=BacktestingParameters, seconds=30.0, inputs_version=_week)
def strategy_backtesting(context: AgentContext) -> AgentResult:
    """Backtest every strategy that trades on the bars as they are now, with band and trials."""
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return AgentResult("no bars yet")
    take_up(floor, context.now)
    if not floor.strategies:
        return AgentResult("no strategy trades")
    dates, returns = strategy_returns(floor)
    rows = {row.alpha_id: row for row in read_strategies(floor.store, floor.desk)}
    figures: dict[str, Any] = {}
    for number, one in enumerate(floor.rebalancer().history.strategies):
        daily = returns[number]
        if one.counts_from is not None:
            daily = daily[dates > np.datetime64(one.counts_from)]
        daily = daily[-given.days :]
        if len(daily) < _LEAST or not daily.any():
            continue
        trials = max(1, rows[one.alpha_id].trials if one.alpha_id in rows else 1)
        found = sharpe_evidence(
            ReturnSeries(dates[-len(daily) :], daily),
            trials=trials,
            seed=seed_number(context.seed, OWN, one.alpha_id),
            draws=given.draws,
        )
        fresh = returns[number][dates > np.datetime64(one.data_until)]
        figures[one.alpha_id] = {
            **{name: round(value, 4) for name, value in asdict(found).items()},
            "fresh_days": len(fresh),
            "fresh_mean": float(fresh.mean()) if len(fresh) else None,
        }
    doubtful = sum(not one["low"] > 0.0 for one in figures.values())
    return AgentResult(
        f"{len(figures)} backtests; the band of {doubtful} is not above 0", figures=figures
    )
